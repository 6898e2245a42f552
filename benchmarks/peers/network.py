"""fastmlp's `Network`."""

import numpy as np

import fastmlp
from fastmlp.backends import get_backend

from .rows import ALPHA, LEARNING_RATE, PROOF_EPOCHS, Inference, Training, Unsupported


class Library:
    def __init__(self, name, threads):
        pass  # FASTMLP_NUM_THREADS says how many threads

    def version(self):
        backend = get_backend()
        return f"{fastmlp.__version__} ({backend.name}, {backend.isa})"

    def prepare(self, row, shuffle):
        if isinstance(row, Training):
            return training(row, shuffle)
        if isinstance(row, Inference):
            return inference(row)
        raise Unsupported("the estimators do this")


def network(row):
    return fastmlp.Network(
        row.units,
        activation=row.activation,
        output_activation=row.output,
        loss="squared_error" if row.output == "identity" else "log_loss",
        alpha=ALPHA,
        dtype=row.dtype,
        random_state=0,
    )


def training(row, shuffle):
    X, y = row.data

    def fit(epochs):
        net = network(row)
        options = {"solver": row.solver, "learning_rate": LEARNING_RATE, "batch_size": row.batch_size}
        net.fit(X, y, epochs=epochs, shuffle=shuffle, **options)
        return net

    def run(epochs):
        fit(epochs)
        return epochs

    def loss():
        net = fit(PROOF_EPOCHS)
        return row.loss(net.coefs, net.intercepts)

    return run, loss


def inference(row):
    net, X = network(row), row.inputs

    def run(calls):
        for _ in range(calls):
            net.forward(X)
        return calls

    return run, lambda: row.loss(np.asarray(net.forward(X)))
