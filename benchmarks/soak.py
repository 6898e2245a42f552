"""Threads that predict and train at once, for a while: are the results those of one thread, and does memory grow?

Run ``python benchmarks/soak.py [--seconds 60] [--threads 8]``. Each thread has an estimator of its own, and mixes
`partial_fit`, `predict_proba`, `predict`, a predictor, and rows that go the long way. Every thread's sequence of calls
depends on its number only, so afterwards it is done again, alone, up to the same number of calls: all results and
weights must have the same bits. `loss_curve_`, which grows by a number a call as scikit-learn's does, is emptied now
and then.
"""

import argparse
import hashlib
import itertools
import os
import threading
import time
from pathlib import Path

os.environ["FASTMLP_NUM_THREADS"] = "1"

import numpy as np

from fastmlp import MLPClassifier

rng = np.random.default_rng(0)
ROWS, LABELS = rng.normal(size=(2000, 16)), rng.integers(0, 4, 2000)
EMPTIED_EVERY = 1000


def work(seed, should_stop):
    """Call until `should_stop(n_calls)`; return the number of calls and a digest of all that came out."""
    order, digest = np.random.default_rng(seed), hashlib.sha256()
    dtype = ("float32", "float64")[seed % 2]
    estimator = MLPClassifier((12,), solver=("sgd", "adam")[seed // 2 % 2], random_state=seed, learning_rate_init=1e-4)
    X = ROWS.astype(dtype)
    estimator.partial_fit(X[:100], LABELS[:100], classes=np.arange(4))
    predictor = estimator.predictor()
    for i in itertools.count():
        if should_stop(i):
            break
        kind, first, n = order.integers(6), order.integers(1000), order.choice([1, 2, 32, 300])
        rows, labels = X[first : first + n], LABELS[first : first + n]
        if kind < 2:
            estimator.partial_fit(rows, labels)
        elif kind == 2:
            digest.update(estimator.predict_proba(rows).tobytes())
        elif kind == 3:
            digest.update(estimator.predict(rows).tobytes())
        elif kind == 4:
            digest.update(predictor(rows).tobytes())
        elif n < 32:
            digest.update(estimator.predict(rows.tolist()).tobytes())
        if i % EMPTIED_EVERY == 0:
            del estimator.loss_curve_[:]
    for array in estimator.coefs_ + estimator.intercepts_:
        digest.update(array.tobytes())
    return i, digest.hexdigest()


def resident():
    """Return the megabytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=8)
    arguments = parser.parse_args()
    results, end = [None] * arguments.threads, time.monotonic() + arguments.seconds

    def run(seed):
        results[seed] = work(seed, lambda n_calls: time.monotonic() > end)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(arguments.threads)]
    for thread in threads:
        thread.start()
    memory = []
    for _ in range(6):
        time.sleep(arguments.seconds / 6.5)
        memory.append(resident())
    for thread in threads:
        thread.join()
    calls = sum(n for n, _ in results)
    print(f"{arguments.threads} threads, {arguments.seconds:g} s, {calls} calls")
    print("MB in memory:", ", ".join(f"{megabytes:.1f}" for megabytes in memory))
    same = sum(work(seed, lambda i, n=n: i >= n) == (n, digest) for seed, (n, digest) in enumerate(results))
    print(f"{same} of {arguments.threads} threads have the results of one alone")
    return 0 if same == arguments.threads else 1


if __name__ == "__main__":
    raise SystemExit(main())
