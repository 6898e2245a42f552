"""The kernels' benchmarks run and compute what they say. No times."""

import itertools

import pytest

pytest.importorskip("_fastmlp_c")
from suite import kernels

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
