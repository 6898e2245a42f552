"""Copies of scikit-learn's estimators that can be bent without touching the originals.

A copy is scikit-learn's own module loaded a second time under another name, so its globals (solver classes, losses,
activations, splitting, shuffling) belong to the copy alone, while the reference stays as installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.neural_network import _multilayer_perceptron as original
from sklearn.utils.extmath import safe_sparse_dot


def copy_of_sklearn(tag: str) -> ModuleType:
    """Return a fresh copy of scikit-learn's module of estimators; pickles of its classes load in this process."""
    # A name inside the package, because older versions import relatively.
    name = f"sklearn.neural_network._parity_{tag}"
    spec = importlib.util.spec_from_file_location(name, original.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    module.ACTIVATIONS = dict(module.ACTIVATIONS)
    module.DERIVATIVES = dict(module.DERIVATIVES)
    module.LOSS_FUNCTIONS = dict(module.LOSS_FUNCTIONS)
    # The solvers live in a module of their own, which the reference uses too.
    for solver in ("AdamOptimizer", "SGDOptimizer"):
        setattr(module, solver, type(solver, (getattr(module, solver),), {"__module__": name}))
    return module


def _other_rounding(a: np.ndarray) -> np.ndarray:
    """Move every other element by one unit in the last place: what another order of additions would do."""
    out = np.array(a)
    flat = out.reshape(-1)
    moved = np.nextafter(flat, np.float32(np.inf), dtype=flat.dtype)
    # A sum of zeros is zero in any order.
    moved[(flat == 0) | (np.arange(flat.size) % 2 == 1)] = 0.0
    np.copyto(flat, moved, where=moved != 0)
    return out


def _rounded(function: Callable[[np.ndarray], None]) -> Callable[[np.ndarray], None]:
    def inplace(X: np.ndarray) -> None:
        at_zero = X == 0
        function(X)
        # Saturation and the values at 0 are exact in any implementation.
        np.copyto(X, _other_rounding(X), where=(X != 1) & ~at_zero)

    return inplace


def reordered(tag: str = "reordered") -> ModuleType:
    """Return a copy that adds in reverse order and rounds otherwise in products and activations.

    It is correct, and as far from scikit-learn as another implementation may be. A case on which it fails is
    ill-conditioned and judges nothing; a tolerance that it exhausts is too small.
    """
    module = copy_of_sklearn(tag)

    def dot(a: Any, b: Any, *, dense_output: bool = False) -> np.ndarray:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            a, b = np.ascontiguousarray(a[:, ::-1]), np.ascontiguousarray(b[::-1])
        return _other_rounding(safe_sparse_dot(a, b, dense_output=dense_output))

    module.safe_sparse_dot = dot
    for name in ("logistic", "tanh", "softmax", "exp"):
        module.ACTIVATIONS[name] = _rounded(module.ACTIVATIONS[name])
    return module
