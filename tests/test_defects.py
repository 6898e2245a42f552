"""Planted errors are seen by the suite."""

from __future__ import annotations

import pytest
from parity import cases, defects, planted, sequences
from parity.subject import SUBJECT

NAMES = {which.name for which in defects.DEFECTS}


def test_enough_defects() -> None:
    """At least 15, each with a name of its own and words that say what it does."""
    assert len(defects.DEFECTS) >= 15
    assert len(NAMES) == len(defects.DEFECTS)
    assert all(which.words.endswith(".") for which in defects.DEFECTS)


def test_witnesses_exist() -> None:
    """The cases and sequences that should see a defect are there."""
    known = {case.id for case in cases.all_cases()} | {which.id for which in sequences.SEQUENCES}
    for which in defects.DEFECTS:
        witnesses = list(defects.witnesses(which))
        assert witnesses, which.name
        assert set(witnesses) <= known, which.name


@pytest.mark.parametrize("which", defects.DEFECTS, ids=str)
def test_defect_is_seen(which: defects.Defect) -> None:
    """Each error, planted in a copy of scikit-learn, is seen by one of its witnesses."""
    assert defects.first_seen(which, which.library()) is not None, which.words


def test_planted_defects_are_from_the_list() -> None:
    """At least 15 of the errors are planted in fastmlp, too, and each is one of the list."""
    assert len(planted.PLANTED) >= 15
    assert set(planted.PLANTED) <= NAMES


@pytest.mark.parametrize("which", [which for which in defects.DEFECTS if which.name in planted.PLANTED], ids=str)
def test_defect_in_fastmlp_is_seen(which: defects.Defect) -> None:
    """Each error, planted in fastmlp itself, is seen by one of its witnesses."""
    assert defects.first_seen(which, SUBJECT) is None, "a witness of the defect differs without it"
    with planted.PLANTED[which.name]():
        assert defects.first_seen(which, SUBJECT) is not None, which.words
