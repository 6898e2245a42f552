/* The way back through a layer of few units, as output layers are, in one pass over its rows for every two to four
 * vectors of inputs: its gradient and the deltas of the layer below read the same numbers, and tiles with so few columns
 * or steps take longer for what surrounds their arithmetic than for that. Part of kernels_tmpl.h.
 *
 * The lanes run over the inputs, for which coefs and their gradient are transposed in registers. The order of operations is
 * that of outer, column_sum and product. */

/* Columns of the (rows, n) numbers at a, one row behind the other, as vectors; of at most as many rows as those have lanes,
 * the rest is zero. */
FM_INLINE void K(load_columns)(const int n, int64_t rows, const REAL *a, V(t) * columns)
{
    if (n == 1) {
        columns[0] = V(load_first)(a, V(first)(rows));
    } else if (rows >= V(width)) {
        V(load4)(a, n, NULL, n, columns);
    } else {
        V(t) square[V(width)];
        K(load_transposed)(rows, a, n, V(first)(n), square);
        FM_UNROLL(4)
        for (int k = 0; k < n && k < V(width); k++)
            columns[k] = square[k];
    }
}

FM_INLINE void K(store_columns)(const int n, int64_t rows, V(t) * columns, REAL *a)
{
    if (n == 1) {
        V(store_first)(a, V(first)(rows), columns[0]);
    } else if (rows >= V(width)) {
        V(store4)(a, n, n, columns);
    } else {
        V(t) square[V(width)];
        FM_UNROLL(16)
        for (int k = 0; k < V(width); k++)
            square[k] = k < n ? columns[k] : V(zero)();
        V(transpose)(square);
        FM_UNROLL(16)
        for (int r = 0; r < V(width); r++)
            if (r < rows)
                V(store_first)(a + r * n, V(first)(n), square[r]);
    }
}

/* narrow_back's arguments, at the first of the m inputs that are left. db: NULL but for the first inputs of all. */
typedef struct K(narrow) {
    const REAL *a, *d, *w, *v;
    REAL *out, *dw, *db, *out_sum;
    int64_t rows, m, lda, ldd, ldo;
    int ending, accumulate;
} K(narrow);

/* The first `vectors` vectors of inputs. */
FM_INLINE void K(narrow_panel)(const int n, const int vectors, const K(narrow) * p)
{
    const int64_t m = p->m, rows = p->rows, lda = p->lda, ldd = p->ldd;
    const REAL *a = p->a, *d = p->d;
    V(t) columns[FM_NARROW][FM_NARROW], sums[FM_NARROW][FM_NARROW], sum[FM_NARROW], out_sum[FM_NARROW];
    FM_UNROLL(4)
    for (int k = 0; k < n; k += V(width))
        sum[k] = V(zero)();
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++) {
        K(load_columns)(n, m - j * V(width), p->w + j * V(width) * n, columns[j]);
        FM_UNROLL(4)
        for (int k = 0; k < FM_NARROW; k++)
            sums[j][k] = V(zero)();
        out_sum[j] = V(zero)();
    }
    /* A row of out is a tile. */
    K(tile) t = K(make_tile)(NULL, 0, NULL, 0, NULL, p->out, p->ldo, 0, 0);
    t.v = p->v;
    t.ending = p->ending;
    t.last = V(first)(m - (vectors - 1) * V(width));
    for (int64_t i = 0; i < rows; i++) {
        V(t) delta[1][FM_ROW_VECTORS];
        FM_UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            const REAL *place = a + j * V(width);
            const V(t) input = j == vectors - 1 ? V(load_first)(place, t.last) : V(load)(place);
            delta[0][j] = V(zero)();
            FM_UNROLL(4)
            for (int k = 0; k < n; k++) {
                const V(t) x = V(set1)(d[k]);
                sums[j][k] = V(fma)(input, x, sums[j][k]);
                delta[0][j] = V(fma)(x, columns[j][k], delta[0][j]);
            }
        }
        FM_UNROLL(4)
        for (int k = 0; k < n; k += V(width))
            sum[k] = V(add)(sum[k], V(load_first)(d + k, V(first)(n - k)));
        if (t.ending != FM_END_PLAIN)
            K(end_tile)(1, vectors, &t, delta);
        FM_UNROLL(4)
        for (int j = 0; j < vectors; j++)
            out_sum[j] = V(add)(out_sum[j], delta[0][j]);
        K(store_row)(vectors, delta[0], t.c, t.last, 0);
        a += lda;
        d += ldd;
        t.c += t.ldc;
        t.v = t.v ? t.v + t.ldc : NULL;
    }
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++) {
        REAL *place = p->dw + j * V(width) * n;
        if (p->accumulate) {
            K(load_columns)(n, m - j * V(width), place, columns[j]);
            FM_UNROLL(4)
            for (int k = 0; k < n; k++)
                sums[j][k] = V(add)(columns[j][k], sums[j][k]);
        }
        K(store_columns)(n, m - j * V(width), sums[j], place);
    }
    if (p->out_sum)
        K(store_row)(vectors, out_sum, p->out_sum, t.last, p->accumulate);
    for (int k = 0; p->db && k < n; k += V(width)) {
        const V(mask) units = V(first)(n - k);
        REAL *place = p->db + k;
        V(store_first)(place, units, p->accumulate ? V(add)(V(load_first)(place, units), sum[k]) : sum[k]);
    }
}

#define FM_NARROW_PANEL(vectors, n) \
    static void K(narrow_##n##_##vectors)(const K(narrow) * p) { K(narrow_panel)(n, vectors, p); }
FM_UP_TO_4(FM_NARROW_PANEL, 1)
FM_UP_TO_4(FM_NARROW_PANEL, 2)
FM_NARROW_PANEL(1, 3)
FM_NARROW_PANEL(2, 3)
FM_NARROW_PANEL(1, 4)
FM_NARROW_PANEL(2, 4)

/* By the numbers of units and vectors. */
static void (*const K(narrow_functions)[FM_NARROW + 1][FM_NARROW + 1])(const K(narrow) *) = {
    {NULL},
    {NULL, K(narrow_1_1), K(narrow_1_2), K(narrow_1_3), K(narrow_1_4)},
    {NULL, K(narrow_2_1), K(narrow_2_2), K(narrow_2_3), K(narrow_2_4)},
    {NULL, K(narrow_3_1), K(narrow_3_2)},
    {NULL, K(narrow_4_1), K(narrow_4_2)}};

static void K(narrow_back)(int64_t rows, int64_t m, int64_t n, const void *a, int64_t lda, const void *d, int64_t ldd,
                           const void *w, int ending, const void *v, void *out, int64_t ldo, void *dw, void *db,
                           void *out_sum, int accumulate)
{
    /* 8 sums at most, and as many columns of w, which fit 32 registers with what a row needs. With the 16 of AVX2, 8 sums
     * take 4-16-3 5 to 7 % less time than 4. */
    const int64_t most = n > 2 ? 2 : FM_NARROW;
    for (int64_t from = 0, vectors; from < m; from += vectors * V(width), db = NULL) {
        const int64_t left = K(divide_up)(m - from, V(width));
        const K(narrow) p = {.a = (const REAL *)a + from,
                             .d = d,
                             .w = (const REAL *)w + from * n,
                             .v = v ? (const REAL *)v + from : NULL,
                             .out = (REAL *)out + from,
                             .dw = (REAL *)dw + from * n,
                             .db = db,
                             .out_sum = out_sum ? (REAL *)out_sum + from : NULL,
                             .rows = rows,
                             .m = m - from,
                             .lda = lda,
                             .ldd = ldd,
                             .ldo = ldo,
                             .ending = ending,
                             .accumulate = accumulate};
        vectors = left < most ? left : most;
        K(narrow_functions)[n][vectors](&p);
    }
}
