/* Any processor: always built, the last entry of the dispatch, and the reference that needs no vector unit. */
#include "kernels.h"

#define FM_ISA scalar
#include "vec_scalar.h"

#include "kernels_isa.h"

const fm_kernels *fm_kernels_scalar(int dtype) { return dtype == FM_FLOAT32 ? &FM_TABLE(f32) : &FM_TABLE(f64); }
