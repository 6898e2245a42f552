/* A single row through layers whose units fit one vector, forward and back: what takes several kernels otherwise, with a
 * store and a load between them, stays in a register here. Part of kernels_tmpl.h.
 *
 * The order of operations is that of product, dot, outer and column_sum, so that a step of one row has the same bits on
 * instruction sets whose vectors hold the units and on those whose vectors don't. */

/* Activations as functions of vectors; those that draw have none. */
typedef struct K(formula) {
    V(t) (*value)(V(t) z, const V(t) * p);
    V(t) (*derivative)(V(t) v, const V(t) * p);
} K(formula);

#define FM_FORMULA_DRAWS_OUTPUT(name) {NULL, NULL},
#define FM_FORMULA_DRAWS_PREACTIVATION(name) {NULL, NULL},
#define FM_FORMULA_PLAIN_OUTPUT(name) {K(name##_value), K(name##_derivative)},
#define FM_FORMULA_PLAIN_PREACTIVATION(name) FM_FORMULA_PLAIN_OUTPUT(name)
#define FM_FORMULA_ABREAST_OUTPUT(name) FM_FORMULA_PLAIN_OUTPUT(name)
#define FM_FORMULA_PLAIN_NOTHING(name) {K(name##_value), NULL},
#define FM_ENTRY(name, needs, draws, n_params) FM_FORMULA_##draws##_##needs(name)
static const K(formula) K(formulas)[] = {FM_ACTIVATIONS(FM_ENTRY)};
#undef FM_ENTRY

FM_INLINE void K(spread)(const double *params, V(t) * p)
{
    for (int i = 0; i < FM_MAX_ACTIVATION_PARAMS; i++)
        p[i] = V(set1)((REAL)params[i]);
}

/* sum + x (k) b, whose k rows follow each other and have the lanes `in`, the first n. */
FM_INLINE V(t) K(row_product)(int64_t k, int64_t n, const REAL *x, const REAL *b, V(mask) in, V(t) sum)
{
    for (int64_t j = 0; j < k; j++, b += n)
        sum = V(fma)(V(set1)(x[j]), V(load_first)(b, in), sum);
    return sum;
}

/* x (n) b^T, b (k, n), transposed in registers. */
static V(t) K(row_product_transposed)(int64_t k, int64_t n, const REAL *x, const REAL *b)
{
    const V(mask) in = V(first)(n);
    V(t) square[V(width)], sum = V(zero)();
    K(load_transposed)(k, b, n, in, square);
    FM_UNROLL(16)
    for (int r = 0; r < V(width); r++)
        if (r < n)
            sum = V(fma)(V(set1)(x[r]), square[r], sum);
    return sum;
}

/* The n units at p: whole vectors, because what is stored in part cannot be loaded before it has reached the cache. */
FM_INLINE void K(store_units)(int64_t n, REAL *p, V(t) v)
{
    if (n == 1)
        V(store1)(p, v);
    else
        V(store)(p, v);
}

static void K(row_forward)(int64_t n, int64_t k, const void *x, const void *w, const void *bias, int activation,
                           const double *params, void *z, void *a)
{
    const V(mask) in = V(first)(n);
    V(t) sum;
    if (n == 1) {
        REAL dot;
        K(dot)(1, k, x, k, w, bias, &dot);
        sum = V(set1)(dot);
    } else {
        sum = K(row_product)(k, n, x, w, in, V(load_first)(bias, in));
    }
    if (z)
        K(store_units)(n, z, sum);
    if (activation >= 0) {
        V(t) p[FM_MAX_ACTIVATION_PARAMS];
        K(spread)(params, p);
        sum = K(formulas)[activation].value(sum, p);
    }
    K(store_units)(n, a, sum);
}

static void K(row_gradient)(int64_t n, int64_t k, const void *x_, const void *delta_, void *dw_, void *db)
{
    const REAL *x = x_, *delta = delta_;
    REAL *dw = dw_;
    const V(mask) in = V(first)(n);
    const V(t) d = n == 1 ? V(load1)(delta) : V(load_first)(delta, in), zero = V(zero)();
    if (n == 1)
        for (int64_t j = 0; j < k; j += V(width)) {
            const V(mask) inputs = V(first)(k - j);
            V(store_first)(dw + j, inputs, V(fma)(V(set1)(delta[0]), V(load_first)(x + j, inputs), zero));
        }
    else
        for (int64_t j = 0; j < k; j++)
            V(store_first)(dw + j * n, in, V(fma)(V(set1)(x[j]), d, zero));
    V(store_first)(db, in, V(add)(zero, d));
}

static void K(row_delta)(int64_t n, int64_t k, const void *delta, const void *w, int activation, const double *params,
                         const void *v, void *out)
{
    const V(mask) in = V(first)(k);
    V(t) sum, p[FM_MAX_ACTIVATION_PARAMS];
    if (k == 1) {
        REAL dot;
        K(dot)(1, n, delta, n, w, NULL, &dot);
        sum = V(set1)(dot);
    } else if (n == 1) {
        sum = K(row_product)(1, k, delta, w, in, V(zero)());
    } else {
        sum = K(row_product_transposed)(k, n, delta, w);
    }
    K(spread)(params, p);
    K(store_units)(k, out, K(backward)(sum, V(load_first)(v, in), p, K(formulas)[activation].derivative));
}
