"""Checks of what a user passes, and the forms in which backends take it.

Messages say what was expected and what was got.
"""

from __future__ import annotations

from functools import cache
from numbers import Integral
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastmlp.spec import NetworkSpec

POINTS_OUTSIDE = "X must be a valid sparse matrix, got one whose indptr or indices point outside."

_ROW_SUM_TOLERANCE = 1e-5
"""How far from 1 a row of class probabilities may sum: what rounding to float32 does to a few thousand classes."""


def check_bool(name: str, value: object) -> bool:
    """Return `value` as a bool; TypeError when it is none."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_count(name: str, value: object) -> int:
    """Return `value` as an int; TypeError when it is no integer, ValueError when it is below 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)


def check_random_state(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Return a RandomState: the one given, one seeded by an integer, or for None one seeded by the operating system.

    Raises
    ------
    TypeError
        For anything else; a `numpy.random.Generator` draws other numbers and is not accepted.
    ValueError
        For an integer outside 0 ... 2**32 - 1.
    """
    if isinstance(random_state, np.random.RandomState):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    if isinstance(random_state, (bool, np.bool_)) or not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be None, an integer or a numpy.random.RandomState, "
            f"got {random_state!r} of type {type(random_state).__name__}."
        )
    if not 0 <= random_state < 2**32:
        raise ValueError(f"random_state must be an integer from 0 to 2**32 - 1, got {random_state}.")
    return seeded_random_state(int(random_state))


@cache
def _no_entropy() -> Any:
    """Return a seed that is about to be replaced; made late, as NumPy imports its random numbers late, too."""

    class NoEntropy(np.random.bit_generator.ISeedSequence):
        def generate_state(self, n_words: int, dtype: type = np.uint32) -> tuple[int, ...]:
            return (0,) * n_words  # of an array, NumPy would make an object of each number

    return NoEntropy()


def seeded_random_state(seed: int) -> np.random.RandomState:
    """Return what ``RandomState(seed)`` returns, in a third of the time: that gathers entropy and throws it away."""
    random_state = np.random.RandomState(np.random.MT19937(_no_entropy()))
    random_state.seed(seed)
    return random_state


def as_numbers(name: str, array: Any) -> np.ndarray:
    """Return `array` as an ndarray of booleans, integers or floats.

    Raises
    ------
    TypeError
        When it holds something else (complex numbers, strings, objects), or is sparse.
    ValueError
        When its rows have different lengths, or an entry is masked.
    """
    if hasattr(array, "tocsr"):
        raise TypeError(f"{name} must be a dense array, got a sparse one of type {type(array).__name__}.")
    check_unmasked(name, array)
    try:
        numbers = _without_missing(array) if hasattr(array, "to_numpy") else np.asarray(array)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers with rows of one length, got: {error}") from error
    if numbers.ndim == 0 and numbers.dtype == object:
        raise TypeError(f"{name} must hold real numbers (float, integer or bool), got a {type(array).__name__} object.")
    _check_kind(name, numbers.dtype)
    return numbers


def check_unmasked(name: str, array: Any) -> None:
    """Raise ValueError when an entry is masked."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name} must not have masked entries, got {np.ma.count_masked(array)}.")


def _without_missing(frame: Any) -> np.ndarray:
    """Return a frame or series of pandas as an array; NumPy makes objects of its numbers that may be missing."""
    array = np.asarray(frame)
    if array.dtype != object or not hasattr(frame, "dtypes"):
        return array
    dtypes = frame.dtypes if array.ndim > 1 else [frame.dtypes]
    if not all(getattr(dtype, "kind", "O") in "biuf" for dtype in dtypes):
        return array
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _check_kind(name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers (float, integer or bool), got dtype {dtype}.")


def as_real(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return `in_order` of a real dtype."""
    if array.dtype == dtype:
        return in_order(array)
    # What is too large for float32 becomes infinite here, and is reported as that.
    with np.errstate(over="ignore"):
        return in_order(array, dtype)


def in_order(array: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """Return an array in C order, aligned, of `dtype` where that is given; without a copy where it is one."""
    is_of_dtype = type(array) is np.ndarray and (dtype is None or array.dtype == dtype)
    if is_of_dtype and array.flags.c_contiguous and array.flags.aligned:  # NumPy takes 4 us to find that
        return array
    return np.require(array, dtype, ["C", "A"])


def is_addressable(array: np.ndarray) -> bool:
    """Return whether C can read the numbers of an array in whatever order: each is at a multiple of its size."""
    return array.flags.aligned and not any(stride % array.itemsize for stride in array.strides)


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise ValueError when an array holds NaN or infinity."""
    if not np.isfinite(array).all():
        got = "NaN" if np.isnan(array).any() else f"infinity or a value too large for {array.dtype}"
        raise ValueError(f"{name} must be finite, got {got}.")


def check_range(name: str, array: Any, dtype: np.dtype) -> None:
    """Raise ValueError when a float64 number, dense or sparse, is too large for `dtype`."""
    numbers = array.data if hasattr(array, "tocsr") else array
    if numbers.dtype != np.float64 or dtype == np.float64 or numbers.size == 0:
        return
    if max(float(numbers.max()), -float(numbers.min())) > float(np.finfo(dtype).max):
        raise ValueError(f"{name} must be finite, got infinity or a value too large for {dtype}.")


def check_array(name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return `array` as finite numbers of the shape and dtype given; TypeError or ValueError otherwise."""
    array = as_numbers(name, array)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    array = as_real(array, dtype)
    check_finite(name, array)
    return array


def check_inputs(X: Any, spec: NetworkSpec, *, finite: bool = True, any_order: bool = False) -> Any:
    """Return the inputs as backends take them.

    Parameters
    ----------
    X : array-like or scipy sparse matrix of shape (n, units[0])
        Booleans, integers or floats.
    spec : NetworkSpec
    finite : bool
        Whether dense numbers are checked, too. A backend that reads them can do so on the way.
    any_order : bool
        Whether a dense X of the spec's dtype stays as it lies.

    Returns
    -------
    ndarray or scipy CSR matrix of shape (n, units[0])
        Of the spec's dtype; C-contiguous unless `any_order`, or CSR with sorted indices and without duplicates. X
        itself where it is that already, else a converted copy.

    Raises
    ------
    TypeError
        When X holds something else.
    ValueError
        When it has another shape, no rows, or a value that is not finite.
    """
    is_sparse = hasattr(X, "tocsr")
    if not is_sparse:
        X = as_numbers("X", X)
    if len(X.shape) != 2 or X.shape[1] != spec.units[0]:
        raise ValueError(f"X must have shape (n, {spec.units[0]}), got {X.shape}.")
    if X.shape[0] == 0:
        raise ValueError(f"X must have at least one row, got shape {X.shape}.")
    if is_sparse:
        return check_csr(X, spec.dtype)
    if not (any_order and X.dtype == spec.dtype and is_addressable(X)):
        X = as_real(X, spec.dtype)
    if finite:
        check_finite("X", X)
    return X


def check_csr(X: Any, dtype: np.dtype, *, finite: bool = True) -> Any:
    """Return a sparse X as backends take it: CSR of the dtype given, indices sorted and without duplicates.

    Raises
    ------
    TypeError
        When it does not hold real numbers.
    ValueError
        When its indices point outside, or, where `finite`, a value is not.
    """
    _check_kind("X", X.dtype)
    X = as_csr(X)
    check_structure(X)
    stored = X.indptr[-1]
    rises = np.diff(X.indices[:stored]) > 0
    starts = X.indptr[1:-1]
    rises[starts[(starts > 0) & (starts < stored)] - 1] = True
    if not rises.all():
        X = _scipy_class("csr", X)((X.data.copy(), X.indices.copy(), X.indptr.copy()), shape=X.shape)
        check_structure(X)  # of what nobody else can write to: scipy goes by it
        X.sum_duplicates()
    with np.errstate(over="ignore"):
        X = X.astype(dtype, copy=False)
    if not X.data.flags.aligned:
        X = _scipy_class("csr", X)((X.data.copy(), X.indices, X.indptr), shape=X.shape)
    if finite:
        check_finite("X", X.data[: X.indptr[-1]])
    return X


def as_csr(X: Any) -> Any:
    """Return a sparse X as CSR; ValueError where it is CSC that points outside: scipy writes where that points to."""
    if getattr(X, "format", None) == "csc":
        n_rows, width = X.shape
        parts = SimpleNamespace(
            data=X.data, indices=np.array(X.indices), indptr=np.array(X.indptr), shape=(width, n_rows)
        )
        check_structure(parts)  # of what nobody else can write to
        stored = parts.indptr[-1]
        X = _scipy_class("csc", X)((X.data[:stored], parts.indices[:stored], parts.indptr), shape=(n_rows, width))
    return X.tocsr()


def _scipy_class(form: str, X: Any) -> type:
    """Return scipy's class of a matrix or array in a form, of which X may be a subclass that is made in another way."""
    from scipy import sparse

    is_array = isinstance(X, getattr(sparse, f"{form}_array"))
    return getattr(sparse, f"{form}_array" if is_array else f"{form}_matrix")


def check_structure(X: Any) -> None:
    """Raise ValueError where a CSR matrix, anything with its arrays and shape, points outside.

    scipy looks when it is made, not at what is changed later.
    """
    indptr, indices = X.indptr, X.indices
    fits = (
        _are_integers(indptr)
        and _are_integers(indices)
        and len(indptr) == X.shape[0] + 1
        and indptr[0] == 0
        and indptr[-1] <= min(len(indices), len(X.data))
        and not (indptr[1:] < indptr[:-1]).any()
    )
    if fits and indptr[-1] > 0:
        stored = indices[: indptr[-1]]
        fits = stored.min() >= 0 and stored.max() < X.shape[1]
    if not fits:
        raise ValueError(POINTS_OUTSIDE)


def _are_integers(vector: Any) -> bool:
    return isinstance(vector, np.ndarray) and vector.ndim == 1 and vector.dtype.kind in "iu"


def check_targets(Y: Any, spec: NetworkSpec, n_rows: int) -> tuple[np.ndarray, bool]:
    """Return the targets as backends take them.

    Parameters
    ----------
    Y : array-like
        Numbers of shape (n_rows, units[-1]); or of shape (n_rows,) where there is one output; or, for outputs that are
        a distribution over classes (softmax), integer class codes 0 ... units[-1] - 1 of shape (n_rows,).
    spec : NetworkSpec
    n_rows : int

    Returns
    -------
    targets : ndarray
        int32 codes of shape (n_rows,) when every row is one-hot and the loss categorical; else of shape
        (n_rows, units[-1]) and the spec's dtype.
    hard : bool
        Whether all targets are 0 or 1, and with softmax outputs one-hot.

    Raises
    ------
    TypeError
        When Y holds something that is no real number.
    ValueError
        When it has another shape or number of rows, or values that the loss is not defined for.
    """
    n_outputs = spec.units[-1]
    Y = as_numbers("Y", Y)
    coupled = spec.output_activation.jacobian_product is not None
    if coupled and Y.ndim == 1 and Y.dtype.kind in "biu":
        codes = _check_codes(Y, n_outputs, n_rows)
        if spec.is_categorical:
            return codes, True
        return (codes[:, np.newaxis] == np.arange(n_outputs)).astype(spec.dtype), True
    if Y.ndim == 1 and n_outputs == 1:
        Y = Y[:, np.newaxis]
    if Y.shape != (n_rows, n_outputs):
        also = f" or ({n_rows},)" if n_outputs == 1 else f" or {n_rows} integer class codes" if coupled else ""
        raise ValueError(f"Y must have shape ({n_rows}, {n_outputs}){also}, got {Y.dtype} of shape {Y.shape}.")
    Y = as_real(Y, spec.dtype)
    check_finite("Y", Y)
    spec.loss_entry.check_targets(float(Y.min()), float(Y.max()))

    hard = bool(((Y == 0) | (Y == 1)).all())
    if coupled:
        sums = Y.sum(axis=1, dtype=np.float64)
        hard = hard and bool((sums == 1).all())
        if spec.is_categorical:
            if hard:
                return Y.argmax(axis=1).astype(np.int32), True
            worst = float(sums[np.abs(sums - 1).argmax()])
            if abs(worst - 1) > _ROW_SUM_TOLERANCE:
                raise ValueError(
                    f"The loss {spec.loss!r} of {spec.output_activation.name!r} outputs expects rows of targets that "
                    f"sum to 1, got a row that sums to {worst:g}."
                )
    return Y, hard


def _check_codes(Y: np.ndarray, n_classes: int, n_rows: int) -> np.ndarray:
    if len(Y) != n_rows:
        raise ValueError(f"Y must have {n_rows} class codes, one for each row of X, got {len(Y)}.")
    for extreme in (int(Y.min()), int(Y.max())):
        if not 0 <= extreme < n_classes:
            raise ValueError(f"Y must hold class codes from 0 to {n_classes - 1}, got {extreme}.")
    return np.ascontiguousarray(Y, dtype=np.int32)


def check_sample_weight(sample_weight: Any, spec: NetworkSpec, n_rows: int) -> np.ndarray | None:
    """Return the sample weights, shape (n_rows,), in the spec's dtype; None for None.

    Raises
    ------
    TypeError
        When they are no real numbers.
    ValueError
        When they have another shape, are negative or not finite, or their sum is zero, too small or too large.
    """
    if sample_weight is None:
        return None
    given = check_array("sample_weight", sample_weight, (n_rows,), np.dtype(np.float64))
    if given.min() < 0:
        raise ValueError(f"sample_weight must not be negative, got {given.min():g}.")
    if given.max() == 0:
        raise ValueError("sample_weight must not be zero everywhere, got only zeros.")
    check_total(given, spec.dtype)
    return given.astype(spec.dtype, copy=False)


def check_total(sample_weight: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError where the sum of sample weights, which gradients are divided by, is too large or too small."""
    with np.errstate(over="ignore"):
        total = float(np.abs(sample_weight).sum(dtype=np.float64))
    most = 2.0 ** (64 if dtype == np.float32 else 900)
    if total != 0 and not 1 / most <= total <= most:
        raise ValueError(
            f"sample_weight must have a sum from {1 / most:.3g} to {most:.3g} for {dtype}, got {total:.3g}: multiply "
            "all weights, and alpha, by one number."
        )
