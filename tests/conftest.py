"""What the tests share: the registries as parameters, and random problems for any entry of them.

Every activation, loss, solver and backend is taken from its registry, so that a new one is tested without an edit here.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS, Data, get_backend
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS
from fastmlp.spec import NetworkSpec, make_spec

# Processes in the background are started with interrupts switched off, and tests send some to themselves.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Pictures are drawn without a display.
os.environ["MPLBACKEND"] = "Agg"

# The same examples in every run; HYPOTHESIS_PROFILE=default looks for others.
settings.register_profile("fastmlp", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fastmlp"))

DIFFERENTIABLE_HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.needs and not entry.outputs_only]
PAIRS = [
    (loss, output)
    for loss, loss_entry in LOSSES.items()
    for output, output_entry in ACTIVATIONS.items()
    if output_entry.needs and loss_entry.domain.includes(output_entry.range)
]
KINDS = ["soft", "hard", "codes"]
"""Of targets."""
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


@pytest.fixture(autouse=True)
def _registries_as_they_were():
    """Take out what a test, or an example of a docstring, has registered."""
    before = [(registry, dict(registry)) for registry in (ACTIVATIONS, LOSSES)]
    yield
    for registry, entries in before:
        if registry != entries:
            registry.clear()
            registry.update(entries)


@pytest.fixture
def no_garbage():
    """Let nothing be collected meanwhile: an interrupt that comes in a callback for what dies is printed and lost."""
    gc.freeze()  # so that a test that collects looks through its own alone
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def _instance(name: str):
    try:
        return get_backend(name)
    except ImportError as error:
        pytest.skip(str(error))


def _backend_params(names):
    return [pytest.param(name, marks=pytest.mark.c) if name == "c" else name for name in names]


@pytest.fixture(scope="session", params=_backend_params(BACKENDS))
def backend(request):
    """Each backend that can be imported here."""
    return _instance(request.param)


@pytest.fixture(scope="session", params=_backend_params([name for name in BACKENDS if name != "numpy"]))
def fast_backend(request):
    """Each backend that is compared to the oracle."""
    return _instance(request.param)


@pytest.fixture(scope="session")
def oracle():
    return get_backend("numpy")


@pytest.fixture(scope="session", params=["float64", "float32"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="session", params=list(ACTIVATIONS))
def activation(request):
    """Name of each activation."""
    return request.param


@pytest.fixture(scope="session", params=DIFFERENTIABLE_HIDDEN)
def hidden(request):
    """Name of each activation that a hidden layer can be trained with."""
    return request.param


@pytest.fixture(scope="session", params=PAIRS, ids="-".join)
def pair(request):
    """Names of each loss and output activation that go together and can be trained."""
    return request.param


@pytest.fixture(scope="session", params=list(SOLVERS))
def solver(request):
    """Name of each solver."""
    return request.param


def with_unusual_parameters(name: str) -> tuple[str, dict[str, float]]:
    """Return the activation with parameters that are not the defaults, which would hide that they are ignored."""
    entry = ACTIVATIONS[name]
    unusual = {key: 1.5 * default + 0.25 for key, default in entry.parameters.items()}
    entry.resolve(unusual)
    return name, unusual


@pytest.fixture(scope="session")
def unusual():
    return with_unusual_parameters


@dataclass(eq=False)
class Problem:
    spec: NetworkSpec
    params: np.ndarray
    data: Data


@pytest.fixture(scope="session")
def make_problem():
    """Return a function that makes a random network and random data for it."""

    def make(
        units,
        hidden,
        pair,
        dtype,
        *,
        n_rows=30,
        seed=0,
        weights=False,
        csr=False,
        zeros=None,
        kind="soft",
        scale=1.0,
    ) -> Problem:
        loss, output = pair
        spec = make_spec(units, with_unusual_parameters(hidden), with_unusual_parameters(output), loss, dtype)
        rng = np.random.default_rng(seed)
        params = spec.layout.allocate(spec.dtype)
        bound = scale / np.sqrt(max(units))
        params[:] = rng.uniform(-bound, bound, len(params))
        X = rng.normal(size=(n_rows, units[0]))
        if csr or zeros:
            X[rng.uniform(size=X.shape) < (zeros or 0.6)] = 0
        X = X.astype(spec.dtype)
        if csr:
            X = pytest.importorskip("scipy.sparse").csr_matrix(X)
        sample_weight = None
        if weights:
            sample_weight = rng.uniform(0.2, 3, n_rows).astype(spec.dtype)
            # The first rows of a batch may be without weight, but no whole batch.
            sample_weight[: n_rows // 4 : 2] = 0 if n_rows > 8 else 1
        targets, hard = _targets(spec, rng, n_rows, kind)
        return Problem(spec, params, Data(X, targets, sample_weight, hard))

    return make


@pytest.fixture(scope="session")
def some_options():
    """Return a function that picks ways to train, others for each network.

    Of each its solver, whether rows are sparse and weighted, batch size and kind of targets. All of them with all
    activations and pairs would be most of the suite's time.
    """

    def pick(hidden, pair, n_rows):
        names, solvers = [*ACTIVATIONS, *LOSSES], list(SOLVERS)
        turn = sum(map(names.index, (hidden, *pair)))
        csr, weights = divmod(turn % 4, 2)
        for i, batch_size in enumerate((1, 7, n_rows)):
            yield solvers[(turn // 4 + i) % len(solvers)], bool(csr), bool(weights), batch_size, KINDS[(turn + i) % 3]

    return pick


def _targets(spec: NetworkSpec, rng: np.random.Generator, n_rows: int, kind: str) -> tuple[np.ndarray, bool]:
    shape = (n_rows, spec.units[-1])
    if kind == "soft":
        allowed = spec.loss_entry.targets
        if np.isfinite(allowed.high):
            y = rng.uniform(allowed.low, allowed.high, shape)
        elif np.isfinite(allowed.low):
            y = allowed.low + rng.poisson(1.0, shape) * rng.uniform(0.5, 1.5, shape)
        else:
            y = rng.normal(size=shape)
        if spec.is_categorical:
            y /= y.sum(axis=1, keepdims=True)
        return y.astype(spec.dtype), False
    n_classes = max(2, spec.units[-1])
    codes = rng.integers(0, n_classes, n_rows).astype(np.int32)
    if kind == "codes":
        return codes, True
    if spec.units[-1] == 1:
        return codes[:, np.newaxis].astype(spec.dtype), True
    return np.eye(n_classes, dtype=spec.dtype)[codes], True


def assert_same_bits(results, others, what=""):
    """Compare two series of arrays or numbers."""
    for i, (one, other) in enumerate(zip(results, others, strict=True)):
        one, other = np.asarray(one), np.asarray(other)
        assert one.tobytes() == other.tobytes(), (
            f"{what}: result {i} differs at {np.flatnonzero(one != other)[:5]} of {one.size}"
        )


def run_python(code, *arguments, check=True, timeout=300, **variables):
    """Run Python code in a process that imports what this one would, and return the completed process.

    check: it must succeed. variables: of the environment, besides those that are set; None takes one away.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]), **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout)
    assert not check or done.returncode == 0, done.stderr
    return done


class Tensor:
    """An array of another library, whose size is a method and whose length may be dear."""

    def __init__(self, numbers):
        self.numbers, self.shape = numbers, numbers.shape

    def size(self):
        return self.shape

    def __len__(self):
        raise ValueError("not computed yet")

    def __array__(self, dtype=None, copy=None):
        return self.numbers


def outcome(function, *args, **kwargs):
    """Return what a call returns or raises, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            result = error
    return result, [(w.category, str(w.message)) for w in caught]


@pytest.fixture(scope="session")
def assert_agree():
    """Return a function that compares arrays norm-wise, to the tolerance of their dtype."""

    def check(actual, expected, tolerance=None, what=""):
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.shape == expected.shape, what
        assert actual.dtype == expected.dtype, what
        assert np.isfinite(expected).all(), what  # of infinity every distance would be allowed
        tolerance = TOLERANCE[actual.dtype] if tolerance is None else tolerance
        error = np.linalg.norm(actual.astype(np.float64) - expected.astype(np.float64))
        limit = tolerance * np.linalg.norm(expected.astype(np.float64))
        assert error <= limit, f"{what}: {error:.3g} > {limit:.3g}"

    return check
