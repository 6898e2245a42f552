"""Pictures, in scikit-learn's convention: ``from_...`` computes and draws, ``plot`` draws again.

Each display keeps what it drew on: ``ax_`` and ``figure_``. matplotlib, the extra ``plot`` of fastmlp, is imported when
the first picture is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp.plotting._activation import ActivationDisplay
    from fastmlp.plotting._boundary import DecisionBoundary
    from fastmlp.plotting._loss_curve import LossCurveDisplay
    from fastmlp.plotting._network import NetworkDisplay

__all__ = ["ActivationDisplay", "DecisionBoundary", "LossCurveDisplay", "NetworkDisplay"]

_MODULES = {
    "ActivationDisplay": "fastmlp.plotting._activation",
    "DecisionBoundary": "fastmlp.plotting._boundary",
    "LossCurveDisplay": "fastmlp.plotting._loss_curve",
    "NetworkDisplay": "fastmlp.plotting._network",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fastmlp.plotting' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
