"""What is trained on: the digits and irises that scikit-learn brings, and arrays drawn from a fixed seed."""

import numpy as np


def digits(dtype):
    """Return the images of the digits, (1797, 64) in [0, 1], and the classes."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y


def iris(dtype):
    """Return the irises, (150, 4), in an order that mixes the classes, and the classes."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return X[order].astype(dtype), y[order]


def exclusive_or(dtype):
    """Return the four patterns 100 times, (400, 2), and 0 or 1."""
    X = np.tile(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=dtype), (100, 1))
    return X, (X.sum(axis=1) == 1).astype(int)


def smooth(n_rows, n_features, dtype):
    """Return standard normal rows and one smooth function of them, of shape (n_rows, 1)."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_features))
    return X.astype(dtype), np.sin(X).sum(axis=1, keepdims=True).astype(dtype)


def smooth_map(n_rows, n_features, n_outputs, dtype):
    """Return standard normal rows and `n_outputs` smooth functions of them."""
    rng = np.random.default_rng(0)
    X, A = rng.standard_normal((n_rows, n_features)), rng.standard_normal((n_features, n_outputs))
    return X.astype(dtype), np.sin(X @ A).astype(dtype)


def images(n_rows, n_features, n_classes, dtype):
    """Return rows in [0, 1], four in five of the values 0 as in images of digits, and classes that depend on them."""
    rng = np.random.default_rng(0)
    X = rng.random((n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.2)
    return X.astype(dtype), (X @ rng.standard_normal((n_features, n_classes))).argmax(axis=1)


def sparse(n_rows, n_features, filled, n_classes):
    """Return a CSR matrix of float64 and random classes."""
    import scipy.sparse

    rng = np.random.RandomState(0)
    X = scipy.sparse.random(n_rows, n_features, filled, format="csr", random_state=rng)
    return X, rng.randint(0, n_classes, n_rows)
