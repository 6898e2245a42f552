/* Solvers: element-wise update rules on the flat parameter vector; the list of them at the foot.
 *
 * prepare(hyper, t, p): the scalar factors of step t (counted from 1), in double, from the hyperparameters in the order
 * of the Python registry. step(w, g, m, v, p): one vector of parameters, gradients and moments. Moments below the
 * smallest normal number are set to zero: denormal operands would double the cost of an update. */

#ifdef FM_REAL_BITS

static inline V(t) K(flush)(V(t) x) { return V(select)(V(lt)(V(abs)(x), V(set1)(FM_SMALLEST_NORMAL)), V(zero)(), x); }

/* velocity = momentum * velocity - rate * g; w += velocity, or with Nesterov's momentum
 * w += momentum * velocity - rate * g (Sutskever et al. 2013, eq. 3 and 4, as scikit-learn writes it). */
static inline void K(sgd_step)(V(t) * w, V(t) g, V(t) * m, V(t) * v, const double *p)
{
    (void)v;
    const V(t) momentum = V(set1)((REAL)p[1]), gain = V(mul)(V(set1)((REAL)p[0]), g);
    *m = K(flush)(V(fma)(momentum, *m, V(neg)(gain)));
    *w = V(add)(*w, p[2] != 0 ? V(fma)(momentum, *m, V(neg)(gain)) : *m);
}

/* m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= step m / (sqrt(v) + epsilon) (Kingma and Ba 2014, the efficient
 * order at the end of section 2). */
static inline void K(adam_step)(V(t) * w, V(t) g, V(t) * m, V(t) * v, const double *p)
{
    *m = K(flush)(V(fma)(V(set1)((REAL)p[1]), *m, V(mul)(V(set1)((REAL)(1 - p[1])), g)));
    *v = K(flush)(V(fma)(V(set1)((REAL)p[2]), *v, V(mul)(V(set1)((REAL)(1 - p[2])), V(mul)(g, g))));
    const V(t) scale = V(add)(V(sqrt)(*v), V(set1)((REAL)p[3]));
    *w = V(sub)(*w, V(div)(V(mul)(V(set1)((REAL)p[0]), *m), scale));
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

/* x^n by repeated squaring: the C library's pow differs between processors. */
static inline double fm_power(double x, uint64_t n)
{
    double y = 1;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1)
            y *= x;
    return y;
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
    p[0] = hyper[0] * sqrt(1 - fm_power(hyper[2], t)) / (1 - fm_power(hyper[1], t));
    p[1] = hyper[1];
    p[2] = hyper[2];
    p[3] = hyper[3];
}
#endif
