"""Activation functions: the registry of their names, formulas, derivatives and parameters.

An activation is added by one entry here and one in the C list (``csrc/activations.h``); everything else, tests
included, enumerates `ACTIVATIONS`.

Conventions
-----------
``z`` is the pre-activation of a layer and ``a = g(z)`` its output, both of shape (n_rows, n_units), float32 or float64;
results have the dtype of the argument. NaN passes through. Where a derivative does not exist, the value taken is the
limit from the left: relu' (0) = 0, leaky_relu' (0) = elu' (0) = alpha. step(0) = 1.

An activation that draws (`Activation.draws`) takes, after its parameters, ``u``: numbers from (0, 1), one for each
element, in the shape and dtype of ``z``. In a step of training they are the uniform random numbers of
`fastmlp.philox.uniforms`, the same for value and derivative; everywhere else they are 1/2.

The element-wise formulas are plain expressions of NumPy functions with float constants: NumPy evaluates them on arrays,
and Numba compiles the same source for a single number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from fastmlp._parameters import Entry, Interval, check_parameters, look_up


@dataclass(frozen=True, eq=False)
class Activation(Entry):
    """An activation function.

    Parameters
    ----------
    name : str
    value : callable
        ``value(z, *parameters) -> a``: arrays of shape (n_rows, n_units) to arrays of the same shape and dtype.
    derivative : callable or None
        ``derivative(v, *parameters)`` is g'(z), element by element, where ``v`` is what `needs` says. None for an
        activation without one, and for one whose units are coupled.
    needs : {"output", "preactivation"} or None
        Whether the derivative is formed from ``a`` or from ``z``; None: there is no gradient through this activation.
    range : Interval
        An interval that contains every output.
    parameters : mapping of str to float
        Parameters with their defaults, in the order in which `value` and `derivative` (and the C kernel, as a block)
        take them.
    limits : mapping of str to Interval
        Allowed values of the parameters; any finite number where there is no entry.
    outputs_only : bool
        Whether only an output layer may use it.
    jacobian_product : callable or None
        For an activation that couples the units of a row: ``jacobian_product(v, grad, *parameters)`` is the product of
        ``grad`` (the gradient with respect to ``a``) and the Jacobian da/dz of each row.
    reason : str
        Why there is no gradient, where `needs` is None.
    draws : bool
        Whether `value` and `derivative` take, after the parameters, an array ``u`` of uniform random numbers.
    ordered : tuple of str
        Parameters none of which may be less than the one before.
    gates : bool
        Whether the derivative is 0 or 1, and where it is 0 the gradient ends, also one that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.activations import ACTIVATIONS
    >>> leaky = ACTIVATIONS["leaky_relu"]
    >>> leaky.value(np.array([[-2.0, 3.0]]), 0.1)
    array([[-0.2,  3. ]])
    """

    kind: ClassVar[str] = "activation"

    name: str
    value: Callable[..., np.ndarray]
    derivative: Callable[..., np.ndarray] | None
    needs: str | None
    range: Interval
    parameters: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, Interval] = field(default_factory=dict)
    outputs_only: bool = False
    jacobian_product: Callable[..., np.ndarray] | None = None
    reason: str = ""
    draws: bool = False
    ordered: tuple[str, ...] = ()
    gates: bool = False

    @classmethod
    def registry(cls) -> Mapping[str, Activation]:
        """Return `ACTIVATIONS`."""
        return ACTIVATIONS

    def resolve(self, given: Mapping[str, float] | None = None) -> tuple[float, ...]:
        """Return the parameter block: the given parameters checked, the others by default, in order.

        Parameters
        ----------
        given : mapping of str to float, optional

        Returns
        -------
        tuple of float

        Raises
        ------
        TypeError
            For an unknown parameter, or a value that is no number.
        ValueError
            For a number that is not finite or not allowed, or parameters in the wrong order.

        Examples
        --------
        >>> from fastmlp.activations import ACTIVATIONS
        >>> ACTIVATIONS["linear"].resolve({"beta": 2})
        (1.0, 2.0)
        """
        checked = check_parameters(f"activation {self.name!r}", self.parameters, self.limits, given or {})
        for low, high in pairwise(self.ordered):
            if checked[low] > checked[high]:
                raise ValueError(
                    f"{low} of activation {self.name!r} must not exceed {high}, got {low} = {checked[low]:g} and "
                    f"{high} = {checked[high]:g}."
                )
        return tuple(checked.values())

    def arguments(self, v: np.ndarray, parameters: tuple[float, ...], u: np.ndarray | None = None) -> tuple[Any, ...]:
        """Return what `value` and `derivative` take after their first argument ``v``.

        Parameters
        ----------
        v : ndarray of shape (n_rows, n_units)
        parameters : tuple of float
        u : ndarray of the shape and dtype of `v`, optional
            Of an activation that draws. None: 1/2 everywhere, as in prediction. The others ignore it.

        Returns
        -------
        tuple
            The parameters and, of an activation that draws, ``u``.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.activations import ACTIVATIONS
        >>> ACTIVATIONS["randomized_leaky_relu"].arguments(np.array([[-2.0, 3.0]]), (0.1, 0.3))
        (0.1, 0.3, array([[0.5, 0.5]]))
        """
        if not self.draws:
            return parameters
        return (*parameters, np.full_like(v, 0.5) if u is None else u)

    def check_differentiable(self) -> None:
        """Raise ValueError, with the reason, when there is no gradient through this activation."""
        if self.needs is None:
            raise ValueError(f"There is no gradient through the activation {self.name!r}: {self.reason}.")

    def backward(
        self,
        grad: np.ndarray,
        z: np.ndarray,
        a: np.ndarray,
        parameters: tuple[float, ...],
        u: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the gradient with respect to ``z``, given the one with respect to ``a`` (the chain rule).

        Parameters
        ----------
        grad, z, a : ndarray of shape (n_rows, n_units)
        parameters : tuple of float
        u : ndarray of shape (n_rows, n_units), optional
            As of `arguments`.

        Returns
        -------
        ndarray of shape (n_rows, n_units)
            ``grad * g'(z)``, or for coupled units ``grad @ da/dz`` of each row.

        Raises
        ------
        ValueError
            When the activation has no gradient.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.activations import ACTIVATIONS
        >>> z = np.array([[0.0]])
        >>> ACTIVATIONS["logistic"].backward(np.array([[2.0]]), z, ACTIVATIONS["logistic"].value(z), ())
        array([[0.5]])
        """
        self.check_differentiable()
        v = a if self.needs == "output" else z
        if self.jacobian_product is not None:
            return self.jacobian_product(v, grad, *parameters)
        return self.through(self.derivative(v, *self.arguments(v, parameters, u)), grad)

    def through(self, slope: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to ``z``, given ``g'(z)`` and the gradient with respect to ``a``.

        Of units that are not coupled.

        Parameters
        ----------
        slope, grad : ndarray of one shape

        Returns
        -------
        ndarray of that shape
            ``grad * slope``; of an activation that gates 0 where `slope` is, for any `grad`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.activations import ACTIVATIONS
        >>> ACTIVATIONS["relu"].through(np.array([0.0, 1.0]), np.array([np.inf, 3.0]))
        array([0., 3.])
        """
        return np.where(slope == 0, slope, grad) if self.gates else grad * slope


REAL = Interval()
UNIT = Interval(0, 1, closed="neither")


def _identity(z: np.ndarray) -> np.ndarray:
    return +z  # a copy


def _identity_derivative(a: np.ndarray) -> np.ndarray:
    return np.ones_like(a)


def _linear(z: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return alpha * z + beta


def _linear_derivative(a: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return np.full_like(a, alpha)


def _step(z: np.ndarray) -> np.ndarray:
    return np.heaviside(z, 1.0)


def _logistic(z: np.ndarray) -> np.ndarray:
    # 1 / (1 + exp(-z)) overflows for z << 0; there the same value is exp(z) / (1 + exp(z)).
    e = np.exp(-np.abs(z))
    return np.where(z < 0.0, e, 1.0) / (1.0 + e)


def _logistic_derivative(a: np.ndarray) -> np.ndarray:
    return a * (1.0 - a)


def _tanh(z: np.ndarray) -> np.ndarray:
    return np.tanh(z)


def _tanh_derivative(a: np.ndarray) -> np.ndarray:
    return 1.0 - a * a


def _relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0.0)


def _relu_derivative(a: np.ndarray) -> np.ndarray:
    return np.heaviside(a, 0.0)


def _leaky_relu(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.maximum(z, 0.0) + alpha * np.minimum(z, 0.0)


def _leaky_relu_derivative(a: np.ndarray, alpha: float) -> np.ndarray:
    # alpha >= 0, so a has the sign of z.
    return np.where(a > 0.0, np.ones_like(a), alpha)


def _slope(lower: float, upper: float, u: np.ndarray) -> np.ndarray:
    return lower + (upper - lower) * u


def _randomized_leaky_relu(z: np.ndarray, lower: float, upper: float, u: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0.0) + _slope(lower, upper, u) * np.minimum(z, 0.0)


def _randomized_leaky_relu_derivative(a: np.ndarray, lower: float, upper: float, u: np.ndarray) -> np.ndarray:
    # The slope is not negative, so a has the sign of z.
    return np.where(a > 0.0, np.ones_like(a), _slope(lower, upper, u))


def _elu(z: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def _elu_derivative(a: np.ndarray, alpha: float) -> np.ndarray:
    # Below 0 it is alpha * exp(z) = a + alpha; alpha >= 0, so a has the sign of z.
    return np.where(a > 0.0, 1.0, a + alpha)


# The fixed point of means and variances, from arXiv:1706.02515: scale and scale * alpha.
_SELU_SCALE = 1.0507009873554805
_SELU_DEPTH = 1.7580993408473769


def _selu(z: np.ndarray) -> np.ndarray:
    return np.where(z > 0.0, _SELU_SCALE * z, _SELU_DEPTH * np.expm1(np.minimum(z, 0.0)))


def _selu_derivative(a: np.ndarray) -> np.ndarray:
    return np.where(a > 0.0, _SELU_SCALE, a + _SELU_DEPTH)


def _softplus(z: np.ndarray) -> np.ndarray:
    # log(1 + exp(z)) without overflow.
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _softplus_derivative(a: np.ndarray) -> np.ndarray:
    # logistic(z), in terms of the output.
    return -np.expm1(-a)


_GELU_SCALE = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715
# The tanh in gelu is -1 or 1 to the last bit long before this, and z ** 3 cannot overflow below it.
_GELU_SATURATED = 30.0
_SILU_SATURATED = 800.0


def _gelu_tanh(z: np.ndarray) -> np.ndarray:
    z = np.clip(z, -_GELU_SATURATED, _GELU_SATURATED)
    return np.tanh(_GELU_SCALE * (z + _GELU_CUBIC * z * z * z))


def _gelu(z: np.ndarray) -> np.ndarray:
    return z / 2.0 * (1.0 + _gelu_tanh(z))


def _gelu_derivative(z: np.ndarray) -> np.ndarray:
    t = _gelu_tanh(z)
    z = np.clip(z, -_GELU_SATURATED, _GELU_SATURATED)
    slope = _GELU_SCALE * (1.0 + 3.0 * _GELU_CUBIC * z * z)
    return (1.0 + t) / 2.0 + z / 2.0 * (1.0 - t * t) * slope


def _silu(z: np.ndarray) -> np.ndarray:
    return z * _logistic(z)


def _silu_derivative(z: np.ndarray) -> np.ndarray:
    s = _logistic(z)
    # Where s (1 - s) has vanished z may be infinite.
    return s + np.clip(z, -_SILU_SATURATED, _SILU_SATURATED) * s * (1.0 - s)


@np.errstate(over="ignore")
def _exp(z: np.ndarray) -> np.ndarray:
    return np.exp(z)


def _exp_derivative(a: np.ndarray) -> np.ndarray:
    return a


def _softmax(z: np.ndarray) -> np.ndarray:
    # A shift of the whole row changes nothing in exact arithmetic and keeps exp from overflowing.
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_jacobian_product(p: np.ndarray, grad: np.ndarray) -> np.ndarray:
    # dp_i / dz_j = p_i (1[i = j] - p_j)
    return p * (grad - (grad * p).sum(axis=1, keepdims=True))


_ENTRIES = (
    Activation("identity", _identity, _identity_derivative, "output", REAL),
    Activation(
        "linear", _linear, _linear_derivative, "output", REAL, parameters={"alpha": 1.0, "beta": 0.0}
    ),  # alpha * z + beta
    Activation(
        "step",  # 1 where z >= 0, else 0: the perceptron
        _step,
        None,
        None,
        Interval(0, 1),
        reason="its derivative is 0 everywhere but at its jump, where there is none, so that nothing could be learned",
    ),
    Activation("logistic", _logistic, _logistic_derivative, "output", UNIT),  # 1 / (1 + exp(-z))
    Activation("tanh", _tanh, _tanh_derivative, "output", Interval(-1, 1, closed="neither")),
    Activation(
        "relu", _relu, _relu_derivative, "output", Interval(0, math.inf, closed="left"), gates=True
    ),  # max(z, 0)
    Activation(
        "leaky_relu",  # z where z > 0, else alpha * z
        _leaky_relu,
        _leaky_relu_derivative,
        "output",
        REAL,
        parameters={"alpha": 0.01},
        limits={"alpha": Interval(0, math.inf, closed="left")},
    ),
    # z where z > 0, else slope * z, with a slope for each unit of each row in each step of training, drawn uniformly
    # from (lower, upper), and (lower + upper) / 2 in prediction: PyTorch's RReLU. arXiv:1505.00853 divides z instead,
    # by a number drawn from (3, 8), in prediction by its mean, 11 / 2. Both have slopes from (1 / 8, 1 / 3), but not
    # the same distribution of them, nor the same slope in prediction, 11 / 48 here and 2 / 11 there: the mean of 1 / a
    # is not 1 over the mean of a. Where lectures draw a slope once and keep it, that is leaky_relu with such an alpha.
    Activation(
        "randomized_leaky_relu",
        _randomized_leaky_relu,
        _randomized_leaky_relu_derivative,
        "output",
        REAL,
        parameters={"lower": 1 / 8, "upper": 1 / 3},
        limits={"lower": Interval(0, math.inf, closed="left"), "upper": Interval(0, math.inf, closed="left")},
        draws=True,
        ordered=("lower", "upper"),
    ),
    Activation(
        "elu",  # z where z > 0, else alpha * (exp(z) - 1): arXiv:1511.07289
        _elu,
        _elu_derivative,
        "output",
        REAL,
        parameters={"alpha": 1.0},
        limits={"alpha": Interval(0, math.inf, closed="left")},
    ),
    Activation(
        "selu",  # 1.0507 * (z where z > 0, else 1.6733 * (exp(z) - 1)): arXiv:1706.02515
        _selu,
        _selu_derivative,
        "output",
        Interval(-_SELU_DEPTH, math.inf, closed="left"),
    ),
    Activation(
        "softplus",  # log(1 + exp(z)): Dugas et al. 2001, "Incorporating second-order functional knowledge"
        _softplus,
        _softplus_derivative,
        "output",
        Interval(0, math.inf, closed="left"),
    ),
    Activation(
        "gelu",  # z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z ** 3))), the tanh form of arXiv:1606.08415
        _gelu,
        _gelu_derivative,
        "preactivation",
        Interval(-0.1701, math.inf, closed="neither"),  # its minimum is -0.17004 at z = -0.7524
    ),
    Activation(
        "silu",  # z / (1 + exp(-z)), also called swish: arXiv:1702.03118
        _silu,
        _silu_derivative,
        "preactivation",
        Interval(-0.2785, math.inf, closed="neither"),  # its minimum is -0.27846 at z = -1.27846
    ),
    Activation(
        "softmax",  # exp(z_i) / sum_j exp(z_j) over the units of a row
        _softmax,
        None,
        "output",
        UNIT,
        outputs_only=True,
        jacobian_product=_softmax_jacobian_product,
    ),
    Activation("exp", _exp, _exp_derivative, "output", Interval(0, math.inf, closed="neither"), outputs_only=True),
)

ACTIVATIONS: dict[str, Activation] = {entry.name: entry for entry in _ENTRIES}
"""All activations by name."""

BUILT_IN_ACTIVATIONS = frozenset(ACTIVATIONS)
"""Names of the library's: each always stands for the same."""


def get_activation(name: str) -> Activation:
    """Return the activation called `name`.

    Parameters
    ----------
    name : str

    Returns
    -------
    Activation

    Raises
    ------
    TypeError
        When `name` is no string.
    ValueError
        When there is no such activation.

    Examples
    --------
    >>> from fastmlp.activations import get_activation
    >>> get_activation("tanh").needs
    'output'
    """
    return look_up(ACTIVATIONS, "activation", name)
