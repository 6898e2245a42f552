"""The number of threads: changes no bit, is what was asked for and allowed, and survives forks, crowds and exits."""

import gc
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same_bits, run_python

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, Network, _held, _threads
from fastmlp._threads import Threads, available, check_n_threads, requested, threads
from fastmlp.backends import Plan, available_backends, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SOLVERS, SolverState
from fastmlp.spec import make_spec

try:
    from fastmlp.backends import _c_interface, c
except ImportError:
    c = None

TESTS = Path(__file__).parent
NUMBERS = (1, 2, 3, 8)
needs_c = pytest.mark.c
needs_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="/proc is missing")


@pytest.fixture(autouse=True)
def _keep_the_limit(monkeypatch):
    monkeypatch.setattr(_threads, "_limit", None)


def train(problem, solver, batch_size, epochs=2, key=0):
    """Weights, moments and both loss curves."""
    params = problem.params.copy()
    state = SolverState.fresh(solver, len(params), problem.spec.dtype, learning_rate=0.01)
    plan = Plan(state, batch_size, 0.1, shuffle=True, random_state=np.random.RandomState(7), key=key)
    losses = get_backend("c").trainer(problem.spec, params, problem.data, plan).run(epochs)
    return [params, *state.moments, losses.data, losses.l2]


def everything(problem, solver, batch_size, key=0):
    """Results of all that a backend does."""
    backend, (spec, params, data) = get_backend("c"), (problem.spec, problem.params, problem.data)
    grad = aligned_zeros(len(params), spec.dtype)
    z, a = backend.layers(spec, params, data.X)
    parts = backend.loss_grad(spec, params, data, 0.1, grad)
    loss = backend.loss(spec, params, data, 0.1)
    return [
        backend.forward(spec, params, data.X),
        *z,
        *a,
        *parts,
        *loss,
        grad,
        *train(problem, solver, batch_size, key=key),
    ]


def assert_threads_change_nothing(compute, what=""):
    results = []
    for n in NUMBERS:
        with requested(n):
            results.append(compute())
    for n, other in zip(NUMBERS[1:], results[1:], strict=True):
        assert_same_bits(results[0], other, f"{what}, {n} threads")


# Bits. Rows and batches: one block, several that are shared, so many that each thread takes whole ones, and more work
# than C does at a time. Networks: narrow ones, and ones whose coefs are divided among all threads.

SIZES = [(30, 7), (300, 300), (700, 200), (2600, 2570)]
SHAPES = [
    ((7, 33, 16, 3), ("log_loss", "softmax")),
    ((20, 300, 70, 1), ("squared_error", "identity")),
    ((3, 1, 1, 2), ("squared_error", "tanh")),
    ((9, 4), ("log_loss", "softmax")),
    ((200, 100, 5), ("log_loss", "logistic")),
    ((5, 20, 4, 2), ("log_loss", "softmax")),
    ((1, 1), ("poisson", "exp")),
]


@needs_c
@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize(("units", "pair"), SHAPES, ids=str)
def test_bits(make_problem, dtype, units, pair, csr):
    solvers = itertools.cycle(SOLVERS)
    for weights, (n_rows, batch), kind in itertools.product((False, True), SIZES, ("soft", "hard", "codes")):
        if kind == "codes" and pair[0] != "log_loss":
            continue
        if kind == "codes" and pair[1] == "logistic":
            continue
        problem = make_problem(units, "tanh", pair, dtype, n_rows=n_rows, csr=csr, weights=weights, kind=kind)
        what = f"{n_rows=} {batch=} {weights=} {kind=}"
        solver = next(solvers)
        assert_threads_change_nothing(lambda p=problem, s=solver, b=batch: everything(p, s, b), what)


@needs_c
def test_bits_of_every_activation(make_problem, hidden, dtype):
    # With a key, for activations that draw random numbers.
    for n_rows, batch in SIZES:
        problem = make_problem((7, 33, 16, 3), hidden, ("squared_error", "identity"), dtype, n_rows=n_rows)
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "adam", b, key=12345), f"{n_rows}")


@needs_c
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_bits_of_layers_of_several_panels(make_problem, activation, dtype):
    # One thread transposes panels of the coefs and overwrites outputs with deltas; several share all of the former.
    for n_rows, batch in SIZES:
        problem = make_problem((7, 64, 130, 33, 3), activation, ("squared_error", "identity"), dtype, n_rows=n_rows)
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "adam", b), f"{n_rows}")


@needs_c
@pytest.mark.parametrize("zeros", [None, 0.7])
def test_bits_where_zeros_are_left_out(make_problem, dtype, zeros):
    # Those of rows, and of ReLU, whose gradients one thread can form in another way than several.
    for n_rows, batch in SIZES:
        problem = make_problem(
            (200, 64, 130, 3), "relu", ("squared_error", "identity"), dtype, n_rows=n_rows, zeros=zeros
        )
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "adam", b), f"{n_rows}")


@needs_c
@pytest.mark.parametrize("units", [(300, 64, 3), (3000, 150, 2)], ids=str)
def test_bits_of_rows_with_few_entries(make_problem, dtype, units):
    # Each thread takes whole blocks, or of every block some columns.
    for (n_rows, batch), zeros in itertools.product([(700, 600), (2600, 2570)], (0.95, 0.999)):
        problem = make_problem(
            units, "relu", ("squared_error", "identity"), dtype, n_rows=n_rows, csr=True, weights=True, zeros=zeros
        )
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "adam", b), f"{n_rows} {zeros=}")


@needs_c
def test_bits_of_every_loss(make_problem, pair, dtype):
    for n_rows, batch in SIZES[1:]:
        problem = make_problem((7, 40, 5), "relu", pair, dtype, n_rows=n_rows, weights=batch == 200)
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "sgd", b), f"{n_rows}")


@needs_c
def test_bits_of_coefs_that_are_next_to_nothing(make_problem, dtype, solver):
    """Their squares, or they themselves, are denormal: all that the loss consists of."""
    problem = make_problem((200, 100, 5), "tanh", ("squared_error", "identity"), dtype, n_rows=300)
    problem.data.X[:] = problem.data.targets[:] = 0
    for size in (np.finfo(dtype).tiny / 4, np.sqrt(np.finfo(np.float64).tiny) / 4):
        problem.params[:] = 0
        for coefs in problem.spec.layout.coefs(problem.params):
            coefs[:] = size
        for batch in (200, 300):
            assert_threads_change_nothing(lambda b=batch: train(problem, solver, b), f"{size=} {batch=}")


@needs_c
@pytest.mark.parametrize("csr", [False, True], ids=["dense", "csr"])
def test_bits_of_steps_over_several_calls(make_problem, dtype, csr):
    problem = make_problem((8, 64, 1), "tanh", ("squared_error", "identity"), dtype, n_rows=30_000, csr=csr)
    for batch in (30_000, 20_000, 1500):
        assert_threads_change_nothing(lambda b=batch: everything(problem, "adam", b), str(batch))


@needs_c
def test_bits_of_inputs_of_the_other_real_type(make_problem, dtype):
    other = np.float32 if dtype == np.float64 else np.float64
    for n_rows, batch in SIZES:
        problem = make_problem((20, 300, 70, 1), "silu", ("squared_error", "identity"), dtype, n_rows=n_rows)
        problem.data.X = np.random.default_rng(5).normal(size=problem.data.X.shape).astype(other)
        assert_threads_change_nothing(lambda p=problem, b=batch: everything(p, "sgd", b), f"{n_rows}")


@needs_c
def test_bits_of_rows_taken_by_an_index(make_problem, dtype):
    problem = make_problem((7, 33, 3), "tanh", ("log_loss", "softmax"), dtype, n_rows=600, weights=True, kind="codes")
    chosen = np.random.default_rng(0).permutation(600)[:400].astype(np.int32)

    def compute():
        params, state = problem.params.copy(), SolverState.fresh("adam", len(problem.params), dtype)
        plan = Plan(state, 150, rows=chosen.copy(), shuffle=True, random_state=np.random.RandomState(1))
        losses = get_backend("c").trainer(problem.spec, params, problem.data, plan).run(3)
        return [params, losses.data]

    assert_threads_change_nothing(compute)


def digits(n=400):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 20)), rng.integers(0, 5, n)


@needs_c
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_bits_of_estimators(solver):
    X, y = digits(3000)
    results = []
    for n in NUMBERS:
        clf = MLPClassifier((50,), solver=solver, max_iter=4, batch_size=300, random_state=0, n_threads=n, backend="c")
        reg = MLPRegressor(
            hidden_layer_sizes=(50,), solver=solver, max_iter=4, random_state=0, n_threads=n, backend="c"
        )
        clf.fit(X, y)
        reg.fit(X, y)
        results.append([clf._present_weights().vector, clf.predict_proba(X), reg.predict(X)])
        # The second time they go the short way.
        results[-1] += [clf.predict_proba(X), clf.predict(X), reg.predict(X), clf.predictor("predict")(X)]
    for other in results[1:]:
        assert_same_bits(results[0], other)


# How many threads.


def test_numbers_of_threads():
    assert [check_n_threads(n) for n in (None, 1, np.int64(7), -1)] == [None, 1, 7, -1]
    for bad in (0, -2, -100):
        with pytest.raises(ValueError, match=r"^n_threads must be None, -1 or at least 1, got -?\d+"):
            check_n_threads(bad)
    for bad in (1.0, "2", True):
        with pytest.raises(TypeError, match=r"^n_threads must be None or an integer, got "):
            check_n_threads(bad)
    for bad in (0, 2.5):
        with pytest.raises((ValueError, TypeError), match="n_threads"):
            Network([2, 1], n_threads=bad)
        with pytest.raises((ValueError, TypeError), match="n_threads"), fastmlp.config_context(n_threads=bad):
            pass


def test_what_is_asked_for():
    assert threads() == Threads(available(), False)
    with fastmlp.config_context(n_threads=5):
        assert threads() == Threads(5, True)
        with fastmlp.config_context(backend="numpy"):
            assert threads() == Threads(5, True)
            with requested(None):
                assert threads() == Threads(5, True)
            with requested(3):
                assert threads() == Threads(3, True)
        with fastmlp.config_context(n_threads=-1):
            assert threads() == Threads(available(), True)
        with fastmlp.config_context(n_threads=1000):
            assert threads() == Threads(_threads.MOST, True)
    assert threads() == Threads(available(), False)


@pytest.mark.parametrize("predict", ["network", "estimator", "predictor"])
def test_an_exception_at_any_line_leaves_no_number_behind(predict):
    """As a signal's handler may raise one between any two lines."""

    class SignalError(Exception):
        pass

    X = np.ones((3, 2))
    net = Network([2, 1], backend="numpy", n_threads=3, random_state=0)
    reg = MLPRegressor(hidden_layer_sizes=(), max_iter=1, solver="lbfgs", backend="numpy", n_threads=3)
    call = {"network": net.forward, "estimator": reg.fit(X, X[:, 0]).predict, "predictor": net.predictor()}[predict]
    package = str(Path(fastmlp.__file__).parent)
    before, asked, done, after = threads(), set(), False, 0

    def trace(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename.startswith(package):
            lines += 1
            asked.add(_threads._requested.get())
            if lines == after:
                raise SignalError
        return trace

    previous = sys.gettrace()
    while not done:
        lines, after = 0, after + 1
        sys.settrace(trace)
        try:
            call(X)
            done = True
        except SignalError:
            pass
        finally:
            sys.settrace(previous)
        assert threads() == before
    assert asked == {None, 3}
    assert after > 10


def test_networks_keep_their_number():
    net = Network([3, 2], n_threads=3, random_state=0)
    assert net.n_threads == 3
    assert pickle.loads(pickle.dumps(net)).n_threads == 3
    assert Network.from_weights([[[1.0]]], [[0.0]], n_threads=2).n_threads == 2
    assert Network([3, 2]).n_threads is None


@pytest.fixture
def asked(monkeypatch):
    """The numbers of threads that C was called with."""
    if c is None:
        pytest.skip("the compiled extension is missing")
    numbers = []
    of = _c_interface.threads_worth

    def note(*arguments):
        numbers.append(of(*arguments))
        return numbers[-1]

    monkeypatch.setattr(c, "threads_worth", note)
    return numbers


@needs_c
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_method_uses_the_number(asked):
    X, y = digits()
    net = Network([20, 5], output_activation="softmax", loss="log_loss", n_threads=3, backend="c")
    calls = [
        lambda: net.forward(X),
        lambda: net.activations(X),
        lambda: net.preactivations(X),
        lambda: net.loss(X, y),
        lambda: net.gradients(X, y),
        lambda: net.fit(X, y, epochs=1),
    ]
    clf = MLPClassifier((5,), max_iter=1, early_stopping=True, n_threads=3, backend="c")
    lbfgs = MLPClassifier((5,), max_iter=1, solver="lbfgs", n_threads=3, backend="c")
    calls += [lambda: clf.fit(X, y), lambda: clf.predict(X), lambda: lbfgs.fit(X, y)]
    calls += [lambda: clf.predict_proba(X), lambda: clf.predictor()(X), lambda: net.predictor()(X.astype(net.dtype))]
    for call in calls:
        call()
    assert len(asked) >= len(calls)
    assert set(asked) == {3}


@needs_c
def test_the_work_decides_where_nothing_is_asked_for(asked, monkeypatch):
    monkeypatch.setattr(_threads, "_limit", 4)
    rng = np.random.default_rng(0)
    small, large = (Network([64, *hidden, 10], dtype="float32", backend="c") for hidden in ((100,), (1000, 1000)))
    X, Y = (rng.normal(size=(1797, n)).astype(np.float32) for n in (64, 10))
    small.forward(X[:1])
    small.fit(X, Y, batch_size=200, epochs=1)
    assert set(asked) == {1}
    del asked[:]
    large.fit(X, Y, batch_size=200, epochs=1)
    large.forward(X)
    assert set(asked) == {4}
    del asked[:]
    X, Y = (rng.normal(size=(60_000, n)).astype(np.float32) for n in (64, 10))
    small.forward(X)
    small.gradients(X, Y)
    assert set(asked) == {4}
    sparse = pytest.importorskip("scipy.sparse").random(1797, 64, 0.001, "csr", dtype=np.float32, random_state=0)
    del asked[:]
    Network([64, 2], dtype="float32", backend="c").forward(sparse)
    assert set(asked) == {1}


@needs_c
def test_numbers_that_c_does_not_take(make_problem, monkeypatch):
    problem = make_problem((3, 2), "tanh", ("squared_error", "identity"), np.dtype("float64"))
    for n in (0, -3, _threads.MOST + 1):
        monkeypatch.setattr(_c_interface, "threads", lambda _, n=n: Threads(n, True))
        for run in (
            lambda: get_backend("c").forward(problem.spec, problem.params, problem.data.X),
            lambda: get_backend("c").loss(problem.spec, problem.params, problem.data, 0.0),
            lambda: train(problem, "sgd", 7),
        ):
            with pytest.raises(RuntimeError, match="refused"):
                run()


@needs_c
def test_workspaces_grow_with_the_threads_and_no_further(make_problem):
    pair, dtype = ("squared_error", "identity"), np.dtype("float32")
    problem = make_problem((7, 33, 3), "tanh", pair, dtype, n_rows=3000)
    sparse = make_problem((900, 300), "tanh", pair, dtype, n_rows=3000, csr=True, zeros=0.98)
    network = _c_interface.network_struct(problem.spec).struct
    for sizes in (
        [c.lib.fm_gradient_workspace(network, c.ffi.NULL, 3000, n) for n in NUMBERS],
        [c.lib.fm_gradient_workspace(network, c.ffi.NULL, 100, n) for n in NUMBERS],
        [c.lib.fm_forward_workspace(network, c.ffi.NULL, 3000, n) for n in NUMBERS],
    ):
        assert min(sizes) == sizes[0]
        assert max(sizes) < 12 * max(sizes[0], 16384)

    def guarded(size):
        array = aligned_zeros(size + 64, np.uint8)
        array[size:] = 0xA5
        guards.append(array[size:])
        return c.ffi.from_buffer("char *", array, require_writable=True), size

    for n, batch, rows in itertools.product(NUMBERS, (100, 600, 3000), (problem, sparse)):
        guards = []
        with pytest.MonkeyPatch.context() as patch, requested(n):
            patch.setattr(c, "workspace_buffer", guarded)
            everything(rows, "adam", batch)
        assert guards
        assert all((guard == 0xA5).all() for guard in guards)


# Limits.


def limit(before="", **environment):
    """Return the number of threads of a process that runs something before."""
    code = f"{before}\nfrom fastmlp._threads import available; print(available())"
    return int(run_python(code, **environment).stdout)


@cache
def limit_of_the_machine():
    return limit(FASTMLP_NUM_THREADS=None, OMP_NUM_THREADS=None)


@pytest.mark.parametrize(
    ("own", "openmp", "expected"),
    [
        ("1", "64", 1),
        ("1", None, 1),
        (None, "1", 1),
        (None, "1,4", 1),
        ("64", "1", None),
        (None, "dynamic", None),
        (None, "0", None),
        (None, "0" * 5000 + "1", 1),
        (None, "9" * 5000, None),
        ("9" * 5000, "1", None),
    ],
    ids=lambda value: str(value)[:8],
)
def test_limits_of_the_environment(own, openmp, expected):
    expected = limit_of_the_machine() if expected is None else expected
    assert limit(FASTMLP_NUM_THREADS=own, OMP_NUM_THREADS=openmp) == expected


@needs_c
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1 0"])
def test_a_limit_that_is_no_number(value):
    code = "from fastmlp.backends import get_backend; get_backend('c')"
    done = run_python(code, check=False, FASTMLP_NUM_THREADS=value)
    assert done.returncode != 0
    assert f"FASTMLP_NUM_THREADS must be a positive integer, got {value!r}." in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_is_a_limit():
    one = min(os.sched_getaffinity(0))
    assert limit(f"import os; os.sched_setaffinity(0, [{one}])") == 1


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "100000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, _threads.MOST),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/é\n", {"é/cpu.max": "50000 100000\n"}, 1),
        ("0::/of/the/host\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "nonsense\n"}, _threads.MOST),
        ("0::/\n", {}, _threads.MOST),
        (
            "5:memory:/m\n4:cpu,cpuacct:/d\n",
            {"cpu/d/cpu.cfs_quota_us": "150000\n", "cpu/d/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        ("4:cpu:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, _threads.MOST),
        ("4:cpuset:/d\n", {"cpu/d/cpu.cfs_quota_us": "100000\n", "cpu/d/cpu.cfs_period_us": "100000\n"}, _threads.MOST),
    ],
)
def test_limits_of_control_groups(tmp_path, groups, files, expected):
    write(tmp_path / "proc/self/cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert _threads._from_control_groups(tmp_path) == expected


def test_no_control_groups(tmp_path):
    assert _threads._from_control_groups(tmp_path) == _threads.MOST


def test_show_versions_tells_the_threads(capsys):
    fastmlp.show_versions()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("threads"))
    assert line.split()[1] == str(get_backend().n_threads)


@needs_c
def test_threadpoolctl():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    get_backend("c")
    (entry,) = (entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "fastmlp")
    assert entry["num_threads"] == available()
    assert entry["version"] == fastmlp.__version__
    assert Path(entry["filepath"]).name.startswith("_fastmlp_c")
    before = threads()
    for limits in (1, {"fastmlp": 1}):
        with threadpoolctl.threadpool_limits(limits):
            assert threads() == Threads(1, False)
            # A limit holds for those who ask for more, too; where it is the usual one, nobody has set it.
            with requested(8):
                assert threads() == Threads(8 if available() == 1 else 1, True)
            with requested(-1):
                assert threads() == Threads(1, True)
        assert threads() == before
        with requested(8):
            assert threads() == Threads(8, True)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert threads() == before
    with threadpoolctl.threadpool_limits(7, user_api="fastmlp"):
        assert threads() == Threads(7, False)


@needs_c
@needs_linux
def test_threads_start_when_they_are_wanted_and_as_many_as_allowed():
    done = run_python("""
        import os
        import fastmlp
        from fastmlp import Network
        import numpy as np

        def count():
            return len(os.listdir("/proc/self/task"))

        before = count()
        net = Network([64, 500, 10], dtype="float32", backend="c")
        X = np.random.default_rng(0).normal(size=(50000, 64)).astype(np.float32)
        net.forward(X[:10])
        print(count() - before)
        import threadpoolctl
        with threadpoolctl.threadpool_limits(1):
            net.forward(X)
        print(count() - before)
        with fastmlp.config_context(n_threads=3):
            net.forward(X)
        print(count() - before)
        with fastmlp.config_context(n_threads=2):
            net.forward(X)
        print(count() - before)
    """)
    assert done.stdout.split() == ["0", "0", "2", "2"], done.stderr


@needs_c
def test_workers_of_joblib_share_the_processors():
    joblib = pytest.importorskip("joblib")

    def limit_of_a_worker():  # in here it is sent by value: workers cannot import this module
        from fastmlp.backends import get_backend

        return get_backend("c").n_threads

    expected = max(1, min(joblib.cpu_count() // 2, available()))
    assert (
        joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(limit_of_a_worker)() for _ in range(2))
        == [expected] * 2
    )


# Forks, crowds, exits.


def digest_of_training():
    X, y = digits()
    net = Network([20, 40, 5], output_activation="softmax", loss="log_loss", random_state=0, n_threads=3, backend="c")
    net.fit(X, y, epochs=3, random_state=0)
    return net.forward(X).tobytes()


def forks(run):
    """Fork a child that sends what `run` returns; return that, and fail where it hangs."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as file:
                file.write(run())
        finally:
            os._exit(0)
    os.close(writer)
    until = time.monotonic() + 60
    try:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert time.monotonic() < until, "the child hangs"
            time.sleep(0.005)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    with os.fdopen(reader, "rb") as file:
        return file.read()


@needs_c
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    expected = digest_of_training()
    for pause in (0, 0.01):  # the pool's threads still look for work, or sleep
        digest_of_training()
        time.sleep(pause)

        def in_the_child():
            return digest_of_training() + str(len(list(Path("/proc/self/task").iterdir()))).encode()

        result = forks(in_the_child)
        assert result == expected + b"3" if Path("/proc/self/task").is_dir() else result.startswith(expected)
    assert digest_of_training() == expected


@needs_c
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_while_another_thread_computes():
    expected = digest_of_training()
    stop = threading.Event()

    def keep_computing():
        X = np.ones((20_000, 20))
        net = Network([20, 100, 5], n_threads=2, random_state=0, backend="c")
        while not stop.is_set():
            net.forward(X)

    thread = threading.Thread(target=keep_computing)
    thread.start()
    try:
        results = [forks(digest_of_training) for _ in range(10)]
    finally:
        stop.set()
        thread.join()
    assert set(results) == {expected}


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_in_a_fit_can_draw_from_the_same_generator(backend):
    random_state = np.random.RandomState(0)
    net = Network([4, 5, 1], backend=backend, random_state=0)
    X, Y = np.ones((3000, 4)), np.ones(3000)
    net.fit(X, Y, epochs=1)
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: net.fit(X, Y, epochs=10**6, callback=lambda *_: stop.is_set(), random_state=random_state)
    )

    def draws():
        net.fit(X[:10], Y[:10], epochs=1, random_state=random_state)
        return str(random_state.randint(10)).encode()

    thread.start()
    try:
        assert all(forks(draws).isdigit() for _ in range(5))
    finally:
        stop.set()
        thread.join()


class Generator(np.random.RandomState):
    """Tells whether its lock is noted while it draws."""

    noted = ()

    def _note(self):
        mine = [lock for (_, thread), lock in _held._noted.items() if thread == threading.get_ident()]
        self.noted = (*self.noted, any(lock is self._bit_generator.lock for lock in mine))

    def uniform(self, *arguments):
        self._note()
        return super().uniform(*arguments)

    def randint(self, *arguments, **options):
        self._note()
        return super().randint(*arguments, **options)

    def permutation(self, *arguments):
        self._note()
        return super().permutation(*arguments)


def test_all_that_fits_draw_is_noted_for_forks():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    for generator, cls in ((Generator(0), fastmlp.MLPClassifier), (Generator(0), fastmlp.MLPRegressor)):
        options = {"activation": "randomized_leaky_relu", "early_stopping": True, "max_iter": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cls(hidden_layer_sizes=(2,), random_state=generator, **options).fit(X, y)
        assert len(generator.noted) >= 4 + 1 + 1
        assert all(generator.noted)
    assert not any(thread == threading.get_ident() for _, thread in _held._noted)


@contextmanager
def held_by_another_thread(lock, *, notes):
    """Take a lock in a thread, within so many notes one in another; of these only the outermost is left."""
    locked, release = threading.Event(), threading.Event()

    def hold():
        with _held.Noted(lock), lock:
            for _ in range(notes - 1):
                with _held.Noted(lock), lock:
                    pass
            locked.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_note_that_is_left_over_does_no_harm():
    lock = threading.RLock()
    with held_by_another_thread(lock, notes=1):
        left = _held.Noted(lock)
        left.__enter__()
        try:
            assert forks(lambda: str(lock.acquire(timeout=1)).encode()) == b"True"
        finally:
            left.__exit__()
    # And a lock that this thread does hold stays held.
    with lock:
        assert forks(lambda: str(lock._is_owned()).encode()) == b"True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_inner_note_leaves_the_outer_one():
    lock = threading.RLock()
    with held_by_another_thread(lock, notes=2):
        assert forks(lambda: str(lock.acquire(timeout=1)).encode()) == b"True"


@pytest.mark.parametrize("backend", available_backends())
def test_the_generator_of_numpy_may_be_exchanged_in_a_fit(backend):
    X, Y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60.0)
    kept, curves = np.random.get_bit_generator(), []
    try:
        for name in (backend, "numpy"):
            np.random.set_bit_generator(np.random.MT19937(1))

            def exchange(net, epoch, loss):
                if epoch == 2:
                    np.random.set_bit_generator(np.random.PCG64(3))
                    gc.collect()

            net = Network([3, 5, 1], backend=name, random_state=0)
            options = {"batch_size": 10, "epochs": 6, "random_state": np.random.mtrand._rand}
            curves.append(net.fit(X, Y, callback=exchange, **options))
    finally:
        np.random.set_bit_generator(kept)
    np.testing.assert_allclose(*curves, rtol=1e-10)


@needs_c
def test_many_threads_need_no_more_memory_than_small_gradients_take():
    for units, most in (([5000, 5000, 10], 2**30), ([64, 100, 10], 2**27)):
        network = _c_interface.network_struct(make_spec(units, "relu", "identity", "squared_error", "float64"))
        alone, many = (c.lib.fm_gradient_workspace(network.struct, c.ffi.NULL, 1 << 20, n) for n in (1, 64))
        assert alone <= many <= most


@needs_c
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_multiprocessing_with_forks():
    expected = digest_of_training()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(digest_of_training) for _ in range(6)]
        assert {result.get(timeout=60) for result in results} == {expected}


@needs_c
def test_many_python_threads_at_once(make_problem):
    problems = [
        make_problem((7 + i, 33, 16, 3), "tanh", ("log_loss", "softmax"), np.dtype("float32"), n_rows=2500, seed=i)
        for i in range(8)
    ]
    jobs = [(p, n, b) for i, p in enumerate(problems) for n, b in (((2, 3, 8)[i % 3], 200), ((3, 2)[i % 2], 2500))]

    def run(job):
        problem, n, batch = job
        with requested(n):
            return everything(problem, "adam", batch)

    with requested(1):
        alone = [everything(problem, "adam", batch) for problem, _, batch in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in range(3):
            for result, expected in zip(pool.map(run, jobs), alone, strict=True):
                assert_same_bits(result, expected)


@needs_c
def test_the_interpreter_ends_while_threads_compute():
    done = run_python("""
        import threading, time
        import numpy as np
        from fastmlp import Network

        net = Network([20, 200, 200, 5], n_threads=3, random_state=0, backend="c")
        X = np.ones((100_000, 20))

        def forever():
            while True:
                net.forward(X)

        for _ in range(2):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.3)
        print("ending", flush=True)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ending\n", "")


@needs_c
@pytest.mark.parametrize("name", ["Network", "MLPRegressor"])
@pytest.mark.parametrize("limits", ["1", "1, user_api='fastmlp'"])
def test_threadpoolctl_limits_the_first_call(name, limits):
    code = f"""
        from fastmlp import {name}
        from fastmlp._threads import threads
        from threadpoolctl import threadpool_limits
        with threadpool_limits({limits}):
            print(*threads())
        print(*threads())
    """
    done = run_python(code, FASTMLP_NUM_THREADS="2")
    assert done.stdout == f"1 False\n{min(2, _threads._of_the_machine())} False\n", done.stderr


@needs_c
def test_a_limit_holds_and_another_librarys_sets_none_when_the_environment_changes_inside():
    pytest.importorskip("threadpoolctl")
    start = """
        import os
        from fastmlp import Network
        from fastmlp._threads import threads
        from threadpoolctl import threadpool_limits
    """
    own = """
        with threadpool_limits(1, user_api="fastmlp"):
            os.environ["FASTMLP_NUM_THREADS"] = "2"
            print(*threads())
        print(*threads())
    """
    of_another = """
        with threadpool_limits(1, user_api="blas"):
            os.environ["FASTMLP_NUM_THREADS"] = "1"
            Network([2, 1], backend="c").forward([[1.0, 2.0]])
        print(*threads())
        with threadpool_limits(5):
            with threadpool_limits(1, user_api="blas"):
                print(*threads())
        print(*threads())
    """
    done = run_python(start + own, FASTMLP_NUM_THREADS="1")
    assert done.stdout == f"1 False\n{min(2, _threads._of_the_machine())} False\n"
    done = run_python(start + of_another, FASTMLP_NUM_THREADS="2")
    assert done.stdout == "1 False\n5 False\n1 False\n"


@needs_c
def test_an_unusable_number_is_an_error_also_within_a_limit():
    pytest.importorskip("threadpoolctl")
    code = """
        from fastmlp import Network
        from threadpoolctl import threadpool_limits
        with threadpool_limits(1):
            try:
                Network([2, 1], backend="c").forward([[1.0, 2.0]])
            except ValueError as error:
                print(error)
    """
    done = run_python(code, FASTMLP_NUM_THREADS="bogus")
    assert done.stdout == "FASTMLP_NUM_THREADS must be a positive integer, got 'bogus'.\n", done.stderr


@needs_c
def test_what_threadpoolctl_asks_is_no_error_and_reads_nothing_for_good():
    """As other libraries ask through it of all that it knows, before anything is computed here."""
    pytest.importorskip("threadpoolctl")
    code = """
        import os
        from fastmlp import Network
        from fastmlp._threads import threads
        from threadpoolctl import threadpool_info, threadpool_limits
        with threadpool_limits(1, user_api="blas"):
            threadpool_info()
        try:
            Network([2, 1]).forward([[1.0, 2.0]])
        except ValueError as error:
            print(error)
        os.environ["FASTMLP_NUM_THREADS"] = "1"
        with threadpool_limits(1, user_api="blas"):
            threadpool_info()
        os.environ["FASTMLP_NUM_THREADS"] = "2"
        print(*threads())
    """
    done = run_python(code, FASTMLP_NUM_THREADS="bogus", FASTMLP_BACKEND="c")
    expected = "FASTMLP_NUM_THREADS must be a positive integer, got 'bogus'."
    assert done.stdout == f"{expected}\n{min(2, _threads._of_the_machine())} False\n", done.stderr


def test_a_core_that_does_not_fit_is_no_error_of_the_import(tmp_path):
    """As where its sources have changed since it was compiled."""
    (tmp_path / "_fastmlp_c.py").write_text("class ffi: ...\nclass lib: ...\n", encoding="utf-8")
    code = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import fastmlp
        from fastmlp import MLPRegressor, Network
        print(Network([2, 1], backend="numpy").forward([[1.0, 2.0]]).shape)
        try:
            Network([2, 1], backend="c").forward([[1.0, 2.0]])
        except ImportError as error:
            print(error)
        print(fastmlp.backends.get_backend().name)
        fastmlp.show_versions()
    """
    done = run_python(code, tmp_path, FASTMLP_BACKEND=None)
    shape, error, name, *_ = done.stdout.splitlines()
    assert shape == "(1, 1)"
    assert "'c' cannot be imported here (the compiled core, _fastmlp_c, is of other sources" in error
    assert name == ("numba" if "numba" in available_backends() else "numpy")
    assert "is used instead" in done.stderr


def test_importing_starts_no_thread_and_nothing_heavy():
    done = run_python("""
        import os, sys, threading
        import numpy
        def count():
            return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()
        before = count()
        import fastmlp
        from fastmlp import Network
        print(count() - before, [name for name in ("sklearn", "scipy", "numba") if name in sys.modules])
    """)
    assert done.stdout == "0 []\n", done.stderr


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_the_pool_under_load(tmp_path, sanitizer):
    compiler = shutil.which(os.environ.get("CC", "cc"))
    sources = TESTS.parent / "csrc"
    if compiler is None or os.name == "nt" or not sources.is_dir():
        pytest.skip("no C compiler, or no sources")
    program = tmp_path / "pool_stress"
    options = ["-std=gnu11", "-O1", "-g", "-pthread", f"-fsanitize={sanitizer}", f"-I{sources}"]
    files = [str(TESTS / "pool_stress.c"), str(sources / "pool.c")]
    built = subprocess.run([compiler, *options, *files, "-o", str(program)], capture_output=True, text=True)
    if built.returncode != 0:
        pytest.skip(f"cannot be built with -fsanitize={sanitizer}: {built.stderr.splitlines()[:1]}")
    # The sanitizer does not follow a child with threads by itself.
    environment = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1", "LD_PRELOAD": ""}
    done = subprocess.run([str(program)], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
