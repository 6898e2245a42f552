"""What compiled backends check before they hand out addresses: dtypes, layouts, shapes, indices that stay inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp._validation import POINTS_OUTSIDE, is_addressable
from fastmlp.backends import Data
from fastmlp.spec import NetworkSpec


def checked(array: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return a C-contiguous, aligned array of that dtype; ValueError for another."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"Expected a C-contiguous array of {dtype}, got {array.dtype} with strides {array.strides}.")
    if not array.flags.aligned:
        raise ValueError(f"Expected an array of {dtype} at a multiple of {array.itemsize} bytes, got another address.")
    return array


def checked_address(array: np.ndarray) -> int:
    """Return the address of an array in any order; ValueError where elements are not at multiples of their size."""
    if not is_addressable(array):
        raise ValueError(
            f"Expected an array of {array.dtype} at multiples of {array.itemsize} bytes, got other places."
        )
    return array.__array_interface__["data"][0]


def checked_vector(spec: NetworkSpec, vector: np.ndarray) -> np.ndarray:
    """Return a vector with the layout of the parameters."""
    if vector.shape != (spec.layout.n_parameters,):
        raise ValueError(f"Expected a vector of {spec.layout.n_parameters} parameters, got shape {vector.shape}.")
    return checked(vector, spec.dtype)


def checked_shape(spec: NetworkSpec, X: Any) -> tuple[int, int]:
    """Return the shape of rows; ValueError unless they are as wide as the input layer."""
    n_rows, width = X.shape
    if width != spec.units[0]:
        raise ValueError(f"Expected {spec.units[0]} columns, got {width}.")
    return n_rows, width


def csr_arrays(X: Any, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return int64 indptr, int32 indices and the data of a CSR matrix, or those of a CSC matrix.

    The first two are copies, for they are addresses to the kernels: whoever edits the matrix meanwhile, in a callback
    or in another thread, changes numbers but no addresses. So it is they that have to be looked at, by the caller.
    """
    indptr, indices, data = np.asarray(X.indptr), np.array(X.indices), np.ascontiguousarray(X.data)
    for index in (indptr, indices):
        if index.dtype.kind not in "iu" or index.ndim != 1:
            raise ValueError(f"{POINTS_OUTSIDE} They must be vectors of integers, got {index.dtype} of {index.shape}.")
    if indices.dtype != np.int32:
        if indices.size and not (indices.min() >= 0 and indices.max() <= np.iinfo(np.int32).max):
            raise ValueError(POINTS_OUTSIDE)
        indices = indices.astype(np.int32)
    return np.array(indptr, np.int64), indices, checked(data, dtype)


def check_targets(spec: NetworkSpec, data: Data) -> None:
    """Raise ValueError unless targets and sample weights are as many as rows, and targets as wide as the outputs."""
    n, targets, weight = data.X.shape[0], data.targets, data.sample_weight
    if len(targets) != n or (targets.ndim == 2 and targets.shape[1] != spec.units[-1]):
        raise ValueError(f"Expected targets for {n} rows of {spec.units[-1]}, got shape {targets.shape}.")
    if weight is not None and weight.shape != (n,):
        raise ValueError(f"Expected {n} sample weights, got shape {weight.shape}.")


def checked_order(order: np.ndarray, n_rows: int) -> np.ndarray:
    """Return the rows of an epoch."""
    if len(order) and not (order.min() >= 0 and order.max() < n_rows):
        raise ValueError(f"Expected rows from 0 to {n_rows - 1}, got {order.min()} to {order.max()}.")
    return checked(order, np.int32)
