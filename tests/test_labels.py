"""Labels that are objects: what scikit-learn's LabelBinarizer and metrics make of them, but without their matrix."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import outcome
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer

from fastmlp import MLPClassifier, _labels, _scores, estimators


class Text(str):
    """A string that is not plainly one."""


def objects(labels):
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


MANY = [f"label {i}" for i in range(40)]
TEXTS = {
    "two": ["yes", "no", "yes"],
    "three": ["b", "B", "a", "b"],
    "one": ["only", "only"],
    "empty": ["", "a", "", "b"],
    "of several lengths": ["aaa", "aa", "a", "aaa", "b"],
    "other alphabets": ["\U0001f600", "\uffff", "é", "e\u0301", "\ud800"],
    "NUL inside": ["a\0b", "a", "\0a"],
    "numbers": ["10", "9", "1.0", "nan", "None"],
    "many rows": MANY * 3,
    "half as many classes as rows": MANY[:10] * 2 + MANY[:1],
}
"""What goes the fast way."""
OTHERS = {
    "as many classes as rows": MANY,
    "a class in two rows": MANY[:15] * 2,
    "NUL at the end": ["a\0", "b", "a\0"],
    "different in a NUL": ["a\0", "a", "b", "a"],
    "two, different in a NUL": ["a\0", "a"],
    "NumPy's strings": [np.str_("a"), "b"],
    "a subclass": [Text("a"), "b", "a"],
    "None": ["a", None, "b"],
    "None first": [None, "a"],
    "NaN": ["a", np.nan, "b"],
    "bytes": ["a", b"a"],
    "bytes first": [b"a", "a"],
    "an integer": ["a", 1],
    "integers": [1, 2, 1],
    "booleans": [True, False],
    "a list": ["a", ["b"]],
    "an array": ["a", np.array("b")],
    "nothing": [],
}
OF_ALL_KINDS = {**TEXTS, **OTHERS}


def assert_same(ours, expected):
    """Compare outcomes of a binarizer and its targets with those of scikit-learn's, and the rows it makes."""
    (result, warned), (reference, also_warned) = ours, expected
    assert warned == also_warned
    if isinstance(reference, Exception):
        assert (type(result), str(result)) == (type(reference), str(reference))
        return
    (binarizer, targets), (other, rows) = result, reference
    assert vars(binarizer).keys() == vars(other).keys()
    assert (binarizer.y_type_, binarizer.sparse_input_) == (other.y_type_, other.sparse_input_)
    assert binarizer.classes_.dtype == other.classes_.dtype
    assert binarizer.classes_.tolist() == other.classes_.tolist()
    if targets.ndim == 2:
        assert targets.dtype == bool
        rows = rows.astype(bool)
    else:
        assert targets.dtype == np.int32
        targets = np.eye(rows.shape[1], dtype=int)[targets] if rows.shape[1] > 1 else targets[:, np.newaxis]
    np.testing.assert_array_equal(targets, rows)


def fitted(y):
    binarizer = LabelBinarizer().fit(y)
    return binarizer, binarizer.transform(y)


@pytest.mark.parametrize("name", OF_ALL_KINDS)
def test_objects_are_what_scikit_learn_takes_them_for(name):
    y = objects(OF_ALL_KINDS[name])
    assert_same(outcome(_labels.fit_binarizer, y), outcome(fitted, y))


@pytest.mark.parametrize("name", OF_ALL_KINDS)
@pytest.mark.parametrize(
    "classes",
    [["a", "b"], ["a", "aa", "b"], ["only", "yes"], ["a\0", "a", "b"], ["a\0", "b"], [*MANY, "a"], ["a"], [1, 2]],
    ids=repr,
)
def test_objects_among_known_classes(name, classes):
    binarizer, y = (
        LabelBinarizer().fit(objects(classes) if type(classes[0]) is str else classes),
        objects(OF_ALL_KINDS[name]),
    )
    ours = outcome(lambda: (binarizer, _labels.transform(binarizer, y)))
    assert_same(ours, outcome(lambda: (binarizer, binarizer.transform(y))))


SEVERAL = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
INDICATORS = {
    "integers": SEVERAL,
    "small integers": SEVERAL.astype("int8"),
    "unsigned integers": SEVERAL.astype("uint64"),
    "booleans": SEVERAL > 0,
    "floats": SEVERAL * 1.0,
    "columns first": np.asfortranarray(SEVERAL),
    "one row": SEVERAL[:1],
    "zeros": SEVERAL * 0,
    "ones": SEVERAL * 0 + 1,
    "two columns": SEVERAL[:, :2],
    "other bytes": SEVERAL.astype(">i4"),
    "a column": SEVERAL[:, :1],
    "no rows": SEVERAL[:0],
    "no columns": SEVERAL[:, :0],
    "0 and 2": SEVERAL * 2,
    "-1 and 1": SEVERAL * 2 - 1,
    "three values": SEVERAL + SEVERAL[::-1],
    "texts": SEVERAL.astype(str),
    "objects": SEVERAL.astype(object),
    "sparse": sp.csr_array(SEVERAL),
}


@pytest.mark.parametrize("name", INDICATORS)
def test_several_labels_are_what_scikit_learn_takes_them_for(name):
    y = INDICATORS[name]
    assert_same(outcome(_labels.fit_binarizer, y), outcome(fitted, y))


@pytest.mark.parametrize("name", INDICATORS)
@pytest.mark.parametrize("known", ["integers", "two columns", "sparse"])
def test_several_labels_among_known_ones(name, known):
    binarizer, y = LabelBinarizer().fit(INDICATORS[known]), INDICATORS[name]
    ours = outcome(lambda: (binarizer, _labels.transform(binarizer, y)))
    assert_same(ours, outcome(lambda: (binarizer, binarizer.transform(y))))


@pytest.mark.parametrize("known", ["integers", "two columns", "sparse"])
def test_several_labels_that_outputs_stand_for(known):
    binarizer = LabelBinarizer().fit(INDICATORS[known])
    outputs = np.array([[0.5, 0.4, np.nan], [np.nextafter(0.5, 1), 1.0, np.inf]])[:, : len(binarizer.classes_)]
    for dtype in ("float32", "float64"):
        found, expected = (
            _labels.predict_labels(binarizer, outputs.astype(dtype)),
            binarizer.inverse_transform(outputs.astype(dtype)),
        )
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(*(rows if known != "sparse" else rows.toarray() for rows in (found, expected)))


@pytest.mark.parametrize("name", INDICATORS)
def test_scores_of_several_labels(name):
    for predicted in (SEVERAL, SEVERAL[::-1], SEVERAL[:, :2]):
        found = _scores.accuracy(INDICATORS[name], predicted, predicted.shape[1])
        if found is not None:
            assert found == accuracy_score(INDICATORS[name], predicted)
            assert type(found) is float
        if INDICATORS[name].shape != predicted.shape:
            assert found is None
            continue
        others = ("floats", "0 and 2", "-1 and 1", "three values", "texts", "objects", "sparse", "other bytes")
        assert (found is None) == (name in others)


@pytest.mark.parametrize("name", OF_ALL_KINDS)
def test_distinct_labels(name):
    y = objects(OF_ALL_KINDS[name])
    (found, warned), (expected, also_warned) = outcome(_labels.distinct, y), outcome(_labels.unique_labels, y)
    assert warned == also_warned
    if isinstance(expected, Exception):
        assert (type(found), str(found)) == (type(expected), str(expected))
    else:
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()


LABELS = np.array([3, 1, 2, 1, 2, 3, 2])


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        LABELS.astype("uint8"),
        LABELS > 1,
        LABELS * 1.0,
        LABELS + 0.5,
        LABELS * 10**6,
        LABELS.astype("U9"),
        LABELS.astype("S9"),
        LABELS[:0],
        LABELS[:, np.newaxis],
        np.arange(40),
        np.eye(3, dtype=int),
        LABELS.tolist(),
    ],
    ids=repr,
)
def test_distinct_labels_of_arrays(y):
    (found, warned), (expected, also_warned) = outcome(_labels.distinct, y), outcome(_labels.unique_labels, y)
    assert warned == also_warned
    assert str(found) == str(expected)
    assert type(found) is type(expected)


@pytest.mark.parametrize("classes", [["b", "a", "c"], ["a", "a", "b"]])
def test_classes_that_somebody_has_written(classes):
    binarizer, y = LabelBinarizer().fit(["a", "b", "c"]), objects(["a", "b", "a"])
    binarizer.classes_ = np.array(classes)
    assert_same(((binarizer, _labels.transform(binarizer, y)), []), ((binarizer, binarizer.transform(y)), []))


@pytest.fixture
def no_binarizer(monkeypatch):
    """Let nothing be found out by scikit-learn's LabelBinarizer."""

    def refuse(*args, **kwargs):
        raise AssertionError("the slow way was taken")

    monkeypatch.setattr(LabelBinarizer, "fit", refuse)
    monkeypatch.setattr(LabelBinarizer, "transform", refuse)


@pytest.mark.usefixtures("no_binarizer")
@pytest.mark.parametrize("name", TEXTS)
def test_texts_need_no_binarizer(name):
    y = objects(TEXTS[name])
    binarizer, codes = _labels.fit_binarizer(y)
    assert binarizer.classes_[codes].tolist() == y.tolist()
    if len(binarizer.classes_) > 1:
        np.testing.assert_array_equal(_labels.transform(binarizer, y), codes)
    strided = np.repeat(y, 2)[::2]
    np.testing.assert_array_equal(_labels.fit_binarizer(strided)[1], codes)


def test_texts_that_another_thread_writes_to(monkeypatch):
    y = objects(["a", "b", "c", "a"])
    texts = _labels.texts

    def read_and_write(array):
        found = texts(array)
        array[:] = None
        return found

    monkeypatch.setattr(_labels, "texts", read_and_write)
    binarizer, codes = _labels.fit_binarizer(y)
    assert binarizer.classes_.tolist() == ["a", "b", "c"]
    assert codes.tolist() == [0, 1, 2, 0]
    y[:] = ["c", "b", "c", "a"]
    assert _labels.transform(binarizer, y).tolist() == [2, 1, 2, 0]


def test_texts_need_no_matrix():
    y = objects([f"label {i % 300}" for i in range(6000)])
    tracemalloc.start()
    try:
        binarizer, _ = _labels.fit_binarizer(y)
        _labels.transform(binarizer, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6  # a matrix would have 14.4e6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"warm_start": True}], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_fit_to_texts_is_that_to_an_array_of_strings(options, n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.array(["no", "yes", "perhaps"])[rng.integers(n_classes, size=60)]
    one, other = (MLPClassifier((5,), max_iter=4, random_state=0, **options) for _ in range(2))
    for _ in range(2):
        one.fit(X, y.astype(object))
        other.fit(X, y)
    assert one.classes_.dtype == other.classes_.dtype
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_scores_ == other.validation_scores_
    assert one.predict(X).tolist() == other.predict(X).tolist()


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.array(["no", "yes", "perhaps"])[rng.integers(3, size=60)]
    return X, y, MLPClassifier((5,), solver="lbfgs", max_iter=5, random_state=0).fit(X, y)


WRITTEN = {
    "nothing": (0, "no"),
    "another class": (1, "other"),
    "NUL at the end": (8, "no\0"),
    "None": (1, None),
    "NaN": (1, np.nan),
    "bytes": (1, b"no"),
    "a number": (1, 1),
    "NumPy's string": (1, np.str_("no")),
    "all others": (30, None),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_scores_of_objects(model, case):
    X, y, estimator = model
    y, (n, label) = y.astype(object), WRITTEN[case]
    y[:n] = [f"other {i}" for i in range(n)] if case == "all others" else label
    (score, warned), (expected, also_warned) = (
        outcome(estimator.score, X, y),
        outcome(lambda: accuracy_score(y, estimator.predict(X))),
    )
    assert (type(score), str(score)) == (type(expected), str(expected))
    assert warned == also_warned


def test_a_score_of_texts_for_a_model_of_numbers(model):
    X, y, _ = model
    estimator = MLPClassifier((5,), max_iter=1, random_state=0).fit(X, np.unique(y, return_inverse=True)[1])
    (score, _), (expected, _) = (
        outcome(estimator.score, X, y.astype(object)),
        outcome(lambda: accuracy_score(y.astype(object), estimator.predict(X))),
    )
    assert (type(score), str(score)) == (type(expected), str(expected))


def test_a_score_of_texts_needs_no_metric(model, monkeypatch):
    X, y, estimator = model
    expected = estimator.score(X, y)
    assert 0 < expected < 1
    monkeypatch.setattr(estimators, "accuracy_score", None)
    assert estimator.score(X, y.astype(object)) == expected
    with pytest.raises(TypeError):
        estimator.score(X, y[:-1].astype(object))
