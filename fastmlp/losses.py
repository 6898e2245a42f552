"""Loss functions: the registry of their names, formulas, derivatives and domains.

A loss is added by one entry here and one in the C list (``csrc/losses.h``).

Conventions
-----------
``a`` are the outputs of a network and ``y`` the targets, both of shape (n_rows, n_outputs) and of the same float dtype.
The loss of a row is a sum over its outputs; the loss of a network is the (weighted) mean over rows. In a log loss, and
in its value only, probabilities are clipped to [eps, 1 - eps] of their dtype. These are scikit-learn's conventions,
with one exception: the squared error is summed over outputs, not averaged.

The formulas are element-wise expressions as those of `fastmlp.activations`: NumPy evaluates them on arrays, Numba
compiles them for a single number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastmlp._parameters import Entry, Interval, look_up
from fastmlp.activations import get_activation


@dataclass(frozen=True, eq=False)
class Loss(Entry):
    """A loss function.

    Parameters
    ----------
    name : str
    term : callable
        ``term(a, y, eps)``: what each output adds to the loss of its row, shape (n_rows, n_outputs); ``eps`` is the
        machine epsilon of the dtype, for clipping.
    derivative : callable
        ``derivative(a, y)``: its derivatives with respect to ``a``, shape (n_rows, n_outputs).
    domain : Interval
        Outputs for which it is defined.
    targets : Interval
        Targets for which it is defined.
    canonical : tuple of str
        Output activations for which the derivative with respect to the pre-activation is ``a - y``.
    categorical_term, categorical_derivative : callable or None
        What stands for `term` and `derivative` where the outputs are one distribution over classes (softmax); both
        None where that makes no difference.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.losses import LOSSES
    >>> LOSSES["squared_error"].term(np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]]), np.finfo(float).eps)
    array([[0.5, 2. ]])
    """

    kind: ClassVar[str] = "loss"

    name: str
    term: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]
    domain: Interval
    targets: Interval
    canonical: tuple[str, ...]
    categorical_term: Callable[[np.ndarray, np.ndarray, float], np.ndarray] | None = None
    categorical_derivative: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    @classmethod
    def registry(cls) -> Mapping[str, Loss]:
        """Return `LOSSES`."""
        return LOSSES

    def rows(self, a: np.ndarray, y: np.ndarray, output_activation: str) -> np.ndarray:
        """Return the loss of each row.

        Parameters
        ----------
        a, y : ndarray of shape (n_rows, n_outputs)
            Outputs and targets.
        output_activation : str
            Name of the activation that made the outputs.

        Returns
        -------
        ndarray of shape (n_rows,)

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.losses import LOSSES
        >>> LOSSES["log_loss"].rows(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]), "softmax").round(4)
        array([0.6931])
        """
        term = self.categorical_term if self.is_categorical(output_activation) else self.term
        return term(a, y, float(np.finfo(a.dtype).eps)).sum(axis=1)

    def gradient(self, a: np.ndarray, y: np.ndarray, output_activation: str) -> np.ndarray:
        """Return the derivatives of each row's loss with respect to its outputs.

        Parameters
        ----------
        a, y : ndarray of shape (n_rows, n_outputs)
            Outputs and targets.
        output_activation : str
            Name of the activation that made the outputs.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp.losses import LOSSES
        >>> LOSSES["log_loss"].gradient(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]), "logistic")
        array([[-2.,  2.]])
        """
        return (self.categorical_derivative if self.is_categorical(output_activation) else self.derivative)(a, y)

    def check_targets(self, *extremes: float) -> None:
        """Check that it is defined for targets.

        Parameters
        ----------
        *extremes : float
            The least and the largest of them.

        Raises
        ------
        ValueError
            When one of these is outside of `targets`.

        Examples
        --------
        >>> from fastmlp.losses import LOSSES
        >>> LOSSES["poisson"].check_targets(-1.0, 2.0)
        Traceback (most recent call last):
        ...
        ValueError: The loss 'poisson' expects targets in [0, inf), got -1.
        """
        for extreme in extremes:
            if extreme not in self.targets:
                raise ValueError(f"The loss {self.name!r} expects targets in {self.targets}, got {extreme:g}.")

    def is_categorical(self, output_activation: str) -> bool:
        """Return whether outputs and targets of a row are one distribution over classes under that activation.

        Parameters
        ----------
        output_activation : str
            Its name.

        Returns
        -------
        bool

        Examples
        --------
        >>> from fastmlp.losses import LOSSES
        >>> LOSSES["log_loss"].is_categorical("softmax"), LOSSES["squared_error"].is_categorical("softmax")
        (True, False)
        """
        return self.categorical_term is not None and get_activation(output_activation).jacobian_product is not None


def _squared_error(a: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return (a - y) * (a - y) / 2.0


def _squared_error_derivative(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    return a - y


def _binary_log_loss(p: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    p = np.clip(p, eps, 1.0 - eps)
    return -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p))


def _binary_log_loss_derivative(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (p - y) / (p * (1.0 - p))


def _categorical_log_loss(p: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return -y * np.log(np.clip(p, eps, 1.0 - eps))


def _categorical_log_loss_derivative(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -y / p


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def _poisson(a: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    # y log(y / a) is 0 at y = 0, infinite where a has underflowed to 0, and NaN for y < 0 and, like scikit-learn's,
    # where both are 0.
    ratio = y / a
    return np.where(y == 0.0, ratio, y * np.log(ratio)) - y + a


def _poisson_derivative(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1.0 - y / a


_REAL = Interval()
_POSITIVE = Interval(0, math.inf, closed="neither")

_ENTRIES = (
    # 1/2 sum_j (a_j - y_j)^2
    Loss("squared_error", _squared_error, _squared_error_derivative, _REAL, _REAL, canonical=("identity",)),
    Loss(
        "log_loss",
        _binary_log_loss,  # -sum_j [y_j log(p_j) + (1 - y_j) log(1 - p_j)]
        _binary_log_loss_derivative,
        domain=Interval(0, 1, closed="neither"),
        targets=Interval(0, 1),
        canonical=("logistic", "softmax"),
        categorical_term=_categorical_log_loss,  # -sum_j y_j log(p_j)
        categorical_derivative=_categorical_log_loss_derivative,
    ),
    # sum_j y_j log(y_j / a_j) - y_j + a_j, half the Poisson deviance
    Loss(
        "poisson",
        _poisson,
        _poisson_derivative,
        _POSITIVE,
        Interval(0, math.inf, closed="left"),
        canonical=("exp",),
    ),
)

LOSSES: dict[str, Loss] = {entry.name: entry for entry in _ENTRIES}
"""All losses by name."""

BUILT_IN_LOSSES = frozenset(LOSSES)
"""Names of the library's: each always stands for the same."""


def get_loss(name: str) -> Loss:
    """Return the loss called `name`.

    Parameters
    ----------
    name : str

    Returns
    -------
    Loss

    Raises
    ------
    TypeError
        When `name` is no string.
    ValueError
        When there is no such loss.

    Examples
    --------
    >>> from fastmlp.losses import get_loss
    >>> get_loss("poisson").canonical
    ('exp',)
    """
    return look_up(LOSSES, "loss", name)


def check_pair(loss: str, output_activation: str) -> None:
    """Raise ValueError unless the loss is defined for every output of the activation.

    Parameters
    ----------
    loss, output_activation : str

    Raises
    ------
    ValueError
        When the outputs may leave the domain of the loss, or a name is unknown.

    Examples
    --------
    >>> from fastmlp.losses import check_pair
    >>> check_pair("log_loss", "logistic")
    >>> check_pair("log_loss", "tanh")
    Traceback (most recent call last):
    ...
    ValueError: The loss 'log_loss' expects outputs in (0, 1), got the output activation 'tanh' with outputs in (-1, 1).
    """
    domain, outputs = get_loss(loss).domain, get_activation(output_activation).range
    if not domain.includes(outputs):
        raise ValueError(
            f"The loss {loss!r} expects outputs in {domain}, got the output activation {output_activation!r} "
            f"with outputs in {outputs}."
        )
