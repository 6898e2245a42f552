"""Every backend against the oracle, through the protocol; and how a backend is chosen."""

import itertools
import signal
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import KINDS, run_python
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastmlp
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS, Data, Plan, available_backends, get_backend
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS, SolverState
from fastmlp.spec import make_spec

UNITS = [5, 7, 3, 4]
N_STEPS = 20


def test_layers_and_forward(fast_backend, oracle, make_problem, assert_agree, activation, dtype):
    hidden, output = (activation, "identity") if not ACTIVATIONS[activation].outputs_only else ("tanh", activation)
    for csr, n_rows in itertools.product((False, True), (1, 2, 33, 300)):
        problem = make_problem(UNITS, hidden, ("squared_error", output), dtype, n_rows=n_rows, csr=csr)
        z, a = fast_backend.layers(problem.spec, problem.params, problem.data.X)
        z_expected, a_expected = oracle.layers(problem.spec, problem.params, problem.data.X)
        for got, expected in zip(z + a, z_expected + a_expected, strict=True):
            assert_agree(got, expected)
        outputs = fast_backend.forward(problem.spec, problem.params, problem.data.X)
        np.testing.assert_array_equal(outputs, a[-1])


def test_step_as_an_output(fast_backend, oracle, make_problem, dtype):
    problem = make_problem(UNITS, "step", ("squared_error", "step"), dtype)
    outputs = fast_backend.forward(problem.spec, problem.params, problem.data.X)
    np.testing.assert_array_equal(outputs, oracle.forward(problem.spec, problem.params, problem.data.X))
    assert set(np.unique(outputs)) == {0, 1}
    parts, expected = (b.loss(problem.spec, problem.params, problem.data, 0.5) for b in (fast_backend, oracle))
    np.testing.assert_allclose(parts, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="step"):
        fast_backend.loss_grad(problem.spec, problem.params, problem.data, 0.0, np.zeros_like(problem.params))


def test_loss_and_gradient(fast_backend, oracle, make_problem, assert_agree, hidden, pair, dtype):
    for csr, weights, kind in itertools.product((False, True), (False, True), KINDS):
        problem = make_problem(UNITS, hidden, pair, dtype, csr=csr, weights=weights, kind=kind, n_rows=40)
        grad, expected_grad = np.full_like(problem.params, np.nan), np.empty_like(problem.params)
        arguments = problem.spec, problem.params, problem.data, 0.3
        parts = fast_backend.loss_grad(*arguments, grad)
        expected = oracle.loss_grad(*arguments, expected_grad)
        what = f"csr {csr}, weights {weights}, {kind}"
        layout = problem.spec.layout
        views = zip(
            layout.coefs(grad) + layout.intercepts(grad),
            layout.coefs(expected_grad) + layout.intercepts(expected_grad),
            strict=True,
        )
        for got, wanted in views:
            assert_agree(got, wanted, what=what)
        tolerance = 1e-12 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(parts, expected, rtol=tolerance, err_msg=what)
        np.testing.assert_allclose(fast_backend.loss(*arguments), expected, rtol=tolerance, err_msg=what)


@pytest.mark.parametrize("units", [(5, 64, 130, 3), (70, 31, 64, 1), (3, 256, 2, 49, 33, 2), (6, 20, 4, 2)], ids=str)
def test_gradient_over_blocks(fast_backend, oracle, make_problem, assert_agree, units, hidden, dtype):
    problem = make_problem(units, hidden, ("squared_error", "identity"), dtype, n_rows=300)
    grad, expected = np.full_like(problem.params, np.nan), np.empty_like(problem.params)
    for backend, out in ((fast_backend, grad), (oracle, expected)):
        backend.loss_grad(problem.spec, problem.params, problem.data, 0.3, out)
    layout = problem.spec.layout
    for of in (layout.coefs, layout.intercepts):
        for got, wanted in zip(of(grad), of(expected), strict=True):
            assert_agree(got, wanted)


def trained(backend, problem, solver, *, n_epochs, batch_size, alpha=0.05, rows=None, seed=None, rate=2e-3, **hyper):
    """Return parameters, solver state, losses and order of rows after some epochs of a copy of the problem."""
    params = problem.spec.layout.allocate(problem.spec.dtype)
    params[:] = problem.params
    state = SolverState.fresh(solver, len(params), problem.spec.dtype, learning_rate=rate, **hyper)
    rows = None if rows is None else rows.copy()
    random_state = None if seed is None else np.random.RandomState(seed)
    plan = Plan(state, batch_size, alpha, rows, seed is not None, random_state)
    losses = backend.trainer(problem.spec, params, problem.data, plan).run(n_epochs)
    return params, state, losses, rows, random_state


def assert_same_training(fast_backend, oracle, problem, solver, assert_agree, what="", **options):
    params, state, losses, rows, random_state = trained(fast_backend, problem, solver, **options)
    expected = trained(oracle, problem, solver, **options)
    layout = problem.spec.layout
    for view in (layout.coefs, layout.intercepts):
        for got, wanted in zip(view(params), view(expected[0]), strict=True):
            assert_agree(got, wanted, what=what)
    assert state.t == expected[1].t
    for got, wanted in zip(state.moments, expected[1].moments, strict=True):
        # A moment is a sum of terms that may cancel: it is compared as the whole vector it is.
        assert_agree(got, wanted, tolerance=1e-11 if got.dtype == np.float64 else 1e-4, what=what)
    for got, wanted in zip(losses, expected[2], strict=True):
        assert_agree(got, wanted, tolerance=1e-12 if params.dtype == np.float64 else 1e-5, what=what)
    if rows is not None:
        np.testing.assert_array_equal(rows, expected[3])
    if random_state is not None:
        assert random_state.randint(2**31) == expected[4].randint(2**31)


def test_twenty_steps(fast_backend, oracle, make_problem, some_options, assert_agree, hidden, pair, dtype):
    n_rows = 24
    for solver, csr, weights, batch_size, kind in some_options(hidden, pair, n_rows):
        # Where a gradient all but vanishes, Adam with a small epsilon still takes a whole step, in a direction that, in
        # float32, is rounding error.
        hyper = {"epsilon": 1e-4} if dtype == np.float32 and "epsilon" in SOLVERS[solver].hyperparameters else {}
        problem = make_problem(UNITS, hidden, pair, dtype, csr=csr, weights=weights, kind=kind, n_rows=n_rows)
        if weights:
            problem.data.sample_weight[problem.data.sample_weight == 0] = 0.5  # a batch may be a single row
        n_epochs = max(1, N_STEPS // -(-n_rows // batch_size))
        what = f"{solver}, csr {csr}, weights {weights}, batch {batch_size}, {kind}"
        assert_same_training(
            fast_backend,
            oracle,
            problem,
            solver,
            assert_agree,
            what,
            n_epochs=n_epochs,
            batch_size=batch_size,
            seed=3,
            **hyper,
        )


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_momentum_and_nesterov(fast_backend, oracle, make_problem, assert_agree, dtype, momentum, nesterov):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), dtype)
    hyper = {"momentum": momentum, "nesterov": nesterov, "rate": 0.01}
    assert_same_training(fast_backend, oracle, problem, "sgd", assert_agree, n_epochs=5, batch_size=8, **hyper)


@pytest.fixture
def global_state():
    """NumPy's global RandomState, put back afterwards."""
    before = np.random.get_state()
    yield np.random.mtrand._rand
    np.random.set_state(before)


def test_shuffles_by_the_global_generator(fast_backend, make_problem, solver, global_state):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64", n_rows=300)
    results = []
    for random_state in (np.random.RandomState(5), global_state):
        random_state.seed(5)
        params = problem.params.copy()
        rows = np.arange(10, 280, dtype=np.int32)
        plan = Plan(SolverState.fresh(solver, len(params), params.dtype), 32, 0.1, rows, True, random_state)
        trainer = fast_backend.trainer(problem.spec, params, problem.data, plan)
        losses = [trainer.run(n) for n in (1, 3, 2)]
        drawn = random_state.randint(2**31)
        results.append((params, rows, plan.solver.t, drawn, *(loss.data for loss in losses)))
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_global_generator_is_free_while_others_train(fast_backend, make_problem, global_state):
    problem = make_problem([60, 100, 4], "tanh", ("squared_error", "identity"), "float64", n_rows=3000)
    plan = Plan(SolverState.fresh("sgd", len(problem.params), np.float64), 200, 0.0, None, True, global_state)
    trainer = fast_backend.trainer(problem.spec, problem.params, problem.data, plan)
    training = threading.Thread(target=trainer.run, args=(100,))
    lock, free = global_state._bit_generator.lock, 0
    training.start()
    while training.is_alive():
        if lock.acquire(blocking=False):
            lock.release()
            free += 1
        training.join(1e-4)
    assert free > 10


def test_edits_of_a_csr_matrix_in_training(fast_backend, make_problem):
    problem = make_problem(UNITS, "tanh", ("log_loss", "softmax"), "float64", csr=True)
    plan = Plan(SolverState.fresh("sgd", len(problem.params), np.float64), 7)
    trainer = fast_backend.trainer(problem.spec, problem.params, problem.data, plan)
    before = trainer.run(1).data
    problem.data.X.indices[:] = 2**30
    problem.data.X.indptr[1:] = 2**30
    assert trainer.run(1).data < before


OUTSIDE = [
    {"indptr": [1, 2, 3]},
    {"indptr": [0, 3, 2]},
    {"indptr": [0, 4, 3]},
    {"indptr": [0, 2, 9]},
    {"indptr": [0, 2, 4]},
    {"indptr": [0, 2]},
    {"indptr": [0, 2, 3, 3]},
    {"indptr": [0.0, 2.5, 3.0]},
    {"indptr": [[0, 2, 3]]},
    {"indices": [0, 1, 7]},
    {"indices": [0, 1, 3]},
    {"indices": [0, 1, -1]},
    {"indices": [0, 1]},
    {"indices": [0, 1, 2 + 2**32]},
    {"indices": [0, 1, 2 - 2**32]},
    {"data": [1.0, 2.0]},
]


@pytest.mark.parametrize("edit", OUTSIDE, ids=str)
def test_csr_that_points_outside_is_refused(fast_backend, edit):
    spec = make_spec([3, 2], "tanh", "identity", "squared_error", "float64")
    X = sp.csr_array(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
    for name, values in edit.items():
        setattr(X, name, np.array(values))
    with pytest.raises(ValueError, match="point outside"):
        fast_backend.forward(spec, np.ones(spec.layout.n_parameters), X)


def predict_sparse(spec, params, X):
    """What a binding of the C backend, the only one that takes CSC, predicts."""
    out = np.empty((X.shape[0], spec.units[-1]), spec.dtype)
    binding = get_backend("c").bind(spec, params)
    assert binding.many(X.shape[0], X, binding.view(out)) == binding.ok
    return out


@pytest.mark.c
@pytest.mark.parametrize("edit", OUTSIDE, ids=str)
def test_csc_that_points_outside_is_refused(edit):
    spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    X = sp.csc_array(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]).T)
    for name, values in edit.items():
        setattr(X, name, np.array(values))
    with pytest.raises(ValueError, match="point outside"):
        predict_sparse(spec, np.ones(spec.layout.n_parameters), X)


@pytest.mark.c
@pytest.mark.parametrize(("n", "width"), [(1, 1), (3, 40), (700, 9), (2, 3000)])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.5])
def test_csc_is_turned(n, width, density, dtype):
    spec = make_spec([width, 5, 2], "tanh", "identity", "squared_error", dtype)
    rng = np.random.default_rng(0)
    params = rng.normal(size=spec.layout.n_parameters).astype(dtype)
    X = sp.random_array((n, width), density=density, format="csr", dtype=dtype, rng=rng)
    expected = get_backend("c").forward(spec, params, X)
    turned = X.tocsc()
    for column in range(width):  # the order of rows within a column does not matter
        own = slice(turned.indptr[column], turned.indptr[column + 1])
        turned.indices[own], turned.data[own] = turned.indices[own][::-1].copy(), turned.data[own][::-1].copy()
    np.testing.assert_array_equal(predict_sparse(spec, params, turned), expected)
    np.testing.assert_array_equal(predict_sparse(spec, params, X), expected)
    if turned.nnz > 1:
        turned.indices[:2], turned.indptr[:] = 0, turned.nnz
        turned.indptr[0] = 0
        with pytest.raises(ValueError, match="without duplicates"):
            predict_sparse(spec, params, turned)


def test_every_hyperparameter_reaches_the_kernels(fast_backend, oracle, make_problem, assert_agree, solver):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64")
    options = {"n_epochs": 3, "batch_size": 8}
    base = trained(fast_backend, problem, solver, **options)[0]
    for name, default in SOLVERS[solver].hyperparameters.items():
        if name == "learning_rate":
            continue
        other = {name: not default if isinstance(default, bool) else default * 0.75}
        assert_same_training(fast_backend, oracle, problem, solver, assert_agree, **options, **other)
        assert (trained(fast_backend, problem, solver, **options, **other)[0] != base).any()


@st.composite
def cases(draw):
    n_rows = draw(st.integers(1, 300))
    loss, output = draw(
        st.sampled_from(
            [
                (loss, output)
                for loss, output in itertools.product(LOSSES, ACTIVATIONS)
                if ACTIVATIONS[output].needs and LOSSES[loss].domain.includes(ACTIVATIONS[output].range)
            ]
        )
    )
    hidden = draw(st.sampled_from([name for name, a in ACTIVATIONS.items() if a.needs and not a.outputs_only]))
    units = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    if ACTIVATIONS[output].jacobian_product is not None:
        units[-1] = max(2, units[-1])
    return {
        "problem": {
            "units": units,
            "hidden": hidden,
            "pair": (loss, output),
            "dtype": draw(st.sampled_from(["float64", "float32"])),
            "n_rows": n_rows,
            "seed": draw(st.integers(0, 1000)),
            "weights": draw(st.booleans()),
            "csr": draw(st.booleans()),
            "kind": draw(st.sampled_from(KINDS)),
        },
        "solver": draw(st.sampled_from(list(SOLVERS))),
        "batch_size": draw(st.integers(1, n_rows + 5)),
        "shuffle_seed": draw(st.none() | st.integers(0, 100)),
        "alpha": draw(st.sampled_from([0.0, 0.1])),
        "share": draw(st.none() | st.floats(0.01, 1.0)),
    }


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_any_shape_and_option(fast_backend, oracle, make_problem, assert_agree, case):
    problem = make_problem(**case["problem"])
    data = problem.data
    if data.sample_weight is not None:
        data.sample_weight[data.sample_weight == 0] = 0.5
    n_rows = data.X.shape[0]
    outputs = fast_backend.forward(problem.spec, problem.params, data.X)
    assert_agree(outputs, oracle.forward(problem.spec, problem.params, data.X))
    rows = None
    if case["share"] is not None:
        chosen = np.random.default_rng(0).permutation(n_rows)[: max(1, int(case["share"] * n_rows))]
        rows = chosen.astype(np.int32)
    n_batches = -(-(n_rows if rows is None else len(rows)) // case["batch_size"])
    # Single precision keeps to its tolerance over a few steps of any network, not over any number of them.
    if problem.spec.dtype == np.float32 and n_batches > N_STEPS:
        case["batch_size"] = -(-n_rows // N_STEPS)
    options = {
        "n_epochs": 2,
        "batch_size": case["batch_size"],
        "alpha": case["alpha"],
        "rows": rows,
        "seed": case["shuffle_seed"],
        "rate": 1e-3,
    }
    # Training that runs away, as exponential outputs may, multiplies rounding errors without end.
    losses = trained(oracle, problem, case["solver"], **options)[2]
    assume(losses.data[-1] <= 2 * oracle.loss(problem.spec, problem.params, data, 0.0).data + 1)
    assert_same_training(fast_backend, oracle, problem, case["solver"], assert_agree, **options)


def test_a_shuffle_is_that_of_numpy_and_cumulative(backend, make_problem):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64", n_rows=50)
    _, _, _, rows, random_state = trained(
        backend, problem, "sgd", n_epochs=3, batch_size=8, rows=np.arange(50, dtype=np.int32), seed=7
    )
    expected, reference = np.arange(50), np.random.RandomState(7)
    for _ in range(3):
        reference.shuffle(expected)
    np.testing.assert_array_equal(rows, expected)
    assert random_state.randint(2**31) == reference.randint(2**31)


def test_training_goes_on_where_it_stopped(backend, make_problem, solver, dtype):
    problem = make_problem(UNITS, "tanh", ("log_loss", "softmax"), dtype, n_rows=50)
    at_once, _, losses, *_ = trained(backend, problem, solver, n_epochs=5, batch_size=8, seed=0)
    params = problem.params.copy()
    state = SolverState.fresh(solver, len(params), dtype, learning_rate=2e-3)
    plan = Plan(state, 8, 0.05, None, True, np.random.RandomState(0))
    trainer = backend.trainer(problem.spec, params, problem.data, plan)
    parts = [trainer.run(2), trainer.run(3)]
    np.testing.assert_array_equal(params, at_once)
    np.testing.assert_array_equal(np.concatenate([part.data for part in parts]), losses.data)
    np.testing.assert_array_equal(np.concatenate([part.l2 for part in parts]), losses.l2)


def test_rows_of_the_other_precision(backend, make_problem, dtype):
    problem = make_problem(UNITS, "tanh", ("log_loss", "softmax"), dtype, n_rows=300)
    other = np.dtype("float32" if dtype == np.float64 else "float64")
    X = problem.data.X.astype(other)
    same = make_problem(UNITS, "tanh", ("log_loss", "softmax"), dtype, n_rows=300)
    same.data.X = X.astype(dtype)
    problem.data.X = X
    for calculate in (
        lambda p: backend.forward(p.spec, p.params, p.data.X),
        lambda p: np.array(backend.loss(p.spec, p.params, p.data, 0.1)),
        lambda p: trained(backend, p, "adam", n_epochs=2, batch_size=7, seed=0)[0],
    ):
        np.testing.assert_array_equal(calculate(problem), calculate(same))


def test_a_learning_rate_changed_between_runs_counts(backend, make_problem, solver):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64")
    params = problem.params.copy()
    state = SolverState.fresh(solver, len(params), "float64", learning_rate=0.1)
    trainer = backend.trainer(problem.spec, params, problem.data, Plan(state, 10))
    trainer.run(1)
    for moment in state.moments:
        moment[:] = 0
    state.hyper["learning_rate"] = 1e-9
    before = params.copy()
    trainer.run(1)
    assert 0 < np.abs(params - before).max() < 1e-6


def test_epoch_losses_are_means_over_batches_counted_by_rows(backend, make_problem):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64", n_rows=10, weights=True)
    alpha = 0.7
    # With a step next to nothing the network stays as it is.
    _, _, losses, *_ = trained(backend, problem, "sgd", n_epochs=1, batch_size=4, alpha=alpha, rate=1e-300)
    data = problem.data
    expected = np.zeros(2)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
        batch = Data(data.X[rows], data.targets[rows], data.sample_weight[rows])
        parts = get_backend("numpy").loss(problem.spec, problem.params, batch, alpha)
        expected += np.array([parts.data, parts.l2]) / parts.weight * len(batch.targets) / 10
    np.testing.assert_allclose([losses.data[0], losses.l2[0]], expected, rtol=1e-12)


@pytest.mark.parametrize("factor", [2.0**80, 2.0**-80], ids=["large", "small"])
def test_the_unit_of_sample_weights_does_not_matter(backend, make_problem, solver, factor, dtype):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), dtype, weights=True)
    options = {"n_epochs": 3, "batch_size": 10, "alpha": 0.0}
    expected, *_ = trained(backend, problem, solver, **options)
    problem.data.sample_weight[:] *= factor
    params, *_ = trained(backend, problem, solver, **options)
    np.testing.assert_allclose(params, expected, rtol=100 * np.finfo(dtype).eps)


def test_weights_of_all_rows_that_nearly_cancel(backend, make_problem, dtype):
    """What is left of their sum, in whatever order it is formed, has no reciprocal in the dtype."""
    least = np.finfo(dtype).tiny / 16
    problem = make_problem([3, 1], "tanh", ("squared_error", "identity"), dtype, n_rows=16, weights=True)
    data = problem.data
    data.X[[0, 8]], data.targets[[0, 8]] = 0, problem.params[-1]  # whose deltas are 0
    data.sample_weight[:] = 0
    data.sample_weight[[0, 8, 9]] = 1, -1, least
    alone = Data(data.X[9:10], data.targets[9:10], np.ones(1, dtype))
    expected, grad = np.empty_like(problem.params), np.empty_like(problem.params)
    get_backend("numpy").loss_grad(problem.spec, problem.params, alone, 0.0, expected)
    backend.loss_grad(problem.spec, problem.params, data, 0.0, grad)
    np.testing.assert_allclose(grad, expected, rtol=1e-4)


def test_batches_without_weight(backend, make_problem):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64", n_rows=12, weights=True)
    problem.data.sample_weight[4:8] = 0
    params = problem.params.copy()
    state = SolverState.fresh("sgd", len(params), "float64")
    trainer = backend.trainer(problem.spec, params, problem.data, Plan(state, 4))
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        trainer.run(1)
    problem.data.sample_weight[:] = 0
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        backend.loss_grad(problem.spec, params, problem.data, 0.0, np.empty_like(params))
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        backend.loss(problem.spec, params, problem.data, 0.0)


class SignalError(Exception):
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize("delay", [0.003, 0.01, 0.05])
def test_an_interrupt_leaves_whole_steps(backend, make_problem, solver, delay):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    problem = make_problem([6, 8, 3], "tanh", ("log_loss", "softmax"), "float64", n_rows=64)
    params = problem.params.copy()
    state = SolverState.fresh(solver, len(params), "float64")
    trainer = backend.trainer(problem.spec, params, problem.data, Plan(state, 64))

    def interrupt(number, frame):
        raise SignalError

    def run_until_interrupted():
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            trainer.run(10**6)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    # A busy machine may take the delay before the first step.
    for _ in range(100):
        with pytest.raises(SignalError):
            run_until_interrupted()
        if state.t > 0:
            break
    assert state.t > 0
    expected = problem.params.copy()
    again = SolverState.fresh(solver, len(params), "float64")
    backend.trainer(problem.spec, expected, problem.data, Plan(again, 64)).run(state.t)
    np.testing.assert_array_equal(params, expected)
    for got, wanted in zip(state.moments, again.moments, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_oracle_can_be_interrupted_at_any_line(oracle, make_problem, solver):
    problem = make_problem([2, 2, 2], "tanh", ("squared_error", "identity"), "float64", n_rows=3)

    def run(n_epochs, after):
        """Train; raise after so many traced lines. Return parameters, state and whether all of it went through."""
        params = problem.params.copy()
        state = SolverState.fresh(solver, len(params), "float64")
        trainer = oracle.trainer(problem.spec, params, problem.data, Plan(state, 3))
        lines = itertools.count()

        def trace(frame, event, argument):
            if event == "line" and next(lines) == after:
                raise SignalError
            return trace

        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            trainer.run(n_epochs)
        except SignalError:
            return params, state, False
        finally:
            sys.settrace(previous)
        return params, state, True

    whole = [run(n, after=-1)[:2] for n in range(3)]
    steps, done, after = set(), False, 0
    while not done:
        params, state, done = run(2, after)
        after += 1
        steps.add(state.t)
        np.testing.assert_array_equal(params, whole[state.t][0])
        for got, wanted in zip(state.moments, whole[state.t][1].moments, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert steps == {0, 1, 2}
    assert after > 50


def test_calls_from_several_threads_do_not_meet(backend, make_problem):
    problems = [make_problem([20, 30, 4], "gelu", ("log_loss", "softmax"), "float64", seed=i) for i in range(4)]

    def work(problem):
        grad = np.empty_like(problem.params)
        backend.loss_grad(problem.spec, problem.params, problem.data, 0.1, grad)
        return np.concatenate([grad, backend.forward(problem.spec, problem.params, problem.data.X).ravel()])

    expected = [work(problem) for problem in problems]
    failures = []

    def repeat(i):
        for _ in range(50):
            if not (work(problems[i]) == expected[i]).all():
                failures.append(i)

    threads = [threading.Thread(target=repeat, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_names_of_backends():
    assert "numpy" in available_backends()
    for name in available_backends():
        backend = get_backend(name)
        assert backend is get_backend(name)
        assert backend.name == name
        assert isinstance(backend.isa, str)
        assert backend.n_threads >= 1
    for bad, error in (("cuda", ValueError), (None, TypeError)):
        with pytest.raises(error, match="backend must be"):
            get_backend(bad)


def test_order_of_choice(monkeypatch):
    monkeypatch.setenv("FASTMLP_BACKEND", "numpy")
    assert get_backend().name == "numpy"
    monkeypatch.setenv("FASTMLP_BACKEND", "tpu")
    with pytest.raises(ValueError, match=r"FASTMLP_BACKEND must be one of 'auto'.*'tpu'"):
        get_backend()
    with fastmlp.config_context(backend="numpy"):
        assert get_backend().name == "numpy"
    with pytest.raises(ValueError, match="FASTMLP_BACKEND"):
        get_backend()
    assert get_backend("numpy").name == "numpy"


@pytest.mark.c
def test_context_and_argument_win(monkeypatch):
    monkeypatch.delenv("FASTMLP_BACKEND", raising=False)
    assert get_backend().name == next(iter(BACKENDS)) == "c"
    with fastmlp.config_context(backend="numpy"):
        assert get_backend().name == "numpy"
        assert get_backend("c").name == "c"
        with fastmlp.config_context(backend="auto"), fastmlp.config_context():
            assert get_backend().name == "c"
        assert get_backend().name == "numpy"
    monkeypatch.setenv("FASTMLP_BACKEND", "numpy")
    with fastmlp.config_context(backend="auto"):
        assert get_backend().name == "c"


def test_a_context_belongs_to_its_thread():
    seen = []
    with fastmlp.config_context(backend="numpy"):
        thread = threading.Thread(target=lambda: seen.append(fastmlp.backends.configured.get()))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.parametrize(("bad", "error"), [("tpu", ValueError), (3, TypeError)])
def test_a_context_checks_its_name(bad, error):
    with pytest.raises(error, match="backend must be"), fastmlp.config_context(backend=bad):
        pass


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_without_the_extension_the_next_takes_over_with_one_warning(name):
    if name == "numba":
        pytest.importorskip("numba")
    code = (
        f"name, without_numba = {name!r}, {name == 'numpy'}"
        + """
import sys, warnings
sys.modules["_fastmlp_c"] = None
if without_numba:
    sys.modules["numba"] = None
from fastmlp import Network, config_context, show_versions
from fastmlp.backends import available_backends, get_backend
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net = Network([2, 1])
    for _ in range(3):
        net.forward([[1, 2]])
    show_versions()
(warning,) = caught
assert warning.category is RuntimeWarning, warning
assert "extension" in str(warning.message) and name in str(warning.message), warning
assert get_backend().name == name
assert available_backends() == (("numpy",) if without_numba else ("numba", "numpy"))
for ask in (lambda: get_backend("c"), lambda: Network([2, 1], backend="c")):
    try:
        ask()
    except ImportError as error:
        assert "'c'" in str(error)
    else:
        raise AssertionError
"""
    )
    run_python(code, FASTMLP_BACKEND=None)


def test_the_backend_asked_for_is_silent_about_the_others():
    code = """
import sys, warnings
sys.modules["_fastmlp_c"] = None
warnings.simplefilter("error")
from fastmlp import Network
Network([2, 1]).forward([[1, 2]])
"""
    run_python(code, FASTMLP_BACKEND="numpy")


def test_a_shuffle_of_ones_own(backend, make_problem):
    """Of a subclass of RandomState: it is given positions in the order before."""

    class Turning(np.random.RandomState):
        def shuffle(self, x):
            asked.append(x.tolist())
            x[:] = np.roll(x, 1)

    asked, n = [], 5
    problem = make_problem([3, 2], "tanh", ("squared_error", "identity"), "float64", n_rows=n)
    results = []
    for shuffle in (True, False):
        params, state = problem.params.copy(), SolverState.fresh("sgd", len(problem.params), "float64")
        rows = np.arange(n, dtype=np.int32)
        plan = Plan(state, 2, rows=rows, shuffle=shuffle, random_state=Turning(0) if shuffle else None)
        trainer = backend.trainer(problem.spec, params, problem.data, plan)
        if shuffle:
            trainer.run(3)
        else:
            for k in (1, 2, 3):
                plan = Plan(state, 2, rows=np.roll(rows, k))
                backend.trainer(problem.spec, params, problem.data, plan).run(1)
        results.append(params)
    np.testing.assert_array_equal(*results)
    assert asked == [list(range(n))] * 3
