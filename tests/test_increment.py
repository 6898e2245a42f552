"""The short path into `partial_fit`: what the long one does to an estimator, to the bit, or the long one itself."""

import copy
import os
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import Tensor, outcome
from threadpoolctl import threadpool_limits

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, _stochastic
from fastmlp import _increment as increment
from fastmlp._base import BaseMLP
from fastmlp.backends import get_backend

try:
    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = [
    pytest.mark.c,
    pytest.mark.skipif(os.environ.get("FASTMLP_BACKEND", "c") not in ("c", "auto"), reason="another backend is chosen"),
]

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(6000, 6))
SUM = ROWS.sum(axis=1)
TARGETS = {
    "binary": (SUM > 0).astype(int),
    "multiclass": np.digitize(SUM, [-2, 0, 2]) + 5,
    "strings": np.array(["no", "perhaps", "yes"])[np.digitize(SUM, [-1, 1])],
    "objects": np.array(["no", "perhaps", "yes"], dtype=object)[np.digitize(SUM, [-1, 1])],
    "booleans": ROWS[:, 0] > 0,
    "floats": np.digitize(SUM, [-2, 0, 2]).astype(float),
    "regression": SUM,
    "two outputs": ROWS[:, :2] * 3,
    "counts": np.floor(np.abs(SUM)),
}
CALLS = [(0, 50), (50, 51), (51, 52), (60, 92), (100, 420), (7, 8), (0, 4500), (3, 35)]
"""Rows of each call; the first one and the one of 4500 rows go the long way."""


def make(name, **options):
    options = {"hidden_layer_sizes": (7,), "random_state": 0, "learning_rate_init": 0.01, **options}
    if name in ("regression", "two outputs", "counts"):
        return MLPRegressor(loss="poisson" if name == "counts" else "squared_error", **options)
    return MLPClassifier(**options)


def train(estimator, name, rows, dtype="float64", **more):
    X, y = ROWS[rows].astype(dtype), TARGETS[name][rows]
    if isinstance(estimator, MLPClassifier) and not hasattr(estimator, "classes_"):
        more["classes"] = np.unique(TARGETS[name])
    return estimator.partial_fit(X, y, **more)


def started(name="multiclass", dtype="float64", **options):
    """An estimator whose next `partial_fit` may take the short path."""
    estimator = train(make(name, **options), name, slice(0, 50), dtype)
    assert estimator._short.step is not None
    return estimator


@pytest.fixture
def long_calls(monkeypatch):
    """Count the fits that go the long way."""
    calls, original = [], BaseMLP._fit

    def counted(self, *args, **kwargs):
        calls.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(BaseMLP, "_fit", counted)
    for cls in (MLPClassifier, MLPRegressor):
        assert cls._fit is counted
    return calls


def attributes_of(estimator):
    """All that an estimator knows, as bytes or plain objects."""
    found = {}
    for name, value in vars(estimator).items():
        if name in ("_shown_weights", "_short", "_label_binarizer"):
            continue
        if name == "_optimizer":
            value = {**vars(value), "state": None, "moments": [m.tobytes() for m in value.state.moments]}
            value |= {"hyper": estimator._optimizer.state.hyper, "steps": estimator._optimizer.state.t}
        elif name in ("loss_", "loss_curve_"):
            value = repr(value)  # NaN equals NaN
        elif isinstance(value, np.random.RandomState):
            value = pickle.dumps(value.get_state())
        elif isinstance(value, np.ndarray):
            value = (value.dtype, value.tobytes())
        elif isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            value = [(array.dtype, array.tobytes()) for array in value]
        found[name] = value
    return found


def long_way(estimator, *args, **kwargs):
    estimator._short.step = None
    return estimator.partial_fit(*args, **kwargs)


OPTIONS = {
    "sgd": {"solver": "sgd"},
    "adam": {"solver": "adam"},
    "in order": {"shuffle": False, "alpha": 0.1},
    "batches": {"batch_size": 32},
    "scaling": {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.5, "nesterovs_momentum": False},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0},
    "linear": {"hidden_layer_sizes": ()},
    "one unit": {"hidden_layer_sizes": (1, 1), "activation": "tanh"},
    "ignorant": {"random_state": None},
    "instance": {"random_state": "instance"},
    "own dtype": {"hidden_layer_sizes": 5, "dtype": "own"},
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("options", OPTIONS)
def test_does_what_the_long_way_does(name, options, dtype, long_calls):
    options = dict(OPTIONS[options])
    if options.get("dtype") == "own":
        options["dtype"] = dtype.name
    results = []
    for way in ("short", "long"):
        np.random.seed(5)
        estimator, history = make(name, **options), []
        if estimator.random_state == "instance":
            estimator.set_params(random_state=np.random.RandomState(3))
        long_calls.clear()
        for i, (start, stop) in enumerate(CALLS):
            if way == "long" and i > 0:
                estimator._short.step = None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert train(estimator, name, slice(start, stop), dtype) is estimator
            history.append(copy.deepcopy(attributes_of(estimator)))
        state = np.random.get_state()
        results.append((history, pickle.dumps(state)))
        # A batch of 32 is more than there is where one row comes: that warns.
        few = sum(1 for start, stop in CALLS[1:] if stop - start < options.get("batch_size", 0))
        assert len(long_calls) == (len(CALLS) if way == "long" else 2 + few)
    for i, (one, other) in enumerate(zip(results[0][0], results[1][0], strict=True)):
        del one["random_state"], other["random_state"]
        assert one == other, i
    assert results[0][1] == results[1][1]


def spoiled(value):
    def change(X, y):
        X = X.copy()
        X[1, 1] = value
        return X, y

    return change


def frame(X, y):
    return pd.DataFrame(X), pd.Series(y)


INPUT = {
    "lists": lambda X, y: (X.tolist(), y.tolist()),
    "frame": frame,
    "NaN": spoiled(np.nan),
    "infinite": spoiled(-np.inf),
    "strided": lambda X, y: (np.repeat(X, 2, axis=1)[:, ::2], y),
    "column-major": lambda X, y: (np.asfortranarray(X), y),
    "integers": lambda X, y: (X.astype(int), y),
    "CSR": lambda X, y: (sp.csr_array(X), y),
    "CSC": lambda X, y: (sp.csc_matrix(X), y),
    "other float": lambda X, y: (X.astype("float32"), y),
    "too wide": lambda X, y: (np.hstack([X, X]), y),
    "vector": lambda X, y: (X[0], y),
    "number": lambda X, y: (np.array(3), y),
    "no rows": lambda X, y: (X[:0], y[:0]),
    "fewer labels": lambda X, y: (X, y[:-1]),
    "column": lambda X, y: (X, y[:, None]),
    "scalar": lambda X, y: (X, 3),
    "array of no dimension": lambda X, y: (X, np.array(3.0)),
    "none": lambda X, y: (X, None),
    "unknown label": lambda X, y: (X, np.where(np.arange(len(y)) == 2, 77, y)),
    "fractions": lambda X, y: (X, y + 0.5),
    "NaN in y": lambda X, y: (X, np.where(np.arange(len(y)) == 2, np.nan, y)),
    "float32 labels": lambda X, y: (X, y.astype("float32")),
    "strided y": lambda X, y: (X, np.repeat(y, 2)[::2]),
    "series": lambda X, y: (X, pd.Series(y)),
    "series of integers": lambda X, y: (X, pd.Series(y.astype(int))),
    "whole numbers": lambda X, y: (X, y.astype(int)),
    "list of labels": lambda X, y: (X, y.tolist()),
    "tuple of labels": lambda X, y: (X, tuple(y.tolist())),
    "mixed list": lambda X, y: (X, [float(y[0]), *y[1:].tolist()]),
    "booleans": lambda X, y: (X, y > 5),
    "text": lambda X, y: (X, y.astype(str)),
    "objects": lambda X, y: (X, y.astype(object)),
    "too large for float32": lambda X, y: (X, y * 1e300),
}


@pytest.mark.parametrize("spoil", INPUT)
@pytest.mark.parametrize(
    ("name", "classes"),
    [("regression", "none"), *(("multiclass", which) for which in ("none", "array", "list", "wrong", "floats"))],
)
def test_other_input(name, spoil, classes):
    more = {}
    if classes != "none":
        known = np.unique(TARGETS[name])
        more["classes"] = {"array": known, "list": known.tolist(), "wrong": known[:-1], "floats": known * 1.0}[classes]
    one = started(name)
    other = copy.deepcopy(one)
    assert other._short.step is None
    X, y = INPUT[spoil](ROWS[50:60], TARGETS[name][50:60])
    (result, warned), (expected, also_warned) = (
        outcome(one.partial_fit, X, y, **more),
        outcome(other.partial_fit, X, y, **more),
    )
    assert warned == also_warned
    if isinstance(expected, Exception):
        assert (type(result), str(result)) == (type(expected), str(expected))
    else:
        assert result is one
    assert attributes_of(one) == attributes_of(other)


@pytest.mark.parametrize("spoil", ["lists", "column-major", "strided", "integers", "other float", "list of labels"])
@pytest.mark.parametrize("name", ["multiclass", "strings", "regression", "two outputs", "counts"])
def test_what_numpy_makes_an_array_of_takes_the_short_path(spoil, name, long_calls):
    one = train(make(name), name, slice(0, 50))
    long_calls.clear()
    one.partial_fit(*INPUT[spoil](ROWS[50:60], TARGETS[name][50:60]))
    assert not long_calls


@pytest.mark.parametrize("form", [np.asarray, pd.Series, np.ndarray.tolist])
def test_whole_numbers_as_targets_take_the_short_path(form, long_calls):
    one, other = started("counts"), started("counts")
    long_calls.clear()
    one.partial_fit(ROWS[50:60], form(TARGETS["counts"][50:60].astype(int)))
    assert not long_calls
    long_way(other, ROWS[50:60], TARGETS["counts"][50:60])
    assert attributes_of(one) == attributes_of(other)


def test_arrays_of_other_libraries_go_the_long_way(long_calls):
    one, other = started(), started()
    long_calls.clear()
    one.partial_fit(Tensor(ROWS[50:60]), TARGETS["multiclass"][50:60])
    assert long_calls
    other.partial_fit(ROWS[50:60], TARGETS["multiclass"][50:60])
    assert attributes_of(one) == attributes_of(other)


@pytest.mark.parametrize("name", ["multiclass", "strings", "regression"])
def test_frames_take_the_short_path(name, long_calls):
    frame, y = pd.DataFrame(ROWS, columns=list("abcdef")), pd.Series(TARGETS[name])
    more = {} if name == "regression" else {"classes": np.unique(y)}
    one = make(name).partial_fit(frame[:50], y[:50], **more)
    other = copy.deepcopy(one)
    long_calls.clear()
    one.partial_fit(frame[50:60], y[50:60])
    assert not long_calls
    long_way(other, frame[50:60], y[50:60])
    for X in (ROWS, frame.to_numpy(), frame[list("abcdfe")], frame.rename(columns={"a": "z"}), frame.assign(b="x")):
        (result, warned), (expected, also_warned) = (
            outcome(one.partial_fit, X[60:70], y[60:70]),
            outcome(long_way, other, X[60:70], y[60:70]),
        )
        assert warned == also_warned
        if isinstance(expected, Exception):
            assert (type(result), str(result)) == (type(expected), str(expected))
        assert attributes_of(one) == attributes_of(other)


def test_targets_beyond_float32_are_an_error_without_a_warning():
    one = started("regression", "float32")
    result, warned = outcome(one.partial_fit, ROWS[50:60].astype("float32"), np.full(10, 1e300))
    assert isinstance(result, ValueError)
    assert warned == []


def threads_of(estimator):
    return estimator._short.step._stepper._run.n_threads


@pytest.mark.skipif(get_backend("c").n_threads < 2, reason="one processor")
@pytest.mark.parametrize("limited", [lambda: threadpool_limits(1), lambda: fastmlp.config_context(n_threads=1)])
def test_a_limit_of_threads_holds_for_what_was_bound_before_it(limited, long_calls):
    X, y = np.random.default_rng(0).normal(size=(400, 64)), np.arange(400) % 10
    one = MLPClassifier((512,), random_state=0, batch_size=400)
    for _ in range(2):
        one.partial_fit(X, y, classes=range(10))
    several = threads_of(one)
    assert several > 1
    other = copy.deepcopy(one)
    with limited():
        one.partial_fit(X, y)
        assert threads_of(one) == 1
        long_calls.clear()
        one.partial_fit(X, y)
        assert not long_calls
    one.partial_fit(X, y)
    assert threads_of(one) == several
    for _ in range(3):
        other.partial_fit(X, y)
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


def test_arguments(long_calls):
    X, y = ROWS[50:60], TARGETS["multiclass"][50:60]
    known, weights = np.unique(TARGETS["multiclass"]), np.ones(10)
    for positional, named, is_long in (
        ((X, y), {}, False),
        ((X,), {"y": y}, False),
        ((), {"X": X, "y": y, "classes": known}, False),
        ((X, y, None), {"classes": known[::-1]}, True),
        ((X, y, None, known), {}, True),
        ((X, y, weights), {}, True),
        ((X, y), {"sample_weight": weights, "classes": known}, True),
    ):
        estimator = started()
        long_calls.clear()
        estimator.partial_fit(*positional, **named)
        assert bool(long_calls) == is_long
    for positional, named in (((X,), {}), ((X, y), {"groups": 1}), ((X, y, None, known, 5), {})):
        with pytest.raises(TypeError, match="partial_fit"):
            started().partial_fit(*positional, **named)
    with pytest.raises(TypeError, match="classes"):
        started("regression").partial_fit(X, y, classes=known)


def test_labels_as_a_list(long_calls):
    estimator = started("strings")
    long_calls.clear()
    estimator.partial_fit(ROWS[:3], ["no", "yes", "perhaps"])
    assert not long_calls


OBJECTS = ["yes", "no\0", "other", None, np.nan, b"no", 1, np.str_("no"), ["no"]]


@pytest.mark.parametrize("label", OBJECTS, ids=repr)
@pytest.mark.parametrize("classes", ["none", "array", "objects", "list", "other objects", "mixed", "column", "scalar"])
def test_objects_as_labels(label, classes):
    more, known = {}, np.unique(TARGETS["objects"])
    if classes != "none":
        more["classes"] = {
            "array": known.astype(str),
            "objects": known,
            "list": known.tolist(),
            "other objects": known + "\0",
            "mixed": np.array([*known, None]),
            "column": known[:, None],
            "scalar": np.array(None),
        }[classes]
    one = started("objects")
    other = copy.deepcopy(one)
    y = TARGETS["objects"][50:60].copy()
    y[3] = label
    (result, warned), (expected, also_warned) = (
        outcome(one.partial_fit, ROWS[50:60], y, **more),
        outcome(other.partial_fit, ROWS[50:60], y, **more),
    )
    assert warned == also_warned
    if isinstance(expected, Exception):
        assert (type(result), str(result)) == (type(expected), str(expected))
    assert attributes_of(one) == attributes_of(other)


def test_classes_as_objects(long_calls):
    known = np.unique(TARGETS["objects"])
    estimator = started("objects")
    long_calls.clear()
    estimator.partial_fit(ROWS[:3], TARGETS["objects"][:3], classes=known)
    assert not long_calls


@pytest.mark.parametrize("of_kind", [list, np.asarray, np.vectorize(str)], ids=["list", "objects", "strings"])
def test_many_given_classes_warn_as_ever(of_kind):
    """At each call, with scikit-learn 1.7; later not at all."""
    known = np.array([f"class {i:02}" for i in range(21)], dtype=object)
    X, y = ROWS[:100], known[np.arange(100) % 21]
    estimator = make("objects").partial_fit(X, y, classes=of_kind(known))
    other = copy.deepcopy(estimator)
    _, warned = outcome(estimator.partial_fit, X, y, classes=of_kind(known))
    _, expected = outcome(long_way, other, X, y, classes=of_kind(known))
    assert warned == expected


def test_classes_that_differed_in_a_nul_go_the_long_way():
    """Both are "a" in `classes_`: the first of them is that of a label "a"."""
    estimator = make("objects").partial_fit(
        ROWS[:3], np.array(["a", "b", "a"]), classes=np.array(["a", "a\0", "b"], "O")
    )
    other = copy.deepcopy(estimator)
    estimator.partial_fit(ROWS[:3], ["a", "b", "a"])
    assert attributes_of(estimator) == attributes_of(long_way(other, ROWS[:3], ["a", "b", "a"]))


def test_many_classes_for_few_rows_warn_as_ever():
    X, y = ROWS[:30], np.arange(30) % 17
    estimator = make("multiclass").partial_fit(X, y, classes=np.arange(17))
    other = copy.deepcopy(estimator)
    for n in (15, 20, 21, 30):
        (_, warned), (_, expected) = (
            outcome(estimator.partial_fit, X[:n], y[:n]),
            outcome(long_way, other, X[:n], y[:n]),
        )
        assert warned == expected
    assert attributes_of(estimator) == attributes_of(other)


PARAMETERS = {
    "alpha": 0.5,
    "batch_size": 2,
    "shuffle": False,
    "random_state": 9,
    "tol": 0.5,
    "n_iter_no_change": 1,
    "activation": "tanh",
    "early_stopping": True,
    "warm_start": True,
    "verbose": True,
    "hidden_layer_sizes": (0,),
    "solver": "adam",
    "learning_rate_init": 1.0,
    "momentum": 0.1,
    "backend": "numpy",
    "dtype": "float32",
    "loss": "poisson",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_take_effect(name, capsys):
    one = started("regression", solver="sgd")
    other = copy.deepcopy(one)
    printed = []
    for estimator in (one, other):
        estimator.set_params(**{name: PARAMETERS[name]})
        for start in (50, 60, 70):
            if estimator is other:
                estimator._short.step = None
            y = np.abs(TARGETS["regression"][start : start + 9])
            result, _ = outcome(estimator.partial_fit, ROWS[start : start + 9], y)
            assert result is estimator or name in ("early_stopping", "hidden_layer_sizes")
        printed.append(capsys.readouterr().out)
    assert attributes_of(one) == attributes_of(other)
    assert printed[0] == printed[1]


def test_classes_can_be_edited():
    X, y = ROWS[50:60], TARGETS["multiclass"][50:60]
    known = np.unique(TARGETS["multiclass"])
    estimator = started()
    estimator.classes_ = known + 1
    with pytest.raises(ValueError, match="is not the same as on last call"):
        estimator.partial_fit(X, y, classes=known)
    estimator = started()
    del estimator.classes_
    estimator.partial_fit(X, y, classes=known)
    np.testing.assert_array_equal(estimator.classes_, known)


def test_the_solver_can_be_edited(long_calls):
    one, other = started("regression", solver="sgd"), started("regression", solver="sgd")
    long_calls.clear()
    for estimator in (one, other):
        estimator._optimizer.learning_rate = 0.5
        estimator._optimizer.velocities[0][:] = 1
        estimator.coefs_[0][:] *= 2
        if estimator is one:
            train(estimator, "regression", slice(50, 52))
            assert not long_calls
        else:
            long_way(estimator, ROWS[50:52], TARGETS["regression"][50:52])
    assert attributes_of(one) == attributes_of(other)


def test_arrays_that_were_put_in_are_trained(long_calls):
    for name in ("multiclass", "regression"):
        estimator = started(name)
        own = estimator.intercepts_[-1] = estimator.intercepts_[-1].copy()
        before = own.copy()
        long_calls.clear()
        train(estimator, name, slice(50, 60))
        assert long_calls
        assert estimator.intercepts_[-1] is own
        assert (own != before).any()


def test_the_backend_is_asked_for_at_each_call(long_calls):
    estimator = started()
    long_calls.clear()
    with fastmlp.config_context(backend="numpy"):
        train(estimator, "multiclass", slice(50, 60))
    assert len(long_calls) == 1
    train(estimator, "multiclass", slice(50, 60))
    assert len(long_calls) == 1  # bound as before


def test_a_fresh_fit_begins_anew(long_calls):
    estimator = started("regression", max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(ROWS[:90], SUM[:90] * 2)
    other = copy.deepcopy(estimator)
    long_calls.clear()
    train(estimator, "regression", slice(50, 60))
    assert len(long_calls) == 1
    train(estimator, "regression", slice(60, 70))
    assert len(long_calls) == 1
    for start in (50, 60):
        long_way(other, ROWS[start : start + 10], SUM[start : start + 10])
    assert attributes_of(estimator) == attributes_of(other)


def test_weights_that_run_away_stay_and_raise(long_calls):
    estimator = started("regression", "float32", solver="sgd")
    estimator._optimizer.learning_rate = 1e30
    long_calls.clear()
    estimator.coefs_[0][:] = 1e30
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        train(estimator, "regression", slice(50, 60), "float32")
    assert not long_calls
    assert not np.isfinite(estimator.coefs_[0]).all()
    assert estimator.n_iter_ == 1


def test_interrupts(monkeypatch):
    estimator = started("regression")
    before = attributes_of(estimator)

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(c.CStepper, "take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(estimator, "regression", slice(50, 60))
    assert attributes_of(estimator) == before
    with monkeypatch.context() as patch:
        patch.setattr(c.CStepper, "_run_epochs", interrupted)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            assert train(estimator, "regression", slice(50, 60)) is estimator
    after = attributes_of(estimator)
    assert after["n_iter_"] == 0
    assert {name for name in after if after[name] != before[name]} == {"n_iter_", "_random_state"}
    train(estimator, "regression", slice(50, 60))
    assert estimator.t_ == 60


class Callback:
    """What scikit-learn takes for a callback, and counts epochs."""

    epochs = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.epochs += context.task_name == "epoch"


def test_callbacks_go_the_long_way():
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    estimator, callback = started("regression"), Callback()
    estimator.set_callbacks(callback)
    train(estimator, "regression", slice(50, 60))
    assert callback.epochs == 1


class Watchful(MLPRegressor):
    def _validate_input(self, X, y, incremental, reset):
        return super()._validate_input(X, y * 2, incremental, reset)


def test_subclasses(long_calls):
    estimator = train(Watchful(), "regression", slice(0, 50))
    assert estimator._short.step is None


def test_states_are_not_carried_away():
    estimator = started("regression")
    for other in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert other._short.step is None
        train(other, "regression", slice(50, 60))
        assert other.t_ == 60
    assert estimator.t_ == 50


def test_one_estimator_in_two_threads_does_no_harm():
    """What comes out is not defined, but no row is read past its end."""
    estimator, barrier = started("regression", solver="sgd", learning_rate_init=1e-6), threading.Barrier(4)
    pieces = [ROWS[:1].copy(), ROWS[:2].copy(), ROWS[:500].copy(), ROWS[:100].copy()]

    def work(X):
        barrier.wait()
        for _ in range(200):
            estimator.partial_fit(X, X[:, 0].copy())

    threads = [threading.Thread(target=work, args=(X,)) for X in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.isfinite(estimator.coefs_[0]).all()


def test_watched_attributes_are_those_of_an_estimator():
    for name in ("multiclass", "regression"):
        assert set(increment._WATCHED) <= set(vars(started(name)))


class SignalError(Exception):
    """What a handler of a signal raises, at any moment."""


class Raising(dict):
    """Attributes that are looked up when the signal arrives."""

    def __getitem__(self, name):
        raise SignalError


def test_exceptions_of_signals_are_heard():
    estimator = started("regression")
    with pytest.raises(SignalError):
        estimator._short.step.holds(Raising())


def run_then(raises, *, when):
    """A `_run_epochs` that raises before or after the epoch."""
    original = c.CStepper._run_epochs

    def run(self, n_epochs):
        if when == "before":
            raise raises
        original(self, n_epochs)
        raise raises

    return run


@pytest.mark.parametrize("name", ["multiclass", "regression"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("raises", [SignalError, SystemExit, RecursionError])
def test_what_fails_is_as_it_was_or_complete(name, solver, raises, monkeypatch):
    estimator, other = started(name, solver=solver), started(name, solver=solver)

    def assert_as_it_was(rows):
        before = attributes_of(estimator)
        with pytest.raises(raises):
            train(estimator, name, rows)
        after = attributes_of(estimator)
        assert {key for key in after if after[key] != before[key]} <= {"_random_state"}

    with monkeypatch.context() as patch:
        patch.setattr(c.CStepper, "_run_epochs", run_then(raises, when="before"))
        assert_as_it_was(slice(50, 60))
    # A short epoch is one call of C: when that has come back, the epoch is complete.
    with monkeypatch.context() as patch:
        patch.setattr(c.CStepper, "_run_epochs", run_then(raises, when="after"))
        with pytest.raises(raises):
            train(estimator, name, slice(50, 60))
    assert attributes_of(estimator) == attributes_of(train(other, name, slice(50, 60)))
    # A long one may have been left in its midst.
    with monkeypatch.context() as patch:
        patch.setattr(increment, "_SHORT", 0)
        patch.setattr(c.CStepper, "_run_epochs", run_then(raises, when="after"))
        assert_as_it_was(slice(60, 70))
    assert attributes_of(train(estimator, name, slice(60, 70))) == attributes_of(train(other, name, slice(60, 70)))


def test_an_interrupt_after_the_epoch_keeps_it(monkeypatch):
    estimator, other = started(), started()
    with monkeypatch.context() as patch:
        patch.setattr(c.CStepper, "_run_epochs", run_then(KeyboardInterrupt, when="after"))
        with pytest.warns(UserWarning, match="Training interrupted"):
            train(estimator, "multiclass", slice(50, 60))
    assert attributes_of(estimator) == attributes_of(train(other, "multiclass", slice(50, 60)))


def test_an_interrupt_while_the_epoch_is_noted(monkeypatch):
    estimator, other = started(), started()
    judge = _stochastic.judge

    def interrupted(*arguments):
        monkeypatch.setattr(_stochastic, "judge", judge)
        raise KeyboardInterrupt

    monkeypatch.setattr(_stochastic, "judge", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted"):
        train(estimator, "multiclass", slice(50, 60))
    assert attributes_of(estimator) == attributes_of(train(other, "multiclass", slice(50, 60)))


def test_rows_that_are_not_aligned_go_the_long_way(long_calls):
    estimator, other = started("regression"), started("regression")
    long_calls.clear()
    for odd_one in ("X", "y"):
        X, y = ROWS[50:60], SUM[50:60]
        train(other, "regression", slice(50, 60))
        long_calls.clear()
        estimator.partial_fit(*(odd(array) if name == odd_one else array for name, array in (("X", X), ("y", y))))
        assert len(long_calls) == 1
        assert attributes_of(estimator) == attributes_of(other)


def odd(array):
    """The same array one byte further than its elements should lie."""
    moved = np.frombuffer(b"\0" + array.tobytes(), array.dtype, array.size, 1).reshape(array.shape)
    assert not moved.flags.aligned
    return moved
