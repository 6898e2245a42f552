"""Data and names that the suites share."""

import numpy as np

DTYPES = ["float32", "float64"]


def digits(dtype):
    """Return the images of the digits, (1797, 64) in [0, 1], and one-hot targets, which every loss accepts."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), np.eye(10, dtype=dtype)[y]


def smooth(n_rows, n_features, dtype):
    """Return standard normal rows and one smooth function of them."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_features))
    return X.astype(dtype), np.sin(X).sum(axis=1, keepdims=True).astype(dtype)


def exclusive_or(dtype):
    """Return the four patterns 100 times."""
    X = np.tile(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=dtype), (100, 1))
    return X, (X.sum(axis=1, keepdims=True) == 1).astype(dtype)
