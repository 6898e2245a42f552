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


@pytest.mark.parametrize("name", list(BY_HAND))
def test_values_by_hand(name):
    for block, z, a in BY_HAND[name]:
        assert ACTIVATIONS[name].value(np.array([[z]]), *block).item() == pytest.approx(a, rel=1e-15, abs=1e-300)


def test_every_value_keeps_shape_dtype_and_argument(activation, dtype):
    entry = ACTIVATIONS[activation]
    for block in blocks(entry):
        z = np.random.default_rng(0).normal(size=(5, 3)).astype(dtype)
        before = z.copy()
        a = entry.value(z, *block)
        assert (a.shape, a.dtype) == (z.shape, dtype)
        assert not np.shares_memory(a, z)
        np.testing.assert_array_equal(z, before)
        if entry.derivative is not None:
            d = entry.derivative(a if entry.needs == "output" else z, *block)
            assert (d.shape, d.dtype) == (z.shape, dtype)


def test_outputs_lie_in_the_range(activation, dtype):
    entry = ACTIVATIONS[activation]
    z = np.linspace(-5, 5, 200, dtype=dtype).reshape(50, 4)
    for block in blocks(entry):
        a = entry.value(z, *block)
        assert all(float(x) in entry.range for x in a.ravel())


def test_extreme_arguments_give_limits_without_warnings(activation, dtype):
    entry = ACTIVATIONS[activation]
    huge = np.finfo(dtype).max
    z = np.array([[-huge, -1e4, -100, 0], [100, 1e4, huge, 1]], dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = entry.value(z / 4, *entry.resolve())
        if entry.derivative is not None:
            d = entry.derivative(a if entry.needs == "output" else z / 4, *entry.resolve())
            assert not np.isnan(d).any()
    assert not np.isnan(a).any()


def test_nan_passes_through(activation, dtype):
    entry = ACTIVATIONS[activation]
    z = np.array([[np.nan, 1.0], [2.0, 3.0]], dtype=dtype)
    a = entry.value(z, *entry.resolve())
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
            difference = (entry.value(z + shift, *block) - entry.value(z - shift, *block)) / (2 * h)
            expected[:, j] = (grad * difference).sum(axis=1)
        backward = entry.backward(grad, z, entry.value(z, *block), block)
        np.testing.assert_allclose(backward, expected, rtol=1e-8, atol=1e-8)


def test_conventions_where_there_is_no_derivative():
    zero = np.zeros((1, 1))
    assert ACTIVATIONS["relu"].derivative(zero).item() == 0
    assert ACTIVATIONS["leaky_relu"].derivative(zero, 0.3).item() == 0.3


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
        block = entry.resolve({key: default + 1})
        assert block == tuple(v + (k == key) for k, v in entry.parameters.items())
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
