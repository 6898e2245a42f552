/* Sums of losses over rows, in double for both real types. Row i of a block belongs to lane i mod 16; lanes are added by
 * halves. Part of kernels_tmpl.h, in its 64-bit round. */

/* One log loss per lane, as the product of likelihoods: mantissas in [1, 2), at most FM_BLOCK / FM_LANES = 16 of them,
 * so below 2^16, and a sum of exponents. One logarithm a lane replaces one a row. */
typedef struct fm_likelihood {
    double mantissa[FM_LANES];
    int64_t exponent[FM_LANES];
} fm_likelihood;

static inline void fm_clear_lanes(double *s)
{
    for (int l = 0; l < FM_LANES; l += vd_width)
        vd_store(s + l, vd_zero());
}

static inline double fm_sum_lanes(const double *s)
{
    vd_t lanes[FM_LANES / vd_width];
    for (int v = 0; v < FM_LANES / vd_width; v++)
        lanes[v] = vd_load(s + v * vd_width);
    return vd_reduce16(lanes);
}

static inline void fm_likelihood_start(fm_likelihood *p)
{
    const vd_t one = vd_set1(1), zero = vd_zero(); /* which has the bits of the integer 0 */
    for (int l = 0; l < FM_LANES; l += vd_width) {
        vd_store(p->mantissa + l, one);
        memcpy(p->exponent + l, &zero, sizeof zero);
    }
}

/* x = mantissa * 2^exponent with the mantissa in [1, 2), for normal x > 0; NaN and infinity keep a NaN mantissa. */
static inline vd_t fm_split(vd_t x, vd_int *exponent)
{
    const vd_int bits = vd_bits(x), fraction = vd_iand(bits, vd_iset1(0xfffffffffffff));
    *exponent = vd_isub(vd_ishr(bits, 52), vd_iset1(1023));
    return vd_add(vd_real(vd_ior(fraction, vd_iset1(0x3ff0000000000000))), vd_sub(x, x));
}

/* The product times q, from lane l on. */
static inline void fm_likelihood_multiply(fm_likelihood *p, int l, vd_t q)
{
    vd_int exponent, sum;
    vd_store(p->mantissa + l, vd_mul(vd_load(p->mantissa + l), fm_split(q, &exponent)));
    memcpy(&sum, p->exponent + l, sizeof sum);
    sum = vd_iadd(sum, exponent);
    memcpy(p->exponent + l, &sum, sizeof sum);
}

/* exponent * ln2 + log(m), for m in [1, 2) or NaN. m is brought into [sqrt(1/2), sqrt(2)] first, so that likelihoods near
 * 1 do not cancel. */
static inline vd_t fm_log_likelihood(vd_t m, vd_int exponent)
{
    /* The integer beside the exponent's bits is exact in the sum 3 * 2^51 + exponent. */
    const vd_t magic = vd_set1(0x1.8p52), one = vd_set1(1);
    const vd_mask high = vd_lt(vd_set1(1.4142135623730951), m);
    const vd_t near = vd_select(high, vd_mul(m, vd_set1(0.5)), m);
    const vd_t whole = vd_sub(vd_real(vd_iadd(vd_bits(magic), exponent)), magic);
    return vd_fma(vd_add(whole, vd_keep(high, one)), vd_set1(0.69314718055994530942), K(vlog_near_1)(near));
}

/* loss[l] -= log(lane l), for l < lanes. */
static inline void fm_likelihood_finish(const fm_likelihood *p, int lanes, double *loss)
{
    for (int l = 0; l < lanes; l += vd_width) {
        vd_int exponent, sum;
        memcpy(&sum, p->exponent + l, sizeof sum);
        const vd_t m = fm_split(vd_load(p->mantissa + l), &exponent);
        const vd_t term = fm_log_likelihood(m, vd_iadd(sum, exponent));
        vd_store_first(loss + l, vd_first(lanes - l), vd_sub(vd_load(loss + l), term));
    }
}

/* The same for one likelihood alone. */
static inline double fm_minus_log(vd_t q)
{
    vd_int exponent;
    const vd_t m = fm_split(q, &exponent);
    double loss;
    vd_store1(&loss, vd_sub(vd_zero(), fm_log_likelihood(m, exponent)));
    return loss;
}
