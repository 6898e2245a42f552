"""`NetworkDisplay`: units as circles, weights as lines, and the numbers of a trace on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._validation import check_bool, check_count
from fastmlp.plotting._matplotlib import (
    GRADIENT,
    INK,
    NEGATIVE,
    POSITIVE,
    check_network,
    check_no_network,
    import_pyplot,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastmlp.network import Network
    from fastmlp.trace import Trace

_RADIUS = 0.28
_COLUMN = 2.8  # least distance between layers
_ROW = {"bare": 0.85, "units": 1.2, "all": 1.6}  # distance between units, by what is written on the diagram
_INCHES = {"bare": 0.7, "units": 0.85, "all": 0.95}  # on paper, of the same
_HEIGHT = 7.5  # inches; a diagram without numbers may be drawn smaller to keep to it
_NUMBERED = 4  # units a layer, up to which the numbers on the lines can be told apart
_BEHIND_SOURCE = (0.35, 0.18)  # where on a line its number stands, in turn: full layers' lines cross in the middle
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}


class NetworkDisplay:
    """A network as a diagram: a column of units for each layer, and a line for each weight.

    A line's width stands for the weight's magnitude (within its layer), its colour for the sign: blue for positive
    weights, red for negative ones.

    Parameters
    ----------
    coefs : sequence of ndarray of shape (fan_in, fan_out)
    intercepts : sequence of ndarray of shape (fan_out,)
    names : sequence of str or None, default=None
        Activation of each weight layer, for the headings.
    trace : fastmlp.trace.Trace or None, default=None
        Of one row: then units show z, a, delta and the target y, and lines and biases also their derivatives.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    units_ : dict of (int, int) to matplotlib Circle
        The units drawn, by layer (from 0) and number in the layer (from 1).
    lines_ : dict of (int, int, int) to matplotlib Line2D
        The weights drawn, by layer (from 1), unit i it leads to and unit j it comes from.

    Examples
    --------
    >>> from fastmlp import Network
    >>> from fastmlp.plotting import NetworkDisplay
    >>> display = NetworkDisplay.from_network(Network([4, 3, 1], random_state=0))
    >>> len(display.units_), len(display.lines_)
    (8, 15)
    """

    def __init__(
        self,
        *,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        names: Sequence[str] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.coefs, self.intercepts, self.names, self.trace = coefs, intercepts, names, trace

    @classmethod
    def from_network(cls, net: Network, *, ax: Axes | None = None, **options: Any) -> NetworkDisplay:
        """Draw a `fastmlp.Network` as it is now.

        Parameters
        ----------
        net : Network
        ax : matplotlib Axes, optional
        **options
            Of `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError
            When `net` is no network, or an option has another type than `plot` takes.
        ValueError
            When an option is out of its range.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import Network
        >>> from fastmlp.plotting import NetworkDisplay
        >>> len(NetworkDisplay.from_network(Network([2, 3, 1], random_state=0), precision=2).lines_)
        9
        """
        check_network(net)
        coefs, intercepts = ([array.copy() for array in arrays] for arrays in (net.coefs, net.intercepts))
        names = [name for name, _ in net.spec.activations]
        return cls(coefs=coefs, intercepts=intercepts, names=names).plot(ax, **options)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None, **options: Any) -> NetworkDisplay:
        """Draw a fitted MLPClassifier or MLPRegressor, fastmlp's or scikit-learn's.

        Parameters
        ----------
        estimator : estimator
        ax : matplotlib Axes, optional
        **options
            Of `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError
            When `estimator` is no MLPClassifier or MLPRegressor, or an option has another type than `plot` takes.
        ValueError
            When an option is out of its range.
        sklearn.exceptions.NotFittedError
            When the estimator is not fitted.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> from fastmlp.plotting import NetworkDisplay
        >>> reg = MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs").fit([[0.0], [1.0]], [0.0, 1.0])
        >>> sorted(NetworkDisplay.from_estimator(reg).units_)
        [(0, 1), (1, 1), (1, 2), (2, 1)]
        """
        from sklearn.utils.validation import check_is_fitted

        check_no_network(estimator, "from_network")
        check_is_fitted(estimator)
        if not all(hasattr(estimator, name) for name in ("activation", "coefs_", "intercepts_", "out_activation_")):
            raise TypeError(
                f"Expected a fitted MLPClassifier or MLPRegressor, got {type(estimator).__name__}; of a pipeline or a "
                "search pass the one within."
            )
        coefs, intercepts = ([np.array(a) for a in arrays] for arrays in (estimator.coefs_, estimator.intercepts_))
        hidden = getattr(estimator.activation, "name", estimator.activation)
        names = [hidden] * (len(coefs) - 1) + [estimator.out_activation_]
        return cls(coefs=coefs, intercepts=intercepts, names=names).plot(ax, **options)

    @classmethod
    def from_trace(cls, trace: Trace, *, ax: Axes | None = None, **options: Any) -> NetworkDisplay:
        """Draw the network of a trace with the numbers of its row.

        Parameters
        ----------
        trace : fastmlp.trace.Trace
        ax : matplotlib Axes, optional
        **options
            Of `plot`.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        TypeError
            When `trace` is no trace, or an option has another type than `plot` takes.
        ValueError
            When an option is out of its range.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import Network
        >>> from fastmlp.plotting import NetworkDisplay
        >>> trace = Network([2, 1], random_state=0).trace([1.0, 2.0], 3.0)
        >>> NetworkDisplay.from_trace(trace).trace is trace
        True
        """
        from fastmlp.trace import Trace

        if not isinstance(trace, Trace):
            raise TypeError(f"trace must be what Network.trace returns, got {type(trace).__name__}.")
        coefs, intercepts = [W.T for W in trace.W.values()], [b[:, 0] for b in trace.b.values()]
        names = [name for name, _ in trace.spec.activations]
        return cls(coefs=coefs, intercepts=intercepts, names=names, trace=trace).plot(ax, **options)

    def plot(
        self, ax: Axes | None = None, *, max_units: int = 10, numbers: bool | None = None, precision: int = 3
    ) -> NetworkDisplay:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None: axes of a new figure, as large as the diagram needs.
        max_units : int, default=10
            Rows of units that are drawn; a layer of more units has a gap before the last in place of one of them.
        numbers : bool or None, default=None
            Whether weights and biases are written on the diagram. None: where no layer has more than 4 units.
        precision : int, default=3
            Significant digits of the numbers.

        Returns
        -------
        NetworkDisplay
            Itself.

        Raises
        ------
        TypeError
            When `max_units` or `precision` is no integer, or `numbers` neither a bool nor None.
        ValueError
            When `max_units` is below 3 or `precision` below 1.
        ImportError
            When matplotlib is not installed.
        """
        if check_count("max_units", max_units) < 3:
            raise ValueError(f"max_units must be at least 3, got {max_units}.")
        check_count("precision", precision)
        if numbers is not None:
            check_bool("numbers", numbers)
        widths = [self.coefs[0].shape[0], *(W.shape[1] for W in self.coefs)]
        numbers = max(widths) <= _NUMBERED if numbers is None else numbers
        written = "all" if numbers else "bare" if self.trace is None else "units"
        rows = min(max(widths), max_units)
        self._row = _ROW[written]
        # Where there are numbers, steep lines need room for them.
        self._column = _COLUMN + 0.8 * max(0, rows - 2) if numbers else max(_COLUMN, 0.4 * self._row * rows)
        right, top = self._column * (len(widths) - 1), self._row * (rows - 1) / 2 + 0.85
        if ax is None:
            width, height = right + 2.0, 2 * top + 1.5
            inches = _INCHES[written] if written != "bare" else min(_INCHES["bare"], _HEIGHT / height)
            # The headings do not shrink.
            size = (max(inches * width, 1.3 * len(widths)), inches * height)
            _, ax = import_pyplot().subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self._places = [self._heights(width, max_units) for width in widths]
        self._format = lambda value: f"{value:z.{precision}g}"
        self.lines_ = {key: value for layer in range(1, len(widths)) for key, value in self._weights(layer, numbers)}
        self.units_ = {key: value for layer in range(len(widths)) for key, value in self._units(layer, numbers)}
        for layer, width in enumerate(widths):
            name = "input" if layer == 0 else "" if self.names is None else self.names[layer - 1]
            count = f"\n{width} units" if width > max_units else ""
            ax.text(self._column * layer, top, f"layer {layer}\n{name}{count}", ha="center", va="bottom", color=INK)
        ax.set(xlim=(-0.9, right + 0.9 + 0.5 * (self.trace is not None)), ylim=(-top, top + 0.85), aspect="equal")
        ax.set_axis_off()
        if self.trace is not None:
            loss = f"{self.trace.spec.loss} = {self._format(self.trace.loss)}, its derivatives in purple"
            ax.text(right / 2, -top, loss, ha="center", va="top", color=INK)
        return self

    def _heights(self, width: int, max_units: int) -> dict[int, float]:
        """Return the heights of the units of a layer that are drawn, the first on top, by their numbers from 1."""
        shown = range(1, width + 1) if width <= max_units else [*range(1, max_units - 1), width]
        n_rows = min(width, max_units)
        rows = [*range(len(shown) - 1), n_rows - 1]
        return {unit: self._row * ((n_rows - 1) / 2 - row) for unit, row in zip(shown, rows, strict=True)}

    def _weights(self, layer: int, numbers: bool) -> list[tuple[tuple[int, int, int], Any]]:
        """Draw the lines into a layer."""
        W = self.coefs[layer - 1].T
        largest = np.abs(W).max() or 1.0
        lines = []
        for j, y_from in self._places[layer - 1].items():
            for i, y_to in self._places[layer].items():
                w = W[i - 1, j - 1]
                start, end = np.array([self._column * (layer - 1), y_from]), np.array([self._column * layer, y_to])
                (line,) = self.ax_.plot(
                    *zip(start, end, strict=True),
                    color=POSITIVE if w > 0 else NEGATIVE,
                    linewidth=0.4 + 2.6 * abs(w) / largest,
                    alpha=0.7,
                    zorder=1,
                )
                lines.append(((layer, i, j), line))
                if numbers:
                    angle = np.degrees(np.arctan2(*(end - start)[::-1]))
                    derivative = None if self.trace is None else self.trace.dW[layer][i - 1, j - 1]
                    self._number(start + _BEHIND_SOURCE[(i + j) % 2] * (end - start), w, derivative, angle)
        return lines

    def _units(self, layer: int, numbers: bool) -> list[tuple[tuple[int, int], Any]]:
        """Draw the units of a layer, and their biases."""
        from matplotlib.patches import Circle

        x, places = self._column * layer, self._places[layer]
        units = []
        for i, y in places.items():
            circle = self.ax_.add_patch(Circle((x, y), _RADIUS, facecolor="white", edgecolor=INK, zorder=2))
            units.append(((layer, i), circle))
            if self.trace is not None:
                self._values(layer, i, x, y)
            if numbers and layer > 0:
                derivative = None if self.trace is None else self.trace.db[layer][i - 1, 0]
                self._number((x, y - _RADIUS - 0.22), self.intercepts[layer - 1][i - 1], derivative, 0, "b ")
        if len(places) < (self.coefs[0].shape[0] if layer == 0 else self.coefs[layer - 1].shape[1]):
            *_, above, below = places.values()
            self.ax_.text(x, (above + below) / 2, "$\\vdots$", ha="center", va="center", fontsize=14, color=INK)
        return units

    def _values(self, layer: int, i: int, x: float, y: float) -> None:
        """Write what a trace knows of a unit: a inside, z and delta above, and beside an output its target."""
        trace, options = self.trace, {"fontsize": 8, "zorder": 3}
        self.ax_.text(x, y, self._format(trace.a[layer][i - 1, 0]), ha="center", va="center", color=INK, **options)
        if layer > 0:
            z, delta = (self._format(values[layer][i - 1, 0]) for values in (trace.z, trace.delta))
            above = {"ha": "center", "va": "bottom", "bbox": _BOX, **options}
            self.ax_.text(x, y + _RADIUS + 0.2, f"z {z}", color=INK, **above)
            self.ax_.text(x, y + _RADIUS + 0.03, f"$\\delta$ {delta}", color=GRADIENT, **above)
        if layer == trace.spec.n_layers:
            target = f"y {self._format(trace.y[i - 1, 0])}"
            self.ax_.text(x + _RADIUS + 0.12, y, target, ha="left", va="center", color=INK, **options)

    def _number(self, place: Any, value: float, derivative: float | None, angle: float, prefix: str = "") -> None:
        """Write a parameter along its line, and below it its derivative."""
        options = {"rotation": angle, "rotation_mode": "anchor", "ha": "center", "fontsize": 8, "bbox": _BOX}
        self.ax_.text(*place, prefix + self._format(value), va="bottom", color=INK, **options)
        if derivative is not None:
            self.ax_.text(*place, self._format(derivative), va="top", color=GRADIENT, **options)
