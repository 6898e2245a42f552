"""The most floating-point operations a second that one core does: a loop of independent FMAs, compiled when needed.

Run ``python benchmarks/fma_peak.py``, or import `fma_peak`. Needs gcc or clang on x86-64.
"""

import importlib.util
import tempfile
import time
from functools import cache

import cffi

# As many chains as fit the registers beside two constants; an FMA takes 4 or 5 cycles and two start in each. The
# multiplier is below 1, so that nothing overflows, and the sums never become denormal. The empty asm keeps the compiler
# from merging chains that start alike.
SOURCE = """
#include <immintrin.h>
#define LOOP(name, target_name, CHAINS, real, vector, set1, fma)                    \\
    __attribute__((target(target_name))) static real name(long steps)               \\
    {                                                                               \\
        vector a[CHAINS], x = set1((real)0.999), y = set1((real)0.001);             \\
        for (int i = 0; i < CHAINS; i++) {                                          \\
            a[i] = set1((real)i);                                                   \\
            __asm__("" : "+v"(a[i]));                                               \\
        }                                                                           \\
        for (long s = 0; s < steps; s++) {                                          \\
            _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; i++)               \\
                a[i] = fma(a[i], x, y);                                             \\
        }                                                                           \\
        real sum = 0;                                                               \\
        for (int i = 0; i < CHAINS; i++)                                            \\
            sum += ((real *)&a[i])[0];                                              \\
        return sum;                                                                 \\
    }
LOOP(avx2_f32, "avx2,fma", 12, float, __m256, _mm256_set1_ps, _mm256_fmadd_ps)
LOOP(avx2_f64, "avx2,fma", 12, double, __m256d, _mm256_set1_pd, _mm256_fmadd_pd)
LOOP(avx512_f32, "avx512f", 24, float, __m512, _mm512_set1_ps, _mm512_fmadd_ps)
LOOP(avx512_f64, "avx512f", 24, double, __m512d, _mm512_set1_pd, _mm512_fmadd_pd)
"""
LANES = {("avx2", "float32"): 8, ("avx2", "float64"): 4, ("avx512", "float32"): 16, ("avx512", "float64"): 8}
CHAINS = {"avx2": 12, "avx512": 24}
STEPS = 100_000


@cache
def _loops():
    """Compile the loops and return the module's functions."""
    builder = cffi.FFI()
    for isa, dtype in LANES:
        bits = dtype[-2:]
        builder.cdef(f"{'float' if bits == '32' else 'double'} {isa}_f{bits}(long steps);")
    builder.set_source("_fma_peak", SOURCE, extra_compile_args=["-O2"])
    with tempfile.TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("_fma_peak", builder.compile(tmpdir=folder))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.lib


def fma_peak(isa, dtype, repeats=20):
    """Return the FLOP/s of a loop of FMAs, the best of `repeats` runs of about a millisecond.

    Parameters
    ----------
    isa : {"avx2", "avx512"}
        One that this processor has.
    dtype : {"float32", "float64"}
    repeats : int
    """
    dtype = str(dtype)
    loop = getattr(_loops(), f"{isa}_f{dtype[-2:]}")
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        loop(STEPS)
        best = min(best, time.perf_counter() - start)
    return 2 * LANES[isa, dtype] * CHAINS[isa] * STEPS / best


if __name__ == "__main__":
    from fastmlp.backends import get_backend

    widest = get_backend("c").isa
    for isa, dtype in LANES:
        if widest == "avx512" or isa == widest:
            print(f"{isa:8}{dtype:9}{1e-9 * fma_peak(isa, dtype):8.1f} GFLOP/s")
