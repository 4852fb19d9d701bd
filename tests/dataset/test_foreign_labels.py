"""Labels in the files of other programs: what goes in comes out, or is refused by its name."""

import json
import os
import warnings
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixCartesian

from jentmax.dataset import Structures, export, read_atoms, read_structures, refuse_output
from jentmax.errors import JentmaxError, LeftOut

connect: Any = ase.db.connect

LABELLED = ["out.extxyz", "out.extxyz.gz", "out.traj", "out.db", "out.json"]


def results(atoms):
    """What a calculator holds."""
    return getattr(atoms.calc, "results", {})


def labelled(**info):
    """A crystal with results of a calculator, arrays that ASE knows, and info."""
    atoms = bulk("W", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_momenta(np.ones((2, 3)))
    atoms.set_initial_charges([0.5, -0.5])
    atoms.set_tags([1, 2])
    atoms.info |= info
    values = {
        "energy": -1.5,
        "free_energy": -1.6,
        "forces": np.arange(6.0).reshape(2, 3),
        "stress": np.arange(6.0),
        "dipole": np.ones(3),
        "magmom": 1.5,
        "magmoms": np.array([1.0, 0.5]),
        "stresses": np.ones((2, 6)),
    }
    atoms.calc = SinglePointCalculator(atoms, **values)
    return atoms


def written(atoms, path):
    """A structure of a file that has another one, without labels, as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export([atoms, bulk("W")], path)
        return read_atoms(path)[0]


@pytest.mark.parametrize("name", [name for name in LABELLED if name != "out.json"])
def test_what_goes_in_comes_out(name):
    info = {
        "REF_energy": -25.912345678901,
        "REF_stress": np.arange(9.0) / 10,
        "virial": np.arange(9.0).reshape(3, 3),
        "config_type": "liquid 3000 K",
        "converged": True,
        "history": [1, 2, 4],
    }
    atoms = labelled(**info)
    read = written(atoms, name)
    assert read.info.keys() == info.keys()
    for key, value in info.items():
        assert np.array_equal(read.info[key], value)
    assert results(read).keys() == results(atoms).keys()
    for key, value in results(atoms).items():
        assert np.allclose(results(read)[key], value, rtol=0, atol=1e-8)
    for key, values in atoms.arrays.items():
        assert np.allclose(read.arrays[key], values, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["out.extxyz", "out.db", "out.json"])
def test_own_arrays(name):
    atoms = bulk("W", cubic=True)
    own = {
        "REF_forces": np.array([[0.1, -0.2, 0.3], [1, 2, 3]]),
        "fixed": np.array([True, False]),
        "kind": np.array(["bulk", "edge"]),
    }
    for key, values in own.items():
        atoms.set_array(key, values)
    read = written(atoms, name)
    for key, values in own.items():
        assert np.array_equal(read.arrays[key], values)


# Texts that extended XYZ has a meaning of its own for.
TEXTS = ["12", "T", "nan", "", "1 2 3", 'say "hi"', "C:\\new\\x", "two\nlines", "é", "a=b", "_JSON"]


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(
    "value",
    [
        *TEXTS,
        TEXTS,
        {"a": [np.float64(1.5), None], "b": np.arange(3)},
        10**30,
        [[1.5, 2], [3, 4]],
        float("inf"),
        np.float32(0.5),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_values_that_are_easily_changed(name, value):
    def plain(one):
        return json.loads(json.dumps(one, default=lambda array: array.tolist()))

    found = written(labelled_without_stresses(note=value), name).info["note"]
    assert plain(found) == plain(value)


def labelled_without_stresses(**info):
    atoms = bulk("W", cubic=True)
    atoms.info |= info
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5)
    return atoms


@pytest.mark.parametrize("name", LABELLED)
def test_what_stands_twice(name):
    """Once as a result, once in info or arrays: written once if it is the same."""
    atoms = labelled_without_stresses(energy=-1.5)
    results(atoms)["forces"] = np.ones((2, 3))
    atoms.set_array("forces", np.ones((2, 3)))
    values = results(written(atoms, name))
    assert values["energy"] == -1.5
    assert np.array_equal(values["forces"], np.ones((2, 3)))
    atoms.info["energy"] = -2.0
    if "extxyz" in name:
        with pytest.raises(JentmaxError, match=r"cannot hold energy \(two different values\)"):
            export([atoms], "other.extxyz")
    else:
        read = written(atoms, f"other_{name}")
        assert (read.info["energy"], results(read)["energy"]) == (-2.0, -1.5)


@pytest.mark.parametrize("name", LABELLED)
def test_results_of_other_names(name):
    """Such as the uncertainty of a potential: they stand in info."""
    atoms = labelled_without_stresses()
    results(atoms)["uncertainty"] = 0.25
    assert written(atoms, name).info["uncertainty"] == 0.25


@pytest.mark.parametrize("name", LABELLED)
def test_results_of_other_positions_are_none(name):
    atoms = labelled_without_stresses()
    start = atoms.positions.copy()
    atoms.positions[0] += 0.1
    assert written(atoms, name).calc is None
    assert "reference_energy" not in Structures.from_ase([atoms]).columns
    atoms.positions = start
    atoms.set_initial_magnetic_moments([1.0, 2.0])  # moves nothing
    assert results(written(atoms, f"other_{name}")) == {"energy": -1.5}


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(
    "constraint", [FixAtoms([1]), FixCartesian(1, [True, False, False]), FixBondLength(0, 1)]
)
def test_constraints(name, constraint):
    atoms = bulk("W", cubic=True)
    atoms.set_constraint(constraint)
    (again,) = Structures.from_ase([atoms])
    assert [one.todict() for one in again.constraints] == [constraint.todict()]
    if "extxyz" in name and "Bond" in type(constraint).__name__:
        with pytest.raises(JentmaxError, match=r"cannot hold constraints; write traj or db"):
            export([again], name)
        return
    read = written(again, name)
    aim = atoms.positions + np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.5]])
    for one in (atoms, read):
        one.set_positions(aim)
    assert np.allclose(atoms.positions, read.positions)
    assert not np.allclose(atoms.positions, aim)


@pytest.mark.parametrize("name", LABELLED)
def test_the_origin_of_a_cell(name):
    atoms = bulk("W", cubic=True)
    atoms.set_celldisp([0.5, 0.0, 0.25])
    assert np.array_equal(written(atoms, name).info["celldisp"], [0.5, 0.0, 0.25])


class Odd:
    """Something that no file holds."""


@pytest.mark.parametrize(
    ("name", "info", "arrays", "message"),
    [
        ("out.traj", {}, {"REF_forces": np.ones((2, 3))}, "REF_forces; write extxyz or db or json"),
        ("out.extxyz", {"odd": Odd()}, {}, "odd; no format here can: remove them first"),
        ("out.db", {"odd": b"bytes"}, {}, "odd; no format here can"),
        ("out.traj", {"odd": Odd()}, {"mine": np.ones(2)}, "odd, mine; no format"),
        ("out.extxyz", {}, {"hessian": np.ones((2, 3, 3))}, "hessian; write db or json"),
        ("out.extxyz", {}, {"tiny": np.array([1e-12, 2e-12])}, "tiny; write db or json"),
        ("out.extxyz", {}, {"kind": np.array(["a b", "c"])}, "kind; write db or json"),
        ("out.extxyz", {}, {"a:b": np.ones(2)}, "a:b; write db or json"),
        ("out.extxyz", {"uneven": [[1, 2], [3]]}, {}, "uneven; write traj or db"),
        ("out.extxyz", {"Lattice": "mine"}, {}, "Lattice; write traj or db"),
    ],
)
def test_what_a_format_cannot_hold(name, info, arrays, message):
    atoms = labelled(**info)
    for key, values in arrays.items():
        atoms.set_array(key, values)
    # The first structure is not the one that shows it.
    for refuse in (
        lambda: export([bulk("W"), atoms], name),
        lambda: refuse_output(name, structures=[bulk("W"), atoms]),
    ):
        with pytest.raises(JentmaxError, match=message) as raised:
            refuse()
        assert f"{name}: the format {name.split('.')[1]} cannot hold" in str(raised.value)
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("poscars/", None),
        ("out.cif", None),
        ("out.xsf", None),
        ("out.pdb", None),
        ("XDATCAR", None),
        ("folder/", "lammps-data"),
        ("folder/", "gen"),
        ("folder/", "cfg"),
    ],
)
def test_formats_of_geometry_say_what_they_leave_out(name, format):
    atoms = labelled(config_type="bulk")
    with pytest.warns(LeftOut, match=r"does not hold .*config_type.*energy.*; left out") as told:
        export([atoms], name, format)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export([bulk("W", cubic=True)], "pure/")


def test_descriptors_may_be_left_out():
    """They can be computed again; labels cannot."""
    atoms = bulk("W", cubic=True)
    atoms.set_array("descriptors", np.ones((2, 6)))
    with pytest.warns(LeftOut, match="does not hold descriptors; left out"):
        export([atoms], "out.traj")


def test_a_value_that_the_first_atom_lacks():
    atoms = bulk("W", cubic=True)
    atoms.set_array("site", np.array([None, 1], object))
    (back,) = Structures.from_ase([atoms])
    assert back.arrays["site"].tolist() == [None, 1]


def test_a_name_without_letters():
    with pytest.raises(JentmaxError, match="cannot hold ''; "):
        export([labelled(**{"": 1j})], "out.extxyz")


def test_a_format_whose_files_are_folders():
    with pytest.warns(LeftOut, match="bundletrajectory does not hold a, "):
        export([labelled(a=1), labelled(a=1.5)], "out.bundle", "bundletrajectory")


def test_key_value_pairs_of_a_database():
    with connect("in.db") as database:
        for k in range(2):
            data = {"dos": np.arange(3.0), "nested": {"a": [1, {"b": np.arange(2)}]}, "group": "x"}
            atoms = labelled_without_stresses()
            database.write(atoms, group=f"g{k}", bandgap=0.5 * k, relaxed=True, data=data)
    structures = read_structures("in.db")
    assert structures.columns["group"].tolist() == ["g0", "g1"]
    structures.write("out.extxyz")
    structures.write("out.db")
    for path in ("in.db", "out.extxyz", "out.db"):
        info = read_atoms(path)[1].info
        assert (info["group"], info["bandgap"], info["relaxed"]) == ("g1", 0.5, True)
        assert info["data_group"] == "x"
        assert np.array_equal(info["dos"], np.arange(3))
        assert np.array_equal(info["nested"]["a"][1]["b"], np.arange(2))
    with connect("out.db") as database:
        (row,) = database.select("group=g1,relaxed=True")
        assert row.key_value_pairs == {
            "group": "g1",
            "bandgap": 0.5,
            "relaxed": True,
            "data_group": "x",
        }
        assert np.array_equal(row.data["dos"], np.arange(3))
        assert row.energy == -1.5


def test_names_that_databases_keep_for_themselves():
    info = {"id": 3, "mass": 1.5, "W": 2, "two words": 1, "text": "12", "energy": -3.0}
    atoms = bulk("W", cubic=True)
    atoms.info |= info
    assert written(atoms, "out.db").info == info


def test_a_space_group_is_its_symbol():
    ase.io.write("in.cif", bulk("W", cubic=True))
    assert read_atoms("in.cif")[0].info["spacegroup"] == "P 1"
    for name in ("out.extxyz", "out.traj", "out.db"):
        export(read_atoms("in.cif"), name)
        info = read_atoms(name)[0].info
        assert (info["spacegroup"], info["unit_cell"]) == ("P 1", "conventional")
    atoms = bulk("W", cubic=True)
    atoms.info["occupancy"] = {"0": {"W": 0.5, "Ta": 0.5}, "1": {"W": 1.0}}
    atoms.set_array("spacegroup_kinds", np.arange(2))
    ase.io.write("in.cif", atoms)
    assert read_atoms("in.cif")[0].info["occupancy"]["0"] == {"W": 0.5, "Ta": 0.5}


def test_no_energy_is_made_up():
    """ASE gives structures of LAMMPS dumps with forces the energy 0."""
    lines = "ITEM: TIMESTEP|0|ITEM: NUMBER OF ATOMS|1|ITEM: BOX BOUNDS pp pp pp|0 3|0 3|0 3|"
    lines += "ITEM: ATOMS id type element x y z fx fy fz c_pe|1 1 W 0 0 0 1 2 3 -4.5|"
    with open("md.dump", "w") as file:
        file.write(lines.replace("|", "\n"))
    (atoms,) = read_atoms("md.dump")
    assert results(atoms).keys() == {"forces"}
    assert atoms.arrays["c_pe"] == [-4.5]
    export([atoms], "out.extxyz")
    assert "energy" not in results(ase.io.read("out.extxyz"))
