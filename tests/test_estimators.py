"""What the estimators have beyond scikit-learn's, and what they promise of their own. Equality is test_parity's."""

import copy
import inspect
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import types
import warnings
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from conftest import run_python
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor
from sklearn.preprocessing import scale

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, _base
from fastmlp._sklearn import lbfgs_point_dtype
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import available_backends, get_backend

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CORE_ONLY = [
    name
    for name, entry in ACTIVATIONS.items()
    if not entry.outputs_only and entry.needs and name not in ("identity", "logistic", "tanh", "relu")
]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


@pytest.mark.parametrize(("ours", "theirs"), [(MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor)])
def test_parameters_of_our_own(ours, theirs):
    own = [name for name in inspect.signature(ours).parameters if name not in inspect.signature(theirs).parameters]
    assert own == ["backend", "dtype", "n_threads", *(["loss"] if ours is MLPClassifier else [])]


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_every_backend_gives_the_same_model(backend, solver, iris):
    X, y = iris
    reference = SklearnClassifier((7, 5), solver=solver, max_iter=10, random_state=3).fit(X, y)
    model = MLPClassifier((7, 5), solver=solver, max_iter=10, random_state=3, backend=backend).fit(X, y)
    for ours, theirs in zip(model.coefs_ + model.intercepts_, reference.coefs_ + reference.intercepts_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8 * np.linalg.norm(theirs))


def test_no_hidden_layer_is_logistic_regression():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    alpha = 1.0
    ours = MLPClassifier((), solver="lbfgs", alpha=alpha, tol=1e-9, max_iter=5000, random_state=0).fit(X, y)
    theirs = LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=5000).fit(X, y)
    # L-BFGS stops where the loss does not change any more, within 0.1 % of the minimiser.
    np.testing.assert_allclose(ours.coefs_[0].T, theirs.coef_, atol=5e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-3)
    assert ours.coefs_[0].shape == (X.shape[1], 1)


def test_no_hidden_layer_is_linear_regression():
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    ours = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=2.0, tol=1e-9, max_iter=5000, random_state=0)
    theirs = Ridge(alpha=2.0).fit(X, y)
    np.testing.assert_allclose(ours.fit(X, y).coefs_[0][:, 0], theirs.coef_, atol=5e-3)


@pytest.mark.parametrize("activation", CORE_ONLY)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_core_activations_by_name(activation, solver, iris):
    X, y = iris
    model = MLPClassifier(
        (16,), activation=activation, solver=solver, max_iter=300, random_state=1, alpha=1e-3, learning_rate_init=0.01
    )
    assert model.fit(X, y).score(X, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_an_activation_without_gradient_is_refused_with_the_reason(iris):
    model = MLPClassifier(activation="step")
    with pytest.raises(ValueError, match="no gradient through the activation 'step'"):
        model.fit(*iris)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backend": "fortran"}, "'backend' parameter"),
        ({"dtype": "float16"}, "'dtype' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
        ({"n_threads": -2}, "'n_threads' parameter"),
        ({"n_threads": 1.5}, "'n_threads' parameter"),
        ({"activation": "softmax"}, "'activation' parameter"),
    ],
)
def test_our_parameters_are_checked(parameters, message, iris):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(*iris)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("given", ["float64", "float32", "int64"])
def test_dtype_holds_whatever_comes_in(solver, given, iris):
    X, y = iris[0].round().astype(given), iris[1]
    single = MLPClassifier((5,), solver=solver, dtype="float32", max_iter=5, random_state=0).fit(X, y)
    assert {a.dtype for a in single.coefs_ + single.intercepts_} == {np.dtype("float32")}
    assert single.predict_proba(X).dtype == np.float32
    double = MLPClassifier((5,), solver=solver, dtype="float64", max_iter=5, random_state=0).fit(X, y)
    assert {a.dtype for a in double.coefs_ + double.intercepts_} == {np.dtype("float64")}
    assert double.predict_proba(X).dtype == np.float64
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-3)


def test_dtype_float32_is_a_fit_on_rounded_data_bit_for_bit(iris):
    X, y = iris
    converted = MLPClassifier((5,), dtype="float32", max_iter=5, random_state=0).fit(X, y)
    rounded = MLPClassifier((5,), max_iter=5, random_state=0).fit(X.astype("float32"), y)
    for a, b in zip(converted.coefs_, rounded.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("float32", "int64", "float64"),
        ("float32", "float16", "float32"),
        ("float32", "bool", "float32"),
        ("float64", "float32", "float64"),
        ("float64", "int8", "float64"),
    ],
)
def test_predictions_have_scikit_learns_dtype_and_values(model, rows, expected, iris):
    X, y = iris
    parameters = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
    ours = MLPClassifier(**parameters).fit(X.astype(model), y)
    theirs = SklearnClassifier(**parameters).fit(X.astype(model), y)
    given = (X > 0 if rows == "bool" else X).astype(rows)
    assert ours.predict_proba(given).dtype == theirs.predict_proba(given).dtype == expected
    np.testing.assert_allclose(ours.predict_proba(given), theirs.predict_proba(given), atol=1e-5)


def misaligned(X):
    shifted = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype).reshape(X.shape)
    shifted[...] = X
    return shifted


def only_readable(X):
    X = np.asfortranarray(X)
    X.flags.writeable = False
    return X


NOT_AS_BACKENDS_TAKE_THEM = {
    "column by column": np.asfortranarray,
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "some columns": lambda X: np.hstack([X, X])[:, : X.shape[1]],
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "misaligned": misaligned,
    "of the other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "read-only": only_readable,
    "integers": lambda X: X.astype(np.int64),
    "integers column by column": lambda X: np.asfortranarray(X.astype(np.int8)),
}


@pytest.fixture(scope="module")
def wide():
    """Rows of whole numbers, in more than two pieces, and a model for them in each dtype."""
    X = np.random.RandomState(0).randint(-3, 4, (700, 1100)).astype(float)
    y = X[:, :2].sum(axis=1)
    options = {"hidden_layer_sizes": (6, 3), "solver": "sgd", "max_iter": 2, "random_state": 0}
    return X, {t: MLPClassifier(**options).fit(X.astype(t), np.digitize(y, [-1, 1])) for t in ("float32", "float64")}


@pytest.mark.c
@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", NOT_AS_BACKENDS_TAKE_THEM)
@pytest.mark.parametrize("n", [1, 256, 257, 700])
def test_predictions_in_pieces_have_the_bits_of_those_in_one(wide, n, layout, dtype, given):
    X, models = wide
    X, model = X[:n].astype(given), models[dtype].set_params(backend="c")
    rows = NOT_AS_BACKENDS_TAKE_THEM[layout](X)
    expected = model.predict_proba(X.astype(np.result_type(rows, model.coefs_[0])))
    found = model.predict_proba(rows)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("layout", NOT_AS_BACKENDS_TAKE_THEM)
def test_predictions_in_pieces(wide, layout):
    X, models = wide
    model = models["float64"].set_params(backend="auto")
    rows = NOT_AS_BACKENDS_TAKE_THEM[layout](X)
    np.testing.assert_allclose(model.predict_proba(rows), model.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("backend_name", ["auto", "numpy"])
@pytest.mark.parametrize("layout", ["column by column", "some columns", "misaligned", "integers column by column"])
def test_predictions_copy_no_more_than_a_piece(layout, backend_name):
    X = np.random.RandomState(0).randint(-3, 4, (20_000, 64)).astype(float)
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X[:50], X[:50, 0])
    rows = NOT_AS_BACKENDS_TAKE_THEM[layout](X)
    model.set_params(backend=backend_name).predict(rows)
    tracemalloc.start()
    try:
        model.predict(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 3


def test_rows_in_order_are_predicted_in_one_call_and_not_copied(wide, monkeypatch):
    X, models = wide
    model, seen = copy.deepcopy(models["float64"]), []

    class Backend:
        takes_any_order = False

        def forward(self, spec, vector, rows):
            seen.append(rows)
            return np.zeros((len(rows), spec.units[-1]))

    backend = Backend()
    monkeypatch.setattr(_base, "get_backend", lambda name: backend)
    model.predict_proba(X)
    assert [np.shares_memory(rows, X) and rows.shape == X.shape for rows in seen] == [True]
    seen.clear()
    model.predict_proba(np.asfortranarray(X))
    assert [rows.shape[0] for rows in seen] == [256, 256, 188]
    assert all(rows.flags.c_contiguous for rows in seen)
    seen.clear()
    backend.takes_any_order = True
    for rows in (np.asfortranarray(X), X[::-1], X[:, ::-1]):
        model.predict_proba(rows)
    assert [rows.shape for rows in seen] == [X.shape] * 3
    seen.clear()
    model.predict_proba(misaligned(X))
    assert [rows.shape[0] for rows in seen] == [256, 256, 188]


@pytest.mark.c
@pytest.mark.c_fma
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_from_every_instruction_set(solver, dtype):
    instruction_sets = pytest.importorskip("instruction_sets", exc_type=ImportError)
    isas = [name for name in instruction_sets.SUPPORTED if name in instruction_sets.WITH_FMA]
    if len(isas) < 2:
        pytest.skip("a single instruction set with FMA here")
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(dtype)
    results = []
    for isa in isas:
        with instruction_sets.chosen(isa):
            model = MLPClassifier((30,), solver=solver, max_iter=4, early_stopping=True, random_state=0).fit(X, y)
            whole = model.predict_proba(X)
            for size in (1, 7, 16, 257):
                parts = [model.predict_proba(X[i : i + size]) for i in range(0, 600, size)]
                assert np.vstack(parts)[:600].tobytes() == whole[:600].tobytes()
            curves = np.array([model.loss_curve_, model.validation_scores_])
            results.append([a.tobytes() for a in (*model.coefs_, *model.intercepts_, curves, whole)])
    assert all(result == results[0] for result in results)


def _state(model):
    plain = {k: v for k, v in vars(model).items() if not isinstance(v, np.ndarray | list)}
    return plain, pickle.dumps([a.copy() for a in model.coefs_ + model.intercepts_])


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_failed_fit_leaves_the_estimator_as_it_was(solver, warm_start):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    model = MLPRegressor(hidden_layer_sizes=(5,), solver=solver, max_iter=5, random_state=0, warm_start=warm_start)
    model.fit(X, y)
    before, predictions = _state(model), model.predict(X)
    # All weights zero: scikit-learn checks it from 1.8 on; before, the mean over them fails.
    failures = [((ValueError, ZeroDivisionError), y, np.zeros(len(y)))]
    if solver != "lbfgs":  # whose line search steps back from infinity
        failures += [(ValueError, 1e307 * y, None), (ZeroDivisionError, y, (np.arange(len(y)) == 0).astype(float))]
    for error, targets, sample_weight in failures:
        with np.errstate(all="ignore"), pytest.raises(error):
            model.fit(X, targets, sample_weight=sample_weight)
        assert _state(model)[1] == before[1]
        assert _state(model)[0].keys() == before[0].keys()
        np.testing.assert_array_equal(model.predict(X), predictions)
    assert model.fit(X, y) is model


@pytest.mark.parametrize("library", [MLPRegressor, SklearnRegressor])
def test_partial_fit_that_ends_in_infinity_raises_as_scikit_learn_does(library):
    X, y = load_diabetes(return_X_y=True)
    model = library(hidden_layer_sizes=(5,), solver="sgd", random_state=0, learning_rate_init=1e200)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite parameter weights"):
        model.partial_fit(X, 1e200 * y)
    assert not all(np.isfinite(a).all() for a in model.coefs_)


@pytest.mark.parametrize(
    ("sizes", "got"),
    [
        ((5.7,), "5.7 of type float"),
        (True, "True of type bool"),
        ((3, np.float64(2)), "2.0.* of type float64"),
        ([[5]], "list"),
    ],
)
def test_hidden_layer_sizes_are_not_cut_off(sizes, got, iris):
    with pytest.raises(TypeError, match=f"each of hidden_layer_sizes must be an integer, got .*{got}"):
        MLPClassifier(sizes, max_iter=1).fit(*iris)


def test_a_regressor_wants_numbers(iris):
    for dtype in (str, bytes, "datetime64[s]"):
        with pytest.raises(TypeError, match="y must hold real numbers"):
            MLPRegressor(max_iter=1).fit(iris[0], iris[1].astype(dtype))


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("sizes", [(), (6, 6), (7,)])
def test_a_warm_start_does_not_ignore_other_layers(sizes, solver, iris):
    model = (
        MLPClassifier((6,), solver=solver, max_iter=2, warm_start=True).fit(*iris).set_params(hidden_layer_sizes=sizes)
    )
    if solver == "sgd" and len(sizes) == 1:
        model.fit(*iris)  # as scikit-learn does
        assert model.coefs_[0].shape == (4, 6)
    else:
        with pytest.raises(ValueError, match=r"hidden_layer_sizes must fit .*6.*, got"):
            model.fit(*iris)


def _of_another_number_of_outputs():
    X = np.random.default_rng(0).normal(size=(40, 3))
    several, one = (X[:, :2] > 0).astype(int), (X[:, 0] > 0).astype(int)
    yield MLPClassifier, X, several, one, {}
    yield MLPRegressor, X, X[:, :2], X[:, 0], {}
    yield MLPRegressor, X, X[:, 0], X[:, :2], {}
    yield MLPClassifier, X, one, np.arange(40) % 5, {"classes": range(5)}


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_training_goes_on_with_the_same_number_of_outputs_only(case, solver):
    cls, X, before, after, more = list(_of_another_number_of_outputs())[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = cls(hidden_layer_sizes=(4,), solver=solver, max_iter=2, random_state=0).fit(X, before)
    if more:
        del model.classes_
    weights = [array.copy() for array in model.coefs_]
    if solver != "lbfgs" or cls is MLPRegressor:
        with pytest.raises(ValueError, match="y must be for as many outputs"):
            model.partial_fit(X, after, **more)
    if not more:
        with pytest.raises(ValueError, match="y must be for as many outputs"):
            model.set_params(warm_start=True).fit(X, after)
    for array, kept in zip(model.coefs_, weights, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("weight", [1e-41, 1e36])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_sample_weights_that_gradients_cannot_be_divided_by(weight, solver):
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    model = MLPRegressor(hidden_layer_sizes=(4,), solver=solver, max_iter=2)
    with pytest.raises(ValueError, match=r"sample_weight must have a sum from .* for float32"):
        model.fit(X, X[:, 0], sample_weight=np.full(50, weight))
    assert not hasattr(model, "coefs_")
    model.fit(X.astype(np.float64), X[:, 0], sample_weight=np.full(50, weight))


@pytest.mark.filterwarnings("ignore")
def test_relu_that_diverges_goes_on_as_in_scikit_learn():
    """Once the output's deltas are beyond all numbers, closed units keep theirs out of the weights."""
    rng = np.random.RandomState(7)
    X = rng.randn(60, 3) * 10
    y = X @ rng.randn(3) * 100
    options = {"solver": "sgd", "learning_rate_init": 0.1, "random_state": 0, "max_iter": 30}
    ours, theirs = (kind(hidden_layer_sizes=(10, 10), **options).fit(X, y) for kind in (MLPRegressor, SklearnRegressor))
    assert (ours.n_iter_, ours.loss_) == (theirs.n_iter_, np.inf)
    for own, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6)


def test_early_stopping_needs_scores_from_before(iris):
    model = MLPClassifier((4,), max_iter=2, warm_start=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*iris)
    with pytest.raises(AttributeError, match="early_stopping must not be switched on"):
        model.set_params(early_stopping=True).fit(*iris)
    with pytest.raises(ValueError, match="validation set is too small"):  # which scikit-learn sees first
        model.set_params(validation_fraction=0.001).fit(*iris)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_early_stopping_leaves_no_best_loss(iris, method):
    """A TypeError of scikit-learn's, too."""
    options = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": True, "warm_start": method == "fit"}
    theirs = SklearnClassifier(**options, random_state=0).fit(*iris).set_params(early_stopping=False)
    with pytest.raises(TypeError):
        getattr(theirs, method)(*iris)
    model = MLPClassifier(**options, random_state=0).fit(*iris).set_params(early_stopping=False)
    before = [array.copy() for array in model.coefs_]
    with pytest.raises(TypeError, match="early_stopping must not be switched off"):
        getattr(model, method)(*iris)
    for now, then in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_solver_that_nobody_knows_trains_nothing(iris):
    with sklearn.config_context(skip_parameter_validation=True), pytest.raises(ValueError, match="solver must be"):
        MLPClassifier((4,), solver="newton").fit(*iris)


@pytest.mark.parametrize("model", [MLPClassifier, MLPRegressor])
def test_early_stopping_needs_a_weight_to_score_with(model, iris):
    X, y = iris
    weight = np.zeros(len(y))
    weight[::3] = 1.0
    raised = []
    for seed in range(8):  # one or another holds out three rows without weight
        options = {"validation_fraction": 0.02, "batch_size": 150, "max_iter": 1, "random_state": seed}
        try:
            model(early_stopping=True, **options).fit(X, y, sample_weight=weight)
        except ValueError as error:
            raised.append(str(error))
    assert 0 < len(raised) < 8
    assert set(raised) == {"Sample weights must contain at least one non-zero number."}


def test_a_failed_first_partial_fit_leaves_nothing(iris):
    X, y = iris
    model = MLPClassifier()
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X * np.nan, y, classes=[0, 1, 2])
    assert vars(model).keys() == model.get_params().keys()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_what_is_assumed_finite_is_not_looked_at(solver, iris):
    X, y = iris
    rows = X.copy()
    rows[3, 1] = np.nan
    model = MLPClassifier((3,), solver=solver, max_iter=2).fit(X, y)
    with sklearn.config_context(assume_finite=True):
        for container in (np.asarray, sp.csr_matrix, sp.csc_matrix):
            proba = model.predict_proba(container(rows))
            assert np.isnan(proba[3]).all()
            assert np.isfinite(np.delete(proba, 3, axis=0)).all()


def test_a_failed_fit_leaves_arrays_that_were_put_in(iris):
    X, y = iris
    model = MLPClassifier((4,), solver="sgd", activation="identity", warm_start=True, max_iter=3).fit(X, y)
    mine = model.coefs_[0] = model.coefs_[0].copy()
    values = mine.copy()
    with pytest.raises(ValueError, match="non-finite"):
        model.set_params(learning_rate_init=1e200).fit(X, y)
    model.set_params(learning_rate_init=0.1)
    model.intercepts_[1] = model.intercepts_[1].copy()
    model.intercepts_[1].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        model.partial_fit(X, y)
    assert model.coefs_[0] is mine
    np.testing.assert_array_equal(mine, values)
    model.intercepts_[1] = np.zeros(3, int)
    with pytest.raises(TypeError, match="Cannot cast"):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(mine, values)


def test_an_increment_that_cannot_be_noted_is_not_made(iris):
    X, y = iris
    model = MLPClassifier((4,)).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    for name in ("loss_curve_", "best_loss_"):
        kept, before, t = getattr(model, name), model.coefs_[0].copy(), (model.t_, model._optimizer.t)
        setattr(model, name, None)
        with pytest.raises((AttributeError, TypeError)):
            model.partial_fit(X, y)
        np.testing.assert_array_equal(model.coefs_[0], before)
        assert (model.t_, model._optimizer.t) == t
        setattr(model, name, kept)


def test_increments_in_batches_beyond_any_array(iris):
    X, y = iris
    model = MLPClassifier((4,), batch_size=10**30, random_state=0)
    with pytest.warns(UserWarning, match="clipped"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match="clipped"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_numbers_too_large_for_single_precision_are_refused(container, solver, iris):
    X, y = iris
    large = X.copy()
    large[1, 2] = -1e39
    model = MLPRegressor(hidden_layer_sizes=(4,), solver=solver, dtype="float32", max_iter=2).fit(container(X), y)
    for call in (lambda: model.predict(container(large)), lambda: model.fit(container(large), y)):
        with pytest.raises(ValueError, match="X must be finite, got infinity or a value too large for float32"):
            call()
    with pytest.raises(ValueError, match="y must be finite"):
        model.fit(container(X), y * 1e39)
    MLPRegressor(hidden_layer_sizes=(4,), solver=solver, max_iter=2).fit(container(X), y).predict(container(large))


def test_a_shallow_copy_leaves_the_original_as_it_is(iris):
    X, y = iris
    model = MLPClassifier((4,), max_iter=2).fit(X, y)
    predict, first = model.predictor(), model.coefs_[0]
    twin = copy.copy(model)
    assert twin.coefs_ is model.coefs_
    assert model.coefs_[0] is first
    first[:] = 0
    np.testing.assert_array_equal(predict(X), model.predict_proba(X))
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    twin.fit(X, y)
    assert model.coefs_[0] is first
    assert (first == 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda model: model.coefs_.pop(), r"a matrix and a vector for each layer, got arrays of shapes \[\(4, 4\)\]"),
        (lambda model: model.coefs_.__setitem__(0, None), "a matrix and a vector for each layer"),
        (lambda model: setattr(model, "coefs_", []), "a matrix and a vector for each layer"),
        (lambda model: model.coefs_.__setitem__(0, np.zeros((4, 5))), "Expected weights of shape"),
        (lambda model: model.set_params(n_threads=0), "n_threads must be None, -1 or at least 1, got 0"),
    ],
)
def test_edits_that_make_no_network_are_named(spoil, message, iris):
    model = MLPClassifier((4,), max_iter=2, backend="c" if "c" in available_backends() else "auto").fit(*iris)
    spoil(model)
    if "n_threads" in message and "c" not in available_backends():
        pytest.skip("only the C backend has threads")
    with pytest.raises(ValueError, match=message):
        model.predict(iris[0])


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_on_the_first_line_of_a_run(call, monkeypatch, iris):
    X, y = iris
    model = MLPClassifier((4,), solver="sgd", batch_size=150, max_iter=50, n_iter_no_change=4, random_state=0)
    backend = type(get_backend("auto"))
    make, asked = backend.trainer, []

    def trainer(self, *arguments):
        made = make(self, *arguments)
        run = made.run

        def interrupted(n_epochs):
            asked.append(n_epochs)
            if len(asked) == call:
                raise KeyboardInterrupt
            return run(n_epochs)

        made.run = interrupted
        return made

    monkeypatch.setattr(backend, "trainer", trainer)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    epochs = sum(asked[:-1])
    assert model.n_iter_ == len(model.loss_curve_) == model._optimizer.state.t == epochs
    assert model.t_ == 150 * epochs


def test_filters_for_warnings_of_scikit_learn_hold(iris):
    X, y = iris
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="sklearn")
        model = MLPClassifier((3,), max_iter=1, batch_size=1000).fit(X, y[:, np.newaxis])
        warnings.filterwarnings("error", module="sklearn")
        for options, category in (({"batch_size": 1000}, UserWarning), ({"batch_size": 10}, ConvergenceWarning)):
            with pytest.raises(category):
                model.set_params(**options).fit(X, y)


@pytest.mark.parametrize("action", ["default", "module", "once", "always", "ignore"])
def test_every_fit_warns_anew(iris, action):
    """As scikit-learn's do, and not only the first one in a loop."""
    X, y = iris

    def count(kind):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            for seed in range(3):
                kind(hidden_layer_sizes=(3,), max_iter=1, batch_size=1000, random_state=seed).fit(X, y)
                kind(hidden_layer_sizes=(3,), max_iter=1, solver="lbfgs", random_state=seed).fit(X, y)
        return [warning.category for warning in caught]

    for ours, theirs in ((MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor)):
        expected = count(theirs)
        assert len(expected) == (0 if action == "ignore" else 9)
        assert count(ours) == expected


def test_a_fresh_fit_does_not_touch_arrays_that_the_user_holds(iris):
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(*iris)
    held = model.coefs_[0]
    values = held.copy()
    model.set_params(random_state=1).fit(*iris)
    np.testing.assert_array_equal(held, values)
    assert model.coefs_[0] is not held


def test_pickle_is_plain_and_refuses_the_future(iris):
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(*iris)
    state = model.__getstate__()
    assert "_shown_weights" not in state
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(iris[0]), model.predict_proba(iris[0]))
    copy.coefs_[0][:] = 0
    assert not np.array_equal(copy.predict_proba(iris[0]), model.predict_proba(iris[0]))
    with pytest.raises(ValueError, match="newer fastmlp"):
        MLPClassifier().__setstate__({**state, "_fastmlp_state": 99})


def _without_optimizer(model):
    model._optimizer = None


def _without_best_weights(model):
    model._best_coefs = model._best_intercepts = None


def _without_best_intercepts(model):
    del model._best_intercepts


def _with_tuples(model):
    model.coefs_, model.intercepts_ = tuple(model.coefs_), tuple(model.intercepts_)


def _with_other_intercepts(model):
    model.intercepts_ = tuple(model.intercepts_)


def _with_half_precision(model):
    model.coefs_ = [array.astype(np.float16) for array in model.coefs_]


@pytest.mark.parametrize(
    "change",
    [
        _without_optimizer,
        _without_best_weights,
        _without_best_intercepts,
        _with_tuples,
        _with_other_intercepts,
        _with_half_precision,
    ],
)
@pytest.mark.parametrize("load", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_models_made_smaller_are_loaded_as_they_were_saved(iris, change, load, early_stopping):
    model = MLPClassifier((5,), max_iter=3, random_state=0, early_stopping=early_stopping).fit(*iris)
    change(model)
    loaded = load(model)
    np.testing.assert_array_equal(loaded.predict_proba(iris[0]), model.predict_proba(iris[0]))
    assert [array.dtype for array in loaded.coefs_] == [array.dtype for array in model.coefs_]
    fresh = MLPClassifier(**model.get_params()).fit(*iris)
    np.testing.assert_array_equal(loaded.fit(*iris).coefs_[0], fresh.coefs_[0])


def test_pickles_without_a_loss(iris):
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(*iris)
    old = copy.copy(model)
    del old.__dict__["loss"]
    loaded = pickle.loads(pickle.dumps(old))
    assert loaded.get_params() == model.get_params()
    assert loaded.partial_fit(*iris).loss_curve_ == model.partial_fit(*iris).loss_curve_


def test_pickles_of_scikit_learn_in_a_patched_program(iris):
    old = SklearnClassifier((5,), max_iter=3, random_state=0).fit(*iris)
    fastmlp.patch_sklearn()
    try:
        loaded = pickle.loads(pickle.dumps(old))
    finally:
        fastmlp.unpatch_sklearn()
    assert type(loaded) is SklearnClassifier
    np.testing.assert_array_equal(loaded.predict_proba(iris[0]), old.predict_proba(iris[0]))
    net = fastmlp.Network.from_weights(
        old.coefs_, old.intercepts_, activation=old.activation, output_activation=old.out_activation_
    )
    np.testing.assert_allclose(net.forward(iris[0]), old.predict_proba(iris[0]), rtol=1e-12)


def test_partial_fit_of_weights_put_in_with_another_dtype(iris):
    losses = []
    for library in (MLPClassifier, SklearnClassifier):
        model = library((5,), max_iter=3, random_state=0).fit(*iris)
        model.coefs_ = [array.astype(np.float32) for array in model.coefs_]
        model.intercepts_ = [array.astype(np.float32) for array in model.intercepts_]
        losses.append(model.partial_fit(*iris).loss_)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


WORK = {
    "one row a step": lambda: MLPClassifier((4,), solver="sgd", batch_size=1, **_ENDLESS).fit(*_XOR),
    "full batch": lambda: MLPRegressor(hidden_layer_sizes=(32,), batch_size=len(_BIG[0]), **_ENDLESS).fit(*_BIG),
    "lbfgs": lambda: MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", max_fun=10**7, **_LONG).fit(*_BIG),
}
_LONG = {"max_iter": 10**6, "tol": 0, "random_state": 2}  # thousands of evaluations
_ENDLESS = {"max_iter": 10**7, "tol": 0, "n_iter_no_change": 10**7, "random_state": 0}
_XOR = (np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0]))
_BIG_X = np.random.RandomState(0).rand(300_000, 8).astype("f4")
_BIG = (_BIG_X, np.sin(10 * _BIG_X).sum(axis=1))


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.usefixtures("no_garbage")
def test_ctrl_c_comes_through(work, seed):
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(np.random.RandomState(seed).uniform(0.3, 0.6), interrupt)
    timer.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = WORK[work]()
        except KeyboardInterrupt:
            model = None
    returned = time.perf_counter()
    timer.cancel()  # a signal must not reach the next test
    timer.join()
    assert sent, "the work ended by itself"
    latency = returned - sent[0]
    # The promise is 100 ms; a loaded machine may be late by itself, and the NumPy backend stops between batches only.
    slack = 0.5 if fastmlp.backends.get_backend().name == "c" else 30
    assert latency < slack
    if work == "lbfgs":
        assert model is None
    else:
        assert any("Training interrupted by user." in str(w.message) for w in caught)
        assert all(np.isfinite(a).all() for a in model.coefs_)


@pytest.mark.parametrize("n_features", [784, 8])
@pytest.mark.c
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's accounting of memory")
def test_fit_needs_little_memory_beside_the_data(n_features):
    n_bytes = 2**27
    script = f"""
import resource, warnings
import numpy as np
from fastmlp import MLPClassifier
warnings.simplefilter("ignore")
n = {n_bytes} // 4 // {n_features}
X, y = np.ones((n, {n_features}), np.float32), np.arange(n) % 10
clf = MLPClassifier((8,), max_iter=1, batch_size=256, random_state=0)
clf.fit(X[:1000], y[:1000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clf.fit(X, y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, n)
"""
    extra, n = map(int, run_python(script).stdout.split())
    # Codes and order take 8 bytes a row; the allowance is for what the allocator rounds up.
    assert extra < 24 * n + 0.05 * n_bytes + 2**24


def test_rows_are_not_copied(iris, monkeypatch):
    seen = []
    backend = fastmlp.backends.get_backend()
    trainer = type(backend).trainer
    monkeypatch.setattr(
        type(backend),
        "trainer",
        lambda self, spec, params, data, plan: seen.append(data.X) or trainer(self, spec, params, data, plan),
    )
    X = np.ascontiguousarray(iris[0])
    MLPClassifier((5,), max_iter=1, early_stopping=True).fit(X, iris[1])
    assert seen[0] is X


@pytest.mark.parametrize("name", ["sigmoid", 5, None])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_mistyped_name_is_reported_by_fit_and_no_earlier(name, duplicate):
    fitted = MLPClassifier(max_iter=1).fit([[0.0], [1.0]], [0, 1]).set_params(activation=name)
    for twin in (duplicate(MLPClassifier(activation=name)), duplicate(fitted)):
        assert twin.activation == name
        with pytest.raises(ValueError, match="The 'activation' parameter"):
            twin.fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True}, {"solver": "sgd"}, {"solver": "lbfgs"}], ids=lambda options: str(options)
)
def test_a_filter_that_makes_an_error_of_the_last_warning_leaves_the_model(options, iris):
    options = {"max_iter": 3, "random_state": 0, **options}
    expected = MLPClassifier(**options).fit(*iris)
    model = MLPClassifier(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            model.fit(*iris)
    np.testing.assert_array_equal(model.predict_proba(iris[0]), expected.predict_proba(iris[0]))
    assert model.n_iter_ == expected.n_iter_ == 3
    assert model.loss_ == expected.loss_
    # Before training ends such an error is one like any other.
    model.set_params(solver="sgd", batch_size=10**6, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="batch_size"):
            model.fit(*iris)
    np.testing.assert_array_equal(model.predict_proba(iris[0]), expected.predict_proba(iris[0]))
    assert model.n_iter_ == 3


@pytest.mark.parametrize("backend", available_backends())
def test_read_only_weights_are_not_trained_on(backend):
    X = np.random.RandomState(0).standard_normal((20, 3))
    y = X[:, 0].copy()
    model = MLPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=3, backend=backend).fit(X, y)
    for _ in range(3):  # the long way, then the short one
        model.partial_fit(X, y)
    for array in (model.coefs_[0], model.intercepts_[1]):
        kept = model.get_params(), array.copy(), model.loss_
        array.flags.writeable = False
        for call in (model.partial_fit, model.set_params(warm_start=True).fit):
            with pytest.raises(ValueError, match="must be writable to be trained on, got a read-only array"):
                call(X, y)
        model.set_params(warm_start=False)
        assert (model.get_params(), model.loss_) == (kept[0], kept[2])
        np.testing.assert_array_equal(array, kept[1])
        array.flags.writeable = True
    model.partial_fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_targets_of_a_regression(solver):
    X = np.random.RandomState(0).standard_normal((60, 5))
    Y = (X[:, :2] > 0) * X[:, :2]
    options = {"solver": solver, "hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    expected = MLPRegressor(**options).fit(X, Y).predict(X)
    for sparse in (sp.csr_array, sp.csr_matrix):
        np.testing.assert_array_equal(MLPRegressor(**options).fit(X, sparse(Y)).predict(X), expected)
        with pytest.raises(TypeError):
            MLPRegressor(**options).fit(X, sparse(Y[:, :1]))
    if hasattr(sp, "coo_array"):
        y = Y[:, 0]
        models = [MLPRegressor(**options).fit(X, given) for given in (y, sp.coo_array(y))]
        np.testing.assert_array_equal(models[1].predict(X), models[0].predict(X))


def test_partial_fit_with_another_solver_than_fit(iris):
    model = MLPClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(*iris).set_params(solver="adam")
    with pytest.raises(AttributeError, match="no attribute 'loss_curve_'"):
        model.partial_fit(*iris)


def test_patch_and_unpatch():
    import sklearn.neural_network as module

    theirs = module.MLPClassifier
    fastmlp.patch_sklearn()
    fastmlp.patch_sklearn()
    assert module.MLPClassifier is MLPClassifier
    assert module.MLPRegressor is MLPRegressor
    fastmlp.unpatch_sklearn()
    assert module.MLPClassifier is theirs
    fastmlp.unpatch_sklearn()
    assert module.MLPClassifier is theirs


def test_patched_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom sklearn.neural_network import MLPClassifier\nimport helper\n"
        "print(MLPClassifier.__module__, sys.argv, helper.name, __name__)\n"
        "import fastmlp\nfastmlp.unpatch_sklearn()\nimport sklearn.neural_network as m\n"
        "print(m.MLPClassifier.__module__)\n"
        "import atexit, pickle\nclass Own: pass\n"
        "atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Own()))).__module__))\n"
    )
    (tmp_path / "helper.py").write_text("name = 'helped'\n")
    run = subprocess.run(
        [sys.executable, "-m", "fastmlp.patch", str(script), "-x", "1"], capture_output=True, text=True, check=True
    )
    first, second, at_exit = run.stdout.splitlines()
    assert first == f"fastmlp.estimators {[str(script), '-x', '1']} helped __main__"
    assert second.startswith("sklearn.")
    assert at_exit == "__main__"


def test_a_patched_script_runs_as_it_would_without(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "named_on_the_path.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "def f(x: int): pass\n"
        "try:\n    import named_on_the_path as found\nexcept ImportError:\n    found = None\n"
        "def failing(): raise RuntimeError\n"
        "try:\n    failing()\nexcept RuntimeError as error:\n"
        "    print(error.__traceback__.tb_next.tb_frame.f_code.co_filename)\n"
        "print(f.__annotations__, __file__, sys.argv, bool(found), sys.path[:1], sys.flags.safe_path)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "elsewhere"), *sys.path])}
    cases = [
        ("script.py", {}),
        ("./elsewhere/../script.py", {}),
        ("script.py", {"PYTHONSAFEPATH": "1"}),
    ]
    for script, variables in cases:
        plain, patched = (
            subprocess.run(
                [sys.executable, *options, script, "-x"],
                cwd=tmp_path,
                env=environment | variables,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for options in ([], ["-m", "fastmlp.patch"])
        )
        assert patched == plain
        assert "<class 'int'>" in plain


def test_a_patched_script_imports_nothing_from_where_it_was_called(tmp_path):
    (tmp_path / "queue.py").write_text("raise SystemExit('the wrong one')\n")  # scikit-learn's joblib imports a queue
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "script.py"
    script.write_text("import sklearn.neural_network as m\nprint(m.MLPClassifier.__module__)\n")
    command = [sys.executable, "-m", "fastmlp.patch", str(script)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "fastmlp.estimators\n"
    assert run.stderr == ""


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no such file here")
def test_a_patched_script_may_come_through_a_pipe():
    text = "from sklearn.neural_network import MLPClassifier\nprint(MLPClassifier.__module__)\n"
    command = [sys.executable, "-m", "fastmlp.patch", "/dev/stdin"]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert run.stdout == "fastmlp.estimators\n"


@pytest.mark.parametrize("arguments", [[], ["no_such_script.py"], ["-h"], ["."]])
def test_patched_script_wrong_arguments(arguments):
    run = subprocess.run([sys.executable, "-m", "fastmlp.patch", *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert "fastmlp.patch" in run.stderr
    assert "Traceback" not in run.stderr


class Recorder:
    """A callback that keeps what it is told, and asks to stop after some tasks."""

    def __init__(self, stop_after=np.inf):
        self.tasks, self.losses, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.tasks.append("setup")

    def teardown(self, estimator, context):
        self.tasks.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.tasks.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.tasks.append(("end", context.task_name))
        if context.task_name != "fit":
            self.losses.append(log_loss(y, fitted_estimator.predict_proba(X)))
        return len(self.losses) >= self.stop_after


@pytest.mark.parametrize(("solver", "task"), [("sgd", "epoch"), ("adam", "epoch"), ("lbfgs", "iteration")])
def test_callbacks_see_every_epoch_and_may_stop(solver, task, iris):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    recorder = Recorder(stop_after=4)
    model = MLPClassifier((5,), solver=solver, max_iter=20, random_state=0).set_callbacks(recorder).fit(*iris)
    assert model.n_iter_ == 4
    assert recorder.tasks == [
        "setup",
        ("begin", "fit"),
        *[("begin", task), ("end", task)] * 4,
        ("end", "fit"),
        "teardown",
    ]
    assert len(set(recorder.losses)) == 4
    np.testing.assert_allclose(recorder.losses[-1], log_loss(iris[1], model.predict_proba(iris[0])))


def test_callbacks_do_not_change_the_model(iris):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    plain = MLPClassifier((5,), max_iter=6, random_state=0).fit(*iris)
    watched = MLPClassifier((5,), max_iter=6, random_state=0).set_callbacks(Recorder()).fit(*iris)
    np.testing.assert_array_equal(plain.coefs_[0], watched.coefs_[0])


@pytest.mark.parametrize(
    ("X", "y", "first", "again"),
    [
        ("float32", "float64", "float64", "float64"),
        ("float32", "float32", "float32", "float64"),
        ("float32", "codes", "float32", "float64"),
        ("float64", "float32", "float64", "float64"),
    ],
)
def test_lbfgs_evaluates_in_the_precision_of_data_and_weights(monkeypatch, X, y, first, again):
    seen, weights = [], []
    fit = _base.fit_lbfgs

    def noting(estimator, backend, spec, *rest):
        seen.append(str(spec.dtype))
        found, result = fit(estimator, backend, spec, *rest)
        weights.append(found)
        return found, result

    monkeypatch.setattr(_base, "fit_lbfgs", noting)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 3)).astype(X)
    make = MLPClassifier if y == "codes" else MLPRegressor
    targets = rng.integers(0, 3, 30) if y == "codes" else rng.normal(size=30).astype(y)
    estimator = make(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=3, warm_start=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(rows, targets).fit(rows, targets)
        # Points are of the precision that is asked for, whatever the weights are that it begins with.
        estimator.set_params(dtype="float32").fit(rows, targets)
        estimator.set_params(dtype="float64").fit(rows, targets)
    # scipy before 1.12 evaluates at points of float64 only.
    first = str(np.result_type(first, lbfgs_point_dtype(np.dtype(first))))
    assert seen == [first, again, "float32", "float64"]
    assert [str(found.vector.dtype) for found in weights] == ["float64", "float64", "float32", "float64"]
    assert (estimator.coefs_[0].astype(np.float32) != estimator.coefs_[0]).any()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_labels_of_half_precision():
    X, y = np.arange(20.0).reshape(10, 2), np.array([0, 1] * 5, np.float16)
    model = MLPClassifier((3,), solver="lbfgs", max_iter=3, random_state=0).fit(X, y)
    assert model.classes_.dtype == np.float16
    np.testing.assert_array_equal(model.classes_, [0, 1])


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_a_sparse_column_of_targets_is_an_error_without_a_warning(estimator):
    X, y = np.arange(20.0).reshape(10, 2), sp.csr_matrix([[0], [1]] * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            estimator().fit(X, y)


@pytest.mark.parametrize(
    ("name", "valid", "equal"),
    [
        ("max_iter", 1, 1.0),
        ("batch_size", 50, 50.0),
        ("warm_start", False, 0.0),
        ("hidden_layer_sizes", (3,), (3.0,)),
        ("hidden_layer_sizes", (1,), (1, "a")),
        ("verbose", 0, 0.0),
        ("n_threads", 1, 1.0),
    ],
)
def test_parameters_found_valid_are_told_from_their_equals(iris, name, valid, equal):
    """1 is 1.0 to a dictionary, but not to scikit-learn."""
    options = {"hidden_layer_sizes": (3,), "max_iter": 1}
    for _ in range(2):
        MLPClassifier(**{**options, name: valid}).fit(*iris)
        with pytest.raises((TypeError, ValueError)):
            MLPClassifier(**{**options, name: equal}).fit(*iris)
    if name != "n_threads":
        with pytest.raises((TypeError, ValueError)):
            SklearnClassifier(**{**options, name: equal}).fit(*iris)


def test_a_parameter_that_becomes_invalid_is_refused(iris):
    @fastmlp.activation(derivative=lambda a: 1.0 - a * a, range=(-1, 1))
    def for_a_while(z):
        return math.tanh(z)

    model = MLPClassifier((3,), activation="for_a_while", max_iter=1, backend="numpy")
    model.fit(*iris)
    del ACTIVATIONS["for_a_while"]
    with pytest.raises(ValueError, match="'activation' parameter"):
        model.fit(*iris)


def test_a_subclass_has_constraints_of_its_own(iris):
    MLPClassifier((3,), alpha=0.5, max_iter=1).fit(*iris)

    class Subclass(MLPClassifier):
        _parameter_constraints = MLPClassifier._parameter_constraints | {"alpha": [None]}

    with pytest.raises(ValueError, match="'alpha' parameter of Subclass"):
        Subclass((3,), alpha=0.5, max_iter=1).fit(*iris)


def test_a_failed_partial_fit_of_weights_of_another_dtype_leaves_the_solver_alone():
    X, y = np.random.RandomState(0).standard_normal((40, 3)).astype(np.float32), np.arange(40.0, dtype=np.float32)
    model = MLPRegressor(hidden_layer_sizes=(4,), batch_size=20, shuffle=False, random_state=0).partial_fit(X, y)
    model.coefs_ = [array.astype(np.float64) for array in model.coefs_]
    model.intercepts_ = [array.astype(np.float64) for array in model.intercepts_]
    before = [moment.copy() for moment in model._optimizer.state.moments]
    with pytest.raises(ZeroDivisionError):
        model.partial_fit(X, y, sample_weight=np.repeat([1.0, 0.0], 20))
    for moment, expected in zip(model._optimizer.state.moments, before, strict=True):
        assert moment.dtype == expected.dtype
        np.testing.assert_array_equal(moment, expected)


def test_loss_curves_in_other_containers(iris):
    curves = []
    for kind in (list, lambda losses: deque(losses, maxlen=4)):
        model = MLPClassifier((5,), max_iter=3, random_state=0, warm_start=True).fit(*iris)
        model.loss_curve_ = kind(model.loss_curve_)
        model.fit(*iris).set_params(warm_start=False)
        model.partial_fit(*iris).partial_fit(*iris)
        curves.append(list(model.loss_curve_)[-4:])
    assert curves[0] == curves[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_that_are_not_aligned(dtype):
    X = sp.random(40, 6, density=0.5, format="csr", dtype=dtype, random_state=0)
    odd = X.copy()
    odd.data = np.frombuffer(b"\0" + X.data.tobytes(), dtype, len(X.data), 1)
    assert not odd.data.flags.aligned
    y = np.arange(40) % 3
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    models = [MLPClassifier(**options).fit(rows, y) for rows in (X, odd)]
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(odd))
    net = fastmlp.Network([6, 3, 2], dtype=dtype, random_state=0)
    np.testing.assert_array_equal(net.forward(X), net.forward(odd))


@pytest.mark.parametrize("odd", [object(), "text", types.SimpleNamespace(state=None)])
def test_a_fresh_fit_throws_away_whatever_is_there_for_an_optimizer(odd):
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    clf = MLPClassifier((3,), max_iter=2, random_state=0)
    expected = clf.fit(X, y).coefs_[0].copy()
    clf._optimizer = odd
    np.testing.assert_array_equal(clf.fit(X, y).coefs_[0], expected)
    clf._optimizer = odd
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        clf.set_params(hidden_layer_sizes=(0,)).fit(X, y)
    assert clf._optimizer is odd
