"""The shuffle drawn in C is NumPy's, to the state of the generator; and so are the orders of rows in training."""

import itertools

import numpy as np
import pytest

from fastmlp.backends import Data, Plan, get_backend
from fastmlp.philox import uniforms
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec

try:
    from fastmlp.backends import c
except ImportError:
    pytest.skip("the compiled extension is missing", allow_module_level=True)

pytestmark = pytest.mark.c

ffi, lib = c.ffi, c.lib
GENERATORS = {
    "MT19937": lambda seed: np.random.RandomState(seed),
    "PCG64": lambda seed: np.random.RandomState(np.random.PCG64(seed)),
    "SFC64": lambda seed: np.random.RandomState(np.random.SFC64(seed)),
    "Philox": lambda seed: np.random.RandomState(np.random.Philox(seed)),
}
every_generator = pytest.mark.parametrize("make_state", list(GENERATORS.values()), ids=list(GENERATORS))


def shuffle_in_c(random_state, rows):
    bit_generator = random_state._bit_generator
    with bit_generator.lock:
        pointer = ffi.cast("void *", bit_generator.ctypes.bit_generator.value)
        lib.fm_shuffle(pointer, len(rows), ffi.from_buffer("int32_t *", rows, require_writable=True))


def assert_same_state(one, other):
    def flat(state, prefix=""):
        for key, value in state.items():
            yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]

    mine, theirs = (dict(flat(state._bit_generator.state)) for state in (one, other))
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        np.testing.assert_array_equal(value, theirs[key], key)
    # What is drawn next is the same, also of the normal numbers, which come in pairs.
    np.testing.assert_array_equal(one.standard_normal(3), other.standard_normal(3))
    np.testing.assert_array_equal(one.randint(0, 1000, 5), other.randint(0, 1000, 5))


@every_generator
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 10, 16, 17, 255, 256, 257, 1797, 65536, 65537, 70000])
def test_a_shuffle(make_state, n):
    for seed in (0, 1, 42, 2**32 - 1) if n < 1000 else (0, 42):
        mine, theirs = make_state(seed), make_state(seed)
        rows, expected = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.int32)
        for _ in range(3):  # of what the last one left
            shuffle_in_c(mine, rows)
            theirs.shuffle(expected)
            np.testing.assert_array_equal(rows, expected)
        assert_same_state(mine, theirs)


@every_generator
def test_a_shuffle_after_other_draws(make_state):
    # Half of a 64-bit draw may wait in the generator.
    for n_before in range(4):
        mine, theirs = make_state(5), make_state(5)
        for state in (mine, theirs):
            state.randint(0, 2**32, n_before, dtype=np.uint32)
            state.standard_normal(n_before)
        rows, expected = np.arange(100, dtype=np.int32), np.arange(100, dtype=np.int32)
        shuffle_in_c(mine, rows)
        theirs.shuffle(expected)
        np.testing.assert_array_equal(rows, expected)
        assert_same_state(mine, theirs)


def run_epochs(backend, n, runs, batch_size, random_state, *, rows=None, n_hidden=3):
    """Train for runs of epochs, and return the order of the rows and the parameters afterwards."""
    spec = make_spec([2, n_hidden, 1], "tanh", "identity", "squared_error", "float64")
    rng = np.random.default_rng(0)
    params = rng.normal(size=spec.layout.n_parameters)
    data = Data(rng.normal(size=(n, 2)), rng.normal(size=(n, 1)))
    rows = np.arange(n, dtype=np.int32) if rows is None else rows
    state = SolverState.fresh("sgd", len(params), "float64", learning_rate=1e-3)
    plan = Plan(state, batch_size, rows=rows, shuffle=True, random_state=random_state)
    trainer = backend.trainer(spec, params, data, plan)
    for n_epochs in runs:
        trainer.run(n_epochs)
    return rows, params


@every_generator
def test_training_shuffles_like_the_oracle(make_state):
    for n, batch_size, runs in ((10, 3, [1, 2, 5]), (300, 300, [4]), (257, 256, [1, 1, 1]), (1, 1, [3])):
        mine, theirs = make_state(1), make_state(1)
        rows, params = run_epochs(get_backend("c"), n, runs, batch_size, mine)
        expected_rows, expected = run_epochs(get_backend("numpy"), n, runs, batch_size, theirs)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(params, expected, rtol=1e-12)
        assert_same_state(mine, theirs)


def test_training_shuffles_the_rows_of_the_plan():
    chosen = np.array([7, 3, 3, 19, 0, 11], np.int32)  # a row may be there twice
    mine, theirs = np.random.RandomState(2), np.random.RandomState(2)
    rows, _ = run_epochs(get_backend("c"), 20, [3], 4, mine, rows=chosen.copy())
    for _ in range(3):
        theirs.shuffle(chosen)
    np.testing.assert_array_equal(rows, chosen)
    assert_same_state(mine, theirs)


@pytest.mark.parametrize(
    ("n", "batch_size", "epochs"), [(10, 10, 40_000), (10, 3, 20_000), (200, 200, 5000), (5000, 5000, 60)]
)
def test_every_epoch_is_shuffled_once(n, batch_size, epochs):
    # C returns now and then to let signals in, after whatever step that may be: the last of an epoch, too.
    mine, theirs = np.random.RandomState(0), np.random.RandomState(0)
    rows, _ = run_epochs(get_backend("c"), n, [epochs], batch_size, mine, n_hidden=50 if n == 5000 else 3)
    expected = np.arange(n, dtype=np.int32)
    for _ in range(epochs):
        theirs.shuffle(expected)
    np.testing.assert_array_equal(rows, expected)
    assert_same_state(mine, theirs)


def test_nothing_is_drawn_without_shuffling():
    random_state, untouched = np.random.RandomState(3), np.random.RandomState(3)
    spec = make_spec([1, 1], "tanh", "identity", "squared_error", "float64")
    state = SolverState.fresh("sgd", 2, "float64")
    plan = Plan(state, 2, shuffle=False, random_state=random_state)
    c.CTrainer(spec, np.ones(2), Data(np.ones((5, 1)), np.ones((5, 1))), plan).run(3)
    assert_same_state(random_state, untouched)


def test_the_generator_is_locked_while_c_draws():
    random_state = np.random.RandomState(0)
    lock = random_state._bit_generator.lock
    rows = np.arange(20, dtype=np.int32)
    with lock:  # the lock is one that the thread may take twice
        run_epochs(get_backend("c"), 20, [1], 5, random_state, rows=rows)
    assert lock.acquire(blocking=False)
    lock.release()


def test_uniform_numbers():
    for key, step, layer in itertools.product((0, 1, 2**64 - 1, 0x0123456789ABCDEF), (0, 1, 2**32 + 5), (0, 1, 3, 7)):
        for rows, width in ((0, 0), (0, 3), (3, 0), (1, 1), (2, 4), (3, 4), (5, 7), (17, 33), (2, 257)):
            got = np.empty((rows, width))
            lib.fm_uniforms(key, step, layer, rows, width, ffi.from_buffer("double *", got, require_writable=True))
            np.testing.assert_array_equal(got, uniforms(key, step, layer, rows, width))


def test_uniform_numbers_beyond_the_end_are_not_written():
    for rows, width in ((1, 1), (2, 3), (3, 5), (1, 8)):
        out = np.full(rows * width + 8, -1.0)
        lib.fm_uniforms(9, 2, 1, rows, width, ffi.from_buffer("double *", out, require_writable=True))
        np.testing.assert_array_equal(out[: rows * width].reshape(rows, width), uniforms(9, 2, 1, rows, width))
        assert (out[rows * width :] == -1).all()
