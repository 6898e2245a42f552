"""Series of calls on one estimator, run alike on both libraries: state, aliases, copies, edits, errors, interrupts.

A sequence is a function of a `Trace`: it makes estimators of the trace's library, calls them through `trace.call`, and
records what is to be equal with `trace.look` and `trace.note`. What it does between the calls is plain Python and must
not fail on scikit-learn; failing on the subject alone is a difference like any other.
"""

from __future__ import annotations

import copy
import io
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

import joblib
import numpy as np
import scipy.optimize
import scipy.sparse as sp
from sklearn.base import clone

from parity import data as datasets
from parity.compare import FLOAT64, LBFGS_START, Comparison, Trace, compare_traces
from parity.subject import REFERENCE, SUBJECT, Library


@dataclass(frozen=True, eq=False)
class Sequence:
    """A named series of calls."""

    id: str
    function: Callable[[Trace], None]
    tolerance: float = FLOAT64

    def __str__(self) -> str:
        return self.id


SEQUENCES: list[Sequence] = []


def sequence(*variants: dict[str, Any], tolerance: float = FLOAT64) -> Callable[[Callable], Callable]:
    """Register a function as one sequence, or as one for each dict of keyword arguments."""

    def register(function: Callable) -> Callable:
        for options in variants or ({},):
            words = [function.__name__, *(_word(value) for value in options.values())]
            SEQUENCES.append(Sequence("-".join(words), partial(function, **options), tolerance))
        return function

    return register


def _word(value: Any) -> str:
    return "".join(c if c.isalnum() or c in "_." else "" for c in str(value)) or "empty"


def _options(**choices: tuple) -> list[dict[str, Any]]:
    """Return all combinations of keyword arguments."""
    combined: list[dict[str, Any]] = [{}]
    for name, values in choices.items():
        combined = [{**before, name: value} for before in combined for value in values]
    return combined


# ---------------------------------------------------------------------------------------------------------------------
# Parts of sequences
# ---------------------------------------------------------------------------------------------------------------------


def make(t: Trace, kind: str, **params: Any) -> Any:
    """Return an estimator of the trace's library; small and seeded unless told otherwise."""
    defaults = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 3, "batch_size": 16}
    return t.library.estimator(kind in datasets.CLASSIFICATION)(**{**defaults, **params})


def sample(kind: str, n: int = 60, n_features: int = 4, seed: int = 17, weight: str = "none") -> datasets.Data:
    """Return a dense float64 data set."""
    return datasets.make(kind, n, n_features, "float64", "C", weight, seed)


def first_classes(kind: str, y: np.ndarray) -> dict[str, Any]:
    """Return the argument `classes` that the first `partial_fit` of a classifier needs."""
    if kind not in datasets.CLASSIFICATION:
        return {}
    return {"classes": np.arange(y.shape[1]) if kind == "multilabel" else np.unique(y)}


def random_state(kind: str, seed: int = 5) -> Any:
    """Return a seed, an instance, or None with NumPy's global state seeded."""
    if kind == "none":
        global_state().seed(seed)
        return None
    return seed if kind == "int" else np.random.RandomState(seed)


def global_state() -> np.random.RandomState:
    """Return NumPy's global RandomState."""
    return np.random.mtrand._rand


class InterruptingOut(io.StringIO):
    """A stdout that presses Ctrl-C as a certain line is printed."""

    def __init__(self, pattern: str, count: int) -> None:
        super().__init__()
        self.pattern, self.count = pattern, count

    def write(self, text: str) -> int:
        """Write, or raise KeyboardInterrupt at the `count`-th text that begins with the pattern."""
        written = super().write(text)
        if text.startswith(self.pattern):
            self.count -= 1
            if self.count == 0:
                raise KeyboardInterrupt
        return written


# ---------------------------------------------------------------------------------------------------------------------
# partial_fit
# ---------------------------------------------------------------------------------------------------------------------


@sequence(
    *_options(
        kind=("binary", "multiclass", "multilabel", "strings", "single", "multi", "poisson"),
        solver=("sgd", "adam"),
        state=("int", "instance"),
    ),
    {"kind": "single", "solver": "sgd", "state": "none"},
)
def partial_fit_series(t: Trace, kind: str, solver: str, state: str) -> None:
    """Batches of changing size; the solver and the shuffles go on, an int reseeds at each call."""
    d = sample(kind, 90)
    options = {"loss": "poisson"} if kind == "poisson" else {}
    rs = random_state(state)
    est = make(t, kind, solver=solver, random_state=rs, batch_size=9, learning_rate_init=0.01, **options)
    first = first_classes(kind, d.y)
    for k, rows in enumerate((slice(0, 30), slice(30, 60), slice(60, 90), slice(10, 80), slice(0, 90), slice(0, 5))):
        t.call(f"call {k}", est.partial_fit, d.X[rows], d.y[rows], **(first if k == 0 else {}))
        t.look(f"after {k}", est)
    t.look("at the end", est, d.X_test, d.y_test)
    if state == "instance":
        t.note("the state handed over", rs)
    if state == "none":
        t.note("NumPy's global state", global_state())


@sequence(*_options(kind=("multiclass", "single"), schedule=("constant", "invscaling", "adaptive")))
def partial_fit_schedules(t: Trace, kind: str, schedule: str) -> None:
    """Schedules and counts over many calls: adaptive cuts its rate inside partial_fit too."""
    d = sample(kind)
    est = make(
        t, kind, solver="sgd", learning_rate=schedule, tol=0.5, n_iter_no_change=2, learning_rate_init=0.02,
        power_t=0.3, verbose=True,
    )  # fmt: skip
    first = first_classes(kind, d.y)
    for k in range(12):
        t.call(f"call {k}", est.partial_fit, d.X, d.y, **(first if k == 0 else {}))
        t.note(f"{k}: rate", est._optimizer.learning_rate)
        t.note(f"{k}: count", est._no_improvement_count)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "multi"), weight=("random", "integer")))
def partial_fit_weighted(t: Trace, kind: str, weight: str) -> None:
    """Sample weights in partial_fit, in some calls only."""
    d = sample(kind, weight=weight)
    est = make(t, kind, alpha=0.5)
    first = first_classes(kind, d.y)
    t.call("weighted", est.partial_fit, d.X, d.y, sample_weight=d.sample_weight, **first)
    t.call("unweighted", est.partial_fit, d.X, d.y)
    t.call("weighted, by position", est.partial_fit, d.X[:20], d.y[:20], d.sample_weight[:20])
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(container=("csr", "csc", "F")))
def partial_fit_containers(t: Trace, container: str) -> None:
    """Containers that change from call to call."""
    d = sample("multiclass")
    est = make(t, "multiclass", solver="sgd")
    t.call("dense", est.partial_fit, d.X, d.y, classes=np.unique(d.y))
    t.call("other", est.partial_fit, datasets.contain(d.X, container), d.y)
    t.call("dense again", est.partial_fit, d.X, d.y)
    t.look("at the end", est, datasets.contain(d.X_test, container), d.y_test)


@sequence(*_options(kind=("binary", "single"), solver=("sgd", "adam")))
def partial_fit_around_fit(t: Trace, kind: str, solver: str) -> None:
    """Fit, partial_fit, fit: the middle one goes on with the solver of the first, the last starts afresh."""
    d = sample(kind)
    est = make(t, kind, solver=solver)
    t.call("fit", est.fit, d.X, d.y)
    t.call("partial_fit", est.partial_fit, d.X, d.y)
    t.call("partial_fit again", est.partial_fit, d.X[:20], d.y[:20])
    t.look("in the middle", est, d.X_test, d.y_test)
    t.call("fit again", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("multiclass", "single")))
def partial_fit_with_warm_start(t: Trace, kind: str) -> None:
    """warm_start=True changes nothing in partial_fit but the check of the classes."""
    d = sample(kind)
    est = make(t, kind, warm_start=True)
    t.call("partial_fit", est.partial_fit, d.X, d.y, **first_classes(kind, d.y))
    t.call("fit", est.fit, d.X, d.y)
    t.call("partial_fit again", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def partial_fit_classes(t: Trace) -> None:
    """Where classes are needed, may be repeated, may not change, and may be more than the data shows."""
    d = sample("multiclass")
    est = make(t, "multiclass")
    t.call("no classes", est.partial_fit, d.X, d.y, fails="ValueError: classes must be passed")
    rows = d.y != 9
    t.call("first", est.partial_fit, d.X[rows], d.y[rows], classes=[0, 2, 5, 9, 11])
    t.look("after first", est, d.X_test, d.y_test)
    t.call("same classes", est.partial_fit, d.X, d.y, classes=[0, 2, 5, 9, 11])
    t.call("other classes", est.partial_fit, d.X, d.y, classes=[0, 2, 5], fails="ValueError: `classes=")
    t.call("unknown label", est.partial_fit, d.X, d.y + 1, fails="ValueError: `y` has classes not in")
    t.look("after errors", est, d.X_test, d.y_test)
    t.call("goes on", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def partial_fit_string_classes(t: Trace) -> None:
    """Classes as text, with one that comes later."""
    d = sample("strings")
    est = make(t, "strings")
    rows = d.y != "red"
    t.call("first", est.partial_fit, d.X[rows], d.y[rows], classes=["blue", "green", "red", "white"])
    t.call("second", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def partial_fit_multilabel_classes(t: Trace) -> None:
    """With an indicator the argument `classes` is needed but not used."""
    d = sample("multilabel")
    est = make(t, "multilabel")
    t.call("no classes", est.partial_fit, d.X, d.y, fails="ValueError: classes must be passed")
    t.call("first", est.partial_fit, d.X, d.y, classes=[0, 1, 2])
    t.call("second", est.partial_fit, d.X[:30], d.y[:30])
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "single")))
def partial_fit_refuses_early_stopping(t: Trace, kind: str) -> None:
    """early_stopping=True is an error in partial_fit, also after a fit."""
    d = sample(kind, 100)
    fresh = make(t, kind, early_stopping=True)
    fails = "ValueError: partial_fit does not support early_stopping"
    t.call("fresh", fresh.partial_fit, d.X, d.y, fails=fails, **first_classes(kind, d.y))
    est = make(t, kind, early_stopping=True)
    t.call("fit", est.fit, d.X, d.y)
    t.call("after fit", est.partial_fit, d.X, d.y, fails=fails)
    t.note("predict", est.predict(d.X_test))


@sequence()
def partial_fit_of_lbfgs(t: Trace) -> None:
    """Hidden on the classifier; on the regressor it is there and goes on with L-BFGS."""
    d = sample("single")
    t.note("classifier has it", hasattr(make(t, "binary", solver="lbfgs"), "partial_fit"))
    est = make(t, "single", solver="lbfgs", max_iter=2)
    t.note("regressor has it", hasattr(est, "partial_fit"))
    t.call("first", est.partial_fit, d.X, d.y)
    t.call("second", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def partial_fit_diverges(t: Trace) -> None:
    """Weights that become non-finite in partial_fit stay so: nothing is taken back."""
    d = sample("single")
    est = make(t, "single", solver="sgd", learning_rate_init=1e160, activation="identity", batch_size=60)
    t.call("first", est.partial_fit, d.X, d.y)
    t.call("second", est.partial_fit, d.X, d.y, fails="ValueError: Solver produced non-finite")
    t.note("finite", [bool(np.isfinite(w).all()) for w in est.coefs_])
    t.note("epochs", len(est.loss_curve_))


@sequence(*_options(kind=("binary", "single")))
def partial_fit_wrong_width(t: Trace, kind: str) -> None:
    """A wrong number of features is an error and leaves the model usable."""
    d = sample(kind)
    est = make(t, kind)
    t.call("first", est.partial_fit, d.X, d.y, **first_classes(kind, d.y))
    t.call("narrow", est.partial_fit, d.X[:, :2], d.y, fails="ValueError: X has 2 features")
    t.call("predict narrow", est.predict, d.X_test[:, :2], fails="ValueError: X has 2 features")
    t.call("predict one row as a vector", est.predict, d.X_test[0], fails="ValueError: Expected 2D array")
    t.call("predict NaN", est.predict, np.full((1, 4), np.nan), fails="ValueError: Input X contains NaN")
    t.call("goes on", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


# ---------------------------------------------------------------------------------------------------------------------
# warm_start and refits
# ---------------------------------------------------------------------------------------------------------------------


@sequence(
    *_options(kind=("multiclass", "multi"), solver=("sgd", "adam"), state=("int", "instance")),
    *_options(kind=("multiclass", "single"), solver=("lbfgs",), state=("int",)),
    tolerance=LBFGS_START,
)
def warm_refits(t: Trace, kind: str, solver: str, state: str) -> None:
    """Refits that go on with the weights, with a new solver, and with the curve so far."""
    d = sample(kind)
    est = make(t, kind, solver=solver, warm_start=True, random_state=random_state(state), max_iter=2)
    for k in range(3):
        t.call(f"fit {k}", est.fit, d.X, d.y)
        t.look(f"after {k}", est)
    est.set_params(warm_start=False)
    t.call("cold", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("multiclass", "single")))
def warm_after_early_stopping(t: Trace, kind: str) -> None:
    """After early stopping `coefs_` is `_best_coefs`, so a refit without a better epoch ends on its last weights."""
    d = sample(kind, 120)
    est = make(t, kind, early_stopping=True, warm_start=True, validation_fraction=0.2, learning_rate_init=0.02)
    t.call("first", est.fit, d.X, d.y)
    t.note("one list", est.coefs_ is est._best_coefs)
    before = [w.copy() for w in est.coefs_]
    arrays = list(est.coefs_)
    # A best score that no epoch can beat: the weights that were best are trained on, in place.
    est.best_validation_score_ = 2.0
    t.call("no better epoch", est.fit, d.X, d.y)
    t.look("after it", est, d.X_test, d.y_test)
    t.note("moved", [not np.array_equal(a, b) for a, b in zip(before, est.coefs_, strict=True)])
    t.note("same arrays", [a is b for a, b in zip(arrays, est.coefs_, strict=True)])
    est.best_validation_score_ = -np.inf
    t.call("better epochs", est.fit, d.X, d.y)
    t.note("one list again", est.coefs_ is est._best_coefs)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "multi"), solver=("sgd", "adam", "lbfgs")), tolerance=LBFGS_START)
def cold_refits(t: Trace, kind: str, solver: str) -> None:
    """A fresh fit forgets everything, and leaves the arrays of the last one to whoever holds them."""
    d, other = sample(kind), sample(kind, 50, 7, seed=23)
    est = make(t, kind, solver=solver)
    t.call("first", est.fit, d.X, d.y)
    held = list(est.coefs_)
    values = [w.copy() for w in held]
    t.call("second, other data", est.fit, other.X, other.y)
    t.look("after second", est, other.X_test, other.y_test)
    t.note("held arrays untouched", [bool(np.array_equal(a, b)) for a, b in zip(held, values, strict=True)])
    t.call("third", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def warm_start_other_classes(t: Trace) -> None:
    """A warm start with other classes is an error; without warm_start they are simply new."""
    d = sample("multiclass")
    est = make(t, "multiclass", warm_start=True)
    t.call("first", est.fit, d.X, d.y)
    fewer, more = np.where(d.y == 9, 5, d.y), np.where(np.arange(60) < 9, 77, d.y)
    t.call("fewer", est.fit, d.X, fewer, fails="ValueError: warm_start can only be used where")
    t.call("more", est.fit, d.X, more, fails="ValueError: warm_start can only be used where")
    t.call("renamed", est.fit, d.X, d.y + 1, fails="ValueError: warm_start can only be used where")
    t.note("predict", est.predict(d.X_test))
    est.set_params(warm_start=False)
    t.call("cold", est.fit, d.X, more)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "single")))
def warm_start_other_width(t: Trace, kind: str) -> None:
    """A warm start with another number of features is an error; without warm_start it is not."""
    d, other = sample(kind), sample(kind, 60, 7)
    est = make(t, kind, warm_start=True)
    t.call("first", est.fit, d.X, d.y)
    t.call("wider", est.fit, other.X, other.y, fails="ValueError: X has 7 features")
    t.note("predict", est.predict(d.X_test))
    est.set_params(warm_start=False)
    t.call("cold", est.fit, other.X, other.y)
    t.look("at the end", est, other.X_test, other.y_test)


@sequence(*_options(first=("sgd", "adam"), then=("sgd", "adam", "lbfgs")), tolerance=LBFGS_START)
def warm_start_other_solver(t: Trace, first: str, then: str) -> None:
    """Another solver goes on from the weights of the first."""
    d = sample("single")
    est = make(t, "single", solver=first, warm_start=True)
    t.call("first", est.fit, d.X, d.y)
    est.set_params(solver=then, max_iter=3)
    t.call("then", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


# ---------------------------------------------------------------------------------------------------------------------
# set_params between calls
# ---------------------------------------------------------------------------------------------------------------------


@sequence(
    {"change": {"learning_rate_init": 0.5}},
    {"change": {"alpha": 5.0}},
    {"change": {"batch_size": 4}},
    {"change": {"shuffle": False}},
    {"change": {"momentum": 0.1, "nesterovs_momentum": False}},
    {"change": {"solver": "adam"}},
    {"change": {"activation": "tanh"}},
    {"change": {"random_state": 99}},
    {"change": {"tol": 10.0, "n_iter_no_change": 1}},
    {"change": {"learning_rate": "adaptive"}},
)
def set_params_between_partial_fits(t: Trace, change: dict[str, Any]) -> None:
    """What the kept solver has read stays as it was; what the estimator reads at each call changes."""
    d = sample("single")
    est = make(t, "single", solver="sgd", learning_rate_init=0.01)
    t.call("first", est.partial_fit, d.X, d.y)
    est.set_params(**change)
    t.look("after the change", est, d.X_test, d.y_test)
    for k in range(3):
        t.call(f"call {k}", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(
    {"change": {"learning_rate_init": 0.1}},
    {"change": {"max_iter": 7}},
    {"change": {"alpha": 5.0}},
    {"change": {"activation": "logistic"}},
    {"change": {"hidden_layer_sizes": (9,)}},
    {"change": {"early_stopping": False}},
    {"change": {"warm_start": False}},
)
def set_params_between_warm_fits(t: Trace, change: dict[str, Any]) -> None:
    """Other parameters with the weights so far; other hidden sizes do not change a network that is there."""
    d = sample("multiclass", 100)
    est = make(t, "multiclass", warm_start=True, early_stopping="early_stopping" not in change)
    t.call("first", est.fit, d.X, d.y)
    est.set_params(**change)
    t.call("second", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def activation_is_read_when_predicting(t: Trace) -> None:
    """The hidden activation is a parameter, not a fitted attribute: changing it changes predictions at once."""
    d = sample("multi")
    est = make(t, "multi", activation="relu")
    t.call("fit", est.fit, d.X, d.y)
    for activation in ("tanh", "identity", "logistic"):
        est.set_params(activation=activation)
        t.note(activation, est.predict(d.X_test))
    est.out_activation_ = "logistic"
    t.note("other output", est.predict(d.X_test))


# ---------------------------------------------------------------------------------------------------------------------
# Weights edited, replaced, put in by hand
# ---------------------------------------------------------------------------------------------------------------------


@sequence(*_options(kind=("binary", "multiclass", "multi"), solver=("sgd", "adam", "lbfgs")), tolerance=LBFGS_START)
def edits_in_place(t: Trace, kind: str, solver: str) -> None:
    """Writing into the arrays shows in the next predict and is where training goes on from."""
    d = sample(kind)
    est = make(t, kind, solver=solver, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    est.coefs_[0][1] *= 0.5
    est.coefs_[-1][:, 0] = 0.25
    est.intercepts_[0][:] += 0.125
    t.look("after the edit", est, d.X_test, d.y_test)
    t.call("warm fit", est.fit, d.X, d.y)
    t.look("after the fit", est, d.X_test, d.y_test)
    if solver != "lbfgs":
        est.intercepts_[-1][...] = 0.0
        t.call("partial_fit", est.partial_fit, d.X, d.y)
        t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "multi"), solver=("sgd", "adam")))
def replaced_arrays(t: Trace, kind: str, solver: str) -> None:
    """An array put into the list, or a new list, stays the user's: training writes into it."""
    d = sample(kind)
    est = make(t, kind, solver=solver, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    W = np.linspace(-0.5, 0.5, est.coefs_[0].size).reshape(est.coefs_[0].shape)
    est.coefs_[0] = W
    t.look("one array", est, d.X_test, d.y_test)
    t.call("warm fit", est.fit, d.X, d.y)
    t.note("still that array", est.coefs_[0] is W)
    t.note("trained in place", W)
    b = [np.zeros_like(v) for v in est.intercepts_]
    est.intercepts_ = b
    est.coefs_ = [w * 0.5 for w in est.coefs_]
    t.look("whole lists", est, d.X_test, d.y_test)
    t.call("partial_fit", est.partial_fit, d.X, d.y)
    t.note("still that list", est.intercepts_ is b)
    t.note("trained in place too", b)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def replaced_by_other_forms(t: Trace) -> None:
    """Arrays of another order, dtype, writability or stride serve to predict."""
    d = sample("multiclass")
    est = make(t, "multiclass", hidden_layer_sizes=(6, 5))
    t.call("fit", est.fit, d.X, d.y)
    est.coefs_[0] = np.asfortranarray(est.coefs_[0])
    t.look("Fortran order", est, d.X_test, d.y_test)
    wide = np.zeros((12, 10))
    wide[::2, ::2] = est.coefs_[1]
    est.coefs_[1] = wide[::2, ::2]
    t.look("strided", est, d.X_test, d.y_test)
    est.intercepts_[1].flags.writeable = False
    t.look("read-only", est, d.X_test, d.y_test)
    est.coefs_[2] = est.coefs_[2].astype(np.float32)
    est.intercepts_[2] = est.intercepts_[2].astype(np.float32)
    t.note("one layer in float32", est.predict_proba(d.X_test).astype(float))
    est.coefs_ = tuple(w.astype(float) for w in est.coefs_)
    t.note("a tuple", est.predict_proba(d.X_test))


@sequence()
def replaced_by_fortran_then_trained(t: Trace) -> None:
    """Training writes into an array of Fortran order just as well."""
    d = sample("single")
    est = make(t, "single", solver="sgd", warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    W = np.asfortranarray(est.coefs_[0])
    est.coefs_[0] = W
    t.call("warm fit", est.fit, d.X, d.y)
    t.note("still that array", est.coefs_[0] is W)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def pruned(t: Trace) -> None:
    """Arrays of other widths make another network: what `hidden_layer_sizes` says is not asked."""
    d = sample("multiclass")
    est = make(t, "multiclass", hidden_layer_sizes=(6, 5))
    t.call("fit", est.fit, d.X, d.y)
    keep = [0, 2, 3]
    est.coefs_[0], est.intercepts_[0] = est.coefs_[0][:, keep], est.intercepts_[0][keep]
    est.coefs_[1] = est.coefs_[1][keep]
    t.look("three of six units", est, d.X_test, d.y_test)


@sequence(*_options(solver=("sgd", "adam")))
def relu_at_zero(t: Trace, solver: str) -> None:
    """With a first layer of zeros every pre-activation is exactly 0, where the derivative is 0: it stays untrained."""
    d = sample("single")
    est = make(t, "single", solver=solver, activation="relu", alpha=0.0, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    est.coefs_[0][...] = 0.0
    est.intercepts_[0][...] = 0.0
    t.call("warm fit", est.fit, d.X, d.y)
    t.note("still zero", bool((est.coefs_[0] == 0).all()))
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(solver=("sgd", "adam")))
def hand_made_before_partial_fit(t: Trace, solver: str) -> None:
    """Weights and state put in before the first fit, attribute by attribute, are what partial_fit starts from."""
    d = sample("binary", n_features=3)
    est = make(t, "binary", solver=solver, hidden_layer_sizes=2, activation="logistic", alpha=0.1, momentum=0.5)
    est.coefs_ = [np.array([[0.1, 0.2], [0.3, 0.1], [0.5, 0.0]]), np.array([[0.1], [0.2]])]
    est.intercepts_ = [np.array([0.1, 0.1]), np.array([1.0])]
    est.n_layers_, est.n_outputs_, est.n_features_in_, est.out_activation_ = 3, 1, 3, "logistic"
    est.n_iter_, est.t_, est.best_loss_, est.loss_curve_ = 0, 0, np.inf, []
    est._no_improvement_count = 0
    mine = est.coefs_[0]
    t.call("partial_fit", est.partial_fit, d.X, d.y, classes=[0, 1])
    t.note("trained in place", mine)
    t.look("after it", est, d.X_test, d.y_test)
    t.call("again", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def hand_made_to_predict(t: Trace) -> None:
    """An estimator that was never fitted predicts from attributes put in by hand."""
    rng = np.random.RandomState(8)
    est = make(t, "multi", hidden_layer_sizes=(3,), activation="tanh")
    est.coefs_ = [rng.standard_normal((4, 3)), rng.standard_normal((3, 2))]
    est.intercepts_ = [rng.standard_normal(3), rng.standard_normal(2)]
    est.n_layers_, est.n_outputs_, est.out_activation_, est.n_features_in_ = 3, 2, "identity", 4
    t.note("predict", est.predict(sample("multi").X_test))


@sequence(*_options(kind=("binary", "multiclass", "multilabel", "strings")))
def ties(t: Trace, kind: str) -> None:
    """With weights of zero all probabilities are equal: a tie goes to the first class, and one half to the negative."""
    d = sample(kind)
    est = make(t, kind)
    t.call("fit", est.fit, d.X, d.y)
    for array in est.coefs_ + est.intercepts_:
        array[...] = 0.0
    # Not by `look`, which leaves ties open.
    t.note("predict", est.predict(d.X_test))
    t.note("predict_proba", est.predict_proba(d.X_test))


@sequence()
def copied_from_another(t: Trace) -> None:
    """Weights moved from a fitted estimator into another one of the same shape."""
    d = sample("multiclass")
    giver = make(t, "multiclass", max_iter=6, learning_rate_init=0.02)
    taker = make(t, "multiclass", max_iter=1, random_state=77)
    t.call("giver", giver.fit, d.X, d.y)
    t.call("taker", taker.fit, d.X, d.y)
    for mine, theirs in zip(taker.coefs_ + taker.intercepts_, giver.coefs_ + giver.intercepts_, strict=True):
        mine[...] = theirs
    t.look("taker", taker, d.X_test, d.y_test)
    t.call("taker goes on", taker.partial_fit, d.X, d.y)
    t.look("taker at the end", taker, d.X_test, d.y_test)
    t.look("giver is untouched", giver, d.X_test, d.y_test)


# ---------------------------------------------------------------------------------------------------------------------
# Copies
# ---------------------------------------------------------------------------------------------------------------------


def _through_joblib(est: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(est, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda est: pickle.loads(pickle.dumps(est)),
    "pickle2": lambda est: pickle.loads(pickle.dumps(est, protocol=2)),
    "joblib": _through_joblib,
    "deepcopy": copy.deepcopy,
}


@sequence(*_options(how=tuple(COPIES), kind=("multiclass", "single"), solver=("sgd", "adam")))
def copied_in_training(t: Trace, how: str, kind: str, solver: str) -> None:
    """A copy made between calls of partial_fit goes on as the original does, and apart from it."""
    d = sample(kind)
    rs = np.random.RandomState(4)
    est = make(t, kind, solver=solver, random_state=rs, learning_rate_init=0.01)
    first = first_classes(kind, d.y)
    for k in range(3):
        t.call(f"call {k}", est.partial_fit, d.X, d.y, **(first if k == 0 else {}))
    made = COPIES[how](est)
    t.look("the copy", made, d.X_test, d.y_test)
    for k in range(3):
        t.call(f"copy, call {k}", made.partial_fit, d.X, d.y)
    t.look("the copy at the end", made, d.X_test, d.y_test)
    t.look("the original waited", est, d.X_test, d.y_test)
    for k in range(3):
        t.call(f"original, call {k}", est.partial_fit, d.X, d.y)
    t.look("the original at the end", est, d.X_test, d.y_test)
    same = all(np.array_equal(a, b) for a, b in zip(est.coefs_, made.coefs_, strict=True))
    t.note("both ended alike", same)


@sequence(*_options(how=tuple(COPIES), solver=("adam", "lbfgs")), tolerance=LBFGS_START)
def copied_then_warm(t: Trace, how: str, solver: str) -> None:
    """A copy of a fitted estimator warm-starts as the original would; edits of one do not reach the other."""
    d = sample("multi")
    est = make(t, "multi", solver=solver, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    made = COPIES[how](est)
    made.coefs_[0][0, 0] += 1.0
    t.look("the original", est, d.X_test, d.y_test)
    t.look("the edited copy", made, d.X_test, d.y_test)
    t.call("warm fit of the copy", made.fit, d.X, d.y)
    t.look("the copy at the end", made, d.X_test, d.y_test)


@sequence(*_options(how=tuple(COPIES)))
def copied_after_early_stopping(t: Trace, how: str) -> None:
    """Copies keep what early stopping needs to go on."""
    d = sample("multiclass", 120)
    est = make(t, "multiclass", early_stopping=True, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    made = COPIES[how](est)
    t.note("one list in the copy", made.coefs_ is made._best_coefs)
    t.call("warm fit of the copy", made.fit, d.X, d.y)
    t.look("the copy at the end", made, d.X_test, d.y_test)


@sequence()
def cloned(t: Trace) -> None:
    """A clone is unfitted and fits as its original did; an instance of RandomState is copied along."""
    d = sample("multiclass")
    est = make(t, "multiclass", random_state=np.random.RandomState(3))
    before = clone(est)
    t.call("fit", est.fit, d.X, d.y)
    after = clone(est)
    t.note("unfitted", sorted(name for name in vars(after) if name.endswith("_")))
    t.call(
        "unfitted predict", after.predict, d.X_test, fails="NotFittedError: This MLPClassifier instance is not fitted"
    )
    t.call("fit of the first clone", before.fit, d.X, d.y)
    t.call("fit of the second clone", after.fit, d.X, d.y)
    t.look("first clone", before, d.X_test, d.y_test)
    t.look("second clone", after, d.X_test, d.y_test)


@sequence()
def one_random_state_for_two(t: Trace) -> None:
    """Two estimators that share a RandomState draw from it in turns."""
    d = sample("single")
    rs = np.random.RandomState(6)
    a, b = make(t, "single", random_state=rs), make(t, "single", random_state=rs, solver="sgd")
    for k in range(3):
        t.call(f"a {k}", a.partial_fit, d.X, d.y)
        t.call(f"b {k}", b.partial_fit, d.X, d.y)
    t.look("a", a, d.X_test, d.y_test)
    t.look("b", b, d.X_test, d.y_test)
    t.note("the state", rs)


# ---------------------------------------------------------------------------------------------------------------------
# Interrupts
# ---------------------------------------------------------------------------------------------------------------------


@sequence(*_options(kind=("multiclass", "multi"), solver=("sgd", "adam"), epoch=(1, 3)))
def interrupted_fit(t: Trace, kind: str, solver: str, epoch: int) -> None:
    """Ctrl-C in an epoch's printed line: a warning, the state of that epoch, and a model that predicts and goes on."""
    d = sample(kind)
    est = make(t, kind, solver=solver, verbose=True, max_iter=10, random_state=np.random.RandomState(2))
    t.call("interrupted", est.fit, d.X, d.y, stdout=InterruptingOut("Iteration", epoch))
    t.look("after it", est, d.X_test, d.y_test)
    t.call("goes on", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(pattern=("Iteration", "Validation")))
def interrupted_early_stopping(t: Trace, pattern: str) -> None:
    """Ctrl-C with early stopping: the best weights so far come back."""
    d = sample("multiclass", 120)
    est = make(t, "multiclass", verbose=True, early_stopping=True, max_iter=10, warm_start=True)
    t.call("interrupted", est.fit, d.X, d.y, stdout=InterruptingOut(pattern, 3))
    t.look("after it", est, d.X_test, d.y_test)
    t.call("fit again", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "single")))
def interrupted_partial_fit(t: Trace, kind: str) -> None:
    """Ctrl-C in partial_fit."""
    d = sample(kind)
    est = make(t, kind, verbose=True)
    t.call("first", est.partial_fit, d.X, d.y, **first_classes(kind, d.y))
    t.call("interrupted", est.partial_fit, d.X, d.y, stdout=InterruptingOut("Iteration", 1))
    t.look("after it", est, d.X_test, d.y_test)
    t.call("goes on", est.partial_fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(evaluation=(1, 4)))
def interrupted_lbfgs(t: Trace, evaluation: int) -> None:
    """With lbfgs KeyboardInterrupt comes out of fit."""
    d = sample("single")
    est = make(t, "single", solver="lbfgs", max_iter=50)
    original = scipy.optimize.minimize

    def minimize(fun: Callable, x0: np.ndarray, args: tuple = (), **options: Any) -> Any:
        calls = []

        def interrupted(x: np.ndarray, *more: Any) -> Any:
            calls.append(x)
            if len(calls) == evaluation:
                raise KeyboardInterrupt
            return fun(x, *more)

        return original(interrupted, x0, args=args, **options)

    scipy.optimize.minimize = minimize
    try:
        t.call("interrupted", est.fit, d.X, d.y, fails="KeyboardInterrupt: ")
    finally:
        scipy.optimize.minimize = original
    est.set_params(max_iter=3)
    t.call("fit again", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


# ---------------------------------------------------------------------------------------------------------------------
# Errors and what is left after them
# ---------------------------------------------------------------------------------------------------------------------


@sequence(*_options(kind=("binary", "single")))
def not_fitted(t: Trace, kind: str) -> None:
    """Methods of an estimator that was never fitted."""
    d = sample(kind)
    est = make(t, kind)
    fails = "NotFittedError: "
    t.call("predict", est.predict, d.X, fails=fails)
    t.call("score", est.score, d.X, d.y, fails=fails)
    if kind == "binary":
        t.call("predict_proba", est.predict_proba, d.X, fails=fails)
        t.call("predict_log_proba", est.predict_log_proba, d.X, fails=fails)


@sequence(*_options(kind=("multiclass", "single")))
def refit_after_errors(t: Trace, kind: str) -> None:
    """A fit that failed does not show in the next one."""
    d = sample(kind)
    est = make(t, kind)
    bad = d.X.copy()
    bad[0, 0] = np.nan
    t.call("bad first fit", est.fit, bad, d.y, fails="ValueError: Input X contains NaN")
    t.call("fit", est.fit, d.X, d.y)
    t.call("bad second fit", est.fit, bad, d.y, fails="ValueError: Input X contains NaN")
    t.call("fit again", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("binary", "multiclass", "multilabel", "single", "multi"), dtype=("float64", "float32")))
def predictions_by_dtype(t: Trace, kind: str, dtype: str) -> None:
    """The dtype of predictions for every dtype and container of rows."""
    d = datasets.make(kind, 60, 4, dtype, "C", "none", 31)
    est = make(t, kind)
    t.call("fit", est.fit, d.X, d.y)
    t.note("dtype of weights", str(est.coefs_[0].dtype))
    rows = {
        "float64": np.asarray(d.X_test, dtype=np.float64),
        "float32": np.asarray(d.X_test, dtype=np.float32),
        "float16": np.asarray(d.X_test, dtype=np.float16),
        "int": np.rint(2 * d.X_test).astype(int),
        "bool": d.X_test > 0,
        "list": d.X_test.tolist(),
        "csr": sp.csr_matrix(d.X_test),
        "csc in float64": sp.csc_matrix(d.X_test.astype(float)),
        "one row": d.X_test[:1],
        "Fortran order": np.asfortranarray(d.X_test),
        "strided": np.repeat(d.X_test, 2, axis=0)[::2],
    }
    for name, X in rows.items():
        output = est.predict_proba(X) if kind in datasets.CLASSIFICATION else est.predict(X)
        t.note(f"{name}: dtype and shape", f"{output.dtype} {output.shape}")
        # Within 1e-4 absolutely: the rows or the model may be in float32.
        t.note(f"{name}: values", output.astype(float), scale=1e-4 / FLOAT64)


@sequence(*_options(kind=("binary", "single")))
def feature_names(t: Trace, kind: str) -> None:
    """Names of columns are kept, and compared at predict and partial_fit; needs pandas."""
    import pandas

    d = sample(kind)
    names = ["a", "b", "c", "d"]
    X, X_test = pandas.DataFrame(d.X, columns=names), pandas.DataFrame(d.X_test, columns=names)
    est = make(t, kind)
    t.call("fit", est.fit, X, d.y)
    t.look("after fit", est, X_test, d.y_test)
    t.call("predict without names", est.predict, d.X_test)
    t.call("partial_fit without names", est.partial_fit, d.X, d.y)
    t.call("predict other order", est.predict, X_test[["b", "a", "c", "d"]], fails="ValueError: The feature names")
    t.call("predict other names", est.predict, X_test.rename(columns={"a": "z"}), fails="ValueError: The feature names")
    t.call("fit without names", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(kind=("multiclass", "single"), solver=("sgd", "adam", "lbfgs")), tolerance=LBFGS_START)
def linear_model(t: Trace, kind: str, solver: str) -> None:
    """No hidden layer at all: the features feed the output."""
    d = sample(kind)
    est = make(t, kind, solver=solver, hidden_layer_sizes=(), warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    t.call("warm fit", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(solver=("sgd", "adam"), kind=("binary", "multiclass")))
def one_class(t: Trace, solver: str, kind: str) -> None:
    """A single class: it is predicted whatever the output, also where early stopping keeps the score."""
    d = sample(kind)
    y = np.full_like(d.y, d.y[0])
    est = make(
        t, kind, solver=solver, activation="tanh", early_stopping=True, validation_fraction=0.3, learning_rate_init=0.1,
        max_iter=40,
    )  # fmt: skip
    t.call("fit", est.fit, d.X, y)
    t.look("at the end", est, d.X_test, np.full_like(d.y_test, d.y[0]))


@sequence(*_options(number=(np.uint8, np.uint64, np.int8)))
def patience_as_a_numpy_number(t: Trace, number: type) -> None:
    """A refit begins with more epochs without improvement than the patience, a NumPy integer, allows."""
    d = sample("multiclass")
    est = make(t, "multiclass", tol=1.0, n_iter_no_change=5, max_iter=30, warm_start=True)
    t.call("fit", est.fit, d.X, d.y)
    est.set_params(n_iter_no_change=number(2))
    t.call("warm fit", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(dtype=(">i4", ">u2", ">f8", ">U5")))
def labels_of_the_other_byte_order(t: Trace, dtype: str) -> None:
    """The classes are in this machine's."""
    d = sample("multiclass")
    est = make(t, "multiclass")
    t.call("fit", est.fit, d.X, d.y.astype(dtype))
    t.look("at the end", est, d.X_test, d.y_test.astype(dtype))
    t.note("byte order", [est.classes_.dtype.byteorder, est.predict(d.X_test).dtype.byteorder])


@sequence()
def poisson_underflows(t: Trace) -> None:
    """Where count and prediction are both 0 the loss is NaN, which no stopping rule takes for better or worse."""
    r = np.random.RandomState(153)
    X = r.randn(40, 3) * r.choice([20, 60, 150])
    y = r.poisson(0.3, 40).astype(float)
    est = make(
        t, "poisson", loss="poisson", max_iter=40, learning_rate_init=0.1, n_iter_no_change=2, batch_size="auto",
        random_state=0,
    )  # fmt: skip
    t.call("fit", est.fit, X, y)
    assert np.isnan(est.loss_)
    t.note("epochs", est.n_iter_)


@sequence(*_options(kind=("binary", "single")))
def objects_that_are_no_numbers(t: Trace, kind: str) -> None:
    """Validation lets a list of objects pass in predictions; the first product says what is wrong with it."""
    d = sample(kind)
    est = make(t, kind)
    t.call("fit", est.fit, d.X, d.y)
    rows = d.X[:2].tolist()
    for name, odd in (
        ("None", None),
        ("a string beside None", "1"),
        ("a decimal", Decimal("0.5")),
        ("an infinite decimal", Decimal("inf")),
    ):
        X = [[odd, *rows[0][1:]], [None, *rows[1][1:]] if name.startswith("a string") else rows[1]]
        t.call(f"{name}: predict", est.predict, X, fails="TypeError")
        t.call(f"{name}: score", est.score, X, d.y[:2], fails="TypeError")
        if kind == "binary":
            t.call(f"{name}: predict_proba", est.predict_proba, X, fails="TypeError")
    days = np.zeros(d.X.shape, "M8[D]")
    t.call("days", est.predict, days, fails="UFuncTypeError")


@sequence(*_options(solver=("sgd", "adam"), incremental=(False, True)))
def a_shuffle_of_ones_own(t: Trace, solver: str, incremental: bool) -> None:
    """The method of a subclass of RandomState is asked, once an epoch, for an order of positions."""

    class Turning(np.random.RandomState):
        seen: ClassVar[list[list[int]]] = []

        def shuffle(self, x: Any) -> None:
            self.seen.append(x.tolist())
            x[:] = np.roll(x[::-1], 1)

    Turning.seen = []
    d = sample("multiclass", 50)
    est = make(t, "multiclass", solver=solver, random_state=Turning(4))
    if incremental:
        for k in range(3):
            t.call(f"call {k}", est.partial_fit, d.X, d.y, **first_classes("multiclass", d.y))
    else:
        t.call("fit", est.fit, d.X, d.y)
    t.look("at the end", est, d.X_test, d.y_test)
    t.note("asked for", Turning.seen)


@sequence(*_options(early=(False, True)))
def a_list_that_listens(t: Trace, early: bool) -> None:
    """Losses and scores are appended one by one."""

    class Listening(list):
        heard = 0

        def append(self, value: Any) -> None:
            self.heard += 1
            super().append(value)

    d = sample("binary")
    est = make(t, "binary", warm_start=True, early_stopping=early)
    t.call("fit", est.fit, d.X, d.y)
    est.loss_curve_ = Listening(est.loss_curve_)
    if early:
        est.validation_scores_ = Listening(est.validation_scores_)
    t.call("fit again", est.fit, d.X, d.y)
    t.note("heard", [est.loss_curve_.heard, est.validation_scores_.heard if early else None])
    t.note("losses", list(est.loss_curve_))


@sequence(*_options(which=("classes_", "_label_binarizer", "another array")))
def classes_written_to(t: Trace, which: str) -> None:
    """An edit in place counts in partial_fit, as any other."""
    d = sample("multiclass")
    est = make(t, "multiclass")
    for k in range(2):
        t.call(f"call {k}", est.partial_fit, d.X, d.y, **first_classes("multiclass", d.y))
    if which == "another array":
        est._label_binarizer.classes_ = est._label_binarizer.classes_ + 1
    else:
        classes = est.classes_ if which == "classes_" else est._label_binarizer.classes_
        classes += 1
    t.call("edited", est.partial_fit, d.X, d.y, fails="ValueError" if which == "classes_" else None)
    t.note("losses", list(est.loss_curve_))


@sequence()
def classes_for_a_regression(t: Trace) -> None:
    """There is no such argument, in no call."""
    d = sample("single")
    est = make(t, "single")
    for k in range(2):
        t.call(f"call {k}", est.partial_fit, d.X, d.y)
    for classes in (None, [0, 1]):
        t.call(f"classes={classes}", est.partial_fit, d.X, d.y, classes=classes, fails="TypeError")
    t.look("at the end", est, d.X_test, d.y_test)


@sequence()
def a_score_without_classes(t: Trace) -> None:
    """Whoever makes a model smaller may leave them out."""
    d = sample("binary")
    est = make(t, "binary")
    t.call("fit", est.fit, d.X, d.y)
    del est.classes_
    t.look("at the end", est, d.X_test, d.y_test)


@sequence(*_options(known=(False, True)))
def a_score_of_ones_own_predictions(t: Trace, known: bool) -> None:
    """A subclass with `fit` and `predict` of its own has a score all the same."""

    class Constant(t.library.estimator(True)):
        def fit(self, X: Any, y: Any) -> Any:
            if known:
                self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> np.ndarray:
            return np.zeros(len(X), int)

    d = sample("binary")
    est = Constant().fit(d.X, d.y)
    t.note("its score", t.call("score", est.score, d.X, np.arange(len(d.X)) % 3))


# ---------------------------------------------------------------------------------------------------------------------
# Running them
# ---------------------------------------------------------------------------------------------------------------------

PRIVATE_ALIASES = ("one list", "one list again", "one list in the copy")


def run(which: Sequence, library: Library) -> tuple[Trace, str | None]:
    """Run a sequence on a library; return its trace and, for the subject, the traceback that ended it early."""
    trace = Trace(library, which.tolerance)
    try:
        which.function(trace)
    except Exception:
        # On the reference this is an error of the test.
        if library is REFERENCE:
            raise
        return trace, traceback.format_exc(limit=-3)
    return trace, None


def compare(which: Sequence, subject: Library = SUBJECT) -> Comparison:
    """Run a sequence on scikit-learn and on the subject and compare everything recorded."""
    reference, _ = run(which, REFERENCE)
    other, ended = run(which, subject)
    found = compare_traces(reference, other, which.tolerance)
    if ended is not None:
        found.add("sequence", "ended early", "ran to its end", ended)
    return found.accept(which.id, subject.accepted)


def by_id(sequence_id: str) -> Sequence:
    """Return the sequence of an id."""
    found = [which for which in SEQUENCES if which.id == sequence_id]
    if len(found) != 1:
        raise KeyError(f"{len(found)} sequences are called {sequence_id!r}")
    return found[0]
