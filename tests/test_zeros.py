"""Networks with many zeros, in their rows or of ReLU: steps that are left out change no number."""

import itertools

import numpy as np
import pytest
from conftest import assert_same_bits

from fastmlp.backends import Data, Plan, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SolverState

PAIR = ("squared_error", "relu")
# A word of bits and more in every direction, panels whole and ragged; a batch of one block and of several.
UNITS = [70, 130, 100, 33, 3], [200, 64, 100]
ROWS = 100, 600
every_shape = pytest.mark.parametrize(("units", "n_rows"), list(itertools.product(UNITS, ROWS)), ids=str)


def gradient(backend, problem):
    """Sums and gradient over all rows."""
    grad = aligned_zeros(len(problem.params), problem.spec.dtype)
    parts = backend.loss_grad(problem.spec, problem.params, problem.data, 0.1, grad)
    return [parts.data, parts.weight, grad]


def trained(backend, problem, batch_size):
    """Parameters after two epochs, and the losses."""
    params = aligned_zeros(len(problem.params), problem.spec.dtype)
    params[:] = problem.params
    plan = Plan(SolverState.fresh("adam", len(params), params.dtype), batch_size, alpha=0.1)
    losses = backend.trainer(problem.spec, params, problem.data, plan).run(2)
    return [params, losses.data]


@pytest.fixture(params=["relu", "tanh"])
def make(request, make_problem):
    """Return a function that makes a problem with zeros in X and in the outputs, and with or without ones between."""

    def make_it(units, dtype, n_rows, zeros=0.7):
        return make_problem(units, request.param, PAIR, dtype, n_rows=n_rows, weights=True, zeros=zeros)

    return make_it


@every_shape
def test_zeros_change_nothing_but_the_time(fast_backend, oracle, make, dtype, units, n_rows, assert_agree):
    for zeros in (0.7, 0.97, 0):
        problem = make(units, dtype, n_rows, zeros)
        given = problem.spec, problem.params, problem.data.X
        assert_agree(fast_backend.forward(*given), oracle.forward(*given), what=f"{zeros=}")
        *sums, grad = gradient(fast_backend, problem)
        *expected_sums, expected = gradient(oracle, problem)
        assert_agree(grad, expected, what=f"{zeros=}")
        np.testing.assert_allclose(sums, expected_sums, rtol=1e-12 if dtype == np.float64 else 1e-5)


@pytest.mark.c
@pytest.mark.c_fma
@every_shape
def test_rows_among_many_have_the_bits_of_few(make, dtype, units, n_rows):
    backend, problem = get_backend("c"), make(units, dtype, n_rows)
    X = problem.data.X
    pieces = [backend.forward(problem.spec, problem.params, X[i : i + 20]) for i in range(0, n_rows, 20)]
    assert_same_bits([backend.forward(problem.spec, problem.params, X)], [np.concatenate(pieces)])


@pytest.mark.c
@every_shape
def test_dense_rows_train_to_the_bits_of_sparse_ones(make, dtype, units, n_rows):
    sparse = pytest.importorskip("scipy.sparse")
    backend, problem = get_backend("c"), make(units, dtype, n_rows)
    for batch_size in (40, n_rows):
        results = trained(backend, problem, batch_size)
        data = problem.data
        problem.data = Data(sparse.csr_matrix(data.X), data.targets, data.sample_weight, data.hard)
        assert_same_bits(results, trained(backend, problem, batch_size))
        problem.data = data


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_not_finite_is_not_hidden(fast_backend, oracle, make, dtype, number, layer):
    # 0 * inf is NaN: of the rows without an entry in that column, and of those without weight, whose deltas are 0, too.
    # Three of four have none, so that deltas are sparse wherever the threshold may lie.
    problem = make(UNITS[0], dtype, 100)
    spec, weight = problem.spec, problem.data.sample_weight
    weight[::2] = weight[1::4] = 0
    spec.layout.coefs(problem.params)[layer][3, 2] = number
    with np.errstate(all="ignore"):
        for backend in (fast_backend, oracle):
            out = backend.forward(spec, problem.params, problem.data.X)
            *_, grad = gradient(backend, problem)
            if backend is fast_backend:
                found = out, grad
    for got, expected in zip(found, (out, grad), strict=True):
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))


def test_a_delta_that_is_not_finite_is_not_hidden(fast_backend, oracle, make, dtype):
    problem = make(UNITS[0], dtype, 100)
    problem.data.targets[7, 1] = np.inf
    with np.errstate(all="ignore"):
        found, expected = (gradient(backend, problem)[-1] for backend in (fast_backend, oracle))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


def test_an_evaluator_keeps_nothing_of_the_parameters_before(backend, make, dtype):
    problem = make(UNITS[0], dtype, 600)
    evaluate, alone = backend.evaluator(problem.spec, problem.data), backend.loss_grad
    for scale in (1, 3, 0.5, 1):
        params, grad, expected = scale * problem.params, np.empty_like(problem.params), np.empty_like(problem.params)
        results = [*evaluate(params, 0.1, grad), grad]
        assert_same_bits(results, [*alone(problem.spec, params, problem.data, 0.1, expected), expected])
