/* Solvers: element-wise update rules on the flat parameter vector; the list of them at the foot.
 *
 * prepare(hyper, t, p): the scalar factors of step t (counted from 1), in double, from the hyperparameters in the order
 * of the Python registry. factors(p, scale, f): vectors of what the step needs of them. moments(turn, w, g, l2, m, v, f):
 * for one vector of parameters, gradients and moments, the new moments and d, what the step depends on beside m; g + l2 w,
 * times scale, is the gradient of the mean. weights(w, m, d, f): the new parameters. The two are apart because a processor
 * looks ahead for work no further than a vector or two: while the root of one vector is waited for, it finds others'
 * moments beside it. turn: the vector's place among those beside it, a constant, for the vocabulary's sqrt.
 *
 * Numbers too small to matter count as 0, because denormal ones, which the weights of an input that is always 0 would come
 * to, more than double the cost of an update: moments below the smallest normal number, in the step after they came to
 * that; in SGD the L2 term of weights below its square root; in Adam gradients below 32 times that root, because they are
 * squared. */

#ifdef FM_REAL_BITS

/* x, and 0 where y is denormal. */
static inline V(t) K(where_normal)(V(t) y, V(t) x) { return V(keep)(V(any)(y, V(iset1)(FM_EXPONENT_BITS)), x); }

/* velocity = momentum * velocity - rate * g; w += velocity, or with Nesterov's momentum
 * w += momentum * velocity - rate * g (Sutskever et al. 2013, eq. 3 and 4, as scikit-learn writes it). */
static inline void K(sgd_factors)(const double *p, double scale, V(t) * f)
{
    f[0] = V(set1)((REAL)(-p[0] * scale));
    f[1] = V(set1)((REAL)p[1]);
    f[2] = V(set1)((REAL)p[2]);
}
static inline V(t) K(sgd_moments)(int turn, V(t) w, V(t) g, V(t) l2, V(t) * m, V(t) * v, const V(t) * f)
{
    (void)turn, (void)v;
    const V(mask) decays = V(any)(w, V(iset1)(FM_UPPER_EXPONENT_BITS));
    const V(t) gain = V(mul)(f[0], V(select)(decays, V(fma)(l2, w, g), g));
    *m = V(add)(K(where_normal)(*m, V(mul)(f[1], *m)), gain);
    return V(select)(V(eq)(f[2], V(zero)()), *m, V(fma)(f[1], *m, gain));
}
static inline V(t) K(sgd_weights)(V(t) w, V(t) m, V(t) d, const V(t) * f)
{
    (void)m, (void)f;
    return V(add)(w, d);
}

/* -1 / b for b > 0, by multiplications, because a processor's divider takes longer, and in float32 is busy with the square
 * root: -y with y from the bits of b, which is off by a twentieth, then steps that raise the error e = 1 - b y to its third
 * or second power: y + y (e + e^2), or y + y e. It ends within 2 ulp for b from the smallest normal number up to half its
 * reciprocal; where b is infinite the result is -0, where it is NaN, NaN. */
static inline V(t) K(negative_reciprocal)(V(t) b)
{
#if FM_REAL_BITS == 32
    const int32_t magic = 0x7ef31000, sign = INT32_MIN;
#else
    const int64_t magic = 0x7fde623822fc16e6, sign = INT64_MIN;
#endif
    const V(t) one = V(set1)(1);
    b = V(min)(V(real)(V(iset1)(magic)), b);
    V(t) y = V(real)(V(isub)(V(iset1)(magic | sign), V(bits)(b)));
    FM_UNROLL(2)
    for (int step = 0; step < FM_REAL_BITS / 32; step++) {
        const V(t) e = V(fma)(b, y, one);
        y = V(fma)(y, V(fma)(e, e, e), y);
    }
    return V(fma)(y, V(fma)(b, y, one), y);
}

/* m = b1 m + (1 - b1) g; v = b2 v + (sqrt(1 - b2) g)^2; w -= step m / (sqrt(v) + epsilon) (Kingma and Ba 2014, the
 * efficient order at the end of section 2). Of g / 32 the two upper bits of the exponent tell whether g counts. An epsilon
 * below the smallest normal number, whose reciprocal may overflow, counts as that number; of one whose reciprocal may be
 * denormal, beside which sqrt(v) does not count, a part goes into the step. */
static inline void K(adam_factors)(const double *p, double scale, V(t) * f)
{
    const double least = FM_SMALLEST_NORMAL, most = 0.5 / least, epsilon = p[3];
    f[0] = V(set1)((REAL)(epsilon > most ? p[0] * (most / epsilon) : p[0]));
    f[1] = V(set1)((REAL)p[1]);
    f[2] = V(set1)((REAL)p[2]);
    f[3] = V(set1)((REAL)(epsilon > most ? most : epsilon > 0 && epsilon < least ? least : epsilon));
    f[4] = V(set1)((REAL)(32 * (1 - p[1])));
    f[5] = V(set1)((REAL)(32 * sqrt(1 - p[2])));
    f[6] = V(set1)((REAL)(scale / 32));
}
static inline V(t) K(adam_moments)(int turn, V(t) w, V(t) g, V(t) l2, V(t) * m, V(t) * v, const V(t) * f)
{
    g = V(mul)(f[6], V(fma)(l2, w, g));
    g = V(keep)(V(any)(g, V(iset1)(FM_UPPER_EXPONENT_BITS)), g);
    const V(t) h = V(mul)(f[5], g);
    *m = V(fma)(f[4], g, K(where_normal)(*m, V(mul)(f[1], *m)));
    *v = V(fma)(h, h, K(where_normal)(*v, V(mul)(f[2], *v)));
    return V(sqrt)(turn, *v);
}
static inline V(t) K(adam_weights)(V(t) w, V(t) m, V(t) d, const V(t) * f)
{
    return V(fma)(V(mul)(f[0], m), K(negative_reciprocal)(V(add)(d, f[3])), w);
}

#endif

/* The list: name, number of moments. */
#ifndef FM_SOLVERS
#include <math.h>
#include <stdint.h>
#define FM_SOLVERS(X) \
    X(sgd, 1)         \
    X(adam, 2)

#define FM_ENTRY(name, moments) FM_SOLVER_##name,
enum { FM_SOLVERS(FM_ENTRY) FM_N_SOLVERS };
#undef FM_ENTRY

/* 1 - x^n for 0 <= x < 1, by repeated squaring: the C library's pow differs between processors. Without branches on the
 * bits of n, which change from step to step. Once x^(2^k) is so small that 1 - x^n is 1, the rest would be denormal. */
static inline double fm_rest_of_power(double x, uint64_t n)
{
    double factors[2] = {1, x}, power = 1;
    for (; n > 0; n >>= 1) {
        if (factors[1] < 0x1p-100)
            return 1;
        power *= factors[n & 1];
        factors[1] *= factors[1];
    }
    return 1 - power;
}

/* hyper: learning_rate, momentum, nesterov */
static inline void fm_sgd_prepare(const double *hyper, uint64_t t, double *p)
{
    (void)t;
    p[0] = hyper[0];
    p[1] = hyper[1];
    p[2] = hyper[2];
}

/* hyper: learning_rate, beta_1, beta_2, epsilon. p[0]: the rate with both bias corrections. */
static inline void fm_adam_prepare(const double *hyper, uint64_t t, double *p)
{
    p[0] = hyper[0] * sqrt(fm_rest_of_power(hyper[2], t)) / fm_rest_of_power(hyper[1], t);
    p[1] = hyper[1];
    p[2] = hyper[2];
    p[3] = hyper[3];
}
#endif
