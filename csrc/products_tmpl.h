/* Matrix products: what tiles compute, single columns and sums of columns, which have loops of their own, and transposition.
 * Part of kernels_tmpl.h. */

/* In tiles of vectors of this width alone. */
FM_INLINE void K(tiled_product)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                                const void *bias, void *c, int64_t ldc, int64_t ahead, int ending, const void *v)
{
    K(tile) t = K(make_tile)(a, lda, b, ldb, bias, c, ldc, k, 0);
    t.ending = ending;
    t.v = v;
    K(tiles)(m, n, 0, ahead, &t);
}

static void K(product)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                       const void *bias, void *c, int64_t ldc, int64_t ahead, int ending, const void *v)
{
#ifdef FM_HALF
    /* Lanes that idle are no loss where half a vector takes as long as a whole one. Where it takes half as long, one vector
     * and a half are three halves. Of more columns those that fill half of the last vector or less are computed on their
     * own, if rows and steps are enough for that; after the others, which fetch the rows of a from distant memory. */
    enum { HALF = V(width) / 2, LEAST_ROWS = 8, LEAST_STEPS = 10 };
    const int64_t last = n % V(width), whole = n - last;
    const int spares = fm_halves_are_faster && last > 0 && last <= HALF;
    if (n <= HALF || (spares && whole == V(width))) {
        FM_HALF(FM_DTYPE)->product(m, n, k, a, lda, b, ldb, bias, c, ldc, ahead, ending, v);
        return;
    }
    if (spares && m >= LEAST_ROWS && k >= LEAST_STEPS) {
        K(tiled_product)(m, whole, k, a, lda, b, ldb, bias, c, ldc, ahead, ending, v);
        FM_HALF(FM_DTYPE)->product(m, last, k, a, lda, (const REAL *)b + whole, ldb,
                                   bias ? (const REAL *)bias + whole : NULL, (REAL *)c + whole, ldc, 0, ending,
                                   v ? (const REAL *)v + whole : NULL);
        return;
    }
#endif
    K(tiled_product)(m, n, k, a, lda, b, ldb, bias, c, ldc, ahead, ending, v);
}

/* The last `tail` columns of an outer product, less than a vector: with the roles of a and d exchanged the lanes run over
 * the m rows of g, and few of them lie idle. Piece by piece, each transposed on its way into g. */
static void K(outer_tail)(int64_t m, int tail, const K(tile) * t)
{
    enum { PIECE = 6 * V(width) };
    REAL piece[V(width) * PIECE];
    const V(mask) columns = V(first)(tail);
    K(tile) swapped = K(make_tile)(NULL, t->ldb, NULL, t->lda, NULL, piece, PIECE, t->depth, 0);
    for (int64_t i = 0; i < m; i += PIECE) {
        const int64_t n = m - i < PIECE ? m - i : PIECE;
        swapped.a = t->b;
        swapped.b = t->a + i;
        swapped.c = piece;
        K(tiles)(tail, n, 1, 0, &swapped);
        for (int64_t j = 0; j < n; j += V(width)) {
            const V(mask) in = V(first)(n - j);
            V(t) square[V(width)];
            K(load_transposed)(tail, piece + j, PIECE, in, square);
            REAL *c = t->c + (i + j) * t->ldc;
            FM_UNROLL(16)
            for (int r = 0; r < V(width); r++, c += t->ldc)
                if (r < n - j)
                    V(store_first)(c, columns,
                                   t->accumulate ? V(add)(V(load_first)(c, columns), square[r]) : square[r]);
        }
    }
}

/* The lanes of the dot products of `rows` rows with w, row after row; with a literal number of rows they are registers. */
FM_INLINE void K(dot_lanes)(const int rows, int64_t k, const REAL *a, int64_t lda, const REAL *w, V(t) * s)
{
    const int64_t whole = k - k % FM_LANES;
    FM_UNROLL(16)
    for (int j = 0; j < rows * K(lane_vectors); j++)
        s[j] = V(zero)();
    for (int64_t c = 0; c < whole; c += FM_LANES) {
        FM_UNROLL(16)
        for (int j = 0; j < K(lane_vectors); j++) {
            const V(t) weights = V(load)(w + c + j * V(width));
            const REAL *place = a + c + j * V(width);
            FM_UNROLL(8)
            for (int i = 0; i < rows; i++) {
                V(t) *sum = &s[i * K(lane_vectors) + j];
                *sum = V(fma)(V(load)(place + i * lda), weights, *sum);
            }
        }
    }
    FM_UNROLL(16)
    for (int j = 0; j < K(lane_vectors); j++) {
        const int64_t c = whole + j * V(width);
        if (c >= k)
            break;
        const V(mask) rest = V(first)(k - c);
        const V(t) weights = V(load_first)(w + c, rest);
        FM_UNROLL(8)
        for (int i = 0; i < rows; i++) {
            V(t) *sum = &s[i * K(lane_vectors) + j];
            /* Lanes without an entry are left alone: adding 0 would turn their -0 into +0. */
            *sum = V(select)(rest, V(fma)(V(load_first)(a + c + i * lda, rest), weights, *sum), *sum);
        }
    }
}

/* The halves of 16 lanes added until a vector of them is left. */
FM_INLINE V(t) K(fold_lanes)(V(t) * s)
{
    FM_UNROLL(4)
    for (int half = K(lane_vectors) / 2; half > 0; half /= 2) {
        FM_UNROLL(8)
        for (int j = 0; j < half; j++)
            s[j] = V(add)(s[j], s[j + half]);
    }
    return s[0];
}

/* As many rows as a vector has lanes are added up together. */
static void K(dot)(int64_t m, int64_t k, const void *a_, int64_t lda, const void *w, const void *bias, void *out_)
{
    enum { LANES = K(lane_vectors), AT_ONCE = LANES < 8 ? 8 / LANES : 1 };
    const REAL *a = a_;
    REAL *out = out_;
    int64_t i = 0;
    for (; i + V(width) <= m; i += V(width)) {
        V(t) sums[V(width)], s[AT_ONCE * LANES];
        for (int r = 0; r < V(width); r += AT_ONCE, a += AT_ONCE * lda) {
            K(dot_lanes)(AT_ONCE, k, a, lda, w, s);
            FM_UNROLL(8)
            for (int j = 0; j < AT_ONCE; j++)
                sums[r + j] = K(fold_lanes)(s + j * LANES);
        }
        const V(t) sum = V(sum_lanes)(sums);
        V(store)(out + i, bias ? V(add)(sum, V(set1)(*(const REAL *)bias)) : sum);
    }
    for (; i < m; i++, a += lda) {
        V(t) s[LANES];
        K(dot_lanes)(1, k, a, lda, w, s);
        out[i] = V(reduce16)(s);
        if (bias)
            out[i] += *(const REAL *)bias;
    }
}

/* Column sums of `vectors` neighbouring vectors: with a literal argument the sums are registers. */
FM_INLINE void K(sum_vectors)(const int vectors, int64_t rows, const REAL *d, int64_t ldd, REAL *g, V(mask) last,
                              int accumulate)
{
    V(t) sum[4];
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++)
        sum[j] = V(zero)();
    for (int64_t i = 0; i < rows; i++, d += ldd) {
        FM_UNROLL(4)
        for (int j = 0; j < vectors; j++) {
            const REAL *row = d + j * V(width);
            sum[j] = V(add)(sum[j], j == vectors - 1 ? V(load_first)(row, last) : V(load)(row));
        }
    }
    FM_UNROLL(4)
    for (int j = 0; j < vectors; j++, g += V(width)) {
        const V(mask) m = j == vectors - 1 ? last : V(first)(V(width));
        V(store_first)(g, m, accumulate ? V(add)(V(load_first)(g, m), sum[j]) : sum[j]);
    }
}

static void K(column_sum)(int64_t rows, int64_t n, const void *d_, int64_t ldd, void *g_, int accumulate)
{
    const REAL *d = d_;
    REAL *g = g_;
    for (; n > 3 * V(width); n -= 4 * V(width), d += 4 * V(width), g += 4 * V(width))
        K(sum_vectors)(4, rows, d, ldd, g, V(first)(n - 3 * V(width)), accumulate);
    if (n > 2 * V(width))
        K(sum_vectors)(3, rows, d, ldd, g, V(first)(n - 2 * V(width)), accumulate);
    else if (n > V(width))
        K(sum_vectors)(2, rows, d, ldd, g, V(first)(n - V(width)), accumulate);
    else if (n > 0)
        K(sum_vectors)(1, rows, d, ldd, g, V(first)(n), accumulate);
}

static void K(outer)(int64_t rows, int64_t m, int64_t n, const void *a, int64_t lda, const void *d, int64_t ldd,
                     void *g, void *sum, int accumulate)
{
    K(tile) t = K(make_tile)(a, lda, d, ldd, NULL, g, n, rows, accumulate);
    const int64_t tail = n % V(width), squares = (m + V(width) - 1) / V(width);
    /* Exchanging saves FMAs in each row and costs transpositions, one worth about SQUARE of them. */
    enum { SQUARE = 100 };
    const int exchanged = tail > 0 && rows * (m - squares * tail) > SQUARE * squares;
    /* Additions of one or two vectors a row wait for each other: beside the product they do so for nothing. */
    const int beside = sum && m > 0 && n <= 2 * V(width) && !exchanged;
    t.sum = beside ? sum : NULL;
    K(tiles)(m, exchanged ? n - tail : n, 1, 0, &t);
    if (exchanged) {
        t.a = a;
        t.b = (const REAL *)d + n - tail;
        t.c = (REAL *)g + n - tail;
        K(outer_tail)(m, (int)tail, &t);
    }
    if (sum && !beside)
        K(column_sum)(rows, n, d, ldd, sum, accumulate);
}

/* In squares, whose rows are loaded and stored whole. */
static void K(transpose)(int64_t m, int64_t n, const void *a_, int64_t lda, void *b_, int64_t ldb)
{
    const REAL *a = a_;
    REAL *b = b_;
    enum { SIDE = V(width) };
    for (int64_t i = 0; i < m; i += SIDE)
        for (int64_t j = 0; j < n; j += SIDE) {
            const int64_t high = m - i, wide = n - j;
            const V(mask) in = V(first)(wide), out = V(first)(high);
            V(t) square[SIDE];
            K(load_transposed)(high, a + i * lda + j, lda, in, square);
            FM_UNROLL(16)
            for (int c = 0; c < SIDE; c++) {
                if (c >= wide)
                    break;
                REAL *place = b + (j + c) * ldb + i;
                if (high >= SIDE)
                    V(store)(place, square[c]);
                else
                    V(store_first)(place, out, square[c]);
            }
        }
}
