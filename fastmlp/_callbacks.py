"""scikit-learn's callbacks, as the epoch loop and L-BFGS call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP
    from fastmlp._weights import Weights


class Callbacks:
    """scikit-learn's callbacks around a fit and around each of its epochs or iterations."""

    def __init__(self, estimator: BaseMLP, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator = estimator
        self._data = {"X": X, "y": y}
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        self._fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self._fit.call_on_fit_task_begin(estimator=estimator, **self._data)

    def begins(self, what: str) -> None:
        """Tell that an epoch or iteration begins."""
        self._task = self._fit.subcontext(task_name=what)
        self._task.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def ends(self, weights: Weights) -> bool:
        """Tell that it has ended with these weights; return whether to stop."""
        coefs, intercepts = weights.lists()
        return bool(
            self._task.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes={"coefs_": coefs, "intercepts_": intercepts},
                **self._data,
            )
        )

    def fit_ends(self) -> None:
        """Tell that the fit has ended."""
        self._fit.call_on_fit_task_end(estimator=self._estimator, **self._data)
