"""Errors planted on purpose, each of which the suite must see.

A defect says in words what it changes, so that it can be planted in any implementation; `plant` does it in a copy of
scikit-learn's module (see `parity.standins`), which shows what the suite can catch. `parity.planted` has many of them
in fastmlp itself.

``python -m parity.defects`` prints what sees each defect first; with ``--all``, how many of all short cases and
sequences see it (which takes minutes).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state

from parity import cases, compare, sequences, spread, standins
from parity.cases import Case
from parity.subject import Library

Plant = Callable[[ModuleType], None]


@dataclass(frozen=True, eq=False)
class Defect:
    """An error, what sees it, and how to plant it.

    Attributes
    ----------
    words : str
        What is done otherwise than in scikit-learn.
    seen_by : tuple of str
        Ids of cases ("hand-...") and sequences made for the rule; any one of them suffices.
    also : callable or None
        Which cases of the arrays may see it as well, tried after `seen_by`.
    """

    name: str
    words: str
    plant: Plant
    seen_by: tuple[str, ...] = ()
    also: Callable[[Case], bool] | None = None

    def __str__(self) -> str:
        return self.name

    def library(self) -> Library:
        """Return a copy of scikit-learn with the error in it."""
        module = standins.copy_of_sklearn(f"with_{self.name}")
        self.plant(module)
        return Library(self.name, module.MLPClassifier, module.MLPRegressor)


DEFECTS: list[Defect] = []


def defect(words: str, *seen_by: str, also: Callable[[Case], bool] | None = None) -> Callable[[Plant], Plant]:
    """Register a function that plants an error into a copy of scikit-learn's module."""

    def register(plant: Plant) -> Plant:
        DEFECTS.append(Defect(plant.__name__, words, plant, seen_by, also))
        return plant

    return register


def _replace(owner: Any, name: str) -> Callable[[Callable], Callable]:
    """Replace a function by one that gets the old one as its first argument."""

    def decorate(function: Callable) -> Callable:
        old = getattr(owner, name)

        def new(*args: Any, **kwargs: Any) -> Any:
            return function(old, *args, **kwargs)

        setattr(owner, name, new)
        return function

    return decorate


def _uses(**wanted: Any) -> Callable[[Case], bool]:
    """Return a predicate: cases that run through with these parameters."""

    def predicate(case: Case) -> bool:
        return case.fails is None and all(case.params.get(key) == value for key, value in wanted.items())

    return predicate


# ---------------------------------------------------------------------------------------------------------------------
# Solvers
# ---------------------------------------------------------------------------------------------------------------------


def _adam_updates(self: Any, grads: list, *, inside: bool = False, first: bool = True, second: bool = True) -> list:
    """Adam's rule with its parts to be left out."""
    self.t += 1
    self.ms = [self.beta_1 * m + (1 - self.beta_1) * g for m, g in zip(self.ms, grads, strict=True)]
    self.vs = [self.beta_2 * v + (1 - self.beta_2) * g * g for v, g in zip(self.vs, grads, strict=True)]
    self.learning_rate = self.learning_rate_init
    if second:
        self.learning_rate *= np.sqrt(1 - self.beta_2**self.t)
    if first:
        self.learning_rate /= 1 - self.beta_1**self.t
    roots = [np.sqrt(v + self.epsilon) if inside else np.sqrt(v) + self.epsilon for v in self.vs]
    return [-self.learning_rate * m / root for m, root in zip(self.ms, roots, strict=True)]


@defect("Adam: epsilon is added under the root instead of to it.", "hand-warm_adam", "hand-auto_batches")
def epsilon_inside_the_root(module: ModuleType) -> None:
    module.AdamOptimizer._get_updates = lambda self, grads: _adam_updates(self, grads, inside=True)


@defect("Adam: neither moment is corrected for its start at zero.", "hand-warm_adam", "hand-defaults_classifier")
def adam_without_bias_correction(module: ModuleType) -> None:
    module.AdamOptimizer._get_updates = lambda self, grads: _adam_updates(self, grads, first=False, second=False)


@defect("Adam: the second moment is not corrected for its start at zero.", "hand-warm_adam")
def adam_corrects_the_first_moment_only(module: ModuleType) -> None:
    module.AdamOptimizer._get_updates = lambda self, grads: _adam_updates(self, grads, second=False)


@defect("Adam: the count of steps restarts with each epoch.", "hand-warm_adam", "hand-defaults_regressor")
def adam_counts_within_the_epoch(module: ModuleType) -> None:
    module.AdamOptimizer.iteration_ends = lambda self, time_step: setattr(self, "t", 0)


@defect("sgd: nesterovs_momentum is ignored: plain momentum.", "hand-order_is_cumulative", "hand-three_layers")
def nesterov_ignored(module: ModuleType) -> None:
    @_replace(module.SGDOptimizer, "_get_updates")
    def updates(old: Callable, self: Any, grads: list) -> list:
        self.nesterov = False
        return old(self, grads)


@defect("sgd: Nesterov looks ahead with the velocity of the step before.", "hand-order_is_cumulative")
def nesterov_with_the_old_velocity(module: ModuleType) -> None:
    def updates(self: Any, grads: list) -> list:
        old = self.velocities
        self.velocities = [self.momentum * v - self.learning_rate * g for v, g in zip(old, grads, strict=True)]
        if not self.nesterov:
            return self.velocities
        return [self.momentum * v - self.learning_rate * g for v, g in zip(old, grads, strict=True)]

    module.SGDOptimizer._get_updates = updates


@defect("sgd, adaptive: the rate is halved, not divided by 5.", "hand-adaptive_to_the_end", "hand-warm_adaptive")
def adaptive_halves(module: ModuleType) -> None:
    @_replace(module.SGDOptimizer, "trigger_stopping")
    def trigger(old: Callable, self: Any, msg: str, verbose: Any) -> bool:
        before = self.learning_rate
        stop = old(self, msg, verbose)
        if self.learning_rate != before:
            self.learning_rate = before / 2
        return stop


@defect("sgd, adaptive: training ends once the rate is below 1e-5, not 1e-6.", "hand-adaptive_to_the_end",
        "hand-adaptive_from_below")  # fmt: skip
def adaptive_ends_early(module: ModuleType) -> None:
    @_replace(module.SGDOptimizer, "trigger_stopping")
    def trigger(old: Callable, self: Any, msg: str, verbose: Any) -> bool:
        if self.lr_schedule == "adaptive" and self.learning_rate <= 1e-5:
            self.learning_rate = 1e-7
        return old(self, msg, verbose)


@defect("sgd, invscaling: the rate is taken at t instead of t + 1.", "hand-invscaling_first_epochs")
def invscaling_without_one(module: ModuleType) -> None:
    @_replace(module.SGDOptimizer, "iteration_ends")
    def ends(old: Callable, self: Any, time_step: int) -> None:
        old(self, time_step - 1)


@defect("sgd, invscaling: t counts epochs, not samples.", "hand-invscaling_first_epochs", "hand-warm_invscaling")
def invscaling_in_epochs(module: ModuleType) -> None:
    @_replace(module.SGDOptimizer, "iteration_ends")
    def ends(old: Callable, self: Any, time_step: int) -> None:
        self.epochs = getattr(self, "epochs", 0) + 1
        old(self, self.epochs)


@defect("`t_` counts epochs, not samples.", "hand-cold_refits", "hand-defaults_classifier")
def t_in_epochs(module: ModuleType) -> None:
    def set_t(self: Any, value: int) -> None:
        self.__dict__["t_"] = 0 if value == 0 else self.__dict__["t_"] + 1

    module.BaseMultilayerPerceptron.t_ = property(lambda self: self.__dict__["t_"], set_t)


@defect("sgd: a partial_fit starts from zero velocities.", "partial_fit_series-single-sgd-int",
        "partial_fit_around_fit-binary-sgd")  # fmt: skip
def partial_fit_forgets_velocities(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> None:
        if hasattr(getattr(self, "_optimizer", None), "velocities"):
            self._optimizer.velocities = [np.zeros_like(v) for v in self._optimizer.velocities]
        old(self, *args, **kwargs)


@defect(
    "A partial_fit builds a new solver.", "partial_fit_series-single-adam-int", "copied_in_training-pickle-single-adam"
)
def partial_fit_builds_a_solver(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop("_optimizer", None)
        old(self, *args, **kwargs)


@defect("A warm start goes on with the solver of the last fit.", "hand-warm_adam", "warm_refits-multi-adam-int")
def warm_start_keeps_the_solver(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        kept = getattr(self, "_optimizer", None) if self.warm_start else None
        if kept is not None:
            name = type(kept).__name__
            made = getattr(module, name)
            setattr(module, name, lambda *a, **k: kept)
            try:
                return old(self, *args)
            finally:
                setattr(module, name, made)
        return old(self, *args)


# ---------------------------------------------------------------------------------------------------------------------
# Loss and gradient
# ---------------------------------------------------------------------------------------------------------------------


def _change_gradient(module: ModuleType, change: Callable[..., None]) -> None:
    """Let `change(self, layer, weight, coef_grads, intercept_grads)` edit each layer's gradient."""

    @_replace(module.BaseMultilayerPerceptron, "_compute_loss_grad")
    def grad(old: Callable, self: Any, layer: int, sw_sum: Any, acts: list, deltas: list, cg: list, ig: list) -> None:
        old(self, layer, sw_sum, acts, deltas, cg, ig)
        change(self, layer, sw_sum, cg, ig)


@defect("The penalty's gradient covers the biases.", "hand-weight_l2", "hand-last_batch_of_one")
def l2_on_biases(module: ModuleType) -> None:
    def change(self: Any, layer: int, weight: Any, cg: list, ig: list) -> None:
        ig[layer] = ig[layer] + self.alpha * self.intercepts_[layer] / weight

    _change_gradient(module, change)


@defect("The penalty's gradient is not divided by the batch's size.", "hand-weight_l2", "hand-last_batch_of_one")
def l2_gradient_undivided(module: ModuleType) -> None:
    def change(self: Any, layer: int, weight: Any, cg: list, ig: list) -> None:
        cg[layer] += self.alpha * self.coefs_[layer] * (1 - 1 / weight)

    _change_gradient(module, change)


def _change_loss(module: ModuleType, change: Callable[..., float]) -> None:
    """Let `change(self, loss, X, y, sample_weight)` return another batch loss."""

    @_replace(module.BaseMultilayerPerceptron, "_backprop")
    def backprop(old: Callable, self: Any, X: Any, y: Any, sample_weight: Any, *rest: Any) -> tuple:
        loss, *grads = old(self, X, y, sample_weight, *rest)
        return (change(self, loss, X, y, sample_weight), *grads)


def _penalty(self: Any, X: Any, sample_weight: Any) -> float:
    total = sum(float(np.sum(np.square(w))) for w in self.coefs_)
    return 0.5 * self.alpha * total / (X.shape[0] if sample_weight is None else sample_weight.sum())


@defect("The penalty is missing from the loss.", "hand-weight_l2", "hand-last_batch_of_one", "hand-lbfgs_weights")
def l2_missing_in_loss(module: ModuleType) -> None:
    _change_loss(module, lambda self, loss, X, y, w: loss - _penalty(self, X, w))


@defect("The penalty in the loss lacks the factor one half.", "hand-weight_l2", "hand-lbfgs_weights")
def l2_doubled_in_loss(module: ModuleType) -> None:
    _change_loss(module, lambda self, loss, X, y, w: loss + _penalty(self, X, w))


@defect("With weights, the penalty is divided by the number of rows instead of their weight.", "hand-weight_l2")
def l2_by_count(module: ModuleType) -> None:
    def change(self: Any, loss: float, X: Any, y: Any, w: Any) -> float:
        return loss - _penalty(self, X, w) + _penalty(self, X, None)

    _change_loss(module, change)


@defect("Sample weights are normalised to a mean of one.", "hand-weight_l2", "hand-weight_scalar")
def weights_normalised(module: ModuleType) -> None:
    @_replace(module, "_check_sample_weight")
    def check(old: Callable, sample_weight: Any, X: Any, **options: Any) -> np.ndarray:
        w = old(sample_weight, X, **options)
        return w / w.mean()


@defect("The reported loss ignores the sample weights, while the gradient has them.", "hand-auto_batches_weighted")
def loss_ignores_weights(module: ModuleType) -> None:
    for name, loss in list(module.LOSS_FUNCTIONS.items()):
        module.LOSS_FUNCTIONS[name] = lambda y, p, w=None, loss=loss: loss(y, p, None)


@defect("Probabilities are not clipped in the loss.", "hand-saturated_binary", "hand-saturated_multilabel_f32",
        "hand-saturated_lbfgs")  # fmt: skip
def clip_missing(module: ModuleType) -> None:
    def loss(y: np.ndarray, p: np.ndarray, w: Any = None) -> float:
        terms = xlogy(y, p) + (xlogy(1 - y, 1 - p) if p.shape[1] == 1 else 0.0)
        return -np.average(terms, weights=w, axis=0).sum()

    def binary(y: np.ndarray, p: np.ndarray, w: Any = None) -> float:
        return -np.average(xlogy(y, p) + xlogy(1 - y, 1 - p), weights=w, axis=0).sum()

    module.LOSS_FUNCTIONS.update(log_loss=loss, binary_log_loss=binary)


@defect("Probabilities of float32 are clipped at the epsilon of float64.", "hand-saturated_multilabel_f32")
def clip_of_double(module: ModuleType) -> None:
    for name in ("log_loss", "binary_log_loss"):
        loss = module.LOSS_FUNCTIONS[name]
        module.LOSS_FUNCTIONS[name] = lambda y, p, w=None, loss=loss: loss(y, p.astype(float), w)


@defect("The derivative of ReLU at a pre-activation of exactly 0 is 1.", "relu_at_zero-sgd", "relu_at_zero-adam")
def relu_derivative_at_zero(module: ModuleType) -> None:
    at_zero: dict[tuple, np.ndarray] = {}
    forward, derivative = module.ACTIVATIONS["relu"], module.DERIVATIVES["relu"]

    def relu(X: np.ndarray) -> None:
        at_zero[X.shape] = X == 0
        forward(X)

    def backward(Z: np.ndarray, delta: np.ndarray) -> None:
        kept = delta.copy()
        derivative(Z, delta)
        np.copyto(delta, kept, where=at_zero[Z.shape])

    module.ACTIVATIONS["relu"], module.DERIVATIVES["relu"] = relu, backward


@defect("The gradient of the multi-output squared loss is averaged over outputs, as its value is.", "hand-sizes_array")
def multi_output_gradient_averaged(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_backprop")
    def backprop(old: Callable, self: Any, X: Any, y: Any, *rest: Any) -> tuple:
        if is_classifier(self) or self.n_outputs_ == 1:
            return old(self, X, y, *rest)
        alpha, k = self.alpha, self.n_outputs_
        self.alpha = alpha * k
        try:
            loss, cg, ig = old(self, X, y, *rest)
        finally:
            self.alpha = alpha
        weight = X.shape[0] if rest[0] is None else rest[0].sum()
        loss -= 0.5 * alpha * (k - 1) * sum(float(np.sum(np.square(w))) for w in self.coefs_) / weight
        return loss, [g / k for g in cg], [g / k for g in ig]


@defect("The multi-output squared loss is summed over outputs, not averaged.", "hand-sizes_array", "hand-lbfgs_weights")
def multi_output_loss_summed(module: ModuleType) -> None:
    loss = module.LOSS_FUNCTIONS["squared_error"]
    module.LOSS_FUNCTIONS["squared_error"] = lambda y, p, w=None: loss(y, p, w) * y.shape[1]


@defect("The poisson loss lacks the terms that depend on the targets alone.", "hand-poisson_two_outputs",
        also=_uses(loss="poisson"))  # fmt: skip
def poisson_constant_missing(module: ModuleType) -> None:
    module.LOSS_FUNCTIONS["poisson"] = lambda y, p, w=None: np.average(p - xlogy(y, p), weights=w, axis=0).sum()


@defect("The last, smaller batch counts like the others in the epoch's loss.", "hand-auto_batches",
        "hand-last_batch_of_one")  # fmt: skip
def last_batch_unweighted(module: ModuleType) -> None:
    now: dict[str, float] = {}

    @_replace(module, "gen_batches")
    def batches(old: Callable, n: int, batch_size: int) -> Iterator[slice]:
        made = list(old(n, batch_size))
        now["mean"] = n / len(made)
        return iter(made)

    def change(self: Any, loss: float, X: Any, y: Any, w: Any) -> float:
        return loss * now["mean"] / X.shape[0] if now else loss

    _change_loss(module, change)


@defect("The softmax does not subtract the row's maximum.", "hand-saturated_multiclass")
def softmax_overflows(module: ModuleType) -> None:
    def softmax(X: np.ndarray) -> None:
        np.exp(X, out=X)
        X /= X.sum(axis=1, keepdims=True)

    module.ACTIVATIONS["softmax"] = softmax


@defect("float32 data is trained in float64.", "hand-weight_float32_f32", "predictions_by_dtype-single-float32")
def float32_in_double(module: ModuleType) -> None:
    @_replace(module, "validate_data")
    def validate(old: Callable, estimator: Any, *args: Any, **options: Any) -> Any:
        if "dtype" in options:
            options["dtype"] = np.float64
        return old(estimator, *args, **options)


# ---------------------------------------------------------------------------------------------------------------------
# Random numbers
# ---------------------------------------------------------------------------------------------------------------------


@defect("Weights for logistic units are drawn within the bound for the others.", "hand-logistic",
        also=_uses(activation="logistic"))  # fmt: skip
def logistic_bound(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_init_coef")
    def init(old: Callable, self: Any, *args: Any) -> tuple:
        kept, self.activation = self.activation, "relu"
        try:
            return old(self, *args)
        finally:
            self.activation = kept


@defect("Biases start at zero; their numbers are not drawn.", "hand-draws_shared_state", "hand-defaults_regressor")
def biases_start_at_zero(module: ModuleType) -> None:
    def init(self: Any, fan_in: int, fan_out: int, dtype: Any) -> tuple:
        bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / (fan_in + fan_out))
        W = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
        return W.astype(dtype, copy=False), np.zeros(fan_out, dtype=dtype)

    module.BaseMultilayerPerceptron._init_coef = init


@defect("A layer's biases are drawn before its weights.", "hand-defaults_regressor", "hand-defaults_classifier")
def biases_drawn_first(module: ModuleType) -> None:
    def init(self: Any, fan_in: int, fan_out: int, dtype: Any) -> tuple:
        bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / (fan_in + fan_out))
        b = self._random_state.uniform(-bound, bound, fan_out)
        W = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
        return W.astype(dtype, copy=False), b.astype(dtype, copy=False)

    module.BaseMultilayerPerceptron._init_coef = init


@defect("Each epoch shuffles the original order, not the last one.", "hand-order_is_cumulative")
def shuffle_not_cumulative(module: ModuleType) -> None:
    @_replace(module, "shuffle")
    def shuffle(old: Callable, rows: np.ndarray, *, random_state: Any) -> np.ndarray:
        return old(np.arange(len(rows)), random_state=random_state)


@defect("A shuffle is drawn, and not used, with shuffle=False.", "hand-draws_none_without_shuffle")
def shuffle_drawn_when_off(module: ModuleType) -> None:
    states: list[Any] = []

    @_replace(module, "check_random_state")
    def check(old: Callable, seed: Any) -> Any:
        states[:] = [old(seed)]
        return states[0]

    @_replace(module, "gen_batches")
    def batches(old: Callable, n: int, batch_size: int) -> Any:
        # Called once an epoch; drawing in shuffled fits as well would be another defect.
        if not module.shuffling:
            states[0].permutation(n)
        return old(n, batch_size)

    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        module.shuffling = self.shuffle
        old(self, *args)


@defect("The split of early stopping is stratified for several classes, too.", "hand-early_stopping_unbalanced",
        "hand-early_stopping_rare_class")  # fmt: skip
def multiclass_split_stratified(module: ModuleType) -> None:
    @_replace(module, "train_test_split")
    def split(old: Callable, X: Any, y: np.ndarray, *rest: Any, stratify: Any = None, **options: Any) -> list:
        if y.dtype == bool and y.shape[1] > 1 and (y.sum(axis=1) == 1).all():
            stratify = y.argmax(axis=1)
        return old(X, y, *rest, stratify=stratify, **options)


@defect("The split of early stopping is not stratified for two classes.", "hand-early_stopping_weighted",
        "hand-equal_scores", "fail-split_rare_class")  # fmt: skip
def binary_split_plain(module: ModuleType) -> None:
    @_replace(module, "train_test_split")
    def split(old: Callable, *arrays: Any, **options: Any) -> list:
        return old(*arrays, **{**options, "stratify": None})


@defect("The split of early stopping has a random state of its own.", "hand-warm_early_stopping", "hand-equal_scores")
def split_seeded_apart(module: ModuleType) -> None:
    @_replace(module, "train_test_split")
    def split(old: Callable, *arrays: Any, **options: Any) -> list:
        return old(*arrays, **{**options, "random_state": 0})


@defect("An integer seed is turned into a generator once, at the first call, not at each.",
        "partial_fit_series-single-sgd-int", "warm_refits-multi-adam-int")  # fmt: skip
def seeded_once(module: ModuleType) -> None:
    kept: dict[int, Any] = {}

    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        given = self.random_state
        if isinstance(given, (int, np.integer)):
            kept.setdefault(id(self), check_random_state(given))
            self.random_state = kept[id(self)]
        try:
            return old(self, *args, **kwargs)
        finally:
            self.random_state = given


# ---------------------------------------------------------------------------------------------------------------------
# Stopping
# ---------------------------------------------------------------------------------------------------------------------


class _Reached(int):
    """A number that is exceeded as soon as it is reached."""

    def __lt__(self, other: Any) -> bool:
        return int(self) <= other


@defect("Training stops when the count reaches n_iter_no_change, not when it exceeds it.", "hand-count_exceeds",
        "hand-stops_at_max_iter")  # fmt: skip
def stops_at_equality(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        kept = self.n_iter_no_change
        if np.isfinite(kept):
            self.n_iter_no_change = _Reached(kept)
        try:
            old(self, *args)
        finally:
            self.n_iter_no_change = kept


def _watch(module: ModuleType, after: Callable[..., None]) -> None:
    """Let `after(self, before, early_stopping)` correct the bookkeeping; `before` is the state it started from."""

    @_replace(module.BaseMultilayerPerceptron, "_update_no_improvement_count")
    def update(old: Callable, self: Any, early_stopping: bool, *args: Any) -> None:
        before = dict(vars(self))
        old(self, early_stopping, *args)
        after(self, before, early_stopping)


@defect(
    "A loss equal to the best minus tol counts as no improvement (>= for >).", "hand-standstill", "hand-standstill_adam"
)
def equal_loss_is_no_improvement(module: ModuleType) -> None:
    def after(self: Any, before: dict, early_stopping: bool) -> None:
        if not early_stopping and self.loss_curve_[-1] == before["best_loss_"] - self.tol:
            self._no_improvement_count = before["_no_improvement_count"] + 1

    _watch(module, after)


@defect("A score equal to the best plus tol counts as no improvement (<= for <).", "hand-standstill_scores",
        "hand-equal_scores")  # fmt: skip
def equal_score_is_no_improvement(module: ModuleType) -> None:
    def after(self: Any, before: dict, early_stopping: bool) -> None:
        if early_stopping and self.validation_scores_[-1] == before["best_validation_score_"] + self.tol:
            self._no_improvement_count = before["_no_improvement_count"] + 1

    _watch(module, after)


@defect("`best_loss_` moves only when the loss improves by more than tol.", "hand-count_exceeds", "hand-warm_counts")
def best_loss_needs_tol(module: ModuleType) -> None:
    def after(self: Any, before: dict, early_stopping: bool) -> None:
        if not early_stopping and self.loss_curve_[-1] > before["best_loss_"] - self.tol:
            self.best_loss_ = before["best_loss_"]

    _watch(module, after)


@defect("Improvement is measured against the epoch before, not against the best.", "hand-loss_goes_up_and_down")
def compares_with_the_last(module: ModuleType) -> None:
    def after(self: Any, before: dict, early_stopping: bool) -> None:
        curve = self.validation_scores_ if early_stopping else self.loss_curve_
        if len(curve) > 1:
            worse = curve[-1] < curve[-2] + self.tol if early_stopping else curve[-1] > curve[-2] - self.tol
            self._no_improvement_count = before["_no_improvement_count"] + 1 if worse else 0

    _watch(module, after)


@defect("An equal score takes over the best weights: the last of several best epochs wins.", "hand-equal_scores",
        "hand-standstill_scores", "hand-warm_early_stopping")  # fmt: skip
def last_best_wins(module: ModuleType) -> None:
    def after(self: Any, before: dict, early_stopping: bool) -> None:
        if early_stopping and self.validation_scores_[-1] == self.best_validation_score_:
            self._best_coefs = [w.copy() for w in self.coefs_]
            self._best_intercepts = [b.copy() for b in self.intercepts_]

    _watch(module, after)


@defect(
    "The best weights do not come back after early stopping.", "hand-early_stopping_overshoots", "hand-equal_scores"
)
def best_weights_not_restored(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        coefs, intercepts = self.coefs_, self.intercepts_
        old(self, *args)
        self.coefs_, self.intercepts_ = coefs, intercepts


@defect("After early stopping `coefs_` is a copy of the best weights, so a warm start does not train them.",
        "warm_after_early_stopping-multiclass", "warm_after_early_stopping-single")  # fmt: skip
def best_weights_copied(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        old(self, *args)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = [w.copy() for w in self.coefs_], [b.copy() for b in self.intercepts_]


@defect("The validation score ignores the sample weights.", "hand-early_stopping_weighted",
        "hand-early_stopping_weighted_r2")  # fmt: skip
def score_unweighted(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_score_with_function")
    def score(old: Callable, self: Any, X: Any, y: Any, sample_weight: Any, score_function: Callable) -> float:
        return old(self, X, y, sample_weight=None, score_function=score_function)


@defect("The validation score of several labels is the share of single labels that are right.",
        "hand-early_stopping_multilabel")  # fmt: skip
def score_by_label(module: ModuleType) -> None:
    @_replace(module, "accuracy_score")
    def score(old: Callable, y: Any, predicted: Any, sample_weight: Any = None) -> float:
        if np.ndim(y) == 1:
            return old(y, predicted, sample_weight=sample_weight)
        return accuracy_score(np.ravel(y), np.ravel(predicted))


@defect("A prediction that is not finite scores minus infinity instead of NaN.", "hand-overflow_early_stopping")
def score_of_nan(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_score_with_function")
    def score(old: Callable, *args: Any, **kwargs: Any) -> float:
        value = old(*args, **kwargs)
        return -np.inf if np.isnan(value) else value


# ---------------------------------------------------------------------------------------------------------------------
# State
# ---------------------------------------------------------------------------------------------------------------------


@defect(
    "`n_iter_` goes on counting in a warm start and in partial_fit.", "warm_refits-multi-adam-int", "hand-warm_counts"
)
def n_iter_not_reset(module: ModuleType) -> None:
    def set_n_iter(self: Any, value: int) -> None:
        if value == 0 and getattr(self, "coefs_", None) is not None and "n_iter_" in self.__dict__ and self.warm_start:
            self.__dict__["offset"] = self.__dict__["n_iter_"]
            return
        self.__dict__["n_iter_"] = value

    module.BaseMultilayerPerceptron.n_iter_ = property(lambda self: self.__dict__["n_iter_"], set_n_iter)


def _before_warm_fit(module: ModuleType, change: Callable[[Any], None]) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.warm_start and hasattr(self, "coefs_"):
            change(self)
        return old(self, *args, **kwargs)


@defect("A warm start begins the count of epochs without improvement anew.", "hand-warm_counts")
def warm_start_resets_count(module: ModuleType) -> None:
    _before_warm_fit(module, lambda self: setattr(self, "_no_improvement_count", 0))


@defect("A warm start begins a new loss curve.", "hand-warm_counts", "warm_refits-multi-adam-int")
def warm_start_resets_curve(module: ModuleType) -> None:
    _before_warm_fit(module, lambda self: setattr(self, "loss_curve_", []))


@defect("A warm start begins `t_` anew.", "hand-warm_invscaling", "hand-warm_counts")
def warm_start_resets_t(module: ModuleType) -> None:
    _before_warm_fit(module, lambda self: setattr(self, "t_", 0))


@defect("A warm start forgets the best loss.", "hand-warm_counts")
def warm_start_resets_best_loss(module: ModuleType) -> None:
    _before_warm_fit(module, lambda self: setattr(self, "best_loss_", np.inf))


@defect("Training works on copies, and leaves the arrays that the user put in as they were.",
        "replaced_arrays-multi-sgd", "hand_made_before_partial_fit-sgd")  # fmt: skip
def trains_copies(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        self.coefs_, self.intercepts_ = [w.copy() for w in self.coefs_], [b.copy() for b in self.intercepts_]
        old(self, *args)


@defect("A fresh fit of the same shapes writes into the arrays of the last one.", "cold_refits-multi-sgd")
def refit_overwrites(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_initialize")
    def initialize(old: Callable, self: Any, *args: Any) -> None:
        held = getattr(self, "coefs_", [])
        old(self, *args)
        for mine in held:
            mine.fill(7.0)


@defect("Copies and pickles lose the solver's state.", "copied_in_training-pickle-single-adam",
        "copied_in_training-deepcopy-multiclass-sgd")  # fmt: skip
def pickles_lose_the_solver(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "__getstate__")
    def getstate(old: Callable, self: Any) -> dict:
        return {key: value for key, value in old(self).items() if key != "_optimizer"}


@defect("The hidden activation of the fit is kept: set_params does not change predictions.",
        "activation_is_read_when_predicting")  # fmt: skip
def activation_frozen(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        self._frozen = self.activation
        return old(self, *args, **kwargs)

    @_replace(module.BaseMultilayerPerceptron, "_forward_pass_fast")
    def forward(old: Callable, self: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        kept, self.activation = self.activation, getattr(self, "_frozen", self.activation)
        try:
            return old(self, *args, **kwargs)
        finally:
            self.activation = kept


@defect("partial_fit refuses no label that `classes` did not name.", "partial_fit_classes")
def unknown_labels_accepted(module: ModuleType) -> None:
    @_replace(module, "unique_labels")
    def labels(old: Callable, y: Any) -> np.ndarray:
        found = old(y)
        return found[found < 0] if found.dtype.kind in "iu" else found


@defect("Ctrl-C ends training without the warning.", "interrupted_fit-multi-sgd-3", "interrupted_partial_fit-single")
def interrupt_without_warning(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_stochastic")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        warn = module.warnings.warn

        class Quiet:
            @staticmethod
            def warn(message: str, *rest: Any, **options: Any) -> None:
                if "interrupted" not in message:
                    warn(message, *rest, **options)

        kept, module.warnings = module.warnings, Quiet
        try:
            old(self, *args)
        finally:
            module.warnings = kept


@defect("Ctrl-C with lbfgs is swallowed.", "interrupted_lbfgs-4")
def interrupt_swallowed_by_lbfgs(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_lbfgs")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        try:
            old(self, *args)
        except KeyboardInterrupt:
            self.n_iter_, self.loss_ = 0, np.inf


# ---------------------------------------------------------------------------------------------------------------------
# What the caller sees
# ---------------------------------------------------------------------------------------------------------------------


def _mute(module: ModuleType, text: str) -> None:
    warn = module.warnings.warn

    class Muted:
        @staticmethod
        def warn(message: str, *rest: Any, **options: Any) -> None:
            if text not in message:
                warn(message, *rest, **options)

    module.warnings = Muted


@defect("No warning when max_iter is reached.", "hand-order_is_cumulative", "hand-defaults_classifier")
def convergence_unmentioned(module: ModuleType) -> None:
    _mute(module, "Maximum iterations")


@defect("No warning when the batch is larger than the data.", also=_uses(batch_size=1000))
def clipped_batch_unmentioned(module: ModuleType) -> None:
    _mute(module, "batch_size")


@defect("No warning when y is a column.", "hand-y_column_regressor", "hand-y_column_classifier")
def column_unmentioned(module: ModuleType) -> None:
    @_replace(module, "column_or_1d")
    def column(old: Callable, y: Any, **options: Any) -> np.ndarray:
        return old(y, **{**options, "warn": False})


@defect("The verbose line numbers epochs from 0.", "hand-verbose_number", "hand-count_exceeds")
def verbose_from_zero(module: ModuleType) -> None:
    def shifted(*args: Any) -> None:
        text = " ".join(map(str, args))
        if text.startswith("Iteration "):
            number, rest = text.removeprefix("Iteration ").split(",", 1)
            text = f"Iteration {int(number) - 1},{rest}"
        print(text)

    module.print = shifted


@defect("Fitted estimators have one public attribute more.", "hand-defaults_classifier")
def extra_attribute(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        self.history_ = []
        return old(self, *args, **kwargs)


@defect("`loss_curve_` is an array, not a list.", "hand-defaults_classifier")
def curve_is_an_array(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        old(self, *args, **kwargs)
        if hasattr(self, "loss_curve_"):
            self.loss_curve_ = np.array(self.loss_curve_)
        return self


@defect("Predictions have the dtype of the model, whatever the rows'.", "predictions_by_dtype-single-float32")
def predictions_in_the_dtype_of_the_model(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_forward_pass_fast")
    def forward(old: Callable, self: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        return old(self, *args, **kwargs).astype(self.coefs_[0].dtype, copy=False)


@defect("lbfgs ignores max_fun.", "hand-lbfgs_one_evaluation")
def max_fun_ignored(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_lbfgs")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        kept, self.max_fun = self.max_fun, 15000
        try:
            old(self, *args)
        finally:
            self.max_fun = kept


@defect("lbfgs: tol is not handed to SciPy.", also=_uses(solver="lbfgs", tol=1e-2))
def lbfgs_ignores_tol(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit_lbfgs")
    def fit(old: Callable, self: Any, *args: Any) -> None:
        kept, self.tol = self.tol, 1e-5
        try:
            old(self, *args)
        finally:
            self.tol = kept


@defect("lbfgs starts from weights that are rounded to float32.", "hand-lbfgs_weights")
def lbfgs_starts_rounded(module: ModuleType) -> None:
    @_replace(module, "_pack")
    def pack(old: Callable, *args: Any) -> np.ndarray:
        return old(*args).astype(np.float32).astype(float)


@defect("A probability of exactly one half is predicted as the positive class.", "ties-binary", "ties-multilabel")
def half_is_positive(module: ModuleType) -> None:
    @_replace(module.MLPClassifier, "_predict")
    def predict(old: Callable, self: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        forward = self._forward_pass_fast
        if self.out_activation_ == "logistic":
            self._forward_pass_fast = lambda *a, **k: np.nextafter(forward(*a, **k), 1.0)
        try:
            return old(self, *args, **kwargs)
        finally:
            self.__dict__.pop("_forward_pass_fast", None)


@defect("A matrix with unsorted or repeated indices is read as if they were in order.", "hand-X_duplicate_entries")
def repeated_entries_overwrite(module: ModuleType) -> None:
    @_replace(module, "validate_data")
    def validate(old: Callable, estimator: Any, X: Any, *args: Any, **options: Any) -> Any:
        if getattr(X, "format", None) == "csr" and not X.has_canonical_format:
            dense = np.zeros(X.shape, dtype=X.dtype)
            rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            dense[rows, X.indices] = X.data
            X = type(X)(dense)
        return old(estimator, X, *args, **options)


@defect("Invalid parameters are reported as they are used, not before.", "fail-param_beta_1", "fail-param_momentum")
def parameters_unchecked(module: ModuleType) -> None:
    constraints = {"beta_1", "beta_2", "momentum", "tol", "validation_fraction"}
    module.BaseMultilayerPerceptron._parameter_constraints = {
        key: value
        for key, value in module.BaseMultilayerPerceptron._parameter_constraints.items()
        if key not in constraints
    }
    module.MLPRegressor._parameter_constraints = {
        key: value for key, value in module.MLPRegressor._parameter_constraints.items() if key not in constraints
    }


@defect(
    "A failing fit raises the right error with other words.", "fail-weight_short", "fail-X_nan", "fail-split_too_small"
)
def other_words(module: ModuleType) -> None:
    @_replace(module.BaseMultilayerPerceptron, "_fit")
    def fit(old: Callable, self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return old(self, *args, **kwargs)
        except ValueError as error:
            raise ValueError(f"fit failed: {error}") from error


# ---------------------------------------------------------------------------------------------------------------------
# Who sees them
# ---------------------------------------------------------------------------------------------------------------------


def witnesses(which: Defect) -> Iterator[str]:
    """Yield the ids that should see a defect, the ones made for it first."""
    yield from which.seen_by
    if which.also is not None:
        found = [case for case in cases.array_cases() if which.also(case)]
        yield from (case.id for case in sorted(found, key=lambda case: case.runs_to_stop))


def findings(witness: str, library: Library) -> list[compare.Difference]:
    """Run a case or sequence by its id on a library that has a defect and return the differences."""
    if witness in {which.id for which in sequences.SEQUENCES}:
        return sequences.compare(sequences.by_id(witness), library).differences
    case = cases.by_id(witness)
    return compare.differences(case, library, spread.load().get(case.id))


def first_seen(which: Defect, library: Library) -> tuple[str, compare.Difference] | None:
    """Return the first witness that sees a defect with what it saw, or None."""
    for witness in witnesses(which):
        found = findings(witness, library)
        if found:
            return witness, found[0]
    return None


def main() -> None:
    """Print for every defect who sees it."""
    everything = "--all" in sys.argv
    short = [case for case in cases.all_cases() if not case.runs_to_stop and case.container != "frame"]
    series = [which for which in sequences.SEQUENCES if not which.id.startswith("feature_names")]
    for which in DEFECTS:
        library = which.library()
        if not everything:
            seen = first_seen(which, library)
            print(f"{which.name}: " + (f"{seen[0]}: {str(seen[1])[:200]}" if seen else "NOT SEEN"), flush=True)
            continue
        seen_in: Counter[str] = Counter()
        for case in short:
            seen_in[case.group] += bool(compare.differences(case, library))
        for other in series:
            seen_in["sequences"] += bool(sequences.compare(other, library).differences)
        total = len(short) + len(series)
        print(f"{which.name}: {seen_in.total()} of {total}: {dict(seen_in)}", flush=True)


if __name__ == "__main__":
    main()
