"""What the registries share: intervals, named numbers with defaults and limits, and looking up a name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, TypeVar

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


class Entry(ABC):
    """What an entry of a registry is: one object, which is kept and copied as that, and pickled by its name."""

    kind: ClassVar[str]
    """What it is, for messages."""
    is_own: ClassVar[bool] = False
    """Whether a user has registered it."""
    name: str

    @classmethod
    @abstractmethod
    def registry(cls) -> Mapping[str, Any]:
        """Return the registry that it belongs to."""

    @property
    def is_current(self) -> bool:
        """Whether its name still stands for it."""
        return self.registry().get(self.name) is self

    def check_current(self) -> None:
        """Raise ValueError unless its name still stands for it."""
        if not self.is_current:
            what = "replaced by another one" if self.name in self.registry() else "removed from the registry"
            raise ValueError(
                f"The {self.kind} {self.name!r} has been {what} since this object was made: use the present one, or "
                "its name."
            )

    def __copy__(self) -> Entry:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Entry:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        self.check_current()
        return _load_entry, (type(self), self.name)


def _load_entry(kind: type[Entry], name: str) -> Any:
    """Return the entry that a pickle refers to."""
    return registered(kind.registry(), kind.kind, name)


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
        raise TypeError(f"The {kind}'s name must be a string, got {name!r} of type {type(name).__name__}.")
    if name not in registry:
        raise ValueError(f"Unknown {kind} {name!r}; expected one of {', '.join(map(repr, registry))}.")
    return registry[name]


def name_of(registry: Mapping[str, Any], kind: str, given: object) -> str:
    """Return the name of an entry, given by its name or as the entry itself.

    Raises
    ------
    TypeError
        When it is neither.
    ValueError
        When there is no such entry, or its name stands for another one by now.

    Examples
    --------
    >>> from fastmlp._parameters import name_of
    >>> from fastmlp.activations import ACTIVATIONS
    >>> name_of(ACTIVATIONS, "activation", ACTIVATIONS["tanh"])
    'tanh'
    """
    if isinstance(given, Entry) and given.kind == kind:
        given.check_current()
        return given.name
    look_up(registry, kind, given)
    return str(given)


def registered(registry: Mapping[str, _Entry], kind: str, name: str) -> _Entry:
    """Return the entry that something loaded from a pickle or the like refers to.

    Raises
    ------
    ValueError
        When there is none; the message says what to register.

    Examples
    --------
    >>> from fastmlp._parameters import registered
    >>> registered({}, "loss", "focal")
    Traceback (most recent call last):
    ...
    ValueError: There is no loss 'focal' here: register it with @fastmlp.loss(name='focal', ...) before loading.
    """
    if name not in registry:
        raise ValueError(
            f"There is no {kind} {name!r} here: register it with @fastmlp.{kind}(name={name!r}, ...) before loading."
        )
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
        try:
            number = float(value)
        except OverflowError:  # an integer or fraction of more digits than an error message should have
            raise ValueError(f"{name} of {owner} must be a number in {interval}, got one beyond 1.8e308.") from None
        if number not in interval:
            raise ValueError(f"{name} of {owner} must be a number in {interval}, got {value!r}.")
        checked[name] = number
    return checked
