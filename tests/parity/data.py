"""Small seeded data sets, checked to be neither constant nor degenerate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

CLASSIFICATION = ("binary", "multiclass", "multilabel", "strings")
REGRESSION = ("single", "multi", "poisson")

N_TEST = 17
"""Rows to predict on that no fit has seen."""


@dataclass(frozen=True)
class Data:
    """One data set in the containers and dtypes of its case."""

    X: Any
    y: Any
    sample_weight: np.ndarray | None
    X_test: Any
    y_test: Any


def _features(n: int, n_features: int, dtype: str, rng: np.random.RandomState) -> np.ndarray:
    """Return a dense array with about a third of zeros, so that the sparse containers have something to leave out."""
    if dtype == "int":
        X = rng.randint(-3, 4, size=(n, n_features))
        X[rng.uniform(size=X.shape) < 0.2] = 0
        return X.astype(np.int64)
    X = rng.standard_normal((n, n_features))
    X[rng.uniform(size=X.shape) < 0.35] = 0.0
    return X.astype(dtype)


def _teacher(X: np.ndarray, n_outputs: int, rng: np.random.RandomState) -> np.ndarray:
    """Return smooth noisy targets, each column centred and of unit variance."""
    X = np.asarray(X, dtype=float)
    X = X / X.std()
    hidden = np.tanh(X @ rng.standard_normal((X.shape[1], 4)) + 0.3 * rng.standard_normal(4))
    z = hidden @ rng.standard_normal((4, n_outputs)) + 0.3 * rng.standard_normal((X.shape[0], n_outputs))
    return (z - z.mean(axis=0)) / z.std(axis=0)


def _balanced(z: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Return class codes cut from z at quantiles of the rows to fit, so that every class gets its share of them."""
    return np.searchsorted(np.quantile(z[:-N_TEST], np.cumsum(shares)[:-1]), z, side="right")


def targets(kind: str, X: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return targets of one kind for the rows of X."""
    if kind == "binary":
        return _balanced(_teacher(X, 1, rng)[:, 0], (0.6, 0.4))
    if kind == "multiclass":
        return np.array([0, 2, 5, 9])[_balanced(_teacher(X, 1, rng)[:, 0], (0.3, 0.2, 0.3, 0.2))]
    if kind == "strings":
        return np.array(["red", "green", "blue"], dtype=object)[_balanced(_teacher(X, 1, rng)[:, 0], (0.4, 0.3, 0.3))]
    if kind == "multilabel":
        z = _teacher(X, 3, rng)
        return np.column_stack([_balanced(z[:, k], (0.5, 0.5)) for k in range(3)])
    if kind == "single":
        return _teacher(X, 1, rng)[:, 0]
    if kind == "multi":
        return _teacher(X, 3, rng) * np.array([1.0, 0.5, 2.0])
    if kind == "poisson":
        return rng.poisson(np.exp(0.5 + 0.5 * _teacher(X, 1, rng)[:, 0])).astype(float)
    raise ValueError(f"unknown kind of targets: {kind!r}")


def weights(kind: str, n: int, rng: np.random.RandomState) -> np.ndarray | None:
    """Return sample weights of one kind."""
    if kind == "none":
        return None
    if kind == "random":
        return rng.uniform(0.1, 2.0, size=n)
    if kind == "zeros":
        w = rng.uniform(0.5, 1.5, size=n)
        # One only: a batch whose weights sum to zero is an error, and has its own cases.
        w[5] = 0.0
        return w
    if kind == "integer":
        return rng.randint(1, 4, size=n)
    raise ValueError(f"unknown kind of weights: {kind!r}")


def contain(X: np.ndarray, container: str) -> Any:
    """Return X in a container: C, F, csr, csc, or frame (needs pandas)."""
    if container == "C":
        return np.ascontiguousarray(X)
    if container == "F":
        return np.asfortranarray(X)
    if container == "csr":
        return sp.csr_matrix(X)
    if container == "csc":
        return sp.csc_array(X)
    if container == "frame":
        import pandas

        return pandas.DataFrame(X, columns=[f"column {k}" for k in range(X.shape[1])])
    raise ValueError(f"unknown container: {container!r}")


def make(kind: str, n: int, n_features: int, dtype: str, container: str, weight: str, seed: int) -> Data:
    """Return a data set; the rows to test on come from the same distribution."""
    rng = np.random.RandomState(seed)
    X = _features(n + N_TEST, n_features, dtype, rng)
    y = targets(kind, X, rng)
    w = weights(weight, n, rng)
    check_spread(X[:n], y[:n], w)
    return Data(contain(X[:n], container), y[:n], w, contain(X[n:], container), y[n:])


def check_spread(X: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> None:
    """Raise AssertionError unless every feature, target and weight really varies: a constant one tests nothing."""
    assert np.asarray(X, dtype=float).std(axis=0).min() > 0.3
    if y.dtype.kind == "f":
        assert np.std(y, axis=0).min() > 0.2
    else:
        for column in y.reshape(len(y), -1).T:
            _, counts = np.unique(column, return_counts=True)
            assert len(counts) > 1
            assert counts.min() >= 3
    if w is not None:
        assert w.std() > 0.2
        assert w.min() >= 0
