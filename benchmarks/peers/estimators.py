"""The estimators of scikit-learn and of fastmlp, which have one interface."""

import joblib
import numpy as np
import scipy.optimize
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

from . import data
from .rows import ALPHA, LEARNING_RATE, PROOF_EPOCHS, Inference, Training

ENDLESS = {"random_state": 0, "tol": 0.0, "n_iter_no_change": 10**9}
GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]}


class Library:
    def __init__(self, name, threads):
        if name.startswith("fastmlp"):
            from fastmlp import estimators as module
        else:
            from sklearn import neural_network as module
        self.module, self.threads = module, threads

    def version(self):
        if self.module.__name__.startswith("fastmlp"):
            import fastmlp

            return fastmlp.__version__
        import sklearn

        kernels = {pool.get("architecture") for pool in threadpool_info() if pool["internal_api"] == "openblas"}
        kernels = f", OpenBLAS kernels {' and '.join(sorted(kernels))}" if kernels else ""
        return f"{sklearn.__version__} (NumPy {np.__version__}{kernels})"

    def prepare(self, row, shuffle):
        if isinstance(row, Training):
            return training(self.module, row, shuffle)
        if isinstance(row, Inference):
            return inference(self.module, row)
        return OTHERS[row.name](self.module, self.threads)


def estimator(module, row, **options):
    kind = module.MLPRegressor if row.output == "identity" else module.MLPClassifier
    net = {"hidden_layer_sizes": row.units[1:-1], "activation": row.activation}
    return kind(**net, alpha=ALPHA, learning_rate_init=LEARNING_RATE, **ENDLESS | options)


def targets(row):
    y = row.data[1]
    return y.ravel() if row.units[-1] == 1 else y


def fits(make, X, y, proof=PROOF_EPOCHS):
    """Return the two functions of a row that fits ``make(max_iter=epochs)``."""

    def run(epochs):
        return make(max_iter=epochs).fit(X, y).n_iter_

    return run, lambda: float(make(max_iter=proof).fit(X, y).loss_)


def training(module, row, shuffle):
    X, y = row.data[0], targets(row)

    def make(max_iter):
        options = {"solver": row.solver, "batch_size": row.batch_size, "shuffle": shuffle}
        return estimator(module, row, max_iter=max_iter, **options)

    def loss():
        model = make(PROOF_EPOCHS).fit(X, y)
        return row.loss(model.coefs_, model.intercepts_)

    return fits(make, X, y)[0], loss


def inference(module, row):
    model = estimator(module, row, max_iter=1).fit(row.data[0], targets(row))
    for mine, drawn in zip((model.coefs_, model.intercepts_), row.parameters(), strict=True):
        for array, values in zip(mine, drawn, strict=True):
            array[:] = values
    predict = model.predict if row.output == "identity" else model.predict_proba
    X = row.inputs

    def run(calls):
        for _ in range(calls):
            predict(X)
        return calls

    return run, lambda: row.loss(predict(X).reshape(len(X), -1))


def early_stopping(module, threads):
    X, y = data.digits("float64")
    return fits(lambda max_iter: module.MLPClassifier(max_iter=max_iter, early_stopping=True, **ENDLESS), X, y)


def sparse(module, threads):
    X, y = data.sparse(10_000, 2_000, 0.01, 5)
    return fits(lambda max_iter: module.MLPClassifier(max_iter=max_iter, **ENDLESS), X, y, proof=2)


def lbfgs(module, threads):
    X, y = data.digits("float64")
    options = {"solver": "lbfgs", "max_fun": 10**9, "random_state": 0, "tol": 0.0}
    evaluations, minimize = [], scipy.optimize.minimize

    def counting(*args, **kwargs):
        result = minimize(*args, **kwargs)
        evaluations.append(result.nfev)
        return result

    scipy.optimize.minimize = counting  # for the rest of the process

    def run(iterations):
        module.MLPClassifier(max_iter=iterations, **options).fit(X, y)
        return evaluations[-1]

    # A few iterations: later ones amplify rounding errors without bound.
    return run, lambda: float(module.MLPClassifier(max_iter=5, **options).fit(X, y).loss_)


def fixed_cost(module, threads):
    X, y = data.iris("float64")

    def fit():
        return module.MLPClassifier(max_iter=1, random_state=0).fit(X, y).loss_

    def run(times):
        for _ in range(times):
            fit()
        return times

    return run, lambda: float(fit())


def grid_search(module, threads):
    """Search in as many jobs as there are threads, each of them on one."""
    X, y = data.digits("float64")
    X, y = X[:600], y[:600]

    def search(grid):
        model = module.MLPClassifier(max_iter=60, random_state=0)
        with joblib.parallel_backend("threading"), threadpool_limits(1, "blas"):
            return GridSearchCV(model, grid, cv=5, n_jobs=threads).fit(X, y).best_score_

    def run(times):
        for _ in range(times):
            search(GRID)
        return times

    # The proof is a single candidate, as a search takes seconds.
    return run, lambda: float(search({name: values[2:3] for name, values in GRID.items()}))


OTHERS = {
    "early-stopping": early_stopping,
    "lbfgs": lbfgs,
    "sparse": sparse,
    "fixed-cost": fixed_cost,
    "grid-search": grid_search,
}
