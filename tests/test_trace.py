"""`Network.trace` and `Network.explain`: the worked example, every loss and activation against `gradients`."""

import math

import numpy as np
import pytest

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS

X, Y = [0.05, 0.10], [0.01, 0.99]


@pytest.fixture
def worked():
    """The 2-2-2 network of every lecture."""
    return Network.from_weights(
        [np.transpose([[0.15, 0.20], [0.25, 0.30]]), np.transpose([[0.40, 0.45], [0.50, 0.55]])],
        [[0.35, 0.35], [0.60, 0.60]],
        activation="logistic",
        output_activation="logistic",
    )


def column(*numbers):
    return pytest.approx(np.array(numbers)[:, np.newaxis], abs=5e-7)


def row_and_targets(net, rng):
    """One random row, and targets that the net's loss allows."""
    y = rng.uniform(0.1, 0.9, net.units[-1])
    return rng.normal(size=net.units[0]), y / y.sum() if net.spec.is_categorical else y


class TestWorkedExample:
    def test_forward(self, worked):
        trace = worked.trace(X, Y)
        assert trace.a[0] == column(0.05, 0.10)
        assert trace.z[1] == column(0.3775, 0.3925)
        assert trace.a[1] == column(0.593270, 0.596884)
        assert trace.a[2] == column(0.751365, 0.772928)
        assert trace.loss == pytest.approx(0.298371, abs=5e-7)

    def test_backward(self, worked):
        trace = worked.trace(X, Y)
        assert trace.dL_da[2] == column(0.741365, -0.217072)
        assert trace.dL_da[1] == column(0.036350, 0.041370)
        assert trace.slope[2] == column(0.186816, 0.175510)
        assert trace.delta[2] == column(0.138499, -0.038098)
        assert trace.dW[2] == pytest.approx(np.array([[0.082167, 0.082668], [-0.022603, -0.022740]]), abs=5e-7)
        assert trace.dW[1][0, 0] == pytest.approx(0.000438568, abs=5e-10)
        assert (worked.W(1)[0, 0] - 0.5 * trace.dW[1][0, 0]) == pytest.approx(0.149780716, abs=5e-10)

    def test_an_output_weight(self, worked):
        explanation = worked.explain(X, Y, layer=2, i=1, j=1)
        (path,) = explanation.paths
        assert [factor.name for factor in path.factors] == ["dL/da[2]_1", "da[2]_1/dz[2]_1", "dz[2]_1/dw[2]_11"]
        assert [round(factor.value, 4) for factor in path.factors] == [0.7414, 0.1868, 0.5933]
        assert "0.7414 *          0.1868 *           0.5933 = 0.08217" in str(explanation)

    def test_a_first_layer_weight(self, worked):
        explanation = worked.explain(X, Y, layer=1, i=1, j=1)
        first, second = explanation.paths
        assert [round(factor.value, 4) for factor in first.factors] == [0.7414, 0.1868, 0.4, 0.2413, 0.05]
        assert [round(factor.value, 4) for factor in second.factors] == [-0.2171, 0.1755, 0.5, 0.2413, 0.05]
        assert explanation.derivative == pytest.approx(first.product + second.product, rel=1e-15)
        assert explanation.derivative == pytest.approx(0.000438568, abs=5e-10)

    def test_the_table(self, worked):
        text = str(worked.trace(X, Y))
        for number in ["0.298371", "0.3775", "0.596884", "0.751365", "0.0226025", "0.000438568", "0.186816"]:
            assert number in text
        assert max(map(len, text.splitlines())) < 120


def assert_gradient(net):
    x, y = row_and_targets(net, np.random.default_rng(0))
    trace = net.trace(x, y)
    tolerance = 1e-12 if net.dtype == np.float64 else 1e-5
    for layer, (dW, db) in enumerate(zip(*net.gradients([x], [y]), strict=True), start=1):
        assert trace.dW[layer].dtype == trace.z[layer].dtype == trace.delta[layer].dtype == net.dtype
        np.testing.assert_allclose(trace.dW[layer], dW.T, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(trace.db[layer][:, 0], db, rtol=tolerance, atol=tolerance)
    assert trace.loss == net.loss([x], [y])


def test_a_trace_is_the_gradient(dtype, hidden, pair, unusual):
    loss, output = pair
    functions = {"activation": unusual(hidden), "output_activation": unusual(output), "loss": loss}
    assert_gradient(Network([4, 3, 5, 2], alpha=0.3, dtype=dtype, random_state=1, backend="numpy", **functions))


def test_a_trace_is_the_gradient_of_every_backend(backend, dtype):
    assert_gradient(Network([4, 3, 5, 2], alpha=0.3, dtype=dtype, random_state=1, backend=backend.name))


def test_the_paths_sum_to_the_gradient(pair, hidden):
    loss, output = pair
    net = Network([2, 3, 2, 2], activation=hidden, output_activation=output, loss=loss, alpha=0.1, random_state=2)
    x, y = row_and_targets(net, np.random.default_rng(1))
    dW, db = net.gradients([x], [y])
    n_outputs = 2 if ACTIVATIONS[output].jacobian_product is not None else 1
    for layer, n_paths in [(1, 2 * 2 * n_outputs), (2, 2 * n_outputs), (3, n_outputs)]:
        for i in range(1, net.units[layer] + 1):
            for j in [None, *range(1, net.units[layer - 1] + 1)]:
                expected = db[layer - 1][i - 1] if j is None else dW[layer - 1][j - 1, i - 1]
                explanation = net.explain(x, y, layer, i, j)
                assert explanation.derivative == pytest.approx(expected, rel=1e-9, abs=1e-14)
                assert len(explanation.paths) == n_paths
                assert all(len(path.factors) == 3 + 2 * (3 - layer) for path in explanation.paths)


@pytest.mark.parametrize("values", [[0.5, 1.5], [-3.0, 7.0]])
def test_softmax_couples_the_paths(values):
    net = Network.from_weights([[values]], [[0.0, 0.0]], output_activation="softmax", loss="log_loss")
    p = net.forward([[2.0]])[0]
    first, second = net.explain([2.0], [0.25, 0.75], 1, 1, 1).paths
    assert [factor.name for factor in second.factors] == ["dL/da[1]_2", "da[1]_2/dz[1]_1", "dz[1]_1/dw[1]_11"]
    assert [factor.value for factor in first.factors] == pytest.approx([-0.25 / p[0], p[0] * (1 - p[0]), 2.0])
    assert [factor.value for factor in second.factors] == pytest.approx([-0.75 / p[1], -p[0] * p[1], 2.0])


@pytest.mark.parametrize(("loss", "output"), [("log_loss", "logistic"), ("log_loss", "softmax"), ("poisson", "exp")])
@pytest.mark.parametrize("w", [-800.0, 800.0])
def test_outputs_rounded_to_the_end_of_their_range(loss, output, w):
    # Poisson means are not tried at exp(800).
    w = -800.0 if loss == "poisson" else w
    net = Network.from_weights([[[w, -w]]], [[0.0, -800.0]], output_activation=output, loss=loss)
    if loss == "poisson":
        net.W(1)[1] = -800.0
    trace, (dW, _) = net.trace([1.0], [1.0, 0.0]), net.gradients([[1.0]], [[1.0, 0.0]])
    assert trace.dL_da == {}
    np.testing.assert_array_equal(trace.dW[1], dW[0].T)
    (path,) = net.explain([1.0], [1.0, 0.0], 1, 1, 1).paths
    assert [factor.name for factor in path.factors] == ["dL/dz[1]_1", "dz[1]_1/dw[1]_11"]
    assert path.product == dW[0][0, 0]
    assert "dL/da" not in str(trace)


def test_vectors_and_targets_in_any_form(worked):
    expected = str(worked.trace(X, Y))
    for x, y in [([X], [Y]), (np.transpose([X]), np.transpose([Y]))]:
        assert str(worked.trace(x, y)) == expected
    single = Network([2, 1], random_state=0)
    assert str(single.trace(X, 0.5)) == str(single.trace(X, [0.5])) == str(single.trace(X, [[0.5]]))
    for loss in ("log_loss", "squared_error"):
        classes = Network([2, 3], output_activation="softmax", loss=loss, random_state=0)
        assert str(classes.trace(X, 1)) == str(classes.trace(X, [0, 1, 0]))


def test_a_trace_keeps_its_numbers(worked):
    x, y = np.array(X), np.array(Y)
    trace = worked.trace(x, y)
    before = str(trace)
    worked.W(1)[:] = 7
    worked.b(2)[:] = 7
    x[:] = 7
    y[:] = 7
    assert str(trace) == before
    assert trace.y.ravel().tolist() == list(Y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], Y, r"x must be one vector of 2 numbers, got shape \(3,\)"),
        ([[1, 2], [3, 4]], Y, r"x must be one vector of 2 numbers, got shape \(2, 2\)"),
        (X, [1], r"y must be one vector of 2 numbers, got shape \(1,\)"),
        (X, 1.0, r"y must be one vector of 2 numbers, got shape \(\)"),
        ([np.nan, 1], Y, "finite"),
        (X, [np.inf, 1], "finite"),
    ],
)
def test_bad_vectors(worked, x, y, message):
    with pytest.raises(ValueError, match=message):
        worked.trace(x, y)


@pytest.mark.parametrize(
    ("layer", "i", "j", "error", "message"),
    [
        (0, 1, 1, ValueError, "layer must be"),
        (3, 1, 1, ValueError, "layer must be"),
        (1, 0, 1, ValueError, "i must be at least 1"),
        (1, 1, 0, ValueError, "j must be at least 1"),
        (1, 1, 3, ValueError, r"j must be from 1 to 2, got 3"),
        (1, 3, None, ValueError, r"i must be from 1 to 2, got 3"),
        (1, 1.0, 1, TypeError, "i must be an integer"),
    ],
)
def test_weights_that_are_not_there(worked, layer, i, j, error, message):
    with pytest.raises(error, match=message):
        worked.explain(X, Y, layer, i, j)


def test_no_gradient_no_trace():
    with pytest.raises(ValueError, match="no gradient through the activation 'step'"):
        Network([2, 2, 1], activation="step").trace(X, 1)


def test_too_many_paths():
    wide = Network([1, 2, 400, 400, 1], random_state=0)
    with pytest.raises(ValueError, match="at most 100000 paths from the loss to the parameter, got 160000"):
        wide.explain([1], 0, 1, 1, 1)
    with pytest.raises(ValueError, match="got more than"):
        Network([10] * 4500, random_state=0).explain(np.ones(10), np.ones(10), 1, 1, 1)
    explanation = wide.explain([1], 0, 2, 1, 1)
    lines = str(explanation).splitlines()
    assert len(explanation.paths) == 400
    assert len(lines) == 1 + 2 * 7 + 1
    shown = [float(line.split("=")[1]) for line in lines[2:-1:2]]
    products = sorted((path.product for path in explanation.paths), key=abs, reverse=True)
    assert shown == pytest.approx(products[:7], rel=1e-3)
    assert lines[-1].startswith("  393 more paths of smaller products, together ")
    assert sum(shown) + float(lines[-1].split()[-1]) == pytest.approx(explanation.derivative, abs=1e-3)


@pytest.mark.parametrize(("second", "expected"), [(-1e200, math.nan), (1e200, math.inf)])
def test_a_derivative_that_is_not_finite(second, expected):
    wide = Network.from_weights([[[1.0]], [[1e200, second]]], [[0.0], [0.0, 0.0]], activation="identity")
    explanation = wide.explain([1.0], [-1e200, -2e200], 1, 1, 1)
    assert [path.product for path in explanation.paths] == [math.inf, math.copysign(math.inf, second)]
    assert repr(explanation.derivative) == repr(expected)
    assert f"dL/dw[1]_11 = {expected:g}" in str(explanation)


@pytest.mark.filterwarnings("error")
def test_numbers_that_overflow_need_no_warning():
    traced = Network.from_weights([[[1.0], [1.0]]], [[0.0]]).trace([1.7e308, 1.7e308], [1.0])
    assert traced.z[1].item() == math.inf
    assert traced.dW[1][0].tolist() == [math.inf, math.inf]


def test_a_sum_beyond_the_numbers():
    net = Network.from_weights([[[1.0]], [[1e154, 1e154]]], [[0.0], [0.0, 0.0]], activation="identity")
    explanation = net.explain([1.0], [-5e153, -5e153], 1, 1, 1)
    assert [path.product for path in explanation.paths] == pytest.approx([1.5e308, 1.5e308])
    assert explanation.derivative == math.inf


def test_more_layers_than_calls_can_nest():
    deep = Network([1] * 1502, activation="identity", random_state=0)
    for layer in range(1, 1502):
        deep.W(layer)[:], deep.b(layer)[:] = 1.0, 0.0
    (path,) = deep.explain([2.0], 5.0, 1, 1, 1).paths
    assert path.product == (2.0 - 5.0) * 2.0
    names = [factor.name for factor in path.factors]
    assert names[:3] == ["dL/da[1501]_1", "da[1501]_1/dz[1501]_1", "dz[1501]_1/da[1500]_1"]
    assert names[-2:] == ["da[1]_1/dz[1]_1", "dz[1]_1/dw[1]_11"]
    assert len(names) == 2 * 1501 + 1


def test_paths_come_in_the_order_of_their_units():
    net = Network([1, 1, 2, 3], output_activation="softmax", loss="log_loss", random_state=0)
    routes = [
        [int(factor.name.split("]_")[1][0]) for factor in path.factors[1:-1:2]]
        for path in net.explain([1.0], 0, 1, 1, 1).paths
    ]
    assert routes == [[k, unit, 1] for unit in (1, 2) for n in (1, 2, 3) for k in (1, 2, 3)]


def test_wide_layers_leave_out_the_middle():
    lines = str(Network([300, 200, 10], random_state=0).trace(np.ones(300), np.zeros(10))).splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 120
    assert sum(line.split()[0] == "200" for line in lines) == 3
