"""What the registries share: intervals, named numbers with defaults and limits, and looking up a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TypeVar

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An interval of real numbers.

    Parameters
    ----------
    low, high : float
        The ends; infinite ends are never members.
    closed : {"both", "left", "right", "neither"}, default="both"
        Which finite ends are members.

    Examples
    --------
    >>> from fastmlp._parameters import Interval
    >>> 0.0 in Interval(0, 1, closed="neither")
    False
    >>> str(Interval(0, math.inf, closed="left"))
    '[0, inf)'
    """

    low: float = -math.inf
    high: float = math.inf
    closed: str = "both"

    @property
    def _has_low(self) -> bool:
        return self.closed in ("both", "left") and math.isfinite(self.low)

    @property
    def _has_high(self) -> bool:
        return self.closed in ("both", "right") and math.isfinite(self.high)

    def __contains__(self, x: float) -> bool:
        above = x >= self.low if self._has_low else x > self.low
        below = x <= self.high if self._has_high else x < self.high
        return bool(above and below)

    def includes(self, other: Interval) -> bool:
        """Return whether every member of `other` is a member of this interval."""
        low = other.low > self.low or (other.low == self.low and (self._has_low or not other._has_low))
        high = other.high < self.high or (other.high == self.high and (self._has_high or not other._has_high))
        return low and high

    def __str__(self) -> str:
        left, right = "[" if self._has_low else "(", "]" if self._has_high else ")"
        return f"{left}{self.low:g}, {self.high:g}{right}"


_Entry = TypeVar("_Entry")


def look_up(registry: Mapping[str, _Entry], kind: str, name: object) -> _Entry:
    """Return ``registry[name]``.

    Raises
    ------
    TypeError
        When `name` is no string.
    ValueError
        When there is no such entry; the message lists those there are.

    Examples
    --------
    >>> from fastmlp._parameters import look_up
    >>> look_up({"red": 1}, "colour", "blue")
    Traceback (most recent call last):
    ...
    ValueError: Unknown colour 'blue'; expected one of 'red'.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a {kind} must be a string, got {name!r} of type {type(name).__name__}.")
    if name not in registry:
        raise ValueError(f"Unknown {kind} {name!r}; expected one of {', '.join(map(repr, registry))}.")
    return registry[name]


def check_parameters(
    owner: str,
    defaults: Mapping[str, float | bool],
    limits: Mapping[str, Interval],
    given: Mapping[str, float | bool],
) -> dict[str, float | bool]:
    """Return all parameters of `owner`, in the order of `defaults`: the given ones checked, the others by default.

    Parameters
    ----------
    owner : str
        Whose parameters they are, for messages: ``"activation 'leaky_relu'"``.
    defaults : mapping of str to float or bool
        Default of every parameter. Its type is the type of the parameter.
    limits : mapping of str to Interval
        Allowed values; a parameter without an entry may be any finite number.
    given : mapping of str to float or bool

    Returns
    -------
    dict of str to float or bool
        Python floats and bools.

    Raises
    ------
    TypeError
        For an unknown name, or a value that is no number (no bool, where the default is one).
    ValueError
        For a number outside the limits, or one that is not finite.

    Examples
    --------
    >>> from fastmlp._parameters import Interval, check_parameters
    >>> check_parameters("solver 'sgd'", {"momentum": 0.9}, {"momentum": Interval(0, 1)}, {"momentum": 0})
    {'momentum': 0.0}
    """
    for name in given:
        if name not in defaults:
            expected = ", ".join(map(repr, defaults)) or "none"
            raise TypeError(f"{owner} has no parameter {name!r}; expected: {expected}.")
    checked: dict[str, float | bool] = {}
    for name, default in defaults.items():
        value = given.get(name, default)
        if isinstance(default, bool):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name} of {owner} must be True or False, got {value!r}.")
            checked[name] = bool(value)
            continue
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            raise TypeError(f"{name} of {owner} must be a real number, got {value!r} of type {type(value).__name__}.")
        interval = limits.get(name, Interval())
        if float(value) not in interval:
            raise ValueError(f"{name} of {owner} must be a number in {interval}, got {value!r}.")
        checked[name] = float(value)
    return checked
