"""Training beside the machine's limit: milliseconds an epoch, GFLOP/s and percent of the FMA peak, without a peer.

Run ``python benchmarks/percent_of_peak.py [PART OF A NAME ...]``; ``FASTMLP_ISA=avx2`` measures those kernels. One
thread on one processor, shuffle off. Each row runs the trainer of the C backend; the time of an epoch is the slope
between two numbers of epochs, so that the cost of a call drops out. Rounds are interleaved over all rows. Flops of a
row of data: 6 sum(in * out) - 2 in_1 * out_1 over the layers, nothing else counted.
"""

import argparse
import os
import statistics
import time

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["FASTMLP_NUM_THREADS"] = "1"

import numpy as np
from fma_peak import fma_peak
from suite.common import DTYPES, TRAINING_ROWS

from fastmlp.backends import Data, Plan, get_backend
from fastmlp.solvers import SolverState
from fastmlp.spec import make_spec
from fastmlp.training import draw_parameters

TARGET = 0.05
"""Seconds that the larger number of epochs takes, at least."""


class Job:
    """One row of the table, and what was measured."""

    def __init__(self, row):
        X, Y = row.data(row.dtype)
        spec = make_spec([X.shape[1], *row.hidden, Y.shape[1]], row.activation, *row.outputs, row.dtype)
        pairs = [a * b for a, b in zip(spec.units, spec.units[1:], strict=False)]
        self.dtype, self.flops = row.dtype, len(X) * (6 * sum(pairs) - 2 * pairs[0])
        params = spec.layout.allocate(spec.dtype)
        draw_parameters(spec, [6.0] * spec.n_layers, np.random.RandomState(0), params)
        solver = SolverState.fresh(row.solver, len(params), spec.dtype)
        data = Data(X, Y, None, row.outputs[1] == "log_loss")
        self.trainer = get_backend("c").trainer(spec, params, data, Plan(solver, row.batch_size, alpha=1e-4))
        self.trainer.run(1)
        self.seconds = {1: [], 1 + max(1, round(TARGET / self._time(1))): []}

    def _time(self, epochs):
        start = time.perf_counter()
        self.trainer.run(epochs)
        return time.perf_counter() - start

    def measure(self):
        for epochs, seconds in self.seconds.items():
            seconds.append(self._time(epochs))

    def slopes(self):
        """Return the least and the median seconds of an epoch."""
        (few, short), (many, long) = self.seconds.items()
        differences = [b - a for a, b in zip(short, long, strict=True)]
        return (min(long) - min(short)) / (many - few), statistics.median(differences) / (many - few)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names of rows; all without")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    isa = get_backend("c").isa
    jobs = {
        name: Job(row)
        for name, row in TRAINING_ROWS.items()
        if not options.names or any(part in name for part in options.names)
    }
    peaks = dict.fromkeys(DTYPES, 0.0)
    for _ in range(options.rounds):
        for dtype in peaks:
            peaks[dtype] = max(peaks[dtype], fma_peak(isa, dtype, 2))
        for job in jobs.values():
            job.measure()
    print(f"{isa}, FMA peak {', '.join(f'{1e-9 * peak:.1f} GFLOP/s in {dtype}' for dtype, peak in peaks.items())}")
    print(f"{'ms per epoch':<32}{'least':>10}{'median':>10}{'GFLOP/s':>10}{'% of peak':>10}")
    for name, job in jobs.items():
        least, median = job.slopes()
        rate = job.flops / least
        print(
            f"{name:<32}{1e3 * least:10.4f}{1e3 * median:10.4f}{1e-9 * rate:10.1f}{100 * rate / peaks[job.dtype]:10.1f}"
        )


if __name__ == "__main__":
    main()
