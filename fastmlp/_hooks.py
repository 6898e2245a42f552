"""Methods of subclasses: those that training would have to call, and does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Methods that scikit-learn's training calls: by them its subclasses may change how they are trained.
_STEPS = ("_backprop", "_compute_loss_grad", "_forward_pass", "_initialize")
_STEPS_OF_EPOCHS = ("_fit_stochastic", "_update_no_improvement_count")
_STEPS_OF_SCORES = ("_forward_pass_fast", "_predict", "_score", "_score_with_function")
_STEPS_OF_LBFGS = ("_fit_lbfgs", "_loss_grad_lbfgs", "_unpack")


_HOME = ("fastmlp.estimators", "fastmlp._base")
"""Where the library's estimators are."""


def overridden(cls: type, names: Iterable[str]) -> list[str]:
    """Return those of these methods that a class does not have as the library's class that it derives from."""
    home = next(base for base in cls.__mro__ if base.__module__ in _HOME)
    return [name for name in names if getattr(cls, name, None) is not getattr(home, name, None)]


def check_hooks(estimator: Any) -> None:
    """Refuse a subclass that changes scikit-learn's training by methods which fastmlp's does not call."""
    cls = type(estimator)
    if cls.__module__ in _HOME:
        return
    names = _STEPS
    if estimator.solver == "lbfgs":
        names += _STEPS_OF_LBFGS
    else:
        names += _STEPS_OF_EPOCHS + (_STEPS_OF_SCORES if estimator.early_stopping else ())
    mine = overridden(cls, names)
    if mine:
        raise TypeError(
            f"{cls.__name__} defines {', '.join(mine)}, which scikit-learn's training calls and fastmlp's does not: it "
            "would be trained as if that were not there."
        )
