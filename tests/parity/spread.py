"""How far scikit-learn is from itself when only OpenBLAS's kernels change.

``python -m parity.spread`` runs every case that needs it in one subprocess per core type and writes `spread.json`;
``python -m parity.spread --check`` only says whether the stored file belongs to the cases of today, ``--itself`` how
often a run of scikit-learn's L-BFGS ends outside the interval of its other runs, and ``--ours`` how often ours does.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import threadpoolctl

from parity import cases, compare
from parity.subject import REFERENCE, SUBJECT

CORE_TYPES = ("Haswell", "SkylakeX", "Sandybridge", "Zen", "Nehalem", "Prescott")
"""Kernels to try; those that the processor cannot run, or that OpenBLAS was built without, drop out."""

FILE = Path(__file__).with_name("spread.json")

SMALL = 1e-6
"""Distances below this are left out of the file: they lift no tolerance (10 times this is below 1e-4)."""


@cache
def load() -> dict[str, Any]:
    """Return the stored spreads by id; those of cases that have changed since are left out."""
    stored = json.loads(FILE.read_text())["cases"] if FILE.exists() else {}
    today = {case.id: case.fingerprint for case in wanted()}
    return {key: value for key, value in stored.items() if today.get(key) == value["fingerprint"]}


def wanted() -> list[cases.Case]:
    """Return the cases that are judged by a spread."""
    return [case for case in cases.all_cases() if case.needs_spread]


def _leaves(case: cases.Case) -> dict[str, Any]:
    """Run a case on scikit-learn; return its numbers, epochs, losses and warnings."""
    trace = compare.run(case, REFERENCE)
    numbers = {
        entry.label: (np.asarray(entry.leaf.value, dtype=float), entry.leaf.scale)
        for entry in trace.entries
        if entry.leaf is not None and entry.leaf.kind == "number"
    }
    return {
        "numbers": numbers,
        "n_iter": compare.iterations(trace),
        "losses": compare.final_losses(trace),
        "warnings": compare.masked_warnings(trace),
    }


def _child(out: str) -> None:
    architectures = {info.get("architecture") for info in threadpoolctl.threadpool_info()}
    result = {case.id: _leaves(case) for case in wanted() if case.container != "frame"}
    Path(out).write_bytes(pickle.dumps({"architectures": sorted(map(str, architectures)), "cases": result}))


def _run_core_type(core_type: str) -> dict[str, Any] | None:
    """Run all cases in a subprocess under one core type; None if that cannot run here."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "leaves.pickle"))
        environment = {
            **os.environ,
            "OPENBLAS_CORETYPE": core_type,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "parity.spread", "--child", out]
        done = subprocess.run(
            command, env=environment, cwd=Path(__file__).parent.parent, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode < 0:  # killed by a signal: an instruction this processor does not have
            print(f"{core_type}: cannot run here (signal {-done.returncode})", file=sys.stderr)
            return None
        if done.returncode > 0:
            raise RuntimeError(f"the run under {core_type} failed")
        return pickle.loads(Path(out).read_bytes())


def _entry(case: cases.Case, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Reduce the runs of a case to what the tests need."""
    entry: dict[str, Any] = {"fingerprint": case.fingerprint, "n_iter": [run["n_iter"] for run in runs]}
    if not case.stochastic:
        kinds = [run["warnings"] for run in runs]
        entry["losses"] = [run["losses"] for run in runs]
        entry["warnings"] = [kind for k, kind in enumerate(kinds) if kind not in kinds[:k]]
        return entry
    distances: dict[str, float] = {}
    for a, b in combinations(runs, 2):
        for label, (value, scale) in a["numbers"].items():
            other = b["numbers"].get(label, (np.empty(0), scale))[0]
            if value.shape == other.shape:
                # Not symmetric: each side is the reference once.
                gap = max(compare.distance(value, other, scale), compare.distance(other, value, scale))
                distances[label] = max(distances.get(label, 0.0), gap)
    entry["distances"] = {label: float(f"{gap:.3g}") for label, gap in distances.items() if gap > SMALL}
    return entry


def measure() -> dict[str, Any]:
    """Run scikit-learn under all core types and return the contents of the file."""
    runs = {}
    for core_type in CORE_TYPES:
        done = _run_core_type(core_type)
        if done is None:
            continue
        if done["architectures"] in [other["architectures"] for other in runs.values()]:
            print(f"{core_type}: the same kernels as another one", file=sys.stderr)
            continue
        runs[core_type] = done
    if len(runs) < 2:
        raise RuntimeError("fewer than two sets of kernels: nothing to compare")
    entries = {
        case.id: _entry(case, [run["cases"][case.id] for run in runs.values()])
        for case in wanted()
        if case.container != "frame"
    }
    about = {
        "core_types": list(runs),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    return {"about": about, "cases": entries}


def outside_itself(entries: dict[str, Any], rounding: float = 1e-12) -> tuple[int, int, int, int]:
    """Hold each final loss of scikit-learn's L-BFGS against the interval of those under the other kernels.

    Returns the number of losses, of those outside, of fits, and of fits with one outside. `rounding` is relative.
    """
    outside = [
        [
            not low - rounding * abs(loss) <= loss <= high + rounding * abs(loss)
            for k, loss in enumerate(losses)
            for others in [losses[:k] + losses[k + 1 :]]
            for low, high in [(min(others), max(others))]
        ]
        for entry in entries.values()
        for losses in zip(*entry.get("losses", []), strict=True)
    ]
    return sum(map(len, outside)), sum(map(sum, outside)), len(outside), sum(map(any, outside))


def outside_theirs(entries: dict[str, Any], rounding: float = 1e-12) -> tuple[int, dict[str, float]]:
    """Hold our final losses of L-BFGS against the interval of scikit-learn's stored ones and that of its run here.

    Returns the number of fits and, for each outside, how far its loss is from the interval; both are relative.
    """
    fits, outside = 0, {}
    for case in wanted():
        stored = entries.get(case.id, {}).get("losses")
        if case.stochastic or stored is None:
            continue
        runs = [*stored, compare.final_losses(compare.run(case, REFERENCE))]
        ours = compare.final_losses(compare.run(case, SUBJECT))
        for k, (loss, *theirs) in enumerate(zip(ours, *runs, strict=True)):
            fits += 1
            gap = max(min(theirs) - loss, loss - max(theirs)) / abs(loss)
            if gap > rounding:
                outside[f"{case.id}, fit {k + 1}"] = gap
    return fits, outside


def main() -> None:
    """Measure and write, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--itself", action="store_true")
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--child", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
    elif options.itself:
        losses, outside, fits, touched = outside_itself(load())
        print(f"{losses} final losses, {outside} outside the others' interval; {fits} fits, {touched} with one outside")
    elif options.ours:
        fits, gaps = outside_theirs(load())
        print(f"{fits} final losses, {len(gaps)} outside scikit-learn's interval, by")
        print(*(f"{gap:.1e}  {name}" for name, gap in sorted(gaps.items(), key=lambda item: item[1])), sep="\n")
    elif options.check:
        missing = [case.id for case in wanted() if case.container != "frame" and case.id not in load()]
        print(f"{len(missing)} cases without a spread", *missing, sep="\n")
        sys.exit(bool(missing))
    else:
        measured = measure()
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in measured["cases"].items())
        FILE.write_text(f'{{"about": {json.dumps(measured["about"])},\n"cases": {{\n{lines}\n}}}}\n')
        print(f"{len(measured['cases'])} cases under {', '.join(measured['about']['core_types'])}")


if __name__ == "__main__":
    main()
