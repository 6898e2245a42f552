"""fastmlp's estimators against scikit-learn's: every case of `parity.cases`, and the face of the classes.

``PARITY_SUBJECT=sklearn`` compares scikit-learn with itself (nothing may differ), ``PARITY_SUBJECT=reordered`` with a
copy that rounds otherwise (nothing may exceed its tolerance).
"""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from parity import cases, compare, spread
from parity.subject import REFERENCE, SKLEARN_VERSION, SUBJECT, VARIABLE
from sklearn.base import is_classifier, is_regressor

CLASSES = ["MLPClassifier", "MLPRegressor"]


def test_the_subject_is_no_accident() -> None:
    """A stand-in takes fastmlp's place on request only; otherwise everything here would pass and say nothing."""
    assert not SUBJECT.is_stand_in or os.environ.get(VARIABLE), (
        f"fastmlp has no estimators to compare; set {VARIABLE} to run against a stand-in"
    )


def test_enough_cases() -> None:
    """At least 300 cases, at least a third of them free to run to their own stop."""
    found = cases.all_cases()
    assert len(found) >= 300
    assert 3 * sum(case.runs_to_stop for case in found) >= len(found)
    assert min(Counter(case.kind for case in found).values()) >= 20


def test_a_third_runs_to_its_own_stop() -> None:
    """The stop is the case's own: the limits on epochs and evaluations are not what ends it."""
    wanted = len(cases.all_cases()) / 3
    stopped = 0
    # Quick ones first, and no further than needed.
    for case in sorted((c for c in cases.all_cases() if c.runs_to_stop), key=lambda c: c.params["max_iter"] * c.n):
        if case.container == "frame" or _too_old(case):
            continue
        trace = compare.run(case, REFERENCE)
        stopped += any(n < case.params["max_iter"] for n in compare.iterations(trace))
        if stopped >= wanted:
            return
    pytest.fail(f"only {stopped} cases stop by themselves, {wanted:.0f} wanted")


@pytest.mark.parametrize("solver", list(cases.FACTORS))
def test_all_pairs_are_covered(solver: str) -> None:
    """Every allowed pair of option values occurs in the solver's array."""
    assert not cases.uncovered(solver)


def test_spreads_are_up_to_date() -> None:
    """Every case that is judged by scikit-learn's distance from itself has one stored, measured on this very case."""
    missing = [case.id for case in spread.wanted() if case.id not in spread.load()]
    assert not missing, f"run `python -m parity.spread`: {missing}"


def _too_old(case: cases.Case) -> bool:
    return tuple(int(part) for part in case.since.split(".")) > SKLEARN_VERSION


@pytest.mark.parametrize("case", cases.all_cases(), ids=str)
def test_case(case: cases.Case, record_property: Callable[[str, Any], None]) -> None:
    """One case, everything that can be seen of it."""
    if case.container == "frame":
        pytest.importorskip("pandas")
    if _too_old(case):
        pytest.skip(f"scikit-learn before {case.since} behaves otherwise here")
    found = compare.compare(case, SUBJECT, spread.load().get(case.id))
    for note in found.notes:
        record_property("note", note)
    assert not found.differences, "\n".join(map(str, found.differences))


# ---------------------------------------------------------------------------------------------------------------------
# The face
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
def test_signature(name: str) -> None:
    """scikit-learn's parameters in its order, kinds and defaults; what is added is keyword-only and comes last."""
    theirs = inspect.signature(getattr(REFERENCE, name)).parameters
    ours = inspect.signature(getattr(SUBJECT, name)).parameters
    common = [ours[key] for key in ours if key in theirs]
    assert [p.name for p in common] == list(theirs)
    for parameter in common:
        assert parameter.kind == theirs[parameter.name].kind, parameter
        assert parameter.default == theirs[parameter.name].default, parameter
    extra = [p for p in ours.values() if p.name not in theirs]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in extra)
    assert [p.name for p in ours.values()] == [*theirs, *(p.name for p in extra)]


@pytest.mark.parametrize("name", CLASSES)
def test_methods(name: str) -> None:
    """Every public method of scikit-learn's class, with its parameters by name and position."""
    theirs, ours = getattr(REFERENCE, name), getattr(SUBJECT, name)
    for method, function in inspect.getmembers(theirs, callable):
        if method.startswith("_"):
            continue
        assert hasattr(ours, method), method
        expected = inspect.signature(function).parameters.values()
        found = inspect.signature(getattr(ours, method)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in expected] == [(p.name, p.kind, p.default) for p in found], method
        assert getattr(ours, method).__doc__, f"{method} has no docstring"


@pytest.mark.parametrize("name", CLASSES)
def test_kind(name: str) -> None:
    """What scikit-learn's own functions take the classes for."""
    theirs, ours = getattr(REFERENCE, name)(), getattr(SUBJECT, name)()
    assert is_classifier(ours) == is_classifier(theirs)
    assert is_regressor(ours) == is_regressor(theirs)
    assert type(ours).__name__ == name
    assert repr(ours) == repr(theirs)
    common = theirs.get_params()
    assert {key: value for key, value in ours.get_params().items() if key in common} == common


@pytest.mark.parametrize(
    "params",
    [{}, {"alpha": 0.5}, {"hidden_layer_sizes": (3, 2), "solver": "sgd"}, {"random_state": 7, "early_stopping": True}],
    ids=str,
)
@pytest.mark.parametrize("name", CLASSES)
def test_repr(name: str, params: dict[str, Any]) -> None:
    """The printed form names what was changed."""
    assert repr(getattr(SUBJECT, name)(**params)) == repr(getattr(REFERENCE, name)(**params))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", CLASSES)
def test_tags(name: str, solver: str) -> None:
    """Tags are equal, field by field."""
    theirs = getattr(REFERENCE, name)(solver=solver).__sklearn_tags__()
    ours = getattr(SUBJECT, name)(solver=solver).__sklearn_tags__()
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_metadata_routing(name: str) -> None:
    """The same methods take the same metadata."""
    theirs = getattr(REFERENCE, name)().get_metadata_routing()
    ours = getattr(SUBJECT, name)().get_metadata_routing()
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", CLASSES)
def test_unknown_parameters(name: str) -> None:
    """A parameter that does not exist is refused where scikit-learn refuses it."""
    with pytest.raises(TypeError, match="no_such_parameter"):
        getattr(SUBJECT, name)(no_such_parameter=1)
    with pytest.raises(ValueError, match="no_such_parameter"):
        getattr(SUBJECT, name)().set_params(no_such_parameter=1)
