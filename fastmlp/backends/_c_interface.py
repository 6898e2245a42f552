"""Checked arrays in, pointers and structs of the C core out; status codes out as exceptions.

The only module that imports the extension. Each array is checked for dtype and layout where its pointer is taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from _fastmlp_c import ffi, lib
from fastmlp._threads import threads
from fastmlp._validation import POINTS_OUTSIDE
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Data
from fastmlp.backends._checks import (
    check_targets,
    checked,
    checked_address,
    checked_shape,
    checked_vector,
    csr_arrays,
)
from fastmlp.layout import aligned_zeros
from fastmlp.losses import LOSSES
from fastmlp.spec import NetworkSpec


def _names(function: Any) -> dict[str, int]:
    """Return name -> index of a list that C exports."""
    names: dict[str, int] = {}
    while (name := function(len(names))) != ffi.NULL:
        names[ffi.string(name).decode()] = len(names)
    return names


try:
    ACTIVATION_CODES = _names(lib.fm_activation_name)
    LOSS_CODES = _names(lib.fm_loss_name)
    SOLVER_CODES = _names(lib.fm_solver_name)
    _NEEDS = {"output": lib.FM_NEEDS_OUTPUT, "preactivation": lib.FM_NEEDS_PREACTIVATION}
    DTYPE_CODES = {np.dtype(np.float32): lib.FM_FLOAT32, np.dtype(np.float64): lib.FM_FLOAT64}
    ITEMSIZES = {code: dtype.itemsize for dtype, code in DTYPE_CODES.items()}
except AttributeError as error:
    raise ImportError(f"the compiled core, _fastmlp_c, is of other sources than this package: {error}") from error


def input_pointer(ctype: str, array: np.ndarray, dtype: np.dtype) -> Any:
    """Return a pointer to an array that C reads."""
    return ffi.from_buffer(ctype, checked(array, dtype))


def output_pointer(ctype: str, array: np.ndarray, dtype: np.dtype) -> Any:
    """Return a pointer to an array that C writes."""
    return ffi.from_buffer(ctype, checked(array, dtype), require_writable=True)


def check_status(status: int, spec: NetworkSpec) -> None:
    """Raise the exception that a status stands for."""
    if status == lib.FM_OK:
        return
    if status == lib.FM_NOT_DIFFERENTIABLE:
        spec.check_differentiable()
    message = ffi.string(lib.fm_status_message(status)).decode()
    if status == lib.FM_ZERO_WEIGHT:
        raise ZeroDivisionError(message)
    raise RuntimeError(f"The C core refused a call: {message}.")


def threads_worth(worth: Any, network: Bound, rows: Bound, n_rows: int, n_threads: int | None = None) -> int:
    """Return the threads of passes over `n_rows` rows; `worth` is C's function that knows how many pay.

    `rows` tell whether they are sparse.
    """
    n, fixed = threads(n_threads)
    return n if fixed or n == 1 else worth(network.struct, rows.struct, n_rows, n)


class Bound:
    """A C struct, and the pointers and arrays that it refers to, kept alive together."""

    __slots__ = ("kept", "struct")

    def __init__(self, struct: Any, *kept: Any) -> None:
        self.struct = struct
        self.kept = kept


def network_struct(spec: NetworkSpec) -> Bound:
    """Return the fm_network of a spec."""
    return made_network(spec, spec.own)


@lru_cache(maxsize=256)
def made_network(spec: NetworkSpec, own: tuple[Any, ...]) -> Bound:
    # `own` is part of the key: a name may come to stand for another function.
    units = ffi.new("int64_t[]", spec.units)
    activations = ffi.new("int[]", [ACTIVATION_CODES.get(name, lib.FM_OWN) for name, _ in spec.activations])
    params = ffi.new("double[]", lib.FM_MAX_ACTIVATION_PARAMS * spec.n_layers)
    for layer, (_, block) in enumerate(spec.activations):
        for i, value in enumerate(block):
            params[layer * lib.FM_MAX_ACTIVATION_PARAMS + i] = value
    network = ffi.new("fm_network *")
    network.dtype = DTYPE_CODES[spec.dtype]
    network.loss = LOSS_CODES.get(spec.loss, lib.FM_OWN)
    network.canonical = spec.activations[-1][0] in LOSSES[spec.loss].canonical
    network.n_layers = spec.n_layers
    network.units, network.activations, network.activation_params = units, activations, params
    return Bound(network, units, activations, params, *(_set_own(network, spec) if own else ()))


def _set_own(network: Any, spec: NetworkSpec) -> list[Any]:
    """Give a network the kernels of what the user has registered; return what must live as long as it."""
    try:
        from fastmlp.backends import _numba_own
    except ImportError as error:
        raise ImportError(
            f"Activations and losses of your own need Numba in the C backend, which cannot be imported ({error}): "
            "install the extra 'numba' (pip install fastmlp[numba]), or choose backend='numpy'."
        ) from error
    network.own_activations = kernels = ffi.new("fm_own_activation[]", spec.n_layers)
    network.own_loss = loss = ffi.new("fm_loss_kernel *")
    kept = [kernels, loss]

    def fill(struct: Any, functions: tuple[Any, ...]) -> None:
        kept.extend(functions)
        for (name, field), function in zip(ffi.typeof(struct).item.fields, functions, strict=True):
            setattr(struct, name, ffi.cast(field.type, function.address))

    for layer, (name, _) in enumerate(spec.activations):
        entry = ACTIVATIONS[name]
        if entry.is_own:
            kernels[layer].needs = _NEEDS[entry.needs]
            fill(ffi.addressof(kernels[layer], "kernel"), _numba_own.activation_kernels(entry, spec.dtype.type))
    if LOSSES[spec.loss].is_own:
        fill(loss, _numba_own.loss_kernels(LOSSES[spec.loss], spec.dtype.type))
    return kept


def rows_struct(spec: NetworkSpec, X: Any) -> Bound:
    """Return the fm_rows of a dense, CSR or CSC input.

    Its shape is read once, here: another thread may be changing it, and what is computed goes by one number of rows.
    """
    return _dense_rows(spec, X) if isinstance(X, np.ndarray) else _sparse_rows(spec, X)


def _dense_rows(spec: NetworkSpec, X: np.ndarray) -> Bound:
    """Return dense rows, however they lie."""
    code = DTYPE_CODES.get(X.dtype)
    if code is None:
        raise ValueError(f"Expected an array of float32 or float64, got {X.dtype}.")
    n_rows, width = checked_shape(spec, X)
    if X.flags.c_contiguous:
        x = input_pointer("char *", X, X.dtype)
        return Bound(ffi.new("fm_rows *", (n_rows, code, x, width, 1)), x)
    x = ffi.cast("char *", checked_address(X))  # cffi hands out addresses of contiguous arrays only
    ldx = X.strides[0] // X.itemsize if n_rows > 1 else width
    dx = X.strides[1] // X.itemsize if width > 1 else 1
    return Bound(ffi.new("fm_rows *", (n_rows, code, x, ldx, dx)), X)


def _sparse_rows(spec: NetworkSpec, X: Any) -> Bound:
    """Return rows of a CSR or CSC matrix."""
    (n_rows, width), by_columns = checked_shape(spec, X), getattr(X, "format", "csr") == "csc"
    indptr, indices, data = csr_arrays(X, spec.dtype)
    rows = _compressed(n_rows, indptr, indices, data)
    n_entries, valid = min(len(indices), len(data)), len(indptr) == (width if by_columns else n_rows) + 1
    if valid and by_columns:
        turned = _compressed(n_rows, np.empty(n_rows + 1, np.int64), np.empty_like(indices), np.empty_like(data))
        valid = lib.fm_turn_csc(rows.struct, width, n_entries, *turned.kept)
        rows = turned
    if not (valid and lib.fm_is_csr(rows.struct, width, n_entries)):
        raise ValueError(f"{POINTS_OUTSIDE} Or they are not in order, without duplicates, which they must be here.")
    return rows


def _compressed(n_rows: int, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> Bound:
    kept = tuple(map(ffi.from_buffer, ("int64_t *", "int32_t *", "char *"), (indptr, indices, data)))
    return Bound(ffi.new("fm_rows *", (n_rows, DTYPE_CODES[data.dtype], ffi.NULL, 0, 0, *kept)), *kept)


def check_unchanged(rows: Bound, n: int) -> int:
    """Return n, the number of rows that there is room for; ValueError where there are others by now."""
    if rows.struct.n_rows != n:
        raise ValueError(f"X must not be changed meanwhile, got {rows.struct.n_rows} rows in place of {n}.")
    return n


def set_piece(piece: Any, rows: Any, first: int, n_rows: int) -> None:
    """Make an fm_rows, a copy of `rows`, the `n_rows` of them from `first` on."""
    piece.n_rows = n_rows
    if rows.indptr:
        piece.indptr = rows.indptr + first
    else:
        piece.x = ffi.cast("char *", rows.x) + first * rows.ldx * ITEMSIZES[rows.x_dtype]


def targets_struct(spec: NetworkSpec, data: Data) -> Bound:
    """Return the fm_targets of a data set."""
    check_targets(spec, data)
    targets = ffi.new("fm_targets *")
    kept = []
    if data.targets.ndim == 1:
        targets.codes = y = input_pointer("int32_t *", data.targets, np.dtype(np.int32))
    else:
        targets.y = y = input_pointer("char *", data.targets, spec.dtype)
    kept.append(y)
    if data.sample_weight is not None:
        targets.weight = weight = input_pointer("char *", data.sample_weight, spec.dtype)
        kept.append(weight)
    targets.hard = data.hard
    return Bound(targets, *kept)


def parameters_pointer(spec: NetworkSpec, vector: np.ndarray, *, written: bool = False) -> Any:
    """Return a pointer to a vector with the layout of the parameters."""
    return ffi.from_buffer("char *", checked_vector(spec, vector), require_writable=written)


def workspace_buffer(size: int) -> tuple[Any, int]:
    return ffi.from_buffer("char *", aligned_zeros(size, np.uint8), require_writable=True), size
