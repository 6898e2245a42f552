"""The C extension: one optional cffi module, built for the oldest processor with a few files built for newer ones.

Environment variables, read at build time:

FASTMLP_REQUIRE_EXTENSION=1   a failed build of the extension is an error instead of a warning
FASTMLP_NO_EXTENSION=1        do not try
FASTMLP_SANITIZE=1            build with the address and undefined-behaviour sanitizers, and with assertions
"""

import os
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError


def switched_on(name):
    """Return whether the environment variable is set to something other than 0."""
    return os.environ.get(name, "0") not in ("", "0")


SANITIZE = switched_on("FASTMLP_SANITIZE")
# Python's own flags may define overflow (-fwrapv), and what is defined is not reported.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv"]

# No flag may change a result: no contraction of a * b + c into one FMA, and no -ffast-math, which may come from CFLAGS
# (and, linked with, switches denormal numbers off in the whole process).
EXACT = ["-fno-fast-math", "-ffp-contract=off"]
FLAGS = ["-std=c11", "-O3", *EXACT, "-fno-math-errno", "-fvisibility=hidden", "-pthread", "-g0", "-Wall", "-Wextra"]

# Instruction set -> the file built for it, its flags, and what a compiler that has it then defines. Another compiler
# builds the file without the flags, and the guard in the file leaves its kernel table empty.
ISAS = {
    # gcc 12 fills vectors of four floats with what lies beyond the last row of a matrix that is two columns wide.
    "scalar": ("kernels_scalar.c", "-fno-tree-loop-vectorize", []),
    "avx2": ("kernels_avx2.c", "-mavx2 -mfma", ["__AVX2__", "__FMA__"]),
    "avx512": (
        "kernels_avx512.c",
        "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512",
        ["__AVX512F__", "__AVX512DQ__", "__AVX512BW__", "__AVX512VL__", "__FMA__"],
    ),
}


class BuildExtension(build_ext):
    """Compile the sources side by side, each with the flags of its instruction set, and survive a failure."""

    built = False

    def build_extension(self, ext):
        ext.optional = not switched_on("FASTMLP_REQUIRE_EXTENSION")
        ext.extra_compile_args = list(FLAGS)
        ext.extra_link_args = ["-pthread", *EXACT]
        if SANITIZE:
            ext.extra_compile_args += [*SANITIZERS, "-O1", "-g1", "-fno-omit-frame-pointer", "-UNDEBUG"]
            ext.extra_link_args += SANITIZERS
        compile_together = self.compiler.compile

        def compile_each(sources, extra_postargs=(), **options):
            flags = self.flags_by_file(compile_together)

            def compile_one(source):
                own = flags.get(Path(source).name, [])
                return compile_together([source], extra_postargs=[*extra_postargs, *own], **options)

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [name for objects in pool.map(compile_one, sources) for name in objects]

        self.compiler.compile = compile_each
        try:
            super().build_extension(ext)
            BuildExtension.built = True
        except (CCompilerError, BaseError) as error:
            if not ext.optional:
                raise
            # What an earlier build has left would be installed in its place.
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
            print(
                f"{error}\n"
                "WARNING: fastmlp is being installed WITHOUT its C kernels, which could not be built. It will run on "
                "Numba where that is installed (the extra 'numba'), else on NumPy, correctly but slowly. With a C "
                "compiler (gcc or clang), install it again.",
                file=sys.stderr,
            )
        finally:
            self.compiler.compile = compile_together

    @staticmethod
    def flags_by_file(compile_sources):
        """Return, by file name, the flags of each instruction set that the compiler knows."""
        flags = {}
        for name, (file, options, macros) in ISAS.items():
            condition = " && ".join(f"defined({macro})" for macro in macros) or "1"
            with tempfile.TemporaryDirectory() as folder, suppress(CompileError):
                probe = Path(folder, f"probe_{name}.c")
                probe.write_text(f"#if !({condition})\n#error\n#endif\nint probe_{name};\n")
                compile_sources([str(probe)], output_dir=folder, extra_postargs=options.split())
                flags[file] = options.split()
        return flags


class Wheel(bdist_wheel):
    """One wheel for every CPython from 3.11 on; a pure one where the extension could not be built."""

    def get_tag(self):
        self.root_is_pure = not BuildExtension.built
        return super().get_tag()


options = {}
if SANITIZE:
    options["build"] = {"build_base": "build/sanitize"}  # never mixed up with an ordinary build
if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    options["bdist_wheel"] = {"py_limited_api": "cp311"}

if switched_on("FASTMLP_NO_EXTENSION") and switched_on("FASTMLP_REQUIRE_EXTENSION"):
    sys.exit("FASTMLP_NO_EXTENSION and FASTMLP_REQUIRE_EXTENSION exclude each other.")
extension = {} if switched_on("FASTMLP_NO_EXTENSION") else {"cffi_modules": ["fastmlp/_build_c.py:ffibuilder"]}
setup(cmdclass={"build_ext": BuildExtension, "bdist_wheel": Wheel}, options=options, **extension)
