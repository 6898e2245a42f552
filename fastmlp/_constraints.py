"""What the parameters of the estimators may be, and the look at them in every fit."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from fastmlp._parameters import Entry
from fastmlp._sklearn import Interval, Options, StrOptions
from fastmlp.activations import ACTIVATIONS
from fastmlp.backends import BACKENDS
from fastmlp.losses import LOSSES

_PLAIN = frozenset({int, float, str, bool, type(None), np.int64, np.float64})
_MOST_VALID = 1000
"""How many sets of parameters are remembered as valid, for each class."""


class Registered(StrOptions):
    """Names of some entries of a registry, those that a user has registered since, and the entries themselves.

    Parameters
    ----------
    options : set of str
        Entries of the library.
    registry : mapping of str to Entry
    """

    def __init__(self, options: set[str], registry: Mapping[str, Entry]) -> None:
        super().__init__(options)
        self._registry = registry

    def _own(self) -> set[str]:
        return {name for name, entry in self._registry.items() if entry.is_own}

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether it is one of them; whether an entry is still registered is not looked at."""
        if isinstance(val, Entry):
            return val.registry() is self._registry and (val.is_own or val.name in self.options)
        return isinstance(val, str) and (val in self.options or val in self._own())

    def __str__(self) -> str:
        return str(StrOptions(self.options | self._own()))


class Constraints(BaseEstimator):
    """An estimator whose parameters are looked at once, as long as they are plain and stay the same."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [
            Registered({name for name, entry in ACTIVATIONS.items() if not entry.outputs_only}, ACTIVATIONS)
        ],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "dtype": [None, StrOptions({"float32", "float64"})],
        "n_threads": [None, Interval(Integral, 1, None, closed="left"), Options(Integral, {-1})],
    }

    @classmethod
    def _get_param_names(cls) -> list[str]:
        # Kept per class: scikit-learn inspects the signature at each call, a tenth of a short fit.
        names = cls.__dict__.get("_param_names")
        if names is None:
            names = cls._param_names = super()._get_param_names()
        return list(names)

    def _validate_params(self) -> None:
        """Raise as scikit-learn does where a parameter is invalid; the same plain values are looked at once.

        That takes a fifth of a short fit.
        """
        cls, key = type(self), self._plain_parameters()
        constraints, valid = cls.__dict__.get("_found_valid", (None, ()))
        if key is None or key not in valid or constraints is not self._parameter_constraints:
            super()._validate_params()
            if constraints is not self._parameter_constraints:
                valid = set()
                cls._found_valid = self._parameter_constraints, valid
            if key is not None and len(valid) < _MOST_VALID:
                valid.add(key)

    def _plain_parameters(self) -> tuple[Any, ...] | None:
        """Return the parameters, with their types, where they are numbers, strings and the like; else None."""
        parameters = {name: getattr(self, name) for name in self._get_param_names()}
        if type(parameters.get("hidden_layer_sizes")) is list:
            parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
        kinds = [type(value) for value in parameters.values()]
        sizes = parameters.get("hidden_layer_sizes")
        if type(sizes) is tuple:
            kinds = [type(value) for value in (*parameters.values(), *sizes) if value is not sizes]
        if not (_PLAIN.issuperset(kinds) and type(self.activation) is type(self.loss) is str):
            return None
        # What users have registered may be gone by the next time.
        entries = ACTIVATIONS.get(self.activation), LOSSES.get(self.loss)
        if any(entry is None or entry.is_own for entry in entries):
            return None
        return tuple(kinds), tuple(parameters.values())
