"""fastmlp: small neural networks on the CPU, fast, and the same bits everywhere.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp import plotting
    from fastmlp._config import config_context
    from fastmlp._show_versions import show_versions
    from fastmlp.custom import activation, loss
    from fastmlp.estimators import MLPClassifier, MLPRegressor
    from fastmlp.network import Network
    from fastmlp.patch import patch_sklearn, unpatch_sklearn

__version__ = "0.1.0.dev0"

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "Network",
    "__version__",
    "activation",
    "config_context",
    "loss",
    "patch_sklearn",
    "plotting",
    "show_versions",
    "unpatch_sklearn",
]

_MODULES = {
    "MLPClassifier": "fastmlp.estimators",
    "MLPRegressor": "fastmlp.estimators",
    "Network": "fastmlp.network",
    "activation": "fastmlp.custom",
    "config_context": "fastmlp._config",
    "loss": "fastmlp.custom",
    "patch_sklearn": "fastmlp.patch",
    "show_versions": "fastmlp._show_versions",
    "unpatch_sklearn": "fastmlp.patch",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "plotting":
        return import_module("fastmlp.plotting")
    if name not in _MODULES:
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
