"""The cffi builder: run by setup.py, which must not import the package that it is building.

The declarations are sections of the C headers themselves, between two marker lines: cffi reads them, the compiler
checks them, and nothing is declared twice.
"""

from pathlib import Path

from cffi import FFI

SOURCES = Path("csrc")
HEADERS = ["kernels.h", "fastmlp.h"]  # in the order in which their declarations depend on one another
BEGIN, END = "/* cffi: begin */", "/* cffi: end */"


def declarations(header: Path) -> str:
    """Return the marked section of a header."""
    _, _, rest = header.read_text(encoding="utf-8").partition(BEGIN)
    section, end, _ = rest.partition(END)
    if not end:
        raise ValueError(f"{header}: no section between {BEGIN!r} and {END!r}")
    return section


ffibuilder = FFI()
for name in HEADERS:
    ffibuilder.cdef(declarations(SOURCES / name))
ffibuilder.set_source(
    "_fastmlp_c",
    "".join(f'#include "{name}"\n' for name in HEADERS),
    sources=sorted(path.as_posix() for path in SOURCES.glob("*.c")),
    depends=sorted(path.as_posix() for path in SOURCES.glob("*.h")),
    include_dirs=[SOURCES.as_posix()],
    py_limited_api=True,
)
