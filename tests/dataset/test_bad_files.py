"""Files that are no data sets, or damaged: one clear message that names the file."""

import os

import h5py
import numpy as np
import pytest
from dataset_files import accepted, edit, ids

from jentmax.dataset import Dataset
from jentmax.dataset._hdf5 import ATTRIBUTES
from jentmax.dataset._schema import CHUNK_TABLE, STORED
from jentmax.errors import JentmaxError

N = len(accepted(ids()))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(path):
    path.chmod(0)
    with pytest.raises(JentmaxError, match="cannot be read: Permission denied"):
        Dataset(path)


@pytest.mark.parametrize("content", [b"", b"39\nLattice=...", b"\x89HDF\r\n\x1a\n"])
def test_not_hdf5(tmp_path, content):
    (tmp_path / "set.h5").write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
        Dataset(tmp_path / "set.h5")


def test_foreign_hdf5(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(JentmaxError, match=r"set\.h5 is HDF5 but no jentmax data set.*'format'"):
        Dataset(path)
    edit(path, lambda file: file.attrs.create("format", np.bytes_("other")))
    with pytest.raises(JentmaxError, match=r"'format' is 'other', must be 'jentmax'"):
        Dataset(path)


@pytest.mark.parametrize("name", [*STORED.values(), *(f"chunks/{name}" for name in CHUNK_TABLE)])
def test_missing_column(path, name):
    edit(path, lambda file: file.pop(name))
    with pytest.raises(JentmaxError, match=rf"set\.h5 .*{name.split('/')[1]}"):
        Dataset(path)


@pytest.mark.parametrize("name", [*ATTRIBUTES[1:], "checksum"])
def test_missing_attribute(path, name):
    edit(path, lambda file: file.attrs.pop(name))
    with pytest.raises(JentmaxError, match=rf"set\.h5 lacks the attribute {name};"):
        Dataset(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("structures/cell", np.zeros((N, 3))),
        ("structures/entropy", np.array(N * [b"x"])),
        ("structures/entropy", np.zeros(N, [("a", float)])),
        ("structures/entropy", np.full(N, "of any length", object)),
        ("structures/entropy", np.zeros(N, "float16")),
        ("structures/entropy", np.zeros(N, int)),
        ("structures/pointer", 3 * np.arange(N + 1) + 1),
        ("structures/pointer", np.array([0, 2**62, -(2**62), 2**62])),  # which wrap around
        ("structures/pointer", np.array([], int)),
        ("structures/pointer", np.array([0])),
        ("structures/pointer", 3.0 * np.arange(N + 1)),
        ("atoms/descriptors", np.zeros((30, 3))),
        ("atoms/positions", np.zeros((1, 3))),
        ("chunks/status", np.zeros(4 * len(ids()), float)),
        ("chunks/batch", np.zeros((len(ids()), 1), int)),
    ],
)
def test_columns_that_do_not_fit(path, name, values):
    edit(path, lambda file: (file.pop(name), file.create_dataset(name, data=values)))
    with pytest.raises(JentmaxError, match=r"set\.h5"):
        Dataset(path)
