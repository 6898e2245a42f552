"""The asv suites' benchmarks run and compute what they say. No times."""

import itertools

import pytest

pytest.importorskip("_fastmlp_c")
from peers.rows import ROWS
from suite import kernels, rows

pytestmark = pytest.mark.c


@pytest.mark.parametrize("name", list(kernels.CASES))
def test_kernels(name):
    for isa, dtype in itertools.product(kernels.ISAS, kernels.DTYPES):
        benchmark = kernels.Kernels()
        try:
            benchmark.setup(isa, dtype, name)
        except NotImplementedError:
            continue
        benchmark.time_kernel(isa, dtype, name)
        assert benchmark.track_error(isa, dtype, name) < (1e-14 if dtype == "float64" else 1e-5)


SMALL = [(rows.Trainings, "xor"), (rows.Predictions, "predict-1-f64"), (rows.Estimators, "fixed-cost")]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("benchmark", "name"), SMALL)
def test_rows(benchmark, name):
    losses = []
    for n_threads in rows.N_THREADS:
        row = benchmark()
        row.setup(name, n_threads)
        row.time_work(name, n_threads)
        losses.append(row.track_loss(name, n_threads))
        row.teardown(name, n_threads)
    assert 0 < losses[0] == losses[1] < 10


def test_every_row_is_in_a_suite():
    suites = (rows.Trainings, rows.Predictions, rows.Estimators)
    assert sorted(name for suite in suites for name in suite.params[0]) == sorted(ROWS)
