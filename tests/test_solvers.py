import math
import pickle

import numpy as np
import pytest

from fastmlp import MLPClassifier, Network
from fastmlp.backends import Data, Plan
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SOLVERS, SolverState, get_solver
from fastmlp.spec import make_spec


def steps(name, w, grads, **hyper):
    """Return the parameters after each step, from moments of zero."""
    solver = SOLVERS[name]
    params = np.array(w, dtype=float)
    moments = [np.zeros_like(params) for _ in range(solver.n_moments)]
    seen = []
    for t, grad in enumerate(grads, start=1):
        solver.update(params, np.array(grad, dtype=float), moments, t, **solver.resolve(hyper))
        seen.append(params.copy())
    return seen, moments


def test_plain_gradient_descent():
    seen, _ = steps("sgd", [1.0, -1.0], [[2.0, -4.0]], learning_rate=0.5, momentum=0.0, nesterov=False)
    np.testing.assert_allclose(seen, [[0.0, 1.0]])


def test_momentum_by_hand():
    # v: -0.2, then 0.5 * -0.2 - 0.1 * 1 = -0.2, then 0.5 * -0.2 - 0.1 * -3 = 0.2
    seen, moments = steps("sgd", [1.0], [[2.0], [1.0], [-3.0]], learning_rate=0.1, momentum=0.5, nesterov=False)
    np.testing.assert_allclose(np.ravel(seen), [0.8, 0.6, 0.8], rtol=1e-14)
    np.testing.assert_allclose(moments, [[0.2]], rtol=1e-14)


def test_nesterov_by_hand():
    # the same v; w moves by 0.5 v - 0.1 g: -0.3, -0.2, 0.4
    seen, moments = steps("sgd", [1.0], [[2.0], [1.0], [-3.0]], learning_rate=0.1, momentum=0.5, nesterov=True)
    np.testing.assert_allclose(np.ravel(seen), [0.7, 0.5, 0.9], rtol=1e-14)
    np.testing.assert_allclose(moments, [[0.2]], rtol=1e-14)


def test_adam_by_hand():
    hyper = {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.5}
    seen, moments = steps("adam", [0.0], [[2.0], [-4.0]], **hyper)
    # m = 1, v = 1, rate = 0.1 * sqrt(1/4) / (1/2) = 0.1
    first = -0.1 * 1 / (1 + 0.5)
    # m = 0.5 - 2 = -1.5, v = 0.75 + 4 = 4.75, rate = 0.1 * sqrt(7/16) / (3/4)
    second = first + 0.1 * math.sqrt(7 / 16) / 0.75 * 1.5 / (math.sqrt(4.75) + 0.5)
    np.testing.assert_allclose(np.ravel(seen), [first, second], rtol=1e-14)
    np.testing.assert_allclose(moments, [[-1.5], [4.75]], rtol=1e-14)


def test_every_solver_descends(solver, dtype):
    state = SolverState.fresh(solver, 3, dtype, learning_rate=0.05)
    w = np.array([1.0, -2.0, 3.0], dtype=dtype)
    for t in range(1, 400):
        SOLVERS[solver].update(w, w.copy(), state.moments, t, **state.hyper)
    assert w.dtype == dtype
    assert np.abs(w).max() < 0.01


@pytest.mark.parametrize(("solver", "theirs"), [("sgd", "SGDOptimizer"), ("adam", "AdamOptimizer")])
def test_trajectories_are_those_of_scikit_learn(solver, theirs):
    reference = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    rng = np.random.default_rng(0)
    w = rng.normal(size=50)
    expected = w.copy()
    optimizer = getattr(reference, theirs)([expected], learning_rate_init=0.01)
    state = SolverState.fresh(solver, 50, "float64", learning_rate=0.01)
    for t in range(1, 31):
        grad = rng.normal(size=50)
        optimizer.update_params([expected], [grad])
        SOLVERS[solver].update(w, grad, state.moments, t, **state.hyper)
        np.testing.assert_allclose(w, expected, rtol=1e-14, atol=1e-15)


def test_denormal_moments_count_as_zero(solver, dtype):
    tiny = float(np.finfo(dtype).tiny)
    state = SolverState.fresh(solver, 2, dtype)
    for moment in state.moments:
        moment[:] = [0.75 * tiny, 2]
    w = np.ones(2, dtype=dtype)
    SOLVERS[solver].update(w, np.zeros(2, dtype=dtype), state.moments, 1, **state.hyper)
    for moment in state.moments:
        assert moment[0] == 0
        assert moment[1] > 1


def test_fresh_state(solver, dtype):
    entry = SOLVERS[solver]
    state = SolverState.fresh(solver, 7, dtype)
    assert (state.name, state.t, state.hyper) == (solver, 0, dict(entry.hyperparameters))
    assert list(state.hyper) == list(entry.hyperparameters)
    assert len(state.moments) == entry.n_moments
    for moment in state.moments:
        assert (moment.shape, moment.dtype) == ((7,), dtype)
        assert not moment.any()
        assert moment.__array_interface__["data"][0] % 64 == 0
    state.hyper["learning_rate"] = 1.0
    assert entry.hyperparameters["learning_rate"] == 0.001


def test_hyperparameters_are_checked(solver):
    entry = SOLVERS[solver]
    with pytest.raises(TypeError, match=r"no_such.*'learning_rate'"):
        SolverState.fresh(solver, 1, "float64", no_such=1.0)
    for name, default in entry.hyperparameters.items():
        wrong_types = ("0.1", None) if isinstance(default, bool) else ("0.1", None, True)
        for bad in wrong_types:
            with pytest.raises(TypeError, match=name):
                SolverState.fresh(solver, 1, "float64", **{name: bad})
        if not isinstance(default, bool):
            for bad in (np.nan, np.inf, -0.5):
                with pytest.raises(ValueError, match=name):
                    SolverState.fresh(solver, 1, "float64", **{name: bad})


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("sgd", {"learning_rate": 0.0}),
        ("sgd", {"momentum": 1.001}),
        ("adam", {"beta_1": 1.0}),
        ("adam", {"beta_2": 1.0}),
        ("adam", {"epsilon": 0.0}),
    ],
)
def test_limits(name, hyper):
    with pytest.raises(ValueError, match=next(iter(hyper))):
        SolverState.fresh(name, 1, "float64", **hyper)


def test_values_at_closed_limits_are_allowed():
    assert SolverState.fresh("sgd", 1, "float64", momentum=1).hyper["momentum"] == 1.0
    assert SolverState.fresh("adam", 1, "float64", beta_1=0, beta_2=0).hyper["beta_1"] == 0.0


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'rmsprop'.*'sgd'"):
        get_solver("rmsprop")
    with pytest.raises(TypeError, match="string"):
        get_solver(["sgd"])


def test_an_epsilon_that_float32_does_not_have(backend):
    """A weight without gradient stays as it is; 0 / 0 would make it NaN."""
    X = np.random.default_rng(0).normal(size=(50, 4))
    X[:, 2] = 0
    options = {"activation": "relu", "dtype": "float32", "random_state": 0}
    net, oracle = (Network([4, 6, 1], backend=name, **options) for name in (backend.name, "numpy"))
    before = net.coefs[0][2].copy()
    for one in (net, oracle):
        losses = one.fit(X, X[:, :1], solver="adam", epsilon=1e-46, learning_rate=0.01, epochs=3, random_state=0)
        assert losses[-1] < losses[0]
    np.testing.assert_array_equal(net.coefs[0][2], before)
    np.testing.assert_allclose(net.get_parameters(), oracle.get_parameters(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [lambda moments: [], lambda moments: moments[:1], lambda moments: [*moments] * 2])
def test_moments_that_are_missing(backend, change):
    """As in a pickle that somebody made smaller: an error, and neither a crash nor moments of zero."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    clf = MLPClassifier((8,), random_state=0, backend=backend.name).partial_fit(X, y, classes=[0, 1, 2])
    clf._optimizer.state.moments = change(clf._optimizer.state.moments)
    for model in (clf, pickle.loads(pickle.dumps(clf))):
        before = model.coefs_[0].copy()
        with pytest.raises(ValueError, match=r"Expected 2 moments of shape \(67,\) for the solver 'adam', got shapes"):
            model.partial_fit(X, y)
        np.testing.assert_array_equal(model.coefs_[0], before)
        model.fit(X, y)  # makes new ones


def test_hyperparameters_that_are_missing(backend):
    spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    data, moments = Data(np.ones((3, 2)), np.ones((3, 1))), [np.zeros(3), np.zeros(3)]
    state = SolverState("adam", {"learning_rate": 0.1, "beta_2": 0.9}, 0, moments)
    message = r"Expected the hyperparameters .*'beta_1'.* for the solver 'adam', got"
    with pytest.raises(ValueError, match=message):
        backend.trainer(spec, aligned_zeros(3, "float64"), data, Plan(state, 2))
    state = SolverState.fresh("adam", 3, "float64")
    trainer = backend.trainer(spec, aligned_zeros(3, "float64"), data, Plan(state, 2))
    trainer.run(1)
    del state.hyper["epsilon"]
    with pytest.raises(ValueError, match=message):
        trainer.run(1)
    state.hyper["epsilon"], state.t = 1e-8, -1
    with pytest.raises(ValueError, match="at least 0 steps, got -1"):
        backend.trainer(spec, aligned_zeros(3, "float64"), data, Plan(state, 2))


def test_the_order_of_hyperparameters_does_not_matter(backend):
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    models = [MLPClassifier((8,), random_state=0, backend=backend.name) for _ in range(2)]
    for clf in models:
        clf.partial_fit(X, y, classes=[0, 1, 2])
    hyper = models[1]._optimizer.state.hyper
    hyper["beta_2"] = hyper.pop("beta_2")
    for clf in models:
        clf.partial_fit(X, y)
    assert list(hyper)[-1] == "beta_2"
    np.testing.assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.c
def test_c_refuses_moments_that_are_missing():
    from fastmlp.backends import c

    spec = make_spec([2, 1], "tanh", "identity", "squared_error", "float64")
    data, state = Data(np.ones((3, 2)), np.ones((3, 1))), SolverState.fresh("adam", 3, "float64")
    trainer = c.CTrainer(spec, aligned_zeros(3, "float64"), data, Plan(state, 2))
    trainer._run.moments[1] = c.ffi.NULL
    with pytest.raises(RuntimeError, match="refused a call"):
        trainer.run(1)
