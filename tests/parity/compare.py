"""Run the same calls on two libraries and list what differs.

A `Trace` is what one library did: every call with its exception, warnings and output, and snapshots of the estimator
between calls. Two traces are compared entry by entry, arrays by norm: ``||a - b|| / max(||a||, tiny)``, a of the
reference.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import scipy.optimize
from sklearn.base import is_classifier

from parity.cases import Case
from parity.subject import REFERENCE, SUBJECT, Accepted, Library

TINY = np.finfo(float).tiny

FLOAT64 = 1e-8
FLOAT32 = 1e-4
LBFGS_LOSS_GRAD = 1e-12
LBFGS_LOSS_GRAD_FLOAT32 = 1e-4
"""SciPy keeps the starting point's dtype: on float32 data scikit-learn evaluates in float32, whatever the result's."""
LBFGS_START = 1e-8
LBFGS_START_FLOAT32 = 1e-4
LBFGS_START_ITERATIONS = 5
FLOAT32_EPOCHS = 20
SPREAD_FACTOR = 10.0


class HarnessError(AssertionError):
    """The test itself is wrong: the reference raised where it must not, or did not where it must."""


# ---------------------------------------------------------------------------------------------------------------------
# What was seen
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Leaf:
    """One recorded value.

    Attributes
    ----------
    kind : str
        "number" (array or scalar, compared by norm), "exact", or "label" (classes, compared one by one).
    form : str
        Type, dtype and shape, compared as text.
    scale : float
        The norm is not taken for smaller than this.
    slack : float
        Added to the tolerance.
    doubtful : ndarray of bool or None
        For labels: where the reference's probabilities are a tie within rounding.
    optional : bool
        Compared only if both libraries have it: an internal of scikit-learn that nobody promised.
    """

    kind: str
    value: Any
    form: str
    scale: float = TINY
    slack: float = 0.0
    doubtful: np.ndarray | None = None
    optional: bool = False


@dataclass
class Entry:
    """One call or one recorded value."""

    label: str
    leaf: Leaf | None = None
    exception: tuple[str, str] | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)
    stdout: str = ""

    @property
    def is_call(self) -> bool:
        return self.leaf is None


def _is_incidental(category: type, text: str) -> bool:
    """Return whether a warning is NumPy's about one of its operations: it tells how a thing was computed, not what."""
    return issubclass(category, RuntimeWarning) and " encountered in " in text


class _Raised:
    """Keeps the exception that ends the block, KeyboardInterrupt included."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> bool:
        self.error = error
        return isinstance(error, (Exception, KeyboardInterrupt))


class Trace:
    """What one library did in one series of calls."""

    def __init__(self, library: Library, tolerance: float = FLOAT64) -> None:
        self.library = library
        self.tolerance = tolerance
        self.entries: list[Entry] = []

    @property
    def failed(self) -> bool:
        """Whether the last call raised."""
        calls = [entry for entry in self.entries if entry.is_call]
        return bool(calls) and calls[-1].exception is not None

    def call(
        self,
        label: str,
        function: Callable[..., Any],
        *args: Any,
        fails: str | tuple[str, ...] | None = None,
        stdout: io.StringIO | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call an estimator's method and record how it went; return its result, or None if it raised.

        `fails` is how the reference's exception must begin, as "Type: text". Any other exception of the reference is an
        error of the test and propagates; one of the subject is recorded, and so becomes a difference.
        """
        entry = Entry(label)
        self.entries.append(entry)
        out = io.StringIO() if stdout is None else stdout
        result = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with contextlib.redirect_stdout(out), _Raised() as raised:
                result = function(*args, **kwargs)
        if raised.error is not None:
            entry.exception = (type(raised.error).__name__, str(raised.error))
        if self.library is REFERENCE:
            self._check_expected(label, raised.error, fails)
        entry.warnings = [
            (w.category.__name__, str(w.message)) for w in caught if not _is_incidental(w.category, str(w.message))
        ]
        entry.stdout = out.getvalue()
        return result

    @staticmethod
    def _check_expected(label: str, error: BaseException | None, fails: str | tuple[str, ...] | None) -> None:
        if error is None:
            if fails is not None:
                raise HarnessError(f"{label}: the reference was expected to raise {fails!r}")
            return
        text = f"{type(error).__name__}: {error}"
        # InvalidParameterError is a ValueError and a TypeError; cases name the family.
        text_as_value_error = f"ValueError: {error}" if isinstance(error, ValueError) else text
        if fails is None or not (text.startswith(fails) or text_as_value_error.startswith(fails)):
            raise HarnessError(f"{label}: the reference raised {text!r}, expected {fails!r}") from error

    def note(self, label: str, value: Any, **options: Any) -> None:
        """Record a value of any kind, containers leaf by leaf."""
        for name, leaf in flatten(label, value):
            for key, option in options.items():
                setattr(leaf, key, option)
            self.entries.append(Entry(name, leaf))

    def look(self, label: str, estimator: Any, X: Any = None, y: Any = None, sample_weight: Any = None) -> None:
        """Record an estimator's fitted attributes and, given X, what it predicts."""
        self._attributes(label, estimator)
        if X is not None:
            self._predictions(label, estimator, X, y, sample_weight)

    def _attributes(self, label: str, estimator: Any) -> None:
        names = sorted(name for name in vars(estimator) if name.endswith("_") and not name.startswith("_"))
        self.note(f"{label}: attributes", tuple(names))
        curve = getattr(estimator, "loss_curve_", None)
        first = abs(float(curve[0])) if curve is not None and len(curve) else 0.0
        first = first if np.isfinite(first) else 0.0
        scales = {
            # A loss that training has made tiny carries the absolute error of the terms it is made of.
            "loss_": max(1e-3 * first, TINY),
            "best_loss_": max(1e-3 * first, TINY),
            "validation_scores_": 1.0,
            "best_validation_score_": 1.0,
        }
        for name in names:
            options = {"scale": scales[name]} if name in scales else {}
            self.note(f"{label}: {name}", getattr(estimator, name), **options)
        for name in ("partial_fit", "decision_function", "predict_proba", "predict_log_proba", "_random_state"):
            self.note(f"{label}: has {name}", hasattr(estimator, name))
        for name in ("_no_improvement_count", "_random_state"):
            if hasattr(estimator, name):
                self.note(f"{label}: {name}", getattr(estimator, name))
        if hasattr(estimator, "_label_binarizer"):
            self.note(f"{label}: _label_binarizer.classes_", estimator._label_binarizer.classes_)
            self.note(f"{label}: _label_binarizer.y_type_", estimator._label_binarizer.y_type_)
        for name in ("_best_coefs", "_best_intercepts"):
            if hasattr(estimator, name):
                self.note(f"{label}: {name}", getattr(estimator, name), optional=True)
        if hasattr(estimator, "_optimizer"):
            self._solver(label, estimator)

    def _solver(self, label: str, estimator: Any) -> None:
        optimizer = estimator._optimizer
        self.note(f"{label}: _optimizer.learning_rate", float(optimizer.learning_rate))
        # Moments of a converged fit are small differences; what counts is their size beside what they are added to.
        size = float(np.sqrt(sum(np.sum(np.square(w, dtype=float)) for w in estimator.coefs_ + estimator.intercepts_)))
        for name, scale in (("velocities", 1e-3 * size), ("ms", None), ("vs", None), ("t", None)):
            if not hasattr(optimizer, name):
                continue
            if name in ("ms", "vs"):
                root = float(np.sqrt(sum(np.sum(v, dtype=float) for v in optimizer.vs)))
                scale = root if name == "ms" else 1e-3 * root**2
            options = {} if scale is None or not np.isfinite(scale) else {"scale": max(scale, TINY)}
            self.note(f"{label}: _optimizer.{name}", getattr(optimizer, name), optional=True, **options)

    def _predictions(self, label: str, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        doubtful, slack = None, 0.0
        if is_classifier(estimator):
            proba = self.call(f"{label}: calling predict_proba", estimator.predict_proba, X)
            if proba is not None:
                self.note(f"{label}: predict_proba", proba)
                doubtful = _doubtful(np.asarray(proba), estimator, 10 * self.tolerance)
                slack = float(np.count_nonzero(doubtful)) / max(n, 1)
            logs = self.call(f"{label}: calling predict_log_proba", estimator.predict_log_proba, X)
            if logs is not None:
                # Undone again: the log of a probability within rounding of zero is noise.
                self.note(f"{label}: exp predict_log_proba", np.exp(logs))
        predicted = self.call(f"{label}: calling predict", estimator.predict, X)
        if predicted is not None:
            self.note(f"{label}: predict", predicted, **({} if doubtful is None else {"doubtful": doubtful}))
        if y is not None:
            score = self.call(f"{label}: calling score", estimator.score, X, y)
            if score is not None:
                self.note(f"{label}: score", score, scale=1.0, slack=slack)
            # A scalar weight is for `fit` alone.
            if np.ndim(sample_weight) == 1:
                score = self.call(f"{label}: calling weighted score", estimator.score, X, y, sample_weight)
                if score is not None:
                    self.note(f"{label}: weighted score", score, scale=1.0, slack=2 * slack)


def _doubtful(proba: np.ndarray, estimator: Any, margin: float) -> np.ndarray:
    """Return which predicted labels rounding may turn: a mask of the shape of `predict`."""
    if estimator.out_activation_ == "softmax":
        top = np.sort(proba, axis=1)
        return top[:, -1] - top[:, -2] < margin
    if estimator.n_outputs_ == 1:
        return np.abs(proba[:, 1] - 0.5) < margin
    return np.abs(proba - 0.5) < margin


def _form(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"ndarray {value.dtype} {value.shape}"
    return type(value).__name__


def flatten(label: str, value: Any) -> Iterator[tuple[str, Leaf]]:
    """Split a value into leaves; a list of plain numbers stays one leaf, as an array."""
    form = _form(value)
    if isinstance(value, np.random.RandomState):
        _, keys, position, has_gauss, cached = value.get_state()
        yield label, Leaf("exact", (keys.tobytes(), position, has_gauss, cached), "RandomState")
    elif isinstance(value, np.ndarray):
        kind = "number" if value.dtype.kind == "f" else "label"
        # A copy: in-place training would change what was recorded.
        yield label, Leaf(kind, value.copy(), form)
    elif isinstance(value, (list, tuple)):
        numbers = len(value) > 0 and all(isinstance(v, (float, np.floating)) for v in value)
        if numbers:
            types = sorted({type(v).__name__ for v in value})
            yield label, Leaf("number", np.array([float(v) for v in value]), f"{form} of {len(value)} {types}")
            return
        yield f"{label}, length", Leaf("exact", len(value), form)
        for k, item in enumerate(value):
            yield from flatten(f"{label}[{k}]", item)
    elif isinstance(value, (float, np.floating)):
        yield label, Leaf("number", np.asarray(float(value)), form)
    elif value is None or isinstance(value, (str, bool, int, np.integer, np.bool_)):
        yield label, Leaf("exact", value, form)
    else:
        raise HarnessError(f"{label}: no way to compare a {form}")


# ---------------------------------------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Difference:
    """One way in which the subject is not the reference."""

    label: str
    what: str
    reference: str
    subject: str

    @property
    def quantity(self) -> str:
        """The label without its steps and indices: what the documentation lists and `Library.accepted` names."""
        return re.sub(r"\[\d+\]", "", self.label.split(": ")[-1]).removesuffix(", length")

    def __str__(self) -> str:
        return f"{self.label}: {self.what}: {self.reference} in scikit-learn, {self.subject} here"


@dataclass
class Comparison:
    """Differences (none: equal), notes on what was left open, and the largest distance seen of each quantity."""

    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    distances: dict[str, float] = field(default_factory=dict)

    def add(self, label: str, what: str, reference: Any, subject: Any) -> None:
        """Add a difference."""
        self.differences.append(Difference(label, what, _brief(reference), _brief(subject)))

    def saw(self, label: str, distance: float) -> None:
        """Keep the largest distance of a quantity."""
        quantity = Difference(label, "", "", "").quantity
        self.distances[quantity] = max(distance, self.distances.get(quantity, 0.0))

    def join(self, other: Comparison, prefix: str = "") -> None:
        """Take over the findings of another comparison."""
        for d in other.differences:
            self.differences.append(Difference(prefix + d.label, d.what, d.reference, d.subject))
        self.notes += [prefix + note for note in other.notes]
        for quantity, distance in other.distances.items():
            self.distances[quantity] = max(distance, self.distances.get(quantity, 0.0))

    def accept(self, case_id: str, accepted: tuple[Accepted, ...]) -> Comparison:
        """Turn documented differences into notes."""
        for d in list(self.differences):
            reason = next((a.reason for a in accepted if a.covers(case_id, d.quantity, d.what)), None)
            if reason is not None:
                self.differences.remove(d)
                self.notes.append(f"accepted ({reason}): {d}")
        return self


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else text[:300] + " ..."


def distance(a: np.ndarray, b: np.ndarray, scale: float = TINY) -> float:
    """Return ``||a - b|| / max(||a||, scale)`` of two arrays of one shape; infinite unless non-finite entries agree."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float(np.inf)
    a, b = a[finite], b[finite]
    if a.size == 0:
        return 0.0
    # Scaled first: squares of what overflow has left behind would overflow again.
    unit = max(float(np.abs(a).max()), float(np.abs(b).max()), scale)
    gap = float(np.linalg.norm(a / unit - b / unit))
    return gap / max(float(np.linalg.norm(a / unit)), scale / unit)


_NUMBER = re.compile(r"[-+]?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\binf\b|\bnan\b)")


def text_difference(a: str, b: str, tolerance: float) -> str | None:
    """Compare two texts, printed decimals as numbers; return what differs, or None."""
    if _NUMBER.sub("#", a) != _NUMBER.sub("#", b):
        return "text"
    for x, y in zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=True):
        decimals = len(re.split("[eE]", x)[0].partition(".")[2])
        unit = 1.01 * 10.0**-decimals
        u, v = float(x), float(y)
        if not (u == v or (np.isnan(u) and np.isnan(v)) or abs(u - v) <= unit + tolerance * abs(u)):
            return f"number {x} / {y}"
    return None


Tolerance = Callable[[str], float]


def compare_traces(
    reference: Trace, subject: Trace, tolerance: float | Tolerance, *, skip: Callable[[str], bool] = lambda label: False
) -> Comparison:
    """Compare two traces entry by entry; labels for which `skip` holds are left out."""
    found = Comparison()
    tol: Tolerance = tolerance if callable(tolerance) else lambda label: tolerance
    optional = {e.label for t in (reference, subject) for e in t.entries if e.leaf is not None and e.leaf.optional}
    mine = {entry.label: entry for entry in reference.entries if not skip(entry.label)}
    theirs = {entry.label: entry for entry in subject.entries if not skip(entry.label)}
    if len({e.label for e in reference.entries}) != len(reference.entries):
        raise HarnessError("two entries of a trace share a label")
    for label, a in mine.items():
        b = theirs.get(label)
        if b is None:
            if label in optional:
                found.notes.append(f"{label} is not there")
            elif not a.is_call or a.exception is None:
                found.add(label, "missing", "there", "absent")
        elif a.is_call:
            _compare_call(found, a, b, tol(label))
        else:
            _compare_leaf(found, label, a.leaf, b.leaf, tol(label))
    for label in theirs:
        if label not in mine and label not in optional:
            found.add(label, "extra", "absent", "there")
    return found


def _sorted_sets(exception: tuple[str, str] | None) -> tuple[str, str] | None:
    """Return an exception with the sets in its text in order: a set of strings prints otherwise in each process."""
    if exception is None:
        return None
    return exception[0], re.sub(r"\{([^{}]*)\}", lambda m: ", ".join(sorted(m[1].split(", "))), exception[1])


def _compare_call(found: Comparison, a: Entry, b: Entry, tolerance: float) -> None:
    if _sorted_sets(a.exception) != _sorted_sets(b.exception):
        found.add(a.label, "exception", a.exception, b.exception)
        return
    if len(a.warnings) != len(b.warnings) or any(
        x[0] != y[0] or text_difference(x[1], y[1], tolerance) for x, y in zip(a.warnings, b.warnings, strict=True)
    ):
        found.add(a.label, "warnings", a.warnings, b.warnings)
    what = text_difference(a.stdout, b.stdout, tolerance)
    if what is not None:
        found.add(a.label, f"stdout, {what}", a.stdout, b.stdout)


def _compare_leaf(found: Comparison, label: str, a: Leaf, b: Leaf, tolerance: float) -> None:
    if a.form != b.form:
        found.add(label, "type", a.form, b.form)
    if a.kind != b.kind:
        return
    if a.kind == "exact":
        if a.value != b.value:
            found.add(label, "value", a.value, b.value)
        return
    if a.value.shape != b.value.shape:
        found.add(label, "shape", a.value.shape, b.value.shape)
        return
    if a.kind == "label":
        wrong = np.asarray(a.value != b.value)
        if a.doubtful is not None and a.doubtful.shape == wrong.shape:
            wrong &= ~a.doubtful
        if wrong.any():
            found.add(label, f"{np.count_nonzero(wrong)} labels", a.value[wrong][:5], b.value[wrong][:5])
        return
    gap = distance(a.value, b.value, a.scale)
    found.saw(label, gap)
    if not gap <= tolerance + a.slack:
        found.add(label, f"distance {gap:.2e}, allowed {tolerance + a.slack:.1e}", a.value, b.value)


# ---------------------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def observed_lbfgs(
    observe: Callable[[Callable[[np.ndarray], tuple[float, np.ndarray]]], Callable | None],
) -> Iterator[None]:
    """Hand the objective of every L-BFGS run inside to `observe`, before it starts.

    `observe` gets a callable from packed parameters to (loss, gradient), and may return another one to run instead.
    """
    original = scipy.optimize.minimize

    def minimize(fun: Callable, x0: np.ndarray, args: tuple = (), **options: Any) -> Any:
        instead = observe(lambda x: fun(x, *args))
        if instead is None:
            return original(fun, x0, args=args, **options)
        return original(instead, x0, **options)

    scipy.optimize.minimize = minimize
    try:
        yield
    finally:
        scipy.optimize.minimize = original


Visit = tuple[np.ndarray, float, np.ndarray]
"""A point L-BFGS asked for, with its loss and gradient."""


def run(case: Case, library: Library, *, max_iter: int | None = None) -> Trace:
    """Run a case on a library."""
    params = dict(case.params)
    if max_iter is not None:
        params["max_iter"] = max_iter
    trace = Trace(library, FLOAT32 if case.single_precision else FLOAT64)
    data = case.data()
    state = case.make_random_state()
    estimator = library.estimator(case.is_classifier)(**{"random_state": state, **params})
    weighted = {} if data.sample_weight is None else {"sample_weight": data.sample_weight}
    for k in range(case.fits):
        fitted = trace.call(f"fit {k + 1}", estimator.fit, data.X, data.y, fails=case.fails, **weighted)
        if trace.failed:
            break
        trace.note(f"fit {k + 1} returns itself", fitted is estimator)
        last = k + 1 == case.fits
        trace.look(f"after fit {k + 1}", estimator, *((data.X_test, data.y_test) if last else ()))
    if not trace.failed:
        label = f"after fit {case.fits}, training rows"
        trace._predictions(label, estimator, data.X, data.y, data.sample_weight)
    if case.random_state == "instance":
        trace.note("the state handed over", state)
    if case.random_state == "none":
        trace.note("NumPy's global state", np.random.mtrand._rand)
    return trace


def _is_about_training(label: str) -> bool:
    """Return whether a label depends on how long training went on: left out where the number of epochs may differ."""
    quantity = Difference(label, "", "", "").quantity
    grows = (
        "loss_curve_",
        "validation_scores_",
        "t_",
        "n_iter_",
        "best_",
        "loss_",
        "_",
        "the state",
        "NumPy's",
        "fit ",
    )
    return quantity.startswith(grows)


def _stochastic(case: Case, subject: Library, spread: dict[str, Any] | None) -> Comparison:
    tolerance = FLOAT32 if case.single_precision else FLOAT64
    if not case.needs_spread:
        return compare_traces(run(case, REFERENCE), run(case, subject), tolerance)
    # float32 to the stop: the first epochs by the usual tolerance, the end by scikit-learn's distance from itself.
    found = Comparison()
    start = [run(case, library, max_iter=FLOAT32_EPOCHS) for library in (REFERENCE, subject)]
    found.join(compare_traces(*start, tolerance), f"{FLOAT32_EPOCHS} epochs, ")
    own = (spread or {}).get("distances", {})
    a, b = (run(case, library) for library in (REFERENCE, subject))
    epochs = [[e.leaf.value for e in t.entries if e.label.endswith(": n_iter_") and e.leaf] for t in (a, b)]
    same = epochs[0] == epochs[1]
    found.notes.append(f"n_iter_ {epochs[0]} in scikit-learn, {epochs[1]} here")
    found.join(
        compare_traces(
            a,
            b,
            lambda label: max(tolerance, SPREAD_FACTOR * own.get(label, 0.0)),
            skip=lambda label: not same and _is_about_training(label),
        ),
        "to the stop, ",
    )
    return found


def _lbfgs(case: Case, subject: Library, spread: dict[str, Any] | None) -> Comparison:
    found = Comparison()
    visits: list[list[Visit]] = []
    seen: list[list[tuple[float, np.ndarray]]] = []

    def record(objective: Callable) -> Callable:
        visits.append([])

        def recording(x: np.ndarray) -> tuple[float, np.ndarray]:
            loss, grad = objective(x)
            visits[-1].append((x.copy(), float(loss), np.array(grad, dtype=float)))
            return loss, grad

        return recording

    def evaluate(objective: Callable) -> None:
        if len(seen) < len(visits):
            values = [objective(x.copy()) for x, _, _ in visits[len(seen)]]
            seen.append([(float(loss), np.array(grad, dtype=float)) for loss, grad in values])

    with observed_lbfgs(record):
        a = run(case, REFERENCE)
    with observed_lbfgs(evaluate):
        b = run(case, subject)
    single = case.dtype == "float32"
    _compare_objective(found, visits, seen, LBFGS_LOSS_GRAD_FLOAT32 if single else LBFGS_LOSS_GRAD)
    tolerance = LBFGS_START_FLOAT32 if single else LBFGS_START
    if case.params.get("max_iter", 200) <= LBFGS_START_ITERATIONS:
        found.join(compare_traces(a, b, tolerance))
        return found
    start = [run(case, library, max_iter=LBFGS_START_ITERATIONS) for library in (REFERENCE, subject)]
    found.join(compare_traces(*start, tolerance), f"{LBFGS_START_ITERATIONS} iterations, ")
    _compare_lbfgs_end(found, a, b, spread or {}, tolerance, case.params.get("max_iter", 200))
    return found


def _compare_objective(
    found: Comparison, visits: list[list[Visit]], seen: list[list[tuple[float, np.ndarray]]], tolerance: float
) -> None:
    """Loss and gradient at every point that scikit-learn visits."""
    if len(seen) != len(visits):
        found.add("lbfgs objective", "calls of scipy.optimize.minimize", len(visits), len(seen))
        return
    # Both are sums whose terms cancel as training goes on; the error stays that of the terms. So the start sets the
    # scale, and the gradient's grows with the weights that its terms are multiplied by.
    first_x, first_loss, first_grad = visits[0][0]
    for k, (series, values) in enumerate(zip(visits, seen, strict=True)):
        for n, ((x, loss, grad), (other_loss, other_grad)) in enumerate(zip(series, values, strict=True)):
            growth = max(1.0, float(np.linalg.norm(x)) / max(float(np.linalg.norm(first_x)), TINY))
            loss_scale, grad_scale = abs(first_loss), growth * float(np.linalg.norm(first_grad))
            if np.shape(grad) != np.shape(other_grad):
                found.add(f"fit {k + 1}, evaluation {n}: gradient", "shape", np.shape(grad), np.shape(other_grad))
                return
            for what, u, v, scale in (
                ("lbfgs loss", np.asarray(loss), np.asarray(other_loss), loss_scale),
                ("lbfgs gradient", grad, other_grad, grad_scale),
            ):
                gap = distance(u, v, max(scale, TINY))
                found.saw(what, gap)
                if not gap <= tolerance:
                    found.add(f"fit {k + 1}, evaluation {n}: {what}", f"distance {gap:.2e}", u, v)


def masked_warnings(trace: Trace) -> list[tuple[str, str]]:
    """Return the warnings of all fits with their numbers left out."""
    return [(c, re.sub(r"\d+", "#", text)) for e in trace.entries if e.is_call for c, text in e.warnings]


def final_losses(trace: Trace) -> list[float]:
    """Return `loss_` after each fit."""
    return [float(e.leaf.value) for e in trace.entries if e.leaf is not None and e.label.endswith(": loss_")]


def iterations(trace: Trace) -> list[int]:
    """Return `n_iter_` after each fit."""
    return [int(e.leaf.value) for e in trace.entries if e.leaf is not None and e.label.endswith(": n_iter_")]


def _compare_lbfgs_end(
    found: Comparison, a: Trace, b: Trace, spread: dict[str, Any], tolerance: float, max_iter: int
) -> None:
    """The end of a chaotic run: same kinds of results, and a final loss such as scikit-learn itself arrives at."""
    found.notes.append(f"n_iter_ {iterations(a)} in scikit-learn, {iterations(b)} here")
    forms = compare_traces(a, b, np.inf, skip=lambda label: label.startswith("fit ") or "state" in label)
    found.differences += [
        d for d in forms.differences if d.what in ("type", "missing", "extra", "exception") and d.quantity != "n_iter_"
    ]
    # Which limit ends a run is part of the chaos; what is said about it is not.
    ended_alike = [n == max_iter for n in iterations(a)] == [n == max_iter for n in iterations(b)]
    repeatable = len(spread.get("warnings", [])) <= 1
    if ended_alike and repeatable and masked_warnings(b) != masked_warnings(a):
        found.add("to the stop, fit", "warnings", masked_warnings(a), masked_warnings(b))
    mine, theirs = final_losses(a), final_losses(b)
    if len(mine) != len(theirs):
        found.add("to the stop, loss_", "fits", len(mine), len(theirs))
        return
    for k, (loss, other) in enumerate(zip(mine, theirs, strict=True)):
        own = [loss, *(losses[k] for losses in spread.get("losses", []))]
        low, high = min(own), max(own)
        # Five samples do not show the ends of a distribution: the interval counts twice more on each side.
        room = 2 * (high - low) + tolerance * abs(loss)
        found.saw("lbfgs final loss", abs(other - loss) / max(abs(loss), TINY))
        if not low - room <= other <= high + room:
            found.add(f"to the stop, fit {k + 1}, loss_", f"outside [{low:.12g}, {high:.12g}]", loss, other)


def compare(case: Case, subject: Library = SUBJECT, spread: dict[str, Any] | None = None) -> Comparison:
    """Run a case on scikit-learn and on the subject and compare everything that can be seen.

    `spread` is the case's entry of `parity.spread`, needed where `case.needs_spread` says so.
    """
    how = _stochastic if case.stochastic else _lbfgs
    if case.fails is not None:
        found = compare_traces(run(case, REFERENCE), run(case, subject), FLOAT64)
    else:
        found = how(case, subject, spread)
    return found.accept(case.id, subject.accepted)


def differences(case: Case, subject: Library = SUBJECT, spread: dict[str, Any] | None = None) -> list[Difference]:
    """Return how the subject differs from scikit-learn in a case; an empty list is equality."""
    return compare(case, subject, spread).differences
