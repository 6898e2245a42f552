/* Skylake-X, Ice Lake, Sapphire Rapids, Zen 4 and 5: twice the width of AVX2, 32 registers and free masks. */
#include "kernels.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define FM_ISA avx512
#include "vec_avx512.h"
#define FM_HALF fm_kernels_avx2

#include "kernels_isa.h"
#else
const fm_kernels *fm_kernels_avx512(int dtype)
{
    (void)dtype;
    return 0;
}
#endif
