"""Errors of `parity.defects`, planted in fastmlp itself: context managers that patch its Python while they are open.

Errors of arithmetic are planted in the NumPy backend, which every other backend is compared with elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

import fastmlp
from fastmlp import _base, _labels, _stochastic, _weights, estimators
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import EpochLosses, numpy_
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS

PLANTED: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def _planted(*patches: Callable[[], Any]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def open_all() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(fastmlp.config_context(backend="numpy"))
            for make in patches:
                stack.enter_context(make())
            yield

    return open_all


def _wrap(name: str, owner: Any, attribute: str) -> Callable[[Callable], Callable]:
    """Register the defect that replaces a function by one that gets the old one as its first argument."""

    def decorate(function: Callable) -> Callable:
        old = getattr(owner, attribute)

        def new(*args: Any, **kwargs: Any) -> Any:
            return function(old, *args, **kwargs)

        PLANTED[name] = _planted(lambda: patch.object(owner, attribute, new))
        return function

    return decorate


def _entry(name: str, registry: dict[str, Any], key: str, **changes: Any) -> None:
    PLANTED[name] = _planted(lambda: patch.dict(registry, {key: replace(registry[key], **changes)}))


def _adam_inside(w, g, m, v, tiny, step, beta_1, one_minus_beta_1, beta_2, one_minus_beta_2, epsilon):
    m = beta_1 * m + one_minus_beta_1 * g
    v = beta_2 * v + one_minus_beta_2 * g**2
    return w - step * m / np.sqrt(v + epsilon), m, v


_entry("epsilon_inside_the_root", SOLVERS, "adam", rule=_adam_inside)
_entry(
    "adam_without_bias_correction",
    SOLVERS,
    "adam",
    factors=lambda t, rate, b1, b2, eps: (rate, b1, 1 - b1, b2, 1 - b2, eps),
)
_entry(
    "adam_corrects_the_first_moment_only",
    SOLVERS,
    "adam",
    factors=lambda t, rate, b1, b2, eps: (rate / (1 - b1**t), b1, 1 - b1, b2, 1 - b2, eps),
)
_entry("nesterov_ignored", SOLVERS, "sgd", factors=lambda t, rate, momentum, nesterov: (rate, momentum, False))
_log_loss = LOSSES["log_loss"]
_entry("relu_derivative_at_zero", ACTIVATIONS, "relu", derivative=lambda a: (a >= 0).astype(a.dtype))
_entry(
    "clip_missing",
    LOSSES,
    "log_loss",
    term=lambda p, y, eps: _log_loss.term(p, y, 0.0),
    categorical_term=lambda p, y, eps: _log_loss.categorical_term(p, y, 0.0),
)


@_wrap("l2_on_biases", numpy_.NumpyBackend, "loss_grad")
def _l2_on_biases(old, self, spec, params, data, alpha, grad, *drawn):
    parts = old(self, spec, params, data, alpha, grad, *drawn)
    n = spec.layout.n_coefs
    grad[n:] += alpha * params[n:] / parts.weight
    return parts


@_wrap("l2_gradient_undivided", numpy_.NumpyBackend, "loss_grad")
def _l2_undivided(old, self, spec, params, data, alpha, grad, *drawn):
    parts = old(self, spec, params, data, alpha, grad, *drawn)
    n = spec.layout.n_coefs
    grad[:n] += alpha * params[:n] * (1 - 1 / parts.weight)
    return parts


@_wrap("l2_missing_in_loss", numpy_.NumpyBackend, "loss_grad")
def _l2_missing(old, *args):
    return old(*args)._replace(l2=0.0)


@_wrap("l2_doubled_in_loss", numpy_.NumpyBackend, "loss_grad")
def _l2_doubled(old, *args):
    parts = old(*args)
    return parts._replace(l2=2 * parts.l2)


@_wrap("multi_output_gradient_averaged", numpy_.NumpyBackend, "loss_grad")
def _gradient_averaged(old, self, spec, params, data, alpha, grad, *drawn):
    parts = old(self, spec, params, data, alpha, grad, *drawn)
    if spec.loss == "squared_error":
        grad /= spec.units[-1]
    return parts


@_wrap("last_batch_unweighted", numpy_.NumpyTrainer, "run")
def _last_batch_unweighted(old, self, n_epochs):
    means, step = [], self._step

    def noting_step(batch):
        parts = step(batch)
        means.append(parts.data / parts.weight)
        return parts

    with patch.object(self, "_step", noting_step):
        found = old(self, n_epochs)
    self.completed = found._replace(data=np.array(means).reshape(n_epochs, -1).mean(axis=1))
    return self.completed


@_wrap("shuffle_not_cumulative", numpy_.NumpyTrainer, "run")
def _shuffle_not_cumulative(old, self, n_epochs):
    epochs = []
    for _ in range(n_epochs):
        self.rows.sort()
        epochs.append(old(self, 1))
    self.completed = EpochLosses(*(np.concatenate(parts) for parts in zip(*epochs, strict=True)))
    return self.completed


@_wrap("shuffle_drawn_when_off", numpy_.NumpyTrainer, "run")
def _shuffle_drawn(old, self, n_epochs):
    if not self.plan.shuffle:
        self.plan.random_state.shuffle(self.rows.copy())
    return old(self, n_epochs)


@_wrap("t_in_epochs", _stochastic.Progress, "note")
def _t_in_epochs(old, self, losses, n_samples):
    return old(self, losses, 1)


@_wrap("stops_at_equality", _stochastic, "epochs_end")
def _stops_at_equality(old, estimator, *rest):
    allowed = estimator.n_iter_no_change
    estimator.n_iter_no_change = allowed - 1
    try:
        return old(estimator, *rest)
    finally:
        estimator.n_iter_no_change = allowed


@_wrap("invscaling_without_one", _stochastic.Optimizer, "iteration_ends")
def _invscaling_without_one(old, self, time_step):
    return old(self, time_step - 1)


@_wrap("adaptive_halves", _stochastic.Optimizer, "trigger_stopping")
def _adaptive_halves(old, self, message, verbose):
    stopping = old(self, message, verbose)
    if not stopping:
        self.learning_rate *= 2.5
    return stopping


@_wrap("equal_loss_is_no_improvement", _stochastic, "judge")
def _equal_loss(old, loss, best, quiet, tol):
    return min(best, loss), quiet + 1 if loss >= best - tol else 0


@_wrap("best_loss_needs_tol", _stochastic, "judge")
def _best_loss_needs_tol(old, loss, best, quiet, tol):
    better, quiet = old(loss, best, quiet, tol)
    return (best if loss > best - tol else better), quiet


@_wrap("last_best_wins", _stochastic.Progress, "judge_score")
def _last_best_wins(old, self, score, weights):
    equal = score == self._best_score
    old(self, score, weights)
    if equal:
        self._estimator._keep_best(weights)


@_wrap("warm_start_keeps_the_solver", _stochastic, "Optimizer")
def _keeps_the_solver(old, estimator, weights):
    return getattr(estimator, "_optimizer", None) or old(estimator, weights)


@_wrap("partial_fit_builds_a_solver", _base.BaseMLP, "_fit")
def _builds_a_solver(old, self, X, y, sample_weight=None, incremental=False):
    if incremental:
        self.__dict__.pop("_optimizer", None)
    return old(self, X, y, sample_weight, incremental)


@_wrap("logistic_bound", _base, "draw_layer")
def _logistic_bound(old, fan_in, fan_out, factor, random_state):
    return old(fan_in, fan_out, 6.0, random_state)


@_wrap("weights_normalised", _base, "validate_sample_weight")
def _weights_normalised(old, *args, **kwargs):
    weights = old(*args, **kwargs)
    return weights / weights.mean()


@_wrap("float32_in_double", _base.BaseMLP, "_working_dtype")
def _float32_in_double(old, self, data_dtype):
    return np.dtype(np.float64)


@_wrap("multi_output_loss_summed", estimators.MLPRegressor, "_loss_scale")
def _loss_summed(old, self):
    return 1.0


@_wrap("multiclass_split_stratified", estimators.MLPClassifier, "_stratified_by")
def _stratified(old, self, data):
    return data.targets if data.targets.ndim == 1 else None


@_wrap("binary_split_plain", estimators.MLPClassifier, "_stratified_by")
def _plain_split(old, self, data):
    return None


@_wrap("score_unweighted", estimators.MLPClassifier, "_validation_score")
def _score_unweighted(old, self, backend, spec, weights, part):
    return old(self, backend, spec, weights, replace(part, sample_weight=None))


@_wrap("half_is_positive", _labels, "predict_labels")
def _half_is_positive(old, binarizer, outputs):
    return old(binarizer, np.where(outputs == 0.5, 0.75, outputs))


@_wrap("trains_copies", _weights.Weights, "write_to")
def _trains_copies(old, self, coefs, intercepts):
    return None


@_wrap("pickles_lose_the_solver", _base.BaseMLP, "__getstate__")
def _lose_the_solver(old, self):
    state = old(self)
    state.pop("_optimizer", None)
    return state
