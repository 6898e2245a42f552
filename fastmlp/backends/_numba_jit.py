"""How Numba compiles here: the options, the cache on disk, and calls of compiled functions by address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

import fastmlp

# No fast-math, so that NaN and infinity keep their meaning; no parallel regions: threads are the caller's.
inlined = numba.njit(nogil=True, error_model="numpy")
"""Decorator of a function that is compiled as part of those that call it."""

_FEATURES = binding.get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32
"""Width of the vectors of the products."""
TILE_ROWS = 8 if VECTOR_BYTES == 64 else 4
"""Rows of C that are in registers at a time, with up to three vectors each: 24 of 32 registers, or 12 of 16."""


def _digest() -> str:
    """Return a fingerprint of every source that compiled code may come from."""
    package = Path(fastmlp.__file__).parent
    names = ("_functions", "activations", "losses", "solvers")
    files = [package / f"{name}.py" for name in names] + sorted((package / "backends").glob("*numba*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


_DIGEST = _digest()


def _named(function: Callable, name: str, variables: dict[str, Any]) -> Callable:
    """Return the function with other global variables, under a name that is new whenever a source has changed.

    Numba's cache looks at the file of the function alone, not at what the function calls; but it goes by the name.
    """
    copy = FunctionType(function.__code__, function.__globals__ | variables, function.__name__)
    copy.__module__ = function.__module__
    copy.__qualname__ = f"{name}-{_DIGEST}"
    return copy


def _cached(compiled: Callable[[bool], Any]) -> Any:
    """Return what is compiled with a cache, or without where there is no folder for one that can be written to."""
    try:
        return compiled(True)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return compiled(False)


def entry(function: Callable, name: str, signature: Any, **variables: Any) -> Callable:
    """Return a function compiled for one signature and callable from Python, from the cache where it is there."""
    options = {"nogil": True, "error_model": "numpy"}
    return _cached(lambda keep: numba.njit([signature], cache=keep, **options)(_named(function, name, variables)))


def kernel(function: Callable, name: str, signature: Any, *, keep: bool = True, **variables: Any) -> Any:
    """Return a function compiled for one signature; compiled code calls it by its attribute `address`.

    `keep` says whether it may come from the cache on disk, and go there.
    """

    def compiled(keep: bool) -> Any:
        return numba.cfunc(signature, error_model="numpy", cache=keep)(_named(function, name, variables))

    return _cached(compiled) if keep else compiled(keep)


@intrinsic
def same_place(typingctx: Any, p: Any, q: Any) -> Any:
    """Return whether two pointers are equal."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.icmp_unsigned("==", *values)

    return types.boolean(p, q), generate


@intrinsic
def pointer(typingctx: Any, array: Any) -> Any:
    """Return a pointer to an array's first element: its elements are read and written without bounds checks.

    Negative indices do not count from the end, which leaves loops over an offset free to become vectors. The array must
    be kept alive.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return context.make_array(array)(context, builder, values[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def at(typingctx: Any, start: Any, offset: Any) -> Any:
    """Return a pointer to the element so many after another."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.gep(values[0], [values[1]])

    return start(start, types.int64), generate


@intrinsic
def call(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call the kernel at an address with a tuple of numbers and pointers."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, packed = values
        passed = [builder.extract_value(packed, i) for i in range(len(arguments.types))]
        function = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        builder.call(builder.inttoptr(place, function.as_pointer()), passed)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


_COUNTERPARTS = {
    types.float32: types.int32,
    types.float64: types.int64,
    types.int32: types.float32,
    types.int64: types.float64,
}


@intrinsic
def reinterpreted(typingctx: Any, x: Any) -> Any:
    """Return the integer with the bits of a float, or the float with those of an integer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], context.get_value_type(signature.return_type))

    return _COUNTERPARTS[x](x), generate


@intrinsic
def draw_uint32(typingctx: Any, generator: Any) -> Any:
    """Draw 32 bits from the bit generator at an address: `next_uint32` of NumPy's public `bitgen_t`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(32)
        # The head of the struct: the state, then the functions next_uint64 and next_uint32, which take it.
        slots = builder.inttoptr(values[0], cgutils.voidptr_t.as_pointer())
        state, _, function = (builder.load(builder.gep(slots, [ir.IntType(64)(i)])) for i in range(3))
        draw = builder.bitcast(function, ir.FunctionType(word, [cgutils.voidptr_t]).as_pointer())
        return builder.call(draw, [state])

    return types.uint32(types.int64), generate


@intrinsic(prefer_literal=True)
def tile(
    typingctx: Any,
    work: Any,
    a: Any,
    a_row: Any,
    a_step: Any,
    b: Any,
    b_step: Any,
    c: Any,
    c_row: Any,
    depth: Any,
    height: Any,
    vectors: Any,
) -> Any:
    """Add a product to a tile of C that stays in registers: C[i, :] += sum over k < depth of A[i, k] B[k, :].

    The matrices begin at the elements a, b and c of `work`. i runs over `height` rows, and the columns are `vectors`
    vectors, both literal. Strides count elements: A has `a_row` along i and `a_step` along k.
    """
    if not isinstance(height, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        real, size = context.get_value_type(work.dtype), work.dtype.bitwidth // 8
        vector = ir.VectorType(real, VECTOR_BYTES // size)
        name = f"llvm.fmuladd.v{vector.count}f{8 * size}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        index, rows, columns = ir.IntType(64), range(height.literal_value), range(vectors.literal_value)
        start, a, a_row, a_step, b, b_step, c, c_row, depth = values[:9]
        undefined = ir.Constant(vector, ir.Undefined)
        first_everywhere = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)

        def vector_at(offset: Any, j: int) -> Any:
            place = builder.gep(start, [builder.add(offset, index(j * vector.count))])
            return builder.bitcast(place, vector.as_pointer())

        def at(offset: Any, stride: Any, i: Any) -> Any:
            return builder.add(offset, builder.mul(stride, i))

        places = [[vector_at(at(c, c_row, index(i)), j) for j in columns] for i in rows]
        begun = [[builder.load(place, align=size) for place in row] for row in places]
        before, body = builder.block, builder.append_basic_block("tile.body")
        after = builder.append_basic_block("tile.after")
        builder.cbranch(builder.icmp_signed(">", depth, index(0)), body, after)

        builder.position_at_end(body)
        k = builder.phi(index)
        sums = [[builder.phi(vector) for _ in columns] for _ in rows]
        right = [builder.load(vector_at(at(b, b_step, k), j), align=size) for j in columns]
        grown = []
        for i in rows:
            left = builder.load(builder.gep(start, [at(at(a, a_row, index(i)), a_step, k)]))
            spread = builder.insert_element(undefined, left, ir.IntType(32)(0))
            spread = builder.shuffle_vector(spread, undefined, first_everywhere)
            grown.append([builder.call(fma, [spread, right[j], sums[i][j]]) for j in columns])
        following = builder.add(k, index(1))
        builder.cbranch(builder.icmp_signed("<", following, depth), body, after)
        k.add_incoming(index(0), before)
        k.add_incoming(following, body)

        builder.position_at_end(after)
        results = [[builder.phi(vector) for _ in columns] for _ in rows]
        for i in rows:
            for j in columns:
                sums[i][j].add_incoming(begun[i][j], before)
                sums[i][j].add_incoming(grown[i][j], body)
                results[i][j].add_incoming(begun[i][j], before)
                results[i][j].add_incoming(grown[i][j], body)
        for i in rows:
            for j in columns:
                builder.store(results[i][j], places[i][j], align=size)
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 8, height, vectors), generate
