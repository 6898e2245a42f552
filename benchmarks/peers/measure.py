"""Starts a process for each peer, asks them in turn, and turns their answers into records.

A record is a dict of what one peer took for one row: "row", "title", "unit", "kind", "peer", "threads", "shuffle",
"version", "flops" (of a unit of work, or None), "loss", "timed" (for every round seconds and units of the smaller and
of the larger number), "least" and "median" (seconds a unit) and, for a row that it could not do, "skipped" or "failed".
"""

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .peak import processor_flags
from .worker import LIBRARIES

LIMITS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FASTMLP_NUM_THREADS", "PJRT_NPROC", "NPROC")
"""Variables that say how many threads a library may start."""
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""What keeps PyTorch from AVX-512; OpenBLAS has a core type for it."""
UNLIMITED = ("jax", "onnxruntime")
"""They cannot be kept from AVX-512: XLA has a flag, which its matrix products do not heed."""
REST = 0.1
"""Seconds of waiting after the turn of a library with several threads, which may go on spinning for a while."""


@dataclass(frozen=True)
class Peer:
    """A library in one of its settings, and the number of threads it gets."""

    name: str
    threads: int

    def environment(self, isa):
        """Return the variables under which its process runs."""
        variables = os.environ | dict.fromkeys(LIMITS, str(self.threads))
        if self.threads == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            variables["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false {flags}".strip()
        if isa:
            variables["FASTMLP_ISA"] = isa
        if isa == "avx2":
            variables |= AVX2 | {"OPENBLAS_CORETYPE": "Haswell"}
        if self.name == "sklearn-skylakex":
            variables["OPENBLAS_CORETYPE"] = "SkylakeX"
        # The folder that holds the top package of this one.
        top = Path(__file__).resolve().parents[len(__package__.split("."))]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))
        return variables


def peer_names(isa=None):
    """Return the peers that make sense on this processor, limited to the instruction set `isa`."""
    absent = set() if isa is None else set(UNLIMITED)
    if isa is not None or "avx512f" not in processor_flags():
        absent.add("sklearn-skylakex")
    return [name for name in LIBRARIES if name not in absent]


class Process:
    """A peer's process, in which the library stays loaded.

    Parameters
    ----------
    peer : Peer
    isa : str or None
        The widest instruction set allowed.

    Attributes
    ----------
    version, missing : str or None
        What it says of its library; the other is None.
    """

    def __init__(self, peer, isa=None):
        self.peer = peer
        cpus = []
        if hasattr(os, "sched_setaffinity"):
            cpus = sorted(os.sched_getaffinity(0))[-peer.threads :]
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", peer.name, str(peer.threads), json.dumps(cpus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=peer.environment(isa),
        )
        first = self._read()
        self.version = first.get("version")
        self.missing = first.get("missing") or first.get("failed")

    def _read(self):
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": "its process has ended"}

    def ask(self, **request):
        """Send a request and return the answer."""
        with suppress(BrokenPipeError):  # The answer, which is missing, tells it.
            print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._read()

    def close(self):
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def per_unit(timed):
    """Return least and median seconds for a unit of work, over rounds.

    The least is the slope between the least times of both numbers of units, so that fixed costs drop out.

    Parameters
    ----------
    timed : list of ((seconds, units), (seconds, units))
        For each round the smaller and the larger number.
    """
    lows, highs = zip(*timed, strict=True)
    units = highs[0][1] - lows[0][1]
    least = (min(seconds for seconds, _ in highs) - min(seconds for seconds, _ in lows)) / units
    return least, statistics.median(slopes(timed))


def slopes(timed):
    """Return the seconds for a unit of work in each round."""
    return [(high - low) / (more - fewer) for (low, fewer), (high, more) in timed]


def measure(row, processes, *, rounds, seconds, shuffle=False):
    """Let all processes do a row, in turn within each round; return a record for each.

    Parameters
    ----------
    row : Row
    processes : list of Process
    rounds : int
    seconds : float
        About as long a process has its turn in a round, unless one unit of work takes longer.
    shuffle : bool
        Whether each epoch goes through the rows in a new order.
    """
    records, running = [], []
    for process in processes:
        record = {"row": row.name, "title": row.title, "unit": row.unit, "kind": type(row).__name__.lower()}
        record |= {"peer": process.peer.name, "threads": process.peer.threads, "version": process.version}
        record |= {"shuffle": shuffle, "flops": row.flops, "timed": []}
        record |= process.ask(do="prepare", row=row.name, shuffle=shuffle, seconds=seconds)
        records.append(record)
        if "skipped" not in record and "failed" not in record:
            running.append((process, record))
    for i in range(min(rounds, row.max_rounds)):
        # Every second round in the opposite order, so that nobody always follows the same neighbour.
        for process, record in running[:: -1 if i % 2 else 1]:
            answer = process.ask(do="round")
            if process.peer.threads > 1:
                time.sleep(REST)
            if "timed" in answer and "failed" not in record:
                record["timed"].append(answer["timed"])
            else:
                record |= answer
    for _, record in running:
        if "failed" not in record:
            record["least"], record["median"] = per_unit(record["timed"])
    return records
