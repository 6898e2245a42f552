"""`ActivationDisplay`: an activation and its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._validation import as_numbers
from fastmlp.activations import get_activation
from fastmlp.plotting._matplotlib import INK, NEGATIVE, POSITIVE, import_pyplot
from fastmlp.spec import ActivationLike, resolve_activation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ActivationDisplay:
    """An activation g(z) and its derivative g'(z).

    Parameters
    ----------
    z, value : ndarray of shape (n,)
    derivative : ndarray of shape (n,) or None
        None where there is no gradient through the activation (step).
    name : str
        For the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Of the function and of its derivative.

    Examples
    --------
    >>> from fastmlp.plotting import ActivationDisplay
    >>> display = ActivationDisplay.from_activation("tanh")
    >>> len(display.lines_), float(display.derivative.max())
    (2, 1.0)
    """

    def __init__(self, *, z: np.ndarray, value: np.ndarray, derivative: np.ndarray | None, name: str) -> None:
        self.z, self.value, self.derivative, self.name = z, value, derivative, name

    @classmethod
    def from_activation(
        cls, activation: ActivationLike, *, z: Any = None, ax: Axes | None = None, **line_options: Any
    ) -> ActivationDisplay:
        """Draw an activation of the registry, as it is in prediction: one that draws, with the mean of its slopes.

        Parameters
        ----------
        activation : str, Activation or (str or Activation, mapping)
            As in `fastmlp.Network`: a key of `fastmlp.activations.ACTIVATIONS`, alone or with parameters.
        z : array-like of shape (n,), optional
            Where to evaluate it. None: 601 points from -6 to 6.
        ax : matplotlib Axes, optional
        **line_options
            Of both lines, as of `plot`.

        Returns
        -------
        ActivationDisplay

        Raises
        ------
        TypeError
            When `activation` is neither of these, or z does not hold real numbers.
        ValueError
            When the activation is unknown, or couples the units of a layer (softmax): then it is no function of one z.
            When the rows of z have different lengths.
        ImportError
            When matplotlib is not installed.
        """
        name, parameters = resolve_activation(activation, is_output=True)
        entry = get_activation(name)
        if entry.jacobian_product is not None:
            raise ValueError(f"Expected an activation that is a function of one number, got {name!r}.")
        z = np.linspace(-6, 6, 601) if z is None else as_numbers("z", z).astype(np.float64).ravel()
        row = z[np.newaxis]
        value = entry.value(row, *entry.arguments(row, parameters))
        derivative = None
        if entry.needs is not None:
            derivative = entry.backward(np.ones_like(row), row, value, parameters)[0]
        shown = ", ".join(f"{key} = {number:.3g}" for key, number in zip(entry.parameters, parameters, strict=True))
        name += f" ({shown})" if shown else ""
        return cls(z=z, value=value[0], derivative=derivative, name=name).plot(ax, **line_options)

    def plot(self, ax: Axes | None = None, **line_options: Any) -> ActivationDisplay:
        """Draw function and derivative.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None: axes of a new figure.
        **line_options
            Of ``Axes.plot``, for both lines.

        Returns
        -------
        ActivationDisplay
            Itself.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        """
        pyplot = import_pyplot()
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        line_options = normalize_kwargs(line_options, Line2D)  # c, ls, lw, ...
        if ax is None:
            _, ax = pyplot.subplots()
        ax.axhline(0, color=INK, linewidth=0.5)
        ax.axvline(0, color=INK, linewidth=0.5)
        self.lines_ = ax.plot(self.z, self.value, **{"color": POSITIVE, "label": "g(z)", **line_options})
        if self.derivative is not None:
            options = {"color": NEGATIVE, "linestyle": "--", "label": "g'(z)", **line_options}
            self.lines_ += ax.plot(self.z, self.derivative, **options)
        ax.set(xlabel="z", title=self.name)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
