"""fastmlp: small neural networks on the CPU, fast, and the same bits everywhere.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp._config import config_context
    from fastmlp._show_versions import show_versions
    from fastmlp.network import Network

__version__ = "0.1.0.dev0"

__all__ = ["Network", "__version__", "config_context", "show_versions"]

_MODULES = {
    "Network": "fastmlp.network",
    "config_context": "fastmlp._config",
    "show_versions": "fastmlp._show_versions",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
