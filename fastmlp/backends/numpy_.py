"""The oracle: a network written to be read, in NumPy alone. Every other backend is tested against it.

For one batch of rows, with L weight layers, a[0] = X, and all arrays of shape (rows, units of the layer)::

    z[l] = a[l-1] W[l] + b[l]                   forward, l = 1 ... L
    a[l] = g_l(z[l])

    delta[L] = dloss/da[L] * g_L'(z[L])         backward: delta[l] is dloss/dz[l]; softmax, whose units are
    delta[l] = (delta[l+1] W[l+1]^T) * g_l'(z[l])         coupled, has a matrix for g'

    dW[l] = a[l-1]^T delta[l]
    db[l] = sum over rows of delta[l]

where ``W[l]``, of shape (fan_in, fan_out), is ``coefs[l-1]``. With sample weights every row of delta[L] is multiplied
by its weight; the mean over rows divides by the sum of the weights, s; the L2 penalty adds alpha W / s to dW.

In a step of training an activation that draws gets its uniform random numbers, of shape (rows, units of the layer), in
g_l and g_l' alike; everywhere else, gradients outside of training included, it gets 1/2 instead.

X may be a scipy CSR matrix: ``X @ W``, ``X.T @ delta`` and ``X[rows]`` read the same for both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp import philox
from fastmlp._validation import check_finite
from fastmlp.activations import ACTIVATIONS, get_activation
from fastmlp.backends import Data, EpochLosses, Evaluator, LossParts, Plan
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS
from fastmlp.spec import NetworkSpec

Drawn = list[np.ndarray | None]
"""The uniform random numbers of each layer, None where its activation draws none (or, in prediction, 1/2)."""


class NumpyBackend:
    """The `fastmlp.backends.Backend` of this module.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.backends import get_backend
    >>> from fastmlp.spec import make_spec
    >>> spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    >>> get_backend("numpy").forward(spec, np.array([1.0, 10.0, 0.5]), np.array([[1.0, 2.0]]))
    array([[21.5]])
    """

    name = "numpy"
    isa = "-"
    n_threads = 1
    takes_any_order = False

    def forward(self, spec: NetworkSpec, params: np.ndarray, X: Any, *, finite: bool = False) -> np.ndarray:
        """Return the outputs, shape (n, units[-1]). finite: raise ValueError where a dense X is not."""
        if finite and isinstance(X, np.ndarray):
            check_finite("X", X)
        return self.layers(spec, params, X)[1][-1]

    def layers(self, spec: NetworkSpec, params: np.ndarray, X: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return pre-activations and activations of all weight layers, each of shape (n, fan_out)."""
        return self._layers(spec, params, X, [None] * spec.n_layers)

    def _layers(
        self, spec: NetworkSpec, params: np.ndarray, X: Any, drawn: Drawn
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        spec.own  # noqa: B018 (it raises where a function of the user's has been replaced by one that does not fit)
        W, b = spec.layout.coefs(params), spec.layout.intercepts(params)
        z, a = [], []
        inputs = X.astype(spec.dtype, copy=False)
        for layer, (name, parameters) in enumerate(spec.activations):
            z.append(inputs @ W[layer] + b[layer])
            entry = get_activation(name)
            a.append(entry.value(z[layer], *entry.arguments(z[layer], parameters, drawn[layer])))
            inputs = a[layer]
        return z, a

    def loss(self, spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float) -> LossParts:
        """Return the loss over all rows.

        Raises
        ------
        ZeroDivisionError
            When the sample weights sum to zero.
        """
        return _loss_parts(spec, params, data, alpha, self.forward(spec, params, data.X))

    def loss_grad(
        self,
        spec: NetworkSpec,
        params: np.ndarray,
        data: Data,
        alpha: float,
        grad: np.ndarray,
        drawn: Drawn | None = None,
    ) -> LossParts:
        """Return the loss over all rows and write the gradient of the mean loss, L2 term included, into `grad`.

        `drawn` are the random numbers of each layer in a step of training, as `_draw` returns them.

        Raises
        ------
        ZeroDivisionError
            When the sample weights sum to zero.
        ValueError
            When there is no gradient through one of the activations.
        """
        X = data.X.astype(spec.dtype, copy=False)
        W = spec.layout.coefs(params)
        dW, db = spec.layout.coefs(grad), spec.layout.intercepts(grad)
        drawn = [None] * spec.n_layers if drawn is None else drawn
        z, a = self._layers(spec, params, X, drawn)
        parts = _loss_parts(spec, params, data, alpha, a[-1])
        s = parts.weight
        delta = _output_delta(spec, z[-1], a[-1], _target_rows(spec, data), drawn[-1])
        if data.sample_weight is not None:
            delta = delta * data.sample_weight[:, np.newaxis]
        for layer in reversed(range(spec.n_layers)):
            inputs = a[layer - 1] if layer > 0 else X
            dW[layer][:] = (inputs.T @ delta + alpha * W[layer]) / s
            db[layer][:] = delta.sum(axis=0) / s
            if layer > 0:
                name, parameters = spec.activations[layer - 1]
                below = z[layer - 1], a[layer - 1], parameters, drawn[layer - 1]
                delta = ACTIVATIONS[name].backward(delta @ W[layer].T, *below)
        return parts

    def evaluator(self, spec: NetworkSpec, data: Data) -> Evaluator:
        """Return `loss_grad` over `data`."""
        return lambda params, alpha, grad: self.loss_grad(spec, params, data, alpha, grad)

    def trainer(self, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> NumpyTrainer:
        """Return a `NumpyTrainer` that updates `params` in place."""
        return NumpyTrainer(self, spec, params, data, plan)


def _draw(spec: NetworkSpec, key: int, step: int, rows: int) -> Drawn:
    """Return, for each layer whose activation draws, its random numbers in a step; None for the others."""
    return [
        philox.uniforms(key, step, layer, rows, width).astype(spec.dtype) if ACTIVATIONS[name].draws else None
        for layer, ((name, _), width) in enumerate(zip(spec.activations, spec.units[1:], strict=True))
    ]


def _target_rows(spec: NetworkSpec, data: Data) -> np.ndarray:
    """Return the targets with shape (n, units[-1]): class codes become 0 and 1, or one-hot rows."""
    codes, n_outputs = data.targets, spec.units[-1]
    if codes.ndim == 2:
        return data.targets
    if n_outputs == 1:
        return codes[:, np.newaxis].astype(spec.dtype)
    return (codes[:, np.newaxis] == np.arange(n_outputs)).astype(spec.dtype)


def _loss_parts(spec: NetworkSpec, params: np.ndarray, data: Data, alpha: float, outputs: np.ndarray) -> LossParts:
    output_activation = spec.activations[-1][0]
    rows = LOSSES[spec.loss].rows(outputs, _target_rows(spec, data), output_activation).astype(np.float64)
    if data.sample_weight is None:
        total, weight = rows.sum(), len(rows)
    else:
        total, weight = (data.sample_weight * rows).sum(), data.sample_weight.sum(dtype=np.float64)
    if weight == 0:
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    squares = sum((W.astype(np.float64) ** 2).sum() for W in spec.layout.coefs(params))
    return LossParts(data=float(total), l2=float(alpha / 2 * squares), weight=float(weight))


def _output_delta(spec: NetworkSpec, z: np.ndarray, a: np.ndarray, y: np.ndarray, u: np.ndarray | None) -> np.ndarray:
    """Return the derivative of each row's loss with respect to the output layer's pre-activations."""
    loss = LOSSES[spec.loss]
    name, parameters = spec.activations[-1]
    if name in loss.canonical:
        return a - y
    return ACTIVATIONS[name].backward(loss.gradient(a, y, name), z, a, parameters, u)


class NumpyTrainer:
    """Epochs over one `Data` under one `Plan`: shuffle the rows, then one step of the solver for each batch.

    Parameters
    ----------
    backend : NumpyBackend
    spec : NetworkSpec
    params : ndarray of shape (n_parameters,)
        Updated in place.
    data : Data
    plan : Plan
    """

    def __init__(self, backend: NumpyBackend, spec: NetworkSpec, params: np.ndarray, data: Data, plan: Plan) -> None:
        plan.solver.check(spec.layout.n_parameters)
        self.backend, self.spec, self.params, self.data, self.plan = backend, spec, params, data, plan
        self.rows = np.arange(data.X.shape[0], dtype=np.int32) if plan.rows is None else plan.rows

    def run(self, n_epochs: int) -> EpochLosses:
        """Run `n_epochs` epochs and return the losses of each.

        Raises
        ------
        ZeroDivisionError
            When the sample weights of a batch sum to zero.
        """
        losses = EpochLosses(data=np.zeros(n_epochs), l2=np.zeros(n_epochs))
        self.plan.solver.values()  # raises where one is missing
        for epoch in range(n_epochs):
            self.completed = losses.head(epoch)
            if self.plan.shuffle:
                self.plan.shuffle_rows(self.rows)
            for start in range(0, len(self.rows), self.plan.batch_size):
                batch = self._take(self.rows[start : start + self.plan.batch_size])
                parts = self._step(batch)
                # The mean over batches of their mean losses, each counted by its rows.
                share = batch.X.shape[0] / len(self.rows)
                losses.data[epoch] += parts.data / parts.weight * share
                losses.l2[epoch] += parts.l2 / parts.weight * share
        self.completed = losses
        return losses

    def _take(self, rows: np.ndarray) -> Data:
        data = self.data
        sample_weight = None if data.sample_weight is None else data.sample_weight[rows]
        return Data(data.X[rows], data.targets[rows], sample_weight, data.hard)

    def _step(self, batch: Data) -> LossParts:
        state = self.plan.solver
        grad = np.empty_like(self.params)
        drawn = _draw(self.spec, self.plan.key, state.t, batch.X.shape[0])
        parts = self.backend.loss_grad(self.spec, self.params, batch, self.plan.alpha, grad, drawn)

        params, moments, t = self.params.copy(), [m.copy() for m in state.moments], state.t + 1
        SOLVERS[state.name].update(params, grad, moments, t, **state.hyper)

        def commit() -> None:
            self.params[:] = params
            for kept, new in zip(state.moments, moments, strict=True):
                kept[:] = new
            state.t = t

        # An interrupt may arrive between any two lines of Python. Up to here nothing has changed; from here on the
        # step is completed before the interrupt goes on.
        try:
            commit()
        except BaseException:
            commit()
            raise
        return parts
