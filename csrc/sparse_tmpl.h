/* Products with sparse rows (CSR): an entry that is missing is skipped. Part of kernels_tmpl.h. */

static void K(csr_product)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data_,
                           const int32_t *index, const void *b_, const void *bias_, void *c_, int64_t ldc)
{
    const REAL *data = data_, *b = b_, *bias = bias_;
    REAL *c = c_;
    enum { CHUNK = 4 };
    for (int64_t i = 0; i < m; i++) {
        const int64_t r = index ? index[i] : i, end = indptr[r + 1];
        for (int64_t j = 0; j < n; j += CHUNK * V(width)) {
            V(t) acc[CHUNK];
            V(mask) mask[CHUNK];
            for (int v = 0; v < CHUNK; v++) {
                const int64_t left = n - j - v * V(width);
                mask[v] = V(first)(left > 0 ? left : 0);
                acc[v] = bias ? V(load_first)(bias + j + v * V(width), mask[v]) : V(zero)();
            }
            for (int64_t e = indptr[r]; e < end; e++) {
                const V(t) x = V(set1)(data[e]);
                const REAL *row = b + (int64_t)indices[e] * n + j;
                for (int v = 0; v < CHUNK; v++)
                    acc[v] = V(fma)(x, V(load_first)(row + v * V(width), mask[v]), acc[v]);
            }
            for (int v = 0; v < CHUNK; v++)
                V(store_first)(c + i * ldc + j + v * V(width), mask[v], acc[v]);
        }
    }
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

static void K(csr_outer)(int64_t m, int64_t n, const int64_t *indptr, const int32_t *indices, const void *data_,
                         const int32_t *index, const void *d_, int64_t ldd, void *g_)
{
    const REAL *data = data_, *d = d_;
    REAL *g = g_;
    for (int64_t i = 0; i < m; i++) {
        const int64_t r = index ? index[i] : i;
        for (int64_t e = indptr[r]; e < indptr[r + 1]; e++) {
            const V(t) x = V(set1)(data[e]);
            REAL *row = g + (int64_t)indices[e] * n;
            for (int64_t j = 0; j < n; j += V(width)) {
                const V(mask) mask = V(first)(n - j);
                const V(t) sum = V(load_first)(row + j, mask);
                V(store_first)(row + j, mask, V(fma)(x, V(load_first)(d + i * ldd + j, mask), sum));
            }
        }
    }
}
