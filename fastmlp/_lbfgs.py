"""Training by L-BFGS: scipy's optimizer over the loss and gradient of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._sklearn import lbfgs_print_options
from fastmlp._weights import Weights
from fastmlp.backends import Backend, Data
from fastmlp.spec import NetworkSpec

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP


def fit_lbfgs(
    estimator: BaseMLP,
    backend: Backend,
    spec: NetworkSpec,
    weights: Weights,
    data: Data,
    callbacks: Any,
) -> tuple[Weights, Any]:
    """Minimise the loss from the given weights; set ``n_iter_`` and ``loss_``; return the weights and scipy's result.

    The weights have the estimator's `dtype`, or float64 where that is None, also where `spec` evaluates the loss in
    float32. `callbacks` is an object with `begins` and `ends`, or None.
    """
    from scipy.optimize import minimize

    evaluator, loss_scale = backend.evaluator(spec, data), estimator._loss_scale()

    def loss_grad(packed: np.ndarray) -> tuple[float, np.ndarray]:
        packed = np.ascontiguousarray(packed, dtype=spec.dtype)
        grad = np.empty_like(packed)
        parts = evaluator(packed, float(estimator.alpha), grad)
        return np.float64((parts.data * loss_scale + parts.l2) / parts.weight), grad.astype(np.float64, copy=False)

    def found(packed: np.ndarray) -> Weights:
        dtype = np.float64 if estimator.dtype is None else estimator.dtype
        return Weights(weights.layout, np.ascontiguousarray(packed, dtype=dtype))

    def iteration_ends(packed: np.ndarray) -> None:
        callbacks.begins("iteration")
        if callbacks.ends(found(packed.copy())):
            raise StopIteration

    result = minimize(
        loss_grad,
        weights.vector if estimator.dtype is None else weights.vector.astype(spec.dtype, copy=False),
        method="L-BFGS-B",
        jac=True,
        callback=None if callbacks is None else iteration_ends,
        options={
            "maxfun": estimator.max_fun,
            "maxiter": estimator.max_iter,
            "gtol": estimator.tol,
            **lbfgs_print_options(estimator.verbose),
        },
    )
    estimator.n_iter_ = result.nit
    estimator.loss_ = result.fun
    return found(result.x), result
