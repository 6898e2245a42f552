"""Class labels to codes and back, with scikit-learn's LabelBinarizer as the keeper of the rules.

A `LabelBinarizer` tells what kind of target there is and what its classes are; for plain vectors of integers, booleans
or strings, and for matrices of 0 and 1, that takes scikit-learn longer than many a small network takes to train, so the
same is found here directly.
Objects that are all strings, as pandas has them, are looked up in a dict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

from fastmlp._sklearn import LABELS_ARE_COUNTED

_TABLE = 1 << 16
"""Widest range of integer labels that is looked up in a table."""
_MOST_WHOLE = 2.0**63
"""From here on scikit-learn, which converts labels to integers, takes floats for continuous."""
_SEVERAL_LABELS = "multilabel-indicator"
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
    if are_indicators(y):
        kind, classes, targets = _SEVERAL_LABELS, np.arange(y.shape[1]), y.astype(bool)
    else:
        if (labels := texts(y)) is not None:
            classes, targets = _classes_and_codes_of_texts(labels)
        else:
            classes, targets = _classes_and_codes(y) if _is_plain(y) else (None, None)
        if classes is None or may_warn(len(classes), len(y)):
            binarizer.fit(y)
            return binarizer, transform(binarizer, y)
        kind = "binary" if len(classes) <= 2 else "multiclass"
    binarizer.y_type_, binarizer.sparse_input_, binarizer.classes_ = kind, False, classes
    return binarizer, targets


def are_indicators(y: Any) -> bool:
    """Return whether this is plainly an indicator matrix, 0 and 1 for several labels a row."""
    return (
        type(y) is np.ndarray
        and y.ndim == 2
        and y.shape[0] > 0
        and y.shape[1] > 1
        and y.dtype.isnative
        and (y.dtype.kind == "b" or (y.dtype.kind in "iu" and y.min() >= 0 and y.max() <= 1))
    )


def may_warn(n_classes: int, n: int) -> bool:
    """Return whether scikit-learn may warn of so many classes in n rows, as if a regression were meant."""
    return LABELS_ARE_COUNTED and n > 20 and 2 * n_classes >= n


def transform(binarizer: LabelBinarizer, y: np.ndarray) -> np.ndarray:
    """Return the targets of `y`, whose labels the binarizer has seen, as `fit_binarizer` does."""
    if binarizer.y_type_ == _SEVERAL_LABELS:
        known = y.astype(bool) if are_indicators(y) and y.shape[1] == len(binarizer.classes_) else None
    else:
        known = _known_codes(binarizer, y)
    if known is not None:
        return known
    rows = binarizer.transform(y)
    if rows.shape[1] > 1 and binarizer.y_type_ == "multiclass" and (rows.sum(axis=1) == 1).all():
        return rows.argmax(axis=1).astype(np.int32)
    return rows.astype(bool) if rows.shape[1] > 1 else rows[:, 0].astype(np.int32)


def distinct(y: np.ndarray) -> np.ndarray:
    """Return what scikit-learn's `unique_labels` returns, with its warnings and errors."""
    if (labels := texts(y)) is not None:
        classes = np.array(sorted(set(labels)))
    else:
        classes = _classes_and_codes(y)[0] if _is_plain(y) else None
    return unique_labels(y) if classes is None or may_warn(len(classes), len(y)) else classes


def texts(y: Any) -> list[str] | None:
    """Return the labels of a vector of objects that are all exactly of type str, or None.

    They are read once: another thread may be writing to y.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind != "O":
        return None
    labels = y.tolist()
    return labels if set(map(type, labels)) == {str} else None


def predict_labels(binarizer: LabelBinarizer, outputs: np.ndarray) -> np.ndarray:
    """Return the labels that the outputs of a network, shape (n, n_outputs), stand for."""
    if are_several(binarizer):
        return (outputs > 0.5).astype(int)
    if (classes := coded(binarizer)) is not None:
        return classes[outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(int)]
    return binarizer.inverse_transform(outputs[:, 0] if outputs.shape[1] == 1 else outputs)


def are_several(binarizer: LabelBinarizer) -> bool:
    """Return whether a row has several labels, each with an output, as a dense matrix says."""
    return binarizer.y_type_ == _SEVERAL_LABELS and not binarizer.sparse_input_


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
        Code of each label; empty where two classes have the same one, as strings that differed in a NUL at the end.
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes.tolist()
        self._kinds = "iu" if classes.dtype.kind in "iu" else classes.dtype.kind
        self._type = {"b": bool, "f": float, "U": str}.get(self._kinds, int)
        codes = {label: code for code, label in enumerate(self._classes)}
        self.codes = codes if len(codes) == len(self._classes) else {}

    def are(self, classes: Any) -> bool:
        """Return whether these are the classes, plainly the same; False where that is not plain."""
        labels = self._as_list(classes)
        if labels != self._classes or set(map(type, labels)) != {self._type}:
            return False
        return not may_warn(len(labels), len(labels))

    def codes_of(self, y: Any, n: int) -> np.ndarray | None:
        """Return the int32 codes of n plain labels, or None."""
        labels = self._as_list(y)
        if labels is None or len(labels) != n:
            return None
        try:
            return np.fromiter(map(self.codes.__getitem__, labels), np.int32, n)
        except KeyError:
            return None

    def _as_list(self, labels: Any) -> list[Any] | None:
        """Return a list or vector of plain labels of the classes' kind as a list, or None."""
        if type(labels) is list:
            return labels if set(map(type, labels)) == {self._type} else None
        if type(labels) is not np.ndarray or labels.ndim != 1:
            return None
        if labels.dtype.kind in self._kinds:
            return labels.tolist()
        return texts(labels) if self._type is str else None


def _is_plain(y: np.ndarray) -> bool:
    return type(y) is np.ndarray and y.ndim == 1 and len(y) > 0 and y.dtype.kind in "biufU"


def _known_codes(binarizer: LabelBinarizer, y: np.ndarray) -> np.ndarray | None:
    """Return the codes of labels that are plain, and known to the binarizer, or None."""
    classes = binarizer.classes_
    if binarizer.y_type_ not in ("binary", "multiclass") or len(classes) < 2:
        return None
    if _is_plain(y):
        codes = np.searchsorted(classes, y)
        is_known = codes.max(initial=0) < len(classes) and (classes[codes] == y).all()
        return codes.astype(np.int32) if is_known else None
    labels = texts(y)
    if labels is None or may_warn(len(set(labels)), len(labels)) or not _is_plain(classes):
        return None
    return CodeTable(classes).codes_of(labels, len(labels))


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


def _classes_and_codes_of_texts(labels: list[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the sorted distinct labels (None: an array cannot hold them), and the place of each label among them."""
    names = sorted(set(labels))
    classes = np.array(names)
    if classes.tolist() != names:  # NULs at the end are lost
        return None, None
    return classes, CodeTable(classes).codes_of(labels, len(labels))


def _offsets(labels: np.ndarray, lowest: int) -> np.ndarray:
    """Return how far labels are from the lowest, in an array of its own."""
    if labels.dtype.kind == "u" and labels.dtype.itemsize == 8:
        return labels - labels.dtype.type(lowest)
    offsets = labels.astype(np.int64)
    offsets -= lowest
    return offsets
