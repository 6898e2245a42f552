"""The process of one library: reads requests, a JSON object a line, and answers each with one.

{"do": "prepare", "row": name, "shuffle": bool, "seconds": s}
    makes the row ready, runs it once, chooses how many units of work a round times, and answers with the loss reached
    and the two numbers, or with "skipped" and the reason.
{"do": "round"}
    times both numbers of units and answers with seconds and units of each.
"""

import gc
import importlib
import json
import os
import sys
import time
import warnings

from .rows import ROWS, Unsupported

LIBRARIES = {
    "fastmlp": "network",
    "fastmlp-estimator": "estimators",
    "fastmlp-predictor": "predictor",
    "sklearn": "estimators",
    "sklearn-skylakex": "estimators",
    "torch": "torch_",
    "jax": "jax_",
    "onnxruntime": "onnxruntime_",
    "peak": "peak",
}
"""The module of this package that runs each peer."""


def choose_counts(run, seconds):
    """Return the smaller and the larger number of units of work; their difference takes about `seconds`.

    Parameters
    ----------
    run : callable
        ``run(n)`` returns the seconds that n units take.
    seconds : float
    """
    n = 1
    while (took := run(n)) < seconds / 4:
        n *= 2 if took > seconds / 64 else 8
    high = max(2, round(1.25 * n * seconds / took))
    return max(1, high // 5), high


class Worker:
    """Answers requests for one library.

    Parameters
    ----------
    library : object with `version()` and `prepare(row, shuffle)`
        The latter returns two functions: ``run(n)`` does n units of work and returns how many that were in the end, and
        ``loss()`` does a fixed number and returns the loss reached.
    """

    def __init__(self, library):
        self.library = library

    def answer(self, request):
        return getattr(self, f"do_{request['do']}")(request)

    def do_prepare(self, request):
        row = ROWS[request["row"]]
        try:
            self.run, loss = self.library.prepare(row, request["shuffle"])
        except Unsupported as reason:
            return {"skipped": str(reason)}
        reached = loss()
        self.counts = row.counts or choose_counts(lambda n: self.timed(n)[0], request["seconds"])
        return {"loss": reached, "counts": self.counts}

    def do_round(self, request):
        return {"timed": [self.timed(n) for n in self.counts]}

    def timed(self, n):
        """Return the seconds that n units of work take, and their number."""
        start = time.perf_counter()
        units = self.run(n) if n else 0
        return time.perf_counter() - start, units


def main():
    name, threads, cpus = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    if cpus:
        os.sched_setaffinity(0, cpus)
    warnings.simplefilter("ignore")
    # What libraries print goes to stderr: stdout belongs to the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        library = importlib.import_module(f".{LIBRARIES[name]}", __package__).Library(name, threads)
        first = {"version": library.version()}
    except (ImportError, OSError) as error:
        first = {"missing": f"{type(error).__name__}: {error}"}
    print(json.dumps(first), file=answers, flush=True)
    if "missing" in first:
        return
    gc.disable()  # as timeit does
    worker = Worker(library)
    for line in sys.stdin:
        gc.collect()
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
