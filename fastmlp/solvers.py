"""Solvers: the registry of their names, update rules and hyperparameters, and the state they keep between steps.

A solver is added by one entry here and one in the C list (``csrc/solvers.h``). Parameters, gradients and moments are
flat vectors of one layout, so a solver is an element-wise operation. The formulas are scikit-learn's; a moment that
has become a denormal number counts as 0, because denormals slow processors down.

The rules are element-wise expressions, as the formulas of `fastmlp.activations`: NumPy evaluates them on arrays, Numba
compiles them for a single number.
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
    factors : callable
        ``factors(t, *hyper)``: the numbers that step ``t`` (counted from 1) has in common for all
        parameters, formed in float64 and then rounded to the dtype.
    rule : callable
        ``rule(w, g, *moments, tiny, *factors)`` returns the new parameters and moments, element by element, as a tuple;
        ``tiny`` is the smallest normal number of the dtype.
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
    factors: Callable[..., tuple[float, ...]]
    rule: Callable[..., tuple[np.ndarray, ...]]
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
        if not given:
            return dict(self.hyperparameters)
        return check_parameters(f"solver {self.name!r}", self.hyperparameters, self.limits, given)

    def update(
        self, params: np.ndarray, grads: np.ndarray, moments: list[np.ndarray], t: int, **hyper: float | bool
    ) -> None:
        """Take one step, in place.

        Parameters
        ----------
        params : ndarray of shape (n_parameters,)
        grads : ndarray of shape (n_parameters,)
        moments : list of ndarray of shape (n_parameters,)
            Updated, like `params`; all of one dtype.
        t : int
            Number of this step, from 1.
        **hyper : float or bool
            All hyperparameters.
        """
        factors = self.factors(t, *(hyper[name] for name in self.hyperparameters))
        tiny = float(np.finfo(params.dtype).tiny)
        params[:], *new = self.rule(params, grads, *moments, tiny, *factors)
        for moment, value in zip(moments, new, strict=True):
            moment[:] = value


def _normal(moment: np.ndarray, tiny: float) -> np.ndarray:
    return np.where(np.abs(moment) < tiny, 0.0, moment)


def _sgd_factors(t: int, learning_rate: float, momentum: float, nesterov: bool) -> tuple[float, ...]:
    return learning_rate, momentum, nesterov


def _sgd(
    w: np.ndarray, g: np.ndarray, velocity: np.ndarray, tiny: float, rate: float, momentum: float, nesterov: bool
) -> tuple[np.ndarray, ...]:
    # v <- momentum v - rate g;  w <- w + v, or with Nesterov's momentum  w <- w + momentum v - rate g
    velocity = momentum * _normal(velocity, tiny) - rate * g
    return w + np.where(nesterov, momentum * velocity - rate * g, velocity), velocity


def _adam_factors(t: int, learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> tuple[float, ...]:
    step = learning_rate * math.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
    # 1 - beta is formed here, in float64: of a beta rounded to float32 little would be left of it.
    return step, beta_1, 1.0 - beta_1, beta_2, 1.0 - beta_2, epsilon


def _adam(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    tiny: float,
    step: float,
    beta_1: float,
    one_minus_beta_1: float,
    beta_2: float,
    one_minus_beta_2: float,
    epsilon: float,
) -> tuple[np.ndarray, ...]:
    # m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - rate sqrt(1 - b2^t)/(1 - b1^t) m / (sqrt(v) + eps):
    # Kingma and Ba (2014), arXiv:1412.6980, in the order of computation given at the end of its section 2. An epsilon
    # below the smallest normal number of the dtype counts as that: a weight without gradient would move by 0 / 0.
    m = beta_1 * _normal(m, tiny) + one_minus_beta_1 * g
    v = beta_2 * _normal(v, tiny) + one_minus_beta_2 * (g * g)
    return w - step * m / (np.sqrt(v) + np.maximum(epsilon, tiny)), m, v


_POSITIVE = Interval(0, math.inf, closed="neither")
_DECAY = Interval(0, 1, closed="left")

_ENTRIES = (
    Solver(
        "sgd",
        _sgd_factors,
        _sgd,
        n_moments=1,
        hyperparameters={"learning_rate": 0.001, "momentum": 0.9, "nesterov": True},
        limits={"learning_rate": _POSITIVE, "momentum": Interval(0, 1)},
    ),
    Solver(
        "adam",
        _adam_factors,
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

    def check(self, n_parameters: int) -> None:
        """Make sure that nothing is missing, as in a damaged or slimmed pickle.

        Parameters
        ----------
        n_parameters : int

        Raises
        ------
        ValueError
            When a hyperparameter or a moment is missing or of another size, or `t` is negative.
        """
        self.values()
        if self.t < 0:
            raise ValueError(f"The solver {self.name!r} must have taken at least 0 steps, got {self.t}.")
        expected, got = SOLVERS[self.name].n_moments, [np.shape(moment) for moment in self.moments]
        if got != [(n_parameters,)] * expected:
            raise ValueError(
                f"Expected {expected} moments of shape ({n_parameters},) for the solver {self.name!r}, got shapes "
                f"{got}."
            )

    def values(self) -> list[float]:
        """Return the hyperparameters in the order of the registry, as compiled kernels take them.

        Raises
        ------
        ValueError
            When they are not those of the solver.
        """
        names = SOLVERS[self.name].hyperparameters
        if self.hyper.keys() != names.keys():
            raise ValueError(
                f"Expected the hyperparameters {list(names)} for the solver {self.name!r}, got {list(self.hyper)}."
            )
        return [float(self.hyper[name]) for name in names]

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
