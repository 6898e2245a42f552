"""Every kernel of every instruction set against NumPy: what it computes, and that it touches nothing else.

The tests of a kernel are a generator of `Problem`s under its name in `KERNELS`. All of them run through one harness:
arrays at the edge of pages that can be neither read nor written, between guard bytes, outputs filled with NaN
beforehand. Activations, losses and solvers come from the registries, so that a new one is tested without an edit here.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pytest

from fastmlp import philox
from fastmlp._parameters import Interval
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Data, Plan
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS, SolverState
from fastmlp.spec import make_spec

try:
    from instruction_sets import ISAS, WITH_FMA, chosen

    from fastmlp.backends import _c_interface, c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

ffi, lib = c.ffi, c.lib

ELEMENTWISE = [name for name, entry in ACTIVATIONS.items() if entry.jacobian_product is None]
DIFFERENTIABLE = [name for name in ELEMENTWISE if ACTIVATIONS[name].needs]
NARROW = range(1, lib.FM_NARROW + 1)
BLOCK = lib.FM_BLOCK
"""FM_BLOCK of csrc/kernels.h: the most rows that one call of the loss kernel gets."""

of_c, of_bits = pytest.mark.c, [pytest.mark.c, pytest.mark.c_fma]
every_isa = pytest.mark.parametrize(
    "isa", [pytest.param(name, marks=of_bits if name in WITH_FMA else of_c) for name in ISAS]
)
every_fma_isa = pytest.mark.parametrize("isa", [pytest.param(name, marks=of_bits) for name in WITH_FMA])
every_dtype = pytest.mark.parametrize("dtype", [np.dtype("float64"), np.dtype("float32")], ids=str)


@dataclass
class Isa:
    name: str
    table: Any


def kernels_of(isa: str, dtype: np.dtype) -> Isa:
    table = lib.fm_kernel_table(ISAS.index(isa), _c_interface.DTYPE_CODES[dtype])
    if table == ffi.NULL:
        pytest.skip(f"no {isa} kernels here: this processor, or the compiler that built the extension, lacks it")
    return Isa(isa, table)


# ---- memory that notices what should not happen to it ----


@dataclass(eq=False)
class In:
    """An argument of a kernel: an array that it reads, its rows `ld` elements apart."""

    array: np.ndarray
    ld: int | None = None

    guard = 0xFF  # what is read beyond the array is NaN

    def __repr__(self) -> str:
        return f"{self.array.dtype}{list(self.array.shape)}"


@dataclass(eq=False)
class Out:
    """An argument of a kernel: an array that it writes; NaN beforehand, unless there is something to begin with.

    Given twice in a call it is one array, for kernels that work in place.
    """

    array: np.ndarray
    ld: int | None = None
    room: int = 0  # elements behind it that may be overwritten

    guard = 0xA5  # no NaN, so that none can hide in it

    def __repr__(self) -> str:
        return f"-> {self.array.dtype}{list(self.array.shape)}"


def empty(dtype: np.dtype, *shape: int, ld: int | None = None, room: int = 0) -> Out:
    return Out(np.full(shape, np.nan, dtype), ld, room)


@dataclass(eq=False)
class Scratch:
    """An argument of a kernel: the scratch of softmax and losses, which starts on 64 bytes."""

    n_outputs: int


PLACES = ("end", 0, 1, 2, 3)
"""An array ends with its page, or starts so many elements behind one that must not be read."""


class Block:
    """One array in guarded memory."""

    GUARD_BYTES = 256

    def __init__(self, page: np.ndarray, place: int | str, argument: In | Out) -> None:
        array = argument.array
        n_rows, width = array.shape if array.ndim == 2 else (1, len(array))
        ld, itemsize = argument.ld or width, array.itemsize
        n_bytes = ((n_rows - 1) * ld + width) * itemsize if array.size else 0
        self._room = argument.room * itemsize if isinstance(argument, Out) else 0
        start = len(page) - n_bytes - self._room if place == "end" else place * itemsize
        assert start >= 0
        assert start + n_bytes + self._room <= len(page)
        first = max(0, start - self.GUARD_BYTES)
        self._region = page[first : start + n_bytes + self._room + self.GUARD_BYTES]
        self._span = slice(start - first, start - first + n_bytes)
        self._like, self._strides = array, (ld * itemsize, itemsize)[-array.ndim :]
        self._region[:] = argument.guard
        self.writable = isinstance(argument, Out)
        self.array = self._view(self._region)
        self.array[...] = array
        self._before = self._region.copy()
        self.pointer = ffi.cast("void *", page.ctypes.data + start)

    def _view(self, region: np.ndarray) -> np.ndarray:
        flat = region[self._span].view(self._like.dtype)
        return np.lib.stride_tricks.as_strided(flat, self._like.shape, self._strides)

    def check(self) -> None:
        """Compare every byte, but for those of an output, with what it was before the call."""
        after = self._region.copy()
        if self.writable:
            self._view(after)[...] = self._view(self._before)
            room = slice(self._span.stop, self._span.stop + self._room)
            after[room] = self._before[room]
        changed = np.flatnonzero(after != self._before) - self._span.start
        name = "output" if self.writable else "input"
        assert not len(changed), f"changed byte {changed[0]} from the start of {name} {self._like.shape}"


class Memory:
    """A few stretches of pages, each between pages that can be neither read nor written."""

    N_STRETCHES, SIZE = 10, 1 << 20

    def __init__(self) -> None:
        page, stride = mmap.PAGESIZE, self.SIZE + mmap.PAGESIZE
        self._map = mmap.mmap(-1, self.N_STRETCHES * stride + page)
        everything = np.frombuffer(self._map, np.uint8)
        self._stretches = [everything[i * stride + page : (i + 1) * stride] for i in range(self.N_STRETCHES)]
        if sys.platform == "linux":
            protect = ctypes.CDLL(None).mprotect
            for i in range(self.N_STRETCHES + 1):
                address = ctypes.c_void_p(everything.ctypes.data + i * stride)
                assert protect(address, ctypes.c_size_t(page), 0) == 0

    def call(self, isa: Isa, kernel: Callable, arguments: Sequence[Any], place: int | str) -> list[np.ndarray]:
        """Call a kernel with its arrays in guarded memory; return what it returns, and the outputs."""
        blocks: dict[int, Block] = {}
        given = []
        for argument in arguments:
            if isinstance(argument, Scratch):
                n_bytes = isa.table.loss_scratch(argument.n_outputs)
                assert n_bytes % 64 == 0
                scratch = Out(np.full(n_bytes, 0xFF, np.uint8))
                scratch_block = Block(self._stretches[len(blocks)], "end" if place == "end" else 0, scratch)
                blocks[id(scratch)] = scratch_block
                given.append(scratch_block.pointer)
            elif isinstance(argument, (In, Out)):
                if id(argument) not in blocks:
                    blocks[id(argument)] = Block(self._stretches[len(blocks)], place, argument)
                kind = {"i4": "int32_t *", "i8": "int64_t *"}.get(argument.array.dtype.str[1:], "void *")
                given.append(ffi.cast(kind, blocks[id(argument)].pointer))
            else:
                given.append(ffi.NULL if argument is None else argument)
        returned = kernel(isa)(*given)
        for block in blocks.values():
            block.check()
        outputs = [blocks[id(a)].array.copy() for a in dict.fromkeys(arguments) if isinstance(a, Out)]
        return outputs if returned is None else [*map(np.array, np.atleast_1d(returned)), *outputs]


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory()


# ---- problems ----


@dataclass
class Problem:
    kernel: Callable[[Isa], Callable]
    arguments: Sequence[Any]
    expected: Callable[[], list[tuple[Any, Any]]] = list
    """What NumPy gives in the next wider type, and how far from it each output may be."""

    def __str__(self) -> str:
        return f"{self.kernel} {tuple(self.arguments)}"


class Draw:
    """Random numbers of one type, and sizes around the widths of vectors."""

    def __init__(self, name: str, dtype: np.dtype, widths: Sequence[int] = (8,)) -> None:
        self.rng = np.random.default_rng(zlib.crc32(f"{name} {dtype}".encode()))
        self.dtype, self.eps, self.widest = dtype, np.finfo(dtype).eps, max(widths)
        self.in_a_vector = range(1, min(widths) + 1)
        near = {size for w in widths for size in (w - 1, w, w + 1, 2 * w + 1)}
        self.narrow = sorted({0, 1, 2, 15, 16, 17} | near)
        self.sizes = sorted({255, 256, 257} | set(self.narrow))

    def real(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def member(self, interval: Interval, *shape: int) -> np.ndarray:
        """Draw numbers well inside an interval."""
        u = self.rng.uniform(0.1, 0.9, shape)
        if np.isfinite(interval.low) and np.isfinite(interval.high):
            return (interval.low + (interval.high - interval.low) * u).astype(self.dtype)
        return (interval.low + 3 * u).astype(self.dtype) if np.isfinite(interval.low) else self.real(*shape)

    def block(self, entry: Any) -> tuple[float, ...]:
        """Draw parameters of an activation other than the defaults, which would hide that they are ignored."""
        return tuple(float(self.member(entry.limits.get(key, Interval()), 1)[0]) for key in entry.parameters)


def wide(x: Any) -> np.ndarray:
    """Return an array in the next wider type."""
    x = np.asarray(x)
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


def sum_of_products(a: np.ndarray, b: np.ndarray, start: np.ndarray | None) -> list[tuple[Any, Any]]:
    """`start` + a @ b, to a few units in the last place of the sum of magnitudes."""
    eps = np.finfo(b.dtype).eps
    a, b, start = wide(a), wide(b), wide(np.zeros(1, b.dtype) if start is None else start)
    return [(start + a @ b, 4 * eps * (abs(start) + abs(a) @ abs(b)))]


def shapes_of_tiles(draw: Draw) -> Iterator[tuple[int, int, int, int]]:
    """Rows, columns and depth of products, all heights and widths of tiles; and how much farther apart rows lie."""
    depths, gaps, w = itertools.cycle((17, 1, 2, 0, 33, 15, 16)), itertools.cycle((0, 1, 3, 0, 8)), draw.widest
    for m in (0, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17):
        for n in sorted({*draw.narrow, 2 * w + w // 2, 3 * w - 1, 3 * w, 3 * w + 1, 3 * w + 3}):
            yield m, n, next(depths), next(gaps)
    for n in sorted({*draw.sizes, *(i * w + j for i in range(1, 10) for j in (-1, 0, 1))}):
        yield 1, n, next(depths), next(gaps)
    for m in (255, 256, 257):
        yield m, w + 1, next(depths), next(gaps)
    yield 5, w + 1, 257, 2
    many = max(w, 16), max(2 * w, 16), max(3 * w + 1, 25), 5 * w + 29, 7 * w + 28
    for m, n in itertools.product((9, 16, 17, 40), many):
        yield m, n, -(-(2**14) // n), next(gaps)  # FM_LARGE bytes of float32


def ending(name: str, part: str) -> int:
    """What makes a product end with a part of an activation; 0: none does."""
    return lib.fm_ending(list(ACTIVATIONS).index(name), ("value", "derivative").index(part))


ENDINGS = [(name, part) for name in ACTIVATIONS for part in ("value", "derivative") if ending(name, part)]


def part_of(name: str, part: str, x: np.ndarray) -> np.ndarray:
    return applied(ACTIVATIONS[name], part, x.ravel(), ()).reshape(x.shape)


def expected_product(a, b, bias, name, part, v) -> list[tuple[Any, Any]]:
    """The product without an ending, where `name` is None, or with one; v: what that needs."""
    ((c, error),) = sum_of_products(a, b, bias)
    if name is None:
        return [(c, error)]
    f = part_of(name, part, c if v is None else wide(v))
    if v is None:
        return [(f, error)]  # the slope of such values is at most 1
    return [(c * f, (error + 4 * np.finfo(b.dtype).eps * abs(c)) * np.maximum(1, abs(f)))]


def draw_ending(draw: Draw, m: int, n: int) -> tuple[str, str, np.ndarray | None]:
    name, part = ENDINGS[draw.rng.integers(len(ENDINGS))]
    return name, part, part_of(name, "value", draw.real(m, n)) if part == "derivative" else None


def product(draw: Draw) -> Iterator[Problem]:
    # Of each shape of a tile without an ending, and with one of them.
    shapes = itertools.product(shapes_of_tiles(draw), (False, True))
    for (m, n, k, gap), ends in shapes:
        name, part, v = draw_ending(draw, m, n) if ends else (None, None, None)
        a, b, bias = draw.real(m, k), draw.real(k, n), draw.real(n) if draw.rng.integers(3) else None
        lda, ldb, ldc = k + gap, n + 2 * gap, n + gap
        arguments = m, n, k, In(a, lda), lda, In(b, ldb), ldb, bias if bias is None else In(bias)
        ahead = int(draw.rng.integers(2)) * 10**6  # where nothing is
        place, needed = empty(draw.dtype, m, n, ld=ldc), None
        if v is not None:
            needed = place = Out(v, ldc)
            if draw.rng.integers(2):
                needed, place = In(v, ldc), empty(draw.dtype, m, n, ld=ldc)
        yield Problem(
            attrgetter("table.product"),
            (*arguments, place, ldc, ahead, 0 if name is None else ending(name, part), needed),
            partial(expected_product, a, b, bias, name, part, v),
        )


def with_zeros(draw: Draw, m: int, k: int) -> np.ndarray:
    """Rows of which a good part is zero, a whole row, a whole column and zeros with a sign among them."""
    a = np.where(draw.rng.uniform(size=(m, k)) < 0.5, draw.real(m, k), 0).astype(draw.dtype)
    a[m // 2 : m // 2 + 1], a[:, k // 3 : k // 3 + 1] = 0, 0
    return np.where(draw.rng.uniform(size=(m, k)) < 0.1, -np.abs(a) * 0, a).astype(draw.dtype)


def shapes_of_panels(draw: Draw) -> Iterator[tuple[int, int, int]]:
    """Rows, columns and steps: panels of all widths, whole and ragged ones, and steps around whole words of bits."""
    w = draw.widest
    steps = itertools.cycle((1, 63, 64, 65, 5, 128, 130, w, w + 1))
    for n in sorted({*draw.narrow[1:], *(i * w + j for i in range(1, 10) for j in (-1, 0, 1, w // 2 + 1))}):
        yield 7, n, next(steps)
    for m in (0, 1, 2, 255, 256, 257):
        yield m, w + 1, next(steps)
    yield 9, 17 * w, 70


def skipping_product(draw: Draw) -> Iterator[Problem]:
    def expected(meanwhile, *problem):
        anything = [] if meanwhile is None else [(0 * problem[0] @ problem[1], np.inf)]
        return [(1, 0), *anything, *expected_product(*problem)]

    shapes = itertools.product(shapes_of_panels(draw), (False, True), (False, True))
    for i, ((m, n, k), ends, transposed) in enumerate(shapes):
        name, part, v = draw_ending(draw, m, n) if ends else (None, None, None)
        a, b, bias = with_zeros(draw, m, k), draw.real(k, n), draw.real(n) if draw.rng.integers(3) else None
        gap, line = i % 4, 64 // draw.dtype.itemsize
        ldb = (k if transposed else n) + 2 * gap
        if i % 3 == 0:  # so that b may be read where it is
            ldb = -(-ldb // line) * line
        lda, ldc = k + gap, n + gap
        given = In(np.ascontiguousarray(b.T) if transposed else b, ldb)
        place, needed, meanwhile = empty(draw.dtype, m, n, ld=ldc), None, None
        if v is not None:
            needed = place = Out(v, ldc)
            meanwhile = Out(np.zeros((m, n), draw.dtype), ldc)
            if i % 2:
                needed, place, meanwhile = In(v, ldc), empty(draw.dtype, m, n, ld=ldc), None
        arguments = m, n, k, In(a, lda), lda, given, ldb, int(transposed), bias if bias is None else In(bias)
        yield Problem(
            attrgetter("table.skipping_product"),
            (*arguments, meanwhile or place, place, ldc, 0 if name is None else ending(name, part), needed),
            partial(expected, meanwhile, a, b, bias, name, part, v),
        )


def outer(draw: Draw) -> Iterator[Problem]:
    def expected(a, d, g, g_sum, summed):
        found = sum_of_products(a.T, d, g)
        return found + sum_of_products(np.ones(len(d), d.dtype), d, g_sum) if summed else found

    for i, (m, n, rows, gap) in enumerate(shapes_of_tiles(draw)):
        a, d, g, g_sum = draw.real(rows, m), draw.real(rows, n), None, None
        lda, ldd, summed = m + gap, n + 2 * gap, i % 4 != 3
        out, out_sum = empty(draw.dtype, m, n), empty(draw.dtype, n)
        if i % 3 == 1:
            g, g_sum = draw.real(m, n), draw.real(n)
            out, out_sum = Out(g), Out(g_sum)
        yield Problem(
            attrgetter("table.outer"),
            (rows, m, n, In(a, lda), lda, In(d, ldd), ldd, out, out_sum if summed else None, int(g is not None)),
            partial(expected, a, d, g, g_sum, summed),
        )


def narrow_back(draw: Draw) -> Iterator[Problem]:
    def expected(a, d, w, g, g_sum, out_sum, name, v, wanted):
        ((out, error),) = expected_product(d, w.T, None, name, "derivative", v)
        sums = sum_of_products(np.ones(len(d), d.dtype), d, g_sum)
        before = 0 if g is None else wide(out_sum)
        size = error.sum(axis=0) + 4 * draw.eps * (abs(before) + abs(out).sum(axis=0))
        sums.append((before + out.sum(axis=0), size))
        return [(out, error), *sum_of_products(a.T, d, g), *itertools.compress(sums, wanted)]

    names = itertools.cycle([None, *(name for name, part in ENDINGS if part == "derivative")])
    all_rows, inputs = itertools.cycle((5, 1, 2, 257, 16, 0, 33)), [m for m in draw.sizes if m > 1]
    options = itertools.cycle(itertools.product((True, False), (0, 1), (0, 1, 2), (False, True)))
    for i, (m, n) in enumerate(itertools.product([*inputs, 4 * draw.widest, 5 * draw.widest], NARROW)):
        rows, name, gap = next(all_rows), next(names), (0, 1, 3)[i % 3]
        with_db, with_total, place_of, accumulates = next(options)
        if n == 1:  # five options for four n
            next(options)
        d, w, g, g_sum, total = draw.real(rows, n), draw.real(m, n), None, None, None
        a = draw.real(rows, m) if name is None else part_of(name, "value", draw.real(rows, m))
        lda, ldd = m + gap, n + 2 * gap
        given, needed, place = In(a, lda), None if name is None else In(a, lda), empty(draw.dtype, rows, m, ld=lda)
        if place_of == 1:
            given = place = Out(a, lda)
            needed = None if name is None else place
        elif place_of == 2 and name is not None:
            needed = place = Out(a, lda)
        dw, sums = empty(draw.dtype, m, n), [empty(draw.dtype, n), empty(draw.dtype, m)]
        if accumulates:
            g, g_sum, total = draw.real(m, n), draw.real(n), draw.real(m)
            dw, sums = Out(g), [Out(g_sum), Out(total)]
        wanted = with_db, with_total
        sums = [out if on else None for out, on in zip(sums, wanted, strict=True)]
        end = 0 if name is None else ending(name, "derivative")
        arguments = rows, m, n, given, lda, In(d, ldd), ldd, In(w), end, needed, place, lda
        yield Problem(
            attrgetter("table.narrow_back"),
            (*arguments, dw, *sums, int(accumulates)),
            partial(expected, a, d, w, g, g_sum, total, name, a, wanted),
        )


def dot(draw: Draw) -> Iterator[Problem]:
    for i, (m, k) in enumerate(itertools.product((0, 1, 2, 5, 31, 257), draw.sizes)):
        for bias in (None, draw.real(1)):
            a, w, ld = draw.real(m, k), draw.real(k), k + (0, 1, 5)[i % 3]
            arguments = m, k, In(a, ld), ld, In(w), bias if bias is None else In(bias), empty(draw.dtype, m)
            yield Problem(attrgetter("table.dot"), arguments, partial(sum_of_products, a, w, bias))


def column_sum(draw: Draw) -> Iterator[Problem]:
    for i, (rows, n) in enumerate(itertools.product((0, 1, 2, 255, 256, 257), draw.sizes)):
        d, g, ld = draw.real(rows, n), draw.real(n) if i % 2 else None, n + (0, 2, 1)[i % 3]
        out = empty(draw.dtype, n) if g is None else Out(g)
        yield Problem(
            attrgetter("table.column_sum"),
            (rows, n, In(d, ld), ld, out, int(g is not None)),
            partial(sum_of_products, np.ones(rows, draw.dtype), d, g),
        )


class Sparse:
    """Rows of a CSR matrix that start in the middle of its arrays, as they do in a piece of a larger matrix."""

    LEAD = 3

    def __init__(self, draw: Draw, n_rows: int, n_columns: int, index: np.ndarray | None = None) -> None:
        present = draw.rng.uniform(size=(n_rows, n_columns)) < 0.4
        present[n_rows // 2 : n_rows // 2 + 1] = False
        self.dense = np.where(present, draw.real(n_rows, n_columns), 0).astype(draw.dtype)
        lead = np.full(self.LEAD, np.nan, draw.dtype)
        data = np.concatenate([lead, self.dense[present]])
        indices = np.concatenate([np.zeros(self.LEAD), np.nonzero(present)[1]]).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int64) + self.LEAD
        self.arguments = In(indptr), In(indices), In(data), index if index is None else In(index)
        if index is not None:
            self.dense = self.dense[index]


def sparse_rows(draw: Draw) -> Iterator[tuple[int, int, Sparse]]:
    """Rows and output columns of a call, and the rows' matrix."""
    w = draw.widest
    features = itertools.cycle((1, 5, 17, 40))
    widths = sorted({*draw.narrow, 4 * w, 5 * w - 1, 6 * w + 1, 7 * w, 8 * w, 8 * w + 1})
    for m, n in itertools.product((0, 1, 2, 17), widths):
        yield m, n, Sparse(draw, m, next(features))
        yield m, n, Sparse(draw, m + 4, next(features), draw.rng.integers(0, m + 4, m).astype(np.int32))
    yield 257, w + 1, Sparse(draw, 257, 40)


def csr_product(draw: Draw) -> Iterator[Problem]:
    for i, (m, n, x) in enumerate(sparse_rows(draw)):
        b, bias, ld = draw.real(x.dense.shape[1], n), draw.real(n) if i % 3 else None, n + i % 4
        out = empty(draw.dtype, m, n, ld=ld)
        yield Problem(
            attrgetter("table.csr_product"),
            (m, n, *x.arguments, In(b), bias if bias is None else In(bias), out, ld),
            partial(sum_of_products, x.dense, b, bias),
        )


def csr_dot(draw: Draw) -> Iterator[Problem]:
    for i, (m, _, x) in enumerate(sparse_rows(draw)):
        w, bias = draw.real(x.dense.shape[1]), draw.real(1) if i % 3 else None
        arguments = m, *x.arguments, In(w), bias if bias is None else In(bias), empty(draw.dtype, m)
        yield Problem(attrgetter("table.csr_dot"), arguments, partial(sum_of_products, x.dense, w, bias))


def csr_outer(draw: Draw) -> Iterator[Problem]:
    for i, (m, n, x) in enumerate(sparse_rows(draw)):
        d, g, ld = draw.real(m, n), draw.real(x.dense.shape[1], n) * (i % 2), n + i % 4
        arguments = m, n, *x.arguments, In(d, ld), ld, Out(g)
        yield Problem(attrgetter("table.csr_outer"), arguments, partial(sum_of_products, x.dense.T, d, g))


def by_columns(x: np.ndarray, columns: np.ndarray) -> tuple[In, In, In, In]:
    """Where the entries of each of these columns begin, their rows, the entries, and the columns."""
    taken = x.T[columns]
    starts = np.concatenate([[0], np.cumsum((taken != 0).sum(axis=1))]).astype(np.int64)
    return In(starts), In(np.nonzero(taken)[1].astype(np.int32)), In(taken[taken != 0]), In(columns)


def csr_columns(draw: Draw) -> Iterator[Problem]:
    for i, (m, n, x) in enumerate(sparse_rows(draw)):
        n_features = x.dense.shape[1]
        columns = np.flatnonzero(draw.rng.uniform(size=n_features) < 0.7).astype(np.int32)
        d, g, ld = draw.real(m, n), draw.real(n_features, n), n + i % 4
        taken = np.zeros_like(x.dense)
        taken[:, columns] = x.dense[:, columns]
        arguments = len(columns), n, *by_columns(x.dense, columns), In(d, ld), ld, Out(g)
        yield Problem(attrgetter("table.csr_columns"), arguments, partial(sum_of_products, taken.T, d, g))


def transpose(draw: Draw) -> Iterator[Problem]:
    for i, (m, n) in enumerate(itertools.product((0, 1, 2, 15, 16, 17, 33, 257), draw.narrow)):
        a, lda, ldb = draw.real(m, n), n + i % 3, m + (0, 1, 5)[i % 3]
        arguments = m, n, In(a, lda), lda, empty(draw.dtype, n, m, ld=ldb), ldb
        yield Problem(attrgetter("table.transpose"), arguments, lambda a=a: [(wide(a.T), 0)])


def add(draw: Draw) -> Iterator[Problem]:
    for n in draw.sizes:
        x, y = draw.real(n), draw.real(n)
        yield Problem(attrgetter("table.add"), (n, In(x), Out(y)), lambda x=x, y=y: [(wide(y + x), 0)])


def sum_squares(draw: Draw) -> Iterator[Problem]:
    for n in draw.sizes:
        w = draw.real(n)
        total = (w.astype(np.longdouble) ** 2).sum()
        limit = 4 * np.finfo(np.float64).eps * total  # it sums in double
        yield Problem(attrgetter("table.sum_squares"), (n, In(w)), lambda result=(total, limit): [result])


def finite(draw: Draw) -> Iterator[Problem]:
    """Denormals, zeros and the largest numbers are finite; one number that is not may lie anywhere."""
    limits = np.finfo(draw.dtype)
    for n in draw.sizes:
        good = draw.real(n)
        good[::3], good[1::5], good[2::7] = limits.max, -limits.max, limits.smallest_subnormal
        yield Problem(attrgetter("table.finite"), (n, In(good)), lambda: [(1, 0)])
        for place in range(n) if n < 60 else (0, 1, n // 2, n - 2, n - 1):
            bad = good.copy()
            bad[place] = (np.nan, np.inf, -np.inf)[place % 3]
            yield Problem(attrgetter("table.finite"), (n, In(bad)), lambda: [(0, 0)])


def count_nonzero(draw: Draw) -> Iterator[Problem]:
    for n in (*draw.sizes, 63, 64, 65):
        x = with_zeros(draw, 3, n)[0]
        x[n // 2 : n // 2 + 1], x[n // 4 : n // 4 + 1] = np.nan, np.finfo(draw.dtype).smallest_subnormal
        yield Problem(attrgetter("table.count_nonzero"), (n, In(x)), lambda x=x: [(np.count_nonzero(x), 0)])


def scale_gradient(draw: Draw) -> Iterator[Problem]:
    def expected(w, g, alpha, scale):
        eps, w, g = draw.eps, wide(w), wide(g)
        return [((g + alpha * w) * scale, 4 * eps * (abs(g) + abs(alpha * w)) * scale)]

    for n, alpha in itertools.product(draw.sizes, (0.0, 0.3)):
        w, g, scale = draw.real(n), draw.real(n), 1 / 7
        arguments = n, alpha, scale, In(w), Out(g)
        yield Problem(attrgetter("table.scale_gradient"), arguments, partial(expected, w, g, alpha, scale))


VMATH = {
    "vsqrt": (np.sqrt, Interval(0)),
    "vexp": (np.exp, Interval()),
    "vexpm1": (np.expm1, Interval()),
    "vlog1p": (np.log1p, Interval(0)),
    "vtanh": (np.tanh, Interval()),
    "vlog": (np.log, Interval(2)),
    "vlogistic": (lambda x: 1 / (1 + np.exp(-x)), Interval()),
}


def vmath(name: str, draw: Draw) -> Iterator[Problem]:
    """Lanes and tails of the elementary functions; test_vmath.py tests the functions."""
    function, domain = VMATH[name]

    def expected(x):
        return [(function(wide(x)), 4 * draw.eps * abs(function(wide(x))))]

    for n in draw.sizes:
        x = draw.member(domain, n)
        yield Problem(attrgetter(f"table.{name}"), (n, In(x), empty(draw.dtype, n)), partial(expected, x))


def activation_kernel(name: str, part: str) -> Callable[[Isa], Callable]:
    return lambda isa: getattr(isa.table.activations[_c_interface.ACTIVATION_CODES[name]], part)


def applied(entry: Any, part: str, v: np.ndarray, block: tuple[float, ...], u: np.ndarray | None = None) -> np.ndarray:
    """Return value or derivative of a flat array."""
    row = v[np.newaxis]
    return getattr(entry, part)(row, *entry.arguments(row, block, None if u is None else u[np.newaxis]))[0]


def drawn(draw: Draw) -> Iterator[tuple[int, Any, np.ndarray]]:
    """Sizes of blocks of an activation that draws, the kernel's last argument and the random numbers."""
    for i, (rows, ld) in enumerate(itertools.product((0, 1, 2, 5, 17, 40), (1, 2, 3, 4, 5, 8, 16, 60, 64, 112, 129))):
        key, step, layer, first = 2**64 - int(draw.rng.integers(2**62)), 2**32 + i, i % 3, 7 * i
        where = ffi.new("fm_draw *", {"key": key, "step": step, "layer": layer, "row": first, "ld": ld})
        u = philox.uniforms(key, step, layer, first + rows, ld)[first:]
        yield rows * ld, where, u.ravel().astype(draw.dtype)


def value(name: str, draw: Draw) -> Iterator[Problem]:
    entry, kernel = ACTIVATIONS[name], activation_kernel(name, "value")

    def expected(z, block, u=None):
        a = applied(entry, "value", wide(z), block, u)
        # Where the sum in 1 + tanh and the like cancels, its error is multiplied by z.
        return [(a, 4 * draw.eps * np.maximum(abs(a), abs(wide(z))))]

    for n in draw.sizes:
        z, block = 2 * draw.real(n), draw.block(entry)
        parameters = ffi.new("double[]", block)
        yield Problem(kernel, (n, In(z), empty(draw.dtype, n), parameters, None), partial(expected, z, block))
        in_place = Out(z)
        yield Problem(kernel, (n, in_place, in_place, parameters, None), partial(expected, z, block))
    for n, where, u in drawn(draw) if entry.draws else ():
        z, block = 2 * draw.real(n), draw.block(entry)
        arguments = n, In(z), empty(draw.dtype, n), ffi.new("double[]", block), where
        yield Problem(kernel, arguments, partial(expected, z, block, wide(u)))


def derivative(name: str, draw: Draw) -> Iterator[Problem]:
    entry, kernel = ACTIVATIONS[name], activation_kernel(name, "derivative")

    def expected(v, delta, block, u=None):
        slope, delta = applied(entry, "derivative", wide(v), block, u), wide(delta)
        return [(delta * slope, 32 * draw.eps * abs(delta) * np.maximum(1, abs(slope)))]

    for n in draw.sizes:
        z, delta, block = 2 * draw.real(n), draw.real(n), draw.block(entry)
        v = applied(entry, "value", z, block) if entry.needs == "output" else z
        arguments = n, In(v), Out(delta), ffi.new("double[]", block), None
        yield Problem(kernel, arguments, partial(expected, v, delta, block))
    for n, where, u in drawn(draw) if entry.draws else ():
        z, delta, block = 2 * draw.real(n), draw.real(n), draw.block(entry)
        v = applied(entry, "value", z, block, u) if entry.needs == "output" else z
        arguments = n, In(v), Out(delta), ffi.new("double[]", block), where
        yield Problem(kernel, arguments, partial(expected, v, delta, block, wide(u)))


PLAIN = [name for name in DIFFERENTIABLE if not ACTIVATIONS[name].draws]


def row_forward(draw: Draw) -> Iterator[Problem]:
    def expected(x, w, bias, name, block, with_z):
        ((z, size),) = sum_of_products(x, w, bias)
        a = z if name is None else applied(ACTIVATIONS[name], "value", z, block)
        # No activation is steeper than 2 or, as exp, its value; in gelu and silu the error of a sum that cancels is
        # multiplied by z.
        slope = 2 * np.maximum(1, abs(a))
        return [*[(z, size)] * with_z, (a, slope * size + 4 * draw.eps * np.maximum(abs(a), abs(z)))]

    names = itertools.cycle([*PLAIN, "step", None])
    for i, (n, k) in enumerate(itertools.product(draw.in_a_vector, draw.narrow)):
        x, w, bias, name, with_z = draw.real(k), draw.real(k, n), draw.real(n), next(names), i % 2
        if name == "step":
            bias += np.where(x @ w + bias < 0, -0.1, 0.1).astype(draw.dtype)  # off the jump
        block = () if name is None else draw.block(ACTIVATIONS[name])
        code = -1 if name is None else _c_interface.ACTIVATION_CODES[name]
        room = 0 if n == 1 else draw.widest - n
        outputs = empty(draw.dtype, n, room=room) if with_z else None, empty(draw.dtype, n, room=room)
        yield Problem(
            attrgetter("table.row_forward"),
            (n, k, In(x), In(w), In(bias), code, ffi.new("double[4]", block), *outputs),
            partial(expected, x, w, bias, name, block, with_z),
        )


def row_delta(draw: Draw) -> Iterator[Problem]:
    def expected(delta, w, name, block, v):
        ((sum_, size),) = sum_of_products(w, delta, None)
        slope = applied(ACTIVATIONS[name], "derivative", wide(v), block)
        return [(sum_ * slope, size * abs(slope) + 32 * draw.eps * abs(sum_) * np.maximum(1, abs(slope)))]

    names = itertools.cycle(PLAIN)
    for n, k in itertools.product(draw.in_a_vector, repeat=2):
        delta, w, name = draw.real(n), draw.real(k, n), next(names)
        entry = ACTIVATIONS[name]
        z, block = 2 * draw.real(k), draw.block(entry)
        v = applied(entry, "value", z, block) if entry.needs == "output" else z
        arguments = n, k, In(delta), In(w), _c_interface.ACTIVATION_CODES[name], ffi.new("double[4]", block)
        room = 0 if k == 1 else draw.widest - k
        place = Out(v, room=room)
        needed = place if n % 2 else In(v)
        yield Problem(
            attrgetter("table.row_delta"),
            (*arguments, needed, place if n % 2 else empty(draw.dtype, k, room=room)),
            partial(expected, delta, w, name, block, v),
        )


def row_gradient(draw: Draw) -> Iterator[Problem]:
    for n, k in itertools.product(draw.in_a_vector, draw.narrow):
        x, delta = draw.real(k), draw.real(n)
        products = wide(x)[:, np.newaxis] * wide(delta)
        yield Problem(
            attrgetter("table.row_gradient"),
            (n, k, In(x), In(delta), empty(draw.dtype, k, n), empty(draw.dtype, n)),
            lambda products=products, delta=delta: [(products, draw.eps * abs(products)), (wide(delta), 0)],
        )


def softmax(draw: Draw) -> Iterator[Problem]:
    def expected(z):
        if not z.size:
            return [(z, 0)]
        p = ACTIVATIONS["softmax"].value(wide(z))
        # An exponential's argument, z - max(z), is rounded.
        return [(p, 4 * draw.eps * p * (1 + np.ptp(wide(z), axis=1, keepdims=True)))]

    for i, (m, n) in enumerate(itertools.product((0, 1, 2, 15, 16, 17, 33, 256, 257), (1, 2, 3, 10, 17))):
        z, ld = 3 * draw.real(m, n), n + (0, 1, 3)[i % 3]
        into, over = empty(draw.dtype, m, n, ld=ld + 1), Out(z, ld)
        for arguments in (m, n, In(z, ld), ld, into, ld + 1), (m, n, over, ld, over, ld):
            yield Problem(attrgetter("table.softmax"), (*arguments, Scratch(n)), partial(expected, z))


@dataclass
class Rows:
    """Rows of outputs for the loss kernel, with the targets and weights that belong to them."""

    form: tuple[str, bool, bool]
    """Loss; whether the outputs are pre-activations of a softmax; whether delta is output - target."""
    a: np.ndarray
    y: np.ndarray
    """Targets of the rows, or of those that `index` takes from them."""
    hard: bool = False
    as_codes: bool = False
    weight: np.ndarray | None = None
    index: np.ndarray | None = None
    wants_delta: bool = True
    gap: int = field(default=0, kw_only=True)

    def problem(self) -> Problem:
        (m, n), ld = self.a.shape, self.a.shape[1] + self.gap
        codes = (self.y[:, 0] if n == 1 else self.y.argmax(axis=1)).astype(np.int32) if self.as_codes else None
        arrays = (None if self.as_codes else self.y, codes, self.weight, self.index)
        delta = empty(self.a.dtype, m, n, ld=ld + 1) if self.wants_delta else None
        given = [In(self.a, ld), *(array if array is None else In(array) for array in arrays), delta, Scratch(n)]
        return Problem(lambda isa: partial(self._call, isa), given, self.expected)

    def _call(self, isa: Isa, *pointers: Any) -> list[float]:
        o = ffi.new("fm_outputs *")
        o.rows, o.n_outputs = self.a.shape
        o.loss, o.softmax, o.canonical, o.hard = _c_interface.LOSS_CODES[self.form[0]], *self.form[1:], self.hard
        o.a, o.y, o.codes, o.weight, o.index, o.delta, o.scratch = pointers
        o.lda = o.n_outputs + self.gap
        o.ldd = o.lda + 1
        o.loss_sum = o.weight_sum = np.nan
        isa.table.loss(o)
        return [o.loss_sum, o.weight_sum]

    def expected(self, of: Callable[[np.ndarray], np.ndarray] = wide) -> list[tuple[Any, Any]]:
        """Sum of losses, sum of weights, and delta."""
        eps = 16 * np.finfo(self.a.dtype).eps
        (loss, is_softmax, canonical), softmax = self.form, ACTIVATIONS["softmax"]
        output_activation, entry = "softmax" if is_softmax else "identity", LOSSES[loss]
        rows = slice(len(self.a)) if self.index is None else self.index
        z, y = of(self.a), of(self.y)[rows]
        w = np.ones(len(z), z.dtype) if self.weight is None else of(self.weight)[rows]
        a = softmax.value(z) if is_softmax and z.size else z
        # A row's loss is of the type, the sum over rows in double.
        terms = entry.rows(a, y, output_activation)
        terms = terms.astype(np.promote_types(terms.dtype, np.float64))
        size = (1 + abs(a) + abs(y)) ** 2
        results = [((w * terms).sum(), eps * (w @ size).sum()), (w.sum(dtype=terms.dtype), 1e-14 * w.sum())]
        if self.wants_delta:
            delta = a - y if canonical else entry.gradient(a, y, output_activation)
            if is_softmax and not canonical:
                delta = softmax.backward(delta, z, a, ())
            w = w[:, np.newaxis]
            results.append((w * delta, eps * w * np.maximum(size, abs(delta))))
        return results


LOSS_FORMS = [
    (loss, is_softmax, canonical)
    for loss, entry in LOSSES.items()
    for is_softmax in (False, True)
    for canonical in (False, True)
    if not is_softmax or entry.domain.includes(ACTIVATIONS["softmax"].range)
    if not canonical or any((name == "softmax") == is_softmax for name in entry.canonical)
]
every_form = pytest.mark.parametrize("form", LOSS_FORMS, ids=lambda form: "-".join(map(str, form)))


def draw_rows(draw: Draw, form: tuple[str, bool, bool], m: int, n: int, kind: str, *, weighted=False, indexed=False):
    """Draw rows for the loss kernel; kind of the targets: soft, hard or codes."""
    loss, is_softmax, _ = form
    entry = LOSSES[loss]
    n_targets = m + 5 if indexed else m
    if kind == "soft":
        y = draw.member(entry.targets, n_targets, n)
    elif is_softmax or (kind == "codes" and n > 1):
        y = np.eye(n, dtype=draw.dtype)[draw.rng.integers(0, n, n_targets)]
    else:
        y = draw.rng.integers(0, 2, (n_targets, n)).astype(draw.dtype)
    return Rows(
        form,
        2 * draw.real(m, n) if is_softmax else draw.member(entry.domain, m, n),
        y,
        hard=kind != "soft",
        as_codes=kind == "codes",
        weight=draw.rng.uniform(0, 3, n_targets).astype(draw.dtype) if weighted else None,
        index=draw.rng.permutation(n_targets)[:m].astype(np.int32) if indexed else None,
    )


def loss(form: tuple[str, bool, bool], draw: Draw) -> Iterator[Problem]:
    sizes = itertools.cycle(itertools.product((BLOCK, 1, 16, 0, 17, BLOCK - 1, 2, 15, 33), (1, 3, 2, 10, 4, 17)))
    options = itertools.product(("soft", "hard", "codes"), (False, True), (False, True), (False, True), range(4))
    for kind, weighted, indexed, wants_delta, gap in options:
        m, n = next(sizes)
        rows = draw_rows(draw, form, m, max(n, 2) if form[1] else n, kind, weighted=weighted, indexed=indexed)
        yield replace(rows, wants_delta=wants_delta, gap=gap).problem()
    for kind, weighted, wants_delta in itertools.product(("hard", "codes"), (False, True), (False, True)):
        rows = draw_rows(draw, form, 1, 2 if form[1] else 1, kind, weighted=weighted, indexed=True)
        for index in range(len(rows.y)):
            yield replace(rows, wants_delta=wants_delta, index=np.array([index], np.int32)).problem()


def draw_hyper(draw: Draw, name: str, switch: bool) -> dict[str, float | bool]:
    """Draw hyperparameters of a solver, all different from one another."""
    entry = SOLVERS[name]
    return {
        key: switch if isinstance(default, bool) else float(draw.member(entry.limits.get(key, Interval(0, 1)), 1)[0])
        for key, default in entry.hyperparameters.items()
    }


def update(name: str, draw: Draw) -> Iterator[Problem]:
    """Take a step of a network whose gradient is a row of numbers: only the core can prepare a solver's factors."""
    entry, t = SOLVERS[name], 4

    def train(n, alpha, hyper, data, isa):
        def step(*pointers):
            n_bytes = (n + 1) * draw.dtype.itemsize
            params, *moments = (np.frombuffer(ffi.buffer(pointer, n_bytes), draw.dtype) for pointer in pointers)
            spec = make_spec([n, 1], "identity", "identity", "squared_error", draw.dtype)
            state = SolverState(name, dict(hyper), t, moments)
            with chosen(isa.name):
                c.CTrainer(spec, params, data, Plan(state, 1, alpha)).run(1)
            assert state.t == t + 1

        return step

    def expected(alpha, hyper, data, params, moments):
        params, x, weight = wide(params), np.append(wide(data.X[0]), 1), wide(data.sample_weight[0])
        grad = x * (x @ params - wide(data.targets[0, 0]))
        grad[:-1] += alpha / weight * params[:-1]
        after, kept = params.copy(), [wide(moment) for moment in moments]
        entry.update(after, grad, kept, t + 1, **hyper)
        size = 32 * draw.eps * (1 + abs(params) + abs(grad))
        return [(after, size), *((moment, size * (1 + abs(grad))) for moment in kept)]

    for n, alpha, switch in itertools.product(draw.sizes[1:], (0.0, 0.3), (False, True)):
        hyper, params, x = draw_hyper(draw, name, switch), draw.real(n + 1), draw.real(1, n)
        moments = [abs(draw.real(n + 1)) for _ in range(entry.n_moments)]
        y = (x @ params[:n, np.newaxis] + params[n] - 5).astype(draw.dtype)
        data = Data(x, y, np.array([3.0], draw.dtype))
        yield Problem(
            partial(train, n, alpha, hyper, data),
            [Out(params), *map(Out, moments)],
            partial(expected, alpha, hyper, data, params, moments),
        )


KERNELS: dict[str, Callable[[Draw], Iterator[Problem]]] = {
    "product": product,
    "skipping_product": skipping_product,
    "dot": dot,
    "outer": outer,
    "narrow_back": narrow_back,
    "column_sum": column_sum,
    "csr_product": csr_product,
    "csr_dot": csr_dot,
    "csr_outer": csr_outer,
    "csr_columns": csr_columns,
    "row_forward": row_forward,
    "row_delta": row_delta,
    "row_gradient": row_gradient,
    "transpose": transpose,
    "add": add,
    "sum_squares": sum_squares,
    "finite": finite,
    "count_nonzero": count_nonzero,
    "scale_gradient": scale_gradient,
    "softmax": softmax,
    **{f"activations {name} value": partial(value, name) for name in ELEMENTWISE},
    **{f"activations {name} derivative": partial(derivative, name) for name in DIFFERENTIABLE},
    **{f"loss {form[0]}{' softmax' * form[1]}{' canonical' * form[2]}": partial(loss, form) for form in LOSS_FORMS},
    **{f"update {name}": partial(update, name) for name in SOLVERS},
    **{name: partial(vmath, name) for name in VMATH},
}
every_kernel = pytest.mark.parametrize("kernel", list(KERNELS))


def solve(problem: Problem, isa: Isa, memory: Memory, place: int | str = "end") -> list[np.ndarray]:
    try:
        return memory.call(isa, problem.kernel, problem.arguments, place)
    except AssertionError as error:
        raise AssertionError(f"{problem} {place=}: {error}") from None


@pytest.mark.c
def test_no_kernel_is_forgotten():
    in_table = {name for name, _ in ffi.typeof("fm_kernels").fields} - {"width", "panel", "row_panel", "loss_scratch"}
    assert {name.split()[0] for name in KERNELS} == in_table


@every_isa
@every_dtype
@every_kernel
def test_a_kernel_computes_what_numpy_computes(isa, dtype, kernel, memory):
    isa = kernels_of(isa, dtype)
    problems = list(KERNELS[kernel](Draw(kernel, dtype, [isa.table.width])))
    assert problems
    # Each problem at each place where there are few of them, else at places in turn.
    few = itertools.product(problems, PLACES)
    for problem, place in few if len(problems) < 60 else zip(problems, itertools.cycle(PLACES), strict=False):
        for got, (expected, tolerance) in zip(solve(problem, isa, memory, place), problem.expected(), strict=True):
            assert got.shape == np.shape(expected), f"{problem} {place=}"
            wrong = ~(abs(wide(got) - expected) <= tolerance)  # true also for NaN
            assert not wrong.any(), f"{problem} {place=}: {got[wrong][:4]}, not {np.asarray(expected)[wrong][:4]}"


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays are equal down to the sign of zero; NaN is NaN."""
    a, b = np.asarray(a), np.asarray(b)
    equal = ((a == b) & (np.signbit(a) == np.signbit(b))) | ((a != a) & (b != b))
    return a.shape == b.shape and a.dtype == b.dtype and bool(equal.all())


@pytest.mark.c
@pytest.mark.c_fma
@every_dtype
@every_kernel
def test_instruction_sets_with_fma_agree_in_bits(dtype, kernel, memory):
    isas = [kernels_of(isa, dtype) for isa in WITH_FMA]
    for problem in KERNELS[kernel](Draw(kernel, dtype, [isa.table.width for isa in isas])):
        first, *others = (solve(problem, isa, memory, place) for isa, place in zip(isas, PLACES, strict=False))
        for other in others:
            assert all(map(same_bits, first, other)), f"{problem}: {first} {other}"


@pytest.fixture
def halves():
    """Return a function that says of the processor whether half a vector takes half as long."""
    here = lib.fm_halves_are_faster
    yield partial(setattr, lib, "fm_halves_are_faster")
    lib.fm_halves_are_faster = here


def steps_of_solvers(draw: Draw) -> Iterator[Problem]:
    """One step of every solver's kernel, with factors that mean nothing: for bits alone."""
    n, p = 9 * draw.widest + 1, draw.rng.uniform(0.1, 0.9, lib.FM_MAX_HYPER)
    for index in range(len(SOLVERS)):
        w, g, m, v = draw.real(n), draw.real(n), draw.real(n), draw.real(n) ** 2
        arguments = n, n - 3, Out(w), In(g), Out(m), Out(v), 0.1, 0.5, In(p), empty(np.dtype(float), 1)
        yield Problem(lambda isa, index=index: isa.table.update[index], arguments)


@pytest.mark.c
@pytest.mark.c_fma
@every_dtype
@pytest.mark.parametrize("problems", [product, steps_of_solvers])
def test_how_long_half_a_vector_takes_decides_no_bit(dtype, problems, memory, halves):
    isa = kernels_of("avx512", dtype)
    for problem in problems(Draw("halves", dtype, [isa.table.width])):
        results = []
        for are_faster in (0, 1):
            halves(are_faster)
            results.append(solve(problem, isa, memory, PLACES[are_faster]))
        assert all(map(same_bits, *results)), f"{problem}: {results}"


# ---- the order of operations, to the bit ----


@every_isa
@every_dtype
def test_a_row_alone_has_the_bits_of_the_kernels_for_many(isa, dtype, memory):
    isa = kernels_of(isa, dtype)
    draw, table = Draw("row", dtype, [isa.table.width]), isa.table
    kernel = table.activations[_c_interface.ACTIVATION_CODES["tanh"]]

    def run(name, *arguments):
        return memory.call(isa, name if callable(name) else attrgetter(f"table.{name}"), arguments, "end")

    for n, k in itertools.product(draw.in_a_vector, draw.narrow[1:]):
        x, w, bias, delta = draw.real(k), draw.real(k, n), draw.real(n), draw.real(n)
        columns = empty(dtype, 1, n)
        if n == 1:
            (z,) = run("dot", 1, k, In(x), k, In(w), In(bias), empty(dtype, 1))
        else:
            (z,) = run("product", 1, n, k, In(x), k, In(w), n, In(bias), columns, n, 0, 0, None)
        (a,) = run(lambda isa: kernel.value, n, In(z.ravel()), empty(dtype, n), None, None)
        code, block = _c_interface.ACTIVATION_CODES["tanh"], ffi.new("double[4]")
        outputs = [empty(dtype, n, room=0 if n == 1 else table.width - n) for _ in range(2)]
        got = run("row_forward", n, k, In(x), In(w), In(bias), code, block, *outputs)
        assert same_bits(got[0], z.ravel())
        assert same_bits(got[1], a)
        (dw,) = run("outer", 1, k, n, In(x), k, In(delta), n, empty(dtype, k, n), None, 0)
        (db,) = run("column_sum", 1, n, In(delta), n, empty(dtype, n), 0)
        got = run("row_gradient", n, k, In(x), In(delta), empty(dtype, k, n), empty(dtype, n))
        assert same_bits(got[0], dw)
        assert same_bits(got[1], db)
    for n, k in itertools.product(draw.in_a_vector, repeat=2):
        w, delta, v = draw.real(k, n), draw.real(n), np.tanh(draw.real(k))
        if k == 1:
            (sums,) = run("dot", 1, n, In(delta), n, In(w), None, empty(dtype, 1))
        elif n == 1:
            (sums,) = run("product", 1, k, 1, In(delta), 1, In(w), k, None, empty(dtype, 1, k), k, 0, 0, None)
        else:
            (sums,) = run("product", 1, k, n, In(delta), n, In(w.T.copy()), k, None, empty(dtype, 1, k), k, 0, 0, None)
        (expected,) = run(lambda isa: kernel.derivative, k, In(v), Out(sums.ravel()), None, None)
        arguments = n, k, In(delta), In(w), _c_interface.ACTIVATION_CODES["tanh"], ffi.new("double[4]")
        (got,) = run("row_delta", *arguments, In(v), empty(dtype, k, room=0 if k == 1 else table.width - k))
        assert same_bits(got, expected)


@every_isa
@every_dtype
def test_the_way_back_through_a_narrow_layer_has_the_bits_of_the_kernels_for_wide_ones(isa, dtype, memory):
    isa = kernels_of(isa, dtype)
    draw, end = Draw("narrow", dtype, [isa.table.width]), ending("tanh", "derivative")

    def run(name, *arguments):
        return memory.call(isa, attrgetter(f"table.{name}"), arguments, "end")

    for n, m, rows in itertools.product(NARROW, (2, 7, 8, 33, 100), (1, 20, 256)):
        a, d, w = np.tanh(draw.real(rows, m)), draw.real(rows, n), draw.real(m, n)
        g, g_sum, total, place = draw.real(m, n), draw.real(n), draw.real(m), empty(dtype, rows, m)
        given = rows, m, n, In(a), m, In(d), n, In(w), end, In(a), place, m, Out(g)
        columns = In(np.ascontiguousarray(w.T))
        expected = run("product", rows, m, n, In(d), n, columns, m, None, place, m, 0, end, In(a))
        expected += run("outer", rows, m, n, In(a), m, In(d), n, Out(g), None, 1)
        assert all(map(same_bits, run("narrow_back", *given, None, None, 1), expected)), (n, m, rows)
        expected += run("column_sum", rows, n, In(d), n, Out(g_sum), 1)
        expected += run("column_sum", rows, m, In(expected[0]), m, Out(total), 1)
        assert all(map(same_bits, run("narrow_back", *given, Out(g_sum), Out(total), 1), expected)), (n, m, rows)


@every_isa
@every_dtype
def test_few_classes_have_the_bits_of_many(isa, dtype, memory):
    """Codes of few classes take a way of their own, one-hot rows never do."""
    isa, draw = kernels_of(isa, dtype), Draw("few classes", dtype)
    for n, m, indexed in itertools.product(range(2, 6), (16, 17, 40, 256), (False, True)):
        rows = draw_rows(draw, ("log_loss", True, True), m, n, "codes", indexed=indexed)
        rows.a[7, 0], rows.a[8] = 800, -100
        rows.gap = m % 3
        for are_finite in (True, False):
            if not are_finite:
                rows.a[3, 0], rows.a[5, n - 1] = np.nan, np.inf
            got = solve(rows.problem(), isa, memory)
            assert np.isfinite(got[0]) == are_finite
            expected = solve(replace(rows, as_codes=False).problem(), isa, memory)
            assert all(map(same_bits, got, expected)), (n, m, indexed)


def rounded(x: Fraction, dtype: np.dtype) -> Any:
    """Round an exact number once, to nearest."""
    f = np.float64(x)
    if dtype == np.float32 and Fraction(float(f)) != x and not f.view(np.uint64) & 1:
        # To odd, so that rounding again gives what rounding once does.
        f = np.nextafter(f, np.inf if x > Fraction(float(f)) else -np.inf)
    return dtype.type(f)


def fma(a, b, c):
    return rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)), c.dtype)


def chain(pairs, start):
    for a, b in pairs:
        start = fma(a, b, start)
    return start


def sixteen_lanes(terms, dtype):
    """Sum of the products of (k, a, b): term k in lane k mod 16, lanes added by halves."""
    lanes = [dtype.type(0)] * 16
    for k, a, b in terms:
        lanes[k % 16] = fma(a, b, lanes[k % 16])
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [x + y for x, y in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


@every_fma_isa
@every_dtype
def test_products_are_single_chains_from_the_bias(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("order", dtype)
    for m, n, k in ((1, 19, 7), (3, 2, 21), (9, 17, 4)):
        a, b, bias = draw.real(m, k), draw.real(k, n), draw.real(n)
        arguments = m, n, k, In(a), k, In(b), n, In(bias), empty(dtype, m, n), n, 0, 0, None
        (got,) = solve(Problem(attrgetter("table.product"), arguments), isa, memory)
        assert same_bits(got, [[chain(zip(row, b[:, j], strict=True), bias[j]) for j in range(n)] for row in a])


@every_fma_isa
@every_dtype
def test_steps_left_out_leave_the_bits_as_they_are(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("zeros", dtype)
    for (m, n, k), transposed in itertools.product(shapes_of_panels(draw), (0, 1)):
        a, b, bias, out = with_zeros(draw, m, k), draw.real(k, n), draw.real(n), empty(dtype, m, n)
        given, ldb = (In(np.ascontiguousarray(b.T)), k) if transposed else (In(b), n)
        meanwhile = empty(dtype, m, n) if transposed else out
        arguments = m, n, k, In(a), k, given, ldb, transposed, In(bias), meanwhile, out, n, 0, None
        skipping = Problem(attrgetter("table.skipping_product"), arguments)
        arguments = m, n, k, In(a), k, In(b), n, In(bias), empty(dtype, m, n), n, 0, 0, None
        (expected,) = solve(Problem(attrgetter("table.product"), arguments), isa, memory)
        *_, got = solve(skipping, isa, memory)
        assert same_bits(got, expected), f"{m=} {n=} {k=} {transposed=}"


@every_isa
@every_dtype
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_product_that_leaves_out_zeros_says_what_it_would_hide(isa, dtype, number, memory):
    isa, draw = kernels_of(isa, dtype), Draw("hidden", dtype)
    line = 64 // dtype.itemsize
    for (m, n, k), transposed in itertools.product(shapes_of_panels(draw), (0, 1)):
        if m == 0:
            continue
        a, b = np.zeros((m, k), dtype), draw.real(k, n)
        b[draw.rng.integers(k), draw.rng.integers(n)] = number
        ldb = -(-(k if transposed else n) // line) * line
        out, given = empty(dtype, m, n), In(np.ascontiguousarray(b.T) if transposed else b, ldb)
        arguments = m, n, k, In(a), k, given, ldb, transposed, None, out, out, n, 0, None
        is_finite, _ = solve(Problem(attrgetter("table.skipping_product"), arguments), isa, memory)
        assert not is_finite, f"{m=} {n=} {k=} {transposed=}"


@every_isa
@every_dtype
@pytest.mark.parametrize(("name", "part"), ENDINGS)
def test_products_end_with_the_bits_of_the_activation(isa, dtype, name, part, memory):
    isa, draw, numbers = kernels_of(isa, dtype), Draw("ending", dtype), unusual_numbers(dtype)
    some = np.concatenate([numbers, draw.real(3)])
    for m, n in ((1, len(some)), (len(some), len(some)), (len(some), 4)):
        # Products with a single 1 in their sum: the numbers themselves. In the second shape each meets each v.
        b = some[np.newaxis, :n]
        v = np.array([np.roll(some, i)[:n] for i in range(m)])
        if part == "derivative":
            with np.errstate(all="ignore"):
                v = applied(ACTIVATIONS[name], "value", v.ravel(), ()).reshape(m, n)
        arguments = m, n, 1, In(np.ones((m, 1), dtype)), 1, In(b), n, None, empty(dtype, m, n), n, 0
        (plain,) = solve(Problem(attrgetter("table.product"), (*arguments, 0, None)), isa, memory)
        (ended,) = solve(Problem(attrgetter("table.product"), (*arguments, ending(name, part), In(v))), isa, memory)
        out = Out(plain.ravel().copy())
        before = out if part == "value" else In(v.ravel())
        (expected,) = solve(Problem(activation_kernel(name, part), (m * n, before, out, ffi.NULL, None)), isa, memory)
        assert same_bits(ended.ravel(), expected)


@every_fma_isa
@every_dtype
def test_single_columns_are_sixteen_chains_added_by_halves(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("order", dtype)
    for k in (1, 7, 8, 9, 16, 17, 24, 31, 32, 50):
        a, w, bias = draw.real(2, k), draw.real(k), draw.real(1)
        arguments = 2, k, In(a), k, In(w), In(bias), empty(dtype, 2)
        (got,) = solve(Problem(attrgetter("table.dot"), arguments), isa, memory)
        assert same_bits(got, [sixteen_lanes(zip(range(k), row, w, strict=True), dtype) + bias[0] for row in a]), k


@pytest.mark.c
@pytest.mark.c_fma
@every_dtype
def test_instruction_sets_with_fma_agree_on_the_sign_of_zero(dtype, memory):
    # Every product underflows to -0, and so do the chains. Where 0 * 0 is added to a lane beyond the last column, it
    # becomes +0: in all instruction sets or in none.
    isas = [kernels_of(isa, dtype) for isa in WITH_FMA]
    tiny = np.finfo(dtype).tiny
    for k in range(1, 70):
        arguments = 1, k, In(np.full((1, k), -tiny, dtype)), k, In(np.full(k, tiny, dtype)), None, empty(dtype, 1)
        results = [solve(Problem(attrgetter("table.dot"), arguments), isa, memory) for isa in isas]
        assert all(same_bits(results[0], other) for other in results[1:]), f"{k=}: {results}"


@every_fma_isa
@every_dtype
def test_gradients_are_chains_over_the_rows_from_zero(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("order", dtype)
    rows, m, zero = 11, 3, dtype.type(0)
    for n, accumulate in itertools.product((9, 2, 16, 33), (0, 1)):
        a, d, g, g_sum = draw.real(rows, m), draw.real(rows, n), draw.real(m, n), draw.real(n)
        weights = np.array([[chain(zip(a[:, i], d[:, j], strict=True), zero) for j in range(n)] for i in range(m)])
        biases = np.array([chain(((x, 1) for x in d[:, j]), zero) for j in range(n)])
        if accumulate:
            weights, biases = g + weights, g_sum + biases
        for sums in (None, Out(g_sum)):
            arguments = rows, m, n, In(a), m, In(d), n, Out(g), sums, accumulate
            got = solve(Problem(attrgetter("table.outer"), arguments), isa, memory)
            assert same_bits(got[0], weights)
            assert sums is None or same_bits(got[1], biases)
        column_sum = Problem(attrgetter("table.column_sum"), (rows, n, In(d), n, Out(g_sum), accumulate))
        assert same_bits(solve(column_sum, isa, memory)[0], biases)


@every_fma_isa
@every_dtype
def test_sparse_rows_are_computed_like_dense_ones_without_the_absent_entries(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("sparse order", dtype)
    m, n, n_features = 4, 9, 40
    x, b, w, bias = Sparse(draw, m, n_features), draw.real(n_features, n), draw.real(n_features), draw.real(n)
    d, g = draw.real(m, n), np.zeros((n_features, n), dtype)
    entries = [[(k, row[k]) for k in np.flatnonzero(row)] for row in x.dense]

    arguments = m, n, *x.arguments, In(b), In(bias), empty(dtype, m, n), n
    (got,) = solve(Problem(attrgetter("table.csr_product"), arguments), isa, memory)
    assert same_bits(got, [[chain(((v, b[k, j]) for k, v in row), bias[j]) for j in range(n)] for row in entries])

    arguments = m, *x.arguments, In(w), In(bias[:1]), empty(dtype, m)
    (got,) = solve(Problem(attrgetter("table.csr_dot"), arguments), isa, memory)
    assert same_bits(got, [sixteen_lanes(((k, v, w[k]) for k, v in row), dtype) + bias[0] for row in entries])

    (got,) = solve(Problem(attrgetter("table.csr_outer"), (m, n, *x.arguments, In(d), n, Out(g.copy()))), isa, memory)
    for i, row in enumerate(entries):
        for k, v in row:
            g[k] = [fma(v, d[i, j], g[k, j]) for j in range(n)]
    assert same_bits(got, g)

    columns, before = np.arange(1, n_features, 2, dtype=np.int32), draw.real(n_features, n)
    arguments = len(columns), n, *by_columns(x.dense, columns), In(d), n, Out(before.copy())
    (got,) = solve(Problem(attrgetter("table.csr_columns"), arguments), isa, memory)
    before[columns] += g[columns]
    assert same_bits(got, before)


@every_fma_isa
@every_dtype
def test_squares_are_summed_in_sixteen_lanes_of_doubles(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("order", dtype)
    for n in (0, 1, 15, 16, 17, 50):
        w = draw.real(n)
        (got,) = solve(Problem(attrgetter("table.sum_squares"), (n, In(w))), isa, memory)
        assert got == sixteen_lanes(zip(range(n), w, w, strict=True), np.dtype("float64")), n


# ---- codes, hard targets, weights ----


@every_isa
@every_dtype
@every_form
def test_class_codes_stand_for_their_one_hot_rows(isa, dtype, form, memory):
    isa, draw = kernels_of(isa, dtype), Draw("codes", dtype)
    options = itertools.product((1, 17, BLOCK), (1, 2, 3, 4, 10), (False, True), (False, True), (False, True))
    for m, n, weighted, indexed, hard in options:
        rows = draw_rows(draw, form, m, n, "codes", weighted=weighted, indexed=indexed)
        rows.hard = hard
        coded, one_hot = (solve(replace(rows, as_codes=on).problem(), isa, memory) for on in (True, False))
        assert all(map(same_bits, coded, one_hot)), (m, n, weighted, indexed, hard)


@every_isa
@every_dtype
@every_form
def test_hard_targets_give_what_soft_ones_give_to_rounding(isa, dtype, form, memory):
    isa, draw = kernels_of(isa, dtype), Draw("hard", dtype)
    for m, n, weighted in itertools.product((1, 15, 16, 17, BLOCK), (2, 10), (False, True)):
        rows = draw_rows(draw, form, m, n, "hard", weighted=weighted)
        hard, soft = (solve(replace(rows, hard=on).problem(), isa, memory) for on in (True, False))
        # Only an unweighted log loss has another path.
        assert abs(hard[0] - soft[0]) <= (0 if weighted else 16 * draw.eps * (abs(soft[0]) + m * n))
        assert hard[1] == soft[1]
        assert same_bits(hard[2], soft[2])


@every_isa
@every_dtype
@every_form
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_weight_of_zero_takes_a_row_out(isa, dtype, form, kind, memory):
    isa, draw = kernels_of(isa, dtype), Draw("weights", dtype)
    rows = draw_rows(draw, form, 40, 3, kind, weighted=True)
    rows.weight[16:] = 0
    fewer = replace(rows, a=rows.a[:16], y=rows.y[:16], weight=rows.weight[:16])
    all_of_them, those = solve(rows.problem(), isa, memory), solve(fewer.problem(), isa, memory)
    assert all_of_them[:2] == those[:2]
    np.testing.assert_array_equal(all_of_them[2], np.concatenate([those[2], np.zeros((24, 3), dtype)]))


@every_isa
@every_dtype
def test_probabilities_of_0_and_1_have_finite_log_losses(isa, dtype, memory):
    isa, eps = kernels_of(isa, dtype), np.finfo(dtype).eps
    a, y = np.array([[0], [1], [0], [1]], dtype), np.array([[0], [0], [1], [1]], dtype)
    expected = -2 * (np.log(np.float64(eps)) + np.log(np.float64(1 - eps)))
    for hard in (False, True):
        got = solve(Rows(("log_loss", False, True), a, y, hard).problem(), isa, memory)
        np.testing.assert_allclose(got[0], expected, rtol=8 * eps)


# ---- numbers that are not ordinary ----


def unusual_numbers(dtype: np.dtype) -> np.ndarray:
    limits = np.finfo(dtype)
    numbers = np.array(
        [0, limits.smallest_subnormal, limits.tiny / 4, limits.tiny, 1, 20, 100, 1000, limits.max], dtype
    )
    return np.concatenate([numbers, -numbers, np.array([np.inf, -np.inf, np.nan], dtype)])


def assert_like_numpy(got: np.ndarray, expected: np.ndarray, scale: float = 0.0) -> None:
    """Compare: NaN and infinities in the same places, the rest to rounding (denormals: to a few of their steps)."""
    limits = np.finfo(got.dtype)
    np.testing.assert_allclose(
        got, expected, rtol=16 * limits.eps, atol=4 * limits.smallest_subnormal + 16 * limits.eps * scale
    )


@every_isa
@every_dtype
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_of_unusual_numbers(isa, dtype, name, memory):
    isa, entry, numbers = kernels_of(isa, dtype), ACTIVATIONS[name], unusual_numbers(dtype)
    block = Draw("unusual", dtype).block(entry)
    for turn in range(len(numbers)):  # each number gets into each lane, and into the last vector
        z = np.roll(numbers, turn)[turn % 3 :]
        with np.errstate(all="ignore"):
            expected = applied(entry, "value", z, block)
        arguments = len(z), In(z), empty(dtype, len(z)), ffi.new("double[]", block), None
        assert_like_numpy(*solve(Problem(activation_kernel(name, "value"), arguments), isa, memory), expected)


@every_isa
@every_dtype
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_of_unusual_numbers(isa, dtype, name, memory):
    isa, entry, numbers = kernels_of(isa, dtype), ACTIVATIONS[name], unusual_numbers(dtype)
    block = Draw("unusual", dtype).block(entry)
    with np.errstate(all="ignore"):
        v = applied(entry, "value", numbers, block) if entry.needs == "output" else numbers
    # The largest number times something near 1 may or may not overflow.
    for turn, number in itertools.product(range(0, len(v), 4), [*numbers[abs(numbers) != np.finfo(dtype).max], 1.5]):
        v = np.roll(v, turn)
        # Where a layer's numbers are NaN, so is what comes back to it.
        delta = np.where(np.isnan(v), np.nan, number).astype(dtype)
        with np.errstate(all="ignore"):
            expected = entry.backward(*(row[np.newaxis] for row in (delta, v, v)), block)[0]
        arguments = len(v), In(v), Out(delta), ffi.new("double[]", block), None
        assert_like_numpy(*solve(Problem(activation_kernel(name, "derivative"), arguments), isa, memory), expected)


@every_isa
@every_dtype
def test_a_softmax_of_unusual_numbers(isa, dtype, memory):
    isa = kernels_of(isa, dtype)
    z = np.array([row for x in unusual_numbers(dtype) for row in ([x, 1, 0], [0, x, 1], [1, x, x], [x, x, x])], dtype)
    with np.errstate(all="ignore"):
        expected = ACTIVATIONS["softmax"].value(z)
    arguments = len(z), 3, In(z), 3, empty(dtype, len(z), 3), 3, Scratch(3)
    assert_like_numpy(*solve(Problem(attrgetter("table.softmax"), arguments), isa, memory), expected)


@every_isa
@every_dtype
@every_form
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_losses_of_unusual_numbers(isa, dtype, form, kind, memory):
    isa, draw = kernels_of(isa, dtype), Draw("unusual loss", dtype)
    domain = Interval() if form[1] else LOSSES[form[0]].domain
    # Outputs may also be what an activation's rounds to: the ends of its range.
    numbers = [x for x in unusual_numbers(dtype) if domain.low <= x <= domain.high or np.isnan(x)]
    for number, m, weighted in itertools.product(numbers, (1, 18), (False, True)):
        rows = draw_rows(draw, form, m, 3, kind, weighted=weighted)
        rows.a[m - 1, 1] = number
        with np.errstate(all="ignore"):
            expected = [value for value, _ in rows.expected(of=lambda x: x)]
        total, weight, delta = solve(rows.problem(), isa, memory)
        np.testing.assert_allclose(total, expected[0], rtol=64 * draw.eps, atol=64 * m * draw.eps)
        np.testing.assert_allclose(weight, expected[1], rtol=1e-14)
        largest = abs(number) if np.isfinite(number) else 0
        assert_like_numpy(delta, expected[2], scale=4 * (1 + min(largest, 1000)))


@every_isa
@every_dtype
def test_products_of_unusual_numbers(isa, dtype, memory):
    isa, draw = kernels_of(isa, dtype), Draw("unusual product", dtype)
    limits, w = np.finfo(dtype), isa.table.width
    specials = np.array([np.nan, np.inf, -np.inf, 0, limits.smallest_subnormal, -limits.tiny / 4], dtype)

    def sprinkled(*shape):
        where = draw.rng.uniform(size=shape) < 0.08
        return np.where(where, draw.rng.choice(specials, shape), draw.real(*shape))

    def check(kernel, arguments, a, b, start):
        (got,) = solve(Problem(attrgetter(f"table.{kernel}"), arguments), isa, memory)
        with np.errstate(all="ignore"):
            terms, start = wide(a)[:, :, np.newaxis] * wide(b), wide(start)
            expected, size = start + terms.sum(axis=1), abs(start) + abs(terms).sum(axis=1)
        got, ordinary = wide(got).reshape(expected.shape), np.isfinite(expected)
        np.testing.assert_array_equal(got[~ordinary], expected[~ordinary])
        error = abs(got[ordinary] - expected[ordinary])
        assert (error <= 4 * limits.eps * size[ordinary] + limits.smallest_subnormal).all()

    zero = np.zeros(1, dtype)
    for m, n, k in ((1, 2 * w + 1, 5), (9, w + 1, 7), (20, 3, 3)):
        a, b, bias, d = sprinkled(m, k), sprinkled(k, n), draw.real(n), sprinkled(m, n)
        check("product", (m, n, k, In(a), k, In(b), n, In(bias), empty(dtype, m, n), n, 0, 0, None), a, b, bias)
        check("outer", (m, k, n, In(a), k, In(d), n, empty(dtype, k, n), None, 0), a.T, d, zero)
        check("column_sum", (m, n, In(d), n, empty(dtype, n), 0), np.ones((1, m), dtype), d, zero)
    for k in (3, 16, 20, w + 1, 33):
        a, x, bias = sprinkled(30, k), draw.real(k), draw.real(1)
        check("dot", (30, k, In(a), k, In(x), In(bias), empty(dtype, 30)), a, x[:, np.newaxis], bias)


def take_step(solver, isa, dtype, factors, w, g, m, v, *, alpha=0.0, scale=1.0):
    """Take a step in place; `factors` as the solver prepares them in C."""
    factors = ffi.new("double[]", [*factors] + [0] * (8 - len(factors)))
    pointers = [ffi.cast("void *", ffi.from_buffer(x, require_writable=True)) for x in (w, g, m, v)]
    update = kernels_of(isa, dtype).table.update[list(SOLVERS).index(solver)]
    update(len(w), len(w), *pointers, alpha, scale, factors, ffi.NULL)


def adam_step(isa, dtype, epsilon, w, m, v):
    """Take a step with gradients of 0, the rate 1 and moments that stay as they are, to rounding."""
    beta = np.nextafter(1, 0)
    g = np.zeros_like(w)  # by name: a pointer keeps nothing alive
    take_step("adam", isa, dtype, (1, beta, beta, epsilon), w, g, m, v)


@every_isa
@every_dtype
@pytest.mark.parametrize("beta_2", [0.0, 0.999, 1 - 1e-7, np.nextafter(1, 0)])
def test_gradients_whose_squares_are_denormal_count_as_zero_in_adam(isa, dtype, beta_2):
    limits = np.finfo(dtype)
    least = 32 * np.sqrt(np.float64(limits.tiny))
    ratios = np.array([0, 1e-10, 0.5, 0.999, 1, 1.001, 2, 1e10] * 5)
    for scale in (1.0, float(np.sqrt(limits.tiny)), float(1 / np.sqrt(limits.tiny)), float(8 * limits.tiny)):
        g = (np.resize([1, -1], len(ratios)) * (ratios * (least / scale))).astype(dtype)
        w, m, v = (np.zeros_like(g) for _ in range(3))
        take_step("adam", isa, dtype, (1, 0.9, beta_2, 1e-8), w, g, m, v, scale=scale)
        expected = np.where(ratios < 1, 0, 0.1 * scale * g.astype(np.float64))
        np.testing.assert_allclose(m, expected, rtol=8 * limits.eps, atol=0)
        np.testing.assert_array_equal(v[ratios < 1], 0)
        np.testing.assert_array_equal(w != 0, ratios >= 1)


@every_isa
@every_dtype
def test_a_large_epsilon_of_adam_divides_as_any_other(isa, dtype):
    largest = float(np.finfo(dtype).max)
    for epsilon in (1e20, largest / 8, largest / 4, largest / 2, 0.8 * largest, largest):
        w, g, m, v = (np.full(19, x, dtype) for x in (0, 0, 3, 5))
        take_step("adam", isa, dtype, (epsilon / 100, 0.5, 0.5, epsilon), w, g, m, v)
        np.testing.assert_allclose(w, -0.015, rtol=8 * np.finfo(dtype).eps)
    w, g, m, v = (np.full(19, x, dtype) for x in (7, 0, 3, np.inf))
    take_step("adam", isa, dtype, (1, 0.5, 0.5, largest), w, g, m, v)
    np.testing.assert_array_equal(w, 7)


@every_isa
@every_dtype
@pytest.mark.parametrize("nesterov", [0, 1])
def test_weights_without_gradients_do_not_decay_into_denormal_numbers(isa, dtype, nesterov):
    limits = np.finfo(dtype)
    w = np.linspace(-1, 1, 41).astype(dtype)
    before, g, m, v = w.copy(), np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for _ in range(4000):
        take_step("sgd", isa, dtype, (0.1, 0.5, nesterov), w, g, m, v, alpha=1.0)
    assert (abs(w) <= np.sqrt(limits.tiny)).all()
    assert (abs(w[before != 0]) >= limits.tiny).all()
    assert w[before == 0] == 0


@every_isa
def test_the_powers_of_beta_at_all_times(isa):
    entry = SOLVERS["adam"]
    for t in (1, 2, 3, 10, 127, 128, 255, 256, 300, 657, 1000, 8191, 8192, 30_000, 65_536, 100_003, 2**40, 2**62 + 1):
        for betas in ((0.9, 0.999), (0.0, 0.5), (0.99, 0.9999)):
            hyper = dict(zip(entry.hyperparameters, (0.01, *betas, 1e-8), strict=True))
            spec = make_spec([1, 1], "identity", "identity", "squared_error", "float64")
            data = Data(np.ones((1, 1)), np.ones((1, 1)))
            state = SolverState("adam", dict(hyper), t - 1, [np.zeros(2), np.zeros(2)])
            params, expected, moments = np.zeros(2), np.zeros(2), [np.zeros(2), np.zeros(2)]
            with chosen(kernels_of(isa, np.dtype("float64")).name):
                c.CTrainer(spec, params, data, Plan(state, 1)).run(1)
            entry.update(expected, -np.ones(2), moments, t, **hyper)
            # The power is rounded as often as it is multiplied: at most about eps / (1 - beta) come of that.
            np.testing.assert_allclose(params, expected, rtol=1e-12 if betas[1] > 0.999 else 1e-13)


@every_isa
@every_dtype
def test_adam_divides_to_rounding_from_the_smallest_divisor_to_infinity(isa, dtype):
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    exponents = rng.uniform(np.log2(limits.tiny), np.log2(limits.max), 100_003)
    v = np.concatenate([2.0**exponents, 1 + rng.uniform(size=50_000), [np.inf, np.nan]]).astype(dtype)
    w = np.zeros_like(v)
    adam_step(isa, dtype, 0.0, w, np.ones_like(v), v)
    # The square root is rounded once, the moments, too, the reciprocal within 2 units in the last place.
    assert np.max(abs(w[:-2] * np.sqrt(v[:-2].astype(np.longdouble)) + 1)) <= 3.5 * limits.eps
    assert w[-2] == 0
    assert np.isnan(w[-1])


@every_isa
@every_dtype
def test_an_epsilon_of_adam_below_the_normal_numbers_moves_nothing(isa, dtype):
    limits = np.finfo(dtype)
    for epsilon in (limits.smallest_subnormal, limits.tiny / 1000, limits.tiny / 2, limits.tiny):
        w = np.ones(37, dtype)
        adam_step(isa, dtype, float(epsilon), w, np.zeros_like(w), np.zeros_like(w))
        np.testing.assert_array_equal(w, 1)


@every_isa
@every_dtype
@pytest.mark.parametrize("name", list(SOLVERS))
def test_denormal_moments_count_as_zero(isa, dtype, name):
    isa, entry, n, limits = kernels_of(isa, dtype), SOLVERS[name], 37, np.finfo(dtype)
    spec = make_spec([n, 1], "identity", "identity", "squared_error", dtype)
    x = np.zeros((1, n), dtype)
    x[0, 5] = 1  # the other weights have gradients of 0, and their moments are halved
    hyper = {
        key: default if isinstance(default, bool) else 0.5 if entry.limits[key].high == 1 else 0.01
        for key, default in entry.hyperparameters.items()
    }
    state = SolverState.fresh(name, n + 1, dtype, **hyper)
    others = np.delete(np.arange(n), 5)
    sizes = np.array([0.75, 0.9999, 1, 1.25, 1.5, 1e-3], dtype) * limits.tiny
    for moment in state.moments:
        moment[:n] = np.resize(sizes, n)
    with chosen(isa.name):
        c.CTrainer(spec, Draw("flush", dtype).real(n + 1), Data(x, np.zeros((1, 1), dtype)), Plan(state, 1)).run(1)
    before = np.resize(sizes, n)[others]
    for moment in state.moments:
        np.testing.assert_array_equal(moment[others], np.where(before < limits.tiny, 0, before / 2))
        assert moment[5] != 0


@every_isa
@every_dtype
@pytest.mark.parametrize("name", list(SOLVERS))
def test_moments_that_are_not_finite_stay_so_and_disturb_no_others(isa, dtype, name):
    isa, draw, n = kernels_of(isa, dtype), Draw("not finite", dtype), 19
    spec = make_spec([n, 1], "identity", "identity", "squared_error", dtype)
    for number, place in itertools.product((np.nan, np.inf), range(n + 1)):
        params, state = draw.real(n + 1), SolverState.fresh(name, n + 1, dtype)
        for moment in state.moments:
            moment[place] = number
        with chosen(isa.name):
            c.CTrainer(spec, params, Data(draw.real(1, n), draw.real(1, 1)), Plan(state, 1)).run(1)
        for moment in state.moments:
            np.testing.assert_array_equal(np.isfinite(moment), np.arange(n + 1) != place)
        assert np.isfinite(np.delete(params, place)).all()
        assert np.isnan(params[place]) or number == np.inf
