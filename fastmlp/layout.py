"""Where the parameters of a network lie: sizes, offsets and views into ONE flat vector.

The order is the one in which scikit-learn packs parameters for L-BFGS: all coefs, layer by layer, then all intercepts.
Gradients and solver moments share it, so a solver is an element-wise operation on flat vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

ALIGNMENT = 64
"""Bytes on which a parameter vector starts: a cache line, and the widest vector of the kernels."""


def aligned_zeros(n: int, dtype: np.dtype | type) -> np.ndarray:
    """Return a zeroed vector of `n` elements that starts on a multiple of `ALIGNMENT` bytes."""
    dtype = np.dtype(dtype)
    raw = np.zeros(n * dtype.itemsize + ALIGNMENT, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + n * dtype.itemsize].view(dtype)


class Layout:
    """Offsets of each layer's coefs and intercepts in the flat parameter vector.

    Parameters
    ----------
    units : sequence of int
        Widths of all layers: ``[n_features, *hidden, n_outputs]``.

    Attributes
    ----------
    units : tuple of int
    n_layers : int
        Number of weight layers, ``len(units) - 1``.
    n_coefs : int
        Number of weights; they are the first `n_coefs` elements of the vector.
    n_parameters : int
        Weights and biases together: the length of the vector.
    """

    __slots__ = ("_coefs", "_intercepts", "n_coefs", "n_layers", "n_parameters", "units")

    def __init__(self, units: Sequence[int]) -> None:
        self.units = tuple(int(n) for n in units)
        self.n_layers = len(self.units) - 1
        self._coefs: list[tuple[int, int, tuple[int, int]]] = []
        self._intercepts: list[tuple[int, int]] = []
        end = 0
        for fan_in, fan_out in pairwise(self.units):
            start, end = end, end + fan_in * fan_out
            self._coefs.append((start, end, (fan_in, fan_out)))
        self.n_coefs = end
        for fan_out in self.units[1:]:
            start, end = end, end + fan_out
            self._intercepts.append((start, end))
        self.n_parameters = end

    def allocate(self, dtype: np.dtype | type) -> np.ndarray:
        """Return a parameter vector of zeros.

        Parameters
        ----------
        dtype : numpy.dtype
            float32 or float64.

        Returns
        -------
        ndarray of shape (n_parameters,)
            Aligned to 64 bytes.
        """
        return aligned_zeros(self.n_parameters, dtype)

    def coefs(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return the weights of each layer.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)

        Returns
        -------
        list of ndarray of shape (fan_in, fan_out)
            Views into `vector`.
        """
        return [vector[start:end].reshape(shape) for start, end, shape in self._coefs]

    def intercepts(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return the biases of each layer.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)

        Returns
        -------
        list of ndarray of shape (fan_out,)
            Views into `vector`.
        """
        return [vector[start:end] for start, end in self._intercepts]
