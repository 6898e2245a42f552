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

#define FM_TABLE_NAME__(type, isa) fm_##type##_##isa##_table
#define FM_TABLE_NAME_(type, isa) FM_TABLE_NAME__(type, isa)
#define FM_TABLE(type) FM_TABLE_NAME_(type, FM_ISA)
