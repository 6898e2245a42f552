"""The Numba backend from near: its elementary functions, what it keeps on disk, its shuffle, many threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import run_python

numba = pytest.importorskip("numba")

from fastmlp.activations import ACTIVATIONS  # noqa: E402
from fastmlp.backends import Plan, _numba_formulas, get_backend  # noqa: E402
from fastmlp.solvers import SolverState  # noqa: E402

ULPS = {"exp": 1, "expm1": 2, "log": 1, "log1p": 2, "tanh": 2}


@pytest.mark.parametrize("name", list(ULPS))
def test_elementary_functions(name, dtype):
    function = getattr(_numba_formulas.module_of(dtype.type), name)

    @numba.njit(error_model="numpy")
    def apply(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    limits = np.finfo(dtype)
    special = [0, np.inf, -np.inf, np.nan, limits.tiny, limits.smallest_subnormal, limits.max, -limits.max, -1]
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-800, 800, 20001), rng.normal(size=20000), special]).astype(dtype)
    out = np.empty_like(x)
    apply(x, out)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x.astype(np.longdouble)).astype(dtype)
        error = np.abs(out - expected) / np.spacing(np.abs(expected))
    same = (out == expected) | (np.isnan(out) & np.isnan(expected))
    assert np.where(same, 0, error).max() <= ULPS[name]


def test_every_coupled_activation_has_its_kernels():
    coupled = {name for name, entry in ACTIVATIONS.items() if entry.jacobian_product is not None}
    assert set(_numba_formulas._COUPLED) == coupled


def test_without_a_folder_for_the_cache(monkeypatch):
    from numba.core import caching

    from fastmlp.backends import _numba_jit

    monkeypatch.setattr(caching.CodeLibraryCacheImpl, "_locator_classes", [])
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])

    def doubled(x):
        return 2 * x

    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(["f8(f8)"], cache=True)(doubled)
    assert _numba_jit.entry(doubled, "doubled", "f8(f8)")(2.0) == 4.0
    assert _numba_jit.kernel(doubled, "doubled", "f8(f8)").ctypes(2.0) == 4.0


def test_what_is_compiled_is_kept(tmp_path):
    code = """
import numpy as np
from fastmlp import Network
Network([3, 1], loss="squared_error", random_state=0, backend="numba").forward(np.ones((1, 3)))
"""

    def run():
        run_python(code, NUMBA_CACHE_DIR=str(tmp_path))
        return {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb[ci]")}

    first = run()
    assert first
    assert run() == first


@pytest.mark.parametrize("n", [1, 2, 17, 256, 257])
def test_a_shuffle_leaves_the_generator_as_numpy_does(make_problem, n):
    problem = make_problem([2, 3, 1], "tanh", ("squared_error", "identity"), "float64", n_rows=n)
    rows, mine, theirs = np.arange(n, dtype=np.int32), np.random.RandomState(4), np.random.RandomState(4)
    state = SolverState.fresh("sgd", len(problem.params), "float64")
    plan = Plan(state, 7, rows=rows, shuffle=True, random_state=mine)
    get_backend("numba").trainer(problem.spec, problem.params.copy(), problem.data, plan).run(3)
    expected = np.arange(n)
    for _ in range(3):
        theirs.shuffle(expected)
    np.testing.assert_array_equal(rows, expected)
    assert mine.randint(2**31) == theirs.randint(2**31)


def test_training_from_many_threads(make_problem):
    def train(seed):
        problem = make_problem([8, 9, 3], "tanh", ("log_loss", "softmax"), "float32", seed=seed)
        state = SolverState.fresh("adam", len(problem.params), "float32")
        plan = Plan(state, 7, shuffle=True, random_state=np.random.RandomState(seed))
        get_backend("numba").trainer(problem.spec, problem.params, problem.data, plan).run(20)
        return problem.params

    expected = [train(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for got, wanted in zip(pool.map(train, range(8)), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_arrays_that_must_not_be_written(make_problem):
    problem = make_problem([3, 2], "tanh", ("squared_error", "identity"), "float64")
    expected = get_backend("numba").forward(problem.spec, problem.params, problem.data.X)
    for array in (problem.params, problem.data.X):
        array.flags.writeable = False
    np.testing.assert_array_equal(get_backend("numba").forward(problem.spec, problem.params, problem.data.X), expected)
