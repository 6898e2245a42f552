"""The demonstration: estimators trained on real data, beside scikit-learn's with the same parameters and seed."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from fastmlp import estimators
from fastmlp._demo_data import Problem, problems
from fastmlp.backends import get_backend


def make(library: Any, problem: Problem) -> Any:
    """Return the unfitted estimator of one library for a problem: so many epochs, whatever the loss does."""
    estimator = library.MLPClassifier if problem.n_classes else library.MLPRegressor
    return estimator(
        hidden_layer_sizes=problem.hidden,
        batch_size=problem.batch_size,
        max_iter=problem.epochs,
        n_iter_no_change=problem.epochs,
        tol=0.0,
        random_state=0,
    )


def outputs(model: Any, problem: Problem) -> np.ndarray:
    """Return the held-out predictions: probabilities of a classifier, else targets."""
    return (model.predict_proba if problem.n_classes else model.predict)(problem.X_test)


def compare(problem: Problem, repeats: int) -> str:
    """Return a problem's line of the table: scores, largest difference, least seconds of interleaved fits, ratio."""
    models = [make(library, problem) for library in (estimators, neural_network)]
    seconds = [float("inf")] * 2
    for _ in range(repeats):
        for i, model in enumerate(models):
            start = time.perf_counter()
            model.fit(problem.X_train, problem.y_train)
            seconds[i] = min(seconds[i], time.perf_counter() - start)
    ours, theirs = (outputs(model, problem) for model in models)
    units = (problem.X_train.shape[1], *problem.hidden, problem.n_outputs)
    return LINE.format(
        problem.name,
        len(problem.X_train),
        "-".join(map(str, units)),
        problem.X_train.dtype.name,
        problem.epochs,
        "accuracy" if problem.n_classes else "R2",
        *(f"{model.score(problem.X_test, problem.y_test):.4f}" for model in models),
        f"{np.abs(ours - theirs).max():.1e}",
        *(f"{s:.4f}" for s in seconds),
        f"{seconds[1] / seconds[0]:.1f}x",
    )


LINE = "{:<18}{:>6}  {:<12}{:<8}{:>7}  {:<9}{:>7}{:>9}{:>12}{:>9}{:>9}{:>7}"
HEAD = """\
                                                         held-out score            largest    seconds of fit
data                rows  network     reals    epochs  measure  fastmlp  sklearn  difference  fastmlp  sklearn  ratio
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="python -m fastmlp", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="also MNIST and California housing, from files there"
    )
    parser.add_argument("--quick", action="store_true", help="one repeat instead of three")
    options = parser.parse_args(arguments)
    backend = get_backend()
    print(f"backend: {backend.name}, instruction set: {backend.isa}, threads: {backend.n_threads}")
    print("scikit-learn on as many threads, with the same parameters and seeds; difference: of the predictions\n")
    print(HEAD, end="")
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed on purpose
    with threadpool_limits(backend.n_threads):
        for problem in problems(options.data):
            print(compare(problem, repeats=1 if options.quick else 3), flush=True)


if __name__ == "__main__":
    main()
