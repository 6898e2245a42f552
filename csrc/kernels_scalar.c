/* Any processor: always built, the last entry of the dispatch, and the reference that needs no vector unit. */
#include "kernels.h"

#define FM_ISA scalar
#include "vec_scalar.h"

#include "kernels_isa.h"
