"""The gradient of the oracle against central differences of its loss."""

import numpy as np
import pytest

from fastmlp import Network
from fastmlp.backends import available_backends

STEP = 1e-6
UNITS = [3, 4, 3, 2]


def mean_loss(oracle, problem, alpha):
    parts = oracle.loss(problem.spec, problem.params, problem.data, alpha)
    return (parts.data + parts.l2) / parts.weight


def differences(oracle, problem, alpha):
    """Return the gradient of the mean loss by central differences, one parameter after another."""
    grad = np.empty_like(problem.params)
    for i, w in enumerate(problem.params.copy()):
        problem.params[i] = w + STEP
        above = mean_loss(oracle, problem, alpha)
        problem.params[i] = w - STEP
        below = mean_loss(oracle, problem, alpha)
        problem.params[i] = w
        grad[i] = (above - below) / (2 * STEP)
    return grad


def away_from_kinks(make, oracle):
    """Return a problem none of whose pre-activations is near 0, where piecewise functions have their kinks."""
    for seed in range(100):
        problem = make(seed)
        z, _ = oracle.layers(problem.spec, problem.params, problem.data.X)
        if min(np.abs(layer).min() for layer in z) > 1e-3:
            return problem
    raise AssertionError("no such problem found")


def check(oracle, problem, alpha):
    grad = np.full_like(problem.params, np.nan)
    oracle.loss_grad(problem.spec, problem.params, problem.data, alpha, grad)
    expected = differences(oracle, problem, alpha)
    assert np.linalg.norm(expected) > 1e-3
    assert np.linalg.norm(grad - expected) <= 1e-7 * np.linalg.norm(expected)


def test_every_activation_loss_and_output(oracle, make_problem, hidden, pair):
    def make(seed):
        return make_problem(UNITS, hidden, pair, "float64", n_rows=5, seed=seed, scale=2.0)

    check(oracle, away_from_kinks(make, oracle), alpha=0.0)


@pytest.mark.parametrize("kind", ["soft", "hard", "codes"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("csr", [False, True])
def test_weights_penalty_sparse_rows_and_kinds_of_targets(oracle, make_problem, pair, kind, weights, csr):
    def make(seed):
        return make_problem(
            UNITS, "tanh", pair, "float64", n_rows=10, seed=seed, weights=weights, csr=csr, kind=kind, scale=2.0
        )

    check(oracle, away_from_kinks(make, oracle), alpha=0.3)


@pytest.mark.parametrize("units", [[3, 2], [1, 2], [2, 1, 2], [2, 3, 3, 3, 3, 2]])
def test_depths_and_widths(oracle, make_problem, units):
    def make(seed):
        return make_problem(units, "gelu", ("log_loss", "softmax"), "float64", n_rows=4, seed=seed, scale=2.0)

    check(oracle, away_from_kinks(make, oracle), alpha=0.1)


def test_biases_are_free_of_the_penalty(oracle, make_problem):
    problem = make_problem(UNITS, "tanh", ("squared_error", "identity"), "float64")
    layout = problem.spec.layout
    without, with_penalty = layout.allocate("float64"), layout.allocate("float64")
    oracle.loss_grad(problem.spec, problem.params, problem.data, 0.0, without)
    oracle.loss_grad(problem.spec, problem.params, problem.data, 2.0, with_penalty)
    n_rows = len(problem.data.targets)
    np.testing.assert_allclose(
        with_penalty[: layout.n_coefs] - without[: layout.n_coefs],
        2.0 * problem.params[: layout.n_coefs] / n_rows,
        atol=1e-15,
    )
    np.testing.assert_array_equal(with_penalty[layout.n_coefs :], without[layout.n_coefs :])


@pytest.mark.parametrize("backend", available_backends())
def test_an_infinite_bias_has_a_gradient(backend):
    net = Network([1, 1], output_activation="logistic", loss="log_loss", random_state=0, backend=backend)
    net.intercepts[0][0] = np.inf  # p is 1 for every row
    coefs, intercepts = net.gradients([[0.5], [-0.5]], [0.0, 1.0])
    np.testing.assert_array_equal(intercepts[0], [0.5])
    np.testing.assert_array_equal(coefs[0], [[0.25]])


@pytest.mark.parametrize("backend", available_backends())
def test_an_infinite_weight_is_not_hidden(backend):
    net = Network([2, 1], random_state=0, backend=backend)
    net.coefs[0][0] = np.inf
    coefs, _ = net.gradients([[0.0, 1.0]], [0.0])
    assert np.isnan(coefs[0][0, 0])
