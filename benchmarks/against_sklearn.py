"""Training time per epoch, beside the scikit-learn that is installed.

Run ``python benchmarks/against_sklearn.py``. One thread on one processor; both libraries do the same work (the same
initial weights, shuffles and batches, in the same dtype), as the losses printed show. Each round fits both, one after
the other, for a smaller and for a larger number of epochs; the time of an epoch is the slope, so that the cost of
starting a fit drops out. Printed are the slope between the least times of all rounds, and the median of the rounds'
slopes.
"""

import argparse
import os

os.environ |= dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FASTMLP_NUM_THREADS"], "1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

# The number of threads is read when the libraries are imported.
import platform
import statistics
import time
import warnings
from dataclasses import dataclass

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from suite.common import digits, exclusive_or, smooth
from threadpoolctl import threadpool_info

from fastmlp import Network, __version__
from fastmlp.backends import get_backend

ALPHA, LEARNING_RATE = 1e-4, 1e-3


@dataclass(frozen=True, eq=False)
class Job:
    """Something to train; `epochs` holds the smaller and the larger number for each library."""

    name: str
    data: tuple[np.ndarray, np.ndarray]
    hidden: tuple[int, ...]
    activation: str
    solver: str
    batch_size: int
    epochs: dict[str, tuple[int, int]]
    wanted: float
    classes: int = 0

    def fit_fastmlp(self, epochs):
        X, Y = self.data
        rng = np.random.RandomState(0)
        output = {0: "identity", 2: "logistic"}.get(self.classes, "softmax")
        net = Network(
            [X.shape[1], *self.hidden, Y.shape[1]],
            activation=self.activation,
            output_activation=output,
            loss="log_loss" if self.classes else "squared_error",
            alpha=ALPHA,
            dtype=X.dtype,
            random_state=rng,
        )
        return net.fit(
            X,
            Y,
            solver=self.solver,
            learning_rate=LEARNING_RATE,
            batch_size=self.batch_size,
            epochs=epochs,
            random_state=rng,
        )

    def fit_sklearn(self, epochs):
        X, Y = self.data
        y = Y.argmax(axis=1) if self.classes > 2 else Y[:, 0]
        model = (MLPClassifier if self.classes else MLPRegressor)(
            hidden_layer_sizes=self.hidden,
            activation=self.activation,
            solver=self.solver,
            alpha=ALPHA,
            learning_rate_init=LEARNING_RATE,
            batch_size=self.batch_size,
            max_iter=epochs,
            n_iter_no_change=epochs,
            tol=0.0,
            random_state=0,
        )
        return model.fit(X, y).loss_curve_


def jobs():
    adam = {"hidden": (100,), "activation": "relu", "solver": "adam", "batch_size": 200, "classes": 10}
    for dtype, wanted in (("float32", 5), ("float64", 3)):
        epochs = {"fastmlp": (20, 220), "sklearn": (5, 55)}
        yield Job(f"digits 64-100-10, Adam, batch 200, {dtype}", digits(dtype), epochs=epochs, wanted=wanted, **adam)
    yield Job(
        "20640 rows 8-64-64-1, Adam, batch 200, float32",
        smooth(20640, 8, "float32"),
        (64, 64),
        "relu",
        "adam",
        200,
        {"fastmlp": (4, 44), "sklearn": (2, 12)},
        wanted=7,
    )
    yield Job(
        "XOR 2-4-1, SGD, 400 steps of 1, float64",
        exclusive_or("float64"),
        (4,),
        "tanh",
        "sgd",
        1,
        {"fastmlp": (50, 1050), "sklearn": (2, 12)},
        wanted=100,
        classes=2,
    )


def measure(job, rounds):
    """Return {library: (least, median) seconds of an epoch} and the losses of both after the same number of epochs."""
    fits = {"fastmlp": job.fit_fastmlp, "sklearn": job.fit_sklearn}
    seconds = {library: ([], []) for library in fits}
    curves = {}
    for _ in range(rounds):
        for which in (0, 1):
            for library, fit in fits.items():
                start = time.perf_counter()
                curves[library] = fit(job.epochs[library][which])
                seconds[library][which].append(time.perf_counter() - start)
    slopes = {}
    for library, (small, large) in seconds.items():
        more = job.epochs[library][1] - job.epochs[library][0]
        median = statistics.median(b - a for a, b in zip(small, large, strict=True))
        slopes[library] = ((min(large) - min(small)) / more, median / more)
    compared = min(map(len, curves.values()))
    return slopes, compared, {library: curve[compared - 1] for library, curve in curves.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 7")
    rounds = max(7, parser.parse_args().rounds)
    warnings.simplefilter("ignore", ConvergenceWarning)
    backend = get_backend()
    kernels = {pool.get("architecture") for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    print(f"fastmlp {__version__}: backend {backend.name}, instruction set {backend.isa}, one thread")
    print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, OpenBLAS kernels {', '.join(sorted(kernels))}")
    print(f"Python {platform.python_version()}; {rounds} rounds; milliseconds per epoch\n")
    line = "{:<48}{:>8}{:>10}{:>10}{:>10}{:>9}"
    print(line.format("", "", "fastmlp", "sklearn", "ratio", "wanted"))
    for job in jobs():
        slopes, compared, losses = measure(job, rounds)
        for i, kind in enumerate(("minimum", "median")):
            ours, theirs = (1e3 * slopes[library][i] for library in ("fastmlp", "sklearn"))
            row = (f"{ours:.4f}", f"{theirs:.3f}", f"{theirs / ours:.1f}x")
            print(line.format("" if i else job.name, kind, *row, "" if i else f"{job.wanted}x"))
        print(f"    loss after {compared} epochs: {losses['fastmlp']:.9f} and {losses['sklearn']:.9f}", flush=True)


if __name__ == "__main__":
    main()
