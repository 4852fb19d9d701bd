"""Structures as flat arrays, and reading them from files."""

from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from dataset_files import BATCHES, write

from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError
from jentmax.structures import Structures, read_structures

REAL = Path(__file__).parents[2] / "shared" / "data"


def some():
    """A crystal, a molecule without a cell, a layer, and the crystal again."""
    crystal = ase.build.bulk("W", cubic=True)
    crystal.info["config_type"] = "bcc"
    layer = ase.build.fcc111("Cu", (1, 1, 3), vacuum=5)
    layer.info.clear()
    return [crystal, ase.build.molecule("H2O"), layer, crystal.copy()]


def assert_same(atoms, other):
    assert np.array_equal(atoms.positions, other.positions)
    assert np.array_equal(atoms.numbers, other.numbers)
    assert np.array_equal(atoms.cell, other.cell)
    assert np.array_equal(atoms.pbc, other.pbc)


def test_arrays_of_atoms_and_back():
    given = some()
    structures = Structures.from_atoms(given)
    assert len(structures) == 4
    assert structures.counts.tolist() == [2, 3, 3, 2]
    assert structures.pointer.tolist() == [0, 2, 5, 8, 10]
    assert structures.numbers.tolist() == [74, 74, 8, 1, 1, 29, 29, 29, 74, 74]
    assert structures.periodic.tolist() == [
        [True] * 3,
        [False] * 3,
        [True, True, False],
        [True] * 3,
    ]
    assert structures.groups.tolist() == ["bcc", "", "", "bcc"]
    assert structures.duplicate.tolist() == [False, False, False, True]
    for k, atoms in enumerate(given):
        assert_same(structures.atoms(k), atoms)
        assert structures.atoms(k).info == atoms.info


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (slice(1, None), [1, 2, 3]),
        (slice(None, None, -2), [3, 1]),
        (np.array([2, 0, 2]), [2, 0, 2]),
        (np.array([False, True, False, True]), [1, 3]),
        (np.zeros(4, bool), []),
    ],
)
def test_some_of_the_structures(which, expected):
    structures = Structures.from_atoms(some())
    part = structures[which]
    assert len(part) == len(expected)
    assert np.array_equal(part.positions, structures.positions[structures.rows(which)])
    for place, k in enumerate(expected):
        assert_same(part.atoms(place), structures.atoms(k))
        assert part.groups[place] == structures.groups[k]
        assert part.duplicate[place] == structures.duplicate[k]


def test_no_structures():
    structures = Structures.from_atoms([])
    assert len(structures) == 0
    assert structures.positions.shape == (0, 3)
    assert structures.cells.shape == (0, 3, 3)
    assert len(structures[:]) == 0


def changed(change):
    atoms = ase.build.bulk("W", cubic=True)
    change(atoms)
    return atoms


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda atoms: atoms.positions.__iadd__(1e-7), True),
        (lambda atoms: atoms.positions.__iadd__(2e-4), False),
        (lambda atoms: atoms.set_cell(atoms.cell * 1.001), False),
        (lambda atoms: atoms.set_pbc([True, True, False]), False),
        (lambda atoms: atoms.symbols.__setitem__(1, "Mo"), False),
        (lambda atoms: atoms.__delitem__(1), False),
    ],
)
def test_duplicates_are_found(change, same):
    """The same cell, periodicity, species and positions to 1e-4 Å."""
    first = ase.build.bulk("W", cubic=True)
    structures = Structures.from_atoms([first, changed(change)])
    assert structures.duplicate.tolist() == [False, same]


def test_duplicates_as_the_file_says():
    """If it does so of every structure."""
    structures = some()
    for atoms, flag in zip(structures, [False, True, False, False], strict=True):
        atoms.info["duplicate"] = flag
    ase.io.write("flagged.extxyz", structures, columns=["symbols", "positions"])
    assert read_structures("flagged.extxyz").duplicate.tolist() == [False, True, False, False]
    del structures[0].info["duplicate"]
    ase.io.write("some.extxyz", structures, columns=["symbols", "positions"])
    assert read_structures("some.extxyz").duplicate.tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", ["set.extxyz", "set.traj", "set.db"])
def test_files_of_many_formats(name):
    structures = [ase.build.bulk("W", cubic=True), ase.build.bulk("Cu")]
    ase.io.write(name, structures)
    found = read_structures(Path(name))
    assert len(found) == 2
    for k, atoms in enumerate(structures):
        assert_same(found.atoms(k), atoms)
    assert found.groups.tolist() == ["", ""]
    assert found.duplicate.tolist() == [False, False]


def test_a_group_that_is_a_number():
    atoms = ase.build.bulk("W")
    atoms.info["config_type"] = 7
    ase.io.write("some.extxyz", atoms)
    assert read_structures("some.extxyz").groups.tolist() == ["7"]


def test_a_data_set():
    """In the order of the structures' index, as its atoms come."""
    write("set.h5", *BATCHES)
    found = read_structures("set.h5")
    with Dataset("set.h5") as dataset:
        assert len(found) == len(dataset) == 6
        for k, atoms in enumerate(dataset):
            assert_same(found.atoms(k), atoms)
    assert found.periodic.dtype == bool
    assert set(found.groups) == {""}


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("none.extxyz", None, ["none.extxyz: no such file", "give one that ASE reads"]),
        ("empty.extxyz", "", ["empty.extxyz: ASE cannot read it", "extended XYZ"]),
        ("notes.txt", "no structures here", ["notes.txt: ASE cannot read it", "extended XYZ"]),
        ("cut.extxyz", '3\npbc="T T T"\nW 0 0 0\n', ["cut.extxyz: ASE cannot read it"]),
        ("cut.h5", "\x89HDF\r\n\x1a\n and no more", ["cut.h5 is truncated or damaged"]),
        (
            "no.extxyz",
            "1\n\nW 0 0 0\n0\n\n",
            ["no.extxyz, structure 1: it has no atoms; remove it"],
        ),
        (
            "nan.extxyz",
            "1\n\nW 0 0 0\n2\n\nW 0 0 0\nW 0 nan 0\n",
            ["nan.extxyz, structure 1: positions[1] = [0.0, nan, 0.0], must be three finite"],
        ),
        (
            "cell.extxyz",
            '1\nLattice="3 0 0 0 inf 0 0 0 3"\nW 0 0 0\n',
            ["cell.extxyz, structure 0: cell[1] = [0.0, inf, 0.0], must be three finite"],
        ),
    ],
)
def test_files_that_cannot_be_read(name, content, parts):
    if content is not None:
        Path(name).write_text(content, encoding="latin-1", newline="")
    with pytest.raises(JentmaxError) as raised:
        read_structures(name)
    for part in parts:
        assert part in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_the_duplicates_of_a_real_set():
    """Found as they are flagged there: by the same rule, to 1e-4 Å."""
    path = REAL / "tungsten_radiation_damage.extxyz"
    if not path.exists():
        pytest.skip(f"no {path.name} in ../shared/data")
    atoms = ase.io.read(path, ":")
    flagged = Structures.from_atoms(atoms)
    assert flagged.duplicate.sum() == 222
    for one in atoms:
        del one.info["duplicate"]
    assert np.array_equal(Structures.from_atoms(atoms).duplicate, flagged.duplicate)
    assert len(flagged) == 3526
    assert len(flagged.positions) == 43945
    assert np.sum(flagged.groups == "liquid") == 45
