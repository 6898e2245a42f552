"""fastmlp beside scikit-learn, PyTorch, JAX and ONNX Runtime, on this machine.

One process for each library, pinned to the same processors and allowed the same number of threads, asked in turn in
every round. The time of an epoch is the slope between two numbers of epochs. benchmarks/README.md tells more.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

from .chart import draw
from .measure import Peer, Process, measure, peer_names
from .rows import ROWS, Training
from .tables import report


def numbers(text):
    return sorted({int(number) for number in text.split(",")})


def parse():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.partition("\n")[0])
    names, peers = (lambda text: text.split(",")), peer_names()
    parser.add_argument("--rows", type=names, default=list(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--peers", type=names, help=f"of {','.join(peers)}; default: all")
    parser.add_argument("--threads", type=numbers, default=[1], help="such as 1, or 1,2")
    parser.add_argument("--shuffle", action="store_true", help="train with shuffling as well, and show its cost")
    parser.add_argument("--isa", choices=["avx2"], help="compare what can be limited to this instruction set")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three short rounds: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the ratios (.svg, .png)")
    parser.add_argument(
        "--from", type=Path, nargs="+", dest="files", metavar="FILE", help="read records, don't measure"
    )
    options = parser.parse_args()
    for what, given, known in (("row", options.rows, ROWS), ("peer", options.peers or [], peers)):
        if unknown := set(given) - set(known):
            parser.error(f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    for file in filter(None, (options.json, options.chart)):
        if not file.resolve().parent.is_dir():
            parser.error(f"there is no folder {file.resolve().parent}")
    for file in options.files or ():
        if not file.is_file():
            parser.error(f"there is no file {file}")
    if options.chart and not importlib.util.find_spec("matplotlib"):
        parser.error("--chart needs matplotlib")
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not all(1 <= n <= processors for n in options.threads):
        parser.error(f"--threads must be from 1 to {processors}, the processors that may be used here")
    return options


def start(options):
    """Start a process for each peer and number of threads; name those that are missing."""
    wanted = options.peers or peer_names()
    for name in set(wanted) - set(peer_names(options.isa)):
        print(f"{name} is left out: it cannot be limited to {options.isa}", file=sys.stderr)
    wanted = [name for name in peer_names(options.isa) if name in wanted]
    processes = []
    for name in wanted:
        for threads in options.threads:
            process = Process(Peer(name, threads), options.isa)
            if process.missing:
                print(f"{name} is left out: {process.missing}", file=sys.stderr)
                process.close()
                break
            processes.append(process)
    return processes


def machine():
    """Return the name of the processor and the version of Python."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, Python {platform.python_version()}"


def run(options):
    """Measure; return machine and records."""
    processes = start(options)
    if not processes:
        sys.exit("there is no library to measure")
    result = {"machine": machine(), "isa": options.isa, "records": []}
    rounds, seconds = (3, 0.01) if options.quick else (options.rounds, 0.05)
    try:
        for name in options.rows:
            for shuffle in (False, True) if options.shuffle and isinstance(ROWS[name], Training) else (False,):
                print(f"{name}{', shuffled' * shuffle} ...", file=sys.stderr, flush=True)
                records = measure(ROWS[name], processes, rounds=rounds, seconds=seconds, shuffle=shuffle)
                result["records"] += records
                if options.json:  # after every row, for who stops the run
                    options.json.write_text(json.dumps(result, indent=1))
    finally:
        for process in processes:
            process.close()
    return result


def read(options):
    """Return what several runs on one machine wrote, as if it were one: the rows and peers that are wanted."""
    parts = [json.loads(file.read_text()) for file in options.files]
    records = [record for part in parts for record in part["records"] if record["row"] in options.rows]
    return {**parts[0], "records": [r for r in records if not options.peers or r["peer"] in options.peers]}


def main():
    options = parse()
    result = read(options) if options.files else run(options)
    print(result["machine"] + (f", limited to {result['isa']}" if result["isa"] else ""))
    versions = {record["peer"]: record["version"] for record in result["records"]}
    print("; ".join(f"{name} {version}" for name, version in versions.items()), end="\n\n")
    print(report(result["records"]))
    if options.chart and not draw(result, options.chart):
        sys.exit("there is nothing to compare in a chart")


if __name__ == "__main__":
    main()
