"""The short path into predictions: what scikit-learn's validation would let pass anyway goes straight into C.

A fitted estimator is bound once, at its first prediction: its weights, activations and backend. A call then makes sure
that nothing of this has changed and that X is a plain array, CSR or CSC of the model's dtype, lets C check that X is
finite, and is done. In every other case it returns None, and the long way decides: it converts, warns or raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

from fastmlp._hooks import overridden
from fastmlp._labels import are_several, predict_labels
from fastmlp._parameters import Entry
from fastmlp._validation import as_real
from fastmlp.backends import Backend, configured
from fastmlp.spec import NetworkSpec

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP
    from fastmlp._increment import Increment
    from fastmlp._weights import Weights

Attributes = dict[str, Any]
Call = Callable[[Attributes, Any], np.ndarray | None]

# os.environ encodes its key at each look-up, which takes half a microsecond; the mapping behind it is of encoded keys.
_environment = getattr(os.environ, "_data", os.environ)
_VARIABLE = os.environ.encodekey("FASTMLP_BACKEND") if _environment is not os.environ else "FASTMLP_BACKEND"

_LONG_WAY = (
    "__sklearn_is_fitted__",
    "_forward_pass_fast",
    "_network_outputs",
    "_predict",
    "_present_weights",
    "_network_spec",
    "__sklearn_tags__",
)
"""A subclass that has one of these for itself always goes the long way."""


ODD = (ValueError, TypeError, AttributeError, LookupError, BufferError, OverflowError)
"""What checks of odd things raise. Not all exceptions: a signal's handler may have raised, to be heard."""


class Sparse(NamedTuple):
    """The arrays of a CSR or CSC matrix, for one with data of another dtype: SciPy's classes take 30 us to make."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, ...]
    format: str

    @classmethod
    def of(cls, X: Any, dtype: np.dtype) -> Sparse:
        """Return the arrays of a matrix, its data in a dtype."""
        return cls(as_real(X.data, dtype), X.indices, X.indptr, X.shape, X.format)

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype


_SPARSE = (csr_array, csr_matrix, csc_array, csc_matrix, Sparse)

_WATCHED = ("activation", "out_activation_", "dtype", "n_features_in_", "backend")
"""Attributes that a prediction depends on, besides the weights."""


def setting() -> tuple[str | None, Any]:
    """Return what is set for the backend in this block of code, and in the environment."""
    return configured.get(), _environment.get(_VARIABLE)


def _not_bound(attributes: Attributes, X: Any) -> None:
    return None


class ShortPath:
    """What an estimator is bound to.

    Attributes
    ----------
    numbers : callable
        ``numbers(vars(estimator), X)``: probabilities, or the predictions of a regressor; or None.
    labels : callable
        The same for the labels that a classifier predicts.
    step : Increment or None
        A bound `partial_fit`.
    """

    __slots__ = ("_state", "labels", "numbers", "step")

    def __init__(self) -> None:
        self._state: tuple[Any, ...] | None = None
        self.numbers: Call = _not_bound
        self.labels: Call = _not_bound
        self.step: Increment | None = None

    def bind(self, estimator: BaseMLP, spec: NetworkSpec, weights: Weights, backend: Backend) -> bool:
        """Bind what a prediction uses, where there is a short one for it; return whether that is new."""
        attributes = vars(estimator)
        state = (weights, *(attributes.get(name) for name in _WATCHED), *setting())
        own = spec.own
        if (state, own) == self._state or not is_ordinary(estimator, spec, weights, _LONG_WAY):
            return False

        def bound(form: str) -> Call:
            return _while_registered(own, _make_call(backend.bind(spec, weights.vector, form, finite=True), *state))

        # Other threads may be predicting: each of these functions looks at the state by itself.
        form, classes = estimator._prediction_forms()
        binarizer = attributes.get("_label_binarizer")
        numbers, labels = bound(form), _not_bound
        if classes is not None:
            labels = _make_labels(bound("codes"), binarizer, classes.__getitem__)
        elif binarizer is not None and form == "outputs" and are_several(binarizer):
            labels = _make_labels(numbers, binarizer, partial(predict_labels, binarizer))
        self.numbers, self.labels = numbers, labels
        self._state = state, own
        return True


def is_ordinary(estimator: BaseMLP, spec: NetworkSpec, weights: Weights, methods: tuple[str, ...]) -> bool:
    """Return whether the long way does for plain arrays what a bound call does, and nothing else.

    `methods` are those that a subclass may not have for itself.
    """
    attributes = vars(estimator)
    return (
        not overridden(type(estimator), methods)
        and attributes.keys().isdisjoint(methods)
        and attributes.get("_shown_weights") is weights
        and type(attributes.get("coefs_")) is type(attributes.get("intercepts_")) is list
        and spec.dtype == weights.vector.dtype
        and attributes.get("n_features_in_") == spec.units[0]
    )


def _make_call(
    binding: Any,
    weights: Weights,
    activation: str,
    output: str,
    own_dtype: str | None,
    n_features: int,
    backend: str,
    configuration: str | None,
    variable: Any,
) -> Call:
    """Return a function that computes a bound prediction, or None where the state or X is not what is expected."""
    coefs, intercepts = weights.lists()
    # Lists are equal at once where they hold the same objects. Comparing two arrays of several numbers has no truth
    # value and raises; only those of one number can be equal and be two, so these are looked at one by one.
    single = [("coefs_", i, array) for i, array in enumerate(coefs) if array.size == 1]
    single += [("intercepts_", i, array) for i, array in enumerate(intercepts[:-1]) if array.size == 1]
    last = intercepts[-1] if intercepts[-1].size == 1 else None

    def same_single(attributes: Attributes) -> bool:
        return all(attributes[which][i] is array for which, i, array in single)

    get_configuration, get_variable, name = configured.get, _environment.get, _VARIABLE
    predict, many, struct, few_rows = binding.predict, binding.many, binding.struct, binding.few_rows
    view, ok = binding.view, binding.ok
    width, dtype, out_dtype = binding.width, binding.dtype, binding.out_dtype
    columns = binding.shape[0] if binding.shape else 0
    ndarray, empty, in_c_order = np.ndarray, np.empty, np.ascontiguousarray

    def call(attributes: Attributes, X: Any) -> np.ndarray | None:
        if (kind := type(X)) is not ndarray and kind not in _SPARSE:
            return None
        if (found := X.dtype) is not dtype and found != dtype:
            return None
        try:
            n, n_columns = X.shape
            if not (
                n_columns == width
                and n
                and attributes["coefs_"] == coefs
                and attributes["intercepts_"] == intercepts
                and (last is None or attributes["intercepts_"][-1] is last)
                and (not single or same_single(attributes))
                and attributes["activation"] is activation
                and attributes["out_activation_"] is output
                and attributes["dtype"] is own_dtype
                and attributes["n_features_in_"] is n_features
                and attributes["backend"] is backend
                and "feature_names_in_" not in attributes
                and get_configuration() is configuration
                and get_variable(name) == variable
            ):
                return None
            out = empty((n, columns) if columns else n, out_dtype)
            if n <= few_rows and kind is ndarray:
                try:
                    rows = view(X)
                except ValueError:  # not contiguous
                    rows = view(in_c_order(X))
                status = predict(struct, n, rows, view(out))
            else:
                # Entries beyond the last row are nobody's, but scikit-learn looks at them.
                if kind is not ndarray and not (len(X.data) == len(X.indices) == X.indptr[-1]):
                    return None
                status = many(n, X, view(out), attributes.get("n_threads"))
        except ODD:
            # Another number of dimensions, not aligned, or something odd in the place of a weight array: the long way
            # tells what is wrong, if anything is.
            return None
        return out if status == ok else None

    return call


def _while_registered(own: tuple[Entry, ...], call: Call) -> Call:
    """Return `call`; where there are functions of the user's, one that returns None once another has taken a name."""
    if not own:
        return call

    def checked(attributes: Attributes, X: Any) -> np.ndarray | None:
        return call(attributes, X) if all(entry.is_current for entry in own) else None

    return checked


def _make_labels(call: Call, binarizer: Any, decode: Callable[[np.ndarray], np.ndarray]) -> Call:
    """Return a function that computes labels, or None: those that `decode` makes of codes or outputs."""
    classes = binarizer.classes_

    def labels(attributes: Attributes, X: Any) -> np.ndarray | None:
        if attributes.get("_label_binarizer") is not binarizer or binarizer.classes_ is not classes:
            return None
        found = call(attributes, X)
        return None if found is None else decode(found)

    return labels
