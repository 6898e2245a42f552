"""Prediction: seconds of a forward pass, and how far it is from the NumPy backend's."""

import numpy as np

from fastmlp import Network
from fastmlp.activations import ACTIVATIONS

from .common import DTYPES

SHAPES = {"64-100-10": [64, 100, 10], "8-64-64-1": [8, 64, 64, 1], "2-4-1": [2, 4, 1]}
HIDDEN = [name for name, entry in ACTIVATIONS.items() if not entry.outputs_only]


class _Forward:
    """Base class (asv skips its name): a subclass chooses the network in setup."""

    def choose(self, units, rows, dtype, **network):
        self.net = Network(units, dtype=dtype, random_state=0, **network)
        self.oracle = Network(units, dtype=dtype, random_state=0, backend="numpy", **network)
        self.X = np.random.default_rng(0).standard_normal((rows, units[0])).astype(dtype)
        self.net.forward(self.X)  # the first call loads the backend

    def time_forward(self, *_):
        self.net.forward(self.X)

    def track_error(self, *_):
        expected = self.oracle.forward(self.X)
        return float(np.linalg.norm(self.net.forward(self.X) - expected) / np.linalg.norm(expected))

    track_error.unit = "relative error"


class Rows(_Forward):
    params = [DTYPES, list(SHAPES), [1, 7, 100, 10000]]
    param_names = ["dtype", "network", "rows"]

    def setup(self, dtype, network, rows):
        self.choose(SHAPES[network], rows, dtype)


class Activations(_Forward):
    params = [DTYPES, HIDDEN]
    param_names = ["dtype", "activation"]

    def setup(self, dtype, activation):
        self.choose([64, 100, 10], 1000, dtype, activation=activation)
