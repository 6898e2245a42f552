"""What checked input looks like when it reaches a backend; intervals."""

import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from fastmlp import _labels, _validation
from fastmlp._parameters import Interval
from fastmlp._validation import check_csr, check_inputs, check_targets, seeded_random_state
from fastmlp.spec import make_spec


def spec(output="identity", loss="squared_error", dtype="float64", units=(4, 3)):
    return make_spec(units, "tanh", output, loss, dtype)


@pytest.mark.parametrize("closed", ["both", "left", "right", "neither"])
def test_intervals_and_their_ends(closed):
    interval = Interval(0, 1, closed)
    assert (0 in interval, 1 in interval) == (closed in ("both", "left"), closed in ("both", "right"))
    assert 0.5 in interval
    assert all(x not in interval for x in (-0.1, 1.1, math.nan, math.inf))
    assert math.inf not in Interval(0, math.inf, closed)


def test_an_interval_includes_another_when_it_includes_every_point():
    points = (-1, -0.5, 0, 0.5, 1, 1.5, 2)
    intervals = [Interval(low, high, closed) for low in (-1, 0) for high in (1, 2) for closed in ("both", "left")]
    intervals += [Interval(low, high, closed) for low in (-1, 0) for high in (1, 2) for closed in ("right", "neither")]
    for outer in intervals:
        for inner in intervals:
            assert outer.includes(inner) == all(x in outer for x in points if x in inner)
        assert Interval().includes(outer)
        assert not outer.includes(Interval())


def test_masked_entries_are_refused():
    X = np.ma.masked_array(np.ones((5, 4)), mask=np.zeros((5, 4), bool))
    np.testing.assert_array_equal(check_inputs(X, spec()), np.ones((5, 4)))
    X.mask[1, 2] = True
    with pytest.raises(ValueError, match="X must not have masked entries, got 1"):
        check_inputs(X, spec())


def test_frames_of_other_libraries():
    class Frame:
        dtypes = ("text", "number")

        def to_numpy(self):
            return self.__array__()

        def __array__(self, dtype=None, copy=None):
            return np.array([["a", 1.0]], dtype=object)

    with pytest.raises(TypeError, match="X must hold real numbers"):
        check_inputs(Frame(), spec(units=(2, 1)))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"_mask": [1.0, 2.0], "b": [3.0, 4.0]})
    np.testing.assert_array_equal(check_inputs(frame, spec(units=(2, 1))), [[1, 3], [2, 4]])


def test_frames_whose_numbers_may_be_missing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.arange(20.0).reshape(5, 4)).astype({0: "Int64", 1: "Float64"})
    frame[3] = pandas.array([True] * 5, dtype="boolean")
    expected = np.arange(20.0).reshape(5, 4)
    expected[:, 3] = 1
    np.testing.assert_array_equal(check_inputs(frame, spec()), expected)
    series = pandas.Series([1, 2, 3], dtype="Int64")
    np.testing.assert_array_equal(check_targets(series, spec(units=(4, 1)), 3)[0], [[1], [2], [3]])
    frame.iloc[0, 0] = pandas.NA
    with pytest.raises(ValueError, match="X must be finite, got NaN"):
        check_inputs(frame, spec())
    for other in (frame.astype(object), frame.astype("string")):
        with pytest.raises(TypeError, match="X must hold real numbers"):
            check_inputs(other, spec())


def test_inputs_that_are_right_are_not_copied(dtype):
    X = np.ones((5, 4), dtype)
    assert check_inputs(X, spec(dtype=dtype)) is X
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_matrix(np.triu(np.ones((5, 4), dtype)))
    assert np.shares_memory(check_inputs(X, spec(dtype=dtype)).data, X.data)


def test_dense_inputs_become_aligned_and_contiguous(dtype):
    raw = np.zeros(5 * 4 * dtype.itemsize + 1, np.uint8)
    unaligned = raw[1:].view(dtype).reshape(5, 4)
    for X in (unaligned, np.ones((4, 5), dtype).T, np.ones((5, 8), dtype)[:, ::2], np.ones((5, 4), int)):
        checked = check_inputs(X, spec(dtype=dtype))
        assert checked.flags.c_contiguous
        assert checked.flags.aligned
        assert checked.dtype == dtype
        np.testing.assert_array_equal(checked, X)


def test_sparse_inputs_become_sorted_and_free_of_duplicates():
    sparse = pytest.importorskip("scipy.sparse")
    data, indices, indptr = [1.0, 2.0, 3.0, 4.0], [2, 0, 2, 1], [0, 3, 3, 4]
    X = sparse.csr_matrix((data, indices, indptr), shape=(3, 4))
    # Flags that are out of date, as after an edit in place, are not believed.
    X.has_sorted_indices = X.has_canonical_format = True
    checked = check_inputs(X, spec())
    np.testing.assert_array_equal(checked.indices, [0, 2, 1])
    np.testing.assert_array_equal(checked.data, [2, 4, 4])
    np.testing.assert_array_equal(checked.indptr, [0, 2, 2, 3])
    np.testing.assert_array_equal(X.indices, indices)
    empty = check_inputs(sparse.csr_matrix((3, 4)), spec())
    assert (empty.shape, empty.nnz) == ((3, 4), 0)


ONE_HOT = np.eye(3)[[2, 0, 1]]


@pytest.mark.parametrize("Y", [[2, 0, 1], ONE_HOT, ONE_HOT.astype(bool), ONE_HOT.astype(int).tolist()])
def test_classes_travel_as_codes(Y):
    targets, hard = check_targets(Y, spec("softmax", "log_loss"), 3)
    assert hard
    assert targets.dtype == np.int32
    np.testing.assert_array_equal(targets, [2, 0, 1])


@pytest.mark.parametrize(
    ("output", "loss", "Y", "hard"),
    [
        ("softmax", "log_loss", np.full((3, 3), 1 / 3), False),
        ("softmax", "squared_error", ONE_HOT, True),
        ("softmax", "squared_error", [2, 0, 1], True),
        ("softmax", "squared_error", np.ones((3, 3)), False),
        ("softmax", "squared_error", np.full((3, 3), 1 / 3), False),
        ("logistic", "log_loss", np.ones((3, 3)), True),
        ("logistic", "log_loss", np.full((3, 3), 0.5), False),
    ],
)
def test_other_targets_travel_as_rows(output, loss, Y, hard, dtype):
    targets, is_hard = check_targets(Y, spec(output, loss, dtype), 3)
    assert is_hard == hard
    assert (targets.shape, targets.dtype) == ((3, 3), dtype)
    np.testing.assert_array_equal(targets, ONE_HOT if np.ndim(Y) == 1 else np.asarray(Y, dtype))


def test_flat_targets_become_a_column():
    targets, hard = check_targets([1, 0, 1], spec("logistic", "log_loss", units=(4, 1)), 3)
    assert hard
    np.testing.assert_array_equal(targets, [[1], [0], [1]])


@pytest.mark.parametrize("seed", [0, 7, np.int64(123456789), 2**32 - 1])
def test_seeded_random_state(seed: int) -> None:
    """The state, and what is drawn from it, are RandomState's own."""
    mine, own = seeded_random_state(seed), np.random.RandomState(seed)
    for a, b in zip(mine.get_state(), own.get_state(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(mine.normal(size=1001), own.normal(size=1001))
    copy = pickle.loads(pickle.dumps(mine))
    np.testing.assert_array_equal(copy.randint(9, size=99), own.randint(9, size=99))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeded_random_state_refuses(seed: int) -> None:
    with pytest.raises(ValueError, match="Seed must be between"):
        seeded_random_state(seed)


def test_sparse_rows_that_another_thread_writes_to(monkeypatch):
    """What scipy goes by, when it puts entries in order, is looked at after it was copied."""
    X = sp.csr_matrix((np.ones(3), np.array([1, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    check, seen = _validation.check_structure, []

    def check_and_write(matrix):
        check(matrix)
        seen.append(matrix)
        X.indices[0] = 10**6

    monkeypatch.setattr(_validation, "check_structure", check_and_write)
    with pytest.raises(ValueError, match="point outside"):
        check_csr(X, np.dtype(np.float64))
    assert seen == [X]


def test_sparse_columns_that_another_thread_writes_to(monkeypatch):
    X = sp.csc_array(np.array([[1.0, 0.0], [2.0, 3.0]]))
    check = _validation.check_structure

    def check_and_write(parts):
        check(parts)
        X.indices[:] = 10**6
        X.indptr[1:] = 10**6

    monkeypatch.setattr(_validation, "check_structure", check_and_write)
    np.testing.assert_array_equal(_validation.as_csr(X).toarray(), [[1, 0], [2, 3]])


class Own(sp.csc_matrix):
    """A matrix that is made in a way of its own."""

    def __init__(self, array):
        super().__init__(array)


def test_sparse_columns_in_odd_ways():
    plain = np.array([[1.0, 0.0], [2.0, 3.0]])
    longer, shorter = sp.csc_array(plain), sp.csc_matrix(plain)
    longer.data = np.append(longer.data, 0.0)
    shorter.indices = np.append(shorter.indices, 99)
    for X in (Own(plain), longer, shorter):
        np.testing.assert_array_equal(check_csr(X, np.dtype(np.float64)).toarray(), plain)
    for name in ("indices", "indptr"):
        X = sp.csc_array(plain)
        setattr(X, name, getattr(X, name).astype(float))
        with pytest.raises(ValueError, match="point outside"):
            check_csr(X, np.dtype(np.float64))


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint64"])
@pytest.mark.parametrize("lowest", [0, 3])
def test_labels_that_another_thread_writes_to(monkeypatch, dtype, lowest):
    """They are places in a table: what is used is what was looked at."""
    y = (np.array([0, 1] * 6) + lowest).astype(dtype)
    offsets = _labels._offsets

    def write_and_read(labels, lowest):
        y.view(np.uint8)[:] = 101
        return offsets(labels, lowest)

    monkeypatch.setattr(_labels, "_offsets", write_and_read)
    with pytest.raises(ValueError, match="y must not be written to"):
        _labels.fit_binarizer(y)
