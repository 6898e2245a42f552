"""`DecisionBoundary`: what a model says at each point of the plane."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import DecisionBoundaryDisplay

from fastmlp._validation import as_numbers, check_count, check_finite
from fastmlp.plotting._matplotlib import INK, check_network, check_no_network, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastmlp.network import Network


_OF_CONTOURS = frozenset({"algorithm", "corner_mask", "extend", "hatches", "levels", "locator", "nchunk", "origin"})
"""Options that matplotlib's contours take and a mesh does not."""


class DecisionBoundary(DecisionBoundaryDisplay):
    """scikit-learn's DecisionBoundaryDisplay, which serves estimators, and the same for a `fastmlp.Network`.

    ``DecisionBoundary.from_estimator``, ``plot`` and the parameters are scikit-learn's.

    Attributes
    ----------
    threshold : float or None
        Of a network with one output: the value at which `plot` draws a line.
    line_ : matplotlib ContourSet or None
        That line; None where there is none.

    Examples
    --------
    >>> from fastmlp import Network
    >>> from fastmlp.plotting import DecisionBoundary
    >>> conjunction = Network.from_weights([[[1.0], [1.0]]], [[-1.5]], output_activation="step")
    >>> display = DecisionBoundary.from_network(conjunction, [[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> display.response.shape, sorted(set(display.response.ravel().tolist()))
    ((200, 200), [0.0, 1.0])
    """

    threshold: float | None = None
    line_: Any = None
    _plot_method = "contourf"

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, **options: Any) -> DecisionBoundary:
        """Draw a fitted estimator, with the parameters and errors of scikit-learn's method of this name.

        Parameters
        ----------
        estimator : estimator
        X : array-like of shape (n, 2)
            Says which part of the plane to draw.
        **options
            Of scikit-learn's method.

        Returns
        -------
        DecisionBoundary

        Raises
        ------
        TypeError
            When `estimator` is a `fastmlp.Network`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import MLPClassifier
        >>> from fastmlp.plotting import DecisionBoundary
        >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> clf = MLPClassifier((4,), solver="lbfgs", random_state=0).fit(X, [0, 1, 1, 1])
        >>> DecisionBoundary.from_estimator(clf, X).response.shape
        (100, 100)
        """
        check_no_network(estimator, "from_network")
        return super().from_estimator(estimator, X, **options)

    @classmethod
    def from_network(
        cls,
        net: Network,
        X: Any,
        *,
        threshold: float | str | None = "auto",
        grid_resolution: int = 200,
        eps: float = 1.0,
        ax: Axes | None = None,
        **options: Any,
    ) -> DecisionBoundary:
        """Draw what a network with two inputs says around X.

        Parameters
        ----------
        net : Network
            With one output it is drawn; with several the largest of them.
        X : array-like of shape (n, 2)
            Says which part of the plane to draw.
        threshold : float, "auto" or None, default="auto"
            A line is drawn where a single output has this value: 0.5 between two classes as probabilities, 0 for
            targets -1 and 1. None: no line. "auto": 0.5, whatever the targets were, and no line for several outputs.
        grid_resolution : int, default=200
            Points along each axis.
        eps : float, default=1.0
            How far to go beyond X.
        ax : matplotlib Axes, optional
            None: axes of a new figure.
        **options
            Of scikit-learn's ``DecisionBoundaryDisplay.from_estimator``, but for ``response_method`` and
            ``class_of_interest``. Unless they say otherwise, a single output is drawn with ``cmap="coolwarm"``, and
            several with ``plot_method="pcolormesh"``, for contours would draw classes 1 and 2 between 0 and 3; or with
            "contourf" where an option is one of contours, as ``levels``.

        Returns
        -------
        DecisionBoundary

        Raises
        ------
        TypeError
            When `net` is no network, X does not hold numbers, `threshold` is no number, "auto" or None,
            `grid_resolution` is no integer, `eps` no number, or an option is one of the two.
        ValueError
            When the network or X does not have two inputs, X has no rows or is not finite, what lies within `eps` of it
            is not finite in the network's dtype, `threshold` is a number and there are several outputs, or scikit-learn
            refuses an option.
        AttributeError
            When matplotlib knows no such option.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import Network
        >>> from fastmlp.plotting import DecisionBoundary
        >>> three = Network([2, 3], output_activation="softmax", loss="log_loss", random_state=0)
        >>> DecisionBoundary.from_network(three, [[0, 0], [1, 1]], grid_resolution=50).response.shape
        (50, 50)
        """
        import_pyplot()
        check_network(net)
        for name in ("response_method", "class_of_interest"):
            if name in options:
                raise TypeError(f"{name} is no option here: the outputs, or the largest of them, are drawn.")
        threshold = _check_threshold(threshold, net.units[-1])
        check_count("grid_resolution", grid_resolution)
        if not isinstance(eps, Real):
            raise TypeError(f"eps must be a number, got {eps!r} of type {type(eps).__name__}.")
        numbers = as_numbers("X", X)
        shape = numbers.shape
        if net.units[0] != 2 or len(shape) != 2 or shape[0] == 0 or shape[1] != 2:
            raise ValueError(
                f"Expected a network with 2 inputs and X of shape (n, 2), n at least 1, got {net.units[0]}, {shape}."
            )
        check_finite("X", numbers)
        check_finite("What lies within eps of X", _reach(numbers.astype(np.float64), float(eps), net.dtype))
        if not hasattr(X, "columns"):  # a frame's names are those of the axes
            X = numbers.astype(np.float64)
        options |= {"response_method": "predict", "grid_resolution": grid_resolution, "eps": eps, "ax": ax}
        if net.units[-1] > 1:
            method = "contourf" if _OF_CONTOURS & options.keys() else "pcolormesh"
            display = cls.from_estimator(_Classes(net), X, **{"plot_method": method, **options})
            display._plot_method = method
            return display
        display = cls.from_estimator(_OneOutput(net), X, **{"cmap": "coolwarm", "alpha": 0.8, **options})
        display.threshold = threshold
        display._draw_line()
        return display

    def plot(self, *args: Any, **options: Any) -> DecisionBoundary:
        """Draw again, with the parameters of scikit-learn's ``DecisionBoundaryDisplay.plot``.

        Parameters
        ----------
        *args, **options
            Of scikit-learn's method; ``plot_method`` is as in `from_network` where it is not given.

        Returns
        -------
        DecisionBoundary
            Itself.
        """
        super().plot(*args, **(options if args else {"plot_method": self._plot_method, **options}))
        self._draw_line()
        return self

    def _draw_line(self) -> None:
        self.line_ = None
        if self.threshold is not None and self.response.min() < self.threshold < self.response.max():
            line = {"levels": [self.threshold], "colors": INK, "linewidths": 1.5}
            self.line_ = self.ax_.contour(self.xx0, self.xx1, self.response, **line)


def _check_threshold(threshold: object, n_outputs: int) -> float | None:
    """Return the value of `DecisionBoundary.threshold`."""
    if isinstance(threshold, str) and threshold == "auto":
        return None if n_outputs > 1 else 0.5
    if threshold is None:
        return None
    if not isinstance(threshold, Real):
        raise TypeError(
            f'threshold must be a number, "auto" or None, got {threshold!r} of type {type(threshold).__name__}.'
        )
    if n_outputs > 1:
        raise ValueError(f"threshold is of a single output, got {threshold} and {n_outputs} outputs.")
    return threshold


def _reach(X: np.ndarray, eps: float, dtype: np.dtype) -> np.ndarray:
    """Return the corners of what is drawn, and its extent."""
    with np.errstate(over="ignore"):
        low, high = X.min(axis=0) - eps, X.max(axis=0) + eps
        return np.array([low, high, high - low]).astype(dtype)


class _Fitted(BaseEstimator):
    """What scikit-learn wants of a fitted estimator."""

    def __init__(self, net: Network) -> None:
        self.net = net

    def fit(self, X: Any, y: Any = None) -> _Fitted:
        """Do nothing: the network is as it is."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _OneOutput(RegressorMixin, _Fitted):
    """A network as scikit-learn sees a regressor."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the single output."""
        return self.net.forward(X)[:, 0]


class _Classes(ClassifierMixin, _Fitted):
    """A network as scikit-learn sees a classifier: the class is the largest output."""

    @property
    def classes_(self) -> np.ndarray:
        """Numbers of the outputs."""
        return np.arange(self.net.units[-1])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the class."""
        return self.net.forward(X).argmax(axis=1)
