"""Rows, targets and weights of a fit: what skips scikit-learn's validation comes out of it as it is."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import outcome
from sklearn.utils.validation import validate_data

from fastmlp import MLPClassifier, MLPRegressor, _given
from fastmlp._sklearn import _check_sample_weight

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3))
WITH_NAN, LARGE = X.copy(), X * 0 + 1e308
WITH_NAN[2, 1] = np.nan


def with_long_indices(X):
    X.indices, X.indptr = X.indices.astype("int64"), X.indptr.astype("int64")
    return X


FRAME = pd.DataFrame(X, columns=list("abc"))
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
    "a list of integers": [[1, 2, 3]] * 6,
    "a list of booleans": [[True, False, True]] * 6,
    "a list of large integers": [[2**64, 2**70, 1]] * 6,
    "a list of unsigned integers": [[2**63 + 1025, 1, 2]] * 6,
    "a list of texts": [["1", "2", "3"]] * 6,
    "a list of rows": list(X.astype("float32")),
    "a list of objects": [[1, None, 2]] * 6,
    "a list of NaN": WITH_NAN.tolist(),
    "a list of complex numbers": (X + 0j).tolist(),
    "a ragged list": [[1, 2, 3]] * 5 + [[1, 2]],
    "a tuple": tuple(map(tuple, X)),
    "CSR": sp.csr_array(X),
    "a CSR matrix": sp.csr_matrix(X),
    "CSC": sp.csc_array(X.astype("float32")),
    "CSR of integers": sp.csr_array(np.eye(6, 3, dtype=int)),
    "CSR of booleans": sp.csr_array(np.eye(6, 3, dtype=bool)),
    "CSR without entries": sp.csr_array((6, 3)),
    "CSR with NaN": sp.csr_array(WITH_NAN),
    "CSR of complex numbers": sp.csr_array(X + 0j),
    "CSR without rows": sp.csr_array((0, 3)),
    "CSR with long indices": with_long_indices(sp.csr_array(X)),
    "a subclass of CSR": type("Table", (sp.csr_matrix,), {})(X),
    "COO": sp.coo_array(X),
    "numbers beyond float64": X.astype(np.longdouble) * np.longdouble("1e400"),
    "extended numbers": X.astype(np.longdouble),
    "a frame": FRAME,
    "a frame of float32": FRAME.astype("float32"),
    "a frame of integers": pd.DataFrame(np.arange(18).reshape(6, 3), columns=list("abc")),
    "a frame of several types": FRAME.assign(b=np.arange(6, dtype="int8"), c=np.float32(1)),
    "a frame of integers of both kinds": pd.DataFrame({"a": [1] * 6, "b": np.arange(6, dtype="u8"), "c": [2] * 6}),
    "a frame with booleans": FRAME.assign(b=X[:, 0] > 0),
    "a frame of booleans": FRAME > 0,
    "a frame with texts": FRAME.assign(b="x"),
    "a frame of numbers as texts": FRAME.astype(str),
    "a frame of objects": FRAME.astype(object),
    "a frame of missing integers": FRAME.assign(b=pd.array([1, None] * 3, dtype="Int64")),
    "a frame of extension numbers": FRAME.astype("Float64"),
    "a frame with categories": FRAME.assign(b=pd.Categorical([1, 2] * 3)),
    "a frame with dates": FRAME.assign(b=pd.Timestamp(0)),
    "a frame with a sparse column": FRAME.assign(b=pd.arrays.SparseArray([0.0, 1.0] * 3)),
    "a frame of sparse columns": FRAME.astype(pd.SparseDtype("float64", 0.0)),
    "a frame with NaN": pd.DataFrame(WITH_NAN, columns=list("abc")),
    "a frame with other names": pd.DataFrame(X, columns=list("abd")),
    "a frame in another order": FRAME[["b", "a", "c"]],
    "a frame with a name twice": pd.DataFrame(X, columns=list("aba")),
    "a frame with numbers for names": pd.DataFrame(X),
    "a frame with names and numbers": pd.DataFrame(X, columns=["a", "b", 1]),
    "a frame with levels of names": pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([("a", i) for i in range(3)])),
    "a frame without rows": FRAME[:0],
    "a frame without columns": FRAME[[]],
    "a frame with other rows": FRAME[2:],
    "a subclass of frames": type("Table", (pd.DataFrame,), {})(FRAME),
    "a series": FRAME["a"],
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
    "a list of texts": list("ababab"),
    "a list of both": [1, "a"] * 3,
    "a list of numbers": X[:, 0].tolist(),
    "a list of lists": X.tolist(),
    "a ragged list": [[1, 2]] * 5 + [[1]],
    "a list of nothing": [None] * 6,
    "a list of NaN": [1.0, np.nan] * 3,
    "a tuple": (0, 1) * 3,
    "a sparse matrix": sp.csr_array(X > 0),
    "sparse numbers": sp.csc_array(X),
    "a series": pd.Series(X[:, 0], index=range(6, 0, -1)),
    "a series of integers": pd.Series([0, 1] * 3, dtype="int8"),
    "a series of booleans": pd.Series([True, False] * 3),
    "a series of texts": pd.Series(list("ababab")),
    "a series of objects": pd.Series(list("ababab"), dtype=object),
    "a series of mixed objects": pd.Series([1, "a"] * 3, dtype=object),
    "a series of missing texts": pd.Series(["a", None] * 3),
    "a series of categories": pd.Series(list("ababab"), dtype="category"),
    "a series of missing integers": pd.Series([1, None] * 3, dtype="Int64"),
    "a series of extension integers": pd.Series([1, 2] * 3, dtype="Int64"),
    "a series of NaN": pd.Series([1.0, np.nan] * 3),
    "a series of dates": pd.Series(pd.date_range("2000", periods=6)),
    "a sparse series": pd.Series(pd.arrays.SparseArray([0, 1] * 3)),
    "a frame": FRAME,
    "a frame of a column": FRAME[["a"]],
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


def assert_same(array, other):
    assert type(array) is type(other)
    assert array.dtype == other.dtype
    if sp.issparse(array):
        array, other = array.toarray(), other.toarray()
    np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(("cls", "y_numeric"), [(MLPClassifier, False), (MLPRegressor, True)])
def test_as_by_scikit_learn(cls, y_numeric, rows, reset, before):
    options = {"reset": reset, "y_numeric": y_numeric}
    kinds = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": (np.float64, np.float32)}
    # What is done with y does not depend on an earlier fit.
    names = TARGETS if before == "three columns" else ("integers", "NaN", "a list of texts", "a series", "nothing")
    for y in map(TARGETS.get, names):
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
        if hasattr(ours, "feature_names_in_"):
            assert_same(ours.feature_names_in_, theirs.feature_names_in_)
        if isinstance(expected, Exception):
            assert (type(found), str(found)) == (type(expected), str(expected))
            continue
        for array, other, given in zip(found, expected, (ROWS[rows], y), strict=True):
            assert_same(array, other)
            assert (array is given) == (other is given)


@pytest.mark.parametrize("before", BEFORE)
def test_rows_to_predict_as_by_scikit_learn(before):
    estimator = estimator_with(MLPClassifier, BEFORE[before])
    for X in ROWS.values():
        found, warned = outcome(_given.validate_rows, estimator, X)
        expected, also = outcome(validate_data, estimator, X, accept_sparse=["csr", "csc"], reset=False)
        assert warned == also
        if isinstance(expected, Exception):
            assert (type(found), str(found)) == (type(expected), str(expected))
        else:
            assert_same(found, expected)
            assert (found is X) == (expected is X)
        assert vars(estimator).keys() == {*vars(MLPClassifier()), *BEFORE[before]}


PLAIN_ROWS = ["float64", "float32", "columns first", "every second", "read-only", "integers", "float16"]
PLAIN_ROWS += [
    "a list",
    "a list of integers",
    "a frame",
    "a frame of booleans",
    "a frame with numbers for names",
    "a frame of float32",
    "a frame of several types",
    "CSR",
    "CSC",
]
PLAIN_TARGETS = ["integers", "booleans", "float64", "texts", "objects", "a column", "three columns", "a list"]
PLAIN_TARGETS += ["a list of texts", "a series", "a series of integers", "a series of texts"]


@pytest.mark.parametrize("rows", PLAIN_ROWS)
def test_what_is_plain_does_not_need_it(rows, monkeypatch):
    monkeypatch.delattr(_given, "validate_data")
    estimator = MLPClassifier()
    for y in PLAIN_TARGETS:
        for reset in (True, False):
            _given.validate_rows_and_targets(estimator, ROWS[rows], TARGETS[y], reset=reset)
            assert estimator.n_features_in_ == 3
            _given.validate_rows(estimator, ROWS[rows])


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_as_by_scikit_learn(name):
    given = WEIGHTS[name]
    found, warned = outcome(_given.validate_sample_weight, given, X)
    expected, also = outcome(_check_sample_weight, given, X)
    assert warned == also
    if isinstance(expected, Exception):
        assert (type(found), str(found)) == (type(expected), str(expected))
        return
    assert_same(found, expected)
    assert found.flags.c_contiguous
    assert (found is given) == (expected is given)


@pytest.mark.parametrize("name", ["float32", "positive"])
def test_plain_weights_do_not_need_it(name, monkeypatch):
    monkeypatch.delattr(_given, "_check_sample_weight")
    assert _given.validate_sample_weight(WEIGHTS[name], X) is WEIGHTS[name]
