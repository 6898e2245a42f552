"""Rows, targets and weights as scikit-learn's validation returns them.

That takes 100 to 500 us, of few rows as of many: as long as many epochs of a small network. Where NumPy makes the same
array of what was given, it is made here; all else goes to scikit-learn, to be converted, warned of or refused.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from fastmlp._labels import texts
from fastmlp._sklearn import _check_sample_weight

_FLOATS = (np.float64, np.float32)
_SPARSE = ["csr", "csc"]
_SPARSE_CLASSES = ("csr_matrix", "csr_array", "csc_matrix", "csc_array")
_NAMES = ({str}, {int})
"""Types of the names of a frame's columns; integers, which a frame has that was given none, do not count as names."""


def is_plain_kind(X: Any) -> bool:
    """Return whether X is of a class that `plain_rows` knows, without a look at what it holds."""
    return type(X) in (np.ndarray, list) or _is_frame(X) or _is_sparse(X)


def plain_rows(estimator: Any, X: Any, *, finite: bool = True) -> Any:
    """Return rows to be predicted, finite numbers; None where they are not plainly rows of the fit.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    X : array-like or sparse matrix of shape (n, n_features)
    finite : bool
        Whether that is looked at here.

    Returns
    -------
    ndarray, CSR or CSC matrix of shape (n, n_features), or None
    """
    known, names = getattr(estimator, "feature_names_in_", None), _names(X)
    if type(known) is np.ndarray:
        known = known.tolist()
    elif known is not None:
        return None
    rows = _rows(X, finite=finite) if names == known else None
    return rows if rows is not None and getattr(estimator, "n_features_in_", None) == rows.shape[1] else None


def validate_rows(estimator: Any, X: Any) -> Any:
    """Return ``validate_data(estimator, X, ...)`` for rows, dense or sparse, to be predicted.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    X : array-like or sparse matrix of shape (n, n_features)
    """
    rows = plain_rows(estimator, X)
    return validate_data(estimator, X, accept_sparse=_SPARSE, reset=False) if rows is None else rows


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, *, reset: bool, y_numeric: bool = False
) -> tuple[Any, np.ndarray]:
    """Return ``validate_data(estimator, X, y, ...)`` for float rows, dense or sparse, and one or several outputs.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    X : array-like or sparse matrix of shape (n, n_features)
    y : array-like of shape (n,) or (n, n_outputs)
    reset : bool
        Whether number and names of the features are noted, not compared with those of an earlier fit.
    y_numeric : bool
        Whether objects in y are converted to numbers.
    """
    targets = plain_targets(y, y_numeric=y_numeric)
    if targets is not None:
        rows = _rows(X) if reset else plain_rows(estimator, X)
        if rows is not None and rows.shape[0] == len(targets):
            if reset:
                _note_features(estimator, rows, _names(X))
            # A list has no dtype to keep, be its rows arrays or not.
            keeps_dtype = rows.dtype in _FLOATS and type(X) is not list
            return rows if keeps_dtype else rows.astype(np.float64, copy=False), targets
    return validate_data(
        estimator,
        X,
        y,
        accept_sparse=_SPARSE,
        multi_output=True,
        y_numeric=y_numeric,
        dtype=_FLOATS,
        reset=reset,
    )


def validate_sample_weight(sample_weight: Any, X: Any) -> np.ndarray:
    """Return ``_check_sample_weight(sample_weight, X)``: a weight of each row of a validated X, not all of them 0."""
    if (
        type(sample_weight) is np.ndarray
        and sample_weight.shape == (X.shape[0],)
        and sample_weight.dtype in _FLOATS
        and sample_weight.flags.c_contiguous
        and _is_plain(sample_weight)
        and sample_weight.any()
    ):
        return sample_weight
    return _check_sample_weight(sample_weight, X)


def _rows(X: Any, *, finite: bool = True) -> Any:
    """Return rows of numbers, finite ones unless that is not looked at; None: not plainly so."""
    if _is_frame(X):
        names = X.columns.tolist()
        # pandas' own dtypes (with missing numbers, of sparse columns) have conversions of their own.
        are_of_numpy = all(isinstance(dtype, np.dtype) for dtype in X.dtypes.values)
        if not are_of_numpy or set(map(type, names)) not in _NAMES or len(set(names)) < len(names):
            return None
        rows = X.values
    else:
        rows = X if _is_sparse(X) else _as_array(X)
    if (
        rows is None
        or rows.ndim != 2
        or 0 in rows.shape
        or rows.dtype.kind not in "biuf"
        or rows.dtype.itemsize > 8
        or (finite and not _is_plain(rows if isinstance(rows, np.ndarray) else rows.data))
    ):
        return None
    return rows


def _names(X: Any) -> list[Any] | None:
    """Return the names of the columns of a frame, where they count as names of features."""
    names = X.columns.tolist() if _is_frame(X) else None
    return None if names and type(names[0]) is int else names


def plain_targets(y: Any, *, y_numeric: bool = False) -> np.ndarray | None:
    """Return finite numbers or texts in one or two dimensions; None: not plainly so.

    Parameters
    ----------
    y : array-like
    y_numeric : bool
        Whether objects are converted to numbers, which is not done here.
    """
    is_series = _is_of("pandas", ("Series",), y)
    targets = np.asarray(y) if is_series else _as_array(y)
    if targets is None or targets.ndim not in (1, 2):
        return None
    if targets.dtype.kind == "O":
        return None if y_numeric or texts(targets) is None else targets
    if is_series and not isinstance(y.dtype, np.dtype):
        return None
    return targets if targets.size and _is_plain(targets) else None


def _is_frame(X: Any) -> bool:
    return _is_of("pandas", ("DataFrame",), X)


def _is_sparse(X: Any) -> bool:
    return _is_of("scipy.sparse", _SPARSE_CLASSES, X)


def _is_of(module: str, names: tuple[str, ...], given: Any) -> bool:
    """Return whether this is of one of these classes of a module, which has been imported then."""
    kind = type(given)
    return kind.__name__ in names and kind is getattr(sys.modules.get(module), kind.__name__, None)


def _as_array(given: Any) -> np.ndarray | None:
    """Return an array as it is, and what NumPy makes of a list."""
    if type(given) is np.ndarray:
        return given
    try:
        return np.asarray(given) if type(given) is list else None
    except (ValueError, TypeError, OverflowError):
        return None


def _is_plain(array: np.ndarray) -> bool:
    """Return whether an array is finite real numbers or texts, not objects."""
    if array.dtype.kind != "f":
        return array.dtype.kind in "biuU"
    # A sum may overflow, of numbers that are finite: scikit-learn then looks at each.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()))


def _note_features(estimator: Any, rows: Any, names: list[str] | None) -> None:
    estimator.n_features_in_ = rows.shape[1]
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
