/* Products with matrices of which a good part is zero: what ReLU leaves, pixels, one-hot columns. Where a is 0 the step of
 * the chain is left out, which changes nothing: fma(0, b, c) is c for every finite b (but for the sign of a c that is -0).
 * Part of kernels_tmpl.h.
 *
 * A tile of several rows has few steps at which all its rows are zero. So rows go one by one, each with its own steps, and
 * b, which no register keeps meanwhile, comes from the nearest cache: FM_STEPS rows of a panel of it at a time. */

/* Bits of a word: one for each step, set where a is not zero. */
#define FM_STEPS 64
/* Rows for which the steps are found together. */
#define FM_STRIP 256

FM_INLINE uint64_t K(zeros)(V(t) a) { return (uint64_t)V(lanes)(V(eq)(a, V(zero)())); }

/* Which of the first n numbers, at most FM_STEPS, are not zero. */
FM_INLINE uint64_t K(nonzeros)(int64_t n, const REAL *a)
{
    uint64_t zeros = 0;
    int64_t k = 0;
    if (n == FM_STEPS) {
        FM_UNROLL(64)
        for (; k < FM_STEPS; k += V(width))
            zeros |= K(zeros)(V(load)(a + k)) << k;
        return ~zeros;
    }
    for (; k + V(width) <= n; k += V(width))
        zeros |= K(zeros)(V(load)(a + k)) << k;
    if (k < n)
        zeros |= K(zeros)(V(load_first)(a + k, V(first)(n - k))) << k;
    return ~zeros & (((uint64_t)1 << n) - 1);
}

static int64_t K(count_nonzero)(int64_t n, const void *x_)
{
    const REAL *x = x_;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i += FM_STEPS)
        count += __builtin_popcountll(K(nonzeros)(n - i < FM_STEPS ? n - i : FM_STEPS, x + i));
    return count;
}

/* m rows of c from one panel of b, of `vectors` vectors, its rows t->ldb apart. steps: those of each row. t: a, b, c and v
 * at the first row, lda, ldc, ending; bias: what the chains begin with, rows ld_begin apart, or NULL for zero. */
FM_INLINE void K(skip_rows)(const int vectors, const int low, int64_t m, const uint64_t *steps, int64_t ld_begin,
                            K(tile) * t)
{
    const REAL *panel = t->b;
    const int64_t ldb = t->ldb;
    for (int64_t i = 0; i < m; i++) {
        const REAL *a = t->a;
        V(t) acc[1][FM_ROW_VECTORS];
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++) {
            acc[0][j] = V(zero)();
            if (t->bias) {
                const REAL *place = t->bias + j * V(width);
                acc[0][j] = j == vectors - 1 ? V(load_first)(place, t->last) : V(load)(place);
            }
        }
        for (uint64_t left = steps[i]; left; left &= left - 1) {
            const int64_t k = __builtin_ctzll(left);
            const V(t) x = V(spread)(a + k);
            const REAL *row = panel + k * ldb;
            FM_UNROLL(8)
            for (int j = 0; j < vectors; j++) {
                const REAL *place = row + j * V(width);
                acc[0][j] =
                    low && j == vectors - 1 ? V(fma_low)(x, place, acc[0][j]) : V(fma)(x, V(load)(place), acc[0][j]);
            }
        }
        if (t->ending != FM_END_PLAIN)
            K(end_tile)(1, vectors, t, acc);
        K(store_row)(vectors, acc[0], t->c, t->last, 0);
        t->a += t->lda;
        t->c += t->ldc;
        t->v = t->v ? t->v + t->ldc : NULL;
        t->bias = t->bias ? t->bias + ld_begin : NULL;
    }
}

#define FM_SKIP(vectors, kind, low)                                                                         \
    static void K(skip_##kind##_##vectors)(int64_t m, const uint64_t *steps, int64_t ld_begin, K(tile) * t) \
    {                                                                                                       \
        K(skip_rows)(vectors, low, m, steps, ld_begin, t);                                                  \
    }
FM_UP_TO_8(FM_SKIP, whole, 0)
FM_UP_TO_8(FM_SKIP, low, 1)
/* By whether the last vector is half empty, and the number of vectors. */
static void (*const K(skip_functions)[][FM_ROW_VECTORS + 1])(int64_t m, const uint64_t *steps, int64_t ld_begin,
                                                             K(tile) * t) = {FM_BY_VECTORS(skip_whole),
                                                                             FM_BY_VECTORS(skip_low)};

/* Panels of b: `depth` rows of `vectors` vectors, the last of which has the lanes `last`. All return whether they are
 * finite: what is not becomes NaN when it is multiplied by 0. */

FM_INLINE int K(is_zero)(V(t) x) { return K(zeros)(x) == V(lanes)(V(first)(V(width))); }

static int K(look_through)(int64_t depth, int64_t vectors, const REAL *b, int64_t ldb, V(mask) last)
{
    V(t) check = V(zero)();
    for (int64_t k = 0; k < depth; k++, b += ldb) {
        for (int64_t j = 0; j < vectors - 1; j++)
            check = V(fma)(V(load)(b + j * V(width)), V(zero)(), check);
        check = V(fma)(V(load_first)(b + (vectors - 1) * V(width), last), V(zero)(), check);
    }
    return K(is_zero)(check);
}

/* One row behind the other. */
static int K(pack)(int64_t depth, int64_t vectors, const REAL *b, int64_t ldb, V(mask) last, REAL *panel)
{
    V(t) check = V(zero)();
    for (int64_t k = 0; k < depth; k++, b += ldb)
        for (int64_t j = 0; j < vectors; j++, panel += V(width)) {
            const REAL *place = b + j * V(width);
            const V(t) x = j == vectors - 1 ? V(load_first)(place, last) : V(load)(place);
            check = V(fma)(x, V(zero)(), check);
            V(store)(panel, x);
        }
    return K(is_zero)(check);
}

/* The same of a b of which the transposed is given: `columns` rows of it. Up to whole squares is written. */
static int K(pack_transposed)(int64_t depth, int64_t vectors, int64_t columns, const REAL *b, int64_t ldb, REAL *panel)
{
    V(t) check = V(zero)();
    for (int64_t j = 0; j < vectors; j++)
        for (int64_t k = 0; k < depth; k += V(width)) {
            const V(mask) in = V(first)(depth - k);
            V(t) square[V(width)];
            K(load_transposed)(columns - j * V(width), b + j * V(width) * ldb + k, ldb, in, square);
            REAL *place = panel + (k * vectors + j) * V(width);
            FM_UNROLL(16)
            for (int r = 0; r < V(width); r++) {
                check = V(fma)(square[r], V(zero)(), check);
                V(store)(place + r * vectors * V(width), square[r]);
            }
        }
    return K(is_zero)(check);
}

/* Whether panels of b are read where they are: in whole cache lines, which do not lie in few places of the cache. */
FM_INLINE int K(is_panel)(const REAL *b, int64_t ldb, int64_t vectors)
{
    enum { LINE = 64, FEW_PLACES = 4 };
    const uintptr_t bytes = (uintptr_t)ldb * sizeof(REAL);
    return ((uintptr_t)b | bytes) % LINE == 0 && (ldb == vectors * V(width) || bytes / LINE % FEW_PLACES != 0);
}

/* As many rows as `steps` has room for. */
static int K(skip_strip)(int64_t m, int64_t n, int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
                         int transposed, const REAL *bias, REAL *partial, REAL *c, int64_t ldc, int ending,
                         const REAL *v)
{
    _Alignas(64) REAL packed[FM_STEPS * FM_ROW_VECTORS * V(width)];
    uint64_t steps[FM_STRIP];
    const int64_t vectors = K(divide_up)(n, V(width)), panels = K(divide_up)(vectors, FM_ROW_VECTORS);
    int is_finite = 1;
    for (int64_t from = 0; from < k && is_finite; from += FM_STEPS) {
        const int64_t depth = k - from < FM_STEPS ? k - from : FM_STEPS;
        const int is_first = from == 0, is_last = from + depth == k;
        /* Before the rows, whose multiplications they would otherwise have to queue behind. */
        for (int64_t i = 0; i < m; i++)
            steps[i] = K(nonzeros)(depth, a + i * lda + from);
        const REAL *begin = is_first ? bias : partial;
        for (int64_t p = 0, column = 0; p < panels; p++) {
            const int64_t wide = vectors / panels + (p < vectors % panels), left = n - column;
            const REAL *panel = b + (transposed ? column * ldb + from : from * ldb + column);
            K(tile)
            t = K(make_tile)(a + from, lda, packed, wide * V(width), begin ? begin + column : NULL,
                             (is_last ? c : partial) + column, ldc, depth, 0);
            t.last = V(first)(left - (wide - 1) * V(width));
            t.ending = is_last ? ending : FM_END_PLAIN;
            t.v = is_last && v ? v + column : NULL;
            if (transposed) {
                is_finite &= K(pack_transposed)(depth, wide, left, panel, ldb, packed);
            } else if (panels == 1 && K(is_panel)(panel, ldb, wide)) {
                is_finite &= K(look_through)(depth, wide, panel, ldb, t.last);
                t.b = panel;
                t.ldb = ldb;
            } else {
                is_finite &= K(pack)(depth, wide, panel, ldb, t.last, packed);
            }
            const int is_low = left - (wide - 1) * V(width) <= V(width) / 2;
            K(skip_functions)[is_low][wide](m, steps, is_first ? 0 : ldc, &t);
            column += wide * V(width);
        }
    }
    return is_finite;
}

static int K(skipping_product)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                               int transposed, const void *bias, void *partial, void *c, int64_t ldc, int ending,
                               const void *v)
{
    int is_finite = 1;
    for (int64_t i = 0; i < m && is_finite; i += FM_STRIP)
        is_finite = K(skip_strip)(m - i < FM_STRIP ? m - i : FM_STRIP, n, k, (const REAL *)a + i * lda, lda, b, ldb,
                                  transposed, bias, (REAL *)partial + i * ldc, (REAL *)c + i * ldc, ldc, ending,
                                  v ? (const REAL *)v + i * ldc : NULL);
    return is_finite;
}
