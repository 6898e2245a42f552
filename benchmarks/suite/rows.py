"""The rows that are compared with other libraries: seconds of a fixed amount of work, by one thread and by two."""

from peers import estimators, network
from peers.rows import ROWS, Estimator, Inference, Training
from threadpoolctl import threadpool_limits

N_THREADS = [1, 2]
SAMPLES = 200_000
"""Rows of data, over all epochs or calls."""


def names(kind):
    return [name for name, row in ROWS.items() if isinstance(row, kind)]


class _Row:
    """Base class (asv skips its name): a subclass chooses rows, and the interface they are measured by."""

    param_names = ["row", "n_threads"]
    timeout = 300

    def setup(self, name, n_threads):
        self.limits = threadpool_limits(n_threads)
        self.row = ROWS[name]
        self.run, self.loss = self.library("fastmlp", n_threads).prepare(self.row, shuffle=False)
        self.run(1)  # the first call loads the backend

    def teardown(self, *_):
        self.limits.restore_original_limits()

    def time_work(self, *_):
        self.run(self.count())

    def track_loss(self, *_):
        return self.loss()

    track_loss.unit = "loss"


class Trainings(_Row):
    params = [names(Training), N_THREADS]
    library = network.Library

    def count(self):
        return SAMPLES // len(self.row.data[0])


class Predictions(_Row):
    params = [names(Inference), N_THREADS]
    library = network.Library

    def count(self):
        return SAMPLES // (self.row.n_rows + 100)  # what a call costs besides, in rows


class Estimators(_Row):
    """Fits, evaluations and searches, their fixed costs included."""

    params = [names(Estimator), N_THREADS]
    library = estimators.Library

    def count(self):
        return 20 if self.row.counts is None else self.row.counts[1]
