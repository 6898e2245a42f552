"""An activation of one's own against the built-in one that computes the same, and against scikit-learn's relu.

An epoch on digits (64-100-10, Adam, batch 200, rows shuffled) with a swish registered by `fastmlp.activation`, with the
built-in silu, and with scikit-learn's relu: the slope between fits of few and of many epochs, so that what a fit costs
once does not count. The contestants take turns; the least and the median of the rounds are printed, and how far the
weights are from those of silu.

    python -m benchmarks.own_functions
    python -m benchmarks.own_functions --rounds 30 --backend numba
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from time import perf_counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as SklearnClassifier

import fastmlp

OPTIONS = {"hidden_layer_sizes": (100,), "batch_size": 200, "random_state": 0, "tol": 0.0, "n_iter_no_change": 10**6}


def swish_derivative(z: float) -> float:
    s = 1.0 / (1.0 + math.exp(-z))
    return s + z * s * (1.0 - s)


@fastmlp.activation(derivative=swish_derivative, needs="preactivation")
def swish(z: float) -> float:
    return z / (1.0 + math.exp(-z))


def make(which: str, backend: str, epochs: int) -> object:
    if which == "scikit-learn relu":
        return SklearnClassifier(activation="relu", max_iter=epochs, **OPTIONS)
    activation = swish if which == "swish" else "silu"
    return fastmlp.MLPClassifier(activation=activation, max_iter=epochs, backend=backend, n_threads=1, **OPTIONS)


def seconds(which: str, backend: str, epochs: int, X: np.ndarray, y: np.ndarray) -> float:
    model = make(which, backend, epochs)
    started = perf_counter()
    model.fit(X, y)
    return perf_counter() - started


def measure(which: str, X: np.ndarray, y: np.ndarray, backend: str, few: int, many: int) -> Callable[[], float]:
    """Return a function that measures milliseconds an epoch."""

    def once() -> float:
        times = [seconds(which, backend, epochs, X, y) for epochs in (few, many)]
        return 1e3 * (times[1] - times[0]) / (many - few)

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--backend", default="c", choices=["c", "numba"])
    parser.add_argument("--epochs", type=int, nargs=2, default=(10, 60), metavar=("FEW", "MANY"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    fastmlp.show_versions()
    pixels, y = load_digits(return_X_y=True)
    print(f"\n{'ms an epoch':24}{'least':>9}{'median':>9}{'to silu':>9}{'to sklearn':>12}")
    for dtype in ("float64", "float32"):
        X = (pixels / 16).astype(dtype)
        contestants = {
            which: measure(which, X, y, arguments.backend, *arguments.epochs)
            for which in ("silu", "swish", "scikit-learn relu")
        }
        for once in contestants.values():
            once()  # what is compiled, and memory that is touched for the first time
        rounds = [{which: once() for which, once in contestants.items()} for _ in range(arguments.rounds)]
        least = {which: min(times[which] for times in rounds) for which in contestants}
        for which in contestants:
            median = np.median([times[which] for times in rounds])
            to_silu, to_sklearn = least[which] / least["silu"], least["scikit-learn relu"] / least[which]
            print(f"{which + ', ' + dtype:24}{least[which]:9.4f}{median:9.4f}{to_silu:9.2f}{to_sklearn:12.2f}")
        models = [make(which, arguments.backend, 20).fit(X, y) for which in ("silu", "swish")]
        pairs = zip(*(model.coefs_ + model.intercepts_ for model in models), strict=True)
        print(f"  largest difference of the weights after 20 epochs: {max(np.abs(a - b).max() for a, b in pairs):.1e}")


if __name__ == "__main__":
    main()
