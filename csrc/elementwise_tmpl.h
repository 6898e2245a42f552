/* Element-wise kernels on flat arrays: activations, updates, sums, and the elementary functions for tests.
 * Part of kernels_tmpl.h. */

/* out[i] = f(x[i]), or with multiply out[i] goes back through the derivative f at x[i]; with literals the calls are
 * inlined. */
FM_INLINE void K(map)(int64_t n, const REAL *x, REAL *out, const double *params, int n_params, K(unary) * f,
                      const int multiply)
{
    V(t) p[FM_MAX_ACTIVATION_PARAMS];
    for (int i = 0; i < n_params; i++)
        p[i] = V(set1)((REAL)params[i]);
    int64_t i = 0;
    for (; i + V(width) <= n; i += V(width)) {
        const V(t) v = V(load)(x + i);
        V(store)(out + i, multiply ? K(backward)(V(load)(out + i), v, p, f) : f(v, p));
    }
    if (i < n) {
        const V(mask) rest = V(first)(n - i);
        const V(t) v = V(load_first)(x + i, rest);
        V(store_first)(out + i, rest, multiply ? K(backward)(V(load_first)(out + i, rest), v, p, f) : f(v, p));
    }
}

typedef void K(several)(const int vectors, const V(t) * x, V(t) * y);

/* out[i] = f(x[i]), by `several` as long as there are so many vectors. */
FM_INLINE void K(map_abreast)(int64_t n, const REAL *x, REAL *out, K(several) * several, K(unary) * f)
{
    enum { GROUP = FM_ABREAST * V(width) };
    int64_t i = 0;
    for (; i + GROUP <= n; i += GROUP) {
        V(t) z[FM_ABREAST], a[FM_ABREAST];
        FM_UNROLL(4)
        for (int j = 0; j < FM_ABREAST; j++)
            z[j] = V(load)(x + i + j * V(width));
        several(FM_ABREAST, z, a);
        FM_UNROLL(4)
        for (int j = 0; j < FM_ABREAST; j++)
            V(store)(out + i + j * V(width), a[j]);
    }
    K(map)(n - i, x + i, out + i, NULL, 0, f, 0);
}

/* Uniform random numbers of the elements of a block, from its first element on: FM_DRAWN of them at a time. */
typedef struct K(source) {
    const fm_draw *draw; /* NULL: all numbers are 1/2 */
    fm_counters counters;
    REAL u[FM_DRAWN];
} K(source);

static void K(begin_drawing)(K(source) * s, const fm_draw *draw)
{
    s->draw = draw;
    if (draw)
        s->counters = fm_begin_counters(draw);
    else
        for (int i = 0; i < FM_DRAWN; i++)
            s->u[i] = (REAL)0.5;
}

/* Where the last counter of a row has numbers for units that there are not, leave these out; returns how many stay. */
static int K(close_gaps)(K(source) * s, int64_t first_unit)
{
    int count = 0;
    int64_t unit = first_unit;
    for (int i = 0; i < FM_DRAWN; i += 4) {
        for (int w = 0; w < 4 && unit < s->draw->ld; w++, unit++)
            s->u[count++] = s->u[i + w];
        if (unit == s->draw->ld)
            unit = 0;
    }
    return count;
}

/* Fill u with the numbers of the next elements and return how many they are, at least 1. */
static int K(go_on_drawing)(K(source) * s)
{
    if (!s->draw)
        return FM_DRAWN;
    const int64_t first_unit = s->draw->ld % 4 ? 4 * (s->counters.next % s->counters.in_row) : 0;
#if FM_REAL_BITS == 64
    fm_next_uniforms(&s->counters, s->u);
#else
    double wide[FM_DRAWN];
    fm_next_uniforms(&s->counters, wide);
    for (int i = 0; i < FM_DRAWN; i++)
        s->u[i] = (float)wide[i];
#endif
    return s->draw->ld % 4 ? K(close_gaps)(s, first_unit) : FM_DRAWN;
}

typedef V(t) K(drawing)(V(t) x, const V(t) * p, V(t) u);

/* out[i] = f(x[i]), or with multiply out[i] *= f(x[i]), where f draws. */
FM_INLINE void K(map_drawing)(int64_t n, const REAL *x, REAL *out, const double *params, int n_params,
                              const fm_draw *draw, K(drawing) * f, int multiply)
{
    V(t) p[FM_MAX_ACTIVATION_PARAMS];
    for (int i = 0; i < n_params; i++)
        p[i] = V(set1)((REAL)params[i]);
    K(source) s;
    K(begin_drawing)(&s, draw);
    while (n > 0) {
        const int drawn = K(go_on_drawing)(&s);
        const int64_t m = n < drawn ? n : drawn;
        int64_t i = 0;
        for (; i + V(width) <= m; i += V(width)) {
            const V(t) y = f(V(load)(x + i), p, V(load)(s.u + i));
            V(store)(out + i, multiply ? V(mul)(V(load)(out + i), y) : y);
        }
        if (i < m) {
            const V(mask) rest = V(first)(m - i);
            const V(t) y = f(V(load_first)(x + i, rest), p, V(load_first)(s.u + i, rest));
            V(store_first)(out + i, rest, multiply ? V(mul)(V(load_first)(out + i, rest), y) : y);
        }
        n -= m;
        x += m;
        out += m;
    }
}

#define FM_VALUE_PLAIN(name, n_params)                                                                              \
    static void K(name##_value_array)(int64_t n, const void *z, void *a, const double *params, const fm_draw *draw) \
    {                                                                                                               \
        (void)draw;                                                                                                 \
        K(map)(n, z, a, params, n_params, K(name##_value), 0);                                                      \
    }
#define FM_VALUE_ABREAST(name, n_params)                                                                            \
    static void K(name##_value_array)(int64_t n, const void *z, void *a, const double *params, const fm_draw *draw) \
    {                                                                                                               \
        (void)params, (void)draw;                                                                                   \
        K(map_abreast)(n, z, a, K(name##_values), K(name##_value));                                                 \
    }
#define FM_DERIVATIVE_PLAIN(name, n_params)                                                             \
    static void K(name##_derivative_array)(int64_t n, const void *v, void *delta, const double *params, \
                                           const fm_draw *draw)                                         \
    {                                                                                                   \
        (void)draw;                                                                                     \
        K(map)(n, v, delta, params, n_params, K(name##_derivative), 1);                                 \
    }
#define FM_DERIVATIVE_ABREAST(name, n_params) FM_DERIVATIVE_PLAIN(name, n_params)
#define FM_DRAWING_KERNEL(name, part, n_params, multiply)                                           \
    static void K(name##_##part##_array)(int64_t n, const void *v, void *out, const double *params, \
                                         const fm_draw *draw)                                       \
    {                                                                                               \
        K(map_drawing)(n, v, out, params, n_params, draw, K(name##_##part), multiply);              \
    }
#define FM_VALUE_DRAWS(name, n_params) FM_DRAWING_KERNEL(name, value, n_params, 0)
#define FM_DERIVATIVE_DRAWS(name, n_params) FM_DRAWING_KERNEL(name, derivative, n_params, 1)
#define FM_KERNELS_OUTPUT(name, draws, n_params) FM_VALUE_##draws(name, n_params) FM_DERIVATIVE_##draws(name, n_params)
#define FM_KERNELS_PREACTIVATION(name, draws, n_params) FM_KERNELS_OUTPUT(name, draws, n_params)
#define FM_KERNELS_NOTHING(name, draws, n_params) FM_VALUE_##draws(name, n_params)
#define FM_ENTRY(name, needs, draws, n_params) FM_KERNELS_##needs(name, draws, n_params)
FM_ACTIVATIONS(FM_ENTRY)
#undef FM_ENTRY

#define FM_TABLE_OUTPUT(name) {K(name##_value_array), K(name##_derivative_array)},
#define FM_TABLE_PREACTIVATION(name) FM_TABLE_OUTPUT(name)
#define FM_TABLE_NOTHING(name) {K(name##_value_array), NULL},
#define FM_ENTRY(name, needs, draws, n_params) FM_TABLE_##needs(name)
static const fm_activation_kernel K(activations)[] = {FM_ACTIVATIONS(FM_ENTRY)};
#undef FM_ENTRY

/* The two parts of a solver's rule (solvers.h). */
typedef V(t) K(moments_rule)(int turn, V(t) w, V(t) g, V(t) l2, V(t) * m, V(t) * v, const V(t) * f);
typedef V(t) K(weights_rule)(V(t) w, V(t) m, V(t) d, const V(t) * f);

/* s[l] += x[l]^2 for 16 virtual lanes. */
FM_INLINE void K(add_squares)(const vd_t *x, vd_t *s)
{
    FM_UNROLL(16)
    for (int k = 0; k < FM_LANES / vd_width; k++)
        s[k] = vd_fma(x[k], x[k], s[k]);
}

/* The 16 numbers at p in double. */
FM_INLINE void K(load_lanes)(const REAL *p, vd_t *x)
{
    FM_UNROLL(16)
    for (int k = 0; k < K(lane_vectors); k++)
        V(load_wide)(p + k * V(width), x + k * (V(width) / vd_width));
}

/* The first n of them, n at most 16, and zeros, which change no sum of squares. */
FM_INLINE void K(load_first_lanes)(int64_t n, const REAL *p, vd_t *x)
{
    FM_UNROLL(16)
    for (int k = 0; k < K(lane_vectors); k++) {
        const int64_t left = n - k * V(width);
        V(widen)(left > 0 ? V(load_first)(p + k * V(width), V(first)(left)) : V(zero)(), x + k * (V(width) / vd_width));
    }
}

/* One vector of an update up to what its weights depend on, *first being the first of its moments; masked: its lanes `in`
 * alone. With literal numbers and rules the calls are inlined and the factors stay in registers. */
FM_INLINE V(t) K(update_moments)(const int masked, V(mask) in, int turn, const REAL *w, const REAL *g, REAL *m, REAL *v,
                                 V(t) l2, int moments, const V(t) * f, K(moments_rule) * rule, V(t) * first)
{
    const V(t) weight = masked ? V(load_first)(w, in) : V(load)(w);
    const V(t) gradient = masked ? V(load_first)(g, in) : V(load)(g);
    V(t) m_i = V(zero)(), v_i = V(zero)();
    if (moments > 0)
        m_i = masked ? V(load_first)(m, in) : V(load)(m);
    if (moments > 1)
        v_i = masked ? V(load_first)(v, in) : V(load)(v);
    const V(t) d = rule(turn, weight, gradient, l2, &m_i, &v_i, f);
    if (masked) {
        if (moments > 0)
            V(store_first)(m, in, m_i);
        if (moments > 1)
            V(store_first)(v, in, v_i);
    } else {
        if (moments > 0)
            V(store)(m, m_i);
        if (moments > 1)
            V(store)(v, v_i);
    }
    *first = m_i;
    return d;
}

/* The weights of so many vectors of an update. */
FM_INLINE void K(update_weights)(const int vectors, REAL *w, const REAL *m, const V(t) * d, const V(t) * f,
                                 K(weights_rule) * rule)
{
    FM_UNROLL(16)
    for (int k = 0; k < vectors; k++) {
        const int64_t j = k * V(width);
        V(store)(w + j, rule(V(load)(w + j), m ? V(load)(m + j) : V(zero)(), d[k], f));
    }
}

/* Vectors of an update whose moments are formed before the weights of as many before them. */
enum { K(update_vectors) = K(lane_vectors) > 4 ? K(lane_vectors) : 4 };

/* The sum of squares is one chain for each of 16 lanes, which waits while weights are updated. */
FM_INLINE void K(update)(int64_t n, int64_t n_coefs, REAL *w, const REAL *g, REAL *m, REAL *v, double alpha,
                         int moments, const V(t) * f, K(moments_rule) * step, K(weights_rule) * weights,
                         double *squares)
{
    enum { VECTORS = K(update_vectors), GROUP = VECTORS * V(width) };
    const V(t) l2 = V(set1)((REAL)alpha), zero = V(zero)();
    const V(mask) all = V(first)(V(width));
    vd_t x[FM_LANES / vd_width], s[FM_LANES / vd_width];
    for (int k = 0; k < FM_LANES / vd_width; k++)
        s[k] = vd_zero();
    V(t) d[VECTORS], before[VECTORS], m_j;
    int64_t i = 0;
    for (; i + GROUP <= n_coefs; i += GROUP) {
        if (squares) {
            FM_UNROLL(4)
            for (int j = 0; j < GROUP; j += FM_LANES) {
                K(load_lanes)(w + i + j, x);
                K(add_squares)(x, s);
            }
        }
        FM_UNROLL(16)
        for (int k = 0; k < VECTORS; k++) {
            const int64_t j = i + k * V(width);
            before[k] = d[k];
            d[k] = K(update_moments)(0, all, k, w + j, g + j, moments > 0 ? m + j : NULL, moments > 1 ? v + j : NULL,
                                     l2, moments, f, step, &m_j);
        }
        if (i > 0)
            K(update_weights)(VECTORS, w + i - GROUP, moments > 0 ? m + i - GROUP : NULL, before, f, weights);
    }
    if (i > 0)
        K(update_weights)(VECTORS, w + i - GROUP, moments > 0 ? m + i - GROUP : NULL, d, f, weights);
    for (; i < n; i += FM_LANES) {
        if (squares) {
            K(load_first_lanes)(n_coefs - i, w + i, x);
            K(add_squares)(x, s);
        }
        FM_UNROLL(16)
        for (int k = 0; k < K(lane_vectors); k++) {
            const int64_t j = i + k * V(width);
            if (j >= n)
                break;
            const V(mask) in = V(first)(n - j), coefs = V(first)(n_coefs > j ? n_coefs - j : 0);
            const V(t) d_j =
                K(update_moments)(1, in, 1, w + j, g + j, moments > 0 ? m + j : NULL, moments > 1 ? v + j : NULL,
                                  V(select)(coefs, l2, zero), moments, f, step, &m_j);
            /* m_j from its register: what was stored under a mask would be waited for. */
            V(store_first)(w + j, in, weights(V(load_first)(w + j, in), m_j, d_j, f));
        }
    }
    if (squares)
        *squares = vd_reduce16(s);
}

#define FM_ENTRY(name, moments)                                                                                      \
    static void K(name##_update)(int64_t n, int64_t n_coefs, void *w, const void *g, void *m, void *v, double alpha, \
                                 double scale, const double *p, double *squares)                                     \
    {                                                                                                                \
        V(t) f[FM_MAX_HYPER];                                                                                        \
        K(name##_factors)(p, scale, f);                                                                              \
        if (squares)                                                                                                 \
            K(update)(n, n_coefs, w, g, m, v, alpha, moments, f, K(name##_moments), K(name##_weights), squares);     \
        else                                                                                                         \
            K(update)(n, n_coefs, w, g, m, v, alpha, moments, f, K(name##_moments), K(name##_weights), NULL);        \
    }
FM_SOLVERS(FM_ENTRY)
#undef FM_ENTRY
#define FM_ENTRY(name, moments) K(name##_update),
static const fm_update K(updates)[] = {FM_SOLVERS(FM_ENTRY)};
#undef FM_ENTRY

static void K(scale_gradient)(int64_t n, double alpha, double scale, const void *w_, void *g_)
{
    const REAL *w = w_;
    REAL *g = g_;
    const V(t) l2 = V(set1)((REAL)alpha), inverse = V(set1)((REAL)scale);
    for (int64_t i = 0; i < n; i += V(width)) {
        const V(mask) mask = V(first)(n - i);
        V(t) sum = V(load_first)(g + i, mask);
        if (w)
            sum = V(fma)(l2, V(load_first)(w + i, mask), sum);
        V(store_first)(g + i, mask, V(mul)(sum, inverse));
    }
}

static void K(add)(int64_t n, const void *x_, void *y_)
{
    const REAL *x = x_;
    REAL *y = y_;
    for (int64_t i = 0; i < n; i += V(width)) {
        const V(mask) mask = V(first)(n - i);
        V(store_first)(y + i, mask, V(add)(V(load_first)(y + i, mask), V(load_first)(x + i, mask)));
    }
}

static double K(sum_squares)(int64_t n, const void *w_)
{
    const REAL *w = w_;
    vd_t x[FM_LANES / vd_width], s[FM_LANES / vd_width];
    for (int k = 0; k < FM_LANES / vd_width; k++)
        s[k] = vd_zero();
    int64_t i = 0;
    for (; i + FM_LANES <= n; i += FM_LANES) {
        K(load_lanes)(w + i, x);
        K(add_squares)(x, s);
    }
    if (i < n) {
        K(load_first_lanes)(n - i, w + i, x);
        K(add_squares)(x, s);
    }
    return vd_reduce16(s);
}

/* x - x is 0 for finite numbers and NaN for all others. In several chains, which need not wait for each other. */
static int K(finite)(int64_t n, const void *x_)
{
    enum { CHAINS = 4 };
    const REAL *x = x_;
    V(t) bad = V(zero)(), chains[CHAINS];
    int64_t i = 0;
    if (n >= CHAINS * V(width)) {
        FM_UNROLL(4)
        for (int j = 0; j < CHAINS; j++)
            chains[j] = bad;
        for (; i + CHAINS * V(width) <= n; i += CHAINS * V(width)) {
            FM_UNROLL(4)
            for (int j = 0; j < CHAINS; j++) {
                const V(t) v = V(load)(x + i + j * V(width));
                chains[j] = V(add)(chains[j], V(sub)(v, v));
            }
        }
        FM_UNROLL(4)
        for (int j = 0; j < CHAINS; j++)
            bad = V(add)(bad, chains[j]);
    }
    for (; i < n; i += V(width)) {
        const V(t) v = V(load_first)(x + i, V(first)(n - i));
        bad = V(add)(bad, V(sub)(v, v));
    }
    REAL lanes[V(width)];
    V(store)(lanes, bad);
    for (int l = 0; l < V(width); l++)
        if (lanes[l] != 0)
            return 0;
    return 1;
}

#define FM_VMATH_KERNEL(name)                              \
    FM_INLINE V(t) K(name##_unary)(V(t) x, const V(t) * p) \
    {                                                      \
        (void)p;                                           \
        return K(name)(x);                                 \
    }                                                      \
    static void K(name##_array)(int64_t n, const void *x, void *out) { K(map)(n, x, out, NULL, 0, K(name##_unary), 0); }
FM_INLINE V(t) K(vsqrt)(V(t) x) { return V(sqrt)(-1, x); }
FM_VMATH_KERNEL(vsqrt)
FM_VMATH_KERNEL(vexp)
FM_VMATH_KERNEL(vexpm1)
FM_VMATH_KERNEL(vlog1p)
FM_VMATH_KERNEL(vlog)
FM_VMATH_KERNEL(vlogistic)
static void K(vtanh_array)(int64_t n, const void *x, void *out)
{
    K(map_abreast)(n, x, out, K(vtanh_abreast), K(tanh_value));
}
