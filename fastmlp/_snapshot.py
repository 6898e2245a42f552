"""An estimator as it was, to be put back when a fit fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastmlp._base import BaseMLP

_GROWING = ("loss_curve_", "validation_scores_")
"""Lists that a fit only appends to: their lengths tell what they were."""


class Snapshot:
    """The attributes of an estimator, with the contents of what a fit changes in place.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    """

    def __init__(self, estimator: BaseMLP) -> None:
        self._estimator = estimator
        self._attributes = dict(vars(estimator))
        lists = {name: kept for name, kept in self._attributes.items() if type(kept) is list}
        self._lengths = [(lists.pop(name), len(self._attributes[name])) for name in _GROWING if name in lists]
        self._lists = [(kept, list(kept)) for kept in lists.values()]
        weights = self._attributes.get("_shown_weights")
        arrays = self._arrays_put_in() if weights is None else [weights.vector, *self._arrays_put_in()]
        self._optimizer: dict[str, Any] = {}
        optimizer = self._attributes.get("_optimizer")
        moments = getattr(getattr(optimizer, "state", None), "moments", None)
        if isinstance(moments, list):  # anything may have been put there, for what a fresh fit throws away
            self._optimizer = dict(vars(optimizer))
            self._t = optimizer.state.t
            arrays += [moment for moment in moments if isinstance(moment, np.ndarray)]
            self._lists.append((moments, list(moments)))
        self._arrays = [(array, array.copy()) for array in arrays]

    def _arrays_put_in(self) -> list[np.ndarray]:
        """Return arrays that a user has put into ``coefs_`` or ``intercepts_``: training writes to them in the end."""
        lists = [self._attributes.get(name) for name in ("coefs_", "intercepts_")]
        lists = [kept for kept in lists if isinstance(kept, (list, tuple))]
        weights = self._attributes.get("_shown_weights")
        if weights is not None and len(lists) == 2 and weights.is_shown(*lists):
            return []
        return [array for kept in lists for array in kept if isinstance(array, np.ndarray) and array.flags.writeable]

    def restore(self) -> None:
        """Put everything back, also where an exception, such as a second interrupt, comes in between."""
        try:
            self._put_back()
        except BaseException:
            self._put_back()
            raise

    def _put_back(self) -> None:
        for kept, items in self._lists:
            kept[:] = items
        for kept, length in self._lengths:
            del kept[length:]
        for array, values in self._arrays:
            array[...] = values
        # At no moment are there fewer of them than before: other threads may look.
        attributes = vars(self._estimator)
        attributes.update(self._attributes)
        for name in attributes.keys() - self._attributes.keys():
            del attributes[name]
        if self._optimizer:
            optimizer = self._attributes["_optimizer"]
            vars(optimizer).update(self._optimizer)
            optimizer.state.t = self._t
