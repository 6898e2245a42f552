/* Softmax and losses, over tiles of 16 rows with the rows in the lanes: outputs are followed in order, rows stay apart.
 * Part of kernels_tmpl.h. */

/* A tile is (n_outputs, 16): element [j * 16 + r] is output j of row r. Rows beyond the block's end are zero. It has room
 * for whole squares of width x width outputs and rows, and is loaded and stored by these, or by strips of FM_NARROW
 * outputs. */
static int64_t K(tile_size)(int64_t n)
{
    enum { UNIT = V(width) > FM_NARROW ? V(width) : FM_NARROW };
    return (n + UNIT - 1) / UNIT * UNIT * FM_LANES;
}

/* Row r of the tile is row index[r] of a, or row r where index is NULL. */
static void K(load_tile)(int rows, int64_t n, const REAL *a, int64_t lda, const int32_t *index, REAL *tile)
{
    for (int64_t j = 0; j < n; j += V(width)) {
        if (rows == FM_LANES && n - j <= FM_NARROW) {
            REAL *place = tile + j * FM_LANES;
            for (int lane = 0; lane < FM_LANES; lane += V(width)) {
                V(t) strip[FM_NARROW];
                V(load4)(a + (index ? 0 : lane) * lda + j, lda, index ? index + lane : NULL, (int)(n - j), strip);
                FM_UNROLL(4)
                for (int c = 0; c < FM_NARROW; c++)
                    V(store)(place + c * FM_LANES + lane, strip[c]);
            }
            return;
        }
        const V(mask) columns = V(first)(n - j);
        for (int lane = 0; lane < FM_LANES; lane += V(width)) {
            V(t) square[V(width)];
            FM_UNROLL(16)
            for (int r = 0; r < V(width); r++) {
                const int i = lane + r;
                square[r] =
                    i < rows ? V(load_first)(a + (index ? index[i] : (int64_t)i) * lda + j, columns) : V(zero)();
            }
            V(transpose)(square);
            REAL *place = tile + j * FM_LANES + lane;
            FM_UNROLL(16)
            for (int c = 0; c < V(width); c++)
                V(store)(place + c * FM_LANES, square[c]);
        }
    }
}

/* The same for a single column, its rows one behind the other. */
static void K(load_column)(int rows, const REAL *a, const int32_t *index, REAL *tile)
{
    if (index)
        for (int r = 0; r < FM_LANES; r++)
            tile[r] = r < rows ? a[index[r]] : 0;
    else
        for (int lane = 0; lane < FM_LANES; lane += V(width))
            V(store)(tile + lane, V(load_first)(a + lane, V(first)(rows > lane ? rows - lane : 0)));
}

static void K(store_tile)(int rows, int64_t n, const REAL *tile, REAL *a, int64_t lda)
{
    for (int64_t j = 0; j < n; j += V(width)) {
        if (rows == FM_LANES && n - j <= FM_NARROW) {
            const REAL *place = tile + j * FM_LANES;
            for (int lane = 0; lane < FM_LANES; lane += V(width)) {
                V(t) strip[FM_NARROW];
                FM_UNROLL(4)
                for (int c = 0; c < FM_NARROW; c++)
                    strip[c] = V(load)(place + c * FM_LANES + lane);
                V(store4)(a + lane * lda + j, lda, (int)(n - j), strip);
            }
            return;
        }
        const V(mask) columns = V(first)(n - j);
        for (int lane = 0; lane < rows; lane += V(width)) {
            const REAL *place = tile + j * FM_LANES + lane;
            V(t) square[V(width)];
            FM_UNROLL(16)
            for (int c = 0; c < V(width); c++)
                square[c] = V(load)(place + c * FM_LANES);
            V(transpose)(square);
            FM_UNROLL(16)
            for (int r = 0; r < V(width); r++)
                if (lane + r < rows)
                    V(store_first)(a + (lane + r) * lda + j, columns, square[r]);
        }
    }
}

/* The targets of rows first .. first + rows - 1, codes spread to one-hot rows. */
static void K(load_targets)(const fm_outputs *o, int64_t first, int rows, REAL *tile)
{
    const int64_t n = o->n_outputs, offset = o->index ? 0 : first;
    const int32_t *index = o->index ? o->index + first : NULL;
    if (!o->codes) {
        const REAL *y = (const REAL *)o->y + offset * n;
        if (n == 1)
            K(load_column)(rows, y, index, tile);
        else
            K(load_tile)(rows, n, y, n, index, tile);
        return;
    }
    /* A code is exact in REAL: of more than 2^24 outputs the weights alone would fill a memory. */
    for (int lane = 0; lane < FM_LANES; lane += V(width)) {
        const V(t) code = V(codes)(o->codes + (index ? 0 : offset + lane), index ? index + lane : NULL, rows - lane);
        if (n == 1)
            V(store)(tile + lane, V(max)(V(zero)(), code));
        for (int64_t j = 0; n > 1 && j < n; j++) {
            const V(mask) here = V(eq)(code, V(set1)((REAL)j));
            V(store)(tile + j * FM_LANES + lane, V(select)(here, V(set1)(1), V(zero)()));
        }
    }
}

/* exp(z - max z), which cannot overflow, times the reciprocal of its sum: one division for all classes. */
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
        const V(t) share = V(div)(V(set1)(1), sum);
        for (int64_t j = 0; j < n; j++)
            V(store)(z + j * FM_LANES, V(mul)(V(load)(z + j * FM_LANES), share));
    }
}

static void K(softmax)(int64_t m, int64_t n, const void *z_, int64_t ldz, void *a_, int64_t lda, void *scratch)
{
    const REAL *z = z_;
    REAL *a = a_, *tile = scratch;
    for (int64_t i = 0; i < m; i += FM_LANES) {
        const int rows = (int)(m - i < FM_LANES ? m - i : FM_LANES);
        K(load_tile)(rows, n, z + i * ldz, ldz, NULL, tile);
        K(softmax_tile)(n, tile);
        K(store_tile)(rows, n, tile, a + i * lda, lda);
    }
}

typedef V(t) K(binary)(V(t) a, V(t) y);
typedef V(t) K(ternary)(V(t) sum, V(t) a, V(t) y);

/* The forms of losses.h over a tile. */
typedef struct K(loss_form) {
    void (*term)(int64_t n, const REAL *a, const REAL *y, REAL *term); /* loss of each of the 16 rows */
    void (*derivative)(int64_t n, const REAL *a, const REAL *y, REAL *d);
    /* likelihood of 0/1 targets into one product (a distribution) or one per output; NULL: not a log loss */
    void (*likelihood)(int64_t n, const REAL *a, const REAL *y, int rows, int separate, fm_likelihood *p);
    K(ternary) * observed; /* the same of one output, as in losses.h */
} K(loss_form);

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
    const V(t) one = V(set1)(1);
    for (int lane = 0; lane < rows; lane += V(width)) {
        const V(mask) used = V(first)(rows - lane);
        V(t) q = one;
        vd_t wide[V(width) / vd_width];
        for (int64_t j = 0; j < n; j++) {
            const int64_t i = j * FM_LANES + lane;
            q = likelihood(q, V(load)(a + i), V(load)(y + i));
            if (!separate)
                continue;
            V(widen)(V(select)(used, q, one), wide);
            for (int v = 0; v < V(width) / vd_width; v++)
                fm_likelihood_multiply(p + j, lane + v * vd_width, wide[v]);
        }
        if (separate)
            continue;
        V(widen)(V(select)(used, q, one), wide);
        for (int v = 0; v < V(width) / vd_width; v++)
            fm_likelihood_multiply(p, lane + v * vd_width, wide[v]);
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

#define FM_PLAIN_FORM(form) {K(form##_tile_term), K(form##_tile_derivative), NULL, NULL}
#define FM_LOG_FORM(form) \
    {K(form##_tile_term), K(form##_tile_derivative), K(form##_tile_likelihood), K(form##_likelihood)}
#define FM_ENTRY(form, kind) static const K(loss_form) K(form##_form) = FM_##kind##_FORM(form);
FM_LOSS_FORMS(FM_ENTRY)
#undef FM_ENTRY
#define FM_ENTRY(name, elementwise, softmax) {&K(elementwise##_form), &K(softmax##_form)},
static const K(loss_form) *const K(loss_forms)[][2] = {FM_LOSSES(FM_ENTRY)};
#undef FM_ENTRY

/* The terms of a loss of the caller's own, into `terms`, and their sums over the outputs, in order. */
static void K(own_tile_term)(const fm_loss_kernel *own, int64_t n, const REAL *a, const REAL *y, REAL *terms, REAL *out)
{
    own->term(n * FM_LANES, a, y, terms);
    for (int lane = 0; lane < FM_LANES; lane += V(width)) {
        V(t) sum = V(zero)();
        for (int64_t j = lane; j < n * FM_LANES; j += FM_LANES)
            sum = V(add)(sum, V(load)(terms + j));
        V(store)(out + lane, sum);
    }
}

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
    else if (o->own)
        o->own->derivative(n * FM_LANES, a, y, d);
    else
        form->derivative(n, a, y, d);
    if (o->softmax && !o->canonical)
        K(softmax_backward)(n, a, d);
    if (w)
        for (int64_t i = 0; i < n * FM_LANES; i += V(width))
            V(store)(d + i, V(mul)(V(load)(d + i), V(load)(w + i % FM_LANES)));
    REAL *delta = (REAL *)o->delta + first * o->ldd;
    if (o->ldd == 1)
        for (int lane = 0; lane < rows; lane += V(width))
            V(store_first)(delta + lane, V(first)(rows - lane), V(load)(d + lane));
    else
        K(store_tile)(rows, n, d, delta, o->ldd);
}

static int64_t K(loss_scratch)(int64_t n_outputs)
{
    return 3 * K(tile_size)(n_outputs) * (int64_t)sizeof(REAL) + n_outputs * (int64_t)sizeof(fm_likelihood);
}

/* loss += w * term, or term, and weight += w, in double, for the first `rows` lanes. */
static void K(add_terms)(int rows, const REAL *term, const REAL *w, double *loss, double *weight)
{
    for (int lane = 0; lane < rows; lane += V(width)) {
        const V(mask) used = V(first)(rows - lane);
        vd_t t[V(width) / vd_width], u[V(width) / vd_width];
        V(widen)(V(load_first)(term + lane, used), t);
        if (w)
            V(widen)(V(load_first)(w + lane, used), u);
        for (int v = 0; v < V(width) / vd_width; v++) {
            double *l = loss + lane + v * vd_width, *s = weight + lane + v * vd_width;
            vd_store(l, vd_add(vd_load(l), w ? vd_mul(u[v], t[v]) : t[v]));
            if (w)
                vd_store(s, vd_add(vd_load(s), u[v]));
        }
    }
}

/* FM_LANES rows of a softmax over few classes, with codes and deltas and without weights, from `first` on: what the loop of
 * `loss` does, with nothing between going through memory. Where these are several vectors, two at a time: a processor looks
 * ahead no further than the operations of one. */
FM_INLINE void K(narrow_rows)(const int n, const fm_outputs *o, int64_t first, fm_likelihood *product)
{
    enum { PAIR = K(lane_vectors) < 2 ? K(lane_vectors) : 2 };
    const V(t) one = V(set1)(1), zero = V(zero)();
    for (int lane = 0; lane < FM_LANES; lane += PAIR * V(width)) {
        V(t) z[PAIR][FM_NARROW], code[PAIR], top[PAIR], sum[PAIR], q[PAIR];
        FM_UNROLL(2)
        for (int g = 0; g < PAIR; g++) {
            const int64_t row = first + lane + g * V(width);
            V(load4)((const REAL *)o->a + row * o->lda, o->lda, NULL, n, z[g]);
            code[g] = V(codes)(o->index ? o->codes : o->codes + row, o->index ? o->index + row : NULL, V(width));
            top[g] = z[g][0];
            FM_UNROLL(4)
            for (int j = 1; j < n; j++)
                top[g] = V(max)(top[g], z[g][j]);
            sum[g] = zero;
            q[g] = one;
        }
        FM_UNROLL(4)
        for (int j = 0; j < n; j++) {
            FM_UNROLL(2)
            for (int g = 0; g < PAIR; g++) {
                z[g][j] = K(vexp)(V(sub)(z[g][j], top[g]));
                sum[g] = V(add)(sum[g], z[g][j]);
            }
        }
        FM_UNROLL(2)
        for (int g = 0; g < PAIR; g++)
            sum[g] = V(div)(one, sum[g]);
        FM_UNROLL(2)
        for (int g = 0; g < PAIR; g++) {
            const int64_t row = first + lane + g * V(width);
            FM_UNROLL(4)
            for (int j = 0; j < n; j++) {
                const V(t) p = V(mul)(z[g][j], sum[g]), y = V(select)(V(eq)(code[g], V(set1)((REAL)j)), one, zero);
                q[g] = K(categorical_log_likelihood)(q[g], p, y);
                z[g][j] = V(sub)(p, y);
            }
            V(store4)((REAL *)o->delta + row * o->ldd, o->ldd, n, z[g]);
            vd_t wide[V(width) / vd_width];
            V(widen)(q[g], wide);
            FM_UNROLL(4)
            for (int v = 0; v < V(width) / vd_width; v++)
                fm_likelihood_multiply(product, lane + g * V(width) + v * vd_width, wide[v]);
        }
    }
}

#define FM_NARROW_ROWS(n)                                                                      \
    static void K(narrow_rows_##n)(const fm_outputs *o, int64_t first, fm_likelihood *product) \
    {                                                                                          \
        K(narrow_rows)(n, o, first, product);                                                  \
    }
FM_NARROW_ROWS(2)
FM_NARROW_ROWS(3)
FM_NARROW_ROWS(4)

/* A single row with a single output, a probability, and no weight: nothing goes through memory. */
static void K(log_loss_of_one)(fm_outputs *o, K(ternary) * observed)
{
    const int64_t i = o->index ? o->index[0] : 0;
    const V(t) a = V(load1)(o->a), y = o->codes ? V(set1)((REAL)o->codes[i]) : V(load1)((const REAL *)o->y + i);
    vd_t q[V(width) / vd_width];
    if (o->delta)
        V(store1)(o->delta, V(sub)(a, y));
    V(widen)(observed(V(set1)(1), a, y), q);
    o->loss_sum = fm_minus_log(q[0]);
    o->weight_sum = 1;
}

static void K(loss)(fm_outputs *o)
{
    const K(loss_form) *form = o->own ? NULL : K(loss_forms)[o->loss][o->softmax != 0];
    const int64_t n = o->n_outputs, n_products = o->softmax ? 1 : n;
    REAL *a = o->scratch, *y = a + K(tile_size)(n), *d = y + K(tile_size)(n);
    fm_likelihood *products = (fm_likelihood *)(d + K(tile_size)(n));
    const int logs = o->hard && !o->weight && form && form->likelihood;
    if (logs && o->rows == 1 && n == 1 && !o->softmax && (o->canonical || !o->delta)) {
        K(log_loss_of_one)(o, form->observed);
        return;
    }
    static void (*const functions[])(const fm_outputs *, int64_t, fm_likelihood *) = {
        NULL, NULL, K(narrow_rows_2), K(narrow_rows_3), K(narrow_rows_4)};
    const int is_narrow = logs && form == &K(categorical_log_form) && o->softmax && o->canonical && o->codes &&
                          o->delta && n <= FM_NARROW;
    void (*const narrow)(const fm_outputs *, int64_t, fm_likelihood *) = is_narrow ? functions[n] : NULL;
    double loss[FM_LANES], weight[FM_LANES];
    fm_clear_lanes(loss);
    if (o->weight)
        fm_clear_lanes(weight);
    for (int64_t j = 0; logs && j < n_products; j++)
        fm_likelihood_start(products + j);
    for (int64_t first = 0; first < o->rows; first += FM_LANES) {
        const int rows = (int)(o->rows - first < FM_LANES ? o->rows - first : FM_LANES);
        if (narrow && rows == FM_LANES) {
            narrow(o, first, products);
            continue;
        }
        REAL w[FM_LANES], term[FM_LANES];
        if (o->lda == 1)
            K(load_column)(rows, (const REAL *)o->a + first, NULL, a);
        else
            K(load_tile)(rows, n, (const REAL *)o->a + first * o->lda, o->lda, NULL, a);
        if (o->softmax)
            K(softmax_tile)(n, a);
        K(load_targets)(o, first, rows, y);
        if (o->weight)
            K(load_column)(rows, (const REAL *)o->weight + (o->index ? 0 : first), o->index ? o->index + first : NULL,
                           w);
        if (logs) {
            form->likelihood(n, a, y, rows, !o->softmax, products);
        } else {
            if (o->own)
                K(own_tile_term)(o->own, n, a, y, d, term);
            else
                form->term(n, a, y, term);
            K(add_terms)(rows, term, o->weight ? w : NULL, loss, weight);
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
