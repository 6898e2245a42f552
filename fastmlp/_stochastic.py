"""The epoch loop of the estimators: validation split, schedules, stopping rules, messages and callbacks.

The rules, and the moments at which random numbers are drawn, are those of scikit-learn's MLP; the arithmetic is a
`Trainer`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from fastmlp._held import Noted
from fastmlp._sklearn import warn
from fastmlp.backends import NO_LOSSES, Backend, Data, EpochLosses, Plan
from fastmlp.layout import Layout, aligned_zeros
from fastmlp.solvers import SolverState
from fastmlp.spec import NetworkSpec
from fastmlp.training import DEFAULT_BATCH_SIZE, draw_key

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP
    from fastmlp._weights import Weights

_SMALLEST_RATE = 1e-6
"""At this learning rate the adaptive schedule stops instead of dividing again."""

_MOST_AT_ONCE = 1000
"""Epochs that run without a return to Python."""


class Optimizer:
    """What `partial_fit` and `warm_start` keep of a solver, under the names of scikit-learn's optimizers.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its hyperparameters are read now and not again.
    weights : Weights

    Attributes
    ----------
    learning_rate_init, learning_rate : float
        With sgd the rate of the next step; with adam that of the last one, bias corrections included.
    lr_schedule, momentum, nesterov, power_t : sgd
    beta_1, beta_2, epsilon : adam
    velocities : list of ndarray
        (sgd) The moments of all coefs, then of all intercepts: views into the solver's vector.
    ms, vs, t : list of ndarray, list of ndarray, int
        (adam) The same, and the number of steps taken.
    """

    def __init__(self, estimator: BaseMLP, weights: Weights) -> None:
        self.learning_rate_init = estimator.learning_rate_init
        self.learning_rate = float(estimator.learning_rate_init)
        if estimator.solver == "sgd":
            self.lr_schedule = estimator.learning_rate
            self.momentum = estimator.momentum
            self.nesterov = estimator.nesterovs_momentum
            self.power_t = estimator.power_t
        else:
            self.beta_1 = estimator.beta_1
            self.beta_2 = estimator.beta_2
            self.epsilon = estimator.epsilon
        self._units = weights.layout.units
        self.state = SolverState.fresh(estimator.solver, weights.layout.n_parameters, weights.vector.dtype)

    def adopt(self, dtype: np.dtype | None = None) -> None:
        """Take copies of the moments, aligned and writable, of another dtype where one is given.

        After loading they may be mapped from a file; weights of another dtype may have been put in.
        """
        for i, moment in enumerate(self.state.moments):
            self.state.moments[i] = aligned_zeros(len(moment), moment.dtype if dtype is None else dtype)
            self.state.moments[i][:] = moment

    def _moment(self, index: int) -> list[np.ndarray]:
        layout, moment = Layout(self._units), self.state.moments[index]
        return layout.coefs(moment) + layout.intercepts(moment)

    @property
    def velocities(self) -> list[np.ndarray]:
        """The velocities of sgd."""
        self._require("sgd", "velocities")
        return self._moment(0)

    @property
    def ms(self) -> list[np.ndarray]:
        """The first moments of adam."""
        self._require("adam", "ms")
        return self._moment(0)

    @property
    def vs(self) -> list[np.ndarray]:
        """The second moments of adam."""
        self._require("adam", "vs")
        return self._moment(1)

    @property
    def t(self) -> int:
        """The number of steps that adam has taken."""
        self._require("adam", "t")
        return self.state.t

    def _require(self, name: str, attribute: str) -> None:
        if self.state.name != name:
            raise AttributeError(f"The optimizer of solver {self.state.name!r} has no attribute {attribute!r}.")

    def before_epoch(self) -> None:
        """Hand the hyperparameters, which may have been edited, to the solver."""
        hyper = self.state.hyper
        if self.state.name == "sgd":
            hyper.update(learning_rate=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov)
        else:
            hyper.update(
                learning_rate=self.learning_rate_init, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon
            )

    def after_epoch(self) -> None:
        """Show the rate of adam's last step."""
        t = self.state.t
        if self.state.name == "adam" and t > 0:
            self.learning_rate = self.learning_rate_init * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def iteration_ends(self, time_step: int) -> None:
        """Scale the rate by the number of samples seen, for the schedule "invscaling"."""
        if self.state.name == "sgd" and self.lr_schedule == "invscaling":
            self.learning_rate = float(self.learning_rate_init) / (time_step + 1) ** self.power_t

    def trigger_stopping(self, message: str, verbose: bool | int) -> bool:
        """Return whether to stop; the schedule "adaptive" divides the rate by 5 instead, down to its smallest."""
        if self.state.name == "sgd" and self.lr_schedule == "adaptive":
            if self.learning_rate > _SMALLEST_RATE:
                self.learning_rate /= 5.0
                if verbose:
                    print(f"{message} Setting learning rate to {self.learning_rate:f}")
                return False
            message += " Learning rate too small."
        if verbose:
            print(f"{message} Stopping.")
        return True


@dataclass(eq=False)
class Validation:
    """The rows that early stopping scores on."""

    rows: np.ndarray
    X: Any
    targets: np.ndarray
    sample_weight: np.ndarray | None


def split(estimator: BaseMLP, data: Data, stratify: np.ndarray | None) -> tuple[np.ndarray, Validation]:
    """Draw the split of early stopping; return the rows to train on, in order, and the validation part.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    data : Data
    stratify : ndarray of shape (n,) or None
        Codes of two classes, to be found in both parts in equal shares.
    """
    # What scikit-learn's train_test_split does, less the 100 us that it takes to index rows of any kind.
    splitter = ShuffleSplit if stratify is None else StratifiedShuffleSplit
    folds = splitter(1, test_size=estimator.validation_fraction, random_state=estimator._random_state)
    rows = np.empty(data.X.shape[0])  # their number is looked at, nothing else
    with Noted(estimator._random_state._bit_generator.lock):
        try:
            train, held_out = next(folds.split(rows, stratify))
        except ValueError:
            if stratify is None:
                raise
            # Nothing has been drawn yet; scikit-learn's message names the classes as its own binarizer writes them.
            train, held_out = next(folds.split(rows, stratify[:, np.newaxis].astype(bool)))
    if len(held_out) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    weight = None if data.sample_weight is None else data.sample_weight[held_out]
    if weight is not None and not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return train.astype(np.int32), Validation(held_out, data.X[held_out], data.targets[held_out], weight)


def clipped_batch_size(batch_size: int | str, n_samples: int) -> int:
    """Return the rows of a step; warn when `batch_size` is more than there are."""
    if batch_size == "auto":
        return min(DEFAULT_BATCH_SIZE, n_samples)
    if batch_size > n_samples:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(np.clip(batch_size, 1, n_samples))


def fit_stochastic(
    estimator: BaseMLP,
    backend: Backend,
    spec: NetworkSpec,
    weights: Weights,
    data: Data,
    *,
    incremental: bool,
    callbacks: Any,
) -> Callable[[], object]:
    """Train by sgd or adam until a stopping rule holds, ``max_iter`` epochs have passed, or for one epoch.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Hyperparameters are read from it; ``n_iter_``, ``loss_curve_`` and the like are kept up on it.
    backend : Backend
    spec : NetworkSpec
    weights : Weights
        Updated in place.
    data : Data
    incremental : bool
        Whether this is `partial_fit`: one epoch, with the optimizer kept from before.
    callbacks : object with `begins` and `ends`, or None

    Returns
    -------
    callable
        What warns of how training ended, if anything is to be said.
    """
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = Optimizer(estimator, weights)
    elif any(moment.dtype != spec.dtype for moment in estimator._optimizer.state.moments):
        estimator._optimizer.adopt(spec.dtype)
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if not estimator.early_stopping and vars(estimator).get("best_loss_", 0.0) is None:
        raise TypeError(
            "early_stopping must not be switched off for a network that training goes on with: it has no best_loss_."
        )
    key = draw_key(spec, estimator._random_state)
    rows = validation = None
    if estimator.early_stopping:
        rows, validation = split(estimator, data, estimator._stratified_by(data))
        if vars(estimator).get("validation_scores_") is None:
            raise AttributeError(
                "early_stopping must not be switched on for a network that warm_start goes on with: it has no "
                "validation_scores_."
            )
    n_samples = data.X.shape[0] if rows is None else len(rows)
    plan = Plan(
        estimator._optimizer.state,
        clipped_batch_size(estimator.batch_size, n_samples),
        float(estimator.alpha),
        rows,
        bool(estimator.shuffle),
        estimator._random_state,
        key,
    )
    trainer = backend.trainer(spec, weights.vector, data, plan)
    estimator.n_iter_ = 0
    max_iter = 1 if incremental else estimator.max_iter
    loss_scale = estimator._loss_scale()
    alone = validation is not None or callbacks is not None
    warn_of_end: Callable[[], object] = _say_nothing
    printing = False
    trainer.completed = NO_LOSSES  # an interrupt may come before the trainer says so itself
    try:
        while estimator.n_iter_ < max_iter:
            if callbacks is not None:
                callbacks.begins("epoch")
            n_epochs = 1 if alone else min(_quiet_epochs(estimator), max_iter - estimator.n_iter_)
            estimator._optimizer.before_epoch()
            progress = Progress(estimator, estimator.n_iter_)
            trainer.run(n_epochs)
            losses = _reported(trainer.completed, loss_scale)
            progress.note(losses, n_samples)
            if estimator.verbose:
                printing = True
                print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
                printing = False
            if validation is None:
                progress.judge(losses)
            else:
                value = estimator._validation_score(backend, spec, weights, validation)
                progress.note_score(value)
                if estimator.verbose:
                    printing = True
                    print(f"Validation score: {value:f}")
                    printing = False
                progress.judge_score(value, weights)
            trainer.completed = NO_LOSSES
            stopping = epochs_end(estimator, validation is not None)
            if callbacks is not None and callbacks.ends(weights):
                stopping = True
            if stopping:
                break
            if estimator.n_iter_ == estimator.max_iter and not incremental:
                warn_of_end = partial(
                    warn,
                    f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter:d}) reached and the optimization "
                    "hasn't converged yet.",
                    ConvergenceWarning,
                )
    except KeyboardInterrupt:
        estimator._optimizer.after_epoch()
        losses = _reported(trainer.completed, loss_scale)
        if losses:
            progress.note(losses, n_samples)
        # scikit-learn leaves undone what comes after the line that was being printed.
        if losses and not printing:
            if validation is None:
                progress.judge(losses)
            else:
                value = estimator._validation_score(backend, spec, weights, validation)
                progress.note_score(value)
                progress.judge_score(value, weights)
        warn_of_end = partial(warn, "Training interrupted by user.")
    if estimator.early_stopping:
        estimator.coefs_ = estimator._best_coefs
        estimator.intercepts_ = estimator._best_intercepts
    return warn_of_end


def _say_nothing() -> None:
    """Stand for a warning where there is nothing to warn of."""


def _quiet_epochs(estimator: BaseMLP) -> int:
    """Return how many epochs may run at once: nothing is to be done after one but to note its loss.

    Each epoch adds at most 1 to the count of those without improvement, so that none but the last can end training.
    """
    optimizer = estimator._optimizer
    if estimator.verbose or (optimizer.state.name == "sgd" and optimizer.lr_schedule == "invscaling"):
        return 1
    # A fit by "lbfgs" leaves none; nor a loss_curve_, which an epoch will ask for.
    quiet = vars(estimator).get("_no_improvement_count", 0)
    most = float(estimator.n_iter_no_change) - quiet + 1
    return int(max(1, min(most, _MOST_AT_ONCE)))


class Progress:
    """What an estimator says of its training so far, from which the next epochs are noted.

    That may be done again: an interrupt may have come in between.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    n_iter : int
        Epochs of this call so far.
    """

    __slots__ = ("_best", "_best_score", "_curve", "_estimator", "_length", "_n_iter", "_n_scores", "_quiet", "_t")

    def __init__(self, estimator: BaseMLP, n_iter: int) -> None:
        self._estimator, self._curve = estimator, estimator.loss_curve_
        self._length, self._n_iter, self._t = len(self._curve), n_iter, estimator.t_
        self._best, self._quiet = estimator.best_loss_, estimator._no_improvement_count
        if estimator.early_stopping:
            self._best_score, self._n_scores = estimator.best_validation_score_, len(estimator.validation_scores_)

    def note(self, losses: list[float], n_samples: int) -> None:
        """Note the losses of epochs over `n_samples` rows, one or more, in place of those noted from here before."""
        estimator, n = self._estimator, len(losses)
        estimator._optimizer.after_epoch()
        estimator.n_iter_ = self._n_iter + n
        estimator.loss_ = losses[-1]
        estimator.t_ = self._t + n * n_samples
        extend_from(self._curve, self._length, losses)

    def judge(self, losses: list[float]) -> None:
        """Note whether they were improvements, likewise."""
        best, quiet, tol = self._best, self._quiet, self._estimator.tol
        for loss in losses:
            best, quiet = judge(loss, best, quiet, tol)
        self._estimator.best_loss_, self._estimator._no_improvement_count = best, quiet

    def note_score(self, score: float) -> None:
        """Note the validation score of an epoch, likewise."""
        extend_from(self._estimator.validation_scores_, self._n_scores, [score])

    def judge_score(self, score: float, weights: Weights) -> None:
        """Note whether it was an improvement, and keep the weights where it is the best, likewise."""
        estimator, best = self._estimator, self._best_score
        estimator._no_improvement_count = self._quiet + 1 if score < best + estimator.tol else 0
        if score > best:
            estimator.best_validation_score_ = score
            estimator._keep_best(weights)


def extend_from(curve: Any, length: int, losses: list[float]) -> None:
    """Put losses in the place of what follows the first `length` numbers of a list, or of another such container."""
    while len(curve) > length:
        curve.pop()
    if type(curve) is list:
        curve.extend(losses)
        return
    for loss in losses:  # one by one, as scikit-learn does: somebody may be listening
        curve.append(loss)


def _reported(completed: EpochLosses, loss_scale: float) -> list[float]:
    return [data * loss_scale + l2 for data, l2 in zip(*completed, strict=True)]


def judge(loss: float, best: float, quiet: int, tol: float) -> tuple[float, int]:
    """Return the best loss so far, and how many epochs in a row were no improvement."""
    # Comparisons are scikit-learn's: NaN counts as an improvement, and is never the best.
    quiet = quiet + 1 if loss > best - tol else 0
    return (loss if loss < best else best), quiet


def epochs_end(estimator: BaseMLP, scored: bool) -> bool:
    """Return whether training is to stop after these epochs."""
    estimator._optimizer.iteration_ends(estimator.t_)
    if estimator._no_improvement_count <= estimator.n_iter_no_change:
        return False
    what = "Validation score" if scored else "Training loss"
    stopping = estimator._optimizer.trigger_stopping(
        f"{what} did not improve more than tol={estimator.tol:f} for {int(estimator.n_iter_no_change)} consecutive "
        "epochs.",
        estimator.verbose,
    )
    if not stopping:
        estimator._no_improvement_count = 0
    return stopping
