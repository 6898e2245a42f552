"""The short path into `partial_fit`: the same epoch, with everything but the rows kept from call to call.

A call that went the long way binds what it used: parameters, solver, trainer. The next one makes sure that nothing of
this has changed and that X and y are plain, and then does what the long way would do: seed, train, note the loss. It
returns False, with nothing done, where something is otherwise; the long way then converts, warns or raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _labels, _stochastic
from fastmlp._given import is_plain_kind, plain_rows, plain_targets
from fastmlp._short import ODD, is_ordinary, setting
from fastmlp._sklearn import warn
from fastmlp._snapshot import Snapshot
from fastmlp._threads import threads
from fastmlp._validation import as_real
from fastmlp.backends import Backend, Plan, has_own_shuffle
from fastmlp.spec import NetworkSpec
from fastmlp.training import DEFAULT_BATCH_SIZE

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP
    from fastmlp._weights import Weights

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)

_MOST_ROWS = 4096
"""The largest X for the short path: beyond it the long way costs nothing that shows."""
_MOST_NUMBERS = 1 << 20
"""Elements of X that room is kept for, at most."""
_SHORT = 5e7
"""Work of an epoch that C runs in one go: half of WORK_BUDGET of training.c, by whose count it goes."""
_WATCHED = (
    "activation",
    "alpha",
    "backend",
    "batch_size",
    "coefs_",
    "dtype",
    "early_stopping",
    "hidden_layer_sizes",
    "intercepts_",
    "loss",
    "n_features_in_",
    "n_iter_no_change",
    "n_outputs_",
    "n_threads",
    "out_activation_",
    "random_state",
    "shuffle",
    "solver",
    "tol",
    "verbose",
    "warm_start",
    "_optimizer",
)
"""Attributes that an epoch depends on, and that are not read anew."""
_watched = itemgetter(*_WATCHED)

_LONG_WAY = (
    "_as_data",
    "_fit",
    "_fit_or_raise",
    "_loss_scale",
    "_present_weights",
    "_run_stochastic",
    "_network_spec",
    "_validate_input",
    "__sklearn_tags__",
)
"""A subclass that has one of these for itself always goes the long way."""


class Increment:
    """A bound `partial_fit`.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Not kept.
    spec : NetworkSpec
    weights : Weights
    backend : Backend
    """

    def __init__(self, estimator: BaseMLP, spec: NetworkSpec, weights: Weights, backend: Backend) -> None:
        attributes = vars(estimator)
        self._weights, self._dtype, self._width = weights, spec.dtype, spec.units[0]
        self._n_outputs, self._loss_scale = spec.units[-1], estimator._loss_scale()
        self._own = spec.own
        n_parameters = weights.layout.n_parameters
        self._step_work, self._row_work = 2000 + 10 * n_parameters, 6 * n_parameters + 90 * sum(spec.units[1:])
        coefs, intercepts = weights.lists()
        self._state = _watched({**attributes, "coefs_": coefs, "intercepts_": intercepts})
        self._single = any(array.size == 1 for array in coefs + intercepts)
        self._setting, self._threads = setting(), threads(estimator.n_threads)
        self._optimizer, self._batch_size = estimator._optimizer, estimator.batch_size
        self._solver = estimator._optimizer.state
        self._moments = list(self._solver.moments)
        self._random_state, seed = estimator._random_state, estimator.random_state
        self._bit_generator = self._random_state._bit_generator
        self._seed = None if seed is None or seed is self._random_state else seed
        self._binarizer, self._classes = attributes.get("_label_binarizer"), attributes.get("classes_")
        self._table = None
        if self._binarizer is not None:
            self._table, self._known = _labels.CodeTable(self._binarizer.classes_), self._binarizer.classes_
            self._contents = _labels.content(self._classes), _labels.content(self._known)
        self._capacity = capacity = max(1, min(_MOST_ROWS, _MOST_NUMBERS // self._width))
        largest = min(DEFAULT_BATCH_SIZE if self._batch_size == "auto" else int(self._batch_size), capacity)
        plan = Plan(
            self._solver,
            largest,
            float(estimator.alpha),
            None,
            bool(estimator.shuffle),
            random_state=self._random_state,
        )
        self._stepper = backend.stepper(spec, weights.vector, plan, capacity, self._table is not None)

    @property
    def takes_classes(self) -> bool:
        """Whether it is a classifier's."""
        return self._table is not None

    def holds(self, attributes: dict[str, Any]) -> bool:
        """Return whether the estimator is as it was left."""
        try:
            return (
                _watched(attributes) == self._state
                and self._weights.is_writable()
                and (not self._single or self._weights.is_shown(attributes["coefs_"], attributes["intercepts_"]))
                and all(entry.is_current for entry in self._own)
                and attributes.get("_label_binarizer") is self._binarizer
                and attributes.get("classes_") is self._classes
                and (self._table is None or self._are_classes_as_they_were())
                and self._optimizer.state is self._solver
                and self._solver.moments == self._moments
                and self._random_state._bit_generator is self._bit_generator
                and "_skl_callbacks" not in attributes
                and type(attributes["loss_curve_"]) is list
                and attributes["best_loss_"] is not None
                and setting() == self._setting
                and threads(attributes["n_threads"]) == self._threads
            )
        except ODD:  # an attribute is missing, or an odd thing is in the place of an array
            return False

    def _are_classes_as_they_were(self) -> bool:
        return (
            self._binarizer.classes_ is self._known
            and (_labels.content(self._classes), _labels.content(self._known)) == self._contents
        )

    def __call__(self, estimator: BaseMLP, X: Any, y: Any, classes: Any) -> bool:
        """Train on X and y and return True, or return False."""
        attributes = vars(estimator)
        is_ready = type(X) is np.ndarray and X.dtype == self._dtype and X.flags.c_contiguous
        if not is_ready or "feature_names_in_" in attributes:
            X = self._converted(estimator, X)
        if X is None or X.ndim != 2 or X.shape[1] != self._width:
            return False
        n = len(X)
        if n == 0 or not self.holds(attributes):
            return False
        batch_size = min(DEFAULT_BATCH_SIZE, n) if self._batch_size == "auto" else self._batch_size
        targets = self._targets(y, n, classes)
        if targets is None or batch_size > n:  # a larger batch warns
            return False
        stepper = self._stepper
        if not stepper.take(X, targets):
            return False
        try:
            return self._epoch(estimator, n, batch_size)
        finally:
            stepper.leave()

    def _converted(self, estimator: BaseMLP, X: Any) -> np.ndarray | None:
        """Return rows in an array of the model's dtype; None: not plainly so."""
        if not is_plain_kind(X) or hasattr(X, "tocsr") or (type(X) is list and len(X) > self._capacity):
            return None
        rows = plain_rows(estimator, X)
        return None if rows is None or len(rows) > self._capacity else as_real(rows, self._dtype)

    def _epoch(self, estimator: BaseMLP, n: int, batch_size: int) -> bool:
        stepper, progress = self._stepper, _stochastic.Progress(estimator, 0)
        # What C may leave in its midst has to be put back; the rest is one call, after which only notes are missing.
        work = -(-n // batch_size) * self._step_work + n * self._row_work
        before = Snapshot(estimator) if work > _SHORT else None
        interrupted = False
        try:
            if self._seed is not None:
                self._random_state.seed(self._seed)
            estimator._random_state = self._random_state
            self._optimizer.before_epoch()
            stepper.epoch(batch_size)
            self._note(progress, n)
            _stochastic.epochs_end(estimator, scored=False)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if before is not None and not interrupted:
                before.restore()
            elif stepper.losses is not None:
                self._solver.t = stepper.t
                self._note(progress, n)
            elif interrupted:
                estimator.n_iter_ = 0
                self._optimizer.after_epoch()
            if not interrupted:
                raise
        finite = stepper.is_finite()
        if interrupted:
            warn("Training interrupted by user.")
        if not finite:
            raise ValueError(NOT_FINITE)
        return True

    def _note(self, progress: _stochastic.Progress, n: int) -> None:
        data, l2 = self._stepper.losses
        losses = [np.float64(data * self._loss_scale + l2)]
        progress.note(losses, n)
        progress.judge(losses)

    def _targets(self, y: Any, n: int, classes: Any) -> np.ndarray | None:
        is_labels = self._table is not None
        if type(y) is not np.ndarray and not (is_labels and type(y) is list):
            y = plain_targets(y)
        if is_labels:
            if classes is not None and not self._table.are(classes):
                return None
            return None if _labels.may_warn(len(self._table.codes), n) else self._table.codes_of(y, n)
        if type(y) is not np.ndarray or y.dtype.kind not in "iuf":
            return None
        if y.shape != ((n,) if self._n_outputs == 1 else (n, self._n_outputs)):
            return None
        if y.dtype == self._dtype:
            return y
        with np.errstate(over="ignore"):  # infinities are seen to by whoever takes these
            return y.astype(self._dtype, order="C")


def may_bind(estimator: BaseMLP, spec: NetworkSpec, weights: Weights, backend: Backend, X: Any) -> bool:
    """Return whether the next `partial_fit` may take the short path."""
    seed = estimator.random_state
    return (
        hasattr(backend, "stepper")
        and vars(estimator).keys() >= set(_WATCHED)  # a property or an attribute of the class is not seen there
        and not spec.draws  # each call has a key of its own
        and type(X) is np.ndarray
        and X.dtype == spec.dtype
        and is_ordinary(estimator, spec, weights, _LONG_WAY)
        and (
            seed is None or type(seed) is int or (isinstance(seed, np.random.RandomState) and not has_own_shuffle(seed))
        )
        and type(estimator.hidden_layer_sizes) in (tuple, int)
        and not (estimator.verbose or estimator.warm_start or estimator.early_stopping)
        and (estimator.batch_size == "auto" or (type(estimator.batch_size) is int and estimator.batch_size > 0))
        and (not hasattr(estimator, "_label_binarizer") or _labels.coded(estimator._label_binarizer) is not None)
    )


def bound_first(long_way: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `partial_fit` that tries the short path before the long one."""

    @functools.wraps(long_way)
    def partial_fit(estimator: BaseMLP, X: Any, y: Any, sample_weight: Any = None, *rest: Any, **named: Any) -> Any:
        step = estimator._short.step
        if step is not None and sample_weight is None and not rest:
            if not named:
                done = step(estimator, X, y, None)
            else:
                done = step.takes_classes and named.keys() == {"classes"} and step(estimator, X, y, named["classes"])
            if done:
                return estimator
        return long_way(estimator, X, y, sample_weight, *rest, **named)

    return partial_fit
