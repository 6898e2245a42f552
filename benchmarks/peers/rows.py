"""The rows of the tables: what is trained or predicted, and how much arithmetic that is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from . import data

ALPHA, LEARNING_RATE = 1e-4, 1e-3
MOMENTUM, BETA_1, BETA_2, EPSILON = 0.9, 0.9, 0.999, 1e-8
"""scikit-learn's defaults: SGD is with Nesterov's momentum."""


PROOF_EPOCHS = 2
"""After so many the losses of the libraries are compared."""


class Unsupported(Exception):  # noqa: N818
    """A library does not do what a row asks for."""


@dataclass(frozen=True, eq=False)
class Row:
    """A line of a table.

    Attributes
    ----------
    name : str
        What ``--rows`` takes.
    title : str
        What the table shows.
    unit : str
        What one unit of work is, as in "an epoch".
    counts : (int, int) or None
        The smaller and the larger number of units that are timed; None: chosen so that a round takes long enough.
    max_rounds : int
        For rows that take many seconds.
    """

    name: str
    title: str
    unit: str = field(default="", kw_only=True)
    counts: tuple[int, int] | None = field(default=None, kw_only=True)
    max_rounds: int = field(default=10**9, kw_only=True)

    flops = None
    """Floating-point operations of a unit of work, where that is counted."""


@dataclass(frozen=True, eq=False)
class Net(Row):
    """A network and its data.

    Attributes
    ----------
    units : tuple of int
        Widths of all layers.
    activation : {"relu", "tanh", "logistic"}
        Of the hidden layers.
    output : {"identity", "logistic", "softmax"}
        With it goes the loss: the squared error for identity, the log loss for the others.
    make : callable
        ``make(dtype=...)`` returns inputs and targets: class codes of shape (n,), or values of shape (n, n_outputs).
    """

    units: tuple[int, ...]
    activation: str
    output: str
    dtype: str
    make: Callable[..., tuple[Any, np.ndarray]]

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets."""
        return self.make(dtype=self.dtype)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Shapes of the weights."""
        return list(pairwise(self.units))

    def parameters(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Draw coefs and intercepts as scikit-learn does with ``random_state=0``."""
        rng = np.random.RandomState(0)
        coefs, intercepts = [], []
        for fan_in, fan_out in self.layers:
            bound = np.sqrt((2 if self.activation == "logistic" else 6) / (fan_in + fan_out))
            coefs.append(rng.uniform(-bound, bound, (fan_in, fan_out)).astype(self.dtype))
            intercepts.append(rng.uniform(-bound, bound, fan_out).astype(self.dtype))
        return coefs, intercepts

    def forward(self, coefs, intercepts) -> np.ndarray:
        """Return the outputs for the data, computed in float64."""
        a = self.data[0].astype(np.float64)
        for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
            z = a @ W.astype(np.float64) + b
            name = self.activation if i < len(coefs) - 1 else self.output
            a = ACTIVATIONS[name](z)
        return a

    def data_loss(self, outputs) -> float:
        """Return the mean loss of outputs of shape (n, n_outputs), without an L2 term."""
        y = self.data[1][: len(outputs)]
        p = outputs.astype(np.float64)
        if self.output == "identity":
            return float(0.5 * np.sum((p - y) ** 2) / len(y))
        if self.output == "logistic":
            p, y = np.hstack([1 - p, p]), y.ravel()
        chosen = p[np.arange(len(y)), y]
        return float(-np.mean(np.log(np.maximum(chosen, np.finfo(float).tiny))))


ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
    "softmax": lambda z: (e := np.exp(z - z.max(axis=1, keepdims=True))) / e.sum(axis=1, keepdims=True),
}


def training_flops(units) -> int:
    """Return operations for one row of data: three products a layer, two in the first, whose inputs need no delta."""
    return 6 * sum(m * n for m, n in pairwise(units)) - 2 * units[0] * units[1]


def forward_flops(units) -> int:
    """Return operations of the forward pass for one row of data."""
    return 2 * sum(m * n for m, n in pairwise(units))


@dataclass(frozen=True, eq=False)
class Training(Net):
    """Training; a unit of work is an epoch."""

    solver: str
    batch_size: int

    @property
    def flops(self) -> int:
        """Operations of an epoch."""
        return training_flops(self.units) * len(self.data[0])

    def loss(self, coefs, intercepts) -> float:
        """Return the mean loss over the data, L2 term included."""
        squares = sum(float(np.sum(np.square(W, dtype=np.float64))) for W in coefs)
        return self.data_loss(self.forward(coefs, intercepts)) + 0.5 * ALPHA * squares / len(self.data[0])


@dataclass(frozen=True, eq=False)
class Inference(Net):
    """Outputs for `n_rows` rows; a unit of work is a call."""

    n_rows: int

    @cached_property
    def inputs(self) -> np.ndarray:
        """The rows, of shape (n_rows, units[0]): the data again and again."""
        X = self.data[0]
        return np.ascontiguousarray(np.tile(X, (-(-self.n_rows // len(X)), 1))[: self.n_rows])

    @property
    def flops(self) -> int:
        """Operations of a call."""
        return forward_flops(self.units) * self.n_rows

    def loss(self, outputs) -> float:
        """Return the mean loss of the outputs for the first rows."""
        return self.data_loss(outputs[: len(self.data[0])])


@dataclass(frozen=True, eq=False)
class Estimator(Row):
    """Something that only estimators with scikit-learn's interface do; see estimators.py."""


def _rows():
    classes = {"activation": "relu", "output": "softmax"}
    values = {"activation": "relu", "output": "identity"}
    adam, epoch = {"solver": "adam", "batch_size": 200}, {"unit": "an epoch"}
    f64, f32 = {"dtype": "float64"}, {"dtype": "float32"}

    def training(name, title, units, **options):
        return Training(name, title, **{"units": units} | epoch | adam | options)

    xor = {"make": data.exclusive_or, "activation": "tanh", "output": "logistic", "solver": "sgd", "batch_size": 1}
    yield training("xor", "XOR 2-4-1 tanh, SGD 400 x 1, f64", (2, 4, 1), **xor, **f64)
    yield training("iris", "iris 4-16-3, batch 32, f64", (4, 16, 3), make=data.iris, **classes, **f64, batch_size=32)
    sgd = {"activation": "logistic", "output": "softmax", "solver": "sgd", "batch_size": 10}
    digits, housing = {"make": data.digits}, {"make": partial(data.smooth, 20640, 8)}
    yield training("digits-sgd", "digits 64-30-10 logistic, SGD batch 10, f64", (64, 30, 10), **digits, **sgd, **f64)
    yield training("digits-f64", "digits 64-100-10, f64", (64, 100, 10), **digits, **classes, **f64)
    yield training("digits-f32", "digits 64-100-10, f32", (64, 100, 10), **digits, **classes, **f32)
    yield training("housing-f64", "20640 rows 8-64-64-1, f64", (8, 64, 64, 1), **housing, **values, **f64)
    yield training("housing-f32", "20640 rows 8-64-64-1, f32", (8, 64, 64, 1), **housing, **values, **f32)
    images = {"make": partial(data.images, 10_000, 784, 10), "batch_size": 128}
    yield training("images", "10000 rows 784-128-10, batch 128, f32", (784, 128, 10), **images, **classes, **f32)
    wide = {"make": partial(data.smooth, 20_000, 32), "batch_size": 256, **values, **f32}
    for activation in ("relu", "tanh"):
        title = f"20000 rows 32-256-256-256-1 {activation}, batch 256, f32"
        yield training(f"wide-{activation}", title, (32, 256, 256, 256, 1), **wide | {"activation": activation})
    full = {"make": partial(data.smooth_map, 10_000, 4, 4), "batch_size": 10_000, **values, **f32}
    title = "10000 rows 4-32-16-4 tanh, full batch, f32"
    yield training("full-batch", title, (4, 32, 16, 4), **full | {"activation": "tanh"})

    def inference(name, title, units, **options):
        return Inference(name, title, units=units, unit="a call", **options)

    for n_rows in (1, 1000, 100_000):
        for short, dtype in (("f32", f32), ("f64", f64)):
            options = {"n_rows": n_rows, **digits, **classes, **dtype}
            yield inference(
                f"predict-{n_rows}-{short}",
                f"64-100-10, {n_rows} row{'s' * (n_rows > 1)}, {short}",
                (64, 100, 10),
                **options,
            )
    options = {"n_rows": 1, **housing, **values, **f32}
    yield inference("predict-deep-1-f32", "8-64-64-1, 1 row, f32", (8, 64, 64, 1), **options)

    yield Estimator("early-stopping", "digits, f64, early stopping", **epoch)
    yield Estimator("lbfgs", "digits, f64, lbfgs", unit="an evaluation", counts=(10, 60))
    yield Estimator("sparse", "CSR 10000 x 2000, 1 % filled, f64", **epoch)
    yield Estimator("fixed-cost", "iris, max_iter=1", unit="a fit")
    search = {"unit": "a search", "counts": (0, 1), "max_rounds": 3}
    yield Estimator("grid-search", "digits[:600], 24 candidates, 5 folds", **search)


ROWS = {row.name: row for row in _rows()}
