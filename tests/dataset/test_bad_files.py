"""Files that are no data sets, or damaged: one clear message that names the file."""

import os

import h5py
import numpy as np
import pytest
from dataset_files import accepted, edit, finished, ids

from jentmax.dataset import Dataset
from jentmax.dataset._schema import ATTRIBUTES, CHUNK_TABLE, columns
from jentmax.errors import JentmaxError


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5")


N = len(accepted(ids()))


def replace_dataset(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def test_missing_file(tmp_path):
    with pytest.raises(JentmaxError, match=r"none\.h5 does not exist"):
        Dataset(tmp_path / "none.h5")


def test_folder(tmp_path):
    with pytest.raises(JentmaxError, match="is a folder"):
        Dataset(tmp_path)


def test_impossible_paths(path):
    for impossible in (path / "set.h5", path.with_name("x" * 300)):
        with pytest.raises(JentmaxError, match="cannot be read"):
            Dataset(impossible)


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


def test_another_schema(path):
    edit(path, lambda file: file.attrs.modify("schema", 1))
    with pytest.raises(JentmaxError, match=r"set\.h5 has schema 1, this jentmax reads 2"):
        Dataset(path)


@pytest.mark.parametrize(
    "name",
    [
        *columns(2),
        *(f"chunks/{name}" for name in CHUNK_TABLE),
        "structures/pointer",
        "scaling/scale",
        "scaling/shift",
    ],
)
def test_missing_column(path, name):
    def change(file):
        del file[name]

    edit(path, change)
    with pytest.raises(JentmaxError, match=rf"set\.h5 .*{name.split('/')[1]}"):
        Dataset(path)


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name not in ("format", "schema")])
def test_missing_attribute(path, name):
    def change(file):
        del file.attrs[name]

    edit(path, change)
    with pytest.raises(JentmaxError, match=rf"set\.h5 lacks the attribute {name};"):
        Dataset(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("structures/cell", np.zeros((N, 3))),
        ("structures/entropy", np.array(N * [b"x"])),
        ("structures/entropy", np.zeros(N - 1)),
        ("structures/entropy", np.zeros(N, "float16")),
        ("structures/entropy", np.zeros(N, int)),
        ("structures/pointer", np.array([0, *range(9, 3 * N, 3), 3, 3 * N])),
        ("structures/pointer", 3 * np.arange(N + 1) + 1),
        ("structures/pointer", np.array([], int)),
        ("structures/pointer", np.array([0])),
        ("structures/pointer", 3.0 * np.arange(N + 1)),
        ("atoms/descriptors", np.zeros((30, 3))),
        ("atoms/positions", np.zeros((1, 3))),
        ("scaling/scale", np.ones(7)),
    ],
)
def test_columns_that_do_not_fit(path, name, values):
    edit(path, replace_dataset(name, values))
    with pytest.raises(JentmaxError, match=r"set\.h5"):
        Dataset(path)
