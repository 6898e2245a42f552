"""Data and names that the suites share."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

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


def iris(dtype):
    """Return the irises, standardised, and one-hot targets."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype), np.eye(3, dtype=dtype)[y]


def images(dtype):
    """Return 10000 rows of 784 numbers in [0, 1], most of them 0, and one-hot targets of ten classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 10000)
    X = np.clip(rng.standard_normal((10, 784))[y] + rng.standard_normal((10000, 784)) - 1, 0, 1)
    return X.astype(dtype), np.eye(10, dtype=dtype)[y]


def several(n_rows, n_features, n_outputs, dtype):
    """Return standard normal rows and smooth functions of them."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_features))
    return X.astype(dtype), np.stack([np.sin(X + j).sum(axis=1) for j in range(n_outputs)], axis=1).astype(dtype)


SOFTMAX, LOGISTIC, IDENTITY = (
    ("softmax", "log_loss"),
    ("logistic", "log_loss"),
    ("identity", "squared_error"),
)


class TrainingRow(NamedTuple):
    """A network and data to train it on: data(dtype), output activation and loss, and the rest."""

    data: Callable
    dtype: str
    hidden: tuple[int, ...]
    activation: str
    outputs: tuple[str, str]
    solver: str
    batch_size: int


TRAINING_ROWS = {
    "xor 2-4-1": TrainingRow(exclusive_or, "float64", (4,), "tanh", LOGISTIC, "sgd", 1),
    "iris 4-16-3": TrainingRow(iris, "float64", (16,), "relu", SOFTMAX, "adam", 32),
    "digits 64-30-10 batch 10": TrainingRow(digits, "float64", (30,), "logistic", SOFTMAX, "sgd", 10),
    **{
        f"digits 64-100-10 {dtype}": TrainingRow(digits, dtype, (100,), "relu", SOFTMAX, "adam", 200)
        for dtype in DTYPES
    },
    **{
        f"20640 rows 8-64-64-1 {dtype}": TrainingRow(
            partial(smooth, 20640, 8), dtype, (64, 64), "relu", IDENTITY, "adam", 200
        )
        for dtype in DTYPES
    },
    "784-128-10": TrainingRow(images, "float32", (128,), "relu", SOFTMAX, "adam", 128),
    **{
        f"32-256-256-256-1 {name}": TrainingRow(
            partial(smooth, 20000, 32), "float32", (256, 256, 256), name, IDENTITY, "adam", 256
        )
        for name in ("relu", "tanh")
    },
    "4-32-16-4": TrainingRow(partial(several, 10000, 4, 4), "float32", (32, 16), "tanh", IDENTITY, "adam", 10000),
}
"""The networks whose training is compared with other libraries and with the machine's limit."""
