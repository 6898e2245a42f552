"""The files of `python -m fastmlp --data`: read as they are published, and told when they are damaged."""

import gzip
import struct

import numpy as np
import pytest

from fastmlp import _demo_data

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
HOUSES = "california_housing.csv.gz"


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with 40 images for training, 20 for tests, and 30 districts, one of them with a blank number."""
    monkeypatch.setattr(_demo_data, "BUNDLED", ())
    for part, rows in ("train", 40), ("t10k", 20):
        pixels = np.arange(rows * 6, dtype=np.uint8).reshape(rows, 2, 3)
        labels = np.arange(rows, dtype=np.uint8) % 10
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    lines = ["rooms,ocean_proximity,median_house_value"]
    lines += [f"{'' if i == 7 else i},{'INLAND' if i % 3 else 'ISLAND'},{i * i}" for i in range(30)]
    (tmp_path / HOUSES).write_bytes(gzip.compress("\n".join(lines).encode()))
    return tmp_path


def test_files_are_read(folder):
    images, houses = _demo_data.problems(folder)
    assert images.X_train.shape == (40, 6)
    assert images.X_test.shape == (20, 6)
    np.testing.assert_array_equal(images.X_train[1], np.arange(6, 12, dtype=np.float32) / 255)
    assert images.n_classes == 10
    assert list(images.y_test[:12]) == [*range(10), 0, 1]
    assert houses.n_classes == 0
    assert houses.X_train.shape[1] == 1 + 2
    assert len(houses.X_train) + len(houses.X_test) == 30
    assert np.isfinite(houses.X_train).all()
    assert abs(houses.y_train.mean()) < 1e-6


DAMAGED = {
    "not compressed": (IMAGES, None, "Not a gzipped file"),
    "cut off": (IMAGES, bytes(range(100)), "ended before"),
    "empty labels": (LABELS, b"", f"{LABELS} must be an IDX file"),
    "labels of another type": (LABELS, b"\0\0\x0b\x01\0\0\0\x01\0", f"{LABELS} must be an IDX file"),
    "no shape": (IMAGES, b"\0\0\x08\x03\0\0", "buffer"),
    "a pixel is missing": (IMAGES, idx(np.zeros((2, 2, 3), np.uint8))[:-1], "reshape"),
    "a label is missing": (LABELS, idx(np.zeros(39, np.uint8)), "got shapes (40, 2, 3) and (39,)"),
    "no houses": (HOUSES, b"", "must have a column 'ocean_proximity'"),
    "no number": (HOUSES, b"ocean_proximity,median_house_value\nINLAND,many\n", "'many'"),
    "no rows": (HOUSES, b"rooms,ocean_proximity,median_house_value\n", "must hold numbers, got []"),
    "a blank value": (HOUSES, b"ocean_proximity,median_house_value\nINLAND,1\nINLAND,\n", "must hold numbers"),
    "one value": (HOUSES, b"ocean_proximity,median_house_value\nINLAND,1\nINLAND,1\n", "must hold numbers"),
    "a blank column": (HOUSES, b"a,ocean_proximity,median_house_value\n,INLAND,1\n,INLAND,2\n", "The column 'a'"),
    "a cell too few": (HOUSES, b"ocean_proximity,median_house_value\nINLAND,1\nINLAND\n", "Row 2 "),
    "a cell too many": (HOUSES, b"ocean_proximity,median_house_value\nINLAND,1,2\n", "Row 1 "),
    "a huge cell": (HOUSES, b"ocean_proximity,median_house_value\n" + b"x" * 200_000 + b",1\n", "field"),
}


@pytest.mark.parametrize("damage", list(DAMAGED))
def test_damaged_files_are_told_and_the_others_read(folder, capsys, damage):
    name, content, told = DAMAGED[damage]
    written = b"not compressed" if content is None else gzip.compress(content)
    (folder / name).write_bytes(written[:-20] if damage == "cut off" else written)
    (other,) = _demo_data.problems(folder)
    damaged, left = ("california_housing", "MNIST") if name == HOUSES else ("mnist", "California housing")
    assert other.name == left
    line = capsys.readouterr().out
    assert line.startswith(f"skipped {damaged}: its files cannot be read: ")
    assert told in line


def test_missing_files_are_named(folder, capsys):
    (folder / LABELS).unlink()
    assert [problem.name for problem in _demo_data.problems(folder)] == ["California housing"]
    assert capsys.readouterr().out == f"skipped mnist: no file {folder / LABELS}\n"
