"""A derivative compared with differences of its function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Function = Callable[..., np.ndarray]

# From small to what saturates exp; none near a number where somebody would put a kink.
MAGNITUDES = (
    0.0123,
    0.0567,
    0.1372,
    0.2719,
    0.4338,
    0.6173,
    0.8531,
    1.1347,
    1.5719,
    2.2371,
    3.3917,
    5.3171,
    9.7331,
    19.723,
)
"""Distances from 0."""
POINTS = tuple(sorted([*MAGNITUDES, *(-1.0371 * x for x in MAGNITUDES)]))
"""Points on both sides of 0."""
_STEP = 1e-3
_TOLERANCE = 1e-6


def compare(
    what: str,
    form: str,
    points: Sequence[tuple[float, ...]],
    value: Function,
    slope: Function,
    argument: Function,
    ends: tuple[float, float] = (-math.inf, math.inf),
    *,
    most_decide: bool = True,
) -> str:
    """Return what is wrong with a derivative by the first argument, and where; nothing where it is right.

    Parameters
    ----------
    what, form : str
        For messages: what it is about, and how a point is written.
    points : sequence of tuple
        Arguments of the function.
    value, slope : callable
        The function and its derivative, of arrays.
    argument : callable
        What the derivative takes in the place of the first argument.
    ends : pair of float
        Where the first argument may be.
    most_decide : bool
        Whether it is an error (ValueError) when fewer than half of the points decide.
    """
    first, *others = (np.array(numbers, dtype=np.float64) for numbers in zip(*points, strict=True))
    step = np.minimum(_STEP * np.maximum(1, np.abs(first)), np.abs(first) / 4)
    for end in ends:
        if math.isfinite(end):
            step = np.minimum(step, np.abs(first - end) / 4)
    with np.errstate(all="ignore"):
        wide, narrow = (_by_differences(value, first, others, h) for h in (step, step / 2))
        found = value(first, *others)
        noise = 32 * np.finfo(np.float64).eps * np.abs(found) / step
        decides = np.abs(wide - narrow) <= _TOLERANCE / 10 * np.abs(narrow) + 1e-10 + noise
        given = slope(argument(first, *others), *others)
        wrong = decides & ~(np.abs(given - narrow) <= _TOLERANCE * np.abs(narrow) + 1e-9 + noise)
    if most_decide and 2 * np.count_nonzero(decides) < len(first):
        odd = np.flatnonzero(~decides)[0]
        raise ValueError(
            f"The derivative of {what} could not be checked: at most points the function is not finite or not smooth, "
            f"as at {form.format(*points[odd])}, where it is {found[odd]:g}."
        )
    if not wrong.any():
        return ""
    # Of all points the one where it is most wrong: it tells most.
    worst = int(np.where(wrong, np.nan_to_num(np.abs(given - narrow), nan=np.inf), -1).argmax())
    return (
        f"The derivative of {what} is wrong at {form.format(*points[worst])}: by differences it is "
        f"{narrow[worst]:.6g}, the given one returns {given[worst]:.6g}."
    )


def _by_differences(value: Function, x: np.ndarray, others: Sequence[np.ndarray], step: np.ndarray) -> np.ndarray:
    """Return the derivative by central differences with two steps, whose errors of second order cancel."""

    def central(h: np.ndarray) -> np.ndarray:
        above, below = x + h, x - h
        return (value(above, *others) - value(below, *others)) / (above - below)

    return (4 * central(step / 2) - central(step)) / 3
