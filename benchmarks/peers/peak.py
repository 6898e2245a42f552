"""The peak of the processor: a loop of independent FMAs, compiled for this machine when it is first used."""

import os
import shlex
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cffi

from .rows import Unsupported

# Sixteen chains hide the latency of any processor so far: four cycles, two FMAs a cycle, or five and three. All of
# them fit the registers; with AVX2, twelve do.
SOURCE = """
typedef {dtype} vec __attribute__((vector_size({width})));
#define EACH(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) {more}
double fma_loop(long long n, double a, double b)
{{
    vec va, vb;
    for (int i = 0; i < (int)(sizeof(vec) / sizeof({dtype})); i++) {{
        va[i] = ({dtype})a;
        vb[i] = ({dtype})b;
    }}
#define DECLARE(i) vec x##i = va + i;
    EACH(DECLARE)
    for (long long k = 0; k < n; k++) {{
#define CHAIN(i) x##i = x##i * va + vb;
        EACH(CHAIN)
    }}
    vec sum = va;
#define ADD(i) sum += x##i;
    EACH(ADD)
    return (double)sum[0];
}}
"""
ITERATIONS = 20_000
"""Of the loop, in one call."""


def processor_flags():
    """Return the instruction sets of the processor, as Linux names them; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return next((set(line.split()[2:]) for line in text.splitlines() if line.startswith("flags")), set())


def vector_bytes(isa, flags):
    """Return the width of the vectors that fastmlp would use.

    Parameters
    ----------
    isa : str or None
        The widest instruction set allowed, as in FASTMLP_ISA.
    flags : set of str
    """
    if "avx512f" in flags and isa in (None, "", "avx512"):
        return 64
    return 32 if "fma" in flags and isa != "scalar" else 16


class Library:
    def __init__(self, name, threads):
        self.threads = threads
        self.width = vector_bytes(os.environ.get("FASTMLP_ISA"), processor_flags())
        self.loops = {}

    def version(self):
        return f"{8 * self.width}-bit vectors"

    def loop(self, dtype):
        """Return the compiled loop, its operations an iteration, and the library."""
        if dtype not in self.loops:
            chains, more = (16, "f(12) f(13) f(14) f(15)") if self.width == 64 else (12, "")
            name = {"float32": "float", "float64": "double"}[dtype]
            ffi = cffi.FFI()
            ffi.cdef("double fma_loop(long long n, double a, double b);")
            with tempfile.TemporaryDirectory(prefix="fma-peak-", ignore_cleanup_errors=True) as folder:
                source = SOURCE.format(dtype=name, width=self.width, more=more)
                library = ffi.dlopen(compile_library(source, Path(folder)))
            # The library is kept with its function, which does not keep it loaded.
            self.loops[dtype] = library.fma_loop, 2 * chains * self.width * 8 // int(dtype[-2:]), library
        return self.loops[dtype]

    def prepare(self, row, shuffle):
        """Return functions as every library does; a unit of work is one floating-point operation."""
        if row.flops is None:
            raise Unsupported("the operations of this row are not counted")
        loop, flops, _ = self.loop(row.dtype)
        pool = ThreadPoolExecutor(self.threads)

        def run(n):
            # The chains go to a fixed point, 1: no overflow, no denormal numbers.
            if self.threads == 1:
                loop(n * ITERATIONS, 0.5, 0.5)
            else:
                list(pool.map(lambda _: loop(n * ITERATIONS, 0.5, 0.5), range(self.threads)))
            return n * ITERATIONS * flops * self.threads

        return run, lambda: run(1) and None


def compile_library(source, folder):
    """Return the path of a shared library made from C; OSError or CalledProcessError where there is no compiler."""
    (folder / "peak.c").write_text(source)
    given = shlex.split(os.environ.get("CC", ""))  # such as "ccache gcc"; Python's own may have flags, too
    compiler = given or shlex.split(sysconfig.get_config_var("CC") or "cc")[:1]
    options = ["-O2", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared", "-Wno-psabi"]
    subprocess.run([*compiler, *options, "peak.c", "-o", "peak.so"], cwd=folder, check=True)
    return str(folder / "peak.so")
