"""Rows, targets and weights of a fit: what skips scikit-learn's validation comes out of it as it is."""

import numpy as np
import pytest
from conftest import outcome
from sklearn.utils.validation import validate_data

from fastmlp import MLPClassifier, MLPRegressor, _given
from fastmlp._sklearn import _check_sample_weight

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3))
WITH_NAN, LARGE = X.copy(), X * 0 + 1e308
WITH_NAN[2, 1] = np.nan
ROWS = {
    "float64": X,
    "float32": X.astype("float32"),
    "columns first": np.asfortranarray(X),
    "every second": np.repeat(X, 2, axis=0)[::2],
    "read-only": np.frombuffer(X.tobytes()).reshape(X.shape),
    "a sum that overflows": LARGE,
    "float16": X.astype("float16"),
    "other bytes": X.astype(">f8"),
    "integers": np.arange(18).reshape(6, 3),
    "booleans": X > 0,
    "objects": X.astype(object),
    "texts": X.astype(str),
    "complex": X + 0j,
    "NaN": WITH_NAN,
    "infinity": np.where(np.isnan(WITH_NAN), np.inf, X),
    "both infinities": np.array([[np.inf, -np.inf, 0]] * 6),
    "a list": X.tolist(),
    "a matrix": np.matrix(X),
    "masked": np.ma.masked_invalid(WITH_NAN),
    "a vector": X[:, 0],
    "a cube": X[:, None],
    "a number": np.array(1.0),
    "no rows": X[:0],
    "no columns": X[:, :0],
    "fewer rows": X[:5],
}
TARGETS = {
    "integers": np.arange(6),
    "booleans": X[:, 0] > 0,
    "float64": X[:, 0],
    "float16": X[:, 0].astype("float16"),
    "texts": np.array(list("ababab")),
    "bytes": np.array(list("ababab")).astype("S1"),
    "objects": np.array(list("ababab"), dtype=object),
    "objects of numbers": X[:, 0].astype(object),
    "dates": np.arange(6).astype("datetime64[D]"),
    "complex": X[:, 0] + 0j,
    "NaN": WITH_NAN[:, 1],
    "a sum that overflows": LARGE[:, 0],
    "a column": X[:, :1],
    "three columns": X,
    "no columns": X[:, :0],
    "a cube": X[:, None],
    "a number": np.array(1.0),
    "a list": [0, 1] * 3,
    "masked": np.ma.masked_invalid(WITH_NAN[:, 1]),
    "nothing": None,
}


WEIGHTS = {
    **TARGETS,
    "float32": np.arange(6, dtype="float32"),
    "positive": np.arange(1.0, 7.0),
    "every second": np.arange(12.0)[::2],
    "zeros": np.zeros(6),
    "a sum of zero": np.array([1.0, -1.0] * 3),
    "fewer": np.ones(5),
    "one for all": 2.5,
    "a scalar": np.float64(2.5),
}
BEFORE = {
    "names": {"n_features_in_": 3, "feature_names_in_": np.array(list("abc"), dtype=object)},
    "three columns": {"n_features_in_": 3},
    "seven columns": {"n_features_in_": 7},
    "no fit": {},
}


def estimator_with(cls, attributes):
    estimator = cls()
    vars(estimator).update(attributes)
    return estimator


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(("cls", "y_numeric"), [(MLPClassifier, False), (MLPRegressor, True)])
def test_as_by_scikit_learn(cls, y_numeric, rows, reset, before):
    options = {"reset": reset, "y_numeric": y_numeric}
    kinds = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": (np.float64, np.float32)}
    for y in TARGETS.values():
        ours, theirs = estimator_with(cls, BEFORE[before]), estimator_with(cls, BEFORE[before])
        found, warned = outcome(
            lambda X, y=y, ours=ours: _given.validate_rows_and_targets(ours, X, y, **options), ROWS[rows]
        )
        expected, also = outcome(
            lambda X, y=y, theirs=theirs: validate_data(theirs, X, y, **kinds, **options), ROWS[rows]
        )
        assert warned == also
        assert vars(ours).keys() == vars(theirs).keys()
        assert getattr(ours, "n_features_in_", None) == getattr(theirs, "n_features_in_", None)
        if isinstance(expected, Exception):
            assert (type(found), str(found)) == (type(expected), str(expected))
            continue
        for array, other, given in zip(found, expected, (ROWS[rows], y), strict=True):
            assert type(array) is type(other)
            assert array.dtype == other.dtype
            assert (array is given) == (other is given)
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("rows", ["float64", "float32", "columns first", "every second", "read-only"])
@pytest.mark.parametrize("y", ["integers", "booleans", "float64", "texts", "objects", "a column", "three columns"])
def test_plain_arrays_do_not_need_it(rows, y, monkeypatch):
    monkeypatch.delattr(_given, "validate_data")
    estimator = MLPClassifier()
    for reset in (True, False):
        found = _given.validate_rows_and_targets(estimator, ROWS[rows], TARGETS[y], reset=reset)
        assert found[0] is ROWS[rows]
        assert found[1] is TARGETS[y]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_as_by_scikit_learn(name):
    given = WEIGHTS[name]
    found, warned = outcome(_given.validate_sample_weight, given, X)
    expected, also = outcome(_check_sample_weight, given, X)
    assert warned == also
    if isinstance(expected, Exception):
        assert (type(found), str(found)) == (type(expected), str(expected))
        return
    assert found.dtype == expected.dtype
    assert found.flags.c_contiguous
    assert (found is given) == (expected is given)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["float32", "positive"])
def test_plain_weights_do_not_need_it(name, monkeypatch):
    monkeypatch.delattr(_given, "_check_sample_weight")
    assert _given.validate_sample_weight(WEIGHTS[name], X) is WEIGHTS[name]
