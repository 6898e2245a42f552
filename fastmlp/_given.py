"""Rows, targets and weights of a fit as scikit-learn's validation returns them.

That takes 100 to 150 us, of arrays of a hundred rows and with nothing to convert, as long as many epochs of a small
network. What it would return as it is, is seen here; all else goes to it, to be converted, warned of or refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from fastmlp._labels import texts
from fastmlp._sklearn import _check_sample_weight

_FLOATS = (np.float64, np.float32)


def validate_rows_and_targets(
    estimator: Any, X: Any, y: Any, *, reset: bool, y_numeric: bool = False
) -> tuple[Any, Any]:
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
    are_targets_plain = _is_plain(y, 1, 2) or (not y_numeric and texts(y))
    if are_targets_plain and _is_plain(X, 2) and X.dtype in _FLOATS and len(X) == len(y):
        if reset:
            estimator.n_features_in_ = X.shape[1]
            if hasattr(estimator, "feature_names_in_"):
                del estimator.feature_names_in_
            return X, y
        if getattr(estimator, "n_features_in_", None) == X.shape[1] and not hasattr(estimator, "feature_names_in_"):
            return X, y
    return validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        y_numeric=y_numeric,
        dtype=_FLOATS,
        reset=reset,
    )


def validate_sample_weight(sample_weight: Any, X: Any) -> np.ndarray:
    """Return ``_check_sample_weight(sample_weight, X)``: a weight of each row of a validated X, not all of them 0."""
    if (
        _is_plain(sample_weight, 1)
        and sample_weight.dtype in _FLOATS
        and sample_weight.flags.c_contiguous
        and len(sample_weight) == X.shape[0]
        and sample_weight.any()
    ):
        return sample_weight
    return _check_sample_weight(sample_weight, X)


def _is_plain(array: Any, *dimensions: int) -> bool:
    """Return whether an array is finite numbers or texts, not objects, and not empty."""
    if type(array) is not np.ndarray or array.ndim not in dimensions or array.size == 0:
        return False
    if array.dtype.kind != "f":
        return array.dtype.kind in "biuU"
    # A sum may overflow, of numbers that are finite: scikit-learn then looks at each.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()))
