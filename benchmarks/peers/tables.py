"""Records as tables in Markdown."""

import math
import statistics

from .measure import slopes

TITLES = {
    "training": "Training, an epoch",
    "inference": "Prediction, a call",
    "estimator": "What estimators do",
}
NAMES = {
    "fastmlp": "fastmlp",
    "fastmlp-estimator": "fastmlp's estimator",
    "fastmlp-predictor": "fastmlp's predictor",
    "sklearn": "scikit-learn",
    "sklearn-skylakex": "scikit-learn, SkylakeX",
    "torch": "PyTorch",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime",
}
TOLERANCE = {"f32": 3e-3, "f64": 1e-6}
"""Relative differences of the losses at which the same work is in doubt.

Rounding errors in float32 grow fast in three layers of relu: there scikit-learn on OpenBLAS's AVX-512 kernels is 6e-4
away from itself on the others.
"""


def format_seconds(seconds):
    """Return a time with three digits and its unit.

    >>> format_seconds(0.00001234)
    '12.3 us'
    """
    units = ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
    factor, unit = next((pair for pair in units if seconds >= pair[0]), units[-1])
    return f"{_digits(seconds / factor)} {unit}"


def _digits(x):
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def reference(records):
    """Return the record that the others are compared with, or None."""
    done = {record["peer"]: record for record in records if "least" in record}
    order = ("fastmlp", "fastmlp-estimator") if records[0]["kind"] == "training" else ("fastmlp-estimator", "fastmlp")
    return done.get(order[0]) or done.get(order[1])


def peak(records, which):
    """Return the measured peak in operations a second, or None."""
    return next((1 / record[which] for record in records if record["peer"] == "peak" and which in record), None)


def cells(records, which, columns):
    """Return the cells of one line; in rounds that are too short more work may take less time.

    Parameters
    ----------
    records : list of dict
        Of one row, one number of threads.
    which : {"least", "median"}
    columns : list of str
        Peers that have a column.
    """
    done = {record["peer"]: record for record in records if "least" in record}
    ours, top = reference(records), peak(records, which)
    line = []
    for name in columns:
        if name not in done:
            line.append("")
            continue
        took = done[name][which]
        if took <= 0:
            line.append("too noisy")
            continue
        comparable = ours is not None and ours is not done[name] and ours[which] > 0
        line.append(format_seconds(took) + (f" ({_digits(took / ours[which])}x)" if comparable else ""))
    flops = ours["flops"] if ours is not None and ours[which] > 0 else None
    line.append(_digits(flops / ours[which] / 1e9) if flops else "")
    line.append(f"{100 * flops / ours[which] / top:.0f}" if flops and top else "")
    return line


def agreement(records):
    """Return the loss of the reference, the greatest relative difference from it, and whether that is small enough."""
    losses = {record["peer"]: record["loss"] for record in records if record.get("loss") is not None}
    ours = reference(records)
    if ours is None:
        return None, 0.0, True
    loss = ours["loss"]
    differences = [abs(other - loss) for other in losses.values()]
    # The largest of some numbers and NaN would depend on their order.
    greatest = math.nan if any(map(math.isnan, differences)) else max(differences) / (abs(loss) or 1.0)
    limit = (
        0.1 if ours["shuffle"] and "an epoch" in ours["unit"] else TOLERANCE["f32" if "f32" in ours["title"] else "f64"]
    )
    return loss, greatest, greatest <= limit


def grouped(records, *keys):
    """Return {values of the keys: records}, in order of appearance."""
    groups = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    return groups


def markdown(head, lines):
    """Return a table whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    first, *rest = ("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in [head, *lines])
    return "\n".join([first, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rest])


def table(records):
    """Return the table of records of one kind, one number of threads."""
    present = {record["peer"] for record in records if "least" in record}
    columns = [name for name in NAMES if name in present]
    lines = []
    for rows in grouped(records, "row").values():
        loss, difference, same = agreement(rows)
        proof = "" if loss is None else f"{loss:.7g} ({difference:.0e}{'' if same else ', DIFFERENT WORK'})"
        title, unit = rows[0]["title"], rows[0]["unit"]
        if rows[0]["kind"] == "estimator":
            title += f": {unit}"
        lines.append([title, "min", *cells(rows, "least", columns), proof])
        lines.append(["", "median", *cells(rows, "median", columns), ""])
    return markdown(["", "", *(NAMES[name] for name in columns), "GFLOP/s", "% of peak", "loss (differences)"], lines)


def scaling(records):
    """Return the table of what more threads gain: the ratio of the minima and the median over pairs of rounds."""
    lines = []
    for (_, peer, _), group in grouped([r for r in records if "least" in r], "row", "peer", "shuffle").items():
        one, *more = sorted(group, key=lambda record: record["threads"])
        for record in more:
            pairs = zip(slopes(one["timed"]), slopes(record["timed"]), strict=True)
            gains = one["least"] / record["least"], statistics.median(a / b for a, b in pairs)
            times = [
                _digits(1e-9 / r["least"]) if peer == "peak" else format_seconds(r["least"]) for r in (one, record)
            ]
            threads = f"{one['threads']} -> {record['threads']}"
            name = NAMES.get(peer, "peak, GFLOP/s")
            lines.append([record["title"], name, threads, *times, *(f"{gain:.2f}" for gain in gains)])
    return markdown(["", "", "threads", "min", "min", "gain of minima", "median gain"], lines)


def shuffling(records):
    """Return the table of what an epoch takes with and without shuffling."""
    lines = []
    for (_, peer, threads), group in grouped([r for r in records if "least" in r], "row", "peer", "threads").items():
        if len(group) > 1 and peer in NAMES:
            off, on = sorted(group, key=lambda record: record["shuffle"])
            times = off["least"], on["least"], max(on["least"] - off["least"], 0.0)
            lines.append([off["title"], NAMES[peer], str(threads), *map(format_seconds, times)])
    return markdown(["", "", "threads", "off, min", "on, min", "cost"], lines)


def report(records):
    """Return everything that is to be said of these records."""
    parts = []
    for (kind, threads, shuffle), group in grouped(records, "kind", "threads", "shuffle").items():
        title = f"{TITLES[kind]}; {threads} thread{'s' * (threads > 1)}"
        if kind == "training":
            title += f", shuffle {'on' if shuffle else 'off'}"
        parts.append(f"### {title}\n\n{table(group)}")
    if len({record["threads"] for record in records}) > 1:
        parts.append(f"### What threads gain\n\n{scaling(records)}")
    if len({record["shuffle"] for record in records}) > 1:
        parts.append(f"### What shuffling costs in an epoch\n\n{shuffling(records)}")
    failed = [f"{r['peer']} failed at {r['row']}: {r['failed']}" for r in records if "failed" in r]
    return "\n\n".join([*parts, *failed])
