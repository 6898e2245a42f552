"""Training by L-BFGS: scipy's optimizer over the loss and gradient of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._sklearn import lbfgs_print_options
from fastmlp._weights import Weights
from fastmlp.backends import Backend, Data, Evaluator
from fastmlp.spec import NetworkSpec

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP


def packed_loss_grad(
    evaluator: Evaluator, spec: NetworkSpec, packed: np.ndarray, alpha: float, loss_scale: float
) -> tuple[float, np.ndarray]:
    """Return the loss that scikit-learn reports, and its gradient's vector, at a parameter vector.

    Parameters
    ----------
    evaluator : Evaluator
    spec : NetworkSpec
    packed : ndarray of shape (n_parameters,)
    alpha : float
    loss_scale : float
        Factor of the data term in the loss.

    Returns
    -------
    loss : float
    grad : ndarray of shape (n_parameters,)
    """
    packed = np.ascontiguousarray(packed, dtype=spec.dtype)
    grad = np.empty_like(packed)
    parts = evaluator(packed, alpha, grad)
    return np.float64((parts.data * loss_scale + parts.l2) / parts.weight), grad


def fit_lbfgs(
    estimator: BaseMLP,
    backend: Backend,
    spec: NetworkSpec,
    weights: Weights,
    data: Data,
    loss_scale: float,
    callbacks: Any,
) -> tuple[Weights, Any]:
    """Minimise the loss from the given weights; set ``n_iter_`` and ``loss_``; return the weights and scipy's result.

    The weights have the estimator's `dtype`, or float64 where that is None, also where `spec` evaluates the loss in
    float32.
    `callbacks` is an object with `begins` and `ends`, or None.
    """
    from scipy.optimize import minimize

    evaluator = backend.evaluator(spec, data)

    def loss_grad(packed: np.ndarray) -> tuple[float, np.ndarray]:
        loss, grad = packed_loss_grad(evaluator, spec, packed, float(estimator.alpha), loss_scale)
        return loss, grad.astype(np.float64, copy=False)

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
