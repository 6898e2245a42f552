/* Losses: the term of one row, summed over its outputs in order, and the derivative; the list of them at the foot.
 *
 * A loss has a form for element-wise outputs and one for softmax outputs. A form is
 *   term(sum, a, y)      sum plus the term of one output a with target y
 *   finish(sum)          the row's loss from that sum
 *   derivative(a, y)     dloss/da; not called for canonical pairs, where delta = a - y
 * and, for log losses,
 *   likelihood(q, a, y)  what 0/1 targets observe: the probability of one output (binary), or, from the outputs so far,
 *                        that of the row (categorical); its negative logarithm is the loss
 * The functions exist where the vector vocabulary is defined; the list is for everyone. */

#ifdef FM_REAL_BITS

/* squared_error: 1/2 sum (a - y)^2 */
static inline V(t) K(squared_error_term)(V(t) sum, V(t) a, V(t) y)
{
    const V(t) d = V(sub)(a, y);
    return V(fma)(d, d, sum);
}
static inline V(t) K(squared_error_finish)(V(t) sum) { return V(mul)(V(set1)((REAL)0.5), sum); }
static inline V(t) K(squared_error_derivative)(V(t) a, V(t) y) { return V(sub)(a, y); }

/* A probability kept off 0 and 1 by the machine epsilon, as scikit-learn does in the loss; NaN stays NaN. */
static inline V(t) K(clip_probability)(V(t) a)
{
    const V(t) eps = V(set1)(FM_EPSILON);
    return V(min)(V(sub)(V(set1)(1), eps), V(max)(eps, a));
}

/* binary log loss: -(y log a + (1 - y) log(1 - a)), each output a probability of its own */
static inline V(t) K(binary_log_term)(V(t) sum, V(t) a, V(t) y)
{
    const V(t) one = V(set1)(1), p = K(clip_probability)(a);
    const V(t) no = V(mul)(V(sub)(one, y), K(vlog)(V(sub)(one, p)));
    return V(sub)(sum, V(fma)(y, K(vlog)(p), no));
}
static inline V(t) K(binary_log_finish)(V(t) sum) { return sum; }
static inline V(t) K(binary_log_derivative)(V(t) a, V(t) y)
{
    return V(div)(V(sub)(a, y), V(mul)(a, V(sub)(V(set1)(1), a)));
}
static inline V(t) K(binary_log_likelihood)(V(t) q, V(t) a, V(t) y)
{
    (void)q;
    const V(t) one = V(set1)(1), p = K(clip_probability)(a);
    return V(select)(V(eq)(y, one), p, V(sub)(one, p));
}

/* categorical log loss: -sum y log a, the outputs of a row one distribution */
static inline V(t) K(categorical_log_term)(V(t) sum, V(t) a, V(t) y)
{
    return V(fma)(V(neg)(y), K(vlog)(K(clip_probability)(a)), sum);
}
static inline V(t) K(categorical_log_finish)(V(t) sum) { return sum; }
static inline V(t) K(categorical_log_derivative)(V(t) a, V(t) y) { return V(neg)(V(div)(y, a)); }
static inline V(t) K(categorical_log_likelihood)(V(t) q, V(t) a, V(t) y)
{
    return V(select)(V(eq)(y, V(set1)(1)), K(clip_probability)(a), q);
}

/* poisson: half the deviance, sum y log(y / a) - y + a, with 0 log 0 = 0; NaN where both are 0 */
static inline V(t) K(poisson_term)(V(t) sum, V(t) a, V(t) y)
{
    const V(t) ratio = V(div)(y, a);
    const V(t) ylog = V(select)(V(eq)(y, V(zero)()), ratio, V(mul)(y, K(vlog)(ratio)));
    return V(add)(sum, V(add)(V(sub)(ylog, y), a));
}
static inline V(t) K(poisson_finish)(V(t) sum) { return sum; }
static inline V(t) K(poisson_derivative)(V(t) a, V(t) y) { return V(sub)(V(set1)(1), V(div)(y, a)); }

#endif

/* The forms (LOG: with a likelihood), and the list of losses: name, form for element-wise outputs, form for softmax. */
#ifndef FM_LOSSES
#define FM_LOSS_FORMS(X)    \
    X(squared_error, PLAIN) \
    X(binary_log, LOG)      \
    X(categorical_log, LOG) \
    X(poisson, PLAIN)
#define FM_LOSSES(X)                               \
    X(squared_error, squared_error, squared_error) \
    X(log_loss, binary_log, categorical_log)       \
    X(poisson, poisson, poisson)

#define FM_ENTRY(name, elementwise, softmax) FM_LOSS_##name,
enum { FM_LOSSES(FM_ENTRY) FM_N_LOSSES };
#undef FM_ENTRY
#endif
