"""What the parity run found, as a Markdown table for the documentation: ``python -m parity.table``."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import scipy
import sklearn

from parity import cases, compare, sequences, spread
from parity.subject import SKLEARN_VERSION, SUBJECT

COLUMNS: dict[str, tuple[str, ...]] = {
    "weights": ("coefs_", "intercepts_"),
    "losses": ("loss_", "loss_curve_", "best_loss_", "lbfgs loss"),
    "gradients": ("lbfgs gradient",),
    "predictions": ("predict", "predict_proba", "exp predict_log_proba"),
    "scores": ("score", "weighted score", "validation_scores_", "best_validation_score_"),
    "final loss": ("lbfgs final loss",),
}
"""Columns of the table, with the quantities of which each shows the largest distance."""


@dataclass
class Row:
    """One kind of run: how many, how many differ, and the largest distance of each quantity."""

    count: int = 0
    different: list[str] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    distances: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, found: compare.Comparison) -> None:
        """Count one comparison in."""
        self.count += 1
        if found.differences:
            self.different.append(name)
        for quantity, distance in found.distances.items():
            self.distances[quantity] = max(self.distances[quantity], distance)
        self.epochs += [f"{name}: {note}" for note in found.notes if note.startswith("n_iter_") and _unequal(note)]

    def cells(self) -> list[str]:
        """Return the row's cells."""
        shown = []
        for quantities in COLUMNS.values():
            values = [self.distances[quantity] for quantity in quantities if quantity in self.distances]
            shown.append(f"{max(values):.0e}" if values else "")
        return [str(self.count), str(len(self.different)), *shown]


def _unequal(note: str) -> bool:
    theirs, ours = note.removeprefix("n_iter_ ").split(" in scikit-learn, ")
    return theirs != ours.removesuffix(" here")


def _kind(case: cases.Case) -> str:
    if case.fails is not None:
        return "calls that fail"
    dtype = "float32" if case.dtype == "float32" else "float64"
    return f"{case.solver}, {dtype}, {'to the stop' if case.runs_to_stop else 'a few epochs'}"


def main() -> None:
    """Run all cases and sequences and print the table."""
    rows: dict[str, Row] = defaultdict(Row)
    frames = importlib.util.find_spec("pandas") is not None
    for case in cases.all_cases():
        too_old = tuple(int(part) for part in case.since.split(".")) > SKLEARN_VERSION
        if too_old or (case.container == "frame" and not frames):
            continue
        rows[_kind(case)].add(case.id, compare.compare(case, SUBJECT, spread.load().get(case.id)))
    for which in sequences.SEQUENCES:
        if frames or not which.id.startswith("feature_names"):
            rows["series of calls"].add(which.id, sequences.compare(which, SUBJECT))
    versions = f"NumPy {np.__version__}, SciPy {scipy.__version__}"
    print(f"{SUBJECT.name} against scikit-learn {sklearn.__version__} ({versions}):")
    print("runs, those that differ beyond the tolerance, and the largest distances, norm-wise and relative.\n")
    header = ["", "runs", "different", *COLUMNS]
    print("| " + " | ".join(header) + " |")
    print("|---" * len(header) + "|")
    for kind in sorted(rows):
        print("| " + " | ".join([kind, *rows[kind].cells()]) + " |")
    for title, lines in (
        ("Different", [name for row in rows.values() for name in row.different]),
        ("Runs of another number of epochs or iterations", [line for row in rows.values() for line in row.epochs]),
    ):
        if lines:
            print(f"\n{title}:\n")
            print("\n".join(f"- {line}" for line in lines))


if __name__ == "__main__":
    main()
