"""The way to matplotlib, and the colours of all displays."""

from __future__ import annotations

from typing import Any

# Told apart with every kind of colour vision, and in print.
POSITIVE = "#2166ac"
NEGATIVE = "#d6604d"
GRADIENT = "#7b3294"
INK = "#333333"


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
