/* The vector vocabulary for processors with AVX-512 F, DQ, BW and VL: 512-bit vectors.
 *
 * Every vec_<isa>.h defines the same names, once with the prefix vf_ (float) and once with vd_ (double); the templates
 * reach them through V(name). Contracts that all of them keep:
 *
 *   first(n)           mask of the lanes 0 .. n-1 (n may exceed the width)
 *   load_first(p, m)   the lanes of m from memory, +0 elsewhere; memory outside m is not touched
 *   store_first        likewise; m is one that first made
 *   load1(p), store1   one number: the first lane, +0 in the others
 *   fma(a, b, c)       a * b + c, rounded once (the scalar vocabulary rounds twice)
 *   spread(p)          set1 of the number at p
 *   fma_low(a, p, c)   a * b + c of the lower half of the lanes, b from memory; what is in the other half is undefined
 *   max(a, b), min     b where a or b is NaN: max(bound, x) lets a NaN in x through
 *   lt, le, eq         false where an operand is NaN
 *   sqrt(turn, a)      the square root, rounded correctly; turn, a constant: the place of a among vectors whose roots are
 *                      wanted at the same time, where not all need take the same way to it; -1: the rarer way
 *   select(m, a, b)    a where m, else b
 *   lanes(m)           the mask as bits, the first lane the lowest
 *   reduce16(s)        the sum of 16 virtual lanes by halves: s[j] += s[j + 8], then 4, 2, 1
 *   sum_lanes(r)       lane i is the sum of the lanes of r[i], i < width, by halves; r may be overwritten
 *   transpose(r)       the square of the vectors r[0 .. width - 1], in place
 *   load4(p, ld, index, n, r)
 *                      the first n numbers, 4 at most, of `width` rows ld apart, or of rows p + index[i] ld, transposed:
 *                      lane i of r[j] is number j of row i, for j < 4; 0 where j >= n
 *   store4(p, ld, n, r)
 *                      into rows, the other way round; r is overwritten
 *   codes(p, index, n) the first n integers at p, or those at p + index[i], as reals; -1 in the other lanes; n may be
 *                      negative or exceed the width
 *   widen(a, out)      the lanes of a as doubles, in order: width / vd_width vectors
 *   load_wide(p, out)  the same of the `width` numbers at p
 *   i...               integer arithmetic on the bit patterns, as wide as the real type
 *   any(x, bits)       whether one of the bits, which leave out the sign, is set in the pattern of x
 *   keep(m, a)         a where m, else +0
 *   lookup(p, i)       (float only) p[i & 7], lane by lane
 *   imul32(a, b)       (double only) the product of the lower halves of the lanes, unsigned
 */
#ifndef FM_VEC_AVX512_H
#define FM_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "unroll.h"

/* Vectors of the register tile of a matrix product, and the rows of tiles of 1, 2 and 3 vectors: 8 x 3 accumulators, 3
 * vectors of B and a broadcast fit 32 registers. A narrower tile has more rows, so that a vector of B serves more of
 * them. A single row takes up to 8 vectors, so that as many chains are in flight. */
#define FM_TILE_VECTORS 3
#define FM_ROWS_OF_1 16
#define FM_ROWS_OF_2 12
#define FM_ROWS_OF_3 8

/* Keeps a number in a general register. */
#define FM_KEEP(n) __asm__("" : "+r"(n))

/* Keeps a part of a vector in a register of its own: gcc makes one instruction of an extraction and a masked store, and
 * that one faults where the numbers that are left out would lie in no memory. */
#define FM_EXTRACTED(v) __asm__("" : "+v"(v))

#define FM_VEC_INLINE static inline __attribute__((always_inline))

/* float */

#define vf_width 16
typedef __m512 vf_t;
typedef __m512i vf_int;
typedef __mmask16 vf_mask;

static inline vf_mask vf_first(int64_t n) { return n >= 16 ? (vf_mask)0xffff : (vf_mask)((1u << n) - 1u); }
static inline vf_t vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf_t v) { _mm512_storeu_ps(p, v); }
static inline vf_t vf_load_first(const float *p, vf_mask m) { return _mm512_maskz_loadu_ps(m, p); }
static inline void vf_store_first(float *p, vf_mask m, vf_t v) { _mm512_mask_storeu_ps(p, m, v); }
static inline vf_t vf_load1(const float *p) { return _mm512_zextps128_ps512(_mm_load_ss(p)); }
static inline void vf_store1(float *p, vf_t v) { _mm_store_ss(p, _mm512_castps512_ps128(v)); }
static inline vf_t vf_set1(float x) { return _mm512_set1_ps(x); }
/* Through a general register: ports that load vectors are left to others. */
static inline vf_t vf_spread(const float *p)
{
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    FM_KEEP(bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
}
static inline vf_t vf_fma_low(vf_t a, const float *p, vf_t c)
{
    return _mm512_zextps256_ps512(
        _mm256_fmadd_ps(_mm512_castps512_ps256(a), _mm256_loadu_ps(p), _mm512_castps512_ps256(c)));
}
static inline vf_t vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf_t vf_add(vf_t a, vf_t b) { return _mm512_add_ps(a, b); }
static inline vf_t vf_sub(vf_t a, vf_t b) { return _mm512_sub_ps(a, b); }
static inline vf_t vf_mul(vf_t a, vf_t b) { return _mm512_mul_ps(a, b); }
static inline vf_t vf_div(vf_t a, vf_t b) { return _mm512_div_ps(a, b); }
static inline vf_t vf_fma(vf_t a, vf_t b, vf_t c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf_t vf_sqrt(int turn, vf_t a) { return (void)turn, _mm512_sqrt_ps(a); }
static inline vf_t vf_max(vf_t a, vf_t b) { return _mm512_max_ps(a, b); }
static inline vf_t vf_min(vf_t a, vf_t b) { return _mm512_min_ps(a, b); }
static inline vf_t vf_neg(vf_t a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
static inline vf_t vf_abs(vf_t a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf_t vf_copysign(vf_t magnitude, vf_t sign)
{
    const vf_t bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
static inline vf_mask vf_lt(vf_t a, vf_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vf_mask vf_le(vf_t a, vf_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline vf_mask vf_eq(vf_t a, vf_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline unsigned vf_lanes(vf_mask m) { return m; }
static inline vf_t vf_select(vf_mask m, vf_t a, vf_t b) { return _mm512_mask_blend_ps(m, b, a); }
static inline vf_t vf_keep(vf_mask m, vf_t a) { return _mm512_maskz_mov_ps(m, a); }
static inline vf_int vf_bits(vf_t a) { return _mm512_castps_si512(a); }
static inline vf_t vf_real(vf_int a) { return _mm512_castsi512_ps(a); }
static inline vf_int vf_iset1(int32_t x) { return _mm512_set1_epi32(x); }
static inline vf_mask vf_any(vf_t a, vf_int bits) { return _mm512_test_epi32_mask(vf_bits(a), bits); }
static inline vf_int vf_iadd(vf_int a, vf_int b) { return _mm512_add_epi32(a, b); }
static inline vf_int vf_isub(vf_int a, vf_int b) { return _mm512_sub_epi32(a, b); }
static inline vf_int vf_iand(vf_int a, vf_int b) { return _mm512_and_si512(a, b); }
static inline vf_int vf_ior(vf_int a, vf_int b) { return _mm512_or_si512(a, b); }
#define vf_ishl(a, n) _mm512_slli_epi32((a), (n))
#define vf_ishr(a, n) _mm512_srli_epi32((a), (n))
static inline vf_t vf_lookup(const float *table, vf_int i)
{
    return _mm512_permutexvar_ps(i, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
}
static inline float vf_reduce16(const vf_t *s)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(s[0]), _mm512_extractf32x8_ps(s[0], 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
/* The lower half of a + its upper half, then the same of b; of quarters, of pairs in them, of single numbers in these. */
static inline vf_t vf_fold8(vf_t a, vf_t b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
static inline vf_t vf_fold4(vf_t a, vf_t b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
static inline vf_t vf_fold2(vf_t a, vf_t b)
{
    const __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
}
static inline vf_t vf_fold1(vf_t a, vf_t b)
{
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}
FM_VEC_INLINE vf_t vf_sum_lanes(vf_t *r)
{
    /* Which rows meet when is what puts them in order in the end. */
    for (int g = 0; g < 16; g += 8)
        for (int i = 0; i < 4; i++)
            r[g + i] = vf_fold8(r[g + i], r[g + 4 + i]);
    for (int i = 0; i < 4; i++)
        r[i] = vf_fold4(r[i], r[8 + i]);
    return vf_fold1(vf_fold2(r[0], r[1]), vf_fold2(r[2], r[3]));
}
/* The four squares of 4 x 4 in the quarters of r[0 .. 3]. */
FM_VEC_INLINE void vf_transpose4(vf_t *r)
{
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    r[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}
FM_VEC_INLINE void vf_transpose(vf_t *r)
{
    FM_UNROLL(4)
    for (int i = 0; i < 16; i += 4)
        vf_transpose4(r + i);
    /* Quarter q of r[4 g + c] now is column 4 q + c of rows 4 g .. 4 g + 3. */
    FM_UNROLL(8)
    for (int c = 0; c < 4; c++) {
        const vf_t a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44), b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
        const vf_t d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44);
        const vf_t e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
        r[c] = _mm512_shuffle_f32x4(a, d, 0x88);
        r[4 + c] = _mm512_shuffle_f32x4(a, d, 0xdd);
        r[8 + c] = _mm512_shuffle_f32x4(b, e, 0x88);
        r[12 + c] = _mm512_shuffle_f32x4(b, e, 0xdd);
    }
}
FM_VEC_INLINE void vf_load4(const float *p, int64_t ld, const int32_t *index, int n, vf_t *r)
{
    const __mmask8 in = (__mmask8)((1u << n) - 1u);
#define FM_ROW(i) _mm_maskz_loadu_ps(in, p + (index ? index[i] : (int64_t)(i)) * ld)
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++) {
        r[c] = _mm512_castps128_ps512(FM_ROW(c));
        r[c] = _mm512_insertf32x4(r[c], FM_ROW(4 + c), 1);
        r[c] = _mm512_insertf32x4(r[c], FM_ROW(8 + c), 2);
        r[c] = _mm512_insertf32x4(r[c], FM_ROW(12 + c), 3);
    }
#undef FM_ROW
    vf_transpose4(r);
}
FM_VEC_INLINE void vf_store4(float *p, int64_t ld, int n, vf_t *r)
{
    const __mmask8 in = (__mmask8)((1u << n) - 1u);
    vf_transpose4(r);
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++, p += ld) {
        __m128 q0 = _mm512_castps512_ps128(r[c]), q1 = _mm512_extractf32x4_ps(r[c], 1);
        __m128 q2 = _mm512_extractf32x4_ps(r[c], 2), q3 = _mm512_extractf32x4_ps(r[c], 3);
        FM_EXTRACTED(q0);
        FM_EXTRACTED(q1);
        FM_EXTRACTED(q2);
        FM_EXTRACTED(q3);
        _mm_mask_storeu_ps(p, in, q0);
        _mm_mask_storeu_ps(p + 4 * ld, in, q1);
        _mm_mask_storeu_ps(p + 8 * ld, in, q2);
        _mm_mask_storeu_ps(p + 12 * ld, in, q3);
    }
}

static inline vf_t vf_codes(const int32_t *p, const int32_t *index, int64_t n)
{
    int32_t code[16];
    if (!index && n >= 16)
        return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
    for (int i = 0; i < 16; i++)
        code[i] = i < n ? p[index ? index[i] : i] : -1;
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(code));
}

/* double */

#define vd_width 8
typedef __m512d vd_t;
typedef __m512i vd_int;
typedef __mmask8 vd_mask;

static inline vd_mask vd_first(int64_t n) { return n >= 8 ? (vd_mask)0xff : (vd_mask)((1u << n) - 1u); }
static inline vd_t vd_load(const double *p) { return _mm512_loadu_pd(p); }
static inline void vd_store(double *p, vd_t v) { _mm512_storeu_pd(p, v); }
static inline vd_t vd_load_first(const double *p, vd_mask m) { return _mm512_maskz_loadu_pd(m, p); }
static inline void vd_store_first(double *p, vd_mask m, vd_t v) { _mm512_mask_storeu_pd(p, m, v); }
static inline vd_t vd_load1(const double *p) { return _mm512_zextpd128_pd512(_mm_load_sd(p)); }
static inline void vd_store1(double *p, vd_t v) { _mm_store_sd(p, _mm512_castpd512_pd128(v)); }
static inline vd_t vd_set1(double x) { return _mm512_set1_pd(x); }
static inline vd_t vd_spread(const double *p)
{
    int64_t bits;
    memcpy(&bits, p, sizeof bits);
    FM_KEEP(bits);
    return _mm512_castsi512_pd(_mm512_set1_epi64(bits));
}
static inline vd_t vd_fma_low(vd_t a, const double *p, vd_t c)
{
    return _mm512_zextpd256_pd512(
        _mm256_fmadd_pd(_mm512_castpd512_pd256(a), _mm256_loadu_pd(p), _mm512_castpd512_pd256(c)));
}
static inline vd_t vd_zero(void) { return _mm512_setzero_pd(); }
static inline vd_t vd_add(vd_t a, vd_t b) { return _mm512_add_pd(a, b); }
static inline vd_t vd_sub(vd_t a, vd_t b) { return _mm512_sub_pd(a, b); }
static inline vd_t vd_mul(vd_t a, vd_t b) { return _mm512_mul_pd(a, b); }
static inline vd_t vd_div(vd_t a, vd_t b) { return _mm512_div_pd(a, b); }
static inline vd_t vd_fma(vd_t a, vd_t b, vd_t c) { return _mm512_fmadd_pd(a, b, c); }
static inline vd_t vd_max(vd_t a, vd_t b) { return _mm512_max_pd(a, b); }
static inline vd_t vd_min(vd_t a, vd_t b) { return _mm512_min_pd(a, b); }
static inline vd_t vd_neg(vd_t a) { return _mm512_xor_pd(a, _mm512_set1_pd(-0.0)); }
static inline vd_t vd_abs(vd_t a) { return _mm512_andnot_pd(_mm512_set1_pd(-0.0), a); }
static inline vd_t vd_copysign(vd_t magnitude, vd_t sign)
{
    const vd_t bit = _mm512_set1_pd(-0.0);
    return _mm512_or_pd(_mm512_andnot_pd(bit, magnitude), _mm512_and_pd(bit, sign));
}
static inline vd_mask vd_lt(vd_t a, vd_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline vd_mask vd_le(vd_t a, vd_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
static inline vd_mask vd_eq(vd_t a, vd_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
static inline unsigned vd_lanes(vd_mask m) { return m; }
static inline vd_t vd_select(vd_mask m, vd_t a, vd_t b) { return _mm512_mask_blend_pd(m, b, a); }
static inline vd_t vd_keep(vd_mask m, vd_t a) { return _mm512_maskz_mov_pd(m, a); }
static inline vd_int vd_bits(vd_t a) { return _mm512_castpd_si512(a); }
static inline vd_t vd_real(vd_int a) { return _mm512_castsi512_pd(a); }
static inline vd_int vd_iset1(int64_t x) { return _mm512_set1_epi64(x); }
static inline vd_mask vd_any(vd_t a, vd_int bits) { return _mm512_test_epi64_mask(vd_bits(a), bits); }
static inline vd_int vd_iadd(vd_int a, vd_int b) { return _mm512_add_epi64(a, b); }
static inline vd_int vd_isub(vd_int a, vd_int b) { return _mm512_sub_epi64(a, b); }
static inline vd_int vd_iand(vd_int a, vd_int b) { return _mm512_and_si512(a, b); }
static inline vd_int vd_ior(vd_int a, vd_int b) { return _mm512_or_si512(a, b); }
static inline vd_int vd_ixor(vd_int a, vd_int b) { return _mm512_xor_si512(a, b); }
static inline vd_int vd_imul32(vd_int a, vd_int b) { return _mm512_mul_epu32(a, b); }
#define vd_ishl(a, n) _mm512_slli_epi64((a), (n))
#define vd_ishr(a, n) _mm512_srli_epi64((a), (n))

/* The square root by multiplications, because the divider takes 22 cycles for it (Intel): g to x^(1/2) and h to x^(-1/2) / 2
 * (Goldschmidt), from the bits of x and a step of third order, whose constants make it good to 2.5e-5; two more steps leave
 * g within 1.5 and h within 1.7 units of the last place: what the steps before them rounded remains. The last step adds
 * (x - g^2) h to g, which is off by less than 2^-49 units (2^-51.8 was seen) before it is rounded; a root of a double is no
 * nearer than 2^-56 to the middle between two doubles, and where it is nearer than 2^-47, tests/test_vmath.py has all of
 * them. Below 2^-960, where the last places of x - g^2 may be denormal, and of numbers that are negative or not finite, the
 * divider's root; of 0, 0. */
static inline vd_t vd_multiplied_sqrt(vd_t x)
{
    const __mmask8 large = _mm512_cmp_pd_mask(x, _mm512_set1_pd(0x1p-960), _CMP_GE_OQ);
    const __mmask8 within = _mm512_mask_cmp_pd_mask(large, x, _mm512_set1_pd(0x1.fffffffffffffp+1023), _CMP_LE_OQ);
    if (!_kortestc_mask8_u8(within, _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_EQ_OQ)))
        return _mm512_sqrt_pd(x);
    const vd_t half = _mm512_set1_pd(0.5);
    const vd_int bits = _mm512_sub_epi64(_mm512_set1_epi64(0x5fe6ea69d677f000), _mm512_srli_epi64(vd_bits(x), 1));
    const vd_t y = vd_real(bits), e = _mm512_fnmadd_pd(vd_mul(x, y), y, vd_set1(1));
    const vd_t z = vd_fma(vd_mul(y, e), vd_fma(vd_set1(0.375751847), e, vd_set1(0.501093549)), y);
    vd_t g = vd_mul(x, z), h = vd_mul(half, z);
    FM_UNROLL(2)
    for (int step = 0; step < 2; step++) {
        const vd_t r = _mm512_fnmadd_pd(g, h, half);
        g = vd_fma(g, r, g);
        h = vd_fma(h, r, h);
    }
    return vd_fma(_mm512_fnmadd_pd(g, g, x), h, g);
}
/* Of four vectors one, which keeps divider and multipliers busy for the same time; none where each multiplication takes two
 * passes. */
static inline vd_t vd_sqrt(int turn, vd_t a)
{
    return turn < 0 || (turn % 4 == 0 && !fm_halves_are_faster) ? vd_multiplied_sqrt(a) : _mm512_sqrt_pd(a);
}

static inline double vd_reduce16(const vd_t *s)
{
    const vd_t h = _mm512_add_pd(s[0], s[1]);
    const __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(h), _mm512_extractf64x4_pd(h, 1));
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}
static inline vd_t vd_fold4(vd_t a, vd_t b)
{
    return _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x44), _mm512_shuffle_f64x2(a, b, 0xee));
}
static inline vd_t vd_fold2(vd_t a, vd_t b)
{
    return _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x88), _mm512_shuffle_f64x2(a, b, 0xdd));
}
static inline vd_t vd_fold1(vd_t a, vd_t b)
{
    return _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
}
FM_VEC_INLINE vd_t vd_sum_lanes(vd_t *r)
{
    const vd_t a = vd_fold2(vd_fold4(r[0], r[2]), vd_fold4(r[4], r[6]));
    const vd_t b = vd_fold2(vd_fold4(r[1], r[3]), vd_fold4(r[5], r[7]));
    return vd_fold1(a, b);
}
FM_VEC_INLINE void vd_transpose(vd_t *r)
{
    vd_t t[8];
    FM_UNROLL(8)
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    /* Quarter q of t[2 g + c] now is column 2 q + c of rows 2 g and 2 g + 1. */
    FM_UNROLL(8)
    for (int c = 0; c < 2; c++) {
        const vd_t a = _mm512_shuffle_f64x2(t[c], t[2 + c], 0x44), b = _mm512_shuffle_f64x2(t[c], t[2 + c], 0xee);
        const vd_t d = _mm512_shuffle_f64x2(t[4 + c], t[6 + c], 0x44);
        const vd_t e = _mm512_shuffle_f64x2(t[4 + c], t[6 + c], 0xee);
        r[c] = _mm512_shuffle_f64x2(a, d, 0x88);
        r[2 + c] = _mm512_shuffle_f64x2(a, d, 0xdd);
        r[4 + c] = _mm512_shuffle_f64x2(b, e, 0x88);
        r[6 + c] = _mm512_shuffle_f64x2(b, e, 0xdd);
    }
}
/* The two squares of 4 x 4 in the halves of r[0 .. 3]. */
FM_VEC_INLINE void vd_transpose4(vd_t *r)
{
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const vd_t a = _mm512_unpacklo_pd(r[0], r[1]), b = _mm512_unpackhi_pd(r[0], r[1]);
    const vd_t c = _mm512_unpacklo_pd(r[2], r[3]), d = _mm512_unpackhi_pd(r[2], r[3]);
    r[0] = _mm512_permutex2var_pd(a, low, c);
    r[1] = _mm512_permutex2var_pd(b, low, d);
    r[2] = _mm512_permutex2var_pd(a, high, c);
    r[3] = _mm512_permutex2var_pd(b, high, d);
}
FM_VEC_INLINE void vd_load4(const double *p, int64_t ld, const int32_t *index, int n, vd_t *r)
{
    const __mmask8 in = (__mmask8)((1u << n) - 1u);
#define FM_ROW(i) _mm256_maskz_loadu_pd(in, p + (index ? index[i] : (int64_t)(i)) * ld)
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++)
        r[c] = _mm512_insertf64x4(_mm512_castpd256_pd512(FM_ROW(c)), FM_ROW(4 + c), 1);
#undef FM_ROW
    vd_transpose4(r);
}
FM_VEC_INLINE void vd_store4(double *p, int64_t ld, int n, vd_t *r)
{
    const __mmask8 in = (__mmask8)((1u << n) - 1u);
    vd_transpose4(r);
    FM_UNROLL(4)
    for (int c = 0; c < 4; c++, p += ld) {
        __m256d low = _mm512_castpd512_pd256(r[c]), high = _mm512_extractf64x4_pd(r[c], 1);
        FM_EXTRACTED(low);
        FM_EXTRACTED(high);
        _mm256_mask_storeu_pd(p, in, low);
        _mm256_mask_storeu_pd(p + 4 * ld, in, high);
    }
}
static inline vd_t vd_codes(const int32_t *p, const int32_t *index, int64_t n)
{
    int32_t code[8];
    if (!index && n >= 8)
        return _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)p));
    for (int i = 0; i < 8; i++)
        code[i] = i < n ? p[index ? index[i] : i] : -1;
    return _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)code));
}

static inline void vf_widen(vf_t a, vd_t *out)
{
    out[0] = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    out[1] = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}
static inline void vd_widen(vd_t a, vd_t *out) { out[0] = a; }
static inline void vf_load_wide(const float *p, vd_t *out)
{
    out[0] = _mm512_cvtps_pd(_mm256_loadu_ps(p));
    out[1] = _mm512_cvtps_pd(_mm256_loadu_ps(p + 8));
}
static inline void vd_load_wide(const double *p, vd_t *out) { out[0] = vd_load(p); }

/* fma of single numbers. */
static inline float vf_fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double vd_fma1(double a, double b, double c) { return __builtin_fma(a, b, c); }

#endif
