"""Solvers: the registry of their names, update rules and hyperparameters, and the state they keep between steps.

A solver is added by one entry here and one in the C list (``csrc/solvers.h``). Parameters, gradients and moments are
flat vectors of one layout, so a solver is an element-wise operation. The formulas are scikit-learn's; a moment that
underflows to a denormal number becomes 0, because denormals slow processors down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fastmlp._parameters import Interval, check_parameters, look_up
from fastmlp.layout import aligned_zeros


@dataclass(frozen=True, eq=False)
class Solver:
    """An update rule.

    Parameters
    ----------
    name : str
    update : callable
        ``update(params, grads, moments, t, **hyper)``: one step, in place, on `params` and on the list `moments`, all
        flat vectors of the same length and dtype; ``t`` counts the steps from 1.
    n_moments : int
        How many vectors of state it keeps.
    hyperparameters : mapping of str to float or bool
        Names and defaults, in the order in which the C kernel takes them.
    limits : mapping of str to Interval
        Allowed values.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.solvers import SOLVERS
    >>> w, velocity = np.array([1.0]), np.array([0.0])
    >>> SOLVERS["sgd"].update(w, np.array([2.0]), [velocity], 1, learning_rate=0.1, momentum=0.5, nesterov=False)
    >>> w, velocity
    (array([0.8]), array([-0.2]))
    """

    name: str
    update: Callable[..., None]
    n_moments: int
    hyperparameters: Mapping[str, float | bool]
    limits: Mapping[str, Interval] = field(default_factory=dict)

    def resolve(self, given: Mapping[str, float | bool] | None = None) -> dict[str, float | bool]:
        """Return all hyperparameters in order: the given ones checked, the others by default.

        Parameters
        ----------
        given : mapping of str to float or bool, optional

        Returns
        -------
        dict of str to float or bool

        Raises
        ------
        TypeError
            For an unknown hyperparameter or one of a wrong type.
        ValueError
            For one outside its limits.

        Examples
        --------
        >>> from fastmlp.solvers import SOLVERS
        >>> SOLVERS["sgd"].resolve({"momentum": 0.5})
        {'learning_rate': 0.001, 'momentum': 0.5, 'nesterov': True}
        """
        return check_parameters(f"solver {self.name!r}", self.hyperparameters, self.limits, given or {})


def _flush_denormals(moment: np.ndarray) -> None:
    moment[np.abs(moment) < np.finfo(moment.dtype).tiny] = 0


def _sgd(
    params: np.ndarray,
    grads: np.ndarray,
    moments: list[np.ndarray],
    t: int,
    *,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """v <- momentum v - rate g;  w <- w + v, or with Nesterov's momentum  w <- w + momentum v - rate g."""
    (velocity,) = moments
    velocity[:] = momentum * velocity - learning_rate * grads
    _flush_denormals(velocity)
    params += momentum * velocity - learning_rate * grads if nesterov else velocity


def _adam(
    params: np.ndarray,
    grads: np.ndarray,
    moments: list[np.ndarray],
    t: int,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - rate sqrt(1 - b2^t)/(1 - b1^t) m / (sqrt(v) + eps).

    Kingma and Ba (2014), arXiv:1412.6980, in the order of computation given at the end of its section 2.
    """
    m, v = moments
    m[:] = beta_1 * m + (1 - beta_1) * grads
    v[:] = beta_2 * v + (1 - beta_2) * grads**2
    _flush_denormals(m)
    _flush_denormals(v)
    step = learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    params -= step * m / (np.sqrt(v) + epsilon)


_POSITIVE = Interval(0, math.inf, closed="neither")
_DECAY = Interval(0, 1, closed="left")

_ENTRIES = (
    Solver(
        "sgd",
        _sgd,
        n_moments=1,
        hyperparameters={"learning_rate": 0.001, "momentum": 0.9, "nesterov": True},
        limits={"learning_rate": _POSITIVE, "momentum": Interval(0, 1)},
    ),
    Solver(
        "adam",
        _adam,
        n_moments=2,
        hyperparameters={"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
        limits={"learning_rate": _POSITIVE, "beta_1": _DECAY, "beta_2": _DECAY, "epsilon": _POSITIVE},
    ),
)

SOLVERS: dict[str, Solver] = {entry.name: entry for entry in _ENTRIES}
"""All solvers by name."""


def get_solver(name: str) -> Solver:
    """Return the solver called `name`.

    Parameters
    ----------
    name : str

    Returns
    -------
    Solver

    Raises
    ------
    TypeError
        When `name` is no string.
    ValueError
        When there is no such solver.

    Examples
    --------
    >>> from fastmlp.solvers import get_solver
    >>> get_solver("adam").n_moments
    2
    """
    return look_up(SOLVERS, "solver", name)


@dataclass(eq=False)
class SolverState:
    """What a solver keeps between steps.

    Attributes
    ----------
    name : str
        Key of `SOLVERS`.
    hyper : dict of str to float or bool
        All hyperparameters in order; may be changed between runs of a trainer (a learning rate schedule).
    t : int
        Steps taken.
    moments : list of ndarray of shape (n_parameters,)
        Vectors with the layout and dtype of the parameters.

    Examples
    --------
    >>> from fastmlp.solvers import SolverState
    >>> state = SolverState.fresh("sgd", 3, "float64", momentum=0.0)
    >>> state.t, state.hyper["momentum"], state.moments
    (0, 0.0, [array([0., 0., 0.])])
    """

    name: str
    hyper: dict[str, float | bool]
    t: int
    moments: list[np.ndarray]

    @classmethod
    def fresh(cls, name: str, n_parameters: int, dtype: np.dtype | type | str, **hyper: float | bool) -> SolverState:
        """Return the state before the first step: moments zero, hyperparameters checked and completed.

        Parameters
        ----------
        name : str
        n_parameters : int
        dtype : dtype of the parameters
        **hyper : float or bool
            Hyperparameters that differ from their defaults.

        Returns
        -------
        SolverState

        Raises
        ------
        TypeError
            For a hyperparameter that the solver does not have, or one of a wrong type.
        ValueError
            For an unknown solver or a hyperparameter outside its limits.
        """
        solver = get_solver(name)
        checked = solver.resolve(hyper)
        return cls(name, checked, 0, [aligned_zeros(n_parameters, np.dtype(dtype)) for _ in range(solver.n_moments)])
