import math
import warnings

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS, Activation, get_activation

BY_HAND = {
    "identity": [((), -1.5, -1.5)],
    "linear": [((1.0, 0.0), 3.0, 3.0), ((2.0, -1.0), 3.0, 5.0)],
    "step": [((), -1e-300, 0.0), ((), 0.0, 1.0), ((), -0.0, 1.0), ((), 2.0, 1.0)],
    "logistic": [((), 0.0, 0.5), ((), math.log(3), 0.75), ((), -math.log(3), 0.25)],
    "tanh": [((), 0.0, 0.0), ((), math.log(2), 0.6)],
    "relu": [((), -2.0, 0.0), ((), 0.0, 0.0), ((), 2.0, 2.0)],
    "leaky_relu": [((0.01,), -2.0, -0.02), ((0.5,), -2.0, -1.0), ((0.5,), 2.0, 2.0), ((0.0,), -2.0, 0.0)],
    "gelu": [((), 0.0, 0.0), ((), 1.0, 0.8411919906082768), ((), -1.0, -0.15880800939172324), ((), 20.0, 20.0)],
    "exp": [((), 0.0, 1.0), ((), math.log(5), 5.0)],
}


def blocks(entry: Activation) -> list[tuple[float, ...]]:
    """Return the default parameter block and another one."""
    return sorted({entry.resolve(), entry.resolve({key: 1.5 * v + 0.25 for key, v in entry.parameters.items()})})


# Block, z, u, a.
DRAWN_BY_HAND = [
    ((0.0, 1.0), -2.0, 0.25, -0.5),
    ((0.25, 0.75), -2.0, 0.5, -1.0),
    ((0.25, 0.75), -8.0, 0.125, -2.5),
    ((0.25, 0.75), 3.0, 0.125, 3.0),
    ((0.5, 0.5), -3.0, 0.9, -1.5),
]


@pytest.mark.parametrize(("block", "z", "u", "a"), DRAWN_BY_HAND)
def test_randomized_leaky_relu_by_hand(block, z, u, a):
    entry = ACTIVATIONS["randomized_leaky_relu"]
    z, u = np.array([[z]]), np.array([[u]])
    assert entry.value(z, *block, u).item() == a
    assert entry.derivative(np.array([[a]]), *block, u).item() == a / z.item()
    assert entry.backward(np.array([[2.0]]), z, np.array([[a]]), block, u).item() == 2 * a / z.item()


def test_what_draws_has_its_mean_slope_where_nothing_is_drawn():
    entry, z = ACTIVATIONS["randomized_leaky_relu"], np.array([[-48.0, 48.0]])
    # (1/8 + 1/3) / 2 = 11/48
    a = entry.value(z, *entry.arguments(z, entry.resolve()))
    np.testing.assert_allclose(a, [[-11, 48]], rtol=1e-15)
    np.testing.assert_allclose(entry.backward(np.ones((1, 2)), z, a, entry.resolve()), [[11 / 48, 1]], rtol=1e-15)


def test_drawn_arguments_come_last_and_only_where_something_is_drawn(activation, dtype):
    entry, z, u = ACTIVATIONS[activation], np.zeros((3, 2), dtype), np.full((3, 2), 0.25, dtype)
    if not entry.draws:
        assert entry.arguments(z, entry.resolve(), u) == entry.resolve()
        return
    *block, half = entry.arguments(z, entry.resolve())
    assert tuple(block) == entry.resolve()
    assert half.dtype == dtype
    np.testing.assert_array_equal(half, np.full((3, 2), 0.5))
    assert entry.arguments(z, entry.resolve(), u)[-1] is u


def test_the_lower_slope_must_not_exceed_the_upper():
    resolve = ACTIVATIONS["randomized_leaky_relu"].resolve
    assert resolve({"lower": 0.25, "upper": 0.25}) == (0.25, 0.25)
    with pytest.raises(ValueError, match=r"lower .*'randomized_leaky_relu' must not exceed upper, got lower = 0.5 and"):
        resolve({"lower": 0.5})
    with pytest.raises(ValueError, match=r"\[0, inf\)"):
        resolve({"lower": -0.5})


@pytest.mark.parametrize("name", list(BY_HAND))
def test_values_by_hand(name):
    for block, z, a in BY_HAND[name]:
        assert ACTIVATIONS[name].value(np.array([[z]]), *block).item() == pytest.approx(a, rel=1e-15, abs=1e-300)


def test_every_value_keeps_shape_dtype_and_argument(activation, dtype):
    entry = ACTIVATIONS[activation]
    for block in blocks(entry):
        z = np.random.default_rng(0).normal(size=(5, 3)).astype(dtype)
        before = z.copy()
        a = entry.value(z, *entry.arguments(z, block))
        assert (a.shape, a.dtype) == (z.shape, dtype)
        assert not np.shares_memory(a, z)
        np.testing.assert_array_equal(z, before)
        if entry.derivative is not None:
            d = entry.derivative(a if entry.needs == "output" else z, *entry.arguments(z, block))
            assert (d.shape, d.dtype) == (z.shape, dtype)


def test_outputs_lie_in_the_range(activation, dtype):
    entry = ACTIVATIONS[activation]
    z = np.linspace(-5, 5, 200, dtype=dtype).reshape(50, 4)
    for block in blocks(entry):
        a = entry.value(z, *entry.arguments(z, block))
        assert all(float(x) in entry.range for x in a.ravel())


def test_extreme_arguments_give_limits_without_warnings(activation, dtype):
    entry = ACTIVATIONS[activation]
    huge = np.finfo(dtype).max
    z = np.array([[-huge, -1e4, -100, 0], [100, 1e4, huge, 1]], dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arguments = entry.arguments(z, entry.resolve())
        a = entry.value(z / 4, *arguments)
        if entry.derivative is not None:
            d = entry.derivative(a if entry.needs == "output" else z / 4, *arguments)
            assert not np.isnan(d).any()
    assert not np.isnan(a).any()


def test_nan_passes_through(activation, dtype):
    entry = ACTIVATIONS[activation]
    z = np.array([[np.nan, 1.0], [2.0, 3.0]], dtype=dtype)
    a = entry.value(z, *entry.arguments(z, entry.resolve()))
    expected = np.isnan(z)
    if entry.jacobian_product is not None:
        expected = np.array([[True, True], [False, False]])
    np.testing.assert_array_equal(np.isnan(a), expected)


@pytest.mark.parametrize("name", [name for name, entry in ACTIVATIONS.items() if entry.needs])
def test_gradients_against_differences(name):
    entry = ACTIVATIONS[name]
    rng = np.random.default_rng(0)
    # Away from 0, where some have a kink.
    z = rng.choice([-1, 1], (200, 4)) * rng.uniform(0.01, 6, (200, 4))
    grad, h = rng.normal(size=z.shape), 1e-5
    for block in blocks(entry):
        expected = np.empty_like(z)
        for j in range(z.shape[1]):
            shift = h * np.eye(z.shape[1])[j]
            arguments = entry.arguments(z, block)
            difference = (entry.value(z + shift, *arguments) - entry.value(z - shift, *arguments)) / (2 * h)
            expected[:, j] = (grad * difference).sum(axis=1)
        backward = entry.backward(grad, z, entry.value(z, *entry.arguments(z, block)), block)
        np.testing.assert_allclose(backward, expected, rtol=1e-8, atol=1e-8)


def test_conventions_where_there_is_no_derivative():
    zero = np.zeros((1, 1))
    assert ACTIVATIONS["relu"].derivative(zero).item() == 0
    assert ACTIVATIONS["leaky_relu"].derivative(zero, 0.3).item() == 0.3
    assert ACTIVATIONS["randomized_leaky_relu"].derivative(zero, 0.0, 1.0, zero + 0.3).item() == 0.3


def test_softmax_is_a_distribution_whatever_the_shift():
    z = np.array([[0.0, math.log(3)], [1000.0, 1000.0 + math.log(3)], [-1e300, 0.0]])
    np.testing.assert_allclose(ACTIVATIONS["softmax"].value(z), [[0.25, 0.75], [0.25, 0.75], [0, 1]], rtol=1e-13)


def test_logistic_keeps_its_precision_in_the_tail():
    np.testing.assert_allclose(ACTIVATIONS["logistic"].value(np.array([-40.0, -700.0])), np.exp([-40.0, -700.0]))


def test_an_activation_has_a_gradient_or_a_reason(activation):
    entry = ACTIVATIONS[activation]
    if entry.needs is None:
        assert entry.reason
        with pytest.raises(ValueError, match=activation):
            entry.backward(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), ())
    else:
        assert (entry.derivative is None) != (entry.jacobian_product is None)


def test_parameters_are_checked(activation):
    entry = ACTIVATIONS[activation]
    with pytest.raises(TypeError, match="no_such"):
        entry.resolve({"no_such": 1.0})
    for key, default in entry.parameters.items():
        # By less than the distance of those that are ordered.
        block = entry.resolve({key: default + 0.125})
        assert block == tuple(v + 0.125 * (k == key) for k, v in entry.parameters.items())
        with pytest.raises(TypeError, match="real number"):
            entry.resolve({key: "1"})
        with pytest.raises(TypeError, match="real number"):
            entry.resolve({key: True})
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match=key):
                entry.resolve({key: bad})


def test_leaky_relu_needs_a_slope_that_keeps_the_sign():
    with pytest.raises(ValueError, match=r"\[0, inf\)"):
        ACTIVATIONS["leaky_relu"].resolve({"alpha": -0.1})


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'sigmoid'.*'logistic'"):
        get_activation("sigmoid")
    with pytest.raises(TypeError, match="string"):
        get_activation(3)
