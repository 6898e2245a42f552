"""`LossCurveDisplay`: the loss of every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._validation import as_numbers
from fastmlp.plotting._matplotlib import NEGATIVE, check_no_network, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LossCurveDisplay:
    """The loss of every epoch, and with early stopping the score on the validation rows.

    Parameters
    ----------
    losses : sequence of float
        One per epoch.
    validation_scores : sequence of float or None, default=None
        One per epoch; drawn on an axis of their own.
    name : str or None, default=None
        For the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Of the losses.
    score_ax_ : matplotlib Axes or None
        Axes of the validation scores.

    Examples
    --------
    >>> from fastmlp import Network
    >>> from fastmlp.plotting import LossCurveDisplay
    >>> net = Network([1, 1], random_state=0)
    >>> display = LossCurveDisplay.from_losses(net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=30))
    >>> len(display.line_.get_ydata())
    30
    """

    def __init__(
        self, *, losses: Sequence[float], validation_scores: Sequence[float] | None = None, name: str | None = None
    ) -> None:
        self.losses, self.validation_scores, self.name = losses, validation_scores, name

    @classmethod
    def from_losses(
        cls, losses: Sequence[float], *, name: str | None = None, ax: Axes | None = None, **line_options: Any
    ) -> LossCurveDisplay:
        """Draw the list that `fastmlp.Network.fit` returns.

        Parameters
        ----------
        losses : sequence of float
        name : str, optional
        ax : matplotlib Axes, optional
        **line_options
            As of `plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        TypeError
            When the losses are no numbers.
        ValueError
            When they are no sequence.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp.plotting import LossCurveDisplay
        >>> LossCurveDisplay.from_losses([1.0, 0.5, 0.3]).ax_.get_xlabel()
        'epoch'
        """
        return cls(losses=losses, name=name).plot(ax, **line_options)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Axes | None = None, **line_options: Any
    ) -> LossCurveDisplay:
        """Draw the losses of a fitted MLPClassifier or MLPRegressor, fastmlp's or scikit-learn's.

        Parameters
        ----------
        estimator : estimator
        name : str, optional
            None: the name of its class.
        ax : matplotlib Axes, optional
        **line_options
            As of `plot`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        TypeError
            When `estimator` is a `fastmlp.Network`.
        sklearn.exceptions.NotFittedError
            When the estimator is not fitted.
        ValueError
            When it keeps no losses, as with solver "lbfgs", or another number of validation scores.
        ImportError
            When matplotlib is not installed.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> from fastmlp.plotting import LossCurveDisplay
        >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]
        >>> reg = MLPRegressor(hidden_layer_sizes=(4,), tol=0.1, random_state=0).fit(X, y)
        >>> LossCurveDisplay.from_estimator(reg).line_.get_label()
        'MLPRegressor'
        """
        from sklearn.utils.validation import check_is_fitted

        check_no_network(estimator, "from_losses, for what its fit returns")
        check_is_fitted(estimator)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(f"Expected an estimator with the attribute loss_curve_, got {estimator!r}.")
        scores = getattr(estimator, "validation_scores_", None)
        name = type(estimator).__name__ if name is None else name
        return cls(losses=estimator.loss_curve_, validation_scores=scores, name=name).plot(ax, **line_options)

    def plot(self, ax: Axes | None = None, **line_options: Any) -> LossCurveDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            None: axes of a new figure. Several curves may be drawn on the same axes.
        **line_options
            Of ``Axes.plot``, for the losses.

        Returns
        -------
        LossCurveDisplay
            Itself.

        Raises
        ------
        TypeError
            When losses or validation scores are no numbers.
        ValueError
            When they are no sequences of one length.
        ImportError
            When matplotlib is not installed.
        """
        losses = as_numbers("losses", self.losses)
        if losses.ndim != 1:
            raise ValueError(f"losses must be a sequence of numbers, got shape {losses.shape}.")
        scores = None if self.validation_scores is None else as_numbers("validation_scores", self.validation_scores)
        if scores is not None and scores.shape != losses.shape:
            raise ValueError(
                f"validation_scores must be one for each of {len(losses)} losses, got shape {scores.shape}."
            )
        if ax is None:
            _, ax = import_pyplot().subplots()
        epochs = np.arange(1, len(losses) + 1)
        (self.line_,) = ax.plot(epochs, losses, **{"label": self.name, **line_options})
        ax.set(xlabel="epoch", ylabel="loss")
        self.score_ax_ = None
        if scores is not None:
            self.score_ax_ = ax.twinx()
            self.score_ax_.plot(epochs, scores, color=NEGATIVE, linestyle="--")
            self.score_ax_.set_ylabel("validation score (dashed)")
        if self.line_.get_label() and not self.line_.get_label().startswith("_"):
            # Losses fall and scores rise, which leaves the middle; matplotlib's best place knows one of the two axes.
            ax.legend(loc="best" if scores is None else "center right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
