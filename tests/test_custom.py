"""Activations and losses of one's own: on every backend, in networks and estimators; and what is refused.

The functions are registered once for all tests and put into the registries by a fixture, so that each is compiled once.
"""

import copy
import gc
import itertools
import math
import operator
import pickle
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from math import exp
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import KINDS, run_python

import fastmlp
from fastmlp import Network
from fastmlp._functions import over_elements
from fastmlp._numbers import in_place_of, number
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS, Plan, get_backend
from fastmlp.losses import LOSSES
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec

HAS_NUMBA = find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")

STEP = 1e-6
UNITS = [5, 7, 3, 4]


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def swish_slope(z):
    s = sigmoid(z)
    return s + z * s * (1 - s)


def make_beta_swish():
    one = 1.0

    def value(z, beta):
        return z / (one + exp(-beta * z))

    def slope(z, beta):
        s = one / (one + exp(-beta * z))
        return s + beta * z * s * (one - s)

    return value, slope


def cubic(z):
    """A function of integer constants, a loop, a branch and a constant of `math`."""
    total = 0
    for power in range(1, 4):
        total += z**power / power
    return total / (4 * math.pi) if abs(z) < 2 else math.copysign((abs(z) * 7 - 22 / 3) / (4 * math.pi), z)


def cubic_slope(z):
    return (1 + z + z * z) / (4 * math.pi) if abs(z) < 2 else 7 / (4 * math.pi)


def focal(p, y):
    q = max(p, 1e-7)
    return -y * (1 - p) ** 2 * math.log(q)


def focal_slope(p, y):
    q = max(p, 1e-7)
    return y * (2 * (1 - p) * math.log(q) - (1 - p) ** 2 / q)


def make_quantile(tau):
    def value(a, y):
        return tau * (y - a) if y > a else (1 - tau) * (a - y)

    def slope(a, y):
        return -tau if y > a else 1 - tau

    return value, slope


def register_all():
    """Return one entry of each kind of function that there is a test for."""
    before = dict(ACTIVATIONS), dict(LOSSES)
    beta_swish, beta_slope = make_beta_swish()
    pinball, pinball_slope = make_quantile(0.9)
    activations = [
        fastmlp.activation(lambda z: z * sigmoid(z), name="swish", derivative=swish_slope, needs="preactivation"),
        fastmlp.activation(
            beta_swish, name="beta_swish", derivative=beta_slope, needs="preactivation", parameters={"beta": 1.0}
        ),
        fastmlp.activation(
            lambda z: np.tanh(z), name="own_tanh", derivative=lambda a: 1 - a * a, needs="output", range=(-1, 1)
        ),
        fastmlp.activation(
            lambda z: 1 / (1 + np.exp(-z)), name="own_logistic", derivative=lambda a: a * (1 - a), range=(0, 1)
        ),
        fastmlp.activation(cubic, derivative=cubic_slope, needs="preactivation"),
    ]
    losses = [
        fastmlp.loss(
            lambda a, y: math.sqrt(1 + (a - y) ** 2) - 1,
            name="pseudo_huber",
            derivative=lambda a, y: (a - y) / math.sqrt(1 + (a - y) ** 2),
        ),
        fastmlp.loss(pinball, name="pinball", derivative=pinball_slope),
        fastmlp.loss(focal, derivative=focal_slope, outputs=(0, 1), targets=(0, 1)),
    ]
    for registry, entries in zip((ACTIVATIONS, LOSSES), before, strict=True):
        registry.clear()
        registry.update(entries)
    return {entry.name: entry for entry in activations}, {entry.name: entry for entry in losses}


OWN_ACTIVATIONS, OWN_LOSSES = register_all()
PAIRS = [
    ("pseudo_huber", "identity"),
    ("pinball", "identity"),
    ("pseudo_huber", "own_tanh"),
    ("pseudo_huber", "swish"),
    ("squared_error", "beta_swish"),
    ("focal", "softmax"),
    ("focal", "logistic"),
    ("focal", "own_logistic"),
    ("log_loss", "own_logistic"),
    ("log_loss", "softmax"),
]


@pytest.fixture(autouse=True)
def _registered(_registries_as_they_were):
    ACTIVATIONS.update(OWN_ACTIVATIONS)
    LOSSES.update(OWN_LOSSES)


def with_functions(name):
    """Return a backend that can compute with own functions here."""
    if name != "numpy" and not HAS_NUMBA:
        pytest.skip("needs Numba")
    try:
        return get_backend(name)
    except ImportError as error:
        pytest.skip(str(error))


def _params(names):
    return [pytest.param(name, marks=pytest.mark.c) if name == "c" else name for name in names]


@pytest.fixture(params=_params(BACKENDS))
def any_backend(request):
    return with_functions(request.param)


@pytest.fixture(params=_params([name for name in BACKENDS if name != "numpy"]))
def compiled_backend(request):
    return with_functions(request.param)


@pytest.fixture(params=list(OWN_ACTIVATIONS))
def own_hidden(request):
    return request.param


@pytest.fixture(params=PAIRS, ids="-".join)
def own_pair(request):
    return request.param


# Arithmetic.


def mean_loss(backend, problem, alpha):
    parts = backend.loss(problem.spec, problem.params, problem.data, alpha)
    return (parts.data + parts.l2) / parts.weight


def test_gradients_against_differences(any_backend, make_problem, own_hidden, own_pair):
    kind = KINDS[(list(OWN_ACTIVATIONS).index(own_hidden) + PAIRS.index(own_pair)) % len(KINDS)]  # each with each pair
    problem = make_problem(
        UNITS, own_hidden, own_pair, "float64", n_rows=6, kind=kind, weights=kind == "hard", csr=kind == "codes"
    )
    grad, expected = np.full_like(problem.params, np.nan), np.empty_like(problem.params)
    any_backend.loss_grad(problem.spec, problem.params, problem.data, 0.2, grad)
    for i, w in enumerate(problem.params.copy()):
        problem.params[i] = w + STEP
        above = mean_loss(any_backend, problem, 0.2)
        problem.params[i] = w - STEP
        expected[i] = (above - mean_loss(any_backend, problem, 0.2)) / (2 * STEP)
        problem.params[i] = w
    assert np.linalg.norm(grad - expected) <= 1e-6 * np.linalg.norm(expected)


def trained(backend, problem, solver, batch_size, n_epochs):
    params = problem.spec.layout.allocate(problem.spec.dtype)
    params[:] = problem.params
    state = SolverState.fresh(solver, len(params), problem.spec.dtype, learning_rate=2e-3)
    plan = Plan(state, batch_size, 0.05, None, True, np.random.RandomState(3))
    losses = backend.trainer(problem.spec, params, problem.data, plan).run(n_epochs)
    return params, losses


def test_training_is_that_of_the_oracle(
    compiled_backend, oracle, make_problem, some_options, assert_agree, own_hidden, own_pair, dtype
):
    for solver, csr, weights, batch_size, kind in some_options(own_hidden, own_pair, 24):
        problem = make_problem(UNITS, own_hidden, own_pair, dtype, csr=csr, weights=weights, kind=kind, n_rows=24)
        if weights:
            problem.data.sample_weight[problem.data.sample_weight == 0] = 0.5
        n_epochs = max(1, 10 * batch_size // 24)
        params, losses = trained(compiled_backend, problem, solver, batch_size, n_epochs)
        expected, expected_losses = trained(oracle, problem, solver, batch_size, n_epochs)
        what = f"{solver}, csr {csr}, weights {weights}, batch {batch_size}, {kind}"
        assert_agree(params, expected, what=what)
        assert_agree(losses.data, expected_losses.data, tolerance=1e-12 if dtype == np.float64 else 1e-5, what=what)


def test_layers_forward_and_predictors(compiled_backend, oracle, make_problem, assert_agree, own_hidden, dtype):
    for n_rows, csr in itertools.product((1, 2, 33, 300), (False, True)):
        problem = make_problem(UNITS, own_hidden, ("pseudo_huber", "swish"), dtype, n_rows=n_rows, csr=csr)
        z, a = compiled_backend.layers(problem.spec, problem.params, problem.data.X)
        expected = oracle.layers(problem.spec, problem.params, problem.data.X)
        for got, wanted in zip(z + a, expected[0] + expected[1], strict=True):
            assert_agree(got, wanted)
        outputs = compiled_backend.forward(problem.spec, problem.params, problem.data.X)
        np.testing.assert_array_equal(outputs, a[-1])


def test_the_parameters_of_an_activation_count(any_backend):
    name = any_backend.name
    nets = [
        Network([2, 5, 1], activation=given, random_state=0, backend=name)
        for given in ("beta_swish", ("beta_swish", {"beta": 1.0}), (OWN_ACTIVATIONS["beta_swish"], {"beta": 3.0}))
    ]
    default, same, other = (net.forward([[1.0, -2.0]]).item() for net in nets)
    assert default == same
    hidden = nets[2].preactivations([[1.0, -2.0]])[0]
    expected = (hidden / (1 + np.exp(-3 * hidden))) @ nets[2].coefs[1] + nets[2].intercepts[1]
    assert other == pytest.approx(expected.item(), rel=1e-12)
    assert abs(other - default) > 1e-3


def test_integers_that_must_stay_integers(compiled_backend, oracle, dtype):
    coefficients = (1.0, 0.5, 0.25, 0.125)

    def polynomial(z):
        total, n = 0.0, 2
        for i in range(n + 1):
            total = total * math.tanh(z) + coefficients[n - i + 1] + np.where(z > 0, 0.0, math.log(8, 2) - 3)
        return total

    def slope(z):
        t = math.tanh(z)
        return (2 * coefficients[3] * t + coefficients[2]) * (1 - t * t)

    entry = fastmlp.activation(polynomial, derivative=slope, needs="preactivation")
    net = Network([2, 3, 1], activation=entry, dtype=dtype, random_state=0, backend=compiled_backend.name)
    reference = Network([2, 3, 1], activation=entry, dtype=dtype, random_state=0, backend="numpy")
    X = [[1.0, 2.0], [-1.0, 0.5]]
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(net.forward(X), reference.forward(X), rtol=tolerance)
    for got, wanted in zip(net.gradients(X, [1, 2])[0], reference.gradients(X, [1, 2])[0], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=10 * tolerance)


def test_functions_of_math_that_return_integers(any_backend, dtype):
    factors = (4.0, 0.5, 3.0)

    def scaled_tanh(z):
        factor = factors[math.floor(1.5 + 0 * z)] * factors[math.trunc(2.5)]
        for _ in range(math.ceil(1.5)):
            factor = factor / 2
        return factor * math.tanh(z)

    entry = fastmlp.activation(scaled_tanh, derivative=lambda z: 0.375 * (1 - math.tanh(z) ** 2), needs="preactivation")
    net = Network([2, 3, 1], activation=entry, dtype=dtype, random_state=0, backend=any_backend.name)
    X = np.array([[1.0, 2.0], [-1.0, 0.5]])
    expected = (0.375 * np.tanh(net.preactivations(X)[0])) @ net.coefs[1] + net.intercepts[1]
    np.testing.assert_allclose(net.forward(X), expected, rtol=1e-12 if dtype == np.float64 else 1e-5)


def test_arguments_that_a_function_need_not_be_given(any_backend, dtype):
    missing = None

    def scaled(z, by=math.pi, a=0.25, b=None):
        return by * (z + (z * z + a) ** 0.5) if b is None and missing is None else 0.0

    def squareplus(z):
        return scaled(z) / math.pi

    entry = fastmlp.activation(
        squareplus, derivative=lambda z: 1 + z / math.sqrt(z * z + 0.25), needs="preactivation", range=(0, None)
    )
    net = Network([2, 3, 1], activation=entry, dtype=dtype, random_state=0, backend=any_backend.name)
    X = np.array([[1.0, 2.0], [-1.0, 0.5]])
    z = net.preactivations(X)[0]
    expected = (z + np.sqrt(z * z + 0.25)) @ net.coefs[1] + net.intercepts[1]
    np.testing.assert_allclose(net.forward(X), expected, rtol=1e-12 if dtype == np.float64 else 1e-5)


def test_comparisons_are_numbers(any_backend, dtype):
    kinked = fastmlp.activation(
        lambda z: max(z, 0) + max(z - 1, 0),
        name="kinked",
        derivative=lambda z: (z > 0) + (z > 1),
        needs="preactivation",
    )
    absolute = fastmlp.loss(lambda a, y: abs(a - y), name="absolute", derivative=lambda a, y: (a > y) - (a < y))
    net = Network.from_weights(
        [[[1.0]]], [[0.0]], output_activation=kinked, loss=absolute, dtype=dtype, backend=any_backend.name
    )
    assert net.gradients([[1.5]], [0.0])[1][0] == 2
    assert net.gradients([[1.5]], [3.0])[1][0] == -2
    assert net.trace([1.5], [0.0]).db[1] == 2


def test_where_may_be_what_is_returned(any_backend, dtype):
    leaky = fastmlp.activation(
        lambda z: np.where(z > 0, z, 0.25 * z),
        name="where",
        derivative=lambda z: np.where(z > 0, 1.0, 0.25),
        needs="preactivation",
    )
    net = Network.from_weights([[[1.0]]], [[0.0]], output_activation=leaky, dtype=dtype, backend=any_backend.name)
    np.testing.assert_array_equal(net.forward([[2.0], [-2.0]]), [[2.0], [-0.5]])


def test_integers_that_are_too_large_for_compiled_code(compiled_backend, dtype):
    def product(n):
        result = 1
        for i in range(1, n + 1):
            result *= i
        return result

    def square(x):
        return x**2 * product(25) / product(24)

    def series(z):
        total = 0.0
        for k in range(25):
            total += z**k / product(k)
        return total

    def shorter(z):
        total = 0.0
        for k in range(24):
            total += z**k / product(k)
        return total

    fastmlp.activation(series, derivative=shorter, needs="preactivation")
    fastmlp.loss(lambda a, y: square(a - y), name="large", derivative=lambda a, y: 50 * (a - y))
    for options, where in (({"output_activation": "series"}, "for -20.4547"), ({"loss": "large"}, "for ")):
        net = Network([1, 1], **options, random_state=0, dtype=dtype, backend=compiled_backend.name)
        with pytest.raises(ValueError, match=f"Compiled, the function of .* {where}.* in Python .*64 bits"):
            net.loss([[1.0]], [1.0])


OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [*OPERATORS, "divmod"])
def test_numbers_are_those_of_numpy_but_for_bools(name):
    numbers = [np.float64(2.5), np.float64(-3), np.float64(0), np.float64(np.nan), np.float32(1.1), np.float32(-0.0)]
    function = divmod if name == "divmod" else getattr(operator, name)
    others = [*numbers, 2, -3, 0.5, True, 10**30]
    for a, b in [*itertools.product(numbers, others), *itertools.product(others, numbers)]:
        expected, result = function(a, b), function(number(a), number(b))
        assert repr(np.array(result)) == repr(np.array(expected)), (a, b)
        if name in OPERATORS[-6:]:
            assert type(result) is bool
        else:
            assert number(result) is result or type(result) is tuple


def test_numbers_of_functions_of_numpy():
    z = number(np.float64(-2.0))
    assert in_place_of(np).sign(z) + (in_place_of(np).isfinite(z) + (z < 0)) == 1
    assert type(in_place_of(np.where)(z < 0, z, 1.0) < 0) is bool
    assert type(in_place_of(np.float32(2.0)) > 1) is bool
    assert np.dtype(in_place_of(np).float32) == np.float32
    assert (in_place_of(np.float64)(z) < 0) + (z < 1) == 2
    assert in_place_of(np).maximum.reduce([z, 0.0]) + (in_place_of(np.add).accumulate([1.0, z])[1] < 0) == 1
    table = np.array([1.0, 2.0, 4.0])
    assert (in_place_of(table)[1] > 1) + (in_place_of(table)[1:][1] > 1) == 2
    table[1] = 0.0
    assert in_place_of(table)[1] == 0
    odd = SimpleNamespace(__name__=3)
    assert all(in_place_of(thing) is thing for thing in (None, "text", 3, abs, math, odd))
    assert hash(z) == hash(-2.0)
    assert (-z, abs(z), round(z, 1), +z) == (2, 2, -2, -2)


def test_what_replaces_functions_of_math():
    def helper(x, exp=math.exp, *, also=math.exp):
        return exp(1000 * x) + 0 / also(0.0) + also(-1000.0)

    x = np.array([3.0, -2.5, 0.0])
    for function, expected in (
        (lambda x: math.hypot(x), np.abs(x)),
        (lambda x: math.hypot(x, 4.0), np.sqrt(x * x + 16)),
        (lambda x: math.hypot(x, 4.0, 12.0), np.sqrt(x * x + 160)),
        (lambda x: helper(x), [np.inf, 0.0, 1.0]),
        (lambda x: math.floor(x), [3, -3, 0]),
        (lambda x: math.ceil(x), [3, -2, 0]),
        (lambda x: math.trunc(x), [3, -2, 0]),
        (lambda x: math.floor(x * math.inf), [np.inf, -np.inf, np.nan]),
    ):
        for dtype in ("float32", "float64"):
            np.testing.assert_allclose(over_elements(function)(x.astype(dtype)), expected, rtol=1e-6)


def test_an_infinite_exponential_is_no_error(any_backend):
    net = Network.from_weights([[[1.0]]], [[0.0]], output_activation="own_logistic", backend=any_backend.name)
    np.testing.assert_array_equal(net.forward([[-1000.0], [1000.0]]), [[0.0], [1.0]])


@pytest.fixture(scope="module")
def digits():
    X, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    return X / 16, y


@pytest.mark.parametrize("loss", ["log_loss", "focal"])
def test_swish_trains_like_silu(compiled_backend, digits, loss):
    X, y = digits
    nets = []
    for activation in ("silu", "swish"):
        net = Network(
            [64, 100, 10],
            activation=activation,
            output_activation="softmax",
            loss=loss,
            random_state=0,
            backend=compiled_backend.name,
        )
        net.fit(X, y, epochs=10)
        nets.append(net.get_parameters())
    assert np.abs(nets[0] - nets[1]).max() <= 1e-6


@pytest.mark.c
@needs_numba
def test_threads_and_batches_change_no_bits(make_problem, own_hidden, own_pair, dtype):
    backend = with_functions("c")
    # Of two hidden layers one is wide enough to be shared, and the rows are more than a block.
    problem = make_problem([20, 70, 9, 4], own_hidden, own_pair, dtype, n_rows=700)
    results = []
    for n_threads in (1, 2, 3):
        with fastmlp.config_context(n_threads=n_threads):
            grad = np.empty_like(problem.params)
            parts = backend.loss_grad(problem.spec, problem.params, problem.data, 0.1, grad)
            params, losses = trained(backend, problem, "adam", 300, 2)
            outputs = backend.forward(problem.spec, problem.params, problem.data.X)
        results.append((grad, np.array(parts), params, losses.data, outputs))
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)
    for rows in (slice(0, 1), slice(3, 10), slice(100, 400)):
        alone = backend.forward(problem.spec, problem.params, np.ascontiguousarray(problem.data.X[rows]))
        np.testing.assert_array_equal(alone, results[0][4][rows])
    binding = backend.bind(problem.spec, problem.params)
    out = np.empty((2, 4), dtype)
    X = np.ascontiguousarray(problem.data.X[5:7])
    assert binding.predict(binding.struct, 2, binding.view(X), binding.view(out)) == binding.ok
    np.testing.assert_array_equal(out, results[0][4][5:7])


def test_several_threads_at_once(compiled_backend, make_problem):
    problem = make_problem(UNITS, "swish", ("focal", "softmax"), "float64", n_rows=200)

    def work(_):
        return trained(compiled_backend, problem, "adam", 7, 5)[0]

    expected = work(0)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(work, range(8)):
            np.testing.assert_array_equal(got, expected)


def test_traces_explanations_and_displays():
    net = Network([3, 4, 2], activation="swish", output_activation="own_tanh", loss="pseudo_huber", random_state=0)
    net = pickle.loads(pickle.dumps(net))
    trace = Network.from_weights(
        net.coefs,
        net.intercepts,
        activation="swish",
        output_activation="own_tanh",
        loss="pseudo_huber",
        backend="numpy",
    ).trace([1.0, 2.0, -1.0], [0.5, -0.5])
    np.testing.assert_allclose(trace.slope[1], [[swish_slope(z)] for z in trace.z[1][:, 0]], rtol=1e-12)
    assert "swish" in str(trace)
    assert "pseudo_huber" in str(trace)
    plotting = pytest.importorskip("matplotlib") and fastmlp.plotting
    display = plotting.ActivationDisplay.from_activation(OWN_ACTIVATIONS["swish"], z=[-1.0, 2.0])
    np.testing.assert_allclose(display.value, [-sigmoid(-1.0), 2 * sigmoid(2.0)])
    np.testing.assert_allclose(display.derivative, [swish_slope(-1.0), swish_slope(2.0)])


# Registration.


def test_an_entry_is_the_function_and_is_found_by_its_name():
    def squareplus(z):
        """Half of z plus the root of z squared plus 4."""
        return (z + math.sqrt(z * z + 4)) / 2

    entry = fastmlp.activation(
        squareplus, derivative=lambda z: (1 + z / math.sqrt(z * z + 4)) / 2, needs="preactivation", range=(0, None)
    )
    assert ACTIVATIONS["squareplus"] is entry
    assert entry(0.0) == 1.0
    assert entry.__doc__ == squareplus.__doc__
    assert repr(entry) == "<activation 'squareplus'>"
    assert str(entry.range) == "(0, inf)"
    np.testing.assert_allclose(entry.value(np.array([[0.0, 1.5]])), [[1.0, 2.0]])
    decorated = fastmlp.loss(derivative=lambda a, y: 4 * (a - y) ** 3)(quartic)
    assert LOSSES["quartic"] is decorated
    assert decorated(3.0, 1.0) == quartic(3.0, 1.0) == 16.0


def quartic(a, y):
    return (a - y) ** 4


def test_a_function_may_use_an_entry():
    swish = OWN_ACTIVATIONS["swish"]
    double = fastmlp.activation(
        lambda z: 2 * swish(z), name="double_swish", derivative=lambda z: 2 * swish_slope(z), needs="preactivation"
    )
    np.testing.assert_allclose(double.value(np.array([1.0])), [2 * sigmoid(1.0)])
    net = Network([2, 3, 1], activation=double, random_state=0, backend="numpy")
    for name in ("c", "numba"):
        if HAS_NUMBA and (name == "numba" or find_spec("_fastmlp_c")):
            other = Network([2, 3, 1], activation=double, random_state=0, backend=name)
            np.testing.assert_allclose(other.forward([[1, 2]]), net.forward([[1, 2]]), rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "needs", "message"),
    [
        (lambda z: sigmoid(z), "preactivation", r"derivative of the activation 'bad' is wrong at z = [-\d.]+: by"),
        (lambda z: swish_slope(z) * 1.00001, "preactivation", "wrong at z = "),
        (lambda z: swish_slope(z) if z < 1.2 else 1.0, "preactivation", r"wrong at z = [1-3]\.\d+: "),
        (swish_slope, "output", r"wrong at z = .* With needs='preactivation' it would be right\."),
        (lambda z: math.nan if 2 < z < 3 else swish_slope(z), "preactivation", r"z = 2\.2371: .* returns nan"),
    ],
)
def test_a_wrong_derivative_is_refused_with_the_point(wrong, needs, message):
    with pytest.raises(ValueError, match=message):
        fastmlp.activation(lambda z: z * sigmoid(z), name="bad", derivative=wrong, needs=needs)
    assert "bad" not in ACTIVATIONS


def test_the_error_has_the_numbers():
    with pytest.raises(ValueError, match="is wrong at z = ") as caught:
        fastmlp.activation(lambda z: z**3, name="cube", derivative=lambda z: 2 * z * z, needs="preactivation")
    z, by_differences, returned = map(float, re.findall(r"-?\d+\.?\d*(?:e[+-]\d+)?", str(caught.value)))
    assert by_differences == pytest.approx(3 * z * z, rel=1e-4)
    assert returned == pytest.approx(2 * z * z, rel=1e-4)


def test_a_derivative_that_forgets_a_parameter_is_refused():
    with pytest.raises(ValueError, match=r"wrong at z = .*, beta = 1\.25"):
        fastmlp.activation(
            lambda z, beta: math.tanh(beta * z),
            name="bad",
            derivative=lambda z, beta: 1 - math.tanh(z) ** 2,
            needs="preactivation",
            parameters={"beta": 1.0},
        )


def test_a_wrong_derivative_of_a_loss_is_refused_with_the_point():
    with pytest.raises(ValueError, match=r"loss 'bad' is wrong at a = [-\d.]+, y = [-\d.]+: by differences it is"):
        fastmlp.loss(lambda a, y: (a - y) ** 2, name="bad", derivative=lambda a, y: a - y)
    with pytest.raises(ValueError, match=r"wrong at a = 0\.\d+, y = 1"):
        fastmlp.loss(
            focal, name="bad", derivative=lambda p, y: focal_slope(p, y) + (y > 0.99), outputs=(0, 1), targets=(0, 1)
        )
    assert "bad" not in LOSSES


@pytest.mark.parametrize("kink", [0.0, 1.0, -3.0, 0.5])
def test_kinks_are_no_errors(kink):
    fastmlp.activation(
        lambda z: max(z, kink), name="kinked", derivative=lambda z: 1.0 if z > kink else 0.0, needs="preactivation"
    )


@pytest.mark.parametrize(
    "function", [lambda z: math.nan, lambda z: math.exp(1000 * abs(z)), lambda z: math.sin(1e5 * z)]
)
def test_what_cannot_be_checked_is_refused(function):
    with pytest.raises(ValueError, match=r"'odd' could not be checked: .* as at z = "):
        fastmlp.activation(function, name="odd", derivative=lambda z: 0.0, needs="preactivation")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": 3}, TypeError, "name must be a string"),
        ({"name": ""}, ValueError, "must not be empty"),
        ({"name": None}, ValueError, "A lambda has no name"),
        ({"name": "tanh"}, ValueError, "'tanh' is one of the library's"),
        ({"replace": "no"}, TypeError, "replace must be True or False, got 'no'"),
        ({"name": "tanh", "replace": True}, ValueError, "'tanh' is one of the library's"),
        ({"name": "swish"}, ValueError, "'swish' is one of your own already; replace=True"),
        ({"needs": "input"}, ValueError, "needs must be 'output' or 'preactivation', got 'input'"),
        ({"derivative": 1.0}, TypeError, "plain Python function for the derivative of the activation 'own'"),
        ({"derivative": math.exp}, TypeError, "plain Python function"),
        ({"derivative": lambda: 1.0}, TypeError, "a function of 1 argument for the derivative"),
        ({"derivative": lambda *a: 1.0}, TypeError, "a function of 1 argument for the derivative"),
        ({"derivative": lambda z, *, b=1: 1.0}, TypeError, "a function of 1 argument for the derivative"),
        ({"derivative": lambda z: (yield z)}, TypeError, "returns a number.*got a generator"),
        ({"derivative": lambda z: None}, TypeError, "return a real number"),
        ({"derivative": lambda z: 1j}, TypeError, "return a real number"),
        ({"derivative": lambda z: "1.0"}, TypeError, "return a real number"),
        ({"derivative": lambda z: z.no_such}, TypeError, "return a real number"),
        ({"parameters": {"b": 1.0}}, TypeError, "a function of 2 arguments for the activation"),
        ({"parameters": ["b"]}, TypeError, "map names to numbers"),
        ({"parameters": {"b": "1"}}, TypeError, "b of your activation must be a real number"),
        ({"parameters": {"b": math.inf}}, ValueError, "b of your activation"),
        ({"parameters": {"b": True}}, TypeError, "must be numbers"),
        ({"parameters": dict.fromkeys("abcde", 1.0)}, ValueError, "at most 4 parameters, got 5"),
        ({"range": 3}, TypeError, "range must be a pair"),
        ({"range": ("a", "b")}, TypeError, "range must be a pair"),
        ({"range": (1, 0)}, ValueError, "low < high"),
        ({"range": (0, 10**400)}, ValueError, r"range must be a pair of numbers .* beyond 1.8e308"),
        ({"parameters": {"p": 10**400}}, ValueError, "p of your activation .* got one beyond 1.8e308"),
        ({"range": (0, 1)}, ValueError, r"not in the range \(0, 1\): at z = -20.* it is -20"),
    ],
)
def test_what_is_given_is_checked(options, error, message):
    before = dict(ACTIVATIONS)
    with pytest.raises(error, match=message):
        fastmlp.activation(lambda z: z + 0.0, **{"name": "own", "derivative": lambda z: 1.0, **options})
    assert before == ACTIVATIONS


def with_raise(z):
    if z > 1e9:
        raise ValueError
    return z


def with_assert(z):
    assert z < 1e9
    return z


@pytest.mark.parametrize("function", [with_raise, with_assert, lambda z: with_raise(z)])
def test_functions_that_may_raise_are_refused(function):
    with pytest.raises(ValueError, match="has a raise, an assert, a try or a with"):
        fastmlp.activation(function, name="raising", derivative=lambda z: 1.0)


def test_handlers_that_the_compiler_adds_are_none_of_the_user():
    factors = (0.5, 0.5)
    sums = [
        lambda z: sum([z * k for k in factors]),
        lambda z: sum(z * k for k in factors),
        lambda z: sum(dict.fromkeys((1, 2), z).values()) / 2,
    ]
    for i, function in enumerate(sums):
        fastmlp.activation(function, name=f"sum {i}", derivative=lambda z: 1.0)


def test_a_function_that_is_complex_at_some_points():
    with pytest.raises(TypeError, match=r"Expected root to return a real number, got .*j\) at -"):

        @fastmlp.activation(derivative=lambda a: 0.5 / a)
        def root(z):
            return float(z) ** 0.5

    with pytest.raises(TypeError, match=r"Expected numpys_root to return a real number, got .*j\) at -"):

        @fastmlp.activation(derivative=lambda a: 0.5 / a)
        def numpys_root(z):
            return z if z > 0 else np.sqrt(np.complex128(z))


def test_intervals_say_what_goes_together():
    focal = OWN_LOSSES["focal"]
    assert (str(focal.domain), str(focal.targets)) == ("[0, 1]", "[0, 1]")
    open_ended = fastmlp.loss(
        lambda p, y: -math.log(p), name="surprise", derivative=lambda p, y: -1 / p, outputs=(0, 1), targets=(0, None)
    )
    assert (str(open_ended.domain), str(open_ended.targets)) == ("(0, 1]", "[0, inf)")
    assert str(OWN_ACTIVATIONS["own_logistic"].range) == "(0, 1)"
    hard = fastmlp.activation(
        lambda z: min(max(z, 0.0), 1.0), name="hard", derivative=lambda a: 1.0 if 0 < a < 1 else 0.0, range=(0, 1)
    )
    assert str(hard.range) == "[0, 1]"
    make_spec([2, 1], "tanh", hard, focal, "float64")
    for loss, output in ((focal, "own_tanh"), (focal, "swish"), ("log_loss", hard), ("surprise", hard)):
        with pytest.raises(ValueError, match="expects outputs in"):
            make_spec([2, 1], "tanh", output, loss, "float64")
    with pytest.raises(ValueError, match=r"The loss 'focal' expects targets in \[0, 1\], got 2"):
        Network([1, 1], output_activation="logistic", loss=focal, backend="numpy").loss([[1.0]], [2.0])


@pytest.mark.parametrize(
    ("function", "derivative", "ends", "found"),
    [
        (lambda z: math.exp(-z * z), lambda z: -2 * z * math.exp(-z * z), (0, 1), "(0, 1]"),
        (lambda z: z * z, lambda z: 2 * z, (0, None), "[0, inf)"),
        (lambda z: math.sin(math.pi * z), lambda z: math.pi * math.cos(math.pi * z), (-1, 1), "[-1, 1]"),
        (lambda z: 3.0 if z < 2 else 3 + 1 / int(z), lambda z: 0.0, (3, None), "[3, inf)"),
        (lambda z: abs(1 / z), lambda z: -1 / (z * abs(z)), (0, None), "(0, inf)"),
        (lambda z: z + 0 / (int(z) or int(1e6 * z)), lambda z: 1.0, None, "(-inf, inf)"),  # not defined at 0
    ],
)
def test_ends_that_are_reached_at_round_numbers(function, derivative, ends, found):
    entry = fastmlp.activation(
        function, name="round", derivative=derivative, needs="preactivation", range=ends, replace=True
    )
    assert str(entry.range) == found


def line(name, slope, **options):
    return fastmlp.activation(lambda z: slope * z, name=name, derivative=lambda a: slope, **options)


def test_a_replaced_function_is_used_no_longer(any_backend):
    name = any_backend.name
    old = line("line", 2.0)
    net = Network.from_weights([[[1.0]]], [[0.0]], output_activation="line", backend=name)
    assert net.forward([[3.0]]).item() == 6.0
    grad = net.gradients([[3.0]], [0.0])[0][0].item()
    assert grad == pytest.approx(36.0)
    with pytest.raises(ValueError, match="replace=True"):
        line("line", 5.0)
    predictor = net.predictor()
    assert predictor(np.array([[3.0]])).item() == 6.0
    new = line("line", 5.0, replace=True)
    assert net.forward([[3.0]]).item() == 15.0
    assert [predictor(np.array([[3.0]])).item() for _ in range(2)] == [15.0, 15.0]
    assert net.gradients([[3.0]], [0.0])[0][0].item() == pytest.approx(225.0)
    for use in (
        lambda: Network([1, 1], output_activation=old),
        lambda: Network([1, 1, 1], activation=[(old, {})]),
        lambda: pickle.dumps(old),
    ):
        with pytest.raises(ValueError, match="'line' has been replaced by another one"):
            use()
    assert Network([1, 1], output_activation=new).spec == Network([1, 1], output_activation="line").spec
    del ACTIVATIONS["line"]
    with pytest.raises(ValueError, match="'line' has been removed"):
        Network([1, 1], output_activation=new)
    with pytest.raises(ValueError, match="Unknown activation 'line'"):
        net.forward([[3.0]])


def test_a_function_with_other_parameters_does_not_fit_an_old_network(compiled_backend):
    net = Network([1, 2, 1], activation="beta_swish", backend=compiled_backend.name)
    line("beta_swish", 1.0, replace=True)
    with pytest.raises(ValueError, match="'beta_swish' has been registered with other parameters"):
        net.forward([[1.0]])


def test_the_variables_of_a_function_are_those_of_its_registration(any_backend):
    scale = 2.0
    scaled = fastmlp.activation(lambda z: scale * z, name="scaled", derivative=lambda a: scale)
    scale = 100.0
    net = Network.from_weights([[[1.0]]], [[0.0]], output_activation=scaled, backend=any_backend.name)
    assert net.forward([[1.0]]).item() == 2.0


@needs_numba
def test_a_function_that_numba_has_compiled():
    import numba

    helper = numba.njit(lambda z: z / 2)
    half = numba.njit(lambda z: helper(z))
    entry = fastmlp.activation(half, name="half", derivative=lambda a: 0.5)
    np.testing.assert_array_equal(entry.value(np.array([3.0])), [1.5])


def test_what_numba_cannot_compile_is_an_error_that_names_it(compiled_backend, oracle):
    def listing(z):
        return sorted({z: 1.0}.items(), key=str)[0][0] * 2.0

    entry = fastmlp.activation(listing, derivative=lambda a: 2.0)
    net = Network([1, 1], output_activation=entry, backend=compiled_backend.name)
    with pytest.raises(ValueError, match=r"(?s)Numba cannot compile the function of the activation 'listing'.*says"):
        net.forward([[1.0]])
    spec = make_spec([1, 1], "tanh", entry, "squared_error", "float64")
    assert oracle.forward(spec, np.array([1.0, 0.0]), np.array([[3.0]])).item() == 6.0


@pytest.mark.parametrize("name", _params(["c", "numba"]))
def test_without_numba_the_error_says_what_to_install(name):
    if name == "c":
        pytest.importorskip("_fastmlp_c")
    code = f"""
import sys
sys.modules["numba"] = None
import fastmlp
fastmlp.activation(lambda z: 2.0 * z, name="double", derivative=lambda a: 2.0)
net = fastmlp.Network([1, 1], output_activation="double", backend="numpy")
net.fit([[1.0]], [1.0], epochs=1)
try:
    fastmlp.Network([1, 1], output_activation="double", backend={name!r}).forward([[1.0]])
except ImportError as error:
    print(error)
"""
    done = run_python(code)
    assert "numba" in done.stdout.lower()
    assert name == "numba" or "backend='numpy'" in done.stdout


def test_an_activation_does_not_see_inputs_that_are_refused(compiled_backend):
    # It would never return, so in a process that does not have for ever.
    code = f"""
import numpy as np, fastmlp

def halved(z):
    while abs(z) > 1.0:
        z *= 0.5
    return z

def slope(z):
    size = 1.0
    while abs(z) * size > 1.0:
        size *= 0.5
    return size

fastmlp.activation(halved, derivative=slope, needs="preactivation")
net = fastmlp.Network([2, 3, 1], activation="halved", backend={compiled_backend.name!r}, random_state=0)
X = np.ones((300, 2))
print(net.forward(X).shape)
X[270, 1] = np.inf
try:
    net.forward(X)
except ValueError as error:
    print(error)
"""
    shape, message = run_python(code).stdout.splitlines()
    assert shape == "(300, 1)"
    assert message.startswith("X must be finite, got infinity")


def test_importing_and_registering_loads_numpy_alone():
    code = """
import sys, fastmlp
fastmlp.activation(lambda z: 2.0 * z, name="double", derivative=lambda a: 2.0)
print(sorted({"sklearn", "scipy", "numba", "_fastmlp_c"} & set(sys.modules)))
"""
    assert run_python(code).stdout.strip() == "[]"


# Copies and pickles.


def test_copies_are_the_entry_itself():
    for entry in (*OWN_ACTIVATIONS.values(), *OWN_LOSSES.values(), ACTIVATIONS["tanh"], LOSSES["log_loss"]):
        assert copy.copy(entry) is entry
        assert copy.deepcopy([entry])[0] is entry
        assert pickle.loads(pickle.dumps(entry)) is entry
        assert entry.name.encode() in pickle.dumps(entry)


LOAD = """
import pickle, sys
from pathlib import Path
import numpy as np
import fastmlp

def load():
    return pickle.loads(Path(sys.argv[1]).read_bytes())

try:
    load()
except ValueError as error:
    print(error)
else:
    raise AssertionError("loaded")
fastmlp.activation(lambda z: z + 0.0, name="swish", derivative=lambda a: 1.0)
fastmlp.loss(lambda a, y: (a - y) ** 2, name="pseudo_huber", derivative=lambda a, y: 2 * (a - y))
load()
"""


def saved(kind):
    """Return what is pickled: something that refers to what is not registered elsewhere."""
    X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 4.0, 9.0]
    if kind == "entry":
        return OWN_ACTIVATIONS["swish"]
    if kind == "network":
        return Network([1, 3, 1], activation="swish", loss="pseudo_huber")
    sklearn_face = pytest.importorskip("fastmlp.estimators")
    activation = OWN_ACTIVATIONS["swish"] if kind == "estimator, object" else "swish"
    loss = OWN_LOSSES["pseudo_huber"] if kind == "estimator, loss object" else "pseudo_huber"
    if kind == "estimator, loss object":
        activation = "tanh"
    return sklearn_face.MLPRegressor(loss, (3,), activation, max_iter=2, backend="numpy", tol=1.0).fit(X, y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", ["entry", "network", "estimator, name", "estimator, object", "estimator, loss object"])
def test_loading_where_it_is_missing_says_what_to_register(kind, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(saved(kind)))
    message = run_python(LOAD, path).stdout
    which, name = ("loss", "pseudo_huber") if kind == "estimator, loss object" else ("activation", "swish")
    assert f"register it with @fastmlp.{which}(name='{name}', ...) before loading" in message


# Estimators.


@pytest.fixture(scope="module")
def estimators():
    return pytest.importorskip("fastmlp.estimators")


@pytest.fixture(scope="module")
def blobs():
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.make_blobs(120, 4, centers=3, cluster_std=2.0, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def weights_of(model):
    return np.concatenate([array.ravel() for array in model.coefs_ + model.intercepts_])


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "focal"])
def test_classifiers(any_backend, estimators, blobs, solver, loss):
    X, y = blobs
    for labels in (y, (y == 1).astype(int), np.stack([y == 0, y > 0], axis=1).astype(int)):
        options = {"solver": solver, "max_iter": 15, "random_state": 0, "loss": loss}
        by_name = estimators.MLPClassifier((7,), "swish", backend=any_backend.name, **options).fit(X, labels)
        options["loss"] = OWN_LOSSES.get(loss, loss)
        by_object = estimators.MLPClassifier((7,), OWN_ACTIVATIONS["swish"], backend="numpy", **options).fit(X, labels)
        np.testing.assert_allclose(weights_of(by_name), weights_of(by_object), rtol=0, atol=1e-8)
        np.testing.assert_allclose(by_name.predict_proba(X), by_object.predict_proba(X), atol=1e-8)
        assert by_name.loss_ == pytest.approx(by_object.loss_, rel=1e-9)


def test_the_loss_of_a_classifier_is_that_loss(estimators, blobs):
    X, y = blobs
    model = estimators.MLPClassifier(
        (5,), max_iter=300, alpha=0.0, random_state=0, loss="squared_error", batch_size=120
    )
    model.fit(X, y)
    p, targets = model.predict_proba(X), np.eye(3)[y]
    assert model.score(X, y) > 0.8
    assert model.loss_ == pytest.approx(((p - targets) ** 2).sum(axis=1).mean() / 2, rel=1e-2)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["pseudo_huber", "pinball"])
def test_regressors(any_backend, estimators, solver, loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    for y in (X.sum(axis=1), X[:, :2]):
        options = {"solver": solver, "max_iter": 10, "random_state": 0}
        model = estimators.MLPRegressor(loss, (7,), "swish", backend=any_backend.name, **options).fit(X, y)
        other = estimators.MLPRegressor(OWN_LOSSES[loss], (7,), "swish", backend="numpy", **options).fit(X, y)
        assert model.out_activation_ == "identity"
        if loss == "pseudo_huber":  # at a kink rounding decides, and L-BFGS goes another way
            np.testing.assert_allclose(weights_of(model), weights_of(other), rtol=0, atol=1e-7)
            np.testing.assert_allclose(model.predict(X), other.predict(X), atol=1e-7)


def test_quantiles_are_found(estimators):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (4000, 1)), rng.normal(size=4000)
    backend = "auto" if HAS_NUMBA else "numpy"
    model = estimators.MLPRegressor(
        "pinball", (), max_iter=60, learning_rate_init=0.02, random_state=0, backend=backend
    )
    assert np.mean(y <= model.fit(X, y).predict(X)) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("dtype_name", ["float64", "float32"])
def test_partial_fit_and_short_predictions(any_backend, estimators, blobs, dtype_name):
    X, y = blobs[0].astype(dtype_name), blobs[1]

    def model():
        return estimators.MLPClassifier((6,), "swish", random_state=0, loss="focal", backend=any_backend.name)

    first, second = model(), model()
    for start in range(0, 120, 10):
        rows = slice(start, start + 10)
        first.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        second._short.step = None  # the long way
        second.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    np.testing.assert_array_equal(weights_of(first), weights_of(second))
    expected = first._forward_pass_fast(X)
    for _ in range(2):
        np.testing.assert_array_equal(first.predict_proba(X), expected)
        np.testing.assert_array_equal(first.predict_proba(X[:1]), expected[:1])
        np.testing.assert_array_equal(first.predict(X), expected.argmax(axis=1))
        np.testing.assert_array_equal(first.predictor("predict")(X), expected.argmax(axis=1))
    np.testing.assert_array_equal(first.predictor()(X[:1], out=np.empty((1, 3), dtype_name)), expected[:1])


def test_a_network_whose_function_is_replaced_by_one_that_does_not_fit(any_backend):
    def own(factor, **options):
        return fastmlp.activation(
            lambda z, s: factor / (1 + s * math.exp(-z)),
            name="scaled",
            derivative=lambda a, s: a * (1 - a / factor),
            parameters={"s": 1.0},
            **options,
        )

    own(1, range=(0, 1))
    net = Network([2, 1], output_activation="scaled", loss="log_loss", random_state=0, backend=any_backend.name)
    own(2, replace=True)
    for call in (net.forward, lambda X: net.loss(X, [1]), lambda X: net.gradients(X, [1]), lambda X: net.fit(X, [1])):
        with pytest.raises(ValueError, match="The loss 'log_loss' expects outputs in"):
            call([[1.0, 2.0]])
    line("scaled", 1.0, replace=True)
    for call in (net.forward, lambda X: net.loss(X, [1]), lambda X: net.gradients(X, [1]), lambda X: net.fit(X, [1])):
        with pytest.raises(ValueError, match="registered with other parameters"):
            call([[1.0, 2.0]])
    del ACTIVATIONS["scaled"]
    assert "scaled(1)" in repr(net)


def test_a_range_holds_with_the_parameters_of_a_network():
    fastmlp.activation(
        lambda z, s: s / (1 + math.exp(-z)),
        name="scaled",
        derivative=lambda a, s: a * (1 - a / s),
        range=(0, 1),
        parameters={"s": 0.5},
    )
    Network([2, 1], output_activation=("scaled", {"s": 0.75}), loss="log_loss")
    with pytest.raises(ValueError, match=r"'scaled' with s = 5 are not in the range \(0, 1\)"):
        Network([2, 1], output_activation=("scaled", {"s": 5.0}), loss="log_loss")


def test_an_estimator_does_not_go_on_with_a_replaced_function(any_backend, estimators):
    X, y = np.linspace(-1, 1, 20)[:, np.newaxis], np.linspace(-1, 1, 20)
    old = line("line", 2.0)
    models = [
        estimators.MLPRegressor("squared_error", (3,), given, max_iter=5, random_state=0, backend=any_backend.name)
        for given in ("line", old)
    ]
    for model in models:
        model.partial_fit(X, y)
        model.partial_fit(X, y)
        model.predict(X), model.predict(X)
    by_name, by_object = models
    before = by_name.predict(X)
    line("line", 4.0, replace=True)
    hidden = 4.0 * (X @ by_name.coefs_[0] + by_name.intercepts_[0])
    expected = (hidden @ by_name.coefs_[1] + by_name.intercepts_[1])[:, 0]
    for _ in range(2):
        np.testing.assert_allclose(by_name.predict(X), expected)
    assert np.abs(before - expected).max() > 1e-3
    copied = copy.deepcopy(by_name)
    by_name.partial_fit(X, y)
    copied._short.step = None
    copied.partial_fit(X, y)
    np.testing.assert_array_equal(weights_of(by_name), weights_of(copied))
    for use in (
        lambda: by_object.predict(X),
        lambda: by_object.partial_fit(X, y),
        lambda: by_object.fit(X, y),
        lambda: pickle.dumps(by_object),
    ):
        with pytest.raises(ValueError, match="'line' has been replaced"):
            use()


def test_clones_copies_and_representations(estimators, blobs):
    from sklearn.base import clone

    swish, focal = OWN_ACTIVATIONS["swish"], OWN_LOSSES["focal"]
    model = estimators.MLPClassifier((5,), swish, loss=focal, max_iter=3, random_state=0, backend="numpy")
    assert model.get_params()["activation"] is swish
    assert "activation=<activation 'swish'>" in repr(model)
    assert "loss=<loss 'focal'>" in repr(model)
    model.fit(*blobs)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone(model).fit(*blobs)):
        assert other.activation is swish
        assert other.loss is focal
        np.testing.assert_array_equal(weights_of(other), weights_of(model))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_grid_search_over_activations(estimators, blobs, n_jobs, tmp_path):
    joblib = pytest.importorskip("joblib")
    from sklearn.model_selection import GridSearchCV

    grid = {"activation": ["relu", "swish", OWN_ACTIVATIONS["own_tanh"]], "loss": ["log_loss", OWN_LOSSES["focal"]]}
    model = estimators.MLPClassifier((5,), max_iter=5, random_state=0, backend="numpy")
    with joblib.parallel_config(backend="threading"):
        search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(*blobs)
    assert len(search.cv_results_["params"]) == 6
    path = tmp_path / "search.joblib"
    joblib.dump(search, path)
    np.testing.assert_array_equal(joblib.load(path).predict(blobs[0]), search.predict(blobs[0]))


def test_parameters_of_estimators_are_checked(estimators, blobs):
    X, y = blobs
    mismatched = OWN_LOSSES["focal"]
    cases = [
        (estimators.MLPClassifier(activation="no_such"), "'activation' parameter of MLPClassifier must be a str among"),
        (estimators.MLPClassifier(activation=mismatched), "'activation' parameter"),
        (estimators.MLPClassifier(activation=ACTIVATIONS["softmax"]), "'activation' parameter"),
        (estimators.MLPClassifier(loss="poisson"), "'loss' parameter"),
        (estimators.MLPRegressor(loss="log_loss"), "'loss' parameter"),
        (estimators.MLPRegressor(loss=LOSSES["log_loss"]), "'loss' parameter"),
        (estimators.MLPRegressor(loss=mismatched), "'focal' expects outputs in"),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
        assert not hasattr(model, "coefs_")
    assert "'swish'" in str(estimators.MLPClassifier._parameter_constraints["activation"][0])
    positive = fastmlp.loss(
        lambda a, y: (a - y) ** 2, name="positive", derivative=lambda a, y: 2 * (a - y), targets=(0, None)
    )
    with pytest.raises(ValueError, match=r"'positive' expects targets in \[0, inf\), got -1"):
        estimators.MLPRegressor(positive).fit(X, y - 1.0)
    signs = fastmlp.loss(
        lambda a, y: (a - y) ** 2, name="signs", derivative=lambda a, y: 2 * (a - y), targets=(0.5, None)
    )
    with pytest.raises(ValueError, match=r"'signs' expects targets in \[0.5, inf\), got 0"):
        estimators.MLPClassifier(loss=signs).fit(X, y)


def test_a_classifier_from_before_the_parameter_loss(estimators, blobs):
    model = estimators.MLPClassifier((3,), max_iter=2, random_state=0, backend="numpy").fit(*blobs)
    state = model.__getstate__()
    del state["loss"]
    old = estimators.MLPClassifier.__new__(estimators.MLPClassifier)
    old.__setstate__(state)
    assert old.loss == "log_loss"
    np.testing.assert_array_equal(old.fit(*blobs).predict(blobs[0]), model.predict(blobs[0]))


def test_early_stopping_and_warm_start(any_backend, estimators, blobs):
    options = {"activation": "swish", "loss": "focal", "random_state": 0, "max_iter": 4, "backend": any_backend.name}
    model = estimators.MLPClassifier((5,), early_stopping=True, **options).fit(*blobs)
    assert len(model.validation_scores_) == 4
    model = estimators.MLPClassifier((5,), warm_start=True, **options)
    assert len(model.fit(*blobs).fit(*blobs).loss_curve_) == 8


# The C interface.


@pytest.mark.c
@needs_numba
@pytest.mark.parametrize("missing", ["own_activations", "own_loss", "value", "derivative", "term", "needs"])
def test_c_refuses_incomplete_functions(missing):
    from fastmlp.backends._c_interface import ffi, lib, made_network

    spec = make_spec([2, 3, 1], "swish", "identity", "pseudo_huber", "float64")
    network = made_network.__wrapped__(spec, spec.own)
    struct = network.struct
    if missing in ("own_activations", "own_loss"):
        setattr(struct, missing, ffi.NULL)
    elif missing == "term":
        struct.own_loss = loss = ffi.new("fm_loss_kernel *", struct.own_loss[0])
        loss.term = ffi.NULL
    else:
        struct.own_activations = own = ffi.new("fm_own_activation[]", [struct.own_activations[0]] * 2)
        if missing == "needs":
            own[0].needs = lib.FM_NEEDS_NOTHING
        else:
            setattr(own[0].kernel, missing, ffi.NULL)
    binding = ffi.new("fm_binding *")
    binding.net = struct
    assert lib.fm_bind(binding) == lib.FM_BAD_ARGUMENT


@pytest.mark.c
@needs_numba
def test_what_is_compiled_lives_as_long_as_what_calls_it():
    from fastmlp.backends import _c_interface, _numba_own

    spec = make_spec(UNITS, "swish", "identity", "pseudo_huber", "float64")
    backend = with_functions("c")
    binding = backend.bind(spec, spec.layout.allocate("float64"))
    real = np.float64
    kernels = (
        *_numba_own.activation_kernels(OWN_ACTIVATIONS["swish"], real),
        *_numba_own.loss_kernels(OWN_LOSSES["pseudo_huber"], real),
    )
    alive = [weakref.ref(kernel) for kernel in kernels]
    del kernels
    for cache in (_c_interface.made_network, _numba_own.activation_kernels, _numba_own.loss_kernels):
        cache.cache_clear()
    gc.collect()
    assert all(kernel() is not None for kernel in alive)
    del binding
    gc.collect()
    assert all(kernel() is None for kernel in alive)


@needs_numba
def test_integers_and_constants_of_modules_do_not_make_float64_of_float32():
    import numba

    from fastmlp.backends import _numba_own

    for formula in (
        sigmoid,
        lambda z: z / (4 * math.pi),
        lambda z: z**2 + 1,
        lambda z: max(0, min(z, 6)),
        lambda z: (2 * z if z > 1 else -z) - 1,
        lambda z: np.where(z > 0, np.exp(z) - np.pi, 1 - z),
    ):
        function = _numba_own._scalar(formula, np.float32, _numba_own._Float32Compiler)
        function(np.float32(1.5))
        (signature,) = function.nopython_signatures
        assert signature.return_type == numba.float32


def test_registering_from_several_threads():
    def register(i):
        return line(f"line_{i}", float(i + 1))

    threads = [threading.Thread(target=register, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"line_{i}" for i in range(8)} <= set(ACTIVATIONS)
