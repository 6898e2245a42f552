/* Products with sparse rows (CSR): an entry that is missing is skipped. Part of kernels_tmpl.h. */

/* What both products work on: m rows of a, and a panel of columns of the other two matrices, from and to. The rows of c and
 * d, one for each of a, are ld apart; those of b and g, of which a's entries say which, n. */
typedef struct K(csr_panel) {
    int64_t m, n, ld;
    const int64_t *indptr;
    const int32_t *indices, *index;
    const REAL *data, *bias, *from;
    REAL *to;
    V(mask) last; /* lanes of the panel's last vector */
} K(csr_panel);

/* Add the entries of row r, each times the row of `from` that it says, to acc; those rows are ld apart. */
FM_INLINE void K(csr_chains)(const int vectors, const K(csr_panel) p, int64_t r, int64_t ld, V(t) * acc)
{
    const int64_t end = p.indptr[r + 1];
    for (int64_t e = p.indptr[r]; e < end; e++) {
        const V(t) x = V(spread)(p.data + e);
        const REAL *row = p.from + p.indices[e] * ld;
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++) {
            const REAL *place = row + j * V(width);
            acc[j] = V(fma)(x, j == vectors - 1 ? V(load_first)(place, p.last) : V(load)(place), acc[j]);
        }
    }
}

/* With literal numbers of vectors what stays the same for a row is registers. p: a copy, because compilers take stores of
 * vectors for stores to anything that has an address. */
FM_INLINE void K(csr_product_rows)(const int vectors, const K(csr_panel) p)
{
    REAL *c = p.to;
    for (int64_t i = 0; i < p.m; i++, c += p.ld) {
        const int64_t r = p.index ? p.index[i] : i;
        V(t) acc[FM_ROW_VECTORS];
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++) {
            acc[j] = V(zero)();
            if (p.bias) {
                const REAL *place = p.bias + j * V(width);
                acc[j] = j == vectors - 1 ? V(load_first)(place, p.last) : V(load)(place);
            }
        }
        K(csr_chains)(vectors, p, r, p.n, acc);
        K(store_row)(vectors, acc, c, p.last, 0);
    }
}

FM_INLINE void K(csr_outer_rows)(const int vectors, const K(csr_panel) p)
{
    const REAL *d = p.from;
    for (int64_t i = 0; i < p.m; i++, d += p.ld) {
        const int64_t r = p.index ? p.index[i] : i, end = p.indptr[r + 1];
        V(t) delta[FM_ROW_VECTORS];
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++)
            delta[j] = j == vectors - 1 ? V(load_first)(d + j * V(width), p.last) : V(load)(d + j * V(width));
        for (int64_t e = p.indptr[r]; e < end; e++) {
            const V(t) x = V(spread)(p.data + e);
            REAL *g = p.to + p.indices[e] * p.n;
            FM_UNROLL(8)
            for (int j = 0; j < vectors; j++) {
                REAL *place = g + j * V(width);
                if (j < vectors - 1)
                    V(store)(place, V(fma)(x, delta[j], V(load)(place)));
                else
                    V(store_first)(place, p.last, V(fma)(x, delta[j], V(load_first)(place, p.last)));
            }
        }
    }
}

/* The panel of the gradient's rows that the index says, each with what its column has: read and written once. */
FM_INLINE void K(csr_columns_rows)(const int vectors, const K(csr_panel) p)
{
    for (int64_t i = 0; i < p.m; i++) {
        V(t) acc[FM_ROW_VECTORS];
        FM_UNROLL(8)
        for (int j = 0; j < vectors; j++)
            acc[j] = V(zero)();
        K(csr_chains)(vectors, p, i, p.ld, acc);
        K(store_row)(vectors, acc, p.to + p.index[i] * p.n, p.last, 1);
    }
}

typedef void (*K(csr_function))(const K(csr_panel) *);

#define FM_CSR(vectors, kind) \
    static void K(csr_##kind##_##vectors)(const K(csr_panel) * p) { K(csr_##kind##_rows)(vectors, *p); }
FM_UP_TO_8(FM_CSR, product)
FM_UP_TO_8(FM_CSR, outer)
FM_UP_TO_8(FM_CSR, columns)
static const K(csr_function) K(csr_products)[FM_ROW_VECTORS + 1] = FM_BY_VECTORS(csr_product);
static const K(csr_function) K(csr_outers)[FM_ROW_VECTORS + 1] = FM_BY_VECTORS(csr_outer);
static const K(csr_function) K(csr_columns_by_vectors)[FM_ROW_VECTORS + 1] = FM_BY_VECTORS(csr_columns);

/* All n columns, in panels as even as whole vectors allow. */
static void K(csr_panels)(const K(csr_function) * functions, K(csr_panel) * p)
{
    const int64_t vectors = K(divide_up)(p->n, V(width)), panels = K(divide_up)(vectors, FM_ROW_VECTORS);
    for (int64_t q = 0, left = p->n; q < panels; q++) {
        const int64_t wide = vectors / panels + (q < vectors % panels), columns = wide * V(width);
        p->last = V(first)(left - columns + V(width));
        functions[wide](p);
        left -= columns;
        p->from += columns;
        p->to += columns;
        p->bias = p->bias ? p->bias + columns : NULL;
    }
}

static void K(csr_product)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data,
                           const int32_t *index, const void *b, const void *bias, void *c, int64_t ldc)
{
    K(csr_panel) p = {m, n, ldc, indptr, indices, index, data, bias, b, c, V(first)(0)};
    K(csr_panels)(K(csr_products), &p);
}

static void K(csr_outer)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data,
                         const int32_t *index, const void *d, int64_t ldd, void *g)
{
    K(csr_panel) p = {m, n, ldd, indptr, indices, index, data, NULL, d, g, V(first)(0)};
    K(csr_panels)(K(csr_outers), &p);
}

static void K(csr_columns)(int64_t m, int64_t n, const int64_t *starts, const int32_t *rows, const void *data,
                           const int32_t *columns, const void *d, int64_t ldd, void *g)
{
    K(csr_panel) p = {m, n, ldd, starts, rows, columns, data, NULL, d, g, V(first)(0)};
    K(csr_panels)(K(csr_columns_by_vectors), &p);
}

static void K(csr_dot)(int64_t m, const int64_t *indptr, const int32_t *indices, const void *data_,
                       const int32_t *index, const void *w_, const void *bias, void *out_)
{
    const REAL *data = data_, *w = w_;
    REAL *out = out_;
    for (int64_t i = 0; i < m; i++) {
        const int64_t r = index ? index[i] : i;
        REAL lanes[FM_LANES] = {0};
        for (int64_t e = indptr[r]; e < indptr[r + 1]; e++) {
            REAL *s = lanes + indices[e] % FM_LANES;
            *s = V(fma1)(data[e], w[indices[e]], *s);
        }
        for (int half = FM_LANES / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++)
                lanes[l] += lanes[l + half];
        out[i] = bias ? lanes[0] + *(const REAL *)bias : lanes[0];
    }
}
