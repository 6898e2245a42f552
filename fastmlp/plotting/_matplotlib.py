"""The way to matplotlib, and the colours of all displays."""

from __future__ import annotations

from typing import Any

# Told apart with every kind of colour vision, and in print.
POSITIVE = "#2166ac"
NEGATIVE = "#d6604d"
GRADIENT = "#7b3294"
INK = "#333333"


def check_network(net: object) -> None:
    """Raise TypeError for what is no `fastmlp.Network`; estimators have a way of their own."""
    from fastmlp.network import Network

    if not isinstance(net, Network):
        raise TypeError(
            f"net must be a fastmlp.Network, got {type(net).__name__}; for estimators there is from_estimator."
        )


def check_no_network(estimator: object, instead: str) -> None:
    """Raise TypeError for a `fastmlp.Network` in the place of an estimator."""
    from fastmlp.network import Network

    if isinstance(estimator, Network):
        raise TypeError(f"estimator must be an estimator, got a fastmlp.Network; for networks there is {instead}.")


def import_pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        When matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('fastmlp.plotting needs matplotlib: pip install "fastmlp[plot]"') from error
    return pyplot
