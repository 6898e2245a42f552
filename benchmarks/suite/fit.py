"""Training: seconds of a fit, and the loss at its end."""

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS

from .common import DTYPES, TRAINING_ROWS, digits

HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.needs is not None and not entry.outputs_only]
PAIRS = [
    f"{loss}-{output}"
    for loss, entry in LOSSES.items()
    for output in entry.canonical or [name for name, a in ACTIVATIONS.items() if entry.domain.includes(a.range)][:1]
]


class _Fit:
    """Base class (asv skips its name): a subclass chooses data, network and options in setup."""

    batch_size = 200
    epochs = 20

    def choose(self, X, Y, hidden=(100,), **network):
        self.X, self.Y = X, Y
        self.units = [X.shape[1], *hidden, Y.shape[1]]
        self.network = {"random_state": 0, "dtype": X.dtype, **network}
        self.solver = "adam"

    def fit(self):
        net = Network(self.units, **self.network)
        return net.fit(
            self.X, self.Y, solver=self.solver, batch_size=self.batch_size, epochs=self.epochs, random_state=0
        )

    def time_fit(self, *_):
        self.fit()

    def track_loss(self, *_):
        return float(self.fit()[-1])

    track_loss.unit = "loss"


class Solvers(_Fit):
    params = [DTYPES, list(SOLVERS)]
    param_names = ["dtype", "solver"]

    def setup(self, dtype, solver):
        self.choose(*digits(dtype), output_activation="softmax", loss="log_loss")
        self.solver = solver


class Activations(_Fit):
    params = [DTYPES, HIDDEN]
    param_names = ["dtype", "activation"]

    def setup(self, dtype, activation):
        self.choose(*digits(dtype), activation=activation, output_activation="softmax", loss="log_loss")


class Losses(_Fit):
    params = [DTYPES, PAIRS]
    param_names = ["dtype", "loss and outputs"]

    def setup(self, dtype, pair):
        loss, output = pair.split("-")
        self.choose(*digits(dtype), output_activation=output, loss=loss)


class Backends(_Fit):
    params = [DTYPES, list(BACKENDS)]
    param_names = ["dtype", "backend"]

    def setup(self, dtype, backend):
        self.choose(*digits(dtype), output_activation="softmax", loss="log_loss", backend=backend)


class Table(_Fit):
    """The networks whose training is compared with other libraries."""

    params = [list(TRAINING_ROWS)]
    param_names = ["network"]

    def setup(self, name):
        row = TRAINING_ROWS[name]
        output, loss = row.outputs
        X, Y = row.data(row.dtype)
        self.choose(X, Y, hidden=row.hidden, activation=row.activation, output_activation=output, loss=loss)
        self.solver, self.batch_size, self.epochs = row.solver, row.batch_size, 200_000 // len(X)
