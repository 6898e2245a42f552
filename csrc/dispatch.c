#include "dispatch.h"

#include <string.h>

#include "fastmlp.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

static const char *const names[FM_N_ISAS] = {"scalar", "avx2", "avx512"};

static int chosen = FM_SCALAR;
int fm_halves_are_faster;

static int processor_has(int isa)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (isa == FM_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (isa == FM_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isa == FM_SCALAR;
}

/* AMD's family 25 is Zen 3, which has no AVX-512, and Zen 4. */
static int is_zen_4(void)
{
#if defined(__x86_64__) || defined(__i386__)
    unsigned version, largest, b, c, d;
    if (!__get_cpuid(0, &largest, &b, &c, &d) || c != signature_AMD_ecx || !__get_cpuid(1, &version, &b, &c, &d))
        return 0;
    return (version >> 8 & 15) + (version >> 20 & 255) == 25;
#else
    return 0;
#endif
}

static const fm_kernels *table(int isa, int dtype)
{
    if (isa == FM_AVX512)
        return fm_kernels_avx512(dtype);
    if (isa == FM_AVX2)
        return fm_kernels_avx2(dtype);
    return fm_kernels_scalar(dtype);
}

int fm_isa_supported(int isa)
{
    return isa >= 0 && isa < FM_N_ISAS && processor_has(isa) && table(isa, FM_FLOAT64) != NULL;
}

int fm_init(const char *cap)
{
    int isa = FM_N_ISAS - 1;
    if (cap)
        while (isa >= 0 && strcmp(cap, names[isa]) != 0)
            isa--;
    if (isa < 0)
        return -1;
    while (!fm_isa_supported(isa))
        isa--;
    chosen = isa;
    fm_halves_are_faster = is_zen_4();
    return isa;
}

int fm_isa(void) { return chosen; }

const char *fm_isa_name(int isa) { return isa >= 0 && isa < FM_N_ISAS ? names[isa] : NULL; }

const fm_kernels *fm_kernel_table(int isa, int dtype) { return fm_isa_supported(isa) ? table(isa, dtype) : NULL; }

int fm_chains(void) { return chosen == FM_AVX512 && fm_halves_are_faster ? 4 : 8; }

const fm_kernels *fm_kernels_chosen(int dtype) { return table(chosen, dtype); }
