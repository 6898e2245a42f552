"""Activations and losses of your own: a function of one number and its derivative, registered under a name.

`activation` and `loss` check what they are given, the derivative against differences, and enter it in the registry:
from there every network, estimator and backend takes it like one that comes with the library. Numba compiles it when
one of the compiled backends first needs it.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from fastmlp._differences import MAGNITUDES, POINTS, compare
from fastmlp._functions import may_raise, over_elements, plain, rebuilt
from fastmlp._parameters import Interval, check_parameters
from fastmlp._validation import check_bool
from fastmlp.activations import ACTIVATIONS, BUILT_IN_ACTIVATIONS, Activation
from fastmlp.losses import BUILT_IN_LOSSES, LOSSES, Loss

_MOST_PARAMETERS = 4
"""As many as a C kernel's block holds."""

_ROUND = (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0)
"""Where activations like to reach the ends of their range."""

_SHARES = (0.0137, 0.0719, 0.1831, 0.3419, 0.5273, 0.6817, 0.8371, 0.9433, 0.9871)
"""Where in a finite interval a loss is looked at, for the outputs."""


@dataclass(frozen=True, eq=False, repr=False)
class OwnActivation(Activation):
    """An activation that a user has registered; called, it is the function that it was made from.

    Parameters
    ----------
    function : callable
        ``function(z, *parameters)``, of numbers.
    formulas : pair of functions
        Value and derivative, of numbers, with the variables that they use as they were at the registration.
    """

    is_own = True

    function: Callable[..., float] = abs
    formulas: tuple[FunctionType, FunctionType] = ()  # type: ignore[assignment]

    def __call__(self, *arguments: float) -> float:
        """Return what the function returns."""
        return self.function(*arguments)

    def resolve(self, given: Mapping[str, float] | None = None) -> tuple[float, ...]:
        """Return the parameter block; ValueError where outputs leave the range with it, too."""
        block = super().resolve(given)
        if block != tuple(self.parameters.values()):
            form = ", ".join(f"{name} = {value:g}" for name, value in zip(self.parameters, block, strict=True))
            _check_range(
                f"the activation {self.name!r} with {form}", self.value, (self.range.low, self.range.high), block
            )
        return block

    def oracle(self, which: int) -> tuple[Callable[..., np.ndarray], list[np.ndarray]]:
        """Return the function (0) or its derivative (1), and arguments at which compiled code has to agree with it."""
        z, block = np.array(POINTS), [np.full(len(POINTS), value) for value in self.parameters.values()]
        if which == 0:
            return self.value, [z, *block]
        return self.derivative, [z if self.needs == "preactivation" else self.value(z, *block), *block]

    def __repr__(self) -> str:
        return f"<activation {self.name!r}>"


@dataclass(frozen=True, eq=False, repr=False)
class OwnLoss(Loss):
    """A loss that a user has registered; called, it is the function that it was made from.

    Parameters
    ----------
    function : callable
        ``function(a, y)``, of numbers.
    formulas : pair of functions
        Term and derivative, of numbers, with the variables that they use as they were at the registration.
    """

    is_own = True

    function: Callable[..., float] = abs
    formulas: tuple[FunctionType, FunctionType] = ()  # type: ignore[assignment]

    def __call__(self, a: float, y: float) -> float:
        """Return what the function returns."""
        return self.function(a, y)

    def oracle(self, which: int) -> tuple[Callable[..., np.ndarray], list[np.ndarray]]:
        """Return the function (0) or its derivative (1), and arguments at which compiled code has to agree with it."""
        function = self.derivative if which else lambda a, y: self.term(a, y, 0.0)
        points = itertools.product(_outputs_within(self.domain.low, self.domain.high), _targets_within(self.targets))
        return function, [np.array(numbers) for numbers in zip(*points, strict=True)]

    def __repr__(self) -> str:
        return f"<loss {self.name!r}>"


def activation(
    function: Callable[..., float] | None = None,
    /,
    *,
    name: str | None = None,
    derivative: Callable[..., float],
    needs: str = "output",
    parameters: Mapping[str, float] | None = None,
    range: Sequence[float] | None = None,
    replace: bool = False,
) -> Any:
    """Register an activation of your own: decorate a function of one number.

    Parameters
    ----------
    function : callable, optional
        ``function(z, *parameters) -> a``, of numbers. A plain function; a lambda and a closure are, too. What it uses
        from outside is taken as it is now; the contents of arrays and the attributes of modules that it uses must not
        change any more, as compiled code would not see that. The compiled backends, "c" and "numba", need Numba and a
        function that Numba compiles: arithmetic, comparisons, ``math`` and ``numpy`` functions of numbers, loops, other
        such functions. They compute with numbers of the network's dtype, and with integers of 64 bits; where that makes
        another function of it at the points of the Notes, with the default parameters, its first use is a ValueError.
        Not given: a decorator is returned.
    name : str, optional
        None: the name of the function.
    derivative : callable
        ``derivative(v, *parameters) -> g'(z)``, of numbers; v is what `needs` says.
    needs : {"output", "preactivation"}, default="output"
        Whether the derivative is formed from a = g(z), as 1 - a^2 of tanh, or from z, as most formulas are.
    parameters : mapping of str to float, optional
        Names and defaults of up to four parameters, which follow z. A network gets other values with
        ``(name, {"beta": 2.0})``; estimators use the defaults.
    range : (float, float), optional
        The ends of an interval that contains every output; None (and None for one end): all numbers. It says with which
        losses the activation may be that of the outputs. An end belongs to the interval where the function reaches it
        with the default parameters, at the points of the Notes or at 0, 1/2, 1, 2 or their negatives. All this has to
        hold with all parameters that a network gets.
    replace : bool, default=False
        Whether the name may be one of another activation of your own, which is then no longer registered.

    Returns
    -------
    Activation
        The entry of `fastmlp.activations.ACTIVATIONS`: networks and estimators take it or its name. Called, it is the
        function. It is copied as itself and pickled by its name, which must be registered where the pickle is loaded.

    Raises
    ------
    TypeError
        When an argument is of another type, or a function takes another number of arguments.
    ValueError
        When the name is taken; when the derivative is wrong (the message has the point), or cannot be checked because
        the function is not finite or not smooth at most points; when an output is not in `range`; when a function has a
        ``raise``, ``assert``, ``try`` or ``with``, which compiled kernels cannot do. (Nor can they report what raises
        by itself, such as an index outside of a tuple: the results of that call are not defined then.)

    See Also
    --------
    fastmlp.loss : The same for losses.

    Notes
    -----
    The derivative is compared with central differences of the function, with Richardson extrapolation, at points from
    about -20.5 to 20; points next to a kink do not count.

    Outputs for the library's log loss must stay off 0 and 1 also where they are rounded: its derivative divides by
    p (1 - p), which the built-in logistic function and softmax alone cancel.

    Examples
    --------
    >>> import math
    >>> import fastmlp
    >>> @fastmlp.activation(derivative=lambda a: 1.0 - a * a, range=(-1, 1))
    ... def my_tanh(z):
    ...     return math.tanh(z)
    >>> net = fastmlp.Network([2, 3, 1], activation="my_tanh", random_state=0)
    >>> my_tanh(0.0), my_tanh
    (0.0, <activation 'my_tanh'>)

    A wrong derivative is refused:

    >>> square = fastmlp.activation(  # doctest: +ELLIPSIS
    ...     lambda z: z * z, name="square", derivative=lambda z: z, needs="preactivation"
    ... )
    Traceback (most recent call last):
    ...
    ValueError: The derivative of the activation 'square' is wrong at z = -20.4547: by differences it is -40.9094, ...
    """
    if function is None:
        return lambda decorated: activation(
            decorated,
            name=name,
            derivative=derivative,
            needs=needs,
            parameters=parameters,
            range=range,
            replace=replace,
        )
    if needs not in ("output", "preactivation"):
        raise ValueError(f"needs must be 'output' or 'preactivation', got {needs!r}.")
    defaults = _check_defaults(parameters)
    n_arguments = 1 + len(defaults)
    name = _check_name(Activation, BUILT_IN_ACTIVATIONS, name, function, replace)
    what = f"the activation {name!r}"
    formulas = (
        _check_function(function, what, n_arguments),
        _check_function(derivative, f"the derivative of {what}", n_arguments),
    )
    value, slope = (_over_elements(f, what, (POINTS[-1], *defaults.values())) for f in formulas)
    _check_slopes(what, value, slope, needs, defaults)
    outputs = _check_range(what, value, range, tuple(defaults.values()))
    entry = OwnActivation(
        name, value, slope, needs, outputs, parameters=defaults, function=plain(function), formulas=formulas
    )
    return _register(ACTIVATIONS, entry)


def loss(
    function: Callable[[float, float], float] | None = None,
    /,
    *,
    name: str | None = None,
    derivative: Callable[[float, float], float],
    outputs: Sequence[float] | None = None,
    targets: Sequence[float] | None = None,
    replace: bool = False,
) -> Any:
    """Register a loss of your own: decorate a function of one output and its target.

    Parameters
    ----------
    function : callable, optional
        ``function(a, y)``: what an output a with target y adds to the loss of its row, of numbers. What is said of
        functions at `fastmlp.activation` holds here, too. Not given: a decorator is returned.
    name : str, optional
        None: the name of the function.
    derivative : callable
        ``derivative(a, y)``: the derivative with respect to a.
    outputs : (float, float), optional
        The ends of the interval of outputs for which it is defined; None (and None for one end): all numbers. It says
        which output activations it goes with. An end belongs to the interval where loss and derivative are finite.
    targets : (float, float), optional
        The ends of the interval of targets for which it is defined, which belong to it. Class labels are 0 and 1.
    replace : bool, default=False
        Whether the name may be one of another loss of your own, which is then no longer registered.

    Returns
    -------
    Loss
        The entry of `fastmlp.losses.LOSSES`: networks and estimators take it or its name. Called, it is the function.
        It is copied as itself and pickled by its name, which must be registered where the pickle is loaded.

    Raises
    ------
    TypeError, ValueError
        As of `fastmlp.activation`.

    See Also
    --------
    fastmlp.activation : The same for activations.

    Notes
    -----
    Probabilities of a saturated network are 0 or 1 exactly: a loss with a logarithm has to keep them off the ends, as
    with ``max(p, 1e-7)``.

    Examples
    --------
    >>> import math
    >>> import fastmlp
    >>> @fastmlp.loss(derivative=lambda a, y: math.tanh(a - y))
    ... def my_log_cosh(a, y):
    ...     return math.log(math.cosh(a - y))
    >>> fastmlp.Network([2, 3, 1], loss=my_log_cosh, random_state=0).spec.loss
    'my_log_cosh'
    """
    if function is None:
        return lambda decorated: loss(
            decorated, name=name, derivative=derivative, outputs=outputs, targets=targets, replace=replace
        )
    name = _check_name(Loss, BUILT_IN_LOSSES, name, function, replace)
    what = f"the loss {name!r}"
    formulas = (_check_function(function, what, 2), _check_function(derivative, f"the derivative of {what}", 2))
    low, high = _check_ends("outputs", outputs)
    allowed = Interval(*_check_ends("targets", targets))
    of_targets = _targets_within(allowed)
    points = list(itertools.product(_outputs_within(low, high), of_targets))
    value, slope = (_over_elements(f, what, points[0]) for f in formulas)
    wrong = compare(what, "a = {:g}, y = {:g}", points, value, slope, lambda a, y: a, (low, high))
    if wrong:
        raise ValueError(wrong)
    closed = [
        math.isfinite(end) and all(np.isfinite(f(np.array([end]), y)).all() for f in (value, slope) for y in of_targets)
        for end in (low, high)
    ]
    entry = OwnLoss(
        name,
        lambda a, y, eps: value(a, y),
        slope,
        Interval(low, high, _closed(*closed)),
        allowed,
        canonical=(),
        function=plain(function),
        formulas=formulas,
    )
    return _register(LOSSES, entry)


def _register(registry: dict[str, Any], entry: Any) -> Any:
    of_function = {name: getattr(entry.function, name) for name in ("__doc__", "__module__")}
    for attribute, value in {**of_function, "__name__": entry.name, "__wrapped__": entry.function}.items():
        object.__setattr__(entry, attribute, value)
    registry[entry.name] = entry
    return entry


def _check_name(kind: type, built_in: Set[str], name: Any, function: Any, replace: bool) -> str:
    check_bool("replace", replace)
    if name is None:
        name = getattr(function, "__name__", None)
        if name == "<lambda>":
            raise ValueError(f"A lambda has no name: register it with {kind.kind}(..., name='...').")
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} of type {type(name).__name__}.")
    if not name:
        raise ValueError("name must not be empty.")
    if name in built_in:
        raise ValueError(
            f"The {kind.kind} {name!r} is one of the library's, which cannot be replaced: take another name."
        )
    if name in kind.registry() and not replace:
        raise ValueError(
            f"The {kind.kind} {name!r} is one of your own already; replace=True registers this one instead."
        )
    return name


def _check_function(function: Any, what: str, n_arguments: int) -> FunctionType:
    """Return a copy of a function, after checks, with the variables that it uses as they are now."""
    found = plain(function)
    if found is None:
        raise TypeError(
            f"Expected a plain Python function for {what}, got {function!r} of type {type(function).__name__}."
        )
    code = found.__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise TypeError(f"Expected a function that returns a number for {what}, got a generator or coroutine.")
    others = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    if code.co_argcount != n_arguments or code.co_kwonlyargcount or code.co_flags & others:
        raise TypeError(
            f"Expected a function of {n_arguments} argument{'s' * (n_arguments > 1)} for {what}, "
            f"got {found.__name__}{inspect.signature(found)}."
        )
    if may_raise(found):
        raise ValueError(
            f"The function for {what} has a raise, an assert, a try or a with, or calls a function that has: compiled "
            "kernels have no exceptions. Return a number, such as math.nan, instead."
        )
    return rebuilt(found)


def _over_elements(formula: FunctionType, what: str, point: Sequence[float]) -> Any:
    """Return a formula as a function of arrays, after a try."""
    of_arrays = over_elements(formula)
    try:
        with np.errstate(all="ignore"):
            result = of_arrays.of_numbers(*map(np.float64, point))
        # numpy.where, for one, makes an array without dimensions of numbers.
        if np.ndim(result) or np.asarray(result).dtype.kind not in "biuf":
            raise TypeError(f"got {result!r}")
    except Exception as error:
        raise TypeError(
            f"Expected functions that return a real number for {what}, but {formula.__name__} does not at "
            f"{', '.join(f'{number:g}' for number in point)}: {type(error).__name__}: {error}"
        ) from error
    return of_arrays


def _check_defaults(parameters: Any) -> dict[str, float]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
        raise TypeError(f"parameters must map names to numbers, such as {{'beta': 1.0}}, got {parameters!r}.")
    if len(parameters) > _MOST_PARAMETERS:
        raise ValueError(f"An activation has at most {_MOST_PARAMETERS} parameters, got {len(parameters)}.")
    if any(isinstance(value, (bool, np.bool_)) for value in parameters.values()):
        raise TypeError(f"parameters must be numbers, got {dict(parameters)!r}.")
    return check_parameters("your activation", dict(parameters), {}, {})


def _check_ends(name: str, ends: Any) -> tuple[float, float]:
    """Return the ends of an interval as floats; None is all numbers, and as an end infinity."""
    if ends is None:
        return -math.inf, math.inf
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise TypeError(f"{name} must be a pair of numbers (low, high), or None, got {ends!r}.")
    low, high = (infinite if end is None else end for end, infinite in zip(ends, (-math.inf, math.inf), strict=True))
    if not all(isinstance(end, (int, float, np.integer, np.floating)) for end in (low, high)):
        raise TypeError(f"{name} must be a pair of numbers (low, high), or None, got {ends!r}.")
    if not low < high:
        raise ValueError(f"{name} must be a pair of numbers (low, high) with low < high, got {ends!r}.")
    try:
        return float(low), float(high)
    except OverflowError:
        raise ValueError(f"{name} must be a pair of numbers (low, high), or None, got one beyond 1.8e308.") from None


def _closed(low: bool, high: bool) -> str:
    return {(True, True): "both", (True, False): "left", (False, True): "right"}.get((low, high), "neither")


def _check_range(what: str, value: Callable[..., np.ndarray], ends: Any, defaults: tuple[float, ...]) -> Interval:
    low, high = _check_ends("range", ends)
    z = np.array([*POINTS, *_ROUND])
    a = np.full(len(z), math.nan)
    a[: len(POINTS)] = value(z[: len(POINTS)], *defaults)
    for i in range(len(POINTS), len(z)):
        with suppress(Exception):  # It need not be defined there.
            a[i] = value(z[i : i + 1], *defaults).item()
    wrong = np.flatnonzero((a < low) | (a > high))
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"The outputs of {what} are not in the range ({low:g}, {high:g}): at z = {z[first]:g} it is {a[first]:g}."
        )
    return Interval(low, high, _closed(bool((a == low).any()), bool((a == high).any())))


def _check_slopes(
    what: str,
    value: Callable[..., np.ndarray],
    slope: Callable[..., np.ndarray],
    needs: str,
    defaults: Mapping[str, float],
) -> None:
    """Compare the derivative with differences, at the default parameters and at others."""

    def argument(which: str) -> Callable[..., np.ndarray]:
        return value if which == "output" else lambda z, *parameters: z

    unusual = [1.25 * default if default else 0.25 for default in defaults.values()]
    for block, is_default in ((list(defaults.values()), True), (unusual, False))[: 1 + bool(defaults)]:
        points = [(z, *block) for z in POINTS]
        form = ", ".join(["z = {:g}", *(f"{name} = {{:g}}" for name in defaults)])
        wrong = compare(what, form, points, value, slope, argument(needs), most_decide=is_default)
        if wrong:
            other = "preactivation" if needs == "output" else "output"
            is_right = not compare(what, form, points, value, slope, argument(other), most_decide=False)
            raise ValueError(wrong + f" With needs={other!r} it would be right." * is_right)


def _outputs_within(low: float, high: float) -> list[float]:
    """Return points inside an interval."""
    if math.isfinite(low) and math.isfinite(high):
        return [low + share * (high - low) for share in _SHARES]
    if math.isfinite(low):
        return [low + x for x in MAGNITUDES]
    return [high - x for x in MAGNITUDES] if math.isfinite(high) else list(POINTS[::2])


def _targets_within(allowed: Interval) -> list[float]:
    """Return points of an interval, its ends among them, and others than for outputs: there a loss may have kinks."""

    def candidates() -> Iterator[float]:
        low, high = allowed.low, allowed.high
        if math.isfinite(low) and math.isfinite(high):
            yield from (low + share * (high - low) for share in (0.0, 0.2111, 0.5619, 0.7907, 1.0))
            return
        yield from (end for end in (low, high) if math.isfinite(end))
        for x in (0.3033, 1.8217, 7.0931):
            yield from (x if not math.isfinite(low) else low + x, -x if not math.isfinite(high) else high - x)

    return [y for y in candidates() if y in allowed]
