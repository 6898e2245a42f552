"""Training on the digits: seconds of a fit, and the loss at its end."""

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS
from fastmlp.losses import LOSSES
from fastmlp.solvers import SOLVERS

from .common import DTYPES, digits

HIDDEN = [name for name, entry in ACTIVATIONS.items() if entry.needs is not None and not entry.outputs_only]
PAIRS = [
    f"{loss}-{output}"
    for loss, entry in LOSSES.items()
    for output in entry.canonical or [name for name, a in ACTIVATIONS.items() if entry.domain.includes(a.range)][:1]
]


class _Fit:
    """Base class (asv skips its name): a subclass chooses network and solver in setup."""

    def choose(self, dtype, solver="adam", output_activation="softmax", loss="log_loss", **network):
        self.X, self.Y = digits(dtype)
        options = {"output_activation": output_activation, "loss": loss, "random_state": 0, "dtype": dtype}
        self.network, self.solver = options | network, solver

    def fit(self):
        net = Network([64, 100, 10], **self.network)
        return net.fit(self.X, self.Y, solver=self.solver, batch_size=200, epochs=20, random_state=0)

    def time_fit(self, *_):
        self.fit()

    def track_loss(self, *_):
        return float(self.fit()[-1])

    track_loss.unit = "loss"


class Solvers(_Fit):
    params = [DTYPES, list(SOLVERS)]
    param_names = ["dtype", "solver"]

    def setup(self, dtype, solver):
        self.choose(dtype, solver=solver)


class Activations(_Fit):
    params = [DTYPES, HIDDEN]
    param_names = ["dtype", "activation"]

    def setup(self, dtype, activation):
        self.choose(dtype, activation=activation)


class Losses(_Fit):
    params = [DTYPES, PAIRS]
    param_names = ["dtype", "loss and outputs"]

    def setup(self, dtype, pair):
        loss, output = pair.split("-")
        self.choose(dtype, output_activation=output, loss=loss)


class Backends(_Fit):
    params = [DTYPES, list(BACKENDS)]
    param_names = ["dtype", "backend"]

    def setup(self, dtype, backend):
        self.choose(dtype, backend=backend)
