/* The kernels, written once over the vector vocabulary. Parameters of this template:
 *
 *   FM_REAL_BITS   32 or 64
 *   FM_ISA         avx512, avx2 or scalar: part of every name
 *   FM_HALF        where there is one: who hands out the tables of the instruction set with vectors half as wide
 *
 * and a vec_<isa>.h included before. kernels_isa.h includes it for 64 bits first, because the loss sums of both types
 * are 64-bit. What each kernel computes, and in which order, is said in kernels.h.
 *
 * Macros that are the same for both types are defined twice, alike; those that differ are undefined in between. */

#define FM_PASTE4_(a, b, c, d) a##b##c##d
#define FM_PASTE4(a, b, c, d) FM_PASTE4_(a, b, c, d)
#define FM_PASTE2_(a, b) a##b
#define FM_PASTE2(a, b) FM_PASTE2_(a, b)

#if FM_REAL_BITS == 32
#define REAL float
#define FM_DTYPE FM_FLOAT32
#define V(op) FM_PASTE2(vf_, op)
#define K(name) FM_PASTE4(fm_f32_, FM_ISA, _, name)
#define FM_EPSILON FLT_EPSILON
#define FM_SMALLEST_NORMAL FLT_MIN
#define FM_EXPONENT_BITS 0x7f800000
#define FM_UPPER_EXPONENT_BITS 0x60000000 /* set in numbers whose squares are normal, and only there */
#else
#define REAL double
#define FM_DTYPE FM_FLOAT64
#define V(op) FM_PASTE2(vd_, op)
#define K(name) FM_PASTE4(fm_f64_, FM_ISA, _, name)
#define FM_EPSILON DBL_EPSILON
#define FM_SMALLEST_NORMAL DBL_MIN
#define FM_EXPONENT_BITS 0x7ff0000000000000
#define FM_UPPER_EXPONENT_BITS 0x6000000000000000
#endif

#define FM_INLINE static inline __attribute__((always_inline))

enum { K(lane_vectors) = FM_LANES / V(width) };

#include "vmath_tmpl.h"

#if FM_REAL_BITS == 64
#include "loss_sums.h"
#include "uniforms.h"
#endif
#include "activations.h"
#include "losses.h"
#include "solvers.h"

#include "tiles_tmpl.h"
#include "products_tmpl.h"
#include "narrow_tmpl.h"
#include "zeros_tmpl.h"
#include "sparse_tmpl.h"
#include "loss_tmpl.h"
#include "elementwise_tmpl.h"
#include "rows_tmpl.h"

static const fm_kernels K(table) = {
    .width = V(width),
    .panel = FM_TILE_VECTORS,
    .row_panel = FM_ROW_VECTORS,
    .product = K(product),
    .dot = K(dot),
    .outer = K(outer),
    .skipping_product = K(skipping_product),
    .column_sum = K(column_sum),
    .csr_product = K(csr_product),
    .csr_dot = K(csr_dot),
    .csr_outer = K(csr_outer),
    .csr_columns = K(csr_columns),
    .narrow_back = K(narrow_back),
    .row_forward = K(row_forward),
    .row_delta = K(row_delta),
    .row_gradient = K(row_gradient),
    .transpose = K(transpose),
    .add = K(add),
    .sum_squares = K(sum_squares),
    .finite = K(finite),
    .count_nonzero = K(count_nonzero),
    .scale_gradient = K(scale_gradient),
    .activations = K(activations),
    .softmax = K(softmax),
    .loss_scratch = K(loss_scratch),
    .loss = K(loss),
    .update = K(updates),
    .vsqrt = K(vsqrt_array),
    .vexp = K(vexp_array),
    .vexpm1 = K(vexpm1_array),
    .vlog1p = K(vlog1p_array),
    .vtanh = K(vtanh_array),
    .vlog = K(vlog_array),
    .vlogistic = K(vlogistic_array),
};

#undef REAL
#undef FM_DTYPE
#undef V
#undef K
#undef FM_EPSILON
#undef FM_SMALLEST_NORMAL
#undef FM_EXPONENT_BITS
#undef FM_UPPER_EXPONENT_BITS
#undef FM_REAL_BITS
