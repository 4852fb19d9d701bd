"""What is known of a file is kept, and found again as long as nothing has changed."""

import dataclasses
import os
from pathlib import Path

import ase
import ase.build
import ase.io
import ase.neighborlist
import numpy as np
import pytest
from describing import (
    TINY,
    coordination,
    random_structure,
)

from jentmax.dataset import read_structures
from jentmax.errors import JentmaxError
from jentmax.evaluation import _describe_files as file_room
from jentmax.evaluation import describe, described


def forbidden(path, format=None):
    raise AssertionError(f"{path} is read")


@pytest.fixture
def known(monkeypatch):
    """What is known of a file, in a cache; nothing is read from now on."""
    atoms = [random_structure(5), random_structure(7), ase.Atoms("W")]
    atoms[1].info["config_type"] = "random"
    ase.io.write("some.extxyz", atoms)
    found = described("some.extxyz", TINY, Path("cache"))
    assert [file.suffix for file in Path("cache", "descriptors").iterdir()] == [".npz"]
    monkeypatch.setattr(file_room, "read_structures", forbidden)
    return found


def assert_same(found, expected):
    """Structures and description are equal bit for bit."""
    for one, other in zip(found, expected, strict=True):
        one, other = (dict(vars(some)) for some in (one, other))
        for some in (one, other):
            some.update(some.pop("columns", {}))
            for name in ("compilations", "atom_columns"):
                some.pop(name, None)
        for name, value in one.items():
            assert np.array_equal(value, other[name]), name
            assert value.dtype == other[name].dtype


def test_a_file_is_described_once(known):
    structures, description = known
    assert structures.groups.tolist() == ["", "random", ""]
    assert np.array_equal(description.features, describe(structures, TINY).features)
    assert (description.compilations, description.neighbors[-1]) == (1, 0)
    assert_same(described(Path("some.extxyz"), TINY, Path("cache")), known)


def test_without_a_cache_files_are_read(known):
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", TINY)


@pytest.mark.parametrize(
    "change", [{"cutoff": 3.5}, {"self_weight": 0.9}, {"elements": ("W", "Be")}]
)
def test_another_descriptor_describes_again(known, change):
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", dataclasses.replace(TINY, **change), Path("cache"))


def test_descriptions_by_ones_own_function_are_not_kept(tmp_path):
    ase.io.write("some.extxyz", random_structure(5))
    _, description = described("some.extxyz", coordination, Path("cache"))
    assert description.features.shape == (5, 2)
    assert os.listdir(tmp_path) == ["some.extxyz"]


def test_another_content_or_name_is_described_again(known):
    content = Path("some.extxyz").read_text()
    Path("some.extxyz").write_text(content.replace("random", "others"))
    Path("other.extxyz").write_text(content)  # ASE may know its format by its name
    for name in ("some.extxyz", "other.extxyz"):
        with pytest.raises(AssertionError, match=rf"{name} is read"):
            described(name, TINY, Path("cache"))


def test_another_version_describes_again(known, monkeypatch):
    monkeypatch.setattr(file_room, "_FORMAT", file_room._FORMAT + 1)
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", TINY, Path("cache"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def foreign_arrays(path):
    np.savez(path, positions=np.zeros(3))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, emptied, flipped, foreign_arrays, a_folder])
def test_a_damaged_cache_is_made_again(known, monkeypatch, damage):
    [path] = Path("cache", "descriptors").iterdir()
    damage(path)
    monkeypatch.setattr(file_room, "read_structures", read_structures)
    assert_same(described("some.extxyz", TINY, Path("cache")), known)
    monkeypatch.setattr(file_room, "read_structures", forbidden)
    if damage is not a_folder:
        assert_same(described("some.extxyz", TINY, Path("cache")), known)
    assert len(list(Path("cache", "descriptors").iterdir())) == 1


def test_a_cache_that_cannot_be_written(known, monkeypatch):
    Path("no-folder").touch()
    monkeypatch.setattr(file_room, "read_structures", read_structures)
    assert_same(described("some.extxyz", TINY, Path("no-folder")), known)


def test_what_cannot_be_described_is_named_and_not_kept():
    Path("bad.extxyz").write_text("1\n\nW 0 0 0\n1\n\nFe 0 0 0\n")
    tungsten = dataclasses.replace(TINY, elements=("W",))
    with pytest.raises(JentmaxError, match=r"^bad\.extxyz, structure 1: .* the elements Fe"):
        described("bad.extxyz", tungsten, Path("cache"))
    with pytest.raises(JentmaxError, match=r"none\.extxyz: no such file"):
        described("none.extxyz", TINY, Path("cache"))
    assert not Path("cache").exists()
