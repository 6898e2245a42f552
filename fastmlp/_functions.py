"""Plain functions of numbers that users write: looked at, and made again with other things in place of what they use.

A function is taken with everything it refers to: global variables, variables of the functions around it, and the plain
functions that it calls.
"""

from __future__ import annotations

import dis
import math
from collections.abc import Callable, Iterator
from functools import reduce
from numbers import Real
from types import CellType, CodeType, FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from fastmlp._numbers import in_place_of, number, of_numbers
from fastmlp._parameters import Entry

Replace = Callable[[Any], Any]


def plain(value: Any) -> FunctionType | None:
    """Return the Python function that a value is, or that Numba or a registration has wrapped; None for anything else.

    Examples
    --------
    >>> from fastmlp._functions import plain
    >>> plain(abs) is None, plain(plain) is plain
    (True, True)
    """
    if isinstance(value, Entry) and value.is_own:
        value = value.function
    value = getattr(value, "py_func", value)
    return value if isinstance(value, FunctionType) else None


def _same(value: Any) -> Any:
    return value


def rebuilt(
    function: FunctionType, replace: Replace = _same, *, constant: Replace = _same, wrap: Replace = _same
) -> Any:
    """Return a copy of a function that is independent of the variables of the original.

    Parameters
    ----------
    function : function
    replace : callable
        What stands for the value of each variable that the function, or one that it calls, uses from outside.
    constant : callable
        What stands for each constant in the code.
    wrap : callable
        What is made of the copy, and of the copy of each function that it calls.

    Returns
    -------
    object
        What `wrap` has made; the variables are those of the moment.

    Examples
    --------
    >>> from fastmlp._functions import rebuilt
    >>> def tripled(x):
    ...     return 3 * x
    >>> rebuilt(tripled, constant=lambda value: 5 if value == 3 else value)(2)
    10
    """
    made: dict[FunctionType, Any] = {}

    def value_of(value: Any) -> Any:
        inner = plain(value)
        return replace(value) if inner is None else copy_of(inner)

    def copy_of(original: FunctionType) -> Any:
        if original not in made:
            variables: dict[str, Any] = {"__name__": original.__module__, "__builtins__": __builtins__}
            cells = tuple(CellType() for _ in original.__closure__ or ())
            code = _with_constants(original.__code__, constant)
            defaults = tuple(map(value_of, original.__defaults__ or ()))
            copy = FunctionType(code, variables, original.__name__, defaults, cells)
            copy.__kwdefaults__ = {name: value_of(value) for name, value in (original.__kwdefaults__ or {}).items()}
            # Before its variables: a function may call itself.
            made[original] = wrap(copy)
            for name in _names(original.__code__):
                if name in original.__globals__:
                    variables[name] = value_of(original.__globals__[name])
            for cell, old in zip(cells, original.__closure__ or (), strict=True):
                try:
                    cell.cell_contents = value_of(old.cell_contents)
                except ValueError:  # a variable that has no value yet
                    continue
        return made[original]

    return copy_of(function)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


def _names(code: CodeType) -> set[str]:
    """Return the names of the global variables that code reads; `co_names` has those of attributes, too."""
    steps = (step for part in _codes(code) for step in dis.get_instructions(part))
    return {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _with_constants(code: CodeType, constant: Replace) -> CodeType:
    def value_of(value: Any) -> Any:
        if isinstance(value, CodeType):
            return _with_constants(value, constant)
        return tuple(map(value_of, value)) if isinstance(value, tuple) else constant(value)

    return code if constant is _same else code.replace(co_consts=tuple(map(value_of, code.co_consts)))


def may_raise(function: FunctionType) -> bool:
    """Return whether there is a raise, an assert, a try or a with in a function or in those that it calls.

    Examples
    --------
    >>> from fastmlp._functions import may_raise
    >>> def halved(x):
    ...     assert x > 0
    ...     return x / 2
    >>> may_raise(halved)
    True
    """
    found = []

    def look(copy: FunctionType) -> FunctionType:
        for code in _codes(copy.__code__):
            # A handler begins with PUSH_EXC_INFO; those of the compiler's own, as of comprehensions, do not.
            steps = dis.get_instructions(code)
            found.extend(step for step in steps if step.opname in ("RAISE_VARARGS", "PUSH_EXC_INFO"))
        return copy

    rebuilt(function, wrap=look)
    return bool(found)


_OTHER_NAMES = {
    **{f"a{name}": f"arc{name}" for name in ("cos", "sin", "tan", "cosh", "sinh", "tanh")},
    "atan2": "arctan2",
    "fabs": "abs",
    "pow": "float_power",
}
"""NumPy's names of functions of `math`, where they differ."""
_EXACT = ("frexp", "gcd", "isclose", "lcm", "ldexp", "modf", "nextafter", "prod", "remainder", "ulp")
"""Functions of `math` that do not go through NumPy's of the same name: they take or return something else."""


def _log(x: float, base: float | None = None) -> Any:
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _hypot(*coordinates: float) -> Any:
    return reduce(np.hypot, coordinates, 0)


def _to_integer(function: Callable[[float], int]) -> Callable[[float], Any]:
    return lambda x: function(float(x)) if math.isfinite(x) else x


def _without_exceptions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of `math` that has no counterpart in NumPy, with the results of compiled code."""

    def value(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return value


def _counterpart(name: str, value: Any) -> Any:
    """Return what stands for `math.name`: NumPy's function, where it has one, which does not raise."""
    if not callable(value):
        return value
    found = None if name in _EXACT else getattr(np, _OTHER_NAMES.get(name, name), None)
    return _without_exceptions(value) if found is None else found


_COUNTERPARTS = {name: _counterpart(name, value) for name, value in vars(math).items() if name[0] != "_"}
_COUNTERPARTS |= {"log": _log, "hypot": _hypot}
_COUNTERPARTS |= {name: _to_integer(getattr(math, name)) for name in ("ceil", "floor", "trunc")}
_MATH = SimpleNamespace(**{name: of_numbers(f) if callable(f) else f for name, f in _COUNTERPARTS.items()})


def _without_math(value: Any) -> Any:
    if value is math:
        return _MATH
    name = getattr(value, "__name__", None)
    return getattr(_MATH, name) if isinstance(name, str) and getattr(math, name, None) is value else in_place_of(value)


def over_elements(function: FunctionType) -> Callable[..., np.ndarray]:
    """Return the function of arrays that applies a function of numbers to each element.

    Parameters
    ----------
    function : function
        It gets numbers of the first array's dtype. Where `math` would raise it gives infinity or NaN, as NumPy does;
        comparisons give Python's bools.

    Returns
    -------
    callable
        Its arguments are arrays of one shape and dtype, or numbers; so is its result. Its attribute `of_numbers` is the
        function of numbers that it applies.

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> from fastmlp._functions import over_elements
    >>> over_elements(lambda x, scale: scale * math.exp(x))(np.array([0.0, 1000.0]), 2.0)
    array([ 2., inf])
    """
    scalar = rebuilt(function, _without_math)

    def of_one(*numbers: Any) -> Any:
        return number(scalar(*map(number, numbers)))

    def apply(first: np.ndarray, *others: Any) -> np.ndarray:
        dtype = first.dtype
        given = [np.broadcast_to(np.asarray(other, dtype), first.shape).ravel() for other in others]
        with np.errstate(all="ignore"):
            results = [of_one(*numbers) for numbers in zip(first.ravel(), *given, strict=True)]
        kinds = set(map(type, results))
        if not all(issubclass(kind, Real) for kind in kinds):
            i = next(i for i, result in enumerate(results) if not isinstance(result, Real))
            raise TypeError(
                f"Expected {function.__name__} to return a real number, got {results[i]!r} at "
                f"{', '.join(f'{numbers[i]:g}' for numbers in (first.ravel(), *given))}."
            )
        return np.array(results, dtype).reshape(first.shape)

    apply.of_numbers = of_one  # type: ignore[attr-defined]
    return apply
