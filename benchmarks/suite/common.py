"""Data and names that the suites share."""

import numpy as np

DTYPES = ["float32", "float64"]


def digits(dtype):
    """Return the images of the digits, (1797, 64) in [0, 1], and one-hot targets, which every loss accepts."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), np.eye(10, dtype=dtype)[y]
