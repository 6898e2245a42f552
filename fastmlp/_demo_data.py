"""The data sets of the demonstration (``python -m fastmlp``), split and scaled."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True, eq=False)
class Problem:
    """A data set and the network that learns it.

    Attributes
    ----------
    name : str
    X_train, X_test : ndarray of shape (n_rows, n_features)
        float32 or float64, which is also what the networks compute in.
    y_train, y_test : ndarray of shape (n_rows,)
        Class numbers 0, 1, ... (integers), or real targets.
    hidden : tuple of int
        Widths of the hidden layers.
    batch_size, epochs : int
    """

    name: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return int(self.y_train.max()) + 1 if self.y_train.dtype.kind in "iu" else 0

    @property
    def n_outputs(self) -> int:
        """Units of the output layer: one for two classes and for regression."""
        return self.n_classes if self.n_classes > 2 else 1


def _standardized(name: str, X: np.ndarray, y: np.ndarray, **network: object) -> Problem:
    """Hold out a quarter of the rows; scale columns, and real targets, to mean 0 and variance 1 of the others."""
    labels = y if y.dtype.kind in "iu" else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=labels)
    scaler = StandardScaler().fit(X_train)
    if labels is None:
        center, scale = y_train.mean(), y_train.std()
        y_train, y_test = (y_train - center) / scale, (y_test - center) / scale
    return Problem(name, scaler.transform(X_train), scaler.transform(X_test), y_train, y_test, **network)


def digits() -> Problem:
    """Return 1797 images of digits, 8 x 8 pixels."""
    X, y = datasets.load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)
    return Problem("digits", X_train, X_test, y_train, y_test, hidden=(100,), batch_size=200, epochs=60)


def breast_cancer() -> Problem:
    """Return 569 tumours, benign or malignant."""
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return _standardized("breast cancer", X, y, hidden=(16,), batch_size=32, epochs=30)


def diabetes() -> Problem:
    """Return 442 patients and the progression of their disease after a year."""
    X, y = datasets.load_diabetes(return_X_y=True)
    return _standardized("diabetes", X, y, hidden=(16,), batch_size=32, epochs=40)


def _idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes: two zeros, type 8, number of axes, their lengths (big-endian), the bytes."""
    with gzip.open(path) as file:
        content = file.read()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} must be an IDX file of unsigned bytes.")
    n_axes = content[3]
    shape = np.frombuffer(content, ">u4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def mnist(folder: Path) -> Problem:
    """Return the 70000 images of digits, 28 x 28 pixels, split as published."""
    names = [f"{part}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1") for part in ("train", "t10k")]
    images, test_images, labels, test_labels = (_idx(folder / name) for name in names)
    for x, y in ((images, labels), (test_images, test_labels)):
        if x.ndim != 3 or x.shape[1:] != images.shape[1:] or y.shape != x.shape[:1]:
            raise ValueError(f"Expected images of one size and as many labels, got shapes {x.shape} and {y.shape}.")
    X_train, X_test = (x.reshape(len(x), -1).astype(np.float32) / 255 for x in (images, test_images))
    y_train, y_test = labels.astype(np.int64), test_labels.astype(np.int64)
    return Problem("MNIST", X_train, X_test, y_train, y_test, hidden=(128,), batch_size=200, epochs=5)


def california_housing(folder: Path) -> Problem:
    """Return 20640 districts and the median value of their houses; blank numbers become the column's median."""
    with gzip.open(folder / "california_housing.csv.gz", "rt", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = reader.fieldnames or [], list(reader)
    for name in ("ocean_proximity", "median_house_value"):
        if name not in names:
            raise ValueError(
                f"california_housing.csv.gz must have a column {name!r}, got {', '.join(names) or 'none'}."
            )
    for i, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ValueError(f"Row {i} of california_housing.csv.gz must have as many cells as the header.")
    text = {name: [row[name] for row in rows] for name in names}
    oceans = np.array(text.pop("ocean_proximity"))
    columns = {name: np.array([float(cell) if cell else np.nan for cell in cells]) for name, cells in text.items()}
    for name, column in columns.items():
        if np.isnan(column).all() or (name == "median_house_value" and not np.ptp(column) > 0):
            raise ValueError(
                f"The column {name!r} of california_housing.csv.gz must hold numbers, got {text[name][:3]}."
            )
    y = columns.pop("median_house_value")
    numbers = [np.where(np.isnan(column), np.nanmedian(column), column) for column in columns.values()]
    one_hot = [oceans == ocean for ocean in np.unique(oceans)]
    X, y = np.column_stack([*numbers, *one_hot]).astype(np.float32), y.astype(np.float32)
    return _standardized("California housing", X, y, hidden=(64, 64), batch_size=200, epochs=20)


BUNDLED: tuple[Callable[[], Problem], ...] = (digits, breast_cancer, diabetes)
"""Data sets that come with scikit-learn."""

FROM_FILES: tuple[Callable[[Path], Problem], ...] = (mnist, california_housing)
"""Data sets read from files in a folder."""


def problems(folder: Path | None = None) -> Iterator[Problem]:
    """Yield the bundled problems, then those whose files are in `folder`; say which file is missing or damaged."""
    for load in BUNDLED:
        yield load()
    for load in FROM_FILES if folder is not None else ():
        try:
            yield load(folder)
        except FileNotFoundError as error:
            print(f"skipped {load.__name__}: no file {error.filename}")
        except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
            print(f"skipped {load.__name__}: its files cannot be read: {error}")
