"""The estimators beside those of the scikit-learn that is installed: fits, early stopping, L-BFGS, CSR, grid search.

Run ``python benchmarks/estimators_against_sklearn.py [--quick]``. One thread on one processor; each round fits both,
one after the other. The time of an epoch (or of an evaluation of the loss, for lbfgs) is the slope between two numbers
of them, so that the cost of starting a fit drops out. Printed are minimum and median over the rounds, and their ratios.
"""

import argparse
import os

os.environ |= dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"], "1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

# The number of threads is read when the libraries are imported.
import statistics
import time
import warnings

import numpy as np
import scipy.optimize
import scipy.sparse as sp
import sklearn
from sklearn import neural_network
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import fastmlp
from fastmlp import estimators

LIBRARIES = (estimators, neural_network)
ENDLESS = {"random_state": 0, "tol": 0.0, "n_iter_no_change": 10**9}


def seconds(function):
    """Return how long a call takes, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def per_epoch(library, X, y, low, high, **parameters):
    """Return the slope between fits of `low` and `high` epochs, and the final loss."""

    def fit(n):
        return library.MLPClassifier(max_iter=n, **ENDLESS | parameters).fit(X, y)

    fit(1)
    short, _ = seconds(lambda: fit(low))
    long, model = seconds(lambda: fit(high))
    return (long - short) / (high - low), model.loss_


def per_evaluation(library, X, y, low, high, **parameters):
    """Return the slope over evaluations of the loss by lbfgs, scipy included, and the final loss."""
    times, minimize = [], scipy.optimize.minimize

    def counting(function, *args, **kwargs):
        result = minimize(function, *args, **kwargs)
        times.append(result.nfev)
        return result

    def fit(n):
        model = library.MLPClassifier(solver="lbfgs", max_iter=n, max_fun=10**6, random_state=0, tol=0.0, **parameters)
        return model.fit(X, y)

    scipy.optimize.minimize = counting
    try:
        fit(1)
        short, _ = seconds(lambda: fit(low))
        long, model = seconds(lambda: fit(high))
    finally:
        scipy.optimize.minimize = minimize
    return (long - short) / (times[-1] - times[-2]), model.loss_


def one_call(library, make):
    """Return the time of a whole call, and what it returns."""
    return seconds(lambda: make(library))


def grid_search(library, X, y):
    grid = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]}
    model = library.MLPClassifier((100,), max_iter=60, random_state=0)
    return GridSearchCV(model, grid, cv=5, n_jobs=1).fit(X, y).best_score_


def jobs():
    """Yield name, measuring function, and most rounds."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    single = X.astype(np.float32)
    X_iris, y_iris = load_iris(return_X_y=True)
    rng = np.random.RandomState(0)
    sparse, labels = sp.random(10_000, 2_000, 0.01, format="csr", random_state=rng), rng.randint(0, 5, 10_000)
    yield "digits float32, an epoch", lambda lib: per_epoch(lib, single, y, 5, 45), 9
    yield "digits float64, an epoch", lambda lib: per_epoch(lib, X, y, 5, 45), 9
    yield "digits float64, early stopping, an epoch", lambda lib: per_epoch(lib, X, y, 5, 45, early_stopping=True), 9
    yield "digits float64, lbfgs, an evaluation", lambda lib: per_evaluation(lib, X, y, 10, 60), 9
    yield "CSR 10000 x 2000 at 1 %, an epoch", lambda lib: per_epoch(lib, sparse, labels, 1, 5), 5
    start = {"max_iter": 1, "random_state": 0}
    yield "iris, a fit of one epoch", lambda lib: one_call(lib, lambda m: _fit(m, X_iris, y_iris, start)), 200
    yield "grid search, digits[:600]", lambda lib: one_call(lib, lambda m: grid_search(m, X[:600], y[:600])), 2


def _fit(library, X, y, parameters):
    return library.MLPClassifier(**parameters).fit(X, y).loss_


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="at most two rounds, and no grid search")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", ConvergenceWarning)
    backend = fastmlp.backends.get_backend()
    print(f"fastmlp {fastmlp.__version__} ({backend.name}, {backend.isa}), scikit-learn {sklearn.__version__}; ms\n")
    head = f"{'':<42}{'fastmlp min':>12}{'median':>9}{'sklearn min':>13}{'median':>9}{'ratio min':>11}{'median':>8}"
    print(f"{head}  losses or scores")
    for name, measure, rounds in jobs():
        if quick and "grid" in name:
            continue
        times, results = ([], []), [None, None]
        for _ in range(min(rounds, 2) if quick else rounds):
            for i, library in enumerate(LIBRARIES):
                took, results[i] = measure(library)
                times[i].append(1e3 * took)
        (ours, our_median), (theirs, their_median) = ((min(t), statistics.median(t)) for t in times)
        print(
            f"{name:<42}{ours:>12.3f}{our_median:>9.3f}{theirs:>13.3f}{their_median:>9.3f}{theirs / ours:>11.2f}"
            f"{their_median / our_median:>8.2f}  {results[0]:.6g} {results[1]:.6g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
