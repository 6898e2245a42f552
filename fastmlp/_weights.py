"""The lists ``coefs_`` and ``intercepts_`` of an estimator, and the one vector behind them.

Training and prediction work on a flat vector (`fastmlp.layout`); users read and edit lists of arrays. As long as the
lists hold the views that were put there, they ARE the vector, and an edit in place needs no notice. Arrays that a user
puts in are copied into a vector at each use, and training writes its result back into them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastmlp.layout import Layout

Lists = tuple[list[np.ndarray], list[np.ndarray]]


class Weights:
    """A flat vector and the lists of its views.

    Parameters
    ----------
    layout : Layout
    vector : ndarray of shape (layout.n_parameters,)

    Attributes
    ----------
    layout, vector
    """

    __slots__ = ("_views", "layout", "vector")

    def __init__(self, layout: Layout, vector: np.ndarray) -> None:
        self.layout, self.vector = layout, vector
        self._views = (layout.coefs(vector), layout.intercepts(vector))

    @classmethod
    def from_lists(cls, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> Weights:
        """Return a copy of arrays that lie anywhere."""
        coefs, intercepts = list(map(np.asarray, coefs)), list(map(np.asarray, intercepts))
        if not coefs or len(coefs) != len(intercepts) or not all(w.ndim == 2 for w in coefs):
            raise ValueError(
                "coefs_ and intercepts_ must hold a matrix and a vector for each layer, got arrays of shapes "
                f"{[w.shape for w in coefs]} and {[b.shape for b in intercepts]}."
            )
        layout = Layout([*(len(w) for w in coefs), coefs[-1].shape[1]])
        dtype = np.result_type(*coefs, *intercepts)
        weights = cls(layout, layout.allocate(dtype if dtype in (np.float32, np.float64) else np.float64))
        for views, arrays in zip(weights._views, (coefs, intercepts), strict=True):
            for view, array in zip(views, arrays, strict=True):
                if view.shape != array.shape:
                    raise ValueError(f"Expected weights of shape {view.shape}, got {array.shape}.")
                view[...] = array
        return weights

    def lists(self) -> Lists:
        """Return lists of the views, for an estimator to show."""
        return list(self._views[0]), list(self._views[1])

    def is_shown(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> bool:
        """Return whether the lists hold this vector's views and nothing else."""
        mine = self._views
        return (
            len(coefs) == len(mine[0])
            and len(intercepts) == len(mine[1])
            and all(a is b for a, b in zip(coefs, mine[0], strict=True))
            and all(a is b for a, b in zip(intercepts, mine[1], strict=True))
        )

    def is_writable(self) -> bool:
        """Return whether the user has made none of the views read-only."""
        return all(view.flags.writeable for views in self._views for view in views)

    def write_to(self, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]) -> None:
        """Write the values into arrays that lie anywhere."""
        for views, arrays in zip(self._views, (coefs, intercepts), strict=True):
            for view, array in zip(views, arrays, strict=True):
                np.copyto(array, view, casting="same_kind")  # an array of integers would cut the result off


def are_plain(*lists: object) -> bool:
    """Return whether these are lists of arrays of one float dtype, as training leaves them."""
    if not all(type(kept) is list and kept for kept in lists):
        return False
    dtypes = {array.dtype if isinstance(array, np.ndarray) else None for kept in lists for array in kept}
    return len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}


def adopt(coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> Weights:
    """Copy the arrays of two lists into one vector and put its views in their places."""
    weights = Weights.from_lists(coefs, intercepts)
    coefs[:], intercepts[:] = weights.lists()
    return weights
