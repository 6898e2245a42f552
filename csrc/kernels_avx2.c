/* Haswell and Zen onwards: the widest set that every current x86-64 desktop and server has. */
#include "kernels.h"

#if defined(__AVX2__) && defined(__FMA__)
#define FM_ISA avx2
#include "vec_avx2.h"

#include "kernels_isa.h"
#else
const fm_kernels *fm_kernels_avx2(int dtype)
{
    (void)dtype;
    return 0;
}
#endif
