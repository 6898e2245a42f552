"""Class labels to codes and back, with scikit-learn's LabelBinarizer as the keeper of the rules.

A `LabelBinarizer` tells what kind of target there is and what its classes are; for plain vectors of integers, booleans
or strings that takes scikit-learn longer than many a small network takes to train, so the same is found here directly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer

_TABLE = 1 << 16
"""Widest range of integer labels that is looked up in a table."""
_MOST_WHOLE = 2.0**63
"""From here on scikit-learn, which converts labels to integers, takes floats for continuous."""
_CHUNK = 1 << 20
"""Labels converted at a time, so that millions of rows need no temporary of their size."""


def fit_binarizer(y: np.ndarray) -> tuple[LabelBinarizer, np.ndarray]:
    """Return a fitted LabelBinarizer and the targets of `y`.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_labels)

    Returns
    -------
    LabelBinarizer
    targets : ndarray
        int32 codes of shape (n,), or booleans of shape (n, n_labels) for several labels a row.

    Raises
    ------
    ValueError
        As LabelBinarizer.fit does.
    """
    binarizer = LabelBinarizer()
    if not y.dtype.isnative:
        y = y.astype(y.dtype.newbyteorder("="))
    classes, codes = _classes_and_codes(y) if _is_plain(y) else (None, None)
    if classes is None or may_be_for_regression(len(classes), len(y)):
        binarizer.fit(y)
        return binarizer, transform(binarizer, y)
    binarizer.y_type_ = "binary" if len(classes) <= 2 else "multiclass"
    binarizer.sparse_input_ = False
    binarizer.classes_ = classes
    return binarizer, codes


def may_be_for_regression(n_classes: int, n: int) -> bool:
    """Return whether so many classes in n rows may mean a regression: scikit-learn, which may warn, has a say in it."""
    return n > 20 and 2 * n_classes >= n


def transform(binarizer: LabelBinarizer, y: np.ndarray) -> np.ndarray:
    """Return the targets of `y`, whose labels the binarizer has seen, as `fit_binarizer` does."""
    classes = binarizer.classes_
    if _is_plain(y) and binarizer.y_type_ in ("binary", "multiclass") and len(classes) > 1:
        codes = np.searchsorted(classes, y)
        if codes.max(initial=0) < len(classes) and (classes[codes] == y).all():
            return codes.astype(np.int32)
    rows = binarizer.transform(y)
    if rows.shape[1] > 1 and binarizer.y_type_ == "multiclass" and (rows.sum(axis=1) == 1).all():
        return rows.argmax(axis=1).astype(np.int32)
    return rows.astype(bool) if rows.shape[1] > 1 else rows[:, 0].astype(np.int32)


def predict_labels(binarizer: LabelBinarizer, outputs: np.ndarray) -> np.ndarray:
    """Return the labels that the outputs of a network, shape (n, n_outputs), stand for."""
    return binarizer.inverse_transform(outputs[:, 0] if outputs.shape[1] == 1 else outputs)


def coded(binarizer: LabelBinarizer) -> np.ndarray | None:
    """Return the classes that codes stand for, the largest output's or whether the single one exceeds 1/2; or None."""
    kind, n_classes = binarizer.y_type_, len(binarizer.classes_)
    is_coded = kind == "multiclass" or (kind == "binary" and n_classes == 2)
    return binarizer.classes_ if is_coded and not binarizer.sparse_input_ else None


def content(classes: np.ndarray) -> bytes | list[Any]:
    """Return what tells whether an array has been written to: its bytes, or the list of its objects."""
    return classes.tolist() if classes.dtype.hasobject else classes.tobytes()


class CodeTable:
    """The codes of plain labels, for few of them at a time.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)

    Attributes
    ----------
    codes : dict
        Code of each label.
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes.tolist()
        self._kinds = "iu" if classes.dtype.kind in "iu" else classes.dtype.kind
        self._type = {"b": bool, "f": float, "U": str}.get(self._kinds, int)
        self.codes = {label: code for code, label in enumerate(self._classes)}

    def are(self, classes: Any) -> bool:
        """Return whether these are the classes, plainly the same; False where that is not plain."""
        if type(classes) is np.ndarray and classes.ndim == 1 and classes.dtype.kind in self._kinds:
            classes = classes.tolist()
        return type(classes) is list and set(map(type, classes)) == {self._type} and classes == self._classes

    def codes_of(self, y: Any, n: int) -> np.ndarray | None:
        """Return the int32 codes of n plain labels, or None."""
        if type(y) is np.ndarray:
            if y.ndim != 1 or y.dtype.kind not in self._kinds:
                return None
            y = y.tolist()
        elif type(y) is not list or set(map(type, y)) != {self._type}:
            return None
        if len(y) != n:
            return None
        try:
            return np.fromiter(map(self.codes.__getitem__, y), np.int32, n)
        except KeyError:
            return None


def _is_plain(y: np.ndarray) -> bool:
    return type(y) is np.ndarray and y.ndim == 1 and len(y) > 0 and y.dtype.kind in "biufU"


def _are_whole(numbers: np.ndarray) -> bool:
    return bool(((numbers == np.floor(numbers)) & (abs(numbers) < _MOST_WHOLE)).all())


def _classes_and_codes(y: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the sorted distinct labels (None: not whole numbers), and the place of each label among them."""
    lowest, highest = (int(y.min()), int(y.max())) if y.dtype.kind in "biu" else (0, _TABLE)
    if highest - lowest >= _TABLE:
        classes, codes = np.unique(y, return_inverse=True)
        if y.dtype.kind == "U":
            classes = np.array(classes.tolist())  # no wider than the longest of them, as scikit-learn's
        whole = y.dtype.kind != "f" or _are_whole(classes.astype(np.float64))
        return classes if whole else None, codes.astype(np.int32)
    seen = np.zeros(highest - lowest + 1, dtype=bool)
    chunks = [slice(start, start + _CHUNK) for start in range(0, len(y), _CHUNK)]
    codes = np.empty(len(y), dtype=np.int32)
    try:
        for chunk in chunks:
            # Read once: another thread may be writing to y, and where NumPy is to look must not change under its hands.
            codes[chunk] = offsets = _offsets(y[chunk], lowest)
            seen[offsets] = True
    except IndexError:
        raise ValueError("y must not be written to while it is learned from, got labels that have changed.") from None
    places = np.cumsum(seen, dtype=np.int32) - 1
    for chunk in chunks:
        codes[chunk] = places[codes[chunk]]
    # A label at each place, so that the classes have the labels' dtype.
    return (np.flatnonzero(seen).astype(object) + lowest).astype(y.dtype), codes


def _offsets(labels: np.ndarray, lowest: int) -> np.ndarray:
    """Return how far labels are from the lowest, in an array of its own."""
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        return labels - labels.dtype.type(lowest)
    offsets = labels.astype(np.int64)
    offsets -= lowest
    return offsets
