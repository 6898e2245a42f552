"""Activations that draw: which numbers they get in training, which in prediction, and where the key comes from."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from fastmlp import MLPClassifier, MLPRegressor, Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import Data, Plan
from fastmlp.philox import uniforms
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec
from fastmlp.training import draw_key

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOMIZED = "randomized_leaky_relu"
KEY = 0xFEDCBA9876543210
UNITS = [5, 7, 1, 12, 3]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def step_from(backend, problem, t=0, *, batch_size=None, key=KEY, rate=1e-3, epochs=1, **options):
    """Return the parameters after epochs of plain gradient descent that begin after t steps."""
    params = problem.spec.layout.allocate(problem.spec.dtype)
    params[:] = problem.params
    state = SolverState.fresh("sgd", len(params), problem.spec.dtype, learning_rate=rate, momentum=0.0, nesterov=False)
    state.t = t
    plan = Plan(state, batch_size or problem.data.X.shape[0], 0.0, key=key, **options)
    backend.trainer(problem.spec, params, problem.data, plan).run(epochs)
    return params


def squared_error(problem, params, t, key=KEY):
    """Return the mean loss of a step, worked out here: slopes and all."""
    layout, a = problem.spec.layout, problem.data.X
    layers = zip(layout.coefs(params), layout.intercepts(params), problem.spec.activations, strict=True)
    for layer, (W, b, (name, block)) in enumerate(layers):
        a = a @ W + b
        if name == RANDOMIZED:
            lower, upper = block
            slopes = lower + (upper - lower) * uniforms(key, t, layer, *a.shape)
            a = np.where(a > 0, a, slopes * a)
    return ((a - problem.data.targets) ** 2).sum() / 2 / len(a)


@pytest.mark.parametrize("t", [0, 3, 2**32 + 5])
@pytest.mark.parametrize("output", ["identity", RANDOMIZED])
def test_a_step_follows_the_gradient_of_the_loss_with_the_same_slopes(backend, make_problem, output, t):
    problem = make_problem(UNITS, RANDOMIZED, ("squared_error", output), "float64", n_rows=9, seed=4, scale=3.0)
    before, rate, h = problem.params.copy(), 1e-3, 1e-6
    after = step_from(backend, problem, t, rate=rate)
    expected = np.empty_like(before)
    for i in range(len(before)):
        shift = h * (np.arange(len(before)) == i)
        expected[i] = (squared_error(problem, before + shift, t) - squared_error(problem, before - shift, t)) / (2 * h)
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose((before - after) / rate, expected, rtol=1e-6, atol=1e-7)


def test_the_loss_of_an_epoch_is_that_of_the_slopes_drawn(backend, make_problem):
    problem = make_problem(UNITS, RANDOMIZED, ("squared_error", "identity"), "float64", n_rows=300, scale=3.0)
    state = SolverState.fresh("sgd", len(problem.params), "float64", learning_rate=1e-300)
    losses = backend.trainer(problem.spec, problem.params, problem.data, Plan(state, 300, key=KEY)).run(3)
    expected = [squared_error(problem, problem.params, t) for t in range(3)]
    np.testing.assert_allclose(losses.data, expected, rtol=1e-12)
    assert len(set(expected)) == 3


def test_rows_are_counted_within_the_batch(backend, make_problem):
    # 300 rows: more than a block of any backend. The second batch, too, begins with row 0 of its step.
    problem = make_problem(UNITS, RANDOMIZED, ("squared_error", "identity"), "float64", n_rows=600, scale=3.0)
    data = problem.data
    whole = step_from(backend, problem, 8, batch_size=300)
    half = type(problem)(problem.spec, problem.params, Data(data.X[:300], data.targets[:300]))
    middle = step_from(backend, half, 8)
    other = type(problem)(problem.spec, middle, Data(data.X[300:], data.targets[300:]))
    np.testing.assert_array_equal(step_from(backend, other, 9), whole)


def test_twenty_steps_are_those_of_the_oracle(fast_backend, oracle, make_problem, assert_agree, dtype):
    for csr in (False, True):
        for batch_size in (1, 30, 300):
            n_rows = min(600, 20 * batch_size)
            problem = make_problem(UNITS, RANDOMIZED, ("log_loss", "softmax"), dtype, n_rows=n_rows, csr=csr, scale=3.0)
            epochs = 20 * batch_size // n_rows
            got, expected = (
                step_from(b, problem, batch_size=batch_size, epochs=epochs) for b in (fast_backend, oracle)
            )
            assert_agree(got, expected, what=f"{csr=} {batch_size=}")


@pytest.mark.parametrize("change", [{"t": 1}, {"key": KEY + 1}, {"key": KEY ^ 1 << 63}], ids=str)
def test_another_step_or_key_has_other_slopes(backend, make_problem, change):
    problem = make_problem(UNITS, RANDOMIZED, ("squared_error", "identity"), "float64")
    first = step_from(backend, problem)
    np.testing.assert_array_equal(step_from(backend, problem), first)
    assert (step_from(backend, problem, **change) != first).any()


def test_equal_slopes_are_those_of_leaky_relu(backend, make_problem, assert_agree):
    pair = "squared_error", "identity"
    equal, leaky = (make_problem(UNITS, "leaky_relu", pair, "float64", n_rows=50) for _ in range(2))
    for problem, hidden in (
        (equal, (RANDOMIZED, {"lower": 0.3, "upper": 0.3})),
        (leaky, ("leaky_relu", {"alpha": 0.3})),
    ):
        problem.spec = make_spec(UNITS, hidden, "identity", "squared_error", "float64")
    got, expected = (step_from(backend, problem, batch_size=8, epochs=3) for problem in (equal, leaky))
    assert_agree(got, expected)


def test_slopes_are_uniform_between_the_parameters(backend):
    # One layer of many units, weights of 0 and biases of -1: a is minus the slope, and the gradient of the biases the
    # sum over rows of a times the slope, so that a step tells of the sum of their squares.
    lower, upper, rows, width = 0.2, 0.8, 250, 400
    spec = make_spec([1, width], "tanh", (RANDOMIZED, {"lower": lower, "upper": upper}), "squared_error", "float64")
    params = spec.layout.allocate(spec.dtype)
    params[:] = np.repeat([0.0, -1.0], width)
    state = SolverState.fresh("sgd", 2 * width, "float64", learning_rate=1.0, momentum=0.0, nesterov=False)
    data = Data(np.zeros((rows, 1)), np.zeros((rows, width)))
    losses = backend.trainer(spec, params, data, Plan(state, rows, key=KEY)).run(1)
    squares = params[width:] + 1  # of each unit the mean over the rows
    slopes = lower + (upper - lower) * uniforms(KEY, 0, 0, rows, width)
    np.testing.assert_allclose(squares, (slopes**2).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(2 * losses.data[0] / width, squares.mean(), rtol=1e-12)
    assert squares.mean() == pytest.approx((upper**3 - lower**3) / (3 * (upper - lower)), rel=5e-3)
    assert slopes.mean() == pytest.approx((lower + upper) / 2, rel=5e-3)
    assert lower < slopes.min() < lower + 1e-4
    assert upper - 1e-4 < slopes.max() < upper


def test_predictions_losses_and_gradients_have_the_mean_slope(backend, dtype, assert_agree):
    lower, upper = 0.25, 0.75
    nets = []
    for activation in ((RANDOMIZED, {"lower": lower, "upper": upper}), ("leaky_relu", {"alpha": 0.5})):
        nets.append(Network([4, 9, 5, 2], activation=activation, random_state=0, dtype=dtype, backend=backend.name))
    X, Y = np.random.default_rng(0).normal(size=(40, 4)), np.ones((40, 2))
    for compute in (
        lambda net: net.forward(X),
        lambda net: net.forward(X[:1]),
        lambda net: net.predictor()(X.astype(dtype)),
        lambda net: np.concatenate([a.ravel() for a in net.activations(X)]),
        lambda net: np.array(net.loss(X, Y)),
        lambda net: np.concatenate([g.ravel() for part in net.gradients(X, Y) for g in part]),
    ):
        got, expected = (compute(net) for net in nets)
        assert_agree(got, expected, tolerance=1e-15 if dtype == np.float64 else 1e-6)


def next_of(random_state):
    """Return a number that tells two states apart."""
    return random_state.randint(2**31)


def test_a_key_is_drawn_by_networks_that_draw_and_by_no_others(hidden):
    spec = make_spec([2, 3, 1], hidden, "identity", "squared_error", "float64")
    assert spec.draws == ACTIVATIONS[hidden].draws
    random_state, untouched = np.random.RandomState(0), np.random.RandomState(0)
    key = draw_key(spec, random_state)
    if not spec.draws:
        assert key == 0
    else:
        assert key == untouched.randint(0, 2**64, dtype=np.uint64)
    assert next_of(random_state) == next_of(untouched)
    keys = [draw_key(spec, random_state) for _ in range(100)] if spec.draws else [0, 2**64 - 1]
    assert min(keys) < 2**58
    assert max(keys) > 2**64 - 2**58


def test_an_output_layer_may_be_the_one_that_draws():
    assert make_spec([2, 1], "tanh", RANDOMIZED, "squared_error", "float64").draws
    assert not make_spec([2, 1], RANDOMIZED, "identity", "squared_error", "float64").draws


def test_a_fit_of_a_network_draws_the_key_and_then_the_shuffles(backend):
    X, Y = np.random.default_rng(0).normal(size=(30, 3)), np.ones(30)
    for activation in ("tanh", RANDOMIZED):
        random_state, expected = np.random.RandomState(5), np.random.RandomState(5)
        net = Network([3, 4, 1], activation=activation, random_state=0, backend=backend.name)
        net.fit(X, Y, batch_size=7, epochs=2, random_state=random_state)
        if activation == RANDOMIZED:
            expected.randint(0, 2**64, dtype=np.uint64)
        order = np.arange(30)
        for _ in range(2):
            expected.shuffle(order)
        assert next_of(random_state) == next_of(expected)


def test_a_network_with_a_seed_is_trained_the_same_again_and_then_otherwise(backend):
    X, Y = np.random.default_rng(0).normal(size=(30, 3)), np.ones(30)
    nets = [Network([3, 4, 1], activation=RANDOMIZED, random_state=0, backend=backend.name) for _ in range(2)]
    curves = [[net.fit(X, Y, epochs=3, shuffle=False) for _ in range(2)] for net in nets]
    assert curves[0] == curves[1]
    weights = nets[0].get_parameters()
    runs = []
    for _ in range(2):
        nets[0].set_parameters(weights)
        runs.append(nets[0].fit(X, Y, epochs=1, shuffle=False))
    assert runs[0] != runs[1]


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_every_backend_fits_the_same_estimator(fast_backend, iris, solver, early_stopping):
    options = {"early_stopping": early_stopping, "solver": solver, "max_iter": 10, "random_state": 3}
    X, y = iris
    models = [
        MLPClassifier((7, 5), activation=RANDOMIZED, backend=backend, **options).fit(X, y)
        for backend in ("numpy", fast_backend.name)
    ]
    for got, expected in zip(*(model.coefs_ + model.intercepts_ for model in models), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)
    assert models[0].score(X, y) == models[1].score(X, y)


def test_the_key_is_drawn_after_the_weights_and_before_the_split(iris):
    X, y = iris
    random_state, expected = np.random.RandomState(1), np.random.RandomState(1)
    model = MLPRegressor(
        hidden_layer_sizes=(4,), activation=RANDOMIZED, max_iter=1, shuffle=False, random_state=random_state
    ).fit(X, y)
    for shape in ((4, 4), 4, (4, 1), 1):
        expected.uniform(size=shape)
    expected.randint(0, 2**64, dtype=np.uint64)
    assert next_of(random_state) == next_of(expected)
    expected.randint(0, 2**64, dtype=np.uint64)
    assert model.partial_fit(X, y) is model
    assert next_of(random_state) == next_of(expected)


@pytest.mark.parametrize("activation", ["relu", RANDOMIZED])
def test_lbfgs_draws_nothing_but_the_weights(iris, activation):
    X, y = iris
    random_state, expected = np.random.RandomState(1), np.random.RandomState(1)
    MLPRegressor(
        hidden_layer_sizes=(4,), activation=activation, solver="lbfgs", max_iter=3, random_state=random_state
    ).fit(X, y)
    for shape in ((4, 4), 4, (4, 1), 1):
        expected.uniform(size=shape)
    assert next_of(random_state) == next_of(expected)


@pytest.mark.parametrize("seed", [2, "state"])
def test_partial_fit_draws_a_key_in_each_call(iris, seed):
    X, y = iris
    # The same calls with nothing kept from one to the next.
    bound, unbound = (
        MLPClassifier(
            (6,),
            activation=RANDOMIZED,
            batch_size=50,
            random_state=np.random.RandomState(2) if seed == "state" else seed,
        )
        for _ in range(2)
    )
    losses = []
    for _ in range(4):
        bound.partial_fit(X, y, classes=[0, 1, 2])
        unbound.partial_fit(X.tolist(), y, classes=[0, 1, 2])
        losses.append(bound.loss_)
    for one, other in zip(bound.coefs_, unbound.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert bound.loss_curve_ == unbound.loss_curve_
    assert bound._optimizer.t == 12
    assert len(set(losses)) == 4


def test_a_warm_start_draws_a_key_in_each_call(iris):
    X, y = iris
    options = {"activation": RANDOMIZED, "max_iter": 2, "shuffle": False, "warm_start": True}
    random_state = np.random.RandomState(2)
    model = MLPRegressor(hidden_layer_sizes=(6,), random_state=random_state, **options).fit(X, y)
    before = next_of(random_state)
    model.fit(X, y)
    expected = np.random.RandomState(2)
    for shape in ((4, 6), 6, (6, 1), 1):
        expected.uniform(size=shape)
    expected.randint(0, 2**64, dtype=np.uint64)
    assert before == next_of(expected)
    expected.randint(0, 2**64, dtype=np.uint64)
    assert next_of(random_state) == next_of(expected)


def test_early_stopping_scores_with_the_mean_slope(iris):
    X, y = iris
    model = MLPClassifier((8,), activation=RANDOMIZED, early_stopping=True, max_iter=30, random_state=0)
    model.fit(X, y)
    # The split, drawn again: after the weights and the key.
    random_state = np.random.RandomState(0)
    for shape in ((4, 8), 8, (8, 3), 3):
        random_state.uniform(size=shape)
    random_state.randint(0, 2**64, dtype=np.uint64)
    _, held_out = train_test_split(np.arange(len(X)), test_size=0.1, random_state=random_state)
    assert model.score(X[held_out], y[held_out]) == max(model.validation_scores_)
