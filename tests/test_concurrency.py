"""Threads that compute at once get the bits that each gets alone: C releases the interpreter and keeps no state."""

import itertools
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import DIFFERENTIABLE_HIDDEN, PAIRS, assert_same_bits

from fastmlp import Network
from fastmlp.backends import Plan, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SOLVERS, SolverState

try:
    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = pytest.mark.c

ffi, lib = c.ffi, c.lib
N_THREADS = 8


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(jobs):
    """Run the jobs in threads that start together; return their results in order."""
    barrier = threading.Barrier(len(jobs))

    def run(job):
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def assert_same_results(results, others):
    for result, other in zip(results, others, strict=True):
        assert_same_bits(result, other)


def work(problem, solver, seed):
    """Return forward pass, gradient, and what training makes of the parameters."""
    backend, spec, data = get_backend("c"), problem.spec, problem.data
    params, grad = problem.params.copy(), aligned_zeros(len(problem.params), spec.dtype)
    state = SolverState.fresh(solver, len(params), spec.dtype)
    plan = Plan(state, 50, 0.1, shuffle=True, random_state=np.random.RandomState(seed))
    trainer = backend.trainer(spec, params, data, plan)
    results = []
    for _ in range(5):
        losses = trainer.run(2)
        parts = backend.loss_grad(spec, params, data, 0.1, grad)
        z, a = backend.layers(spec, params, data.X)
        results += [params.copy(), losses.data, losses.l2, *parts, grad.copy(), *z, *a]
        results.append(backend.forward(spec, params, data.X))
    return [*results, *state.moments]


def test_separate_networks(make_problem):
    options = itertools.cycle(itertools.product(SOLVERS, ("float32", "float64"), (False, True), (False, True)))
    jobs = []
    for i, pair in enumerate(PAIRS):
        solver, dtype, csr, weights = next(options)
        problem = make_problem(
            [7, 20 + i, 9, 3],
            DIFFERENTIABLE_HIDDEN[i % len(DIFFERENTIABLE_HIDDEN)],
            pair,
            np.dtype(dtype),
            n_rows=700,
            csr=csr,
            weights=weights,
            seed=i,
        )
        jobs.append(lambda p=problem, s=solver, i=i: work(p, s, i))
    alone = [job() for job in jobs]
    for _ in range(3):
        for first in range(0, len(jobs), N_THREADS):
            some = slice(first, first + N_THREADS)
            assert_same_results(at_once(jobs[some]), alone[some])


def test_one_network_many_readers(make_problem, dtype):
    # Workspaces off the stack and on it; on it also wide layers, in which one row keeps a thread busy for a while.
    for units, csr, sizes in (
        ([6, 40, 3], False, (1, 3, 64, 1000)),
        ([6, 40, 3], True, (1, 3, 64, 1000)),
        ([6, 300, 300, 3], False, (1, 3, 64, 1000)),
        ([400, 400, 400, 400, 400, 3], False, (1,)),
    ):
        problem = make_problem(units, "gelu", ("log_loss", "softmax"), dtype, n_rows=1000, csr=csr)
        forward, X = get_backend("c").forward, problem.data.X
        expected = forward(problem.spec, problem.params, X)

        def read(first, problem=problem, sizes=sizes, X=X, forward=forward):
            return [
                forward(problem.spec, problem.params, X[first : first + n])
                for n in itertools.islice(itertools.cycle(sizes), 60)
            ]

        results = at_once([lambda first=first: read(first) for first in range(N_THREADS)])
        for first, result in enumerate(results):
            for rows in result:
                assert_same_bits([rows], [expected[first : first + len(rows)]])


def test_one_generator_shared_by_two_trainers_is_locked(make_problem):
    # Whose turn it is to draw is not defined; that each draws a whole permutation, is.
    problem = make_problem([3, 4, 1], "tanh", ("squared_error", "identity"), np.dtype("float64"), n_rows=300)
    random_state = np.random.RandomState(0)
    orders = [np.arange(300, dtype=np.int32) for _ in range(4)]

    def train(rows):
        state = SolverState.fresh("sgd", len(problem.params), "float64")
        plan = Plan(state, 300, rows=rows, shuffle=True, random_state=random_state)
        get_backend("c").trainer(problem.spec, problem.params.copy(), problem.data, plan).run(200)

    at_once([lambda rows=rows: train(rows) for rows in orders])
    for rows in orders:
        np.testing.assert_array_equal(np.sort(rows), np.arange(300))
    expected = np.random.RandomState(0)
    for _ in range(len(orders) * 200):
        expected.shuffle(np.arange(300, dtype=np.int32))
    np.testing.assert_array_equal(random_state.random_sample(3), expected.random_sample(3))


def test_networks_fitted_at_once(solver, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 6)), rng.integers(0, 3, 500)

    def fit(seed):
        net = Network(
            [6, 30, 3], output_activation="softmax", loss="log_loss", dtype=dtype, random_state=seed, backend="c"
        )
        curve = net.fit(X, y, solver=solver, epochs=10, batch_size=64)
        return [net.get_parameters(), curve, net.forward(X)]

    jobs = [lambda seed=seed: fit(seed) for seed in range(N_THREADS)]
    assert_same_results(at_once(jobs), [job() for job in jobs])


def test_the_interpreter_is_free_while_c_trains(make_problem):
    """Another thread gets on while one is inside a long call."""
    problem = make_problem([20, 200, 200, 1], "tanh", ("squared_error", "identity"), np.dtype("float64"), n_rows=3000)
    state = SolverState.fresh("sgd", len(problem.params), "float64", learning_rate=1e-6)
    trainer = get_backend("c").trainer(problem.spec, problem.params, problem.data, Plan(state, 3000))
    sys.setswitchinterval(10)  # only a thread that lets go of the interpreter makes room for another
    done, turns = threading.Event(), 0

    def train():
        trainer.run(20)
        done.set()

    thread = threading.Thread(target=train)
    thread.start()
    while not done.wait(0.001):
        turns += 1
    thread.join()
    assert turns > 10


def estimator_of(seed, dtype, n_rows=400):
    """Return an estimator and rows of its own, from its number."""
    estimators = pytest.importorskip("fastmlp.estimators")
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 6)).astype(dtype)
    options = {"hidden_layer_sizes": (5 + seed,), "solver": ("sgd", "adam")[seed % 2], "random_state": seed}
    options |= {"max_iter": 5, "tol": 0.0, "n_iter_no_change": np.inf, "backend": "c"}
    if seed % 3 == 0:
        return estimators.MLPRegressor(**options), X, X.sum(axis=1)
    return estimators.MLPClassifier(**options), X, rng.integers(0, 2 + seed % 3, n_rows)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_fitted_at_once(dtype):
    def fit(seed):
        estimator, X, y = estimator_of(seed, dtype)
        estimator.fit(X, y)
        return [*estimator.coefs_, *estimator.intercepts_, estimator.loss_curve_, estimator.predict(X)]

    jobs = [lambda seed=seed: fit(seed) for seed in range(N_THREADS)]
    assert_same_results(at_once(jobs), [job() for job in jobs])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_one_estimator_many_readers(dtype):
    # Nobody has predicted before the threads start: they bind the estimator while others look at it.
    for seed in range(6):
        estimator, X, y = estimator_of(seed, dtype)
        estimator.fit(X, y)
        methods = ["predict", "score"] if seed % 3 == 0 else ["predict", "predict_proba", "predict_log_proba", "score"]

        def read(first, estimator=estimator, X=X, y=y, methods=methods):
            results = []
            for method, n in itertools.islice(zip(itertools.cycle(methods), itertools.cycle((1, 5, 300))), 120):
                if method == "score":
                    n = max(n, 2)  # of a single row R^2 is not defined
                rows = slice(first, first + n)
                arguments = (X[rows], y[rows]) if method == "score" else (X[rows],)
                if n == 5:
                    arguments = (X[rows].tolist(), *arguments[1:])  # the long way
                results.append(getattr(estimator, method)(*arguments))
            return results

        jobs = [lambda first=first, read=read: read(first) for first in range(N_THREADS)]
        assert_same_results(at_once(jobs), [job() for job in jobs])


def test_separate_estimators_predicting_and_training(dtype):
    """A shorter form of benchmarks/soak.py."""

    def use(seed, n_calls):
        estimator, X, y = estimator_of(seed, dtype)
        order, results = np.random.default_rng(seed), []
        more = {} if seed % 3 == 0 else {"classes": np.unique(y)}
        for _ in range(n_calls):
            first, n = order.integers(300), order.choice([1, 2, 32])
            rows = slice(first, first + n)
            estimator.partial_fit(X[rows], y[rows], **more)
            if estimator.t_ == n:
                predictor = estimator.predictor()
            results += [estimator.predict(X[rows]), predictor(X[rows])]
        return [*results, *estimator.coefs_, *estimator.intercepts_, estimator.loss_curve_]

    jobs = [lambda seed=seed: use(seed, 200) for seed in range(N_THREADS)]
    assert_same_results(at_once(jobs), [job() for job in jobs])


def test_calls_leave_no_memory_behind(dtype):
    estimator, X, y = estimator_of(1, dtype)
    estimator.partial_fit(X, y, classes=np.unique(y))
    predictor = estimator.predictor()

    def use():
        for i in range(500):
            estimator.partial_fit(X[i % 9 : 32], y[i % 9 : 32])
            for n in (1, 300):
                estimator.predict_proba(X[:n])
                estimator.predict(X[:n])
                predictor(X[:n])
            estimator.score(X, y)
        del estimator.loss_curve_[:]

    use()
    tracemalloc.start()
    try:
        use()
        before = tracemalloc.get_traced_memory()[0]
        use()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()
