/* The vector vocabulary for processors with AVX2 and FMA: 256-bit vectors. Contracts: see vec_avx512.h. */
#ifndef FM_VEC_AVX2_H
#define FM_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#include "unroll.h"

/* 4 x 3 accumulators, 3 vectors of B and a broadcast fill the 16 registers. */
#define FM_TILE_VECTORS 3
#define FM_ROWS_OF_1 12
#define FM_ROWS_OF_2 6
#define FM_ROWS_OF_3 4

/* A window of 8 into this table, starting at 8 - n, has its first n entries set. */
static const int32_t fm_mask_window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

#define FM_VEC_INLINE static inline __attribute__((always_inline))

/* The first words of v, as many as m has, in multiples of `step`, 1 or 2: whole, or in a half, a quarter and a single one. A
 * masked store takes 12 cycles on Zen 4, a plain one 1 or 2. With step 2 the memory may be of any type. */
FM_VEC_INLINE void fm_store_words(const int step, float *p, __m256 m, __m256 v)
{
    int words = _mm256_movemask_ps(m);
    if (words == 0xff) {
        _mm256_storeu_ps(p, v);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(v);
    if (words & 8) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(v, 1);
        p += 4;
        words >>= 4;
    }
    if (words & 2) {
        _mm_storel_epi64((__m128i *)p, _mm_castps_si128(rest));
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
        words >>= 2;
    }
    if (step == 1 && words & 1)
        _mm_store_ss(p, rest);
}

/* float */

#define vf_width 8
typedef __m256 vf_t;
typedef __m256i vf_int;
typedef __m256 vf_mask;

static inline vf_mask vf_first(int64_t n)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(fm_mask_window + (n >= 8 ? 0 : 8 - n))));
}
static inline vf_t vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf_t v) { _mm256_storeu_ps(p, v); }
static inline vf_t vf_load_first(const float *p, vf_mask m) { return _mm256_maskload_ps(p, _mm256_castps_si256(m)); }
FM_VEC_INLINE void vf_store_first(float *p, vf_mask m, vf_t v) { fm_store_words(1, p, m, v); }
static inline vf_t vf_load1(const float *p) { return _mm256_zextps128_ps256(_mm_load_ss(p)); }
static inline void vf_store1(float *p, vf_t v) { _mm_store_ss(p, _mm256_castps256_ps128(v)); }
static inline vf_t vf_set1(float x) { return _mm256_set1_ps(x); }
static inline vf_t vf_spread(const float *p) { return vf_set1(*p); }
static inline vf_t vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf_t vf_add(vf_t a, vf_t b) { return _mm256_add_ps(a, b); }
static inline vf_t vf_sub(vf_t a, vf_t b) { return _mm256_sub_ps(a, b); }
static inline vf_t vf_mul(vf_t a, vf_t b) { return _mm256_mul_ps(a, b); }
static inline vf_t vf_div(vf_t a, vf_t b) { return _mm256_div_ps(a, b); }
static inline vf_t vf_fma(vf_t a, vf_t b, vf_t c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf_t vf_fma_low(vf_t a, const float *p, vf_t c)
{
    return _mm256_zextps128_ps256(_mm_fmadd_ps(_mm256_castps256_ps128(a), _mm_loadu_ps(p), _mm256_castps256_ps128(c)));
}
static inline vf_t vf_sqrt(int turn, vf_t a) { return (void)turn, _mm256_sqrt_ps(a); }
static inline vf_t vf_max(vf_t a, vf_t b) { return _mm256_max_ps(a, b); }
static inline vf_t vf_min(vf_t a, vf_t b) { return _mm256_min_ps(a, b); }
static inline vf_t vf_neg(vf_t a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
static inline vf_t vf_abs(vf_t a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf_t vf_copysign(vf_t magnitude, vf_t sign)
{
    const vf_t bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
static inline vf_mask vf_lt(vf_t a, vf_t b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vf_mask vf_le(vf_t a, vf_t b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline vf_mask vf_eq(vf_t a, vf_t b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline unsigned vf_lanes(vf_mask m) { return (unsigned)_mm256_movemask_ps(m); }
static inline vf_t vf_select(vf_mask m, vf_t a, vf_t b) { return _mm256_blendv_ps(b, a, m); }
static inline vf_t vf_keep(vf_mask m, vf_t a) { return _mm256_and_ps(m, a); }
static inline vf_int vf_bits(vf_t a) { return _mm256_castps_si256(a); }
static inline vf_t vf_real(vf_int a) { return _mm256_castsi256_ps(a); }
static inline vf_int vf_iset1(int32_t x) { return _mm256_set1_epi32(x); }
static inline vf_mask vf_any(vf_t a, vf_int bits)
{
    return vf_real(_mm256_cmpgt_epi32(_mm256_and_si256(vf_bits(a), bits), _mm256_setzero_si256()));
}
static inline vf_int vf_iadd(vf_int a, vf_int b) { return _mm256_add_epi32(a, b); }
static inline vf_int vf_isub(vf_int a, vf_int b) { return _mm256_sub_epi32(a, b); }
static inline vf_int vf_iand(vf_int a, vf_int b) { return _mm256_and_si256(a, b); }
static inline vf_int vf_ior(vf_int a, vf_int b) { return _mm256_or_si256(a, b); }
#define vf_ishl(a, n) _mm256_slli_epi32((a), (n))
#define vf_ishr(a, n) _mm256_srli_epi32((a), (n))
static inline vf_t vf_lookup(const float *table, vf_int i)
{
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), i);
}
static inline float vf_reduce16(const vf_t *s)
{
    const vf_t a = _mm256_add_ps(s[0], s[1]);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
/* The lower half of a + its upper half, then the same of b; of pairs in halves, of single numbers in pairs. */
static inline vf_t vf_fold4(vf_t a, vf_t b)
{
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
static inline vf_t vf_fold2(vf_t a, vf_t b)
{
    const __m256d c = _mm256_castps_pd(a), d = _mm256_castps_pd(b);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(c, d)), _mm256_castpd_ps(_mm256_unpackhi_pd(c, d)));
}
static inline vf_t vf_fold1(vf_t a, vf_t b)
{
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
}
FM_VEC_INLINE vf_t vf_sum_lanes(vf_t *r)
{
    const vf_t a = vf_fold2(vf_fold4(r[0], r[4]), vf_fold4(r[1], r[5]));
    const vf_t b = vf_fold2(vf_fold4(r[2], r[6]), vf_fold4(r[3], r[7]));
    return vf_fold1(a, b);
}
/* The two squares of 4 x 4 in the halves of r[0 .. 3]. */
FM_VEC_INLINE void vf_transpose4(vf_t *r)
{
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
    const __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    const __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
    r[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
    r[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
    r[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
    r[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
}
FM_VEC_INLINE void vf_transpose(vf_t *r)
{
    FM_UNROLL(4)
    for (int i = 0; i < 8; i += 4)
        vf_transpose4(r + i);
    /* Half q of r[4 g + c] now is column 4 q + c of rows 4 g .. 4 g + 3. */
    FM_UNROLL(8)
    for (int c = 0; c < 4; c++) {
        const vf_t a = r[c], b = r[4 + c];
        r[c] = _mm256_permute2f128_ps(a, b, 0x20);
        r[4 + c] = _mm256_permute2f128_ps(a, b, 0x31);
    }
}
FM_VEC_INLINE void vf_load4(const float *p, int64_t ld, const int32_t *index, int n, vf_t *r)
{
    const __m128i in = _mm256_castsi256_si128(_mm256_castps_si256(vf_first(n)));
#define FM_ROW(i) _mm_maskload_ps(p + (index ? index[i] : (int64_t)(i)) * ld, in)
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++)
        r[c] = _mm256_insertf128_ps(_mm256_castps128_ps256(FM_ROW(c)), FM_ROW(4 + c), 1);
#undef FM_ROW
    vf_transpose4(r);
}
FM_VEC_INLINE void vf_store4(float *p, int64_t ld, int n, vf_t *r)
{
    const vf_mask in = vf_first(n);
    vf_transpose4(r);
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++, p += ld) {
        vf_store_first(p, in, r[c]);
        vf_store_first(p + 4 * ld, in, _mm256_castps128_ps256(_mm256_extractf128_ps(r[c], 1)));
    }
}

static inline vf_t vf_codes(const int32_t *p, const int32_t *index, int64_t n)
{
    int32_t code[8];
    if (!index && n >= 8)
        return _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)p));
    for (int i = 0; i < 8; i++)
        code[i] = i < n ? p[index ? index[i] : i] : -1;
    return _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)code));
}

/* double */

#define vd_width 4
typedef __m256d vd_t;
typedef __m256i vd_int;
typedef __m256d vd_mask;

static inline vd_mask vd_first(int64_t n)
{
    return _mm256_castsi256_pd(_mm256_loadu_si256((const __m256i *)(fm_mask_window + (n >= 4 ? 0 : 8 - 2 * n))));
}
static inline vd_t vd_load(const double *p) { return _mm256_loadu_pd(p); }
static inline void vd_store(double *p, vd_t v) { _mm256_storeu_pd(p, v); }
static inline vd_t vd_load_first(const double *p, vd_mask m) { return _mm256_maskload_pd(p, _mm256_castpd_si256(m)); }
FM_VEC_INLINE void vd_store_first(double *p, vd_mask m, vd_t v)
{
    fm_store_words(2, (float *)p, _mm256_castpd_ps(m), _mm256_castpd_ps(v));
}
static inline vd_t vd_load1(const double *p) { return _mm256_zextpd128_pd256(_mm_load_sd(p)); }
static inline void vd_store1(double *p, vd_t v) { _mm_store_sd(p, _mm256_castpd256_pd128(v)); }
static inline vd_t vd_set1(double x) { return _mm256_set1_pd(x); }
static inline vd_t vd_spread(const double *p) { return vd_set1(*p); }
static inline vd_t vd_zero(void) { return _mm256_setzero_pd(); }
static inline vd_t vd_add(vd_t a, vd_t b) { return _mm256_add_pd(a, b); }
static inline vd_t vd_sub(vd_t a, vd_t b) { return _mm256_sub_pd(a, b); }
static inline vd_t vd_mul(vd_t a, vd_t b) { return _mm256_mul_pd(a, b); }
static inline vd_t vd_div(vd_t a, vd_t b) { return _mm256_div_pd(a, b); }
static inline vd_t vd_fma(vd_t a, vd_t b, vd_t c) { return _mm256_fmadd_pd(a, b, c); }
static inline vd_t vd_fma_low(vd_t a, const double *p, vd_t c)
{
    return _mm256_zextpd128_pd256(_mm_fmadd_pd(_mm256_castpd256_pd128(a), _mm_loadu_pd(p), _mm256_castpd256_pd128(c)));
}
static inline vd_t vd_sqrt(int turn, vd_t a) { return (void)turn, _mm256_sqrt_pd(a); }
static inline vd_t vd_max(vd_t a, vd_t b) { return _mm256_max_pd(a, b); }
static inline vd_t vd_min(vd_t a, vd_t b) { return _mm256_min_pd(a, b); }
static inline vd_t vd_neg(vd_t a) { return _mm256_xor_pd(a, _mm256_set1_pd(-0.0)); }
static inline vd_t vd_abs(vd_t a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
static inline vd_t vd_copysign(vd_t magnitude, vd_t sign)
{
    const vd_t bit = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(bit, magnitude), _mm256_and_pd(bit, sign));
}
static inline vd_mask vd_lt(vd_t a, vd_t b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
static inline vd_mask vd_le(vd_t a, vd_t b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
static inline vd_mask vd_eq(vd_t a, vd_t b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
static inline unsigned vd_lanes(vd_mask m) { return (unsigned)_mm256_movemask_pd(m); }
static inline vd_t vd_select(vd_mask m, vd_t a, vd_t b) { return _mm256_blendv_pd(b, a, m); }
static inline vd_t vd_keep(vd_mask m, vd_t a) { return _mm256_and_pd(m, a); }
static inline vd_int vd_bits(vd_t a) { return _mm256_castpd_si256(a); }
static inline vd_t vd_real(vd_int a) { return _mm256_castsi256_pd(a); }
static inline vd_int vd_iset1(int64_t x) { return _mm256_set1_epi64x(x); }
static inline vd_mask vd_any(vd_t a, vd_int bits)
{
    return vd_real(_mm256_cmpgt_epi64(_mm256_and_si256(vd_bits(a), bits), _mm256_setzero_si256()));
}
static inline vd_int vd_iadd(vd_int a, vd_int b) { return _mm256_add_epi64(a, b); }
static inline vd_int vd_isub(vd_int a, vd_int b) { return _mm256_sub_epi64(a, b); }
static inline vd_int vd_iand(vd_int a, vd_int b) { return _mm256_and_si256(a, b); }
static inline vd_int vd_ior(vd_int a, vd_int b) { return _mm256_or_si256(a, b); }
static inline vd_int vd_ixor(vd_int a, vd_int b) { return _mm256_xor_si256(a, b); }
static inline vd_int vd_imul32(vd_int a, vd_int b) { return _mm256_mul_epu32(a, b); }
#define vd_ishl(a, n) _mm256_slli_epi64((a), (n))
#define vd_ishr(a, n) _mm256_srli_epi64((a), (n))
static inline double vd_reduce16(const vd_t *s)
{
    const vd_t a = _mm256_add_pd(_mm256_add_pd(s[0], s[2]), _mm256_add_pd(s[1], s[3]));
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}
static inline vd_t vd_fold2(vd_t a, vd_t b)
{
    return _mm256_add_pd(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31));
}
FM_VEC_INLINE vd_t vd_sum_lanes(vd_t *r)
{
    const vd_t a = vd_fold2(r[0], r[2]), b = vd_fold2(r[1], r[3]);
    return _mm256_add_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
}
FM_VEC_INLINE void vd_transpose(vd_t *r)
{
    vd_t t[4];
    FM_UNROLL(8)
    for (int i = 0; i < 4; i += 2) {
        t[i] = _mm256_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_pd(r[i], r[i + 1]);
    }
    FM_UNROLL(8)
    for (int c = 0; c < 2; c++) {
        r[c] = _mm256_permute2f128_pd(t[c], t[2 + c], 0x20);
        r[2 + c] = _mm256_permute2f128_pd(t[c], t[2 + c], 0x31);
    }
}
FM_VEC_INLINE void vd_load4(const double *p, int64_t ld, const int32_t *index, int n, vd_t *r)
{
    const vd_mask in = vd_first(n);
    FM_UNROLL(4)
    for (int i = 0; i < 4; i++)
        r[i] = vd_load_first(p + (index ? index[i] : (int64_t)i) * ld, in);
    vd_transpose(r);
}
FM_VEC_INLINE void vd_store4(double *p, int64_t ld, int n, vd_t *r)
{
    const vd_mask in = vd_first(n);
    vd_transpose(r);
    FM_UNROLL(4)
    for (int i = 0; i < 4; i++)
        vd_store_first(p + i * ld, in, r[i]);
}
static inline vd_t vd_codes(const int32_t *p, const int32_t *index, int64_t n)
{
    int32_t code[4];
    if (!index && n >= 4)
        return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)p));
    for (int i = 0; i < 4; i++)
        code[i] = i < n ? p[index ? index[i] : i] : -1;
    return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)code));
}

static inline void vf_widen(vf_t a, vd_t *out)
{
    out[0] = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    out[1] = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}
static inline void vd_widen(vd_t a, vd_t *out) { out[0] = a; }
static inline void vf_load_wide(const float *p, vd_t *out)
{
    out[0] = _mm256_cvtps_pd(_mm_loadu_ps(p));
    out[1] = _mm256_cvtps_pd(_mm_loadu_ps(p + 4));
}
static inline void vd_load_wide(const double *p, vd_t *out) { out[0] = vd_load(p); }

/* fma of single numbers. */
static inline float vf_fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double vd_fma1(double a, double b, double c) { return __builtin_fma(a, b, c); }

#endif
