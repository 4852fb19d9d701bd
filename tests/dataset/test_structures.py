"""Structures as flat arrays, and reading them from files."""

import dataclasses
import pickle
from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from dataset_files import accepted, finished, ids, under_way

from jentmax.dataset import Dataset, Structures, read_structures
from jentmax.errors import JentmaxError

REAL = Path(__file__).parents[3] / "shared" / "data"


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
    structures = Structures.from_ase(given)
    assert len(structures) == 4
    assert structures.counts.tolist() == [2, 3, 3, 2]
    assert structures.pointer.tolist() == [0, 2, 5, 8, 10]
    assert structures.numbers.tolist() == [74, 74, 8, 1, 1, 29, 29, 29, 74, 74]
    assert structures.pbc.tolist() == [
        [True] * 3,
        [False] * 3,
        [True, True, False],
        [True] * 3,
    ]
    assert structures.groups.tolist() == ["bcc", "", "", "bcc"]
    assert structures.duplicate.tolist() == [False, False, False, True]
    for k, atoms in enumerate(given):
        assert_same(structures[k], atoms)
        assert structures[k].info == atoms.info


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
    structures = Structures.from_ase(some())
    part = structures[which]
    assert len(part) == len(expected)
    assert np.array_equal(part.positions, structures.positions[structures.rows(which)])
    for place, k in enumerate(expected):
        assert_same(part[place], structures[k])
        assert part.groups[place] == structures.groups[k]


def test_duplicates_of_some_are_those_among_them():
    structures = Structures.from_ase(some())
    assert structures.duplicate.tolist() == [False, False, False, True]
    assert structures[1:].duplicate.tolist() == [False, False, False]
    flagged = dataclasses.replace(structures, columns={"duplicate": structures.duplicate})
    assert flagged[1:].duplicate.tolist() == [False, False, True]


def test_no_structures():
    structures = Structures.from_ase([])
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
    structures = Structures.from_ase([first, changed(change)])
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
        assert_same(found[k], atoms)
    assert found.groups.tolist() == ["", ""]
    assert found.duplicate.tolist() == [False, False]


def test_a_group_that_is_a_number():
    atoms = ase.build.bulk("W")
    atoms.info["config_type"] = 7
    ase.io.write("some.extxyz", atoms)
    assert read_structures("some.extxyz").groups.tolist() == ["7"]


@pytest.mark.parametrize("write", [finished, under_way])
def test_a_data_set(write):
    """In the order of the structures' index, as its atoms come."""
    write("set.h5")
    found = read_structures("set.h5")
    with Dataset("set.h5") as dataset:
        assert len(found) == len(dataset) == len(accepted(ids()))
        for k, atoms in enumerate(dataset):
            assert_same(found[k], atoms)
        assert np.array_equal(found.entropy, dataset.entropy)
    assert found.pbc.dtype == bool
    assert set(found.groups) == {""}
    assert not found.duplicate.any()
    if write is under_way:
        assert len(read_structures("set.h5.parts")) == len(found)


# Without loss


def full():
    """Structures with all kinds of things in info, arrays and results, which differ."""
    first, second, third = some()[:3]
    first.info |= {"number": 3, "real": 0.5, "flag": True, "text": "a", "vector": np.arange(3)}
    first.info |= {"nested": {"a": [1, 2]}, "energy": -2.0, "forces": "text", "index": 7}
    first.info |= {"long": 5000 * "x", "complex": 1j, "info:energy": 3, "jentmax_index": 4}
    first.set_array("spin", np.arange(2.0))
    first.set_array("forces", np.ones((2, 3)))
    first.set_array("names", np.array(["a", "b"]))
    first.calc = SinglePointCalculator(
        first, energy=-1.5, forces=np.full((2, 3), 0.25), stress=np.arange(6.0), magmom=1.0
    )
    second.info |= {"number": 2.5, "vector": np.arange(4), "text": 5, "array": np.zeros((2, 2))}
    second.set_array("spin", np.ones((3, 2)))
    second.calc = SinglePointCalculator(second, energy=0.5, charges=np.arange(3.0))
    return [first, second, third]


def same_value(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other


def assert_nothing_is_lost(found, given):
    for one, other in zip(found, given, strict=True):
        assert_same(one, other)
        for there, expected in (
            (one.info, other.info),
            (one.arrays, other.arrays),
            (getattr(one.calc, "results", {}), getattr(other.calc, "results", {})),
        ):
            assert there.keys() == expected.keys()
            for name in expected:
                assert same_value(there[name], expected[name]), name


def test_nothing_is_lost():
    given = full()
    structures = Structures.from_ase(given)
    assert_nothing_is_lost(structures.to_ase(), given)
    assert_nothing_is_lost(structures[::-1].to_ase(), given[::-1])
    again = Structures.from_ase(structures.to_ase())
    assert_nothing_is_lost(again, given)
    assert structures.reference_energy.tolist() == [-1.5, 0.5, None]
    one_by_one = Structures.concatenate([Structures.from_ase([atoms]) for atoms in given])
    assert_nothing_is_lost(one_by_one, given)


def test_what_they_hold_is_not_shared():
    given = full()
    structures = Structures.from_ase(given)
    structures[0].positions[:] = 0
    structures[0].info["vector"][:] = 0
    structures[0].arrays["spin"][:] = 0
    assert_nothing_is_lost(structures, full())


def test_through_a_file():
    """.traj keeps all that it has a place for; here nothing is lost on the way."""
    crystal = ase.build.bulk("W", cubic=True)
    crystal.info |= {"config_type": "bcc", "weight": 2.0}
    crystal.calc = SinglePointCalculator(crystal, energy=-1.5, forces=np.full((2, 3), 0.25))
    Structures.from_ase([crystal, crystal[:1]]).write("set.traj")
    assert_nothing_is_lost(read_structures("set.traj"), ase.io.read("set.traj", ":"))
    found = read_structures("set.traj")
    assert found.forces[0].tolist() == [0.25] * 3
    assert found[0].get_potential_energy() == -1.5


def test_columns_are_attributes():
    structures = Structures.from_ase(some())
    structures = dataclasses.replace(
        structures, columns={"x": np.arange(4)}, atom_columns={"y": np.arange(10)}
    )
    assert (structures.x[3], structures.y[9], structures[1:].x[0]) == (3, 9, 1)
    assert structures[1:2].y.tolist() == [2, 3, 4]
    with pytest.raises(AttributeError, match="no attribute or column 'z'"):
        _ = structures.z
    assert "4 with 10 atoms; x, y" in repr(structures)
    pickle.loads(pickle.dumps(structures))


@pytest.mark.parametrize(
    "change",
    [
        {"positions": np.zeros((9, 3))},
        {"positions": np.zeros((10, 2))},
        {"numbers": np.zeros(9)},
        {"cells": np.zeros((4, 3))},
        {"pbc": np.zeros((3, 3))},
        {"pointer": np.array([0, 2, 5, 8, 11])},
        {"pointer": np.array([0, 5, 2, 8, 10])},
        {"pointer": np.array([1, 2, 5, 8, 10])},
        {"columns": {"x": np.zeros(3)}},
        {"columns": {"x": np.zeros(())}},
        {"atom_columns": {"x": np.zeros(4)}},
    ],
)
def test_arrays_that_do_not_fit(change):
    with pytest.raises(JentmaxError, match="must"):
        dataclasses.replace(Structures.from_ase(some()), **change)


def test_no_such_structure():
    for k in (4, -5):
        with pytest.raises(IndexError, match=f"structure {k}: there are 4"):
            Structures.from_ase(some())[k]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("none.extxyz", None, ["none.extxyz: no such file", "give one that ASE reads"]),
        ("empty.extxyz", "", ["empty.extxyz is empty; give a file"]),
        ("notes.txt", "no structures here", ["notes.txt: neither its content", "(--format)"]),
        (
            "cut.extxyz",
            '3\npbc="T T T"\nW 0 0 0\n',
            ["cut.extxyz: a structure claims 3 atoms"],
        ),
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
    atoms = list(ase.io.iread(path))
    flagged = Structures.from_ase(atoms)
    assert flagged.duplicate.sum() == 222
    for one in atoms:
        del one.info["duplicate"]
    assert np.array_equal(Structures.from_ase(atoms).duplicate, flagged.duplicate)
    assert len(flagged) == 3526
    assert len(flagged.positions) == 43945
    assert np.sum(flagged.groups == "liquid") == 45
