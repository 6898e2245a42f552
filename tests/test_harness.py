"""The comparison itself: what it must find, what it must bear, and what it must not swallow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from parity import cases, compare, sequences
from parity.covering import covering_array, pairs
from parity.subject import REFERENCE, Accepted, Library, load
from sklearn.neural_network import MLPRegressor


def _trace(library: Library = REFERENCE, **values: Any) -> compare.Trace:
    trace = compare.Trace(library)
    for name, value in values.items():
        trace.note(name, value)
    return trace


def _differences(a: dict[str, Any], b: dict[str, Any], tolerance: float = 1e-8) -> list[str]:
    found = compare.compare_traces(_trace(**a), _trace(**b), tolerance).differences
    return [d.what.split(" ")[0] for d in found]


def test_distance_is_relative_to_the_norm() -> None:
    """One small entry among large ones may be wrong by more than itself."""
    a = np.array([3.0, 4.0, 1e-12])
    assert compare.distance(a, a + np.array([0, 0, 5e-9])) == pytest.approx(1e-9)
    assert compare.distance(np.zeros(3), np.zeros(3)) == 0
    assert compare.distance(np.zeros(3), np.full(3, 1e-300)) > 1


def test_distance_of_what_is_not_finite() -> None:
    """NaN and infinities must stand in the same places; the finite rest is compared."""
    a = np.array([1.0, np.nan, np.inf, -np.inf])
    assert compare.distance(a, a) == 0
    assert compare.distance(a, np.array([1.1, np.nan, np.inf, -np.inf])) == pytest.approx(0.1)
    assert compare.distance(a, np.array([1.0, np.inf, np.inf, -np.inf])) == np.inf
    assert compare.distance(a, np.array([1.0, np.nan, -np.inf, -np.inf])) == np.inf
    assert compare.distance(np.array([1e300, 1.0]), np.array([1e300, 1.0])) == 0


@pytest.mark.parametrize(
    ("a", "b", "what"),
    [
        ({"x": 1.0}, {"x": 1.0 + 1e-6}, ["distance"]),
        ({"x": 1.0}, {"x": 1.0 + 1e-10}, []),
        ({"x": 1.0}, {"x": np.float64(1.0)}, ["type"]),
        ({"x": 1}, {"x": 2}, ["value"]),
        ({"x": 1}, {"x": True}, ["type"]),
        ({"x": None}, {"x": 0.0}, ["type"]),
        ({"x": [1.0, 2.0]}, {"x": [1.0]}, ["type", "shape"]),
        ({"x": [1.0, 2.0]}, {"x": np.array([1.0, 2.0])}, ["type"]),
        ({"x": np.zeros((2, 1))}, {"x": np.zeros(2)}, ["type", "shape"]),
        ({"x": np.zeros(2)}, {"x": np.zeros(2, np.float32)}, ["type"]),
        ({"x": np.array(["a", "b"])}, {"x": np.array(["a", "c"])}, ["1"]),
        ({"x": np.array([0, 1])}, {"x": np.array([0, 0])}, ["1"]),
        ({"x": [np.ones(2), np.ones(1)]}, {"x": [np.ones(2), np.zeros(1)]}, ["distance"]),
        ({"x": 1}, {}, ["missing"]),
        ({}, {"x": 1}, ["extra"]),
    ],
    ids=str,
)
def test_differences(a: dict[str, Any], b: dict[str, Any], what: list[str]) -> None:
    """Values, types, shapes, presence."""
    assert _differences(a, b) == what


def test_random_states_are_compared_by_state() -> None:
    """An equal state is equality, another position in the same sequence is none."""
    a, b = np.random.RandomState(1), np.random.RandomState(1)
    assert not _differences({"x": a}, {"x": b})
    b.uniform()
    assert _differences({"x": a}, {"x": b}) == ["value"]


def test_unknown_values_are_an_error() -> None:
    """What cannot be compared is not passed over."""
    with pytest.raises(compare.HarnessError, match="no way to compare"):
        _trace(x=object())


def test_arrays_are_recorded_by_value() -> None:
    """Training in place after a snapshot does not change the snapshot."""
    array = np.ones(3)
    trace = _trace(x=array)
    array[...] = 2.0
    assert trace.entries[0].leaf.value.sum() == 3


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "equal"),
    [
        ("loss = 0.12345678", "loss = 0.12345679", 0.0, True),
        ("loss = 0.12345678", "loss = 0.12345688", 0.0, False),
        ("loss = 0.12345678", "loss = 0.12345978", 1e-4, True),
        ("loss = nan", "loss = nan", 0.0, True),
        ("loss = nan", "loss = 1.00000000", 0.0, False),
        ("Iteration 1, loss", "Iteration 2, loss", 1.0, False),
        ("a", "a\n", 1.0, False),
    ],
)
def test_text(a: str, b: str, tolerance: float, equal: bool) -> None:
    """Printed decimals are numbers, all else is text."""
    assert (compare.text_difference(a, b, tolerance) is None) == equal


class _Broken(MLPRegressor):
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        raise RuntimeError("broken")


def test_unexpected_errors_of_the_reference_propagate() -> None:
    """Both sides raising the same is no equality when the case does not say so."""
    broken = Library("sklearn", _Broken, _Broken)
    case = cases.by_id("hand-integer_alpha")
    wrong = replace(case, alter="X_nan")
    with pytest.raises(compare.HarnessError, match="Input X contains NaN"):
        compare.compare(wrong, REFERENCE)
    assert "exception" in [d.what for d in compare.differences(case, broken)]


def test_errors_that_fail_to_come_propagate() -> None:
    """A case that should fail and does not is an error of the case."""
    with pytest.raises(compare.HarnessError, match="expected to raise"):
        compare.compare(replace(cases.by_id("hand-integer_alpha"), fails="ValueError: "), REFERENCE)
    with pytest.raises(compare.HarnessError, match="expected"):
        compare.compare(replace(cases.by_id("fail-X_nan"), fails="ValueError: something else"), REFERENCE)


def test_errors_of_the_harness_propagate() -> None:
    """An alteration that does not exist, a parameter that no estimator has."""
    case = cases.by_id("hand-integer_alpha")
    with pytest.raises(KeyError):
        compare.compare(replace(case, alter="no such thing"), REFERENCE)
    with pytest.raises(TypeError):
        compare.compare(replace(case, params={"no_such_parameter": 1}, fails="ValueError: "), REFERENCE)


def test_sequences_that_break_propagate_on_the_reference_only() -> None:
    """On the subject the same is a difference."""

    def breaks(trace: compare.Trace) -> None:
        if trace.library is not REFERENCE:
            raise RuntimeError("only here")

    found = sequences.compare(sequences.Sequence("breaks", breaks), load("reordered"))
    assert [d.what for d in found.differences] == ["ended early"]
    with pytest.raises(ZeroDivisionError):
        sequences.compare(sequences.Sequence("breaks", lambda trace: 1 / 0))


def test_accepted_differences_are_noted() -> None:
    """A documented difference is no failure, and does not vanish either."""
    case = cases.by_id("hand-integer_alpha")
    found = compare.Comparison()
    found.add("after fit 1: loss_curve_[3]", "type", "float32", "float64")
    found.add("after fit 1: coefs_[0]", "type", "float32", "float64")
    found.accept(case.id, (Accepted("hand-*", "loss_curve_", "type", "kept in double"),))
    assert [d.quantity for d in found.differences] == ["coefs_"]
    assert len(found.notes) == 1
    assert not compare.differences(case, REFERENCE)


def test_warnings_and_output_are_compared() -> None:
    """Calls differ by what they warn and print."""

    def fit(text: str, warning: str) -> None:
        import warnings

        print(text)
        warnings.warn(warning, stacklevel=1)

    traces = [compare.Trace(load("reordered")) for _ in range(3)]
    traces[0].call("fit", fit, "a 1.0", "b")
    traces[1].call("fit", fit, "a 2.0", "b")
    traces[2].call("fit", fit, "a 1.0", "c")
    assert not compare.compare_traces(traces[0], traces[0], 1e-8).differences
    assert [d.what.split(",")[0] for d in compare.compare_traces(traces[0], traces[1], 1e-8).differences] == ["stdout"]
    assert [d.what for d in compare.compare_traces(traces[0], traces[2], 1e-8).differences] == ["warnings"]


def test_the_other_rounding_is_another_one() -> None:
    """The stand-in that must pass everything does differ from scikit-learn, by rounding."""
    found = compare.compare(cases.by_id("hand-three_layers"), load("reordered"))
    assert not found.differences
    assert 0 < max(found.distances.values()) < 1e-12


@pytest.mark.parametrize("times", [1, 2])
def test_covering_array(times: int) -> None:
    """Every allowed pair occurs, no ruled-out one does, and the array is smaller than the product."""
    factors = {"a": [1, 2, 3], "b": ["x", "y"], "c": [True, False], "d": [0, 1, 2, 3]}

    def allowed(name: str, value: Any, other: str, other_value: Any) -> bool:
        return {name: value, other: other_value} != {"a": 1, "d": 3}

    rows = covering_array(factors, allowed, seed=1, times=times)
    names = list(factors)
    for i, a, j, b in pairs(factors, allowed):
        wanted = {names[i]: factors[names[i]][a], names[j]: factors[names[j]][b]}
        assert sum(wanted.items() <= row.items() for row in rows) >= times
    assert not any(row["a"] == 1 and row["d"] == 3 for row in rows)
    assert len(rows) < 48 * times
    assert rows == covering_array(factors, allowed, seed=1, times=times)
