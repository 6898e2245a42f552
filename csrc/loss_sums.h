/* Sums of losses over rows, in double for both real types. Row i of a block belongs to lane i mod 16; lanes are added by
 * halves. Part of kernels_tmpl.h, in its 64-bit round. */

/* One log loss per lane, as the product of likelihoods: mantissas in [1, 2), at most FM_BLOCK / FM_LANES = 16 of them,
 * so below 2^16, and a sum of exponents. One logarithm a lane replaces one a row. */
typedef struct fm_likelihood {
    double mantissa[FM_LANES];
    int64_t exponent[FM_LANES];
} fm_likelihood;

static inline double fm_sum_lanes(double *s)
{
    for (int half = FM_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            s[l] += s[l + half];
    return s[0];
}

static inline void fm_likelihood_start(fm_likelihood *p)
{
    for (int l = 0; l < FM_LANES; l++) {
        p->mantissa[l] = 1;
        p->exponent[l] = 0;
    }
}

/* x = mantissa * 2^exponent with the mantissa in [1, 2), for normal x > 0; NaN and infinity keep a NaN mantissa. */
static inline double fm_split(double x, int64_t *exponent)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *exponent = (bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffff) | 0x3ff0000000000000;
    double mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    return mantissa + (x - x);
}

/* Lane l of the product times q[l], for l < lanes. */
static inline void fm_likelihood_multiply(fm_likelihood *p, int lanes, const double *q)
{
    for (int l = 0; l < lanes; l++) {
        int64_t exponent;
        p->mantissa[l] *= fm_split(q[l], &exponent);
        p->exponent[l] += exponent;
    }
}

/* loss[l] -= log(lane l), for l < lanes. The product is brought into [sqrt(1/2), sqrt(2)) first, so that likelihoods
 * near 1 do not cancel. */
static inline void fm_likelihood_finish(const fm_likelihood *p, int lanes, double *loss)
{
    double m[FM_LANES], e[FM_LANES];
    for (int l = 0; l < FM_LANES; l++) {
        int64_t exponent;
        m[l] = fm_split(p->mantissa[l], &exponent);
        exponent += p->exponent[l];
        if (m[l] > 1.4142135623730951) {
            m[l] *= 0.5;
            exponent += 1;
        }
        e[l] = (double)exponent;
    }
    for (int l = 0; l < lanes; l += vd_width)
        vd_store(m + l, K(vlog)(vd_load(m + l)));
    for (int l = 0; l < lanes; l++)
        loss[l] -= vd_fma1(e[l], 0.69314718055994530942, m[l]);
}
