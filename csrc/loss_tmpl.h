/* Softmax and losses, over tiles of 16 rows with the rows in the lanes: outputs are followed in order, rows stay apart.
 * Part of kernels_tmpl.h. */

/* A tile is (n_outputs, 16): element [j * 16 + r] is output j of row r. Rows beyond the block's end are zero. */
static void K(load_tile)(int rows, int64_t n, const REAL *a, int64_t lda, REAL *tile)
{
    if (rows < FM_LANES)
        memset(tile, 0, (size_t)n * FM_LANES * sizeof *tile);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++)
            tile[j * FM_LANES + r] = a[r * lda + j];
}

static void K(store_tile)(int rows, int64_t n, const REAL *tile, REAL *a, int64_t lda)
{
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++)
            a[r * lda + j] = tile[j * FM_LANES + r];
}

/* The targets of rows first .. first + rows - 1, codes spread to one-hot rows. */
static void K(load_targets)(const fm_outputs *o, int64_t first, int rows, REAL *tile)
{
    const int64_t n = o->n_outputs;
    if (o->codes || rows < FM_LANES)
        memset(tile, 0, (size_t)n * FM_LANES * sizeof *tile);
    for (int r = 0; r < rows; r++) {
        const int64_t i = o->index ? o->index[first + r] : first + r;
        if (o->codes && n == 1)
            tile[r] = (REAL)o->codes[i];
        else if (o->codes)
            tile[(int64_t)o->codes[i] * FM_LANES + r] = 1;
        else
            for (int64_t j = 0; j < n; j++)
                tile[j * FM_LANES + r] = ((const REAL *)o->y)[i * n + j];
    }
}

/* exp(z - max z), divided by its sum: cannot overflow. */
static void K(softmax_tile)(int64_t n, REAL *tile)
{
    for (int lane = 0; lane < FM_LANES; lane += V(width)) {
        REAL *z = tile + lane;
        V(t) top = V(load)(z), sum = V(zero)();
        for (int64_t j = 1; j < n; j++)
            top = V(max)(top, V(load)(z + j * FM_LANES));
        for (int64_t j = 0; j < n; j++) {
            const V(t) e = K(vexp)(V(sub)(V(load)(z + j * FM_LANES), top));
            V(store)(z + j * FM_LANES, e);
            sum = V(add)(sum, e);
        }
        for (int64_t j = 0; j < n; j++)
            V(store)(z + j * FM_LANES, V(div)(V(load)(z + j * FM_LANES), sum));
    }
}

static void K(softmax)(int64_t m, int64_t n, const void *z_, int64_t ldz, void *a_, int64_t lda, void *scratch)
{
    const REAL *z = z_;
    REAL *a = a_, *tile = scratch;
    for (int64_t i = 0; i < m; i += FM_LANES) {
        const int rows = (int)(m - i < FM_LANES ? m - i : FM_LANES);
        K(load_tile)(rows, n, z + i * ldz, ldz, tile);
        K(softmax_tile)(n, tile);
        K(store_tile)(rows, n, tile, a + i * lda, lda);
    }
}

/* The forms of losses.h over a tile. */
typedef struct K(loss_form) {
    void (*term)(int64_t n, const REAL *a, const REAL *y, REAL *term); /* loss of each of the 16 rows */
    void (*derivative)(int64_t n, const REAL *a, const REAL *y, REAL *d);
    /* likelihood of 0/1 targets into one product (a distribution) or one per output; NULL: not a log loss */
    void (*likelihood)(int64_t n, const REAL *a, const REAL *y, int rows, int separate, fm_likelihood *p);
} K(loss_form);

typedef V(t) K(binary)(V(t) a, V(t) y);
typedef V(t) K(ternary)(V(t) sum, V(t) a, V(t) y);
typedef V(t) K(finisher)(V(t) sum);

FM_INLINE void K(tile_term)(int64_t n, const REAL *a, const REAL *y, REAL *out, K(ternary) * term, K(finisher) * finish)
{
    for (int lane = 0; lane < FM_LANES; lane += V(width)) {
        V(t) sum = V(zero)();
        for (int64_t j = lane; j < n * FM_LANES; j += FM_LANES)
            sum = term(sum, V(load)(a + j), V(load)(y + j));
        V(store)(out + lane, finish(sum));
    }
}

FM_INLINE void K(tile_derivative)(int64_t n, const REAL *a, const REAL *y, REAL *d, K(binary) * derivative)
{
    for (int64_t i = 0; i < n * FM_LANES; i += V(width))
        V(store)(d + i, derivative(V(load)(a + i), V(load)(y + i)));
}

FM_INLINE void K(tile_likelihood)(int64_t n, const REAL *a, const REAL *y, int rows, int separate, fm_likelihood *p,
                                  K(ternary) * likelihood)
{
    double q[FM_LANES];
    REAL lanes[FM_LANES];
    for (int l = 0; l < FM_LANES; l++)
        lanes[l] = 1;
    for (int64_t j = 0; j < n; j++) {
        for (int lane = 0; lane < FM_LANES; lane += V(width)) {
            const int64_t i = j * FM_LANES + lane;
            V(store)(lanes + lane, likelihood(V(load)(lanes + lane), V(load)(a + i), V(load)(y + i)));
        }
        if (!separate && j < n - 1)
            continue;
        for (int l = 0; l < FM_LANES; l++)
            q[l] = (double)lanes[l];
        fm_likelihood_multiply(separate ? p + j : p, rows, q);
    }
}

#define FM_PLAIN_KERNELS(form)                                                              \
    static void K(form##_tile_term)(int64_t n, const REAL *a, const REAL *y, REAL *term)    \
    {                                                                                       \
        K(tile_term)(n, a, y, term, K(form##_term), K(form##_finish));                      \
    }                                                                                       \
    static void K(form##_tile_derivative)(int64_t n, const REAL *a, const REAL *y, REAL *d) \
    {                                                                                       \
        K(tile_derivative)(n, a, y, d, K(form##_derivative));                               \
    }
#define FM_LOG_KERNELS(form)                                                                               \
    FM_PLAIN_KERNELS(form)                                                                                 \
    static void K(form##_tile_likelihood)(int64_t n, const REAL *a, const REAL *y, int rows, int separate, \
                                          fm_likelihood *p)                                                \
    {                                                                                                      \
        K(tile_likelihood)(n, a, y, rows, separate, p, K(form##_likelihood));                              \
    }
#define FM_ENTRY(form, kind) FM_##kind##_KERNELS(form)
FM_LOSS_FORMS(FM_ENTRY)
#undef FM_ENTRY

#define FM_PLAIN_FORM(form) {K(form##_tile_term), K(form##_tile_derivative), NULL}
#define FM_LOG_FORM(form) {K(form##_tile_term), K(form##_tile_derivative), K(form##_tile_likelihood)}
#define FM_ENTRY(form, kind) static const K(loss_form) K(form##_form) = FM_##kind##_FORM(form);
FM_LOSS_FORMS(FM_ENTRY)
#undef FM_ENTRY
#define FM_ENTRY(name, elementwise, softmax) {&K(elementwise##_form), &K(softmax##_form)},
static const K(loss_form) *const K(loss_forms)[][2] = {FM_LOSSES(FM_ENTRY)};
#undef FM_ENTRY
#undef FM_PLAIN_KERNELS
#undef FM_LOG_KERNELS
#undef FM_PLAIN_FORM
#undef FM_LOG_FORM

/* d = p * (d - sum d p): the Jacobian of the softmax times the derivative by its outputs, sum in output order. */
static void K(softmax_backward)(int64_t n, const REAL *p, REAL *d)
{
    for (int lane = 0; lane < FM_LANES; lane += V(width)) {
        V(t) sum = V(zero)();
        for (int64_t j = lane; j < n * FM_LANES; j += FM_LANES)
            sum = V(fma)(V(load)(d + j), V(load)(p + j), sum);
        for (int64_t j = lane; j < n * FM_LANES; j += FM_LANES)
            V(store)(d + j, V(mul)(V(load)(p + j), V(sub)(V(load)(d + j), sum)));
    }
}

/* The delta of a tile: into d, and from there into the block's rows. w: the 16 sample weights, or NULL. */
static void K(tile_delta)(const fm_outputs *o, const K(loss_form) * form, int64_t first, int rows, const REAL *a,
                          const REAL *y, REAL *d, const REAL *w)
{
    const int64_t n = o->n_outputs;
    if (o->canonical)
        K(tile_derivative)(n, a, y, d, V(sub));
    else
        form->derivative(n, a, y, d);
    if (o->softmax && !o->canonical)
        K(softmax_backward)(n, a, d);
    if (w)
        for (int64_t i = 0; i < n * FM_LANES; i += V(width))
            V(store)(d + i, V(mul)(V(load)(d + i), V(load)(w + i % FM_LANES)));
    K(store_tile)(rows, n, d, (REAL *)o->delta + first * o->ldd, o->ldd);
}

static int64_t K(loss_scratch)(int64_t n_outputs)
{
    return n_outputs * (int64_t)(3 * FM_LANES * sizeof(REAL) + sizeof(fm_likelihood));
}

static void K(loss)(fm_outputs *o)
{
    const K(loss_form) *form = K(loss_forms)[o->loss][o->softmax != 0];
    const int64_t n = o->n_outputs, n_products = o->softmax ? 1 : n;
    REAL *a = o->scratch, *y = a + n * FM_LANES, *d = y + n * FM_LANES;
    fm_likelihood *products = (fm_likelihood *)(d + n * FM_LANES);
    const int logs = o->hard && !o->weight && form->likelihood;
    double loss[FM_LANES] = {0}, weight[FM_LANES] = {0};
    for (int64_t j = 0; logs && j < n_products; j++)
        fm_likelihood_start(products + j);
    for (int64_t first = 0; first < o->rows; first += FM_LANES) {
        const int rows = (int)(o->rows - first < FM_LANES ? o->rows - first : FM_LANES);
        REAL w[FM_LANES] = {0}, term[FM_LANES];
        K(load_tile)(rows, n, (const REAL *)o->a + first * o->lda, o->lda, a);
        if (o->softmax)
            K(softmax_tile)(n, a);
        K(load_targets)(o, first, rows, y);
        for (int r = 0; o->weight && r < rows; r++)
            w[r] = ((const REAL *)o->weight)[o->index ? o->index[first + r] : first + r];
        if (logs) {
            form->likelihood(n, a, y, rows, !o->softmax, products);
        } else {
            form->term(n, a, y, term);
            for (int r = 0; r < rows; r++) {
                loss[r] += o->weight ? (double)w[r] * (double)term[r] : (double)term[r];
                weight[r] += (double)w[r];
            }
        }
        if (o->delta)
            K(tile_delta)(o, form, first, rows, a, y, d, o->weight ? w : NULL);
    }
    const int lanes = (int)(o->rows < FM_LANES ? o->rows : FM_LANES);
    for (int64_t j = 0; logs && j < n_products; j++)
        fm_likelihood_finish(products + j, lanes, loss);
    o->loss_sum = fm_sum_lanes(loss);
    o->weight_sum = o->weight ? fm_sum_lanes(weight) : (double)o->rows;
}
