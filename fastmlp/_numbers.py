"""NumPy's numbers as compiled code has them: what compares them is a bool of Python's.

A formula such as ``(z > 0) + (z > 1)`` may be 2 in Python and where Numba compiles it; of NumPy's bools the sum is
True, and the difference an error. Division by zero and the like are NumPy's: infinite or NaN, not an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "divmod")
_METHODS = (
    *(f"__{name}__" for name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "round")),
    *(f"__{reflected}{name}__" for name in _OPERATORS for reflected in ("", "r")),
)
_OF_UFUNCS = ("accumulate", "outer", "reduce", "reduceat")


def _make_class(real: type) -> type:
    def method(name: str) -> Callable[..., Any]:
        of_real = getattr(real, name)

        def value(self: Any, *others: Any) -> Any:
            result = of_real(self, *others)
            kind = type(result)
            if kind is real:
                return made(result)
            if kind is np.bool_:
                return bool(result)
            if result is NotImplemented:  # two of these numbers of different types
                result = of_real(real(self), *map(_plain, others))
            return number(result)

        return value

    made = type(real.__name__, (real,), {"__hash__": real.__hash__, **{name: method(name) for name in _METHODS}})
    return made


def _plain(value: Any) -> Any:
    real = _REALS.get(type(value))
    return value if real is None else real(value)


_CLASSES = {real: _make_class(real) for real in (np.float32, np.float64)}
_REALS = {made: real for real, made in _CLASSES.items()}


def number(value: Any) -> Any:
    """Return a number of NumPy's as compiled code has it; other things as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp._numbers import number
    >>> z = number(np.float64(2.0))
    >>> (z > 0) + (z > 1), (z < 0) - (z > 0), float(-(z / 2))
    (2, -1, -1.0)
    """
    kind = type(value)
    if kind in _CLASSES:
        return _CLASSES[kind](value)
    if kind is np.bool_:
        return bool(value)
    if kind is np.ndarray and not value.ndim:
        return number(value[()])
    return tuple(map(number, value)) if kind is tuple else value


@cache
def of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of NumPy's, or one that calls such, that takes and returns these numbers."""

    def value(*arguments: Any, **named: Any) -> Any:
        return number(function(*map(_plain, arguments), **named))

    if isinstance(function, np.ufunc):
        for name in _OF_UFUNCS:
            setattr(value, name, of_numbers(getattr(function, name)))
    return value


class _Array(np.ndarray):
    """An array whose elements are these numbers."""

    def __getitem__(self, key: Any) -> Any:
        return number(super().__getitem__(key))


class _Numpy:
    def __getattr__(self, name: str) -> Any:
        return in_place_of(getattr(np, name))


_numpy = _Numpy()


def in_place_of(value: Any) -> Any:
    """Return what stands for NumPy, its functions, arrays, numbers and their types; other things as they are."""
    if value is np:
        return _numpy
    if isinstance(value, (type, ModuleType)):
        return _CLASSES.get(value, value)
    if type(value) is np.ndarray:
        return value.view(_Array)
    name = getattr(value, "__name__", None)
    is_numpys = isinstance(value, np.ufunc) or (isinstance(name, str) and getattr(np, name, None) is value)
    return of_numbers(value) if is_numpys else number(value)
