"""Pairwise covering arrays: few rows in which every allowed pair of option values occurs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

Allowed = Callable[[str, Any, str, Any], bool]

CANDIDATES = 5
"""Rows tried for each row taken; more of them shorten the array by a few rows and cost collection time."""


def pairs(factors: Mapping[str, Sequence[Any]], allowed: Allowed) -> set[tuple[int, int, int, int]]:
    """Return all allowed pairs as (factor, level, factor, level), by index."""
    names = list(factors)
    return {
        (i, a, j, b)
        for i, j in combinations(range(len(names)), 2)
        for a, va in enumerate(factors[names[i]])
        for b, vb in enumerate(factors[names[j]])
        if allowed(names[i], va, names[j], vb)
    }


def covering_array(
    factors: Mapping[str, Sequence[Any]], allowed: Allowed, *, seed: int, times: int = 1
) -> list[dict[str, Any]]:
    """Return rows (dicts from factor to level) in which every allowed pair occurs at least `times` times.

    Greedy: a row starts from a pair that is still needed, and each further factor, in random order, takes the level
    that meets most needed pairs. `allowed(name, level, other name, other level)` rules pairs out.
    """
    names = list(factors)
    possible = pairs(factors, allowed)
    need = dict.fromkeys(possible, times)
    # Only `random()` is promised to give the same numbers in every version of Python, so all choices come from it.
    rng = random.Random(seed)

    def shuffled(items: Sequence[int]) -> list[int]:
        return [item for _, item in sorted((rng.random(), item) for item in items)]

    def key(i: int, a: int, j: int, b: int) -> tuple[int, int, int, int]:
        return (i, a, j, b) if i < j else (j, b, i, a)

    def candidate(start: tuple[int, int, int, int]) -> tuple[dict[int, int], int] | None:
        i, a, j, b = start
        row, gain = {i: a, j: b}, need[start]
        for f in shuffled([f for f in range(len(names)) if f not in row]):
            best, best_score = None, -1.0
            for level in range(len(factors[names[f]])):
                keys = [key(f, level, g, other) for g, other in row.items()]
                if any(k not in possible for k in keys):
                    continue
                score = sum(need[k] for k in keys) + rng.random()
                if score > best_score:
                    best, best_score = level, score
            if best is None:
                return None
            row[f], gain = best, gain + int(best_score)
        return row, gain

    rows = []
    while True:
        open_pairs = sorted(pair for pair, count in need.items() if count > 0)
        if not open_pairs:
            return rows
        found = None
        for attempt in range(50 * CANDIDATES):
            made = candidate(open_pairs[int(rng.random() * len(open_pairs))])
            if made is not None and (found is None or made[1] > found[1]):
                found = made
            if found is not None and attempt + 1 >= CANDIDATES:
                break
        if found is None:
            raise ValueError(f"a pair cannot be completed to a row; one of {open_pairs[:5]}")
        row = found[0]
        for i, j in combinations(range(len(names)), 2):
            k = (i, row[i], j, row[j])
            need[k] = max(0, need[k] - 1)
        rows.append({names[f]: factors[names[f]][row[f]] for f in range(len(names))})
