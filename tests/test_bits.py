"""The same bits from every instruction set with FMA, for rows alone or in batches, from dense and from sparse input."""

import ctypes
import hashlib
import itertools
import platform
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import DIFFERENTIABLE_HIDDEN, assert_same_bits, run_python

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Data, Plan, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SOLVERS, SolverState

try:
    import instruction_sets

    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = [pytest.mark.c, pytest.mark.c_fma]

ffi, lib = c.ffi, c.lib
BATCHES = (1, 7, 15, 16, 17, 255, 256, 257)
N_ROWS = 2 * 257 + 7
WIDE, ONE_OUTPUT, ONES, ONE_LAYER, LONE = (7, 33, 16, 3), (20, 17, 1), (3, 1, 1, 2), (9, 4), (1, 1, 1)


@pytest.fixture(scope="module")
def isas():
    """Names of the instruction sets with FMA, of which there must be two to compare."""
    names = [name for name in instruction_sets.SUPPORTED if name in instruction_sets.WITH_FMA]
    if len(names) < 2:
        pytest.skip(f"fewer than two instruction sets with FMA here: {names}")
    return names


@pytest.fixture(autouse=True)
def _keep_the_choice():
    with instruction_sets.kept():
        yield


@pytest.fixture
def any_isa(_keep_the_choice):
    """Choose an instruction set with FMA, and return its name."""
    isa = c.choose_isa(None)
    if isa == "scalar":
        pytest.skip("no instruction set with FMA here")
    return isa


def assert_isas_agree(isas, compute, what=""):
    """Call `compute` under each instruction set and compare what it returns."""
    results = []
    for isa in isas:
        assert c.choose_isa(isa) == isa
        results.append(compute())
        assert all(np.isfinite(array).all() for array in results[-1]), what
    for other in results[1:]:
        assert_same_bits(results[0], other, what)


def loss_grad(problem, alpha=0.1):
    """Sums and gradient over all rows."""
    grad = aligned_zeros(len(problem.params), problem.spec.dtype)
    parts = get_backend("c").loss_grad(problem.spec, problem.params, problem.data, alpha, grad)
    return [parts.data, parts.l2, parts.weight, grad]


def train(problem, solver, batch_size, epochs=2, *, alpha=0.1, shuffle=True, at_once=True, rows=None):
    """Weights, moments, both loss curves and the last order of the rows."""
    params = aligned_zeros(len(problem.params), problem.spec.dtype)
    params[:] = problem.params
    state = SolverState.fresh(solver, len(params), problem.spec.dtype, learning_rate=0.01)
    rows = np.arange(problem.data.X.shape[0], dtype=np.int32) if rows is None else rows.copy()
    plan = Plan(state, batch_size, alpha, rows, shuffle, np.random.RandomState(7))
    trainer = get_backend("c").trainer(problem.spec, params, problem.data, plan)
    runs = [trainer.run(n) for n in ([epochs] if at_once else [1] * epochs)]
    data, l2 = (np.concatenate([getattr(losses, name) for losses in runs]) for name in ("data", "l2"))
    return [params, *state.moments, data, l2, rows]


def test_losses_gradients_and_training(isas, make_problem, pair, dtype):
    """Every pair of loss and output activation with every hidden activation; all other options in turn."""
    units = [WIDE, ONES] if pair[1] == "softmax" else [WIDE, ONE_OUTPUT, ONES, LONE]
    options = list(
        itertools.product(SOLVERS, units, ("soft", "hard", "codes"), (False, True), (False, True), (300, 7, 257, 16))
    )
    start = 5 * sum(map(ord, "".join(pair)))
    for i, hidden in enumerate(DIFFERENTIABLE_HIDDEN):
        for j in range(8):
            solver, shape, kind, weights, csr, batch = options[(start + 67 * (8 * i + j)) % len(options)]
            problem = make_problem(shape, hidden, pair, dtype, n_rows=300, seed=j, weights=weights, csr=csr, kind=kind)
            what = f"{hidden} {shape} {solver=} {kind=} {weights=} {csr=} {batch=}"
            assert_isas_agree(isas, lambda p=problem, s=solver, b=batch: [*loss_grad(p), *train(p, s, b)], what)


@pytest.mark.parametrize("units", [ONE_LAYER, (5, 1), (1, 1), (1, 3)], ids=str)
def test_networks_without_hidden_layers(isas, make_problem, dtype, solver, units):
    outputs = ["identity", "softmax"] if units[-1] > 1 else ["identity"]
    for output, csr, weights in itertools.product(outputs, (False, True), (False, True)):
        pair = ("log_loss" if output == "softmax" else "squared_error", output)
        problem = make_problem(units, "tanh", pair, dtype, n_rows=300, weights=weights, csr=csr, kind="hard")
        assert_isas_agree(isas, lambda p=problem: [*loss_grad(p), *train(p, solver, 17)], f"{output} {csr=} {weights=}")


@pytest.mark.parametrize("hidden", ["relu", "tanh", "silu"])
def test_layers_of_several_panels(isas, make_problem, dtype, solver, hidden):
    for batch in (300, 40, 1):
        problem = make_problem((7, 64, 130, 33, 3), hidden, ("squared_error", "identity"), dtype, n_rows=300)
        assert_isas_agree(isas, lambda p=problem, b=batch: [*loss_grad(p), *train(p, solver, b)], f"{batch=}")


@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
def test_steps_over_several_blocks_and_calls(isas, make_problem, dtype, solver, csr):
    # Many rows: C returns in the middle of a step to let signals in.
    for n_rows, batch in ((600, 600), (1300, 600), (30_000, 30_000)):
        problem = make_problem((8, 64, 1), "tanh", ("squared_error", "identity"), dtype, n_rows=n_rows, csr=csr)
        assert_isas_agree(isas, lambda p=problem, b=batch: [*loss_grad(p), *train(p, solver, b)], f"{n_rows} {batch}")


@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
def test_rows_alone_or_in_batches(isas, make_problem, activation, dtype, csr):
    hidden, output = ("tanh", activation) if ACTIVATIONS[activation].outputs_only else (activation, "logistic")
    backend = get_backend("c")
    shapes = [WIDE, ONE_LAYER, ONES] if activation == "softmax" else [WIDE, ONE_OUTPUT, ONES, ONE_LAYER, LONE]
    for units in shapes:
        problem = make_problem(units, hidden, ("squared_error", output), dtype, n_rows=N_ROWS, csr=csr)
        spec, params, X = problem.spec, problem.params, problem.data.X

        def compute(spec=spec, params=params, X=X):
            everything = backend.forward(spec, params, X)
            z, a = backend.layers(spec, params, X)
            assert_same_bits([everything], [a[-1]])
            for batch in BATCHES:
                # Rows alone: enough of them to be in every lane.
                for first in range(0, N_ROWS if batch > 1 else 40, batch):
                    some = slice(first, min(first + batch, N_ROWS))
                    assert_same_bits([everything[some]], [backend.forward(spec, params, X[some])], f"{batch} {some}")
                    if first == batch:
                        z_some, a_some = backend.layers(spec, params, X[some])
                        assert_same_bits([array[some] for array in z + a], z_some + a_some, f"{batch} {some}")
            return [everything, *z, *a]

        assert_isas_agree(isas, compute, f"{units}")


@pytest.mark.parametrize("units", [WIDE, ONE_OUTPUT, ONES, ONE_LAYER, (40, 1)], ids=str)
def test_dense_and_sparse_rows(any_isa, make_problem, dtype, solver, units):
    pair = ("squared_error", "identity")
    for weights, batch, n_rows in itertools.product((False, True), (7, 300), (30, 600)):
        sparse = make_problem(units, "tanh", pair, dtype, n_rows=n_rows, weights=weights, csr=True)
        data = sparse.data
        dense_data = Data(np.ascontiguousarray(data.X.toarray()), data.targets, data.sample_weight, data.hard)
        forward = get_backend("c").forward
        results = [
            [forward(sparse.spec, sparse.params, d.X), *loss_grad(p), *train(p, solver, batch)]
            for d, p in ((data, sparse), (dense_data, type(sparse)(sparse.spec, sparse.params, dense_data)))
        ]
        assert_same_bits(*results, f"{weights=} {batch=} {n_rows=}")


@pytest.mark.parametrize("zeros", [0.95, 0.99, 0.999])
def test_dense_rows_and_ones_with_few_entries(any_isa, make_problem, dtype, zeros):
    # Most columns have entries in some blocks only; the coefs of a column fill several panels.
    for units, weights, batch in itertools.product([(250, 150, 2), (400, 33)], (False, True), (256, 257, 1000, 1100)):
        sparse = make_problem(
            units, "relu", ("squared_error", "identity"), dtype, n_rows=1100, weights=weights, csr=True, zeros=zeros
        )
        data = sparse.data
        dense_data = Data(np.ascontiguousarray(data.X.toarray()), data.targets, data.sample_weight, data.hard)
        dense = type(sparse)(sparse.spec, sparse.params, dense_data)
        results = [[*loss_grad(p), *train(p, "adam", batch)] for p in (sparse, dense)]
        # What no entry reaches has a gradient of 0 of either sign.
        assert_same_bits(*[[array + 0 for array in result] for result in results], f"{units} {weights=} {batch=}")


def test_the_sign_of_sums_of_sparse_blocks_that_are_0(any_isa, make_problem, dtype):
    """-0 only where each block has an entry and comes to -0: a block without one adds +0."""
    tiny, n_rows, blocks = np.finfo(dtype).tiny, 1024, {3: (0,), 4: (0, 1, 2, 3), 5: (0, 2), 6: (1, 2, 3), 7: (0, 1, 2)}
    problem = make_problem((8, 40), "identity", ("squared_error", "identity"), dtype, n_rows=n_rows, csr=True)
    data, X = problem.data, np.zeros((n_rows, 8), dtype)
    for column, some in blocks.items():
        X[[256 * block + 9 * column for block in some], column] = tiny
    data.X, data.targets = type(data.X)(X), np.full((n_rows, 40), tiny, dtype)
    problem.params[:] = 0
    problem.spec.layout.coefs(problem.params)[0][:] = -tiny
    grad = problem.spec.layout.coefs(loss_grad(problem, alpha=0.0)[-1])[0]
    assert not grad.any()
    assert [column for column in range(8) if np.signbit(grad[column]).all()] == [4]
    assert np.signbit(grad).sum() == 40


@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("weights", [False, True], ids=["equal", "weighted"])
def test_sums_over_rows_are_sums_over_blocks_of_256(any_isa, make_problem, dtype, weights, csr):
    # Powers of two, so that dividing by the sum of weights and multiplying by it are exact; enough rows that C returns
    # in the middle.
    n_rows = 16384
    problem = make_problem((8, 64, 3), "tanh", ("log_loss", "softmax"), dtype, n_rows=n_rows, csr=csr, kind="codes")
    data = problem.data
    if weights:
        data.sample_weight = np.resize(np.array([0.5, 1, 1.5, 1], dtype), n_rows)
    data_sum, _, weight_sum, gradient = loss_grad(problem, alpha=0.0)
    assert weight_sum == n_rows
    losses, gradients = [], []
    for first in range(0, n_rows, 256):
        some = slice(first, first + 256)
        w = None if data.sample_weight is None else data.sample_weight[some]
        block = type(problem)(problem.spec, problem.params, Data(data.X[some], data.targets[some], w, data.hard))
        loss, _, weight, grad = loss_grad(block, alpha=0.0)
        assert weight == 256
        losses.append(loss)
        gradients.append(grad * dtype.type(256))
    total, gradient_sum = 0.0, gradients[0]
    for loss in losses:
        total += loss
    for grad in gradients[1:]:
        gradient_sum = gradient_sum + grad
    assert data_sum == total
    # -0 and +0 are both right where the sum of a block is 0
    np.testing.assert_array_equal(gradient * dtype.type(n_rows), gradient_sum)


@pytest.mark.parametrize("shuffle", [False, True])
def test_epochs_one_by_one_or_at_once(any_isa, make_problem, dtype, solver, shuffle):
    problem = make_problem(WIDE, "tanh", ("log_loss", "softmax"), dtype, n_rows=300, kind="codes")
    results = [train(problem, solver, 64, 5, shuffle=shuffle, at_once=at_once) for at_once in (True, False)]
    assert_same_bits(*results)


def test_rows_taken_by_an_index(any_isa, make_problem, dtype, solver):
    """Rows through `Plan.rows` are those rows copied out, dense and sparse."""
    chosen = np.random.default_rng(0).permutation(600)[:400].astype(np.int32)
    for csr, weights in itertools.product((False, True), (False, True)):
        problem = make_problem(
            WIDE, "gelu", ("log_loss", "softmax"), dtype, n_rows=600, csr=csr, weights=weights, kind="codes"
        )
        data = problem.data
        w = None if data.sample_weight is None else data.sample_weight[chosen]
        copied = type(problem)(problem.spec, problem.params, Data(data.X[chosen], data.targets[chosen], w, data.hard))
        one = train(problem, solver, 300, rows=chosen, shuffle=False)
        assert_same_bits(one[:-1], train(copied, solver, 300, shuffle=False)[:-1], f"{csr=} {weights=}")


@pytest.mark.parametrize("units", [WIDE, ONE_OUTPUT, LONE, (300, 40, 2)], ids=str)
def test_inputs_of_the_other_real_type_are_converted_rows(any_isa, make_problem, dtype, solver, units):
    other = np.dtype(np.float32 if dtype == np.float64 else np.float64)
    for weights, n_rows, batch in itertools.product((False, True), (1, 2, 300), (16, 300)):
        as_given = make_problem(units, "tanh", ("squared_error", "identity"), dtype, n_rows=n_rows, weights=weights)
        data = as_given.data
        data.X = np.random.default_rng(5).normal(size=data.X.shape).astype(other)
        converted_data = Data(data.X.astype(dtype), data.targets, data.sample_weight, data.hard)
        converted = type(as_given)(as_given.spec, as_given.params, converted_data)
        backend, results = get_backend("c"), []
        for problem in (as_given, converted):
            z, a = backend.layers(problem.spec, problem.params, problem.data.X)
            outputs = backend.forward(problem.spec, problem.params, problem.data.X)
            results.append([outputs, *z, *a, *loss_grad(problem)])
            for shuffle in (False, True):
                results[-1] += train(problem, solver, batch, shuffle=shuffle)
        assert_same_bits(*results, f"{weights=} {n_rows=} {batch=}")


def fit_network(solver, dtype):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(700, 10)), rng.integers(0, 4, 700)
    net = Network(
        [10, 33, 17, 4],
        activation=["gelu", "tanh"],
        output_activation="softmax",
        loss="log_loss",
        alpha=1e-3,
        dtype=dtype,
        random_state=1,
        backend="c",
    )
    curve = net.fit(X, y, solver=solver, batch_size=300, epochs=6, sample_weight=rng.uniform(0.5, 2, 700))
    return net, X, [net.get_parameters(), np.array(curve), net.forward(X)]


def test_networks(isas, solver, dtype):
    def compute():
        net, X, results = fit_network(solver, dtype)
        for i in (0, 1, 255, 256, 699):
            assert_same_bits([results[-1][i : i + 1]], [net.forward(X[i : i + 1])])
        return results

    assert_isas_agree(isas, compute)


def test_networks_in_processes_of_their_own(isas):
    # As a user caps the instruction set: by the environment variable.
    script = (
        "import test_bits\n"
        "from fastmlp.backends import get_backend\n"
        "digest = test_bits.digest()\n"
        "print(get_backend('c').isa, digest)\n"
    )
    outputs = []
    for isa in isas:
        name, result = run_python(script, FASTMLP_ISA=isa).stdout.split()
        assert name == isa
        outputs.append(result)
    assert len(set(outputs)) == 1


def digest():
    """Return a hash of trained networks."""
    total = hashlib.sha256()
    for solver, dtype in itertools.product(SOLVERS, ("float32", "float64")):
        for result in fit_network(solver, dtype)[2]:
            total.update(result.tobytes())
    return total.hexdigest()


@contextmanager
def floating_point_mode(bits):
    """Set bits of the processor's MXCSR, in this thread: what is there before lies at the end of glibc's fenv_t."""
    environment, library = (ctypes.c_uint32 * 8)(), ctypes.CDLL("libm.so.6")
    assert library.fegetenv(environment) == 0
    before = environment[7]
    environment[7] = before | bits
    assert library.fesetenv(environment) == 0
    try:
        yield
    finally:
        environment[7] = before
        library.fesetenv(environment)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc", reason="sets the mode as glibc on x86-64 does"
)
@pytest.mark.parametrize("bits", [0x8040, 0x4000], ids=["flush to zero", "round up"])
def test_the_mode_of_the_caller_changes_nothing(bits, dtype):
    tiny = float(np.finfo(dtype).tiny)
    X = np.random.default_rng(0).normal(size=(400, 40)).astype(dtype)
    X[:, :20] *= tiny

    denormal, Y = X * X.dtype.type(1e-3), X[:, 20:23]
    numbers = (1, 1, 2, 3)
    nets = [
        Network([40, 64, 3], activation="relu", dtype=dtype, backend="c", n_threads=n, random_state=0) for n in numbers
    ]

    def results(net):
        predictor = net.predictor()
        yield from (net.forward(denormal), net.forward(X), predictor(X), predictor(X[:1]), *net.gradients(X, Y)[0])
        net.fit(X, Y, epochs=2, batch_size=300, random_state=0)
        yield net.get_parameters()

    for net in nets:
        for b in net.intercepts:
            b[:] = 0
    plain = list(results(nets[0]))
    with floating_point_mode(bits):
        quotients = np.float64(1.0) / np.arange(1.0, 50)
        others = [list(results(net)) for net in nets[1:]]
        # After a call the mode is the caller's again.
        again, denormals = np.float64(1.0) / np.arange(1.0, 50), np.full(3, np.finfo(np.float64).tiny) * 0.5
    assert (quotients == again).all()
    assert (denormals == 0).all() == (bits == 0x8040)
    assert (quotients == 1 / np.arange(1.0, 50)).all() == (bits == 0x8040)
    for other in others:
        for one, another in zip(plain, other, strict=True):
            np.testing.assert_array_equal(one, another)
