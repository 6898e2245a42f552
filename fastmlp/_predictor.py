"""Predictors: bound callables ``f(x, out=None)``, the shortest way from an array to a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp._threads import call_requesting
from fastmlp._validation import check_unmasked
from fastmlp.backends import Backend
from fastmlp.spec import NetworkSpec

Predictor = Callable[..., np.ndarray]


class Source:
    """What predictors of one model are made from.

    Parameters
    ----------
    backend : Backend
    spec : NetworkSpec
    vector : callable
        Returns the parameters as they are now.
    bound : ndarray or None
        The parameters, where an edit of the weights is an edit of this vector.
    n_threads : int or None
        Threads of predictions of many rows.
    """

    def __init__(
        self,
        backend: Backend,
        spec: NetworkSpec,
        vector: Callable[[], np.ndarray],
        bound: np.ndarray | None,
        n_threads: int | None,
    ) -> None:
        self._backend, self._spec, self._vector, self._bound = backend, spec, vector, bound
        self._n_threads = n_threads

    @property
    def is_fast(self) -> bool:
        """Whether there is a `fast` predictor."""
        return self._bound is not None and hasattr(self._backend, "bind")

    def fast(self, form: str) -> Predictor:
        """Return the predictor of a form (see `fastmlp.backends.c.Binding`)."""

        def bound() -> Predictor:
            return fast_predictor(self._backend.bind(self._spec, self._bound, form), self._n_threads)

        own = self._spec.own  # before what is bound to it: another thread may replace one
        predict = bound()
        if not own:
            return predict

        def predictor(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            nonlocal predict, own
            if not all(entry.is_current for entry in own):
                present = self._spec.own  # the names stand for other functions by now
                predict, own = bound(), present
            return predict(x, out)

        return predictor

    def plain(self, decode: Callable[[np.ndarray], np.ndarray]) -> Predictor:
        """Return a predictor on any backend: `decode` makes predictions of outputs."""
        backend, spec, vector, n_threads = self._backend, self._spec, self._vector, self._n_threads
        width = spec.units[0]

        def predictor(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            x = _plain_rows(x, width)
            _check_dtype(x, spec.dtype)
            if x.ndim != 2 or x.shape[1] != width or not len(x):
                raise _wrong_shape(x.shape, width)
            if not (x.flags.c_contiguous and x.flags.aligned):
                raise _wrong_layout(x, None)
            results = decode(call_requesting(n_threads, backend.forward, spec, vector(), x))
            return results if out is None else _copy(results, out)

        return predictor

    def make(self, form: str, decode: Callable[[np.ndarray], np.ndarray]) -> Predictor:
        """Return the fastest of the two that there is."""
        return self.fast(form) if self.is_fast else self.plain(decode)


def fast_predictor(binding: Any, n_threads: int | None) -> Predictor:
    """Return the predictor of a backend's binding: what C writes is the prediction."""
    predict, many, struct, few_rows = binding.predict, binding.many, binding.struct, binding.few_rows
    view, chars, ok = binding.view, binding.chars, binding.ok
    width, dtype, out_dtype = binding.width, binding.dtype, binding.out_dtype
    columns = binding.shape[0] if binding.shape else 0
    ndarray, empty = np.ndarray, np.empty
    reads_first = binding.reads_first
    one_row, one_result = (1, width), (1, columns) if columns else (1,)

    def fill(x: np.ndarray, out: np.ndarray) -> np.ndarray:
        try:
            rows, place, n = view(x), view(chars, out, True), len(x)
            status = predict(struct, n, rows, place) if n <= few_rows else many(n, x, place, n_threads)
        except ValueError:
            raise _wrong_layout(x, out) from None
        if status != ok:
            raise _wrong_layout(x, out)
        return out

    def predict_rows(x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        if type(x) is not ndarray:
            x = _plain_rows(x, width)
        if x.dtype is not dtype:
            _check_dtype(x, dtype)
        shape = x.shape
        if len(shape) != 2 or shape[1] != width or not (n := shape[0]):
            raise _wrong_shape(shape, width)
        expected = (n, columns) if columns else (n,)
        if out is None:
            return fill(x, empty(expected, out_dtype))
        place = out if type(out) is ndarray else _plain(out, "out", expected)
        if place.dtype is not out_dtype or place.shape != expected:
            _check_out(place, expected, out_dtype)
        if _may_overlap(x, place):
            _copy(fill(x, empty(expected, out_dtype)), place)
        else:
            fill(x, place)
        return out

    def predictor(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        # One row with a place for its result, the case that must not wait; what is not in order is looked at below.
        if (
            type(x) is ndarray
            and type(out) is ndarray
            and x.dtype is dtype
            and out.dtype is out_dtype
            and x.shape == one_row
            and out.shape == one_result
            and (reads_first or not _may_overlap(x, out))
        ):
            try:
                if predict(struct, 1, view(x), view(chars, out, True)) == ok:
                    return out
            except ValueError:
                pass
        return predict_rows(x, out)

    return predictor


def label_predictor(codes_of: Predictor, classes: np.ndarray) -> Predictor:
    """Return the predictor of labels, by their codes."""

    def predictor(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        labels = classes[codes_of(x)]
        return labels if out is None else _copy(labels, out)

    return predictor


def log_predictor(numbers: Predictor) -> Predictor:
    """Return the predictor of logarithms."""

    def predictor(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        out = numbers(x, out)
        place = np.asarray(out)
        np.log(place, out=place)
        return out

    return predictor


def _may_overlap(x: np.ndarray, out: np.ndarray) -> bool:
    # Arrays that own their memory, the usual ones, are told apart in a fraction of the time.
    return x is out or ((x.base is not None or out.base is not None) and np.may_share_memory(x, out))


def _copy(results: np.ndarray, out: np.ndarray) -> np.ndarray:
    place = _plain(out, "out", results.shape)
    _check_out(place, results.shape, results.dtype)
    if not (place.flags.c_contiguous and place.flags.writeable):
        raise _wrong_layout(None, place)
    place[...] = results
    return out


def _plain(array: Any, name: str, shape: object) -> np.ndarray:
    """Return an array without what a subclass makes of it: C goes by the memory that there is."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array of shape {shape}, got {type(array).__name__}.")
    return np.asarray(array)


def _plain_rows(x: Any, width: int) -> np.ndarray:
    check_unmasked("x", x)
    return _plain(x, "x", f"(n, {width})")


def _check_dtype(x: np.ndarray, dtype: np.dtype) -> None:
    if x.dtype != dtype:
        raise TypeError(f"x must have dtype {dtype}, the model's, got {x.dtype}.")


def _wrong_shape(shape: tuple[int, ...], width: int) -> ValueError:
    return ValueError(f"x must have shape (n, {width}) with at least one row, got {shape}.")


def _check_out(out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if out.dtype != dtype:
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}.")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}.")


def _wrong_layout(x: np.ndarray | None, out: np.ndarray | None) -> ValueError:
    if x is not None and not x.flags.c_contiguous:
        return ValueError(f"x must be C-contiguous, got strides {x.strides}; numpy.ascontiguousarray makes it so.")
    name, array = ("x", x) if out is None or (x is not None and not x.flags.aligned) else ("out", out)
    if not array.flags.aligned:
        return ValueError(f"{name} must be aligned to its elements; numpy.require(..., requirements='CA') makes it so.")
    return ValueError(f"out must be C-contiguous and writable, got strides {out.strides}, {out.flags.writeable=}.")
