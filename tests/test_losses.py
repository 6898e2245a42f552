import math

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, check_pair, get_loss


def test_squared_error_by_hand():
    a, y = np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 2.0]])
    np.testing.assert_allclose(LOSSES["squared_error"].rows(a, y, "identity"), [2.5, 2.0])
    np.testing.assert_allclose(LOSSES["squared_error"].gradient(a, y, "identity"), [[1, 2], [0, -2]])


def test_log_loss_by_hand():
    p, y = np.array([[0.25, 0.75]]), np.array([[0.0, 1.0]])
    loss = LOSSES["log_loss"]
    np.testing.assert_allclose(loss.rows(p, y, "softmax"), -math.log(0.75))
    np.testing.assert_allclose(loss.rows(p, y, "logistic"), -2 * math.log(0.75))
    np.testing.assert_allclose(loss.gradient(p, y, "softmax"), [[0, -4 / 3]])
    np.testing.assert_allclose(loss.gradient(p, y, "logistic"), [[4 / 3, -4 / 3]])


def test_poisson_by_hand():
    a, y = np.array([[2.0, 3.0]]), np.array([[4.0, 0.0]])
    np.testing.assert_allclose(LOSSES["poisson"].rows(a, y, "exp"), 4 * math.log(2) - 4 + 2 + 3)
    np.testing.assert_allclose(LOSSES["poisson"].gradient(a, y, "exp"), [[-1, 1]])


@pytest.mark.parametrize("output", ["softmax", "logistic"])
def test_probabilities_are_clipped_in_the_value(output, dtype):
    eps = np.finfo(dtype).eps
    p, y = np.array([[0.0, 1.0]], dtype=dtype), np.array([[1.0, 0.0]], dtype=dtype)
    rows = LOSSES["log_loss"].rows(p, y, output)
    assert rows.dtype == dtype
    # -log(eps), once for a distribution, twice for two separate probabilities
    np.testing.assert_allclose(rows, -math.log(eps) * (1 if output == "softmax" else 2), rtol=1e-6)


def test_a_certain_and_right_prediction_costs_next_to_nothing(dtype):
    p = np.array([[1.0, 0.0]], dtype=dtype)
    assert 0 <= LOSSES["log_loss"].rows(p, p, "softmax").item() <= 2 * np.finfo(dtype).eps


def test_poisson_at_its_ends():
    rows = LOSSES["poisson"].rows(np.array([[0.0], [0.0], [2.0]]), np.array([[0.0], [1.0], [0.0]]), "exp")
    np.testing.assert_array_equal(rows, [np.nan, np.inf, 2])


def test_values_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=20)
    codes = rng.integers(0, 4, 20)
    ours = LOSSES["log_loss"].rows(p, np.eye(4)[codes], "softmax").mean()
    assert ours == pytest.approx(metrics.log_loss(codes, p, labels=range(4)), rel=1e-12)
    mu, counts = rng.uniform(0.1, 5, (20, 1)), rng.poisson(2, (20, 1))
    ours = 2 * LOSSES["poisson"].rows(mu, counts.astype(float), "exp").mean()
    assert ours == pytest.approx(metrics.mean_poisson_deviance(counts[:, 0], mu[:, 0]), rel=1e-12)


def random_outputs_and_targets(loss, output, n=8, k=3):
    rng = np.random.default_rng(1)
    entry = ACTIVATIONS[output]
    z = rng.normal(size=(n, k))
    a = entry.value(z, *entry.arguments(z, entry.resolve()))
    low, high = max(loss.targets.low, -2), min(loss.targets.high, 3)
    y = rng.uniform(low, high, (n, k))
    return z, a, y / y.sum(axis=1, keepdims=True) if loss.is_categorical(output) else y


def test_derivatives_against_differences(pair):
    loss, output = LOSSES[pair[0]], pair[1]
    _, a, y = random_outputs_and_targets(loss, output)
    h = 1e-6
    for j in range(a.shape[1]):
        shift = h * np.eye(a.shape[1])[j]
        difference = (loss.rows(a + shift, y, output) - loss.rows(a - shift, y, output)) / (2 * h)
        np.testing.assert_allclose(loss.gradient(a, y, output)[:, j], difference, rtol=1e-6, atol=1e-7)


def test_canonical_pairs_have_the_short_delta(pair):
    loss, output = LOSSES[pair[0]], pair[1]
    entry = ACTIVATIONS[output]
    z, a, y = random_outputs_and_targets(loss, output)
    delta = entry.backward(loss.gradient(a, y, output), z, a, entry.resolve())
    if output in loss.canonical:
        np.testing.assert_allclose(delta, a - y, rtol=1e-10, atol=1e-12)
    elif not entry.parameters:  # which might make it one, as linear
        assert not np.allclose(delta, a - y, rtol=1e-3)


@pytest.mark.parametrize("output", list(ACTIVATIONS))
def test_squared_error_goes_with_every_output(output):
    check_pair("squared_error", output)


@pytest.mark.parametrize(
    ("loss", "output", "allowed"),
    [
        ("log_loss", "logistic", True),
        ("log_loss", "softmax", True),
        ("log_loss", "step", False),
        ("log_loss", "tanh", False),
        ("log_loss", "identity", False),
        ("log_loss", "exp", False),
        ("poisson", "exp", True),
        ("poisson", "logistic", True),
        ("poisson", "softmax", True),
        ("poisson", "relu", False),
        ("poisson", "step", False),
        ("poisson", "gelu", False),
        ("poisson", "identity", False),
    ],
)
def test_pairs(loss, output, allowed):
    if allowed:
        check_pair(loss, output)
    else:
        with pytest.raises(ValueError, match=rf"{loss}.*\(0, .*{output}"):
            check_pair(loss, output)


def test_every_canonical_pair_is_allowed():
    for name, loss in LOSSES.items():
        for output in loss.canonical:
            check_pair(name, output)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'mse'.*'squared_error'"):
        get_loss("mse")
    with pytest.raises(TypeError, match="string"):
        get_loss(None)
