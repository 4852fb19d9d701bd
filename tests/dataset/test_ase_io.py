"""Data sets among ASE's formats, through the entry point."""

import importlib.metadata
import subprocess
import sys

import ase.io
import h5py
import pytest
from ase.io.formats import UnknownFileTypeError, filetype
from dataset_files import finished

from jentmax.dataset.ase_io import jentmax_format
from jentmax.errors import JentmaxError


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5", n=6)


def numbers(structures):
    return [atoms.info["jentmax_index"] for atoms in structures]


def test_the_entry_point_is_installed():
    (entry,) = importlib.metadata.entry_points(group="ase.ioformats", name="jentmax")
    assert entry.load() is jentmax_format


@pytest.mark.parametrize("format", ["jentmax", None])
def test_read(path, format):
    assert numbers(ase.io.read(f"{path}@:", format=format)) == [0, 1, 2, 3, 4, 5]
    assert numbers(ase.io.read(f"{path}@1:4", format=format)) == [1, 2, 3]
    assert numbers(ase.io.read(path, "::-2", format=format)) == [5, 3, 1]
    for index, number in [("@0", 0), ("@3", 3), ("@-2", 4), ("", 5)]:
        assert numbers([ase.io.read(f"{path}{index}", format=format)]) == [number]
    assert numbers(ase.io.iread(path, format=format)) == [0, 1, 2, 3, 4, 5]


def test_no_such_structure(path):
    with pytest.raises(IndexError, match=r"structure 6 of .*set\.h5: there are 6"):
        ase.io.read(f"{path}@6")
    with pytest.raises(JentmaxError, match="'x>1' is no index"):
        ase.io.read(path, "x>1")


def test_bad_files_are_named(tmp_path):
    with pytest.raises(JentmaxError, match=r"none\.h5 does not exist"):
        ase.io.read(tmp_path / "none.h5", format="jentmax")


def test_other_hdf5_files_are_left_to_others(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert filetype(str(tmp_path / "other.h5")) == "h5"
    with pytest.raises(UnknownFileTypeError):
        ase.io.read(tmp_path / "other.h5")


def test_ase_stays_quick_to_import():
    program = (
        "import ase.io, sys; print({'jentmax.dataset.ase_io', 'jax', 'h5py'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert output.stdout.strip() == "{'jentmax.dataset.ase_io'}", output.stderr
