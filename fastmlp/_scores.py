"""Accuracy and coefficient of determination of plain arrays, by the rules of scikit-learn's metrics, in less time."""

from __future__ import annotations

from operator import eq
from typing import Any

import numpy as np

from fastmlp._labels import are_indicators, may_warn, texts


def accuracy(y: Any, predicted: np.ndarray, n_classes: int) -> float | None:
    """Return the share of right labels; None where `accuracy_score` has a say in it."""
    if are_indicators(y) and are_indicators(predicted) and y.shape == predicted.shape:
        return int(np.count_nonzero((y == predicted).all(axis=1))) / len(y)
    n_right = _count_right(y, predicted)
    if n_right is None:
        return None
    n = len(y)
    # Each wrong row may hold a label that is no class.
    return None if may_warn(n_classes + n - n_right, n) else n_right / n


def _count_right(y: Any, predicted: np.ndarray) -> int | None:
    """Return how many labels are right, or None where these are not plain labels of one kind, one for each row."""
    if _are_comparable(y, predicted):
        return int(np.count_nonzero(y == predicted))
    labels = texts(y)
    if labels is None or predicted.shape != (len(labels),) or predicted.dtype.kind != "U":
        return None
    return sum(map(eq, labels, predicted.tolist()))


def _are_comparable(y: Any, predicted: np.ndarray) -> bool:
    """Return whether two arrays of plain labels, one for each row, can be compared label by label."""
    return (
        type(y) is np.ndarray
        and y.ndim == 1
        and y.shape == predicted.shape
        and y.dtype.kind == predicted.dtype.kind
        and y.dtype.kind in "biuU"
    )


def accuracy_of_outputs(
    outputs: np.ndarray, targets: np.ndarray, n_classes: int, sample_weight: np.ndarray | None
) -> float:
    """Return the share of rows whose outputs stand for the targets: codes of classes, or booleans of several labels."""
    if targets.ndim == 2:
        right = ((outputs > 0.5) == (targets > 0.5)).all(axis=1)
    elif n_classes == 1:
        right = np.ones(len(outputs))  # the only class is predicted whatever the output
    elif outputs.shape[1] == 1:
        right = (outputs[:, 0] > 0.5) == targets
    else:
        right = outputs.argmax(axis=1) == targets
    if sample_weight is None:
        return int(np.count_nonzero(right)) / len(right)
    return float(np.average(right, weights=sample_weight))


def r2(y: Any, predicted: np.ndarray) -> float | None:
    """Return the coefficient of determination; None where `r2_score` has a say in it."""
    if not _are_plain_numbers(y, predicted):
        return None
    dtype = np.result_type(y, predicted)
    pair = (array.astype(dtype, copy=False).reshape(len(y), -1) for array in (y, predicted))
    return r2_of_outputs(*pair, None)


def _are_plain_numbers(y: Any, predicted: np.ndarray) -> bool:
    """Return whether `r2_score` would take these two as they are, without error or warning."""
    return (
        type(y) is np.ndarray
        and y.dtype in (np.float32, np.float64)
        and y.shape == predicted.shape
        and len(y) > 1
        and bool(np.isfinite(y).all() and np.isfinite(predicted).all())
    )


def r2_of_outputs(y: np.ndarray, predictions: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Return the coefficient of determination, averaged over outputs, by the rules of `sklearn.metrics.r2_score`."""
    weight = 1.0 if sample_weight is None else sample_weight[:, np.newaxis]
    numerator = (weight * (y - predictions) ** 2).sum(axis=0)
    denominator = (weight * (y - np.average(y, axis=0, weights=sample_weight)) ** 2).sum(axis=0)
    constant = denominator == 0
    scores = 1 - numerator / np.where(constant, 1, denominator)
    scores = np.where(constant, np.where(numerator == 0, 1.0, 0.0), scores)
    return float(scores.mean())
