"""The comparison with other libraries: its arithmetic, its tables, and its processes on the smallest row. No times."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from peers import tables
from peers.chart import draw
from peers.measure import Peer, Process, measure, peer_names, per_unit, slopes
from peers.peak import vector_bytes
from peers.rows import ROWS, Training, forward_flops, training_flops
from peers.worker import choose_counts


def record(peer, seconds, **others):
    """A record whose every unit took `seconds`."""
    timed = [[[seconds, 1], [3 * seconds, 3]]] * 3
    values = {"row": "r", "title": "a row, f64", "unit": "an epoch", "kind": "training", "peer": peer, "threads": 1}
    values |= {"version": "1", "shuffle": False, "flops": None, "loss": 0.5, "timed": timed}
    return values | {"least": seconds, "median": seconds} | others


def test_an_epoch_is_the_slope_between_two_numbers_of_epochs():
    # A call takes 5 and an epoch 2 seconds; the second round is disturbed by 1 and by 3 seconds.
    timed = [[[5 + 2 * 1, 1], [5 + 2 * 5, 5]], [[8, 1], [18, 5]], [[7, 1], [15, 5]]]
    assert slopes(timed) == [2.0, 2.5, 2.0]
    assert per_unit(timed) == (2.0, 2.0)
    # The least of each number count, also when they are of different rounds.
    assert per_unit([[[7, 1], [99, 5]], [[88, 1], [15, 5]]])[0] == 2.0


def test_counts_take_about_as_long_as_asked():
    for cost in (1e-7, 3e-4, 0.01):
        low, high = choose_counts(lambda n, cost=cost: n * cost, 0.05)
        assert 0.8 < (high - low) * cost / 0.05 < 1.3
    assert choose_counts(lambda n: n * 2.0, 0.05) == (1, 2)


def test_flops_are_counted_by_hand():
    # 64-100-10: forward 2 (6400 + 1000), weight gradients as many, deltas of the hidden layer 2 * 1000.
    assert forward_flops((64, 100, 10)) == 14_800
    assert training_flops((64, 100, 10)) == 2 * 14_800 + 2_000
    assert ROWS["digits-f64"].flops == 1797 * 31_600
    assert ROWS["predict-1000-f32"].flops == 14_800_000


def test_the_widest_vectors_are_those_of_the_instruction_set():
    assert vector_bytes(None, {"fma", "avx512f"}) == 64
    assert vector_bytes("avx2", {"fma", "avx512f"}) == 32
    assert vector_bytes("scalar", {"fma", "avx512f"}) == 16
    assert vector_bytes(None, set()) == 16


def test_a_library_that_diverged_does_other_work():
    for losses in ((0.5, math.nan, 0.5), (0.5, 0.5, math.nan)):
        records = [record(*pair, loss=loss) for pair, loss in zip(ALL, losses, strict=True)]
        assert not tables.agreement(records)[2]
        assert "DIFFERENT WORK" in tables.table(records)
    assert tables.agreement([record(*pair, loss=0.0) for pair in ALL])[1:] == (0.0, True)


ALL = (("fastmlp", 0.002), ("sklearn", 0.05), ("jax", 0.01))


def test_times_that_are_none_are_said_to_be(tmp_path):
    records = [record("fastmlp", 0.002, flops=4e6), record("sklearn", 0.05, least=-0.1)]
    _, _, least, median = tables.table(records).splitlines()
    assert "too noisy" in least
    assert "2 ms" in least
    assert "(25x)" in median
    records = [record("fastmlp", 0.002, least=0.0, flops=4e6), record("sklearn", 0.05)]
    assert "x)" not in tables.table(records).splitlines()[2]
    assert not draw({"machine": "this", "records": records}, tmp_path / "chart.svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--threads", "a"], "invalid numbers value: 'a'"),
        (["--json", "no/such/folder/file.json"], "there is no folder"),
        (["--from", "no-such-file.json"], "there is no file no-such-file.json"),
        (["--peers", "jax", "--isa", "avx2"], "jax is left out: it cannot be limited to avx2"),
    ],
)
def test_bad_options_are_told_at_once(arguments, message):
    command = [sys.executable, "-m", "benchmarks.peers", "--rows", "xor", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True)
    assert done.returncode
    assert message in done.stderr


def test_a_table_shows_times_ratios_and_the_share_of_the_peak():
    records = [record("fastmlp", 0.002, flops=4e6), record("sklearn", 0.05), record("peak", 1 / 8e9, loss=None)]
    head, _, least, median = tables.table(records).splitlines()
    cells = [cell.strip() for cell in head.split("|")[1:-1]]
    assert cells == ["", "", "fastmlp", "scikit-learn", "GFLOP/s", "% of peak", "loss (differences)"]
    assert [cell.strip() for cell in least.split("|")[1:-1]] == [
        "a row, f64",
        "min",
        "2 ms",
        "50 ms (25x)",
        "2",
        "25",
        "0.5 (0e+00)",
    ]
    assert len({len(line) for line in (head, least, median)}) == 1


@pytest.mark.parametrize(("loss", "said"), [(0.5 + 1e-8, False), (0.6, True)])
def test_different_work_is_said(loss, said):
    text = tables.report([record("fastmlp", 0.002), record("sklearn", 0.05, loss=loss)])
    assert ("DIFFERENT WORK" in text) == said


def test_training_is_compared_with_the_network_and_the_rest_with_the_estimator():
    for kind, peer in (("training", "fastmlp"), ("inference", "fastmlp-estimator"), ("estimator", "fastmlp-estimator")):
        records = [record(name, 0.002, kind=kind) for name in ("fastmlp", "fastmlp-estimator", "sklearn")]
        assert tables.reference(records)["peer"] == peer
        assert tables.reference(records[:1])["peer"] == "fastmlp"


def test_failures_and_skipped_rows_are_told():
    records = [record("fastmlp", 0.002), {**record("jax", 0.1), "failed": "no memory"}]
    del records[1]["least"], records[1]["median"]
    assert "jax failed at r: no memory" in tables.report(records)
    assert "JAX" not in tables.table(records)


def test_scaling_and_shuffling_compare_the_same_peer():
    records = [record("fastmlp", 0.002), record("fastmlp", 0.001, threads=2), record("fastmlp", 0.003, shuffle=True)]
    text = tables.report(records)
    assert "| 1 -> 2  | 2 ms | 1 ms | 2.00           | 2.00        |" in text
    assert "| 1       | 2 ms     | 3 ms    | 1 ms |" in text


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4e-6, "4 us"), (5e-9, "5 ns")])
def test_times_have_a_unit(seconds, text):
    assert tables.format_seconds(seconds) == text


@pytest.mark.parametrize("row", [row for row in ROWS.values() if isinstance(row, Training)], ids=lambda row: row.name)
def test_the_loss_of_a_row_is_that_of_a_network(row):
    from fastmlp import Network

    coefs, intercepts = row.parameters()
    loss = "squared_error" if row.output == "identity" else "log_loss"
    options = {"activation": row.activation, "output_activation": row.output, "loss": loss, "alpha": 1e-4}
    net = Network(row.units, dtype=row.dtype, random_state=0, **options)
    assert all(np.array_equal(a, b) for a, b in zip(net.coefs + net.intercepts, coefs + intercepts, strict=True))
    assert row.loss(coefs, intercepts) == pytest.approx(net.loss(*row.data), rel=1e-5)


@pytest.fixture(scope="module")
def processes():
    started = [Process(Peer(name, 1)) for name in ("fastmlp", "fastmlp-estimator", "fastmlp-predictor", "sklearn")]
    yield started
    for process in started:
        process.close()


def test_processes_do_the_same_work(processes):
    assert not any(process.missing for process in processes)
    missing = {"iris": {"fastmlp-predictor"}, "predict-1-f64": set(), "fixed-cost": {"fastmlp", "fastmlp-predictor"}}
    for name, absent in missing.items():
        records = measure(ROWS[name], processes, rounds=2, seconds=0.001)
        done = [r for r in records if "least" in r]
        assert [r["peer"] for r in done] == [p.peer.name for p in processes if p.peer.name not in absent]
        assert all(len(r["timed"]) == 2 for r in done)
        assert tables.agreement(records)[2]
        assert tables.agreement(records)[1] < 1e-9
        assert json.loads(json.dumps(records)) == records
    assert (
        processes[0].ask(do="prepare", row="no such row", shuffle=False, seconds=0.1)["failed"].startswith("KeyError")
    )
    assert "skipped" in processes[0].ask(do="prepare", row="lbfgs", shuffle=False, seconds=0.1)


def test_a_process_that_ends_is_a_failure(processes):
    ending = Process(Peer("fastmlp", 1))
    ending._process.kill()
    records = measure(ROWS["iris"], [ending, processes[0]], rounds=2, seconds=0.001)
    ending.close()
    assert "ended" in records[0]["failed"]
    assert "least" in records[1]


@pytest.mark.parametrize("name", ["torch", "jax", "onnxruntime"])
def test_a_library_that_is_there_does_the_same_work_and_one_that_is_not_is_named(name, processes):
    process = Process(Peer(name, 1))
    needed = [name, "onnx"] if name == "onnxruntime" else [name]
    if all(importlib.util.find_spec(module) for module in needed):
        for row in ("iris", "predict-1-f32"):
            records = measure(ROWS[row], [processes[0], process], rounds=1, seconds=0.001)
            assert not any("failed" in r for r in records)
            assert tables.agreement(records)[2]
    else:
        assert process.missing.startswith("ModuleNotFoundError")
    process.close()


def test_only_libraries_that_can_be_limited_are_compared_on_avx2():
    assert not {"onnxruntime", "jax", "sklearn-skylakex"} & set(peer_names("avx2"))
    variables = Peer("sklearn", 2).environment("avx2")
    assert variables["FASTMLP_ISA"] == "avx2"
    assert variables["OPENBLAS_CORETYPE"] == "Haswell"
    assert variables["OPENBLAS_NUM_THREADS"] == variables["FASTMLP_NUM_THREADS"] == "2"


def test_the_command_writes_records_and_reads_them_again(tmp_path):
    command = [sys.executable, "-m", "benchmarks.peers", "--rows", "iris"]
    top, file = Path(__file__).resolve().parent.parent, tmp_path / "records.json"
    measuring = ["--quick", "--peers", "fastmlp,sklearn", "--json", str(file)]
    done = subprocess.run([*command, *measuring], cwd=top, check=True, capture_output=True, text=True)
    assert "| iris 4-16-3" in done.stdout
    assert {r["peer"] for r in json.loads(file.read_text())["records"]} == {"fastmlp", "sklearn"}
    again = subprocess.run([*command, "--from", str(file)], cwd=top, check=True, capture_output=True, text=True)
    assert again.stdout == done.stdout


def test_the_chart_has_a_bar_for_each_peer(tmp_path):
    pytest.importorskip("matplotlib")
    from peers.chart import draw, ratios

    records = [record("fastmlp", 0.002), record("sklearn", 0.05), record("jax", 0.001), record("peak", 1e-9)]
    assert ratios(records) == {"a row, f64": {"sklearn": 25.0, "jax": 0.5}}
    draw({"machine": "a processor", "records": records}, tmp_path / "chart.svg")
    assert "<svg" in (tmp_path / "chart.svg").read_text()
