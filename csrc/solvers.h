/* Solvers: element-wise update rules on the flat parameter vector; the list of them at the foot.
 *
 * prepare(hyper, t, p): the scalar factors of step t (counted from 1), in double, from the hyperparameters in the order
 * of the Python registry. factors(p, scale, f): vectors of what the step needs of them. step(w, g, m, v, f): one vector
 * of parameters, gradients and moments; g times scale is the gradient of the mean.
 *
 * Moments below the smallest normal number are set to zero, and so are gradients whose squares would be: denormal
 * numbers, which the weights of an input that is always 0 come to, more than double the cost of an update. */

#ifdef FM_REAL_BITS

static inline V(t) K(flush)(V(t) x) { return V(select)(V(lt)(V(abs)(x), V(set1)(FM_SMALLEST_NORMAL)), V(zero)(), x); }

/* velocity = momentum * velocity - rate * g; w += velocity, or with Nesterov's momentum
 * w += momentum * velocity - rate * g (Sutskever et al. 2013, eq. 3 and 4, as scikit-learn writes it). */
static inline void K(sgd_factors)(const double *p, double scale, V(t) * f)
{
    f[0] = V(set1)((REAL)(-p[0] * scale));
    f[1] = V(set1)((REAL)p[1]);
    f[2] = V(set1)((REAL)p[2]);
}
static inline void K(sgd_step)(V(t) * w, V(t) g, V(t) * m, V(t) * v, const V(t) * f)
{
    (void)v;
    const V(t) gain = V(mul)(f[0], g);
    *m = K(flush)(V(fma)(f[1], *m, gain));
    *w = V(add)(*w, V(select)(V(eq)(f[2], V(zero)()), *m, V(fma)(f[1], *m, gain)));
}

/* -1 / b for b > 0. In float64 by multiplications, because a processor's divider takes longer: -y with y from the bits of
 * b, which is off by a twentieth, then steps that raise the error e = 1 - b y to its third or second power: y + y (e + e^2),
 * or y + y e. It ends within 2 ulp for b from the smallest normal number to 2^1022; where b is infinite the result is -0,
 * where it is NaN, NaN. */
static inline V(t) K(negative_reciprocal)(V(t) b)
{
#if FM_REAL_BITS == 32
    return V(div)(V(set1)(-1), b);
#else
    const int64_t magic = 0x7fde623822fc16e6;
    const V(t) one = V(set1)(1);
    b = V(min)(V(real)(V(iset1)(magic)), b);
    V(t) y = V(real)(V(isub)(V(iset1)(magic | INT64_MIN), V(bits)(b)));
    for (int step = 0; step < 2; step++) {
        const V(t) e = V(fma)(b, y, one);
        y = V(fma)(y, V(fma)(e, e, e), y);
    }
    return V(fma)(y, V(fma)(b, y, one), y);
#endif
}

/* m = b1 m + (1 - b1) g; v = b2 v + (sqrt(1 - b2) g)^2; w -= step m / (sqrt(v) + epsilon) (Kingma and Ba 2014, the
 * efficient order at the end of section 2). Gradients below 32 sqrt(smallest normal number) count as 0, and an epsilon
 * below the smallest normal number, whose reciprocal may overflow, as that number. */
static inline void K(adam_factors)(const double *p, double scale, V(t) * f)
{
    for (int i = 0; i < 3; i++)
        f[i] = V(set1)((REAL)p[i]);
    f[3] = V(set1)(0 < p[3] && p[3] < FM_SMALLEST_NORMAL ? FM_SMALLEST_NORMAL : (REAL)p[3]);
    f[4] = V(set1)((REAL)(1 - p[1]));
    f[5] = V(set1)((REAL)sqrt(1 - p[2]));
    f[6] = V(set1)((REAL)scale);
}
static inline void K(adam_step)(V(t) * w, V(t) g, V(t) * m, V(t) * v, const V(t) * f)
{
    const V(t) zero = V(zero)(), least = V(set1)(32 * FM_SQRT_SMALLEST_NORMAL);
    g = V(mul)(g, f[6]);
    g = V(select)(V(lt)(V(abs)(g), least), zero, g);
    const V(t) h = V(mul)(f[5], g);
    *m = K(flush)(V(fma)(f[1], *m, V(mul)(f[4], g)));
    *v = V(fma)(h, h, V(mul)(f[2], *v));
    *v = V(select)(V(lt)(*v, V(set1)(FM_SMALLEST_NORMAL)), zero, *v);
    *w = V(fma)(V(mul)(f[0], *m), K(negative_reciprocal)(V(add)(V(sqrt)(*v), f[3])), *w);
}

#endif

/* The list: name, number of moments. */
#ifndef FM_SOLVERS
#include <math.h>
#include <stdint.h>
#define FM_SOLVERS(X) \
    X(sgd, 1)         \
    X(adam, 2)
#define FM_MAX_HYPER 8

#define FM_ENTRY(name, moments) FM_SOLVER_##name,
enum { FM_SOLVERS(FM_ENTRY) FM_N_SOLVERS };
#undef FM_ENTRY

/* x^n and y^n, side by side, by repeated squaring: the C library's pow differs between processors. */
static inline void fm_powers(double x, double y, uint64_t n, double *x_n, double *y_n)
{
    *x_n = *y_n = 1;
    for (; n > 0; n >>= 1, x *= x, y *= y)
        if (n & 1) {
            *x_n *= x;
            *y_n *= y;
        }
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
    double power_1, power_2;
    fm_powers(hyper[1], hyper[2], t, &power_1, &power_2);
    p[0] = hyper[0] * sqrt(1 - power_2) / (1 - power_1);
    p[1] = hyper[1];
    p[2] = hyper[2];
    p[3] = hyper[3];
}
#endif
