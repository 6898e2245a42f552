"""Life among scikit-learn's other parts, on real data: equal results wherever scikit-learn's own estimator has some."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from parity.subject import REFERENCE, SUBJECT, Library
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (makes HalvingGridSearchCV importable)
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # NumPy's, from scikit-learn's own estimator as it diverges.
    pytest.mark.filterwarnings("ignore:.* encountered in .*:RuntimeWarning"),
]

TOLERANCE = 1e-8


# ---------------------------------------------------------------------------------------------------------------------
# check_estimator
# ---------------------------------------------------------------------------------------------------------------------


def _to_check() -> list[Any]:
    """Return one estimator per class and solver, with no check excused."""
    estimators = []
    for solver in ("sgd", "adam", "lbfgs"):
        # After 200 iterations L-BFGS has saturated a probability to 1 and one check fails, as for scikit-learn's class.
        options = {"max_iter": 100}
        estimators += [SUBJECT.MLPClassifier(solver=solver, **options), SUBJECT.MLPRegressor(solver=solver, **options)]
    return estimators


def _with_checks(estimators: list[Any]) -> pytest.MarkDecorator:
    """Return scikit-learn's parametrisation, with a list where older versions hand pytest a generator."""
    made = parametrize_with_checks(estimators)
    names, values = made.mark.args
    return pytest.mark.parametrize(names, list(values), **made.mark.kwargs)


@_with_checks(_to_check())
def test_check_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    """scikit-learn's conventions."""
    check(estimator)


# ---------------------------------------------------------------------------------------------------------------------
# Data and comparison
# ---------------------------------------------------------------------------------------------------------------------


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16.0, y[:300]


@cache
def _cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:240], y[:240]


@cache
def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X)[:240], ((y - y.mean()) / y.std())[:240]


def _classifier(library: Library, **params: Any) -> Any:
    return library.MLPClassifier(
        **{"hidden_layer_sizes": (12,), "max_iter": 8, "random_state": 0, "learning_rate_init": 0.01, **params}
    )


def _regressor(library: Library, **params: Any) -> Any:
    return library.MLPRegressor(
        **{"hidden_layer_sizes": (12,), "max_iter": 8, "random_state": 0, "learning_rate_init": 0.01, **params}
    )


def _same(job: Callable[[Library], Any], tolerance: float = TOLERANCE) -> Any:
    """Do a job with both libraries, compare what it returns, and return the subject's."""
    theirs, ours = job(REFERENCE), job(SUBJECT)
    _equal(theirs, ours, tolerance)
    return ours


def _equal(a: Any, b: Any, tolerance: float) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _equal(a[key], b[key], tolerance)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _equal(x, y, tolerance)
    elif np.asarray(a).dtype.kind == "f":
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    else:
        assert_array_equal(b, a)


# ---------------------------------------------------------------------------------------------------------------------
# Pipelines, searches, cross-validation
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_pipeline_classifier(solver: str) -> None:
    """In a pipeline: probabilities, labels, score, and parameters by name."""
    X, y = _digits()

    def job(library: Library) -> Any:
        pipe = make_pipeline(MinMaxScaler(), _classifier(library, solver=solver)).set_params(mlpclassifier__alpha=0.01)
        pipe.fit(X[:200], y[:200])
        return pipe.predict_proba(X[200:]), pipe.predict(X[200:]), pipe.score(X[200:], y[200:]), pipe.classes_

    _same(job)


def test_pipeline_lbfgs() -> None:
    """The first iterations of L-BFGS in a pipeline, on the target's own scale."""
    X, y = _diabetes()

    def job(library: Library) -> Any:
        model = TransformedTargetRegressor(
            _regressor(library, solver="lbfgs", max_iter=4), transformer=StandardScaler()
        )
        return make_pipeline(StandardScaler(), model).fit(X, 50 + 10 * y).predict(X)

    _same(job)


def test_pipeline_sparse() -> None:
    """Sparse rows through a pipeline."""
    X, y = _digits()

    def job(library: Library) -> Any:
        pipe = make_pipeline(MaxAbsScaler(), _classifier(library))
        return pipe.fit(sp.csr_matrix(X), y).predict_proba(sp.csr_array(X))

    _same(job)


def test_pipeline_sample_weight() -> None:
    """Weights through a pipeline, by step and by metadata routing."""
    X, y = _diabetes()
    weight = np.linspace(0.1, 2.0, len(y))

    def by_step(library: Library) -> Any:
        pipe = make_pipeline(StandardScaler(), _regressor(library))
        return pipe.fit(X, y, mlpregressor__sample_weight=weight).predict(X)

    def routed(library: Library) -> Any:
        with config_context(enable_metadata_routing=True):
            model = _regressor(library).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            found = cross_validate(model, X, y, params={"sample_weight": weight}, cv=3)
            pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
            return found["test_score"], pipe.fit(X, y, sample_weight=weight).predict(X)

    _same(by_step)
    _same(routed)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output(output: str) -> None:
    """Behind transformers that give frames: names are kept and checked."""
    package = pytest.importorskip(output)
    X, y = _cancer()
    frame = package.DataFrame({f"f{k}": X[:, k] for k in range(X.shape[1])})

    def job(library: Library) -> Any:
        pipe = make_pipeline(StandardScaler(), _classifier(library)).set_output(transform=output)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            pipe.fit(frame, y)
        return pipe.predict_proba(frame), list(pipe[-1].feature_names_in_), pipe[-1].n_features_in_

    _same(job)


def test_grid_search_classifier() -> None:
    """A grid over alpha and the rate: every score, the best parameters, the refitted model."""
    X, y = _digits()
    grid = {"alpha": [1e-4, 1.0], "learning_rate_init": [0.003, 0.03]}

    def job(library: Library) -> Any:
        search = GridSearchCV(_classifier(library), grid, cv=3, return_train_score=True).fit(X, y)
        scores = {key: value for key, value in search.cv_results_.items() if "score" in key and "time" not in key}
        return scores, search.best_params_, search.predict_proba(X[:20])

    _same(job)


def test_grid_search_regressor_pipeline() -> None:
    """A grid through a pipeline, over hidden sizes and solvers."""
    X, y = _diabetes()
    grid = {"mlpregressor__hidden_layer_sizes": [(), (6,), (6, 4)], "mlpregressor__solver": ["sgd", "adam"]}

    def job(library: Library) -> Any:
        search = GridSearchCV(make_pipeline(StandardScaler(), _regressor(library)), grid, cv=3).fit(X, y)
        return search.cv_results_["mean_test_score"], search.best_params_, search.predict(X[:20])

    _same(job)


def test_halving_search() -> None:
    """Successive halving with max_iter as the resource."""
    X, y = _diabetes()

    def job(library: Library) -> Any:
        search = HalvingGridSearchCV(
            _regressor(library), {"alpha": [1e-4, 0.1, 10.0]}, resource="max_iter", max_resources=12, min_resources=3,
            cv=3, factor=2, random_state=0,
        )  # fmt: skip
        return search.fit(X, y).cv_results_["mean_test_score"]

    _same(job)


def test_cross_validation() -> None:
    """Scores, predictions, several metrics, a learning curve."""
    X, y = _cancer()
    _same(lambda library: cross_val_score(_classifier(library, early_stopping=True), X, y, cv=3))
    _same(lambda library: cross_val_score(_classifier(library), X, y, cv=3, scoring="neg_log_loss"), 1e-7)
    _same(lambda library: cross_val_predict(_classifier(library), X, y, cv=3, method="predict_proba"))
    sizes = [0.5, 1.0]
    _same(lambda library: learning_curve(_classifier(library), X, y, cv=3, train_sizes=sizes)[1:])


def test_learning_curve_by_partial_fit() -> None:
    """A learning curve that exploits partial_fit."""
    X, y = _digits()

    def job(library: Library) -> Any:
        return learning_curve(
            _classifier(library), X, y, cv=3, train_sizes=[0.3, 0.6, 1.0], exploit_incremental_learning=True
        )

    _same(job)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parallel_search(backend: str) -> None:
    """Two workers find what one finds."""
    if backend == "loky" and SUBJECT.name == "reordered":
        pytest.skip("the stand-in exists in this process only")
    X, y = _cancer()
    grid = {"alpha": [1e-4, 1.0], "activation": ["tanh", "relu"]}
    alone = GridSearchCV(_classifier(SUBJECT), grid, cv=2, n_jobs=1).fit(X, y)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        together = GridSearchCV(_classifier(SUBJECT), grid, cv=2).fit(X, y)
    assert_array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
    assert_array_equal(alone.predict_proba(X), together.predict_proba(X))


def test_grid_search_finds_scores_of_failures() -> None:
    """A candidate that fails is scored with `error_score`, and named in a warning."""
    X, y = _diabetes()
    search = GridSearchCV(
        _regressor(SUBJECT, solver="sgd"), {"learning_rate_init": [0.01, 1e200]}, cv=2, error_score=-99.0
    )
    with pytest.warns(Warning, match="non-finite parameter weights"):
        search.fit(X, y)
    assert_array_equal(search.cv_results_["mean_test_score"] == -99.0, [False, True])


# ---------------------------------------------------------------------------------------------------------------------
# Ensembles and other meta-estimators
# ---------------------------------------------------------------------------------------------------------------------


def test_voting() -> None:
    """VotingClassifier and VotingRegressor, with weights and another kind of model."""
    X, y = _digits()

    def classifier(library: Library) -> Any:
        members = [("a", _classifier(library)), ("b", _classifier(library, solver="sgd")), ("c", LogisticRegression())]
        voting = VotingClassifier(members, voting="soft", weights=[1, 2, 1]).fit(X, y)
        return voting.predict_proba(X), voting.predict(X)

    Z, t = _diabetes()

    def regressor(library: Library) -> Any:
        members = [("a", _regressor(library)), ("b", _regressor(library, activation="tanh"))]
        return VotingRegressor(members).fit(Z, t).predict(Z)

    _same(classifier)
    _same(regressor)


def test_bagging() -> None:
    """Bagging hands over weights, or rows, and sets the random states of its members."""
    X, y = _cancer()

    def classifier(library: Library) -> Any:
        bagging = BaggingClassifier(_classifier(library), n_estimators=3, random_state=1).fit(X, y)
        return bagging.predict_proba(X), [member.random_state for member in bagging.estimators_]

    Z, t = _diabetes()

    def regressor(library: Library) -> Any:
        bagging = BaggingRegressor(
            _regressor(library), n_estimators=3, max_features=0.6, oob_score=True, random_state=1
        )
        with warnings.catch_warnings():
            # With three members some rows are in every bag.
            warnings.simplefilter("ignore")
            bagging.fit(Z, t)
        return bagging.predict(Z), bagging.oob_prediction_

    _same(classifier)
    _same(regressor)


def test_boosting() -> None:
    """AdaBoost needs weights."""
    X, y = _cancer()
    _same(lambda lib: AdaBoostClassifier(_classifier(lib), n_estimators=3, random_state=0).fit(X, y).predict_proba(X))


def test_stacking() -> None:
    """Stacking fits clones on folds."""
    X, y = _diabetes()

    def job(library: Library) -> Any:
        return StackingRegressor([("mlp", _regressor(library)), ("ridge", Ridge())], cv=3).fit(X, y).predict(X)

    _same(job)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method: str) -> None:
    """Calibrated probabilities; isotonic steps are as discontinuous as they are."""
    X, y = _cancer()

    def job(library: Library) -> Any:
        return CalibratedClassifierCV(_classifier(library), method=method, cv=3).fit(X, y).predict_proba(X)

    _same(job, 1e-6)


def test_one_vs_rest_and_multi_output() -> None:
    """One model per class, one per target."""
    X, y = _digits()
    few = y < 4
    _same(lambda lib: OneVsRestClassifier(_classifier(lib, max_iter=3)).fit(X[few], y[few]).predict_proba(X))
    Z, t = _diabetes()
    T = np.column_stack([t, t**2])
    _same(lambda library: MultiOutputRegressor(_regressor(library)).fit(Z, T).predict(Z))


def test_feature_selection() -> None:
    """Sequential selection asks for many small fits."""
    X, y = _diabetes()

    def job(library: Library) -> Any:
        model = _regressor(library, hidden_layer_sizes=(4,), max_iter=5)
        return SequentialFeatureSelector(model, n_features_to_select=2, cv=2).fit(X[:, :6], y).get_support()

    _same(job)


def test_inspection() -> None:
    """Permutation importance on real data, and partial dependence."""
    X, y = _cancer()

    def importance(library: Library) -> Any:
        model = _classifier(library, max_iter=15).fit(X, y)
        return permutation_importance(model, X, y, n_repeats=2, random_state=0, scoring="neg_log_loss").importances

    Z, t = _diabetes()

    def dependence(library: Library) -> Any:
        return partial_dependence(_regressor(library).fit(Z, t), Z, [2], grid_resolution=7)["average"]

    _same(importance)
    _same(dependence)


# ---------------------------------------------------------------------------------------------------------------------
# Copies on real data
# ---------------------------------------------------------------------------------------------------------------------


def _through_joblib(model: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize("how", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, _through_joblib],
                         ids=["pickle", "deepcopy", "joblib"])  # fmt: skip
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_copies_predict_the_same_bits(solver: str, how: Callable[[Any], Any]) -> None:
    """A copy of a fitted pipeline predicts to the bit what the original does, and refits to the same model."""
    X, y = _digits()
    pipe = make_pipeline(StandardScaler(), _classifier(SUBJECT, solver=solver)).fit(X, y)
    made = how(pipe)
    assert_array_equal(made.predict_proba(X), pipe.predict_proba(X))
    assert_array_equal(made.fit(X, y).predict_proba(X), pipe.predict_proba(X))


def test_clone() -> None:
    """A clone has the parameters and nothing else."""
    X, y = _diabetes()
    model = _regressor(SUBJECT, alpha=0.3, random_state=5).fit(X, y)
    made = clone(model)
    assert made.get_params() == model.get_params()
    assert not hasattr(made, "coefs_")
    assert_array_equal(made.fit(X, y).predict(X), model.predict(X))


def test_joblib_memory_map(tmp_path: Any) -> None:
    """A model loaded with its arrays mapped read-only predicts, and goes on learning."""
    X, y = _digits()
    for solver in ("sgd", "adam"):
        model = _classifier(SUBJECT, solver=solver).fit(X, y)
        joblib.dump(model, tmp_path / "model.joblib")
        mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
        assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
        assert_array_equal(mapped.partial_fit(X, y).predict_proba(X), model.partial_fit(X, y).predict_proba(X))
