"""The short path into predictions: the bits of the long one where it applies, and the long one everywhere else."""

import copy
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import Tensor, outcome

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp import _short as short

try:
    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = [
    pytest.mark.c,
    pytest.mark.skipif(os.environ.get("FASTMLP_BACKEND", "c") not in ("c", "auto"), reason="another backend is chosen"),
]

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(300, 6))
LABELS = {
    "binary": (ROWS.sum(axis=1) > 0).astype(int),
    "multiclass": np.digitize(ROWS.sum(axis=1), [-2, 0, 2]),
    "strings": np.array(["no", "perhaps", "yes"])[np.digitize(ROWS.sum(axis=1), [-1, 1])],
    "booleans": ROWS[:, 0] > 0,
    "one class": np.zeros(300, dtype=int),
    "several labels": (ROWS[:, :3] > 0).astype(int),
    "regression": ROWS.sum(axis=1),
    "two outputs": ROWS[:, :2] * 3,
}
METHODS = dict.fromkeys(LABELS, ("predict_proba", "predict", "predict_log_proba"))
METHODS["regression"] = METHODS["two outputs"] = ("predict",)
CALLS = [(name, method) for name, methods in METHODS.items() for method in methods]
NEVER_BOUND = [("one class", "predict")]


def fitted(name="multiclass", dtype="float64", cls=None, **options):
    if cls is None:
        cls = MLPRegressor if METHODS[name] == ("predict",) else MLPClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**{"hidden_layer_sizes": (7,), "max_iter": 3, "random_state": 0, **options}).fit(
            ROWS.astype(dtype), LABELS[name]
        )


@pytest.fixture
def long_calls(monkeypatch):
    """Count the predictions that go the long way."""
    calls = []
    for cls in (MLPClassifier, MLPRegressor):
        original = cls._network_outputs

        def counted(self, X, original=original):
            calls.append(X)
            return original(self, X)

        monkeypatch.setattr(cls, "_network_outputs", counted)
    return calls


def long_way(estimator, method, X):
    """What the method returns without a short path."""
    estimator = copy.deepcopy(estimator)
    del estimator._short
    assert estimator._short.numbers is short.ShortPath().numbers  # the class's, which binds nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(estimator, method)(X)


def bound(estimator):
    """Bind the estimator, by a first prediction."""
    estimator.predict(ROWS[:2].astype(estimator.coefs_[0].dtype))
    return estimator


def assert_same(one, other):
    assert type(one) is type(other) is np.ndarray
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(("name", "method"), CALLS)
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 300])
def test_same_bits_as_the_long_way(name, method, n, dtype, long_calls):
    estimator, X = fitted(name, dtype), ROWS[:n].astype(dtype)
    expected = long_way(estimator, method, X)
    bound(estimator)
    long_calls.clear()
    for _ in range(2):
        with np.errstate(divide="ignore"):
            assert_same(getattr(estimator, method)(X), expected)
    assert bool(long_calls) == ((name, method) in NEVER_BOUND)


@pytest.mark.parametrize("name", LABELS)
def test_a_first_prediction_is_short(name, dtype, long_calls):
    for method in METHODS[name]:
        if (name, method) not in NEVER_BOUND:
            estimator, X = fitted(name, dtype), ROWS[:20].astype(dtype)
            expected = long_way(estimator, method, X)
            long_calls.clear()
            with np.errstate(divide="ignore"):
                assert_same(getattr(estimator, method)(X), expected)
            assert not long_calls


FORMS = {
    "a list": lambda X: X.tolist(),
    "a list of rows": list,
    "integers": lambda X: (X * 3).astype("int32"),
    "booleans": lambda X: X > 0,
    "float32": lambda X: X.astype("float32"),
    "float16": lambda X: X.astype("float16"),
    "columns first": np.asfortranarray,
    "other bytes": lambda X: X.astype(X.dtype.newbyteorder()),
    "CSR of integers": lambda X: sp.csr_array((X * 3).astype("int64")),
    "CSR of float32": lambda X: sp.csr_array(X.astype("float32")),
    "CSC of float32": lambda X: sp.csc_matrix(X.astype("float32")),
    "a frame": lambda X: pd.DataFrame(X, columns=list("abcdef")),
    "a frame of several types": lambda X: pd.DataFrame(X, columns=list("abcdef")).assign(b=np.arange(len(X))),
}
FRAMES = [form for form in FORMS if form.startswith("a frame")]


@pytest.mark.parametrize("form", FORMS)
def test_what_numpy_makes_an_array_of_takes_the_short_path(form, dtype, long_calls):
    for name, methods in METHODS.items():
        estimator, X = fitted(name, dtype), FORMS[form](ROWS[:20].astype(dtype))
        if form in FRAMES:
            estimator.feature_names_in_ = np.array(list("abcdef"), dtype=object)
        # What goes beyond the weights' precision is computed in float64.
        found = X.dtype if sp.issparse(X) else np.asarray(X).dtype
        is_short = np.result_type(found, estimator.coefs_[0]) == estimator.coefs_[0].dtype
        for method in methods:
            expected = long_way(estimator, method, X)
            for _ in range(2):
                long_calls.clear()
                with np.errstate(divide="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    assert_same(getattr(estimator, method)(X), expected)
                assert bool(long_calls) == (not is_short or (name, method) in NEVER_BOUND)


def test_rows_beyond_float32(long_calls):
    estimator = fitted("multiclass", "float32").set_params(dtype="float32")
    X = ROWS[:3].copy()
    expected = estimator.predict_proba(X.astype("float32"))
    long_calls.clear()
    assert_same(estimator.predict_proba(X), expected)
    assert not long_calls
    X[1, 1] = 1e300
    for given in (X, X.tolist(), np.asfortranarray(X), sp.csr_array(X), sp.csc_array(X)):
        (found, warned) = outcome(estimator.predict_proba, given)
        assert isinstance(found, ValueError)
        assert "too large for float32" in str(found)
        assert not warned


@pytest.mark.parametrize("name", ["multiclass", "several labels", "strings"])
def test_another_binarizer_counts(name):
    estimator = bound(fitted(name))
    other = fitted(name)._label_binarizer
    other.classes_ = other.classes_[::-1].copy()
    estimator._label_binarizer = other
    assert_same(estimator.predict(ROWS), long_way(estimator, "predict", ROWS))
    if name == "several labels":
        other.sparse_input_ = True
        assert sp.issparse(estimator.predict(ROWS))


@pytest.mark.parametrize("form", FORMS)
def test_large_inputs_are_not_converted_whole(form, long_calls):
    estimator, X = fitted(), FORMS[form](np.tile(ROWS, (200, 1)))
    if form in FRAMES:
        estimator.feature_names_in_ = np.array(list("abcdef"), dtype=object)
    assert_same(estimator.predict_proba(X), long_way(estimator, "predict_proba", X))
    assert len(long_calls) == (1 if form in ("a list", "a list of rows", "columns first", "a frame") else 2)


ANY_ORDER = {
    "columns first": np.asfortranarray,
    "every second column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1],
    "csr matrix": sp.csr_matrix,
    "csr array": sp.csr_array,
    "csc matrix": sp.csc_matrix,
    "csc array": sp.csc_array,
}


@pytest.mark.parametrize("form", ANY_ORDER)
@pytest.mark.parametrize("n", [1, 64, 300])
def test_rows_in_any_order_and_sparse_ones(form, n, dtype, long_calls):
    X = ROWS[:n].astype(dtype)
    X[::2, 1] = 0
    for name, methods in METHODS.items():
        estimator = fitted(name, dtype)
        for method in methods:
            given = ANY_ORDER[form](X)
            expected = long_way(estimator, method, given)
            for _ in range(2):
                long_calls.clear()
                with np.errstate(divide="ignore"):
                    assert_same(getattr(estimator, method)(given), expected)
                assert bool(long_calls) == ((name, method) in NEVER_BOUND)


def unsorted(X):
    return sp.csr_array((X.data[::-1].copy(), X.indices[::-1].copy(), X.indptr), shape=X.shape)


def with_entries(name, values):
    def edit(X):
        getattr(X, name)[...] = values
        return X

    return edit


def with_index(dtype):
    def edit(X):
        X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
        return X

    return edit


def with_tail(number):
    def edit(X):
        X.data = np.append(X.data, number).astype(X.dtype)
        return X

    return edit


ODD_SPARSE = {
    "unsorted": unsorted,
    "duplicates": with_entries("indices", 2),
    "outside": with_entries("indices", 6),
    "below": with_entries("indices", -1),
    "far outside": with_entries("indices", 2**31 - 1),
    "indptr": with_entries("indptr", [0, 7]),
    "NaN": with_entries("data", np.nan),
    "infinite": with_entries("data", -np.inf),
    "long indices": with_index(np.int64),
    "far outside in long indices": lambda X: with_entries("indices", 2**32)(with_index(np.int64)(X)),
    "fractional indices": with_index(np.float64),
    "one entry more": lambda X: with_tail(0.0)(X),
    "one NaN more": lambda X: with_tail(np.nan)(X),
    "one entry more in columns": lambda X: with_tail(0.0)(X.tocsc()),
    "one NaN more in columns": lambda X: with_tail(np.nan)(X.tocsc()),
    "lists": lambda X: X.tolil(),
    "too wide": lambda X: sp.hstack([X, X], format="csr"),
    "no rows": lambda X: X[:0],
    "one dimension": lambda X: sp.coo_array(X.toarray()[0]).tocsr(),
    "integers": lambda X: (X * 9).astype("int64"),
    "complex": lambda X: X * 1j,
    "dense": lambda X: X.todense(),
    "columns outside": lambda X: with_entries("indices", 10**7)(X.tocsc()),
}


STILL_ROWS = (
    "unsorted",
    "duplicates",
    "long indices",
    "one entry more",
    "one entry more in columns",
    "lists",
    "integers",
    "dense",
)


@pytest.mark.parametrize("spoil", ODD_SPARSE)
@pytest.mark.parametrize("name", ["multiclass", "regression"])
def test_odd_sparse_rows(spoil, name, dtype):
    estimator = bound(fitted(name, dtype))
    X = sp.csr_array(ROWS[:1].astype(dtype))
    X = ODD_SPARSE[spoil](X)
    (result, warned), (expected, also_warned) = (
        outcome(estimator.predict, X),
        outcome(lambda X: long_way(estimator, "predict", X), X),
    )
    assert type(result) is type(expected)
    if isinstance(result, Exception):
        assert str(result) == str(expected)
    else:
        assert_same(result, expected)
    assert isinstance(result, Exception) == (spoil not in STILL_ROWS)
    assert warned == also_warned


class Row:
    """A row that tells how often it has been asked for its numbers."""

    asked = 0

    def __init__(self, numbers):
        self.numbers = numbers

    def __array__(self, dtype=None, copy=None):
        Row.asked += 1
        return self.numbers if dtype is None else self.numbers.astype(dtype)


@pytest.mark.parametrize(("name", "dtype_name"), [("one class", "float64"), ("multiclass", "float32")])
def test_a_list_that_goes_the_long_way_is_converted_once(name, dtype_name, long_calls, monkeypatch):
    estimator = fitted(name, dtype_name)
    expected = long_way(estimator, "predict", ROWS[:3])
    long_calls.clear()
    monkeypatch.setattr(Row, "asked", 0)
    assert_same(estimator.predict([Row(row) for row in ROWS[:3]]), expected)
    once = Row.asked
    np.asarray([Row(row) for row in ROWS[:3]])
    assert Row.asked == 2 * once
    assert long_calls


@pytest.mark.parametrize("name", ["multiclass", "several labels", "regression"])
def test_arrays_of_other_libraries(name):
    estimator = fitted(name)
    for method in METHODS[name]:
        expected = long_way(estimator, method, ROWS[:3])
        with np.errstate(divide="ignore"):
            assert_same(getattr(estimator, method)(Tensor(ROWS[:3])), expected)


def test_names_of_columns_count_on_the_short_path():
    frame = pd.DataFrame(ROWS[:5], columns=list("abcdef"))
    estimator = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(frame, ROWS[:5, 0])
    expected = estimator.predict(frame)
    for X, what in ((ROWS[:5], "X does not have valid feature names"), (ROWS[:5].tolist(), "valid feature names")):
        with pytest.warns(UserWarning, match=what):
            assert_same(estimator.predict(X), expected)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        estimator.predict(frame[list("bacdef")])
    del estimator.feature_names_in_
    with pytest.warns(UserWarning, match="X has feature names"):
        assert_same(estimator.predict(frame), expected)


@pytest.mark.parametrize("name", ["multiclass", "regression"])
def test_a_first_prediction_of_what_is_odd_goes_the_long_way(name):
    def without(attribute):
        estimator = fitted(name)
        delattr(estimator, attribute)
        return estimator

    for X in (ROWS.tolist(), ROWS[:, :5], ROWS[0], np.full((3, 6), np.nan), ROWS.astype("float32"), None):
        for estimator in (fitted(name), without("coefs_"), without("n_outputs_"), without("out_activation_")):
            found = outcome(estimator.predict, X)[0]
            del estimator._short
            expected = outcome(estimator.predict, X)[0]
            if isinstance(expected, Exception):
                assert (type(found), str(found)) == (type(expected), str(expected))
            else:
                assert_same(found, expected)


def test_many_rows_in_pieces(dtype, long_calls, monkeypatch):
    monkeypatch.setattr(c, "_OUTPUTS_PER_CALL", 1000)
    monkeypatch.setattr(c, "_WORK_PER_CALL", 1000)
    X = np.tile(ROWS, (10, 1)).astype(dtype)
    for name, method in CALLS:
        estimator = bound(fitted(name, dtype))
        with np.errstate(divide="ignore"):
            assert_same(getattr(estimator, method)(X), long_way(estimator, method, X))
        X[-1, -1] = np.nan  # in the last piece
        with pytest.raises(ValueError, match="Input X contains NaN"):
            getattr(estimator, method)(X)
        X[-1, -1] = 0


@pytest.mark.parametrize("units", [(), (1,), (1, 1), (400, 300)], ids=str)
def test_shapes_of_networks(units, dtype, long_calls):
    # A weight array of a single number is compared by identity; wide layers leave few rows or none for the stack.
    for name in ("binary", "multiclass", "regression"):
        estimator = bound(fitted(name, dtype, hidden_layer_sizes=units))
        for n in (1, 40, 300):
            X = ROWS[:n].astype(dtype)
            for method in METHODS[name]:
                expected = long_way(estimator, method, X)
                long_calls.clear()
                with np.errstate(divide="ignore"):
                    assert_same(getattr(estimator, method)(X), expected)
                assert not long_calls


def test_outputs_that_are_not_numbers_are_classified_as_by_numpy(dtype):
    estimator = fitted("multiclass", dtype, hidden_layer_sizes=())
    for values in ([0, np.nan, 1, np.nan], [np.nan, 0, 0, 0], [np.inf, np.inf, 0, 0], [1, 1, 1, 1], [0, 2, 2, 1]):
        estimator.coefs_[0][:] = 0
        estimator.intercepts_[0][:] = values
        estimator.out_activation_ = "identity"
        X = ROWS[:3].astype(dtype)
        bound(estimator)
        assert_same(estimator.predict(X), long_way(estimator, "predict", X))


class Rows(np.ndarray):
    """An array that is not plain."""


FALLS_BACK = {
    "list": lambda X: X.tolist(),
    "subclass": lambda X: X.view(Rows),
    "other float": lambda X: X.astype("float64" if X.dtype == "float32" else "float32"),
    "integers": lambda X: np.ones(X.shape, int),
    "byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "not contiguous": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "column-major": np.asfortranarray,
    "vector": lambda X: X[0],
    "three dimensions": lambda X: X[None],
    "too wide": lambda X: np.hstack([X, X]),
    "no rows": lambda X: X[:0],
    "NaN": lambda X: np.where(X[1, 2] == X, np.nan, X).astype(X.dtype),
    "infinite": lambda X: np.where(X[-1, -1] == X, -np.inf, X).astype(X.dtype),
    "None": lambda X: None,
    "sparse": lambda X: pytest.importorskip("scipy.sparse").csr_matrix(X),
    "frame": lambda X: pytest.importorskip("pandas").DataFrame(X),
}


@pytest.mark.parametrize("spoil", FALLS_BACK)
def test_other_input_goes_the_long_way(spoil, dtype):
    for name, method in CALLS:
        estimator, X = bound(fitted(name, dtype)), FALLS_BACK[spoil](ROWS[:9].astype(dtype))
        (result, warned), (expected, also_warned) = (
            outcome(getattr(estimator, method), X),
            outcome(lambda X, e=estimator, m=method: long_way(e, m, X), X),
        )
        assert type(result) is type(expected)
        if isinstance(result, Exception):
            assert str(result) == str(expected)
        else:
            assert_same(result, expected)
        if method != "predict_log_proba":  # of which the long way here keeps its own warnings
            assert warned == also_warned


def test_read_only_and_unpickled_rows_take_it(dtype, long_calls):
    estimator, X = bound(fitted(dtype=dtype)), ROWS[:3].astype(dtype)
    fixed, loaded = X.copy(), pickle.loads(pickle.dumps(X))
    fixed.flags.writeable = False
    long_calls.clear()
    assert_same(estimator.predict_proba(fixed), estimator.predict_proba(X))
    assert_same(estimator.predict_proba(loaded), estimator.predict_proba(X))
    assert not long_calls


def other_weights(estimator):
    estimator.coefs_[0] = estimator.coefs_[0] * 2


def other_bias(estimator):
    estimator.intercepts_[-1] = estimator.intercepts_[-1] + 1


def equal_bias_of_another_dtype(estimator):
    estimator.intercepts_[-1] = estimator.intercepts_[-1].astype("float64")


def other_lists(estimator):
    estimator.coefs_ = [array * 2 for array in estimator.coefs_]


def edited(estimator):
    estimator.coefs_[0][:] *= 2


def other_activation(estimator):
    estimator.set_params(activation="tanh")


def other_output(estimator):
    estimator.out_activation_ = "logistic"


def other_dtype(estimator):
    estimator.set_params(dtype="float64")


def other_backend(estimator):
    estimator.set_params(backend="numpy")


def fitted_again(estimator):
    estimator.set_params(random_state=1).fit(ROWS.astype("float32"), LABELS["regression"])


def trained_on(estimator):
    estimator.partial_fit(ROWS.astype("float32"), LABELS["regression"])


CHANGES = [
    other_weights,
    other_bias,
    equal_bias_of_another_dtype,
    other_lists,
    edited,
    other_activation,
    other_output,
    other_dtype,
    other_backend,
    fitted_again,
    trained_on,
]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_take_effect(change):
    # One output: a bias of a single number is where a comparison by value would not see a change of dtype.
    estimator, X = bound(fitted("regression", "float32", max_iter=1)), ROWS[:5].astype("float32")
    before = estimator.predict(X)
    assert_same(estimator.predict(X), before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(estimator)
    for _ in range(3):
        assert_same(estimator.predict(X), long_way(estimator, "predict", X))
    assert estimator.predict(X).tobytes() != before.tobytes()


@pytest.mark.parametrize(
    "odd", [None, "text", 1.0, [[1.0]], np.zeros((2, 2)), object()], ids=lambda odd: type(odd).__name__
)
def test_odd_things_in_the_place_of_weights(odd):
    estimator, X = bound(fitted("regression")), ROWS[:5]
    for name, place in (("coefs_", 0), ("intercepts_", -1)):
        kept = getattr(estimator, name)[place]
        getattr(estimator, name)[place] = odd
        (result, _), (expected, _) = (
            outcome(estimator.predict, X),
            outcome(lambda X: long_way_of_lists(estimator, X), X),
        )
        assert type(result) is type(expected)
        getattr(estimator, name)[place] = kept
    assert_same(estimator.predict(X), long_way(estimator, "predict", X))


def long_way_of_lists(estimator, X):
    fresh = MLPRegressor(hidden_layer_sizes=(7,))
    for name in ("coefs_", "intercepts_", "out_activation_", "n_outputs_", "n_layers_", "n_features_in_"):
        setattr(fresh, name, getattr(estimator, name))
    return fresh.predict(X)


def test_other_labels_take_effect():
    estimator, X = bound(fitted("multiclass")), ROWS[:20]
    codes = estimator.predict(X)
    estimator.classes_[:] = estimator.classes_[::-1].copy()
    assert_same(estimator.predict(X), 3 - codes)
    estimator._label_binarizer.classes_ = np.array(list("abcd"))
    assert_same(estimator.predict(X), np.array(list("abcd"))[codes])


def test_the_backend_is_asked_for_at_each_call(monkeypatch, long_calls):
    estimator, X = bound(fitted("multiclass")), ROWS[:20]
    estimator.predict_proba(X)
    long_calls.clear()
    estimator.predict_proba(X)
    assert not long_calls
    with fastmlp.config_context(backend="numpy"):
        estimator.predict_proba(X)
        estimator.predict_proba(X)
    assert len(long_calls) == 2
    estimator.predict_proba(X)
    long_calls.clear()
    estimator.predict_proba(X)
    assert not long_calls
    monkeypatch.setenv("FASTMLP_BACKEND", "numpy")
    estimator.predict_proba(X)
    assert len(long_calls) == 1
    monkeypatch.setenv("FASTMLP_BACKEND", "tpu")
    with pytest.raises(ValueError, match="FASTMLP_BACKEND"):
        estimator.predict_proba(X)


def test_names_of_features_are_looked_at():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=list("abcdef"))
    estimator = MLPRegressor(max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(frame, LABELS["regression"])
    for _ in range(2):
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            estimator.predict(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(ROWS, LABELS["regression"])
    for _ in range(2):
        with pytest.warns(UserWarning, match="X has feature names"):
            estimator.predict(frame)


def test_finiteness_is_scikit_learns_to_assume():
    from sklearn import config_context

    estimator, X = bound(fitted("regression")), ROWS[:3].copy()
    X[1, 1] = np.nan
    with config_context(assume_finite=True):
        assert np.isnan(estimator.predict(X)).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="Input X contains NaN"):
        estimator.predict(X)


def test_not_fitted():
    from sklearn.exceptions import NotFittedError

    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(MLPClassifier(), method)(ROWS)
    estimator = bound(fitted("regression"))
    del estimator.coefs_, estimator.intercepts_
    with pytest.raises(AttributeError):
        estimator.predict(ROWS)


class Doubled(MLPRegressor):
    def _forward_pass_fast(self, X, check_input=True):
        return 2 * super()._forward_pass_fast(X, check_input)


class Renamed(MLPRegressor):
    """Overrides nothing that a prediction takes."""


class Halved(MLPClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X) / 2


def test_subclasses(long_calls):
    plain = fitted("regression")
    expected = plain.predict(ROWS)
    for cls, factor in ((Doubled, 2), (Renamed, 1)):
        estimator = bound(fitted("regression", cls=cls))
        long_calls.clear()
        assert_same(estimator.predict(ROWS), factor * expected)
        assert bool(long_calls) == (cls is Doubled)
    halved = bound(fitted("binary", cls=Halved))
    for _ in range(2):
        assert_same(halved.predict_log_proba(ROWS), np.log(fitted("binary").predict_proba(ROWS) / 2))


def test_a_method_of_the_instance_is_called():
    estimator = fitted("regression")
    expected, original = estimator.predict(ROWS), estimator._forward_pass_fast
    estimator = copy.copy(estimator)
    estimator._forward_pass_fast = lambda X, check_input=True: 2 * original(X, check_input)
    for X in (ROWS, ROWS.tolist()):
        assert_same(estimator.predict(X), 2 * expected)


def test_states_are_not_carried_away(long_calls):
    estimator = bound(fitted("regression"))
    expected = estimator.predict(ROWS)
    attributes = dict(vars(estimator))
    estimator.predict(ROWS)
    assert vars(estimator) == attributes
    for other in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert "_short" not in estimator.__getstate__()
        assert other._short is not estimator._short
        other.coefs_[0][:] = 0
        other.intercepts_[0][:] = 0
        bound(other)
        assert len(set(other.predict(ROWS))) == 1
    assert_same(estimator.predict(ROWS), expected)


def labels_for_score(name, n):
    """True labels or targets of the first rows, some of them not as predicted."""
    y = LABELS[name][:n].copy()
    y[::3] = y[n // 2]
    return y


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("n", [1, 2, 20, 21, 300])
def test_score_is_that_of_scikit_learn(name, n, dtype):
    from sklearn.base import ClassifierMixin, RegressorMixin

    estimator, X, y = bound(fitted(name, dtype)), ROWS[:n].astype(dtype), labels_for_score(name, n)
    mixin = RegressorMixin if isinstance(estimator, MLPRegressor) else ClassifierMixin
    weights = np.random.default_rng(1).uniform(0.5, 2, n)
    others = [
        y,
        y.tolist(),
        list(y),
        y.astype(object),
        tuple(y),
        y[:-1],
        None,
        np.zeros_like(y),
        y[:, None] if y.ndim == 1 else y[:, 0],
    ]
    if y.dtype.kind == "f":
        others += [y.astype("float32"), np.where(y == y.flat[0], np.nan, y), np.where(y == y.flat[0], np.inf, y)]
        others += [np.ones_like(y), y.astype(int), pd.Series(y) if y.ndim == 1 else pd.DataFrame(y)]
    elif y.ndim == 1:
        others += [pd.Series(y), pd.Series(y.astype(object)), pd.Series(y, dtype="category"), pd.Series(y.astype(str))]
        others += [y.astype(str), np.arange(n), y.astype("U30"), np.arange(n) + 0.5, np.zeros(n, bool)]
    for y in others:
        for sample_weight in (None, weights):
            result, warned = outcome(lambda X, y=y, w=sample_weight: estimator.score(X, y, sample_weight=w), X)
            expected, also = outcome(lambda X, y=y, w=sample_weight: mixin.score(estimator, X, y, sample_weight=w), X)
            assert warned == also
            if isinstance(expected, Exception):
                assert (type(result), str(result)) == (type(expected), str(expected))
            else:
                assert type(result) is type(expected) is float
                assert result == expected or (np.isnan(result) and np.isnan(expected))


def test_score_takes_the_short_path(long_calls, monkeypatch):
    from fastmlp import estimators

    monkeypatch.delattr(estimators, "accuracy_score")
    monkeypatch.delattr(estimators, "r2_score")
    for name in ("binary", "multiclass", "strings", "booleans", "regression", "two outputs"):
        estimator = bound(fitted(name))
        y = estimator.predict(ROWS)
        long_calls.clear()
        assert estimator.score(ROWS, y) == 1.0
        assert not long_calls


class SignalError(Exception):
    """What a handler of a signal raises, at any moment."""


class Raising(dict):
    """Attributes that are looked up when the signal arrives."""

    def __getitem__(self, name):
        raise SignalError


def test_exceptions_of_signals_are_heard():
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = fastmlp.MLPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=2).fit(X, X[:, 0])
    model.predict(X)
    assert model._short.numbers(vars(model), X) is not None
    with pytest.raises(SignalError):
        model._short.numbers(Raising(), X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_not_aligned(dtype):
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)
    odd = np.frombuffer(b"\0" + X.tobytes(), dtype, X.size, 1).reshape(X.shape)
    assert not odd.flags.aligned
    for y in (X[:, 0], X[:, 0] > 0):
        options = {"hidden_layer_sizes": (4,), "random_state": 0, "max_iter": 2}
        cls = fastmlp.MLPRegressor if y.dtype == dtype else fastmlp.MLPClassifier
        model, other = cls(**options).fit(X, y), cls(**options).fit(odd, y)
        expected = model.predict(X)
        assert model._short.numbers(vars(model), odd) is None
        for found in (model.predict(odd), other.predict(odd), other.predict(X)):
            np.testing.assert_array_equal(found, expected)
