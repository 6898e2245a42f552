/* One instruction set: both real types of the templates, and the function that hands out their tables.
 * Included by kernels_<isa>.c after FM_ISA and the vocabulary. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "fastmlp.h"
#include "kernels.h"

#define FM_REAL_BITS 64
#include "kernels_tmpl.h"

#define FM_REAL_BITS 32
#include "kernels_tmpl.h"

const fm_kernels *FM_PASTE2(fm_kernels_, FM_ISA)(int dtype)
{
    return dtype == FM_FLOAT32 ? &FM_PASTE4(fm_f32_, FM_ISA, _, table) : &FM_PASTE4(fm_f64_, FM_ISA, _, table);
}
