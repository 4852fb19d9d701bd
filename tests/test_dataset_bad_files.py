"""Files that are no data sets, or damaged: one clear message that names the file."""

import os

import h5py
import numpy as np
import pytest
from dataset_files import BATCHES, HEADER, PROPERTIES, assert_holds, edit, write

from jentmax.dataset import Dataset, DatasetWriter
from jentmax.dataset._schema import ATTRIBUTES, STRUCTURE_COLUMNS, atom_columns
from jentmax.errors import JentmaxError


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "set.h5", *BATCHES)


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


def test_truncated_at_every_length(path):
    whole = path.read_bytes()
    for length in [*range(1, len(whole), len(whole) // 60), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
            Dataset(path)


def read_all(path):
    with Dataset(path) as dataset:
        for name in (*dataset.columns, "positions", "numbers", "descriptors"):
            getattr(dataset, PROPERTIES.get(name, name))
        return list(dataset)


def test_truncated_copies_of_running_files(tmp_path):
    """HDF5 opens such a file; what is missing then shows while reading, never as zeros."""
    path, copy = tmp_path / "set.h5", tmp_path / "copy.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for rows in BATCHES:
            writer.append(rows)
        whole = path.read_bytes()
    whole = whole.rstrip(b"\0")  # space reserved
    refused = 0
    lengths = [*range(1, len(whole), len(whole) // 80), len(whole) - 1]
    for length in lengths:
        copy.write_bytes(whole[:length])
        try:
            read_all(copy)
        except JentmaxError as error:
            assert str(copy) in str(error)  # noqa: PT017
            refused += 1
        else:
            with Dataset(copy) as dataset:
                assert_holds(dataset, *BATCHES)
    assert refused > 0.9 * len(lengths)
    copy.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        JentmaxError, match=rf"truncated or damaged: it has {len(whole) // 2} of \d+ bytes"
    ):
        Dataset(copy)


def test_damaged_bytes(path):
    """Damage is told in one way, or does not touch the structures."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place : place + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        try:
            read_all(path)
        except JentmaxError:
            refused += 1
        else:
            with Dataset(path) as dataset:
                assert_holds(dataset, *BATCHES)
    assert refused > 50


def test_foreign_hdf5(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(JentmaxError, match=r"set\.h5 is HDF5 but no jentmax data set.*'format'"):
        Dataset(path)
    edit(path, lambda file: file.attrs.create("format", "other"))
    with pytest.raises(JentmaxError, match=r"'format' is 'other', must be 'jentmax'"):
        Dataset(path)


def test_another_schema(path):
    edit(path, lambda file: file.attrs.modify("schema", 2))
    with pytest.raises(JentmaxError, match=r"set\.h5 has schema 2, this jentmax reads 1"):
        Dataset(path)


@pytest.mark.parametrize(
    "name",
    [
        *(f"structures/{name}" for name in (*STRUCTURE_COLUMNS, "pointer")),
        *(f"atoms/{name}" for name in atom_columns(2)),
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
    with pytest.raises(JentmaxError, match=rf"set\.h5 lacks the attributes {name},"):
        Dataset(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("structures/cell", np.zeros((6, 3))),
        ("structures/entropy", np.array(6 * [b"x"])),
        ("structures/entropy", np.zeros(5)),
        ("structures/pointer", np.array([0, 3, 2, 4, 5, 6, 7])),
        ("structures/pointer", np.array([1, 2, 3, 4, 5, 6, 7])),
        ("structures/pointer", np.array([], int)),
        ("structures/pointer", np.array([0, 1, 2, 3, 4, 5, 100])),
        ("atoms/descriptors", np.zeros((30, 3))),
        ("atoms/positions", np.zeros((1, 3))),
        ("scaling/scale", np.ones(7)),
    ],
)
def test_columns_that_do_not_fit(path, name, values):
    edit(path, replace_dataset(name, values))
    with pytest.raises(JentmaxError, match=r"set\.h5"):
        Dataset(path)


def test_damaged_running_file(path):
    """HDF5 left to itself would try for ever to read it."""
    copy = path.with_name("copy.h5")
    with DatasetWriter.create(path, **HEADER, overwrite=True) as writer:
        writer.append(BATCHES[0])
        damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"OHDR") + 20] ^= 255
    copy.write_bytes(damaged)
    with pytest.raises(JentmaxError, match=r"copy\.h5 is truncated or damaged.*checksum"):
        Dataset(copy)
