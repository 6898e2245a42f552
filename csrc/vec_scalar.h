/* The vector vocabulary in plain C, for any processor: a vector is one number. Contracts: see vec_avx512.h.
 *
 * fma rounds twice here, because the C library's fma is a slow call where the processor has none. Results therefore
 * keep to a tolerance of the other variants', not to their bits. */
#ifndef FM_VEC_SCALAR_H
#define FM_VEC_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "unroll.h"

#define FM_TILE_VECTORS 3
#define FM_ROWS_OF_1 12
#define FM_ROWS_OF_2 6
#define FM_ROWS_OF_3 4

/* float */

#define vf_width 1
typedef float vf_t;
typedef int32_t vf_int;
typedef int vf_mask;

static inline vf_mask vf_first(int64_t n) { return n >= 1; }
static inline vf_t vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf_t v) { *p = v; }
static inline vf_t vf_load_first(const float *p, vf_mask m) { return m ? *p : 0.0f; }
static inline void vf_store_first(float *p, vf_mask m, vf_t v)
{
    if (m)
        *p = v;
}
static inline vf_t vf_load1(const float *p) { return *p; }
static inline void vf_store1(float *p, vf_t v) { *p = v; }
static inline vf_t vf_set1(float x) { return x; }
static inline vf_t vf_spread(const float *p) { return vf_set1(*p); }
static inline vf_t vf_zero(void) { return 0.0f; }
static inline vf_t vf_add(vf_t a, vf_t b) { return a + b; }
static inline vf_t vf_sub(vf_t a, vf_t b) { return a - b; }
static inline vf_t vf_mul(vf_t a, vf_t b) { return a * b; }
static inline vf_t vf_div(vf_t a, vf_t b) { return a / b; }
static inline vf_t vf_fma(vf_t a, vf_t b, vf_t c) { return a * b + c; }
static inline vf_t vf_fma_low(vf_t a, const float *p, vf_t c) { return a * *p + c; }
static inline vf_t vf_sqrt(int turn, vf_t a) { return (void)turn, sqrtf(a); }
static inline vf_t vf_max(vf_t a, vf_t b) { return a > b ? a : b; }
static inline vf_t vf_min(vf_t a, vf_t b) { return a < b ? a : b; }
static inline vf_t vf_neg(vf_t a) { return -a; }
static inline vf_t vf_abs(vf_t a) { return fabsf(a); }
static inline vf_t vf_copysign(vf_t magnitude, vf_t sign) { return copysignf(magnitude, sign); }
static inline vf_mask vf_lt(vf_t a, vf_t b) { return a < b; }
static inline vf_mask vf_le(vf_t a, vf_t b) { return a <= b; }
static inline vf_mask vf_eq(vf_t a, vf_t b) { return a == b; }
static inline unsigned vf_lanes(vf_mask m) { return (unsigned)m; }
static inline vf_t vf_select(vf_mask m, vf_t a, vf_t b) { return m ? a : b; }
static inline vf_t vf_keep(vf_mask m, vf_t a) { return m ? a : 0; }
static inline vf_int vf_bits(vf_t a)
{
    vf_int i;
    memcpy(&i, &a, sizeof i);
    return i;
}
static inline vf_t vf_real(vf_int i)
{
    vf_t a;
    memcpy(&a, &i, sizeof a);
    return a;
}
static inline vf_int vf_iset1(int32_t x) { return x; }
static inline vf_mask vf_any(vf_t a, vf_int bits) { return (vf_bits(a) & bits) != 0; }
static inline vf_int vf_iadd(vf_int a, vf_int b) { return (vf_int)((uint32_t)a + (uint32_t)b); }
static inline vf_int vf_isub(vf_int a, vf_int b) { return (vf_int)((uint32_t)a - (uint32_t)b); }
static inline vf_int vf_iand(vf_int a, vf_int b) { return a & b; }
static inline vf_int vf_ior(vf_int a, vf_int b) { return a | b; }
static inline vf_int vf_ishl(vf_int a, int n) { return (vf_int)((uint32_t)a << n); }
static inline vf_int vf_ishr(vf_int a, int n) { return (vf_int)((uint32_t)a >> n); }
static inline vf_t vf_lookup(const float *table, vf_int i) { return table[i & 7]; }
static inline float vf_reduce16(const vf_t *s)
{
    float t[16];
    memcpy(t, s, sizeof t);
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            t[j] += t[j + half];
    return t[0];
}

/* double */

#define vd_width 1
typedef double vd_t;
typedef int64_t vd_int;
typedef int vd_mask;

static inline vd_mask vd_first(int64_t n) { return n >= 1; }
static inline vd_t vd_load(const double *p) { return *p; }
static inline void vd_store(double *p, vd_t v) { *p = v; }
static inline vd_t vd_load_first(const double *p, vd_mask m) { return m ? *p : 0.0; }
static inline void vd_store_first(double *p, vd_mask m, vd_t v)
{
    if (m)
        *p = v;
}
static inline vd_t vd_load1(const double *p) { return *p; }
static inline void vd_store1(double *p, vd_t v) { *p = v; }
static inline vd_t vd_set1(double x) { return x; }
static inline vd_t vd_spread(const double *p) { return vd_set1(*p); }
static inline vd_t vd_zero(void) { return 0.0; }
static inline vd_t vd_add(vd_t a, vd_t b) { return a + b; }
static inline vd_t vd_sub(vd_t a, vd_t b) { return a - b; }
static inline vd_t vd_mul(vd_t a, vd_t b) { return a * b; }
static inline vd_t vd_div(vd_t a, vd_t b) { return a / b; }
static inline vd_t vd_fma(vd_t a, vd_t b, vd_t c) { return a * b + c; }
static inline vd_t vd_fma_low(vd_t a, const double *p, vd_t c) { return a * *p + c; }
static inline vd_t vd_sqrt(int turn, vd_t a) { return (void)turn, sqrt(a); }
static inline vd_t vd_max(vd_t a, vd_t b) { return a > b ? a : b; }
static inline vd_t vd_min(vd_t a, vd_t b) { return a < b ? a : b; }
static inline vd_t vd_neg(vd_t a) { return -a; }
static inline vd_t vd_abs(vd_t a) { return fabs(a); }
static inline vd_t vd_copysign(vd_t magnitude, vd_t sign) { return copysign(magnitude, sign); }
static inline vd_mask vd_lt(vd_t a, vd_t b) { return a < b; }
static inline vd_mask vd_le(vd_t a, vd_t b) { return a <= b; }
static inline vd_mask vd_eq(vd_t a, vd_t b) { return a == b; }
static inline unsigned vd_lanes(vd_mask m) { return (unsigned)m; }
static inline vd_t vd_select(vd_mask m, vd_t a, vd_t b) { return m ? a : b; }
static inline vd_t vd_keep(vd_mask m, vd_t a) { return m ? a : 0; }
static inline vd_int vd_bits(vd_t a)
{
    vd_int i;
    memcpy(&i, &a, sizeof i);
    return i;
}
static inline vd_t vd_real(vd_int i)
{
    vd_t a;
    memcpy(&a, &i, sizeof a);
    return a;
}
static inline vd_int vd_iset1(int64_t x) { return x; }
static inline vd_mask vd_any(vd_t a, vd_int bits) { return (vd_bits(a) & bits) != 0; }
static inline vd_int vd_iadd(vd_int a, vd_int b) { return (vd_int)((uint64_t)a + (uint64_t)b); }
static inline vd_int vd_isub(vd_int a, vd_int b) { return (vd_int)((uint64_t)a - (uint64_t)b); }
static inline vd_int vd_iand(vd_int a, vd_int b) { return a & b; }
static inline vd_int vd_ior(vd_int a, vd_int b) { return a | b; }
static inline vd_int vd_ixor(vd_int a, vd_int b) { return a ^ b; }
static inline vd_int vd_imul32(vd_int a, vd_int b) { return (vd_int)((uint64_t)(uint32_t)a * (uint32_t)b); }
static inline vd_int vd_ishl(vd_int a, int n) { return (vd_int)((uint64_t)a << n); }
static inline vd_int vd_ishr(vd_int a, int n) { return (vd_int)((uint64_t)a >> n); }
static inline double vd_reduce16(const vd_t *s)
{
    double t[16];
    memcpy(t, s, sizeof t);
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            t[j] += t[j + half];
    return t[0];
}
static inline vf_t vf_sum_lanes(vf_t *r) { return r[0]; }
static inline vd_t vd_sum_lanes(vd_t *r) { return r[0]; }
static inline void vf_transpose(vf_t *r) { (void)r; }
static inline void vd_transpose(vd_t *r) { (void)r; }
#define DEFINE_4(v, real)                                                                          \
    static inline void v##_load4(const real *p, int64_t ld, const int32_t *index, int n, v##_t *r) \
    {                                                                                              \
        for (int j = 0; j < 4; j++)                                                                \
            r[j] = j < n ? p[(index ? index[0] : 0) * ld + j] : 0;                                 \
    }                                                                                              \
    static inline void v##_store4(real *p, int64_t ld, int n, v##_t *r)                            \
    {                                                                                              \
        (void)ld;                                                                                  \
        for (int j = 0; j < n; j++)                                                                \
            p[j] = r[j];                                                                           \
    }                                                                                              \
    static inline v##_t v##_codes(const int32_t *p, const int32_t *index, int64_t n)               \
    {                                                                                              \
        return n < 1 ? (v##_t)(-1) : (v##_t)p[index ? index[0] : 0];                               \
    }
DEFINE_4(vf, float)
DEFINE_4(vd, double)
#undef DEFINE_4
static inline void vf_widen(vf_t a, vd_t *out) { out[0] = a; }
static inline void vd_widen(vd_t a, vd_t *out) { out[0] = a; }
static inline void vf_load_wide(const float *p, vd_t *out) { out[0] = *p; }
static inline void vd_load_wide(const double *p, vd_t *out) { out[0] = *p; }

/* fma of single numbers. */
static inline float vf_fma1(float a, float b, float c) { return a * b + c; }
static inline double vd_fma1(double a, double b, double c) { return a * b + c; }

#endif
