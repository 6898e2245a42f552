/* Products of dense matrices from register tiles; one tile serves forward pass, deltas and weight gradients. Part of
 * kernels_tmpl.h. */

/* Vectors that the tile of a single row may have: more than others, so that as many chains are in flight. */
#define FM_ROW_VECTORS 8
/* X for each number of them, and the table of the functions whose names end with it. */
#define FM_UP_TO_4(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define FM_5_TO_8(X, ...) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__) X(8, __VA_ARGS__)
#define FM_UP_TO_8(X, ...) FM_UP_TO_4(X, __VA_ARGS__) FM_5_TO_8(X, __VA_ARGS__)
#define FM_BY_VECTORS(name) \
    {NULL, K(name##_1), K(name##_2), K(name##_3), K(name##_4), K(name##_5), K(name##_6), K(name##_7), K(name##_8)}

/* A square of numbers from rows lda apart, transposed: its vector r has the r-th of each row. Of the rows those from `rows`
 * on are zero, of their numbers those that are not `in`. */
FM_INLINE void K(load_transposed)(int64_t rows, const REAL *a, int64_t lda, V(mask) in, V(t) * square)
{
    FM_UNROLL(16)
    for (int r = 0; r < V(width); r++)
        square[r] = r < rows ? V(load_first)(a + r * lda, in) : V(zero)();
    V(transpose)(square);
}

/* A tile of c: `rows` x `vectors` accumulators over `depth` steps of k. */
typedef struct K(tile) {
    const REAL *a, *b, *bias;
    REAL *c, *sum; /* sum: where the column sums of B go, in tiles that form them */
    const REAL *v; /* what the ending needs; rows ldc apart */
    int ending;
    /* What far tiles fetch: where it begins, and how far it is from step to step, in bytes. */
    uintptr_t far_a, far_b;
    int64_t far_a_step, far_b_step;
    int64_t lda, ldb, ldc, depth;
    int64_t unmasked; /* steps of k at which the last vector of B may be read whole: what follows it is in B, too */
    V(mask) last;     /* lanes of the last vector */
    int accumulate;
} K(tile);

/* Every field by name: compilers clear a struct of which some are missing, which takes longer than a small tile. */
FM_INLINE K(tile) K(make_tile)(const REAL *a, int64_t lda, const REAL *b, int64_t ldb, const REAL *bias, REAL *c,
                               int64_t ldc, int64_t depth, int accumulate)
{
    return (K(tile)){.a = a,
                     .b = b,
                     .bias = bias,
                     .c = c,
                     .sum = NULL,
                     .v = NULL,
                     .ending = FM_END_PLAIN,
                     .far_a = 0,
                     .far_b = 0,
                     .far_a_step = 0,
                     .far_b_step = 0,
                     .lda = lda,
                     .ldb = ldb,
                     .ldc = ldc,
                     .depth = depth,
                     .unmasked = 0,
                     .last = V(first)(0),
                     .accumulate = accumulate};
}

/* Bytes of a line of the cache, and those from which on a matrix counts as larger than the nearest cache. */
#define FM_LINE 64
#define FM_LARGE 65536
/* Keeps the compiler from seeing where a pointer comes from. */
#define FM_FORGET(p) __asm__("" : "+r"(p))
/* Towards the second nearest cache; nothing may be there. */
#define FM_FETCH(p) __builtin_prefetch(p, 0, 2)

/* Add n steps of k to acc. a: four rows apart; b: the row of B at the first step; all move on. sums: acc has one row
 * more, which adds up the rows of B. far: at each step fetch, of the tile's far_b, a line and, of its far_a, as much as a
 * column of its A. */
FM_INLINE void K(run_steps)(const int rows, const int vectors, const int transposed, const int sums, const int far,
                            const int masked, int64_t n, const K(tile) * t, const REAL **a, const REAL **b,
                            V(t) (*acc)[FM_ROW_VECTORS])
{
    const int64_t lda = t->lda, ldb = t->ldb;
    const V(mask) last = t->last;
    uintptr_t far_a = t->far_a, far_b = t->far_b;
    for (int64_t k = 0; k < n; k++) {
        if (far) {
            for (uintptr_t i = 0; i < rows * sizeof(REAL); i += FM_LINE)
                FM_FETCH((const void *)(far_a + i));
            FM_FETCH((const void *)far_b);
            far_a += (uintptr_t)t->far_a_step;
            far_b += (uintptr_t)t->far_b_step;
        }
        V(t) row[FM_ROW_VECTORS];
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++)
            row[j] = masked && j == vectors - 1 ? V(load_first)(*b + j * V(width), last) : V(load)(*b + j * V(width));
        FM_UNROLL(16)
        for (int i = 0; i < rows; i++) {
            const V(t) x = V(set1)(a[i / 4][i % 4 * (transposed ? 1 : lda)]);
            FM_UNROLL(8)
            for (int j = 0; j < vectors; j++)
                acc[i][j] = V(fma)(x, row[j], acc[i][j]);
        }
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++)
            if (sums)
                acc[rows][j] = V(add)(acc[rows][j], row[j]);
        FM_UNROLL(4)
        for (int g = 0; g < (rows + 3) / 4; g++)
            a[g] += transposed ? lda : 1;
        *b += ldb;
    }
}

/* The accumulators of a tile become f of themselves or, with multiply, go back through the derivative f. */
FM_INLINE void K(end)(const int rows, const int vectors, const int multiply, K(unary) * f, const K(tile) * t,
                      V(t) (*acc)[FM_ROW_VECTORS])
{
    const REAL *v = t->v;
    FM_UNROLL(16)
    for (int i = 0; i < rows; i++) {
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++) {
            if (!multiply) {
                acc[i][j] = f(acc[i][j], NULL);
                continue;
            }
            const REAL *place = v + j * V(width);
            const V(t) needed = j == vectors - 1 ? V(load_first)(place, t->last) : V(load)(place);
            acc[i][j] = K(backward)(acc[i][j], needed, NULL, f);
        }
        if (multiply)
            v += t->ldc;
    }
}

FM_INLINE void K(end_tile)(const int rows, const int vectors, const K(tile) * t, V(t) (*acc)[FM_ROW_VECTORS])
{
    enum { value, derivative };
    switch (t->ending) {
#define FM_ENTRY(name, part)                                   \
    case FM_END_##name##_##part:                               \
        K(end)(rows, vectors, part, K(name##_##part), t, acc); \
        break;
        FM_ENDINGS(FM_ENTRY)
#undef FM_ENTRY
    }
}

/* One row of a tile, into c. */
FM_INLINE void K(store_row)(const int vectors, const V(t) * acc, REAL *c, V(mask) last, int accumulate)
{
    FM_UNROLL(8)
    for (int j = 0; j < vectors; j++) {
        REAL *place = c + j * V(width);
        const V(mask) m = j == vectors - 1 ? last : V(first)(V(width));
        if (accumulate)
            V(store_first)(place, m, V(add)(V(load_first)(place, m), acc[j]));
        else if (j < vectors - 1)
            V(store)(place, acc[j]);
        else
            V(store_first)(place, last, acc[j]);
    }
}

/* transposed: a is (depth, rows), else (rows, depth). sums: with the column sums of B, as one row more. far: fetching
 * beside what other tiles will read. With literal arguments the loops unroll and acc is registers. */
FM_INLINE void K(run_tile)(const int rows, const int vectors, const int transposed, const int sums, const int far,
                           const K(tile) * t)
{
    const REAL *b = t->b;
    const int64_t lda = t->lda;
    const V(mask) last = t->last;
    /* a, four rows apart. Compilers that know how the pointers hang together keep an offset for every row instead, and
     * run out of registers. */
    const REAL *a[FM_ROWS_OF_1 / 4];
    FM_UNROLL(4)
    for (int g = 0; g < (rows + 3) / 4; g++) {
        a[g] = t->a + 4 * g * (transposed ? 1 : lda);
        if (!transposed)
            FM_FORGET(a[g]);
    }
    V(t) acc[FM_ROWS_OF_1][FM_ROW_VECTORS];
    FM_UNROLL(8)
    for (int j = 0; j < vectors; j++) {
        V(t) init = V(zero)();
        if (t->bias)
            init = j == vectors - 1 ? V(load_first)(t->bias + j * V(width), last) : V(load)(t->bias + j * V(width));
        FM_UNROLL(16)
        for (int i = 0; i < rows + sums; i++)
            acc[i][j] = init;
    }
    K(run_steps)(rows, vectors, transposed, sums, far, 0, t->unmasked, t, a, &b, acc);
    K(run_steps)(rows, vectors, transposed, sums, 0, 1, t->depth - t->unmasked, t, a, &b, acc);
    if (!transposed && t->ending != FM_END_PLAIN)
        K(end_tile)(rows, vectors, t, acc);
    REAL *c = t->c;
    const int64_t ldc = t->ldc;
    if (t->accumulate) {
        FM_UNROLL(16)
        for (int i = 0; i < rows; i++, c += ldc)
            K(store_row)(vectors, acc[i], c, last, 1);
        if (sums)
            K(store_row)(vectors, acc[rows], t->sum, last, 1);
    } else {
        FM_UNROLL(16)
        for (int i = 0; i < rows; i++, c += ldc)
            K(store_row)(vectors, acc[i], c, last, 0);
        if (sums)
            K(store_row)(vectors, acc[rows], t->sum, last, 0);
    }
}

/* Of tiles of the kind "summing" the sums count as a row. */
#define FM_TILE(rows, vectors, kind, transposed, sums, far)              \
    static void K(tile_##kind##_##rows##_##vectors)(const K(tile) * t)   \
    {                                                                    \
        K(run_tile)((rows) - (sums), vectors, transposed, sums, far, t); \
    }
#define FM_TILE_WIDTHS(rows, ...) \
    FM_TILE(rows, 1, __VA_ARGS__) FM_TILE(rows, 2, __VA_ARGS__) FM_TILE(rows, 3, __VA_ARGS__)
#define FM_HEIGHTS_2_4(X, ...) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)
#define FM_HEIGHTS_5_6(X, ...) X(5, __VA_ARGS__) X(6, __VA_ARGS__)
#define FM_HEIGHTS_7_8(X, ...) X(7, __VA_ARGS__) X(8, __VA_ARGS__)
#define FM_HEIGHTS_9_12(X, ...) X(9, __VA_ARGS__) X(10, __VA_ARGS__) X(11, __VA_ARGS__) X(12, __VA_ARGS__)
#define FM_HEIGHTS_13_16(X, ...) X(13, __VA_ARGS__) X(14, __VA_ARGS__) X(15, __VA_ARGS__) X(16, __VA_ARGS__)
/* Heights, from 2 on, of tiles of up to three vectors, further ones of up to two, and of one alone. */
#if FM_ROWS_OF_3 == 8
#define FM_HEIGHTS_OF_3(X, ...) \
    FM_HEIGHTS_2_4(X, __VA_ARGS__) FM_HEIGHTS_5_6(X, __VA_ARGS__) FM_HEIGHTS_7_8(X, __VA_ARGS__)
#define FM_HEIGHTS_OF_2(X, ...) FM_HEIGHTS_9_12(X, __VA_ARGS__)
#define FM_HEIGHTS_OF_1(X, ...) FM_HEIGHTS_13_16(X, __VA_ARGS__)
#else
#define FM_HEIGHTS_OF_3(X, ...) FM_HEIGHTS_2_4(X, __VA_ARGS__)
#define FM_HEIGHTS_OF_2(X, ...) FM_HEIGHTS_5_6(X, __VA_ARGS__)
#define FM_HEIGHTS_OF_1(X, ...) FM_HEIGHTS_7_8(X, __VA_ARGS__) FM_HEIGHTS_9_12(X, __VA_ARGS__)
#endif
#define FM_ROW_WIDTHS(kind, transposed)   \
    FM_TILE(1, 4, kind, transposed, 0, 0) \
    FM_TILE(1, 5, kind, transposed, 0, 0) \
    FM_TILE(1, 6, kind, transposed, 0, 0) \
    FM_TILE(1, 7, kind, transposed, 0, 0) FM_TILE(1, 8, kind, transposed, 0, 0)

#define FM_TILES_OF_2(rows, ...) FM_TILE(rows, 1, __VA_ARGS__) FM_TILE(rows, 2, __VA_ARGS__)
#define FM_TILES_OF_1(rows, ...) FM_TILE(rows, 1, __VA_ARGS__)
#define FM_ALL_TILES(...)                        \
    FM_TILE_WIDTHS(1, __VA_ARGS__)               \
    FM_HEIGHTS_OF_3(FM_TILE_WIDTHS, __VA_ARGS__) \
    FM_HEIGHTS_OF_2(FM_TILES_OF_2, __VA_ARGS__)  \
    FM_HEIGHTS_OF_1(FM_TILES_OF_1, __VA_ARGS__)

FM_ALL_TILES(plain, 0, 0, 0)
FM_ROW_WIDTHS(plain, 0)
FM_ALL_TILES(plain_far, 0, 0, 1)
FM_ALL_TILES(transposed, 1, 0, 0)
FM_ALL_TILES(transposed_far, 1, 0, 1)
FM_ROW_WIDTHS(transposed, 1)
/* The sums and a row at least, and two vectors at most: see `outer`. */
FM_HEIGHTS_OF_3(FM_TILES_OF_2, summing, 1, 1, 0)
FM_HEIGHTS_OF_2(FM_TILES_OF_2, summing, 1, 1, 0)
FM_HEIGHTS_OF_1(FM_TILES_OF_1, summing, 1, 1, 0)

typedef void (*K(tile_function))(const K(tile) *);

#define FM_TILE_ENTRY(rows, kind) \
    {NULL, K(tile_##kind##_##rows##_1), K(tile_##kind##_##rows##_2), K(tile_##kind##_##rows##_3)},
#define FM_ENTRIES_OF_2(rows, kind) {NULL, K(tile_##kind##_##rows##_1), K(tile_##kind##_##rows##_2)},
#define FM_ENTRIES_OF_1(rows, kind) {NULL, K(tile_##kind##_##rows##_1)},
#define FM_ALL_ENTRIES(kind, of_3)         \
    FM_HEIGHTS_OF_3(of_3, kind)            \
    FM_HEIGHTS_OF_2(FM_ENTRIES_OF_2, kind) \
    FM_HEIGHTS_OF_1(FM_ENTRIES_OF_1, kind)
/* Indexed by the numbers of rows and vectors. */
static const K(tile_function) K(plain_tiles)[FM_ROWS_OF_1 + 1][FM_TILE_VECTORS + 1] = {
    {NULL}, FM_TILE_ENTRY(1, plain) FM_ALL_ENTRIES(plain, FM_TILE_ENTRY)};
static const K(tile_function) K(plain_far_tiles)[FM_ROWS_OF_1 + 1][FM_TILE_VECTORS + 1] = {
    {NULL}, FM_TILE_ENTRY(1, plain_far) FM_ALL_ENTRIES(plain_far, FM_TILE_ENTRY)};
static const K(tile_function) K(transposed_tiles)[FM_ROWS_OF_1 + 1][FM_TILE_VECTORS + 1] = {
    {NULL}, FM_TILE_ENTRY(1, transposed) FM_ALL_ENTRIES(transposed, FM_TILE_ENTRY)};
static const K(tile_function) K(transposed_far_tiles)[FM_ROWS_OF_1 + 1][FM_TILE_VECTORS + 1] = {
    {NULL}, FM_TILE_ENTRY(1, transposed_far) FM_ALL_ENTRIES(transposed_far, FM_TILE_ENTRY)};
static const K(tile_function) K(summing_tiles)[FM_ROWS_OF_1 + 1][FM_TILE_VECTORS + 1] = {
    {NULL}, {NULL}, FM_ALL_ENTRIES(summing, FM_ENTRIES_OF_2)};
static const K(tile_function) K(plain_rows)[FM_ROW_VECTORS + 1] = FM_BY_VECTORS(tile_plain_1);
static const K(tile_function) K(transposed_rows)[FM_ROW_VECTORS + 1] = FM_BY_VECTORS(tile_transposed_1);

FM_INLINE int64_t K(divide_up)(int64_t n, const int64_t d) { return (n + d - 1) / d; }

/* Blocks of `rows` rows in a panel of so many vectors. Divisors that the compiler knows: a division takes as long as a
 * small tile. */
static int64_t K(blocks)(int64_t rows, int64_t vectors)
{
    return vectors == 1   ? K(divide_up)(rows, FM_ROWS_OF_1)
           : vectors == 2 ? K(divide_up)(rows, FM_ROWS_OF_2)
                          : K(divide_up)(rows, FM_ROWS_OF_3);
}

/* Choose what tile q of a panel, of so many rows, fetches, so that others do not wait for distant memory or, where threads
 * share a product, for another processor's cache; returns whether it is anything. Of A, in the first panel, for which it
 * is new: rows `ahead` elements further on, unless that is 0, or, of a large product, the next columns of a transposed A,
 * where they begin a line. Of B, in a large product: the panel that follows, which begins at `next`, one of its `lines` of
 * each row. The first tile waits for its own panel and fetches none. */
FM_INLINE int K(choose_far)(int transposed, int large, int is_first_panel, int64_t q, int64_t rows, int64_t ahead,
                            uintptr_t next, int64_t lines, K(tile) * t)
{
    const uintptr_t a = (uintptr_t)t->a, high = (uintptr_t)rows * sizeof(REAL);
    const int rows_ahead = is_first_panel && ahead;
    if (!large) {
        if (rows_ahead) {
            t->far_a = a + (uintptr_t)ahead * sizeof(REAL);
            t->far_a_step = (int64_t)high;
        }
        return rows_ahead;
    }
    const int columns = is_first_panel && transposed && q > 0 && a % FM_LINE < high;
    const int next_panel = q > 0 && q <= lines;
    /* Not as structs, which compilers copy as a vector right after they have been stored in parts: such a read waits until
     * everything that the tile before has stored is in the cache, 4 % of 784-128-10. */
    t->far_a = a + (rows_ahead ? (uintptr_t)ahead * sizeof(REAL) : columns ? FM_LINE : 0);
    t->far_a_step = rows_ahead ? (int64_t)high : columns ? t->lda * (int64_t)sizeof(REAL) : 0;
    t->far_b = next_panel ? next + (uintptr_t)(q - 1) * FM_LINE : a;
    t->far_b_step = next_panel ? t->ldb * (int64_t)sizeof(REAL) : 0;
    return rows_ahead || columns || next_panel;
}

/* c (m, n) from tiles: columns in panels of at most FM_TILE_VECTORS vectors, rows in blocks as high as the registers
 * allow for the panel; both split evenly rather than with a ragged rest. t: everything of the product but the place of
 * the tile, which is written there. With t->sum the first block of a panel forms the column sums, too. ahead: see
 * `choose_far`; 0 where there are sums. */
static void K(tiles)(int64_t m, int64_t n, int transposed, int64_t ahead, K(tile) * t)
{
    if (m <= 0 || n <= 0)
        return;
    const int sums = t->sum != NULL;
    const int64_t all = m + sums, vectors = (n + V(width) - 1) / V(width);
    const int64_t widest = all == 1 ? FM_ROW_VECTORS : FM_TILE_VECTORS;
    const K(tile_function)(*const functions)[FM_TILE_VECTORS + 1] = transposed ? K(transposed_tiles) : K(plain_tiles);
    const K(tile_function)(*const first)[FM_TILE_VECTORS + 1] = sums ? K(summing_tiles) : functions;
    const K(tile_function)(*const far)[FM_TILE_VECTORS + 1] = transposed ? K(transposed_far_tiles) : K(plain_far_tiles);
    const K(tile_function) *const rows = transposed ? K(transposed_rows) : K(plain_rows);
    /* The last vector of a panel's row of B reads this many elements beyond the panel: they are in the next rows, but for
     * the last steps. */
    const int64_t beyond = vectors * V(width) - n, masked = t->ldb >= beyond ? beyond > 0 : beyond;
    if (vectors <= widest &&
        (all == 1 || K(blocks)(all, vectors) == 1)) { /* the divisions below take longer than a small tile */
        t->last = V(first)(n - (vectors - 1) * V(width));
        t->unmasked = t->depth > masked ? t->depth - masked : 0;
        (all == 1 ? rows[vectors] : first[all][vectors])(t);
        return;
    }
    const int64_t panels = all == 1 ? K(divide_up)(vectors, FM_ROW_VECTORS) : K(divide_up)(vectors, FM_TILE_VECTORS);
    int64_t wide = vectors, wider = 0; /* set before, lest compilers see that x / 1 is x, and divide always */
    if (panels > 1) {
        wide = vectors / panels;
        wider = vectors - wide * panels;
    }
    const REAL *a = t->a, *v = t->v;
    REAL *c = t->c;
    /* Of less than that there is little to wait for. */
    const int large = t->depth * t->ldb * (int64_t)sizeof(REAL) >= FM_LARGE;
    t->far_b = (uintptr_t)a; /* unless there is something to fetch of B */
    int64_t blocks = 1, high = all, higher = 0, divided_for = 0;
    for (int64_t p = 0, column = 0; p < panels; p++) {
        const int64_t w = wide + (p < wider), columns = w * V(width);
        if (all > 1 && w != divided_for) {
            blocks = K(blocks)(all, w);
            high = all;
            higher = 0;
            if (blocks > 1) {
                high = all / blocks;
                higher = all - high * blocks;
            }
            divided_for = w;
        }
        t->last = V(first)(n - column - columns + V(width));
        t->unmasked = p < panels - 1 ? t->depth : t->depth > masked ? t->depth - masked : 0;
        t->a = a;
        t->c = c + column;
        t->v = v ? v + column : NULL;
        const int64_t w_next = p < panels - 1 ? wide + (p + 1 < wider) : 0;
        const int64_t lines = K(divide_up)(w_next * V(width) * (int64_t)sizeof(REAL), FM_LINE);
        const uintptr_t next = (uintptr_t)(t->b + columns);
        for (int64_t q = 0; q < blocks; q++) {
            const int64_t h = high + (q < higher), of_c = h - (q == 0 ? sums : 0);
            if (all == 1)
                rows[w](t);
            else if ((large || ahead) && K(choose_far)(transposed, large, p == 0, q, h, ahead, next, lines, t))
                far[h][w](t);
            else
                (q == 0 ? first : functions)[h][w](t);
            t->a += of_c * (transposed ? 1 : t->lda);
            t->c += of_c * t->ldc;
            t->v = v ? t->v + of_c * t->ldc : NULL;
        }
        t->b += columns;
        t->bias = t->bias ? t->bias + columns : NULL;
        t->sum = sums ? t->sum + columns : NULL;
        column += columns;
    }
}
