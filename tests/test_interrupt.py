"""Ctrl-C comes through while C computes, soon, and leaves the parameters of the last whole step."""

import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from fastmlp import MLPClassifier, Network, _stochastic
from fastmlp._snapshot import Snapshot
from fastmlp._threads import requested
from fastmlp.backends import Data, Plan, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec

try:
    from instruction_sets import ISAS, SUPPORTED, chosen

    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = pytest.mark.c

ffi, lib = c.ffi, c.lib
ALLOWED = 0.1
"""Seconds of this process until an interrupt arrives; others may make it wait longer."""
ALLOWED_ON_THE_CLOCK = 1.0


@pytest.fixture(params=ISAS)
def isa(request):
    """Each instruction set, in use."""
    if request.param not in SUPPORTED:
        pytest.skip(f"no {request.param} kernels here")
    with chosen(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _interrupts_are_heard(no_garbage):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are served in the main thread")


class Interrupt:
    """A SIGINT sent by another thread, which can run because C has let the interpreter go.

    After so many seconds on the clock and of this process: one that waits for a processor has not come far.
    """

    def __init__(self, after: float) -> None:
        self._after, self._begun, self._sent = after, 0.0, None
        self._over = threading.Event()
        self._timer = threading.Timer(after, self._send)

    def _send(self) -> None:
        while time.process_time() - self._begun < self._after:
            if self._over.wait(0.001):
                return
        self._sent = time.perf_counter(), time.process_time()
        os.kill(os.getpid(), signal.SIGINT)

    @contextmanager
    def sent(self):
        """Send it while the block runs, not later."""
        self._begun = time.process_time()
        self._timer.start()
        try:
            yield
        finally:
            self._over.set()
            self._timer.cancel()
            self._timer.join()

    @contextmanager
    def expected(self):
        """Expect it in the block; report and check how long it was under way."""
        arrived = None
        with self.sent():
            try:
                yield
            except KeyboardInterrupt:
                arrived = time.perf_counter(), time.process_time()
        assert arrived is not None, "no interrupt arrived"
        on_the_clock, of_the_process = (after - before for after, before in zip(arrived, self._sent, strict=True))
        print(
            f"the interrupt arrived after {1000 * on_the_clock:.1f} ms, {1000 * of_the_process:.1f} ms of this process"
        )
        assert of_the_process < ALLOWED
        assert on_the_clock < ALLOWED_ON_THE_CLOCK


@pytest.fixture(scope="module")
def many_rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1_000_000, 8)).astype(np.float32), rng.normal(size=(1_000_000, 1)).astype(np.float32)


def random_parameters(spec):
    params = aligned_zeros(spec.layout.n_parameters, spec.dtype)
    params[:] = np.random.default_rng(1).uniform(-0.3, 0.3, len(params))
    return params


def make_trainer(spec, data, solver, batch_size):
    params = random_parameters(spec)
    state = SolverState.fresh(solver, len(params), spec.dtype)
    plan = Plan(state, batch_size, alpha=0.1, shuffle=True, random_state=np.random.RandomState(0))
    return params, state, get_backend("c").trainer(spec, params, data, plan)


def assert_last_whole_step(spec, data, solver, params, state):
    """Compare with a run of as many epochs, each of one step, as steps were taken."""
    expected, expected_state, trainer = make_trainer(spec, data, solver, len(data.targets))
    if state.t:
        trainer.run(state.t)
    assert expected_state.t == state.t
    np.testing.assert_array_equal(params, expected)
    for moment, expected_moment in zip(state.moments, expected_state.moments, strict=True):
        np.testing.assert_array_equal(moment, expected_moment)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_step_over_a_million_rows(isa, many_rows, solver, n_threads):
    spec = make_spec([8, 64, 1], "tanh", "identity", "squared_error", "float32")
    data = Data(*many_rows)
    with requested(n_threads):
        params, state, trainer = make_trainer(spec, data, solver, len(data.targets))
    with Interrupt(0.37).expected():
        trainer.run(100)
    print(f"{state.t} steps")
    assert_last_whole_step(spec, data, solver, params, state)


def test_many_small_steps(isa):
    spec = make_spec([5, 4, 1], "tanh", "identity", "squared_error", "float64")
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(30, 5)), rng.normal(size=(30, 1)))
    params, state, trainer = make_trainer(spec, data, "adam", 30)
    with Interrupt(0.1).expected():
        trainer.run(3_000_000)
    print(f"{state.t} steps")
    assert state.t > 100
    assert_last_whole_step(spec, data, "adam", params, state)


def test_training_goes_on_after_an_interrupt(isa):
    # What the interrupted epoch had begun is forgotten: the next run begins an epoch of its own.
    spec = make_spec([8, 64, 1], "tanh", "identity", "squared_error", "float32")
    rng = np.random.default_rng(0)
    data = Data(*(rng.normal(size=(200_000, n)).astype(np.float32) for n in (8, 1)))
    params, state, _ = make_trainer(spec, data, "sgd", len(data.targets))
    trainer = get_backend("c").trainer(spec, params, data, Plan(state, len(data.targets)))
    with Interrupt(0.05).expected():
        trainer.run(100)
    steps, copied, moments = state.t, params.copy(), [moment.copy() for moment in state.moments]
    losses = trainer.run(1)
    assert state.t == steps + 1
    again = SolverState(state.name, state.hyper, steps, moments)
    expected = get_backend("c").trainer(spec, copied, data, Plan(again, len(data.targets))).run(1)
    np.testing.assert_array_equal(params, copied)
    np.testing.assert_array_equal(losses.data, expected.data)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_loss_and_gradient(isa, many_rows, n_threads):
    spec = make_spec([8, 256, 256, 1], "tanh", "identity", "squared_error", "float32")
    params, data = random_parameters(spec), Data(*many_rows)
    before = params.copy()
    with requested(n_threads), Interrupt(0.1).expected():
        get_backend("c").loss_grad(spec, params, data, 0.1, aligned_zeros(len(params), spec.dtype))
    np.testing.assert_array_equal(params, before)


def test_loss(isa, many_rows):
    spec = make_spec([8, 256, 256, 1], "tanh", "identity", "squared_error", "float32")
    with Interrupt(0.1).expected():
        get_backend("c").loss(spec, random_parameters(spec), Data(*many_rows), 0.1)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_forward(isa, many_rows, n_threads):
    spec = make_spec([8, 256, 256, 1], "tanh", "identity", "squared_error", "float32")
    params = random_parameters(spec)
    with requested(n_threads), Interrupt(0.1).expected():
        get_backend("c").forward(spec, params, many_rows[0])


def test_the_lock_of_the_generator_is_given_back(many_rows):
    spec = make_spec([8, 64, 1], "tanh", "identity", "squared_error", "float32")
    params = random_parameters(spec)
    random_state = np.random.RandomState(0)
    state = SolverState.fresh("sgd", len(params), spec.dtype)
    plan = Plan(state, 1_000_000, shuffle=True, random_state=random_state)
    with Interrupt(0.1).expected():
        get_backend("c").trainer(spec, params, Data(*many_rows), plan).run(100)
    taken = []
    lock = random_state._bit_generator.lock
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=1)))
    thread.start()
    thread.join()
    assert taken == [True]


def test_fit_keeps_the_last_whole_step_and_warns(many_rows):
    X, Y = many_rows
    net = Network([8, 64, 1], dtype="float32", random_state=0, backend="c")
    before = net.get_parameters()
    with Interrupt(0.5).sent(), pytest.warns(UserWarning, match=r"Training interrupted by user\."):
        curve = net.fit(X, Y, batch_size=len(X), epochs=100, random_state=1)
    after = net.get_parameters()
    # The steps whose losses were lost with the interrupt are not known, but they are few.
    other = Network([8, 64, 1], dtype="float32", random_state=0, backend="c")
    np.testing.assert_array_equal(other.get_parameters(), before)
    met = [before]
    other.fit(
        X,
        Y,
        batch_size=len(X),
        epochs=len(curve) + 3,
        random_state=1,
        callback=lambda net, epoch, loss: met.append(net.get_parameters()),
    )
    assert any(np.array_equal(after, params) for params in met[len(curve) :])


@pytest.mark.parametrize("patience", [3, np.inf])
def test_an_interrupted_estimator_knows_its_whole_epochs(patience):
    """Epochs run many at a time, but none that was whole is lost from the curve."""
    draw = np.random.RandomState(0)
    X, y = draw.randn(2000, 5), draw.randint(3, size=2000)
    # So small a rate that the loss falls in each epoch, for as long as it takes.
    options = {"solver": "sgd", "learning_rate_init": 1e-6, "shuffle": False, "batch_size": 50, "random_state": 0}
    options |= {"tol": 0, "n_iter_no_change": patience}
    clf = MLPClassifier(max_iter=1_000_000, **options)
    with Interrupt(after=0.1).sent(), pytest.warns(UserWarning, match="interrupted"):
        clf.fit(X, y)
    assert clf.n_iter_ == len(clf.loss_curve_) > 1
    assert clf.t_ == 2000 * clf.n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = MLPClassifier(max_iter=clf.n_iter_, **options).fit(X, y)
    np.testing.assert_array_equal(clf.loss_curve_, whole.loss_curve_)
    assert clf.loss_ == whole.loss_


MOMENTS = [("judge", {}), ("epochs_end", {}), ("epochs_end", {"early_stopping": True})]
MOMENTS += [("note_score", {"early_stopping": True}), ("epochs_end", {"verbose": True})]
MOMENTS += [("judge_score", {"early_stopping": True}), ("epochs_end", {"early_stopping": True, "verbose": True})]
INTERRUPTED = [(moment, after, options) for moment, options in MOMENTS for after in (False, True)]
INTERRUPTED += [("run", True, options) for _, options in MOMENTS]  # it comes back from C with what it has done
PLACES = {"run": c.CTrainer, "note_score": _stochastic.Progress, "judge_score": _stochastic.Progress}


def fitted(X, y, *, options, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier((4,), random_state=0, tol=0, **options, **more).fit(X, y)


@pytest.mark.parametrize(("moment", "after", "options"), INTERRUPTED)
@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("warm_start", [False, True])
def test_an_interrupt_between_epochs_loses_none(moment, after, which, options, warm_start, monkeypatch, capsys):
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, 0] > 0
    before = fitted(X, y, options=options, max_iter=3, warm_start=True) if warm_start else None
    place = PLACES.get(moment, _stochastic)
    original, calls = getattr(place, moment), []

    def interrupted(*arguments, **named):
        calls.append(moment)
        if len(calls) == which:
            if after:
                original(*arguments, **named)
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(place, moment, interrupted)
    if warm_start:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = before.set_params(max_iter=40).fit(X, y)
    else:
        model = fitted(X, y, options=options, max_iter=40)
    assert len(calls) >= which
    monkeypatch.undo()
    # The same without an interrupt, as many epochs.
    if warm_start:
        whole = fitted(X, y, options=options, max_iter=3, warm_start=True).set_params(max_iter=model.n_iter_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole.fit(X, y)
    else:
        whole = fitted(X, y, options=options, max_iter=model.n_iter_)
    n, rows = len(model.loss_curve_), 36 if "early_stopping" in options else 40
    assert (model.t_, model._optimizer.t) == (n * rows, model.n_iter_)  # a batch an epoch
    assert model.loss_ == model.loss_curve_[-1]
    for name in ("loss_curve_", "n_iter_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert getattr(model, name) == getattr(whole, name), name
    assert model._no_improvement_count == whole._no_improvement_count
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])


def test_an_adaptive_rate_is_divided_once(monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 3))
    options = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "n_iter_no_change": 1}
    model = MLPClassifier((4,), random_state=0, tol=1e9, **options)
    for _ in range(2):
        model.partial_fit(X, X[:, 0] > 0, classes=[False, True])
    original = _stochastic.epochs_end

    def interrupted(*arguments, **named):
        original(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(_stochastic, "epochs_end", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model.partial_fit(X, X[:, 0] > 0)
    assert model._optimizer.learning_rate == pytest.approx(0.02)


def test_a_second_interrupt_while_an_estimator_is_put_back(monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = MLPClassifier((4,), random_state=0, warm_start=True, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, X[:, 0] > 0)
    attributes, coefs = dict(vars(model)), model.coefs_[0].copy()
    original, calls = Snapshot._put_back, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 1:
            raise KeyboardInterrupt
        original(self)

    def failing(*arguments):
        raise MemoryError

    monkeypatch.setattr(Snapshot, "_put_back", interrupted)
    monkeypatch.setattr(_stochastic, "epochs_end", failing)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, X[:, 0] > 0)
    assert len(calls) == 2
    assert vars(model) == attributes
    np.testing.assert_array_equal(model.coefs_[0], coefs)
