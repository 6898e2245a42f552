"""Several threads beside one: training, predictions, the work from which they pay, and a grid search in Python threads.

Run ``python benchmarks/threads.py [training small sweep grid] [--rounds N] [--threads N] [--shuffle]`` on a machine
where nothing else runs. Both sides of a comparison take turns; printed are the minimum and the median of each, in
milliseconds, and their ratios.

The virtual processors of a rented machine are at times two faces of one core, on which two threads are no faster than
one whatever they do. So before and after each round two independent one-thread computations are run one after the other
and at once; rounds in which that gains less than 1.8 are repeated. How many is printed last.

training  the rows of a training run and of predictions that are large enough for threads, 1 thread and N
small     networks that stay on one thread, `n_threads` 1 and None
sweep     steps and predictions of growing size: what is gained by N threads, to set the thresholds in csrc/fastmlp.c
grid      GridSearchCV with joblib's threading backend, `n_jobs` 1 and N
"""

import argparse
import itertools
import statistics
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from peers.data import digits, smooth

import fastmlp
from fastmlp import Network
from fastmlp.backends import Data, Plan, get_backend
from fastmlp.layout import aligned_zeros
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec

ENOUGH, MOST_REPEATED = 1.8, 60


class Processors:
    """Tells whether two processors are there at the moment."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self._net = Network([64, 256, 256, 1], dtype="float32", random_state=0, n_threads=1)
        self._X = rng.standard_normal((4000, 64)).astype(np.float32)
        self._other = ThreadPoolExecutor(1)

    def gain(self):
        """Return how much faster two computations are at once than one after the other."""
        alone = min(seconds(self._compute) for _ in range(2))
        return 2 * alone / min(seconds(self._compute_twice) for _ in range(2))

    def _compute(self):
        self._net.forward(self._X)

    def _compute_twice(self):
        other = self._other.submit(self._compute)
        self._compute()
        other.result()


processors = Processors()


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(one, other, rounds, pause=0.0, enough=ENOUGH):
    """Return the seconds of both, a list of rounds each, and the number of rounds that were repeated."""
    times, repeated = ([], []), 0
    for side in (one, other):
        side()
    there = enough == 0 or processors.gain() > enough
    while len(times[0]) < rounds and repeated < MOST_REPEATED:
        round_times = []
        for side in (one, other):
            if pause:
                time.sleep(pause)
            round_times.append(seconds(side))
        was_there, there = there, enough == 0 or processors.gain() > enough
        if not (was_there and there):
            repeated += 1
            continue
        for kept, took in zip(times, round_times, strict=True):
            kept.append(took)
    return *times, repeated


def report(name, times):
    *times, repeated = times
    if not times[0]:
        print(f"{name:<44} no two processors", flush=True)
        return
    least, middle = ([1e3 * pick(side) for side in times] for pick in (min, statistics.median))
    pairs = " ".join(f"{a:9.3f} {b:9.3f} {a / b:6.2f}" for a, b in (least, middle))
    print(f"{name:<44} {pairs} {repeated:5d}", flush=True)


SHUFFLE = False


def trainers(units, hidden, data, batch_size, numbers, output="identity", loss="squared_error"):
    """Return functions that train for some epochs, one for each number of threads."""
    dtype = data.X.dtype
    spec = make_spec(units, hidden, output, loss, dtype)
    functions = []
    for n in numbers:
        params = aligned_zeros(spec.layout.n_parameters, dtype)
        params[:] = np.random.default_rng(1).uniform(-0.1, 0.1, len(params))
        state = SolverState.fresh("adam", len(params), dtype)
        plan = Plan(state, batch_size, 1e-4, shuffle=SHUFFLE, random_state=np.random.RandomState(0))
        with fastmlp.config_context(n_threads=n):
            functions.append(get_backend("c").trainer(spec, params, data, plan).run)
    return functions


def forwards(units, X, numbers, output="softmax", loss="log_loss"):
    net = Network(units, activation="relu", output_activation=output, loss=loss, dtype=X.dtype, random_state=0)

    def make(n):
        def forward():
            with fastmlp.config_context(n_threads=n):
                net.forward(X)

        return forward

    return [make(n) for n in numbers]


def coded(n_rows, n_features, n_classes, dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features)).astype(dtype)
    return Data(X, rng.integers(0, n_classes, n_rows).astype(np.int32), hard=True)


def regression(n_rows, n_features, dtype, n_outputs=1):
    X, y = smooth(n_rows, n_features, dtype)
    return Data(X, np.ascontiguousarray(np.tile(y, n_outputs)))


def run_each(functions, epochs):
    return [lambda f=f: f(epochs) for f in functions]


def training(rounds, n):
    softmax = {"output": "softmax", "loss": "log_loss"}
    numbers = (1, n)
    data = coded(10000, 784, 10, "float32")
    name = "784-128-10, 10000 rows, batch 128, float32"
    report(name, compare(*run_each(trainers((784, 128, 10), "relu", data, 128, numbers, **softmax), 1), rounds))
    data = regression(20000, 32, "float32")
    for hidden in ("relu", "tanh"):
        units, name = (32, 256, 256, 256, 1), f"32-256-256-256-1 {hidden}, 20000 rows, 256"
        report(name, compare(*run_each(trainers(units, hidden, data, 256, numbers), 1), rounds))
    data = regression(10000, 4, "float32", 4)
    functions = run_each(trainers((4, 32, 16, 4), "tanh", data, 10000, numbers), 20)
    report("4-32-16-4 tanh, full batch 10000, 20 steps", compare(*functions, rounds))
    for dtype in ("float32", "float64"):
        X = np.random.default_rng(0).standard_normal((100_000, 64)).astype(dtype)
        name = f"prediction of 100,000 rows, 64-100-10, {dtype}"
        report(name, compare(*forwards((64, 100, 10), X, numbers), rounds))


def small(rounds, _):
    for dtype in ("float32", "float64"):
        X, y = digits(dtype)
        data = Data(X, y.astype(np.int32), hard=True)
        functions = trainers((64, 100, 10), "relu", data, 200, (1, None), "softmax", "log_loss")
        report(f"digits 64-100-10, batch 200, {dtype}", compare(*run_each(functions, 20), rounds, enough=0))
        data = regression(20640, 8, dtype)
        functions = trainers((8, 64, 64, 1), "relu", data, 200, (1, None))
        report(f"8-64-64-1, 20640 rows, batch 200, {dtype}", compare(*run_each(functions, 2), rounds, enough=0))
    data = coded(150, 4, 3, "float64")
    functions = trainers((4, 16, 3), "relu", data, 32, (1, None), "softmax", "log_loss")
    report("4-16-3, 150 rows, batch 32, float64", compare(*run_each(functions, 2000), rounds, enough=0))
    for n_rows in (1, 100, 1000):
        sides = forwards((64, 100, 10), data_rows(n_rows), (1, None))
        report(
            f"prediction of {n_rows} rows, 64-100-10", compare(*repeated(sides, 2000 // n_rows + 1), rounds, enough=0)
        )


def data_rows(n_rows):
    return np.random.default_rng(0).standard_normal((n_rows, 64)).astype("float32")


def repeated(functions, times):
    return [lambda f=f: [f() for _ in range(times)] for f in functions]


def work(units, rows):
    """Return what ``csrc/fastmlp.c`` counts, in flops, of a forward pass."""
    return rows * sum((2 * fan_in + 30) * fan_out for fan_in, fan_out in itertools.pairwise(units))


def sweep(rounds, n):
    for width in (16, 32, 64, 100, 150, 250, 400, 600):
        for batch in (200, 256, 2500):
            for dtype in ("float32", "float64"):
                units = (width, width, 10)
                data = coded(5 * batch, width, 10, dtype)
                millions = 3 * work(units, batch) / 1e6
                if not 1 < millions < 200:
                    continue
                functions = trainers(units, "relu", data, batch, (1, n), "softmax", "log_loss")
                times = compare(*run_each(functions, max(1, int(100 / millions))), rounds)
                report(f"step of {millions:6.1f} M: {'-'.join(map(str, units))}, {batch}, {dtype}", times)
    for n_rows in (64, 128, 256, 512, 1024, 2048, 4096):
        millions = work((64, 100, 10), n_rows) / 1e6
        sides = forwards((64, 100, 10), data_rows(n_rows), (1, n))
        report(f"forward pass of {millions:5.1f} M, at once", compare(*sides, 20 * rounds))
        report(f"forward pass of {millions:5.1f} M, after a pause", compare(*sides, 5 * rounds, 0.001))


def grid(rounds, n):
    import joblib
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    from fastmlp import MLPClassifier

    X, y = digits("float64")
    candidates = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [0.0003, 0.001, 0.002, 0.003, 0.005, 0.01]}

    def search(n_jobs):
        def run():
            estimator = MLPClassifier((100,), max_iter=20, random_state=0)
            with warnings.catch_warnings(), joblib.parallel_config("threading", n_jobs=n_jobs):
                warnings.simplefilter("ignore", ConvergenceWarning)
                GridSearchCV(estimator, candidates, cv=5).fit(X, y)

        return run

    warnings.simplefilter("ignore", ConvergenceWarning)  # in joblib's threads, too
    report("grid search, 24 candidates, 5 folds of digits", compare(search(1), search(n), rounds))


PARTS = {"training": training, "small": small, "sweep": sweep, "grid": grid}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=["training", "small", "grid"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shuffle", action="store_true", help="shuffle in training, which one thread does")
    options = parser.parse_args()
    SHUFFLE = options.shuffle
    print(f"{'':<44} {'minimum':>19} {'ratio':>6} {'median':>19} {'ratio':>6} again")
    for part in options.parts:
        PARTS[part](options.rounds, options.threads)
