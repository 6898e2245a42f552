"""The instruction sets of the compiled extension, and how a test lets the core use one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastmlp.backends import c, get_backend

ISAS = [c.ffi.string(c.lib.fm_isa_name(i)).decode() for i in range(c.lib.FM_N_ISAS)]
SUPPORTED = [name for i, name in enumerate(ISAS) if c.lib.fm_isa_supported(i)]
"""By processor and compiler."""
WITH_FMA = [name for name in ISAS if name != "scalar"]


@contextmanager
def kept() -> Iterator[None]:
    """Put the choice back at the end of the block."""
    get_backend("c")  # which chooses when it is made
    before = ISAS[c.lib.fm_isa()]
    try:
        yield
    finally:
        c.choose_isa(before)


@contextmanager
def chosen(name: str) -> Iterator[None]:
    """Let the core compute with the kernels of that name."""
    with kept():
        assert c.choose_isa(name) == name
        yield
