"""What the C backend does with arrays that are not what C expects: it raises, and nothing has been written."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from fastmlp import config_context
from fastmlp.backends import Data, Plan, get_backend
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec

try:
    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = pytest.mark.c

SPEC = make_spec([3, 5, 2], "tanh", "softmax", "log_loss", "float64")
N = 6


@pytest.fixture
def backend():
    return get_backend("c")


@pytest.fixture
def good():
    """Arguments that are right; tests replace one of them."""
    rng = np.random.default_rng(0)
    return {
        "params": rng.normal(size=SPEC.layout.n_parameters),
        "X": rng.normal(size=(N, 3)),
        "targets": rng.dirichlet([1, 1], N),
        "weight": rng.uniform(1, 2, N),
        "grad": np.full(SPEC.layout.n_parameters, 7.0),
        "rows": np.arange(N, dtype=np.int32),
        "moments": [np.full(SPEC.layout.n_parameters, 7.0) for _ in range(2)],
    }


def strided(array):
    """The same numbers, not contiguous."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def big_endian(array):
    return array.astype(array.dtype.newbyteorder())


def transposed(array):
    return np.asfortranarray(array)


def unaligned(array):
    shifted = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


def of_a_structure(array):
    whole = np.zeros(len(array), [("before", "i4"), ("field", array.dtype, array.shape[1:])])
    whole["field"] = array
    return whole["field"]


def longer(array):
    return np.concatenate([array, array[:1]])


def shorter(array):
    return array[:-1].copy()


def column(array):
    return array[:, np.newaxis]


def half(array):
    return array.astype(np.float16)


def single(array):
    return array.astype(np.float32)


def integer(array):
    return array.astype(np.int64)


def wider(array):
    return np.hstack([array, array[:, :1]])


BAD = {
    "params": [single, integer, strided, big_endian, longer, shorter, column],
    "X": [half, integer, big_endian, unaligned, of_a_structure, wider],
    "targets": [single, integer, strided, big_endian, transposed, longer, shorter, wider],
    "weight": [single, integer, strided, big_endian, longer, shorter, column],
    "grad": [single, integer, strided, big_endian, longer, shorter, column],
    "rows": [integer, strided, big_endian, single],
    "moments": [single, integer, strided, big_endian, longer, shorter, column],
}


def data_of(arguments):
    return Data(arguments["X"], arguments["targets"], arguments["weight"])


def train(backend, arguments):
    state = SolverState("adam", SolverState.fresh("adam", 1, "float64").hyper, 0, arguments["moments"])
    plan = Plan(state, 2, rows=arguments["rows"])
    backend.trainer(SPEC, arguments["params"], data_of(arguments), plan).run(1)


CALLS = {
    "forward": (lambda b, a: b.forward(SPEC, a["params"], a["X"]), {"params", "X"}),
    "layers": (lambda b, a: b.layers(SPEC, a["params"], a["X"]), {"params", "X"}),
    "loss": (lambda b, a: b.loss(SPEC, a["params"], data_of(a), 0.1), {"params", "X", "targets", "weight"}),
    "loss_grad": (
        lambda b, a: b.loss_grad(SPEC, a["params"], data_of(a), 0.1, a["grad"]),
        {"params", "X", "targets", "weight", "grad"},
    ),
    "trainer": (train, {"params", "X", "targets", "weight", "rows", "moments"}),
}
every_call = pytest.mark.parametrize("call", list(CALLS))
every_bad_argument = pytest.mark.parametrize(
    ("call", "name", "spoil"),
    [
        pytest.param(call, name, spoil, id=f"{call}-{name}-{spoil.__name__}")
        for call, (_, takes) in CALLS.items()
        for name in sorted(takes)
        for spoil in BAD[name]
    ],
)


def copies(arguments):
    return {
        name: [array.copy() for array in (value if isinstance(value, list) else [value])]
        for name, value in arguments.items()
    }


def assert_unchanged(arguments, before):
    for name, arrays in copies(arguments).items():
        for array, old in zip(arrays, before[name], strict=True):
            np.testing.assert_array_equal(array, old, name)


@every_call
def test_right_arguments_are_taken(backend, good, call):
    CALLS[call][0](backend, good)


@every_bad_argument
def test_arrays_of_another_dtype_shape_or_order(backend, good, call, name, spoil):
    good[name] = [good[name][0], spoil(good[name][1])] if name == "moments" else spoil(good[name])
    before = copies(good)
    with pytest.raises(ValueError, match=r"^Expected "):
        CALLS[call][0](backend, good)
    assert_unchanged(good, before)


@every_call
def test_csr_arrays_of_another_dtype_or_width(backend, good, call):
    sparse = pytest.importorskip("scipy.sparse")
    for X in (
        sparse.csr_matrix(good["X"].astype(np.float32)),
        sparse.csr_matrix(wider(good["X"])),
        sparse.csr_matrix(good["X"][:, :2]),
    ):
        arguments = {**good, "X": np.zeros(())}
        before = copies(arguments)
        arguments["X"] = X
        stored = X.data.copy()
        with pytest.raises(ValueError, match=r"^Expected "):
            CALLS[call][0](backend, arguments)
        np.testing.assert_array_equal(X.data, stored)
        assert_unchanged({**arguments, "X": np.zeros(())}, before)


@pytest.mark.parametrize("targets", [np.zeros(N), np.zeros(N, np.int64), np.zeros(N - 1, np.int32)], ids=str)
def test_targets_of_one_dimension_are_codes(backend, good, targets):
    good["targets"] = targets
    before = copies(good)
    for call in ("loss", "loss_grad", "trainer"):
        with pytest.raises(ValueError, match=r"^Expected "):
            CALLS[call][0](backend, good)
    assert_unchanged(good, before)


@pytest.mark.parametrize("name", ["params", "rows", "moments"])
def test_what_training_writes_must_be_writable(backend, good, name):
    for array in good["moments"] if name == "moments" else [good[name]]:
        array.flags.writeable = False
    before = copies(good)
    with pytest.raises((ValueError, BufferError)):
        train(backend, good)
    assert_unchanged(good, before)


def test_a_gradient_must_be_writable(backend, good):
    good["grad"].flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        CALLS["loss_grad"][0](backend, good)
    assert (good["grad"] == 7).all()


@pytest.mark.parametrize("row", [-1, N, 2**31 - 1, -(2**31)])
def test_rows_outside_the_data(backend, good, row):
    for place in (0, N // 2, N - 1):
        good["rows"] = np.arange(N, dtype=np.int32)
        good["rows"][place] = row
        before = copies(good)
        with pytest.raises(ValueError, match=r"^Expected rows from 0 to 5, got "):
            train(backend, good)
        assert_unchanged(good, before)


def test_sample_weights_that_sum_to_zero(backend, good):
    good["weight"][:] = 0
    before = copies(good)
    with pytest.raises(ZeroDivisionError):
        train(backend, good)
    assert_unchanged(good, before)
    with pytest.raises(ZeroDivisionError):
        CALLS["loss_grad"][0](backend, good)


def test_a_batch_of_rows_without_weight_ends_training_after_the_last_whole_step(backend, good):
    good["weight"][4:] = 0  # the last of three batches
    state = SolverState.fresh("sgd", SPEC.layout.n_parameters, "float64")
    expected_state = SolverState.fresh("sgd", SPEC.layout.n_parameters, "float64")
    expected = good["params"].copy()
    with pytest.raises(ZeroDivisionError):
        backend.trainer(SPEC, good["params"], data_of(good), Plan(state, 2)).run(1)
    plan = Plan(expected_state, 2, rows=np.arange(4, dtype=np.int32))
    backend.trainer(SPEC, expected, data_of(good), plan).run(1)
    assert state.t == expected_state.t == 2
    np.testing.assert_array_equal(good["params"], expected)
    np.testing.assert_array_equal(state.moments, expected_state.moments)


def test_no_gradient_through_a_step(backend, good):
    spec = make_spec([3, 5, 2], "step", "softmax", "log_loss", "float64")
    before = copies(good)
    with pytest.raises(ValueError, match="no gradient through the activation 'step'"):
        backend.loss_grad(spec, good["params"], data_of(good), 0.0, good["grad"])
    plan = Plan(SolverState.fresh("sgd", SPEC.layout.n_parameters, "float64"), 2)
    trainer = backend.trainer(spec, good["params"], data_of(good), plan)
    with pytest.raises(ValueError, match="no gradient through the activation 'step'"):
        trainer.run(1)
    assert_unchanged(good, before)
    assert np.isfinite(backend.loss(spec, good["params"], data_of(good), 0.0).data)


def test_no_rows(backend, good):
    X = np.empty((0, 3))
    assert backend.forward(SPEC, good["params"], X).shape == (0, 2)
    for arrays in backend.layers(SPEC, good["params"], X):
        assert [array.shape for array in arrays] == [(0, 5), (0, 2)]


def test_inputs_are_not_written(backend, good):
    for name in ("X", "targets", "weight"):
        good[name].flags.writeable = False
    before = copies(good)
    for call in ("forward", "layers", "loss"):
        CALLS[call][0](backend, good)
    assert_unchanged(good, before)
    CALLS["loss_grad"][0](backend, good)
    train(backend, good)
    for name in ("X", "targets", "weight", "rows"):
        np.testing.assert_array_equal(good[name], before[name][0])


def backwards(array):
    return array[::-1, ::-1].copy()[::-1, ::-1]


def columns_backwards(array):
    return np.asfortranarray(array[:, ::-1])[:, ::-1]


def some_columns(array):
    return np.hstack([array, array])[:, : array.shape[1]]


def some_rows(array):
    return np.repeat(array, 2, axis=0)[::2]


def repeated(array):
    return np.broadcast_to(array[:1], array.shape)


ORDERS = {
    (name, spoil.__name__): spoil
    for name in ("float32", "float64")
    for spoil in (
        np.ascontiguousarray,
        transposed,
        strided,
        backwards,
        columns_backwards,
        some_columns,
        some_rows,
        repeated,
    )
}


@pytest.mark.parametrize("units", [(1, 1), (3, 1), (3, 20, 2), (40, 6, 1), (300, 30)], ids=str)
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("n", [1, 7, 700])
def test_rows_may_lie_in_any_order(backend, units, order, n, dtype):
    pair = ("squared_error", "identity")
    spec = make_spec(units, "tanh", pair[1], pair[0], dtype)
    rng = np.random.default_rng(0)
    X = ORDERS[order](rng.normal(size=(n, units[0])).astype(order[0]))
    plain, Y = np.ascontiguousarray(X), rng.normal(size=(n, units[-1])).astype(dtype)
    params = rng.normal(size=spec.layout.n_parameters).astype(dtype)

    def results(X):
        data, grad, trained = Data(X, Y), np.empty_like(params), params.copy()
        plan = Plan(
            SolverState.fresh("adam", len(params), spec.dtype), 5, rows=np.arange(n, dtype=np.int32)[::-1].copy()
        )
        losses = backend.trainer(spec, trained, data, plan).run(2).data
        yield from (backend.forward(spec, params, X), backend.forward(spec, params, X, finite=True))
        yield from (*backend.layers(spec, params, X)[0], np.array(backend.loss_grad(spec, params, data, 0.1, grad)))
        yield from (grad, trained, losses)

    for n_threads in (1, 3):
        with config_context(n_threads=n_threads):
            for got, wanted in zip(results(X), results(plain), strict=True):
                np.testing.assert_array_equal(got, wanted)
    if X.flags.writeable:
        for place in ((0, 0), (-1, -1)):
            X[place] = np.inf
            with pytest.raises(ValueError, match="X must be finite, got infinity"):
                backend.forward(spec, params, X, finite=True)
            X[place] = 0


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("n", [1, 100])
def test_rows_that_become_more_meanwhile(backend, monkeypatch, container, n):
    """As if another thread resized them: what is written goes by the room that there is."""
    params, few, more = np.ones(SPEC.layout.n_parameters), np.ones((n, 3)), container(np.ones((n + 1, 3)))
    binding, message = backend.bind(SPEC, params), f"X must not be changed meanwhile, got {n + 1} rows in place of {n}"
    for X in (more, np.ones((n + 1, 3)), np.asfortranarray(np.ones((n + 1, 3)))):
        with pytest.raises(ValueError, match=message):
            binding.many(n, X, binding.view(np.empty((n, 2))))
    rows_struct = c.rows_struct
    monkeypatch.setattr(c, "rows_struct", lambda spec, X: rows_struct(spec, more))
    for call in (backend.forward, backend.layers):
        with pytest.raises(ValueError, match=message):
            call(SPEC, params, few)


@pytest.mark.parametrize("place", [0, -1])
def test_entries_of_csr_that_are_not_finite(backend, place):
    X = sp.random_array((700, 3), density=0.5, format="csr", rng=np.random.default_rng(0))
    params = np.ones(SPEC.layout.n_parameters)
    backend.forward(SPEC, params, X, finite=True)
    X.data[place] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got NaN"):
        backend.forward(SPEC, params, X, finite=True)
    backend.forward(SPEC, params, X)


def test_csr_that_is_not_sorted(backend):
    for indices in ([1, 0, 2], [1, 1, 2]):
        X = sp.csr_array((np.ones(3), np.array(indices, np.int32), np.array([0, 2, 3], np.int32)), shape=(2, 3))
        with pytest.raises(ValueError, match="are not in order"):
            backend.forward(SPEC, np.ones(SPEC.layout.n_parameters), X)


def test_sparse_rows_need_no_room_for_dense_ones():
    units, rows = [1 << 20, 10, 1], sp.csr_matrix((300, 1 << 20))
    spec = make_spec(units, "tanh", "identity", "squared_error", "float64")
    network, coefs = c.network_struct(spec), 8 * sum(n * m for n, m in itertools.pairwise(units))
    sparse = c.rows_struct(spec, rows)
    for n_threads in (1, 2):
        dense_bytes = c.lib.fm_gradient_workspace(network.struct, c.ffi.NULL, 300, n_threads)
        sparse_bytes = c.lib.fm_gradient_workspace(network.struct, sparse.struct, 300, n_threads)
        assert dense_bytes > coefs + 256 * 8 * units[0]
        assert coefs <= sparse_bytes < coefs + 1e6
