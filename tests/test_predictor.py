"""`predictor`: what the methods return, for arrays that are right; errors for all others; bound to the weights."""

import gc
import os
import pickle
import sys
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, Network
from fastmlp.backends import BACKENDS, available_backends

BACKEND_NAMES = [pytest.param(name, marks=pytest.mark.c) if name == "c" else name for name in BACKENDS]
rng = np.random.default_rng(0)
ROWS = rng.normal(size=(300, 6))
TARGETS = {
    "binary": (ROWS.sum(axis=1) > 0).astype(int),
    "strings": np.array(["no", "perhaps", "yes"])[np.digitize(ROWS.sum(axis=1), [-1, 1])],
    "one class": np.zeros(300, dtype=int),
    "several labels": (ROWS[:, :3] > 0).astype(int),
    "regression": ROWS.sum(axis=1),
    "two outputs": ROWS[:, :2] * 3,
}
CASES = [(name, "predict") for name in TARGETS]
CASES += [(name, method) for name in list(TARGETS)[:4] for method in ("predict_proba", "predict_log_proba")]
CASES += [("network", "forward")]


@pytest.fixture(params=BACKEND_NAMES)
def backend_name(request):
    if request.param not in available_backends():
        pytest.skip(f"no backend {request.param!r} here")
    return request.param


def make(name, dtype, backend, **options):
    if name == "network":
        return Network([6, 5, 2], activation="relu", dtype=dtype, backend=backend, random_state=0)
    cls = MLPRegressor if name in ("regression", "two outputs") else MLPClassifier
    options = {"hidden_layer_sizes": (7,), "max_iter": 3, "random_state": 0, "backend": backend, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**options).fit(ROWS.astype(dtype), TARGETS[name])


def assert_same(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(("name", "method"), CASES)
def test_returns_what_the_method_returns(name, method, dtype, backend_name):
    model = make(name, dtype, backend_name)
    predictor = model.predictor(method)
    for n in (1, 3, 64, 65, 300):
        X = ROWS[:n].astype(dtype)
        with np.errstate(divide="ignore"):
            expected = getattr(model, method)(X)
            assert_same(predictor(X), expected)
            out = np.empty_like(expected)
            assert predictor(X, out) is out
            assert_same(out, expected)
            out = np.empty_like(expected)
            assert predictor(X, out=out) is out
        assert_same(out, expected)


@pytest.mark.parametrize("hidden", [(), (7,)])
@pytest.mark.parametrize("width", [1, 17, 30, 64, 300])
def test_out_may_share_memory_with_x(width, hidden, dtype, backend_name):
    predictor = Network([width, *hidden, width], dtype=dtype, random_state=0, backend=backend_name).predictor()
    random = np.random.RandomState(0)
    for n in (1, 2, 40, 300):
        rows = random.standard_normal((n, width)).astype(dtype)
        expected = predictor(rows.copy())
        room = (n + 1) * width
        # Where x and out begin in one vector: the same place, or rows of one in the other's.
        for start, out_start in ((0, 0), (0, 1), (1, 0), (0, width), (width, 0), (width // 2, 0)):
            memory = np.zeros(room + 1, dtype)
            x, out = (memory[first : first + n * width].reshape(n, width) for first in (start, out_start))
            x[:] = rows
            assert predictor(x, out) is out
            assert_same(out, expected)
        x = rows.copy()
        assert predictor(x, x) is x
        assert_same(x, expected)
        memory = rows.copy()
        assert_same(predictor(memory[:], memory), expected)


@pytest.mark.parametrize(("name", "method"), [("binary", "predict_proba"), ("binary", "predict"), ("regression", None)])
def test_out_of_another_width_or_dtype_in_the_memory_of_x(name, method, dtype, backend_name):
    predictor = make(name, dtype, backend_name).predictor(method)
    X = ROWS[:300].astype(dtype)
    expected = predictor(X)
    memory = X.copy().view(np.uint8).ravel()
    x = memory.view(X.dtype).reshape(X.shape)
    out = memory[-expected.nbytes :].view(expected.dtype).reshape(expected.shape)
    assert_same(predictor(x, out), expected)


@pytest.mark.parametrize("activation", ["tanh", "silu"])
def test_subclasses_of_arrays_are_taken_for_arrays(activation, dtype, backend_name):
    predictor = Network([3, 4, 2], activation=activation, dtype=dtype, random_state=0, backend=backend_name).predictor()
    x = ROWS[:5, :3].astype(dtype)
    for given in (x.view(np.matrix), np.ma.masked_array(x)):
        result = predictor(given)
        assert type(result) is np.ndarray
        assert_same(result, predictor(x))
        out = np.zeros((5, 2), dtype).view(type(given))
        assert predictor(given, out) is out
        assert_same(np.asarray(out), result)


def test_masked_entries_are_refused(dtype, backend_name):
    predictor = Network([3, 4, 2], dtype=dtype, random_state=0, backend=backend_name).predictor()
    x = np.ma.masked_array(ROWS[:5, :3].astype(dtype), mask=False)
    x[1, 2] = np.ma.masked
    with pytest.raises(ValueError, match="x must not have masked entries, got 1"):
        predictor(x)


class Claiming(np.ndarray):
    """An array that says of itself what is not so."""

    shape = property(lambda self: (3, 3))
    flags = property(lambda self: np.empty(1).flags)

    def __len__(self):
        return 10**9


def test_subclasses_of_arrays_are_not_believed(dtype, backend_name):
    predictor = Network([3, 4, 2], dtype=dtype, random_state=0, backend=backend_name).predictor()
    x, out = ROWS[:5, :3].astype(dtype), np.zeros((5, 2), dtype)
    assert_same(predictor(x.view(Claiming)), predictor(x))
    assert type(predictor(x, out.view(Claiming))) is Claiming
    assert_same(out, predictor(x))


def test_logarithms_in_a_subclass_of_arrays(dtype, backend_name):
    """The logarithm of a masked array leaves out what it masks, and that of others is what they make of it."""
    X, y = ROWS[:20, :3].astype(dtype), np.arange(20) % 2
    options = {"max_iter": 2, "solver": "adam", "random_state": 0, "backend": backend_name}
    clf = MLPClassifier((4,), **options).fit(X, y)
    predictor, out = clf.predictor("predict_log_proba"), np.zeros((5, 2), dtype)
    given = np.ma.masked_array(out, mask=True, copy=False)
    assert predictor(X[:5], given) is given
    assert_same(out, predictor(X[:5]))


def test_defaults(dtype, backend_name):
    X = ROWS[:3].astype(dtype)
    for name, method in (("strings", "predict_proba"), ("regression", "predict"), ("network", "forward")):
        model = make(name, dtype, backend_name)
        assert_same(model.predictor()(X), getattr(model, method)(X))


@pytest.mark.parametrize("method", ["fit", "score", "forward", "", 3])
def test_no_such_method(method):
    for name in ("binary", "regression"):
        with pytest.raises(ValueError, match=f"method must be one of .*, got {method!r}"):
            make(name, "float64", "auto").predictor(method)
    with pytest.raises(ValueError, match="method must be 'forward' or None, got 'predict'"):
        make("network", "float64", "auto").predictor("predict")


def test_before_the_first_fit():
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        MLPClassifier().predictor()


WRONG_ROWS = {
    "list": (lambda X: X.tolist(), TypeError, "x must be a numpy array .*, got list"),
    "none": (lambda X: None, TypeError, "got NoneType"),
    "other float": (
        lambda X: X.astype("float64" if X.dtype == "float32" else "float32"),
        TypeError,
        "x must have dtype float.*, the model's, got float",
    ),
    "integers": (lambda X: X.astype(int), TypeError, "got int64"),
    "byte order": (lambda X: X.astype(X.dtype.newbyteorder()), TypeError, "x must have dtype"),
    "vector": (lambda X: X[0], ValueError, r"x must have shape \(n, 6\) with at least one row, got \(6,\)"),
    "three dimensions": (lambda X: X[None], ValueError, r"got \(1, 4, 6\)"),
    "too wide": (lambda X: np.hstack([X, X]), ValueError, r"got \(4, 12\)"),
    "no rows": (lambda X: X[:0], ValueError, r"got \(0, 6\)"),
    "strided": (lambda X: np.repeat(X, 2, axis=1)[:, ::2], ValueError, "x must be C-contiguous"),
    "column-major": (np.asfortranarray, ValueError, "x must be C-contiguous"),
}


@pytest.mark.parametrize("spoil", WRONG_ROWS)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_wrong_rows(name, method, spoil, dtype, backend_name):
    predictor = make(name, dtype, backend_name).predictor(method)
    X = ROWS[:4].astype(dtype)
    change, error, message = WRONG_ROWS[spoil]
    out = np.full_like(predictor(X), 1)
    before = out.copy()
    for arguments in ((), (out,)):
        with pytest.raises(error, match=message):
            predictor(change(X), *arguments)
    assert_same(out, before)


def fixed(out):
    out = out.copy()
    out.flags.writeable = False
    return out


WRONG_OUT = {
    "list": (lambda out: out.tolist(), TypeError, "out must be a numpy array .*, got list"),
    "dtype": (lambda out: np.empty(out.shape, "complex64"), TypeError, "out must have dtype .*, got complex64"),
    "longer": (lambda out: np.concatenate([out, out]), ValueError, r"out must have shape \(4.*, got \(8"),
    "another dimension": (lambda out: out[None], ValueError, "out must have shape"),
    "read-only": (fixed, ValueError, "out must be C-contiguous and writable"),
    "strided": (lambda out: np.repeat(out, 2, axis=-1)[..., ::2], ValueError, "out must be C-contiguous"),
}


@pytest.mark.parametrize("spoil", WRONG_OUT)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_wrong_out(name, method, spoil, dtype, backend_name):
    predictor = make(name, dtype, backend_name).predictor(method)
    X = ROWS[:4].astype(dtype)
    change, error, message = WRONG_OUT[spoil]
    with pytest.raises(error, match=message):
        predictor(X, change(predictor(X)))


def test_arrays_that_are_right_in_another_way(dtype, backend_name, tmp_path):
    predictor, X = make("regression", dtype, backend_name).predictor(), ROWS[:4].astype(dtype)
    expected = predictor(X)
    mapped = np.memmap(tmp_path / "rows", dtype=dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    for rows in (pickle.loads(pickle.dumps(X)), fixed(X), mapped):
        assert_same(np.asarray(predictor(rows)), expected)
        out = pickle.loads(pickle.dumps(np.zeros_like(expected)))
        assert_same(predictor(rows, out), expected)


def test_arrays_that_are_not_aligned(dtype, backend_name):
    predictor, X = make("two outputs", dtype, backend_name).predictor(), ROWS[:4].astype(dtype)
    X = np.tile(X, (100, 1))
    odd = np.frombuffer(b"\0" + X.tobytes(), dtype, X.size, 1).reshape(X.shape)
    X = X[:4]
    for rows in (odd, odd[:4], odd[:1]):
        with pytest.raises(ValueError, match="x must be aligned"):
            predictor(rows)
        with pytest.raises(ValueError, match="x must be aligned"):
            predictor(rows, np.empty((len(rows), 2), dtype))
    memory = np.zeros(8 * np.dtype(dtype).itemsize + 1, np.uint8)
    out = memory[1:].view(dtype).reshape(4, 2)
    if backend_name == "c":  # the others write through NumPy
        with pytest.raises(ValueError, match="out must be aligned"):
            predictor(X, out)
        assert not memory.any()


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_nothing_is_left_to_the_garbage_collector(method, dtype, backend_name):
    model, X = make("strings", dtype, backend_name), ROWS[:4].astype(dtype)
    model.predict(X)
    gc.collect()
    predictor = model.predictor(method)
    predictor(X)
    predictor(X, predictor(X))
    kept = weakref.ref(predictor)
    del predictor
    assert kept() is None
    assert gc.collect() == 0


def test_finiteness_is_the_callers(dtype, backend_name):
    X = ROWS[:3].astype(dtype)
    X[1, 0] = np.nan
    for name in ("regression", "network"):
        result = make(name, dtype, backend_name).predictor()(X)
        assert np.isnan(result.reshape(3, -1)).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["strings", "regression", "network"])
def test_bound_to_the_weights_of_its_creation(name, dtype, backend_name):
    model, X = make(name, dtype, backend_name), ROWS[:5].astype(dtype)
    predictor = model.predictor()
    method = {"strings": "predict_proba", "regression": "predict", "network": "forward"}[name]
    coefs = model.coefs if name == "network" else model.coefs_
    before = predictor(X)
    coefs[0][0, 0] += 1  # an edit in place
    edited = predictor(X)
    assert edited.tobytes() != before.tobytes()
    assert_same(edited, getattr(model, method)(X))
    if name != "network":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.set_params(random_state=1).fit(ROWS.astype(dtype), TARGETS[name])
        assert getattr(model, method)(X).tobytes() != edited.tobytes()
        assert_same(predictor(X), edited)
    del model, coefs
    assert_same(predictor(X), edited)


def test_arrays_that_were_put_in(backend_name):
    model, X = make("regression", "float64", backend_name), ROWS[:5]
    own = model.coefs_[0] = model.coefs_[0] * 2
    predictor = model.predictor()
    assert_same(predictor(X), model.predict(X))
    own[:] *= 3
    expected = model.predict(X)
    assert_same(predictor(X), expected)
    model.coefs_[0] = own * 2
    assert_same(predictor(X), expected)


def test_another_precision_than_that_of_the_weights(backend_name):
    model = make("regression", "float64", backend_name).set_params(dtype="float32")
    predictor, X = model.predictor(), ROWS[:5].astype("float32")
    assert_same(predictor(X), model.predict(X))
    model.coefs_[0][:] *= 2
    assert_same(predictor(X), model.predict(X))


def test_many_rows(dtype, backend_name):
    X = np.tile(ROWS, (200, 1)).astype(dtype)
    for name, method in (("strings", "predict"), ("binary", "predict_proba"), ("network", "forward")):
        model = make(name, dtype, backend_name)
        assert_same(model.predictor(method)(X), getattr(model, method)(X))


def test_the_backend_is_that_of_its_creation():
    model, X = make("regression", "float64", "auto"), ROWS[:5]
    with fastmlp.config_context(backend="numpy"):
        predictor = model.predictor()
        expected = model.predict(X)
    assert_same(predictor(X), expected)


def test_many_threads(dtype, backend_name):
    X = ROWS.astype(dtype)
    predictors = [make(name, dtype, backend_name).predictor(method) for name, method in CASES]
    with np.errstate(divide="ignore"):
        expected = [predictor(X) for predictor in predictors]
    barrier = threading.Barrier(8)

    def same(one, other):
        if backend_name == "c" and os.environ.get("FASTMLP_ISA") != "scalar":
            return one.tobytes() == other.tobytes()
        # BLAS does not give a row the same bits in every batch.
        return (one == other).all() if one.dtype.kind != "f" else np.allclose(one, other, rtol=1e-3, atol=1e-5)

    def work(seed):
        barrier.wait()
        order, wrong = np.random.default_rng(seed), 0
        with np.errstate(divide="ignore"):
            for _ in range(100):
                i, first = order.integers(len(predictors)), order.integers(300)
                rows = slice(first, first + order.choice([1, 2, 100]))
                part = expected[i][rows]
                wrong += not same(predictors[i](X[rows]), part)
                wrong += not same(predictors[i](X[rows], np.empty_like(part)), part)
        return wrong

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 0
    finally:
        sys.setswitchinterval(before)
