"""Files that commands read and write: what they would lose or destroy, they say or refuse."""

import os
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from jentmax.dataset import refuse_inputs
from jentmax.descriptors import Snap
from jentmax.evaluation import describe

FEW = "--set descriptor.twojmax=2 --set descriptor.components=5 --set descriptor.cutoff=3.4"


@pytest.fixture
def pool():
    """Five labelled crystals."""
    structures = []
    for k in range(5):
        atoms = bulk("W", cubic=True)
        atoms.rattle(0.03 * (k + 1), seed=k)
        atoms.info |= {"REF_energy": -10.0 - k, "config_type": f"kind {k}"}
        atoms.set_array("REF_forces", np.full((2, 3), 0.1 * k))
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * k)
        structures.append(atoms)
    ase.io.write("pool.extxyz", structures)
    return structures


def test_what_an_output_cannot_hold_is_said_before_any_work(call, pool, monkeypatch):
    def work(*_, **__):
        raise AssertionError("work")

    monkeypatch.setattr("jentmax.evaluation._select.described", work)
    before = sorted(os.listdir())
    code, _, errors = call(f"select pool.extxyz --structures 2 -o best.traj {FEW}")
    assert code == 2
    assert "the format traj cannot hold REF_forces; write extxyz or db or json" in errors
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("output", ["best.extxyz", "best.db", "best.json"])
def test_labels_go_along(good, pool, output):
    good(f"select pool.extxyz --structures 3 -o {output} {FEW}")
    good(f"select {output} --structures 2 -o again.extxyz {FEW}")
    for atoms in ase.io.iread("again.extxyz"):
        (same,) = (one for one in pool if one.info["REF_energy"] == atoms.info["REF_energy"])
        assert atoms.info["config_type"] == same.info["config_type"]
        assert np.allclose(atoms.arrays["REF_forces"], same.arrays["REF_forces"])
        assert atoms.get_potential_energy() == same.get_potential_energy()


def test_what_is_left_out_is_said(good, pool):
    output = good(f"select pool.extxyz --structures 2 -o poscars/ {FEW}")
    assert output.count("note: ") == 1
    (note,) = (line for line in output.splitlines() if line.startswith("note: "))
    for name in ("REF_energy", "REF_forces", "config_type", "energy"):
        assert name in note
    output = good(f"describe pool.extxyz -o described.h5 {FEW}")
    first = output.splitlines()[0]
    assert first.startswith(
        "note: described.h5 will not contain REF_energy, REF_forces, config_type,"
    )
    assert good("export described.h5 out.traj").startswith("note: out.traj: the format traj")


def test_what_is_left_out_has_the_names_of_the_file(good, pool):
    names = ("reference_energy", "energy_effective", "jentmax_index", "selection_rank")
    for atoms in pool:
        atoms.info |= dict.fromkeys(names, 7)
    ase.io.write("pool.extxyz", pool)
    first = good(f"describe pool.extxyz -o described.h5 {FEW}").splitlines()[0]
    assert {*names, "energy"} <= {*first.replace(";", ",").replace("contain ", ", ").split(", ")}
    output = good(f"select pool.extxyz --structures 2 -o best.extxyz {FEW}")
    assert "\nnote: best.extxyz will have new values of selection_rank; the old" in output


def test_two_formats_of_one_name(good, pool):
    good(f"select pool.extxyz --structures 2 -o best.extxyz {FEW}")
    good(f"select pool.extxyz --structures 2 -o best.db {FEW}")
    assert Path("best.extxyz.png").exists()
    assert Path("best.db.png").exists()


def test_repeated_structures_can_be_kept(call, pool):
    ase.io.write("pool.extxyz", [*pool, pool[0]])
    code, _, errors = call(f"select pool.extxyz --structures 6 -o best.extxyz {FEW}")
    assert code == 2
    assert "ask for fewer, or keep the duplicates (--duplicates keep)" in errors


# Formats


def test_formats_are_named(call, good, pool):
    os.rename("pool.extxyz", "train.dat")  # plainly extended XYZ
    ase.io.write("given", pool[:1], "vasp")
    good(
        f"select train.dat --structures 2 --given given --given-format vasp -o best "
        f"--output-format extxyz {FEW}"
    )
    assert len(ase.io.read("best", ":", "extxyz")) == 2
    good(f"describe given --format vasp -o described.h5 {FEW}")
    good("export described.h5 out --output-format extxyz")
    good("export described.h5 out2 --format extxyz")
    for line, message in (
        ("select train.dat --structures 2 -o nothing", "(--output-format)"),
        (f"describe given -o other.h5 {FEW}", "(--format)"),
        (f"describe given --format cif -o other.h5 {FEW}", "ASE cannot read it as 'cif'"),
        ("evaluate given train.dat given2 --format vasp --format xyz", "--format is given 2 times"),
    ):
        Path("given2").write_text(Path("given").read_text())
        code, _, errors = call(line)
        assert code == 2
        assert message in errors


# Precision


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ("", np.float32),
        ("--precision float64", np.float64),
        ("--set precision=float64", np.float64),
        ("--set precision=float64 --precision float32", np.float32),
    ],
)
def test_the_precision_of_descriptors(good, pool, options, dtype):
    good(f"describe pool.extxyz -o described.h5 {FEW} {options}")
    expected = describe(pool, Snap(cutoff=3.4, twojmax=2, components=5)).features
    with h5py.File("described.h5") as file:
        descriptors = file["atoms/descriptors"]
        assert isinstance(descriptors, h5py.Dataset)
        assert descriptors.dtype == dtype
        # The file has eight digits of the positions, which are those of the crystals.
        read = list(ase.io.iread("pool.extxyz"))
        read = describe(read, Snap(cutoff=3.4, twojmax=2, components=5))
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(descriptors[()], read.features, rtol=tolerance)
    assert np.allclose(expected, read.features, rtol=1e-5)
    good("describe described.h5 -o again.h5")
    with h5py.File("again.h5") as file:
        descriptors = file["atoms/descriptors"]
        assert isinstance(descriptors, h5py.Dataset)
        assert descriptors.dtype == dtype


# An output that is an input


def inputs():
    """One file by four names, in and beside a folder."""
    os.mkdir("folder")
    ase.io.write("pool.extxyz", [bulk("W", cubic=True)] * 2)
    os.link("pool.extxyz", "hard.extxyz")
    os.symlink("pool.extxyz", "soft.extxyz")
    os.link("pool.extxyz", "folder/POSCAR_00000")
    os.symlink("folder", "other")
    return Path("pool.extxyz").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "select pool.extxyz --structures 1 -o pool.extxyz",
        "select pool.extxyz --structures 1 -o ./folder/../pool.extxyz",
        "select pool.extxyz --structures 1 -o hard.extxyz",
        "select pool.extxyz --structures 1 -o soft.extxyz",
        "select soft.extxyz --structures 1 -o hard.extxyz",
        "select pool.extxyz --structures 1 -o folder/",
        "select folder/POSCAR_00000 --structures 1 -o other",
        "select folder/POSCAR_00000 --format extxyz --structures 1 -o .",
        "select run.toml --structures 1 --given pool.extxyz -o hard.extxyz",
        "select pool.extxyz --structures 1 --settings run.toml -o run.toml --output-format extxyz",
        "select pool.extxyz --structures 1 -o new.extxyz --figure hard.extxyz",
        "describe pool.extxyz -o hard.extxyz",
        "describe pool.extxyz --settings run.toml -o run.toml",
        "generate run.toml -o run.toml",
        "describe set.h5 -o set.h5",
        "export set.h5 set.h5",
        "export set.h5 set.h5.parts/",
        "export soft.extxyz hard.extxyz",
        "evaluate folder/POSCAR_00000 run.toml -o folder",
        "evaluate hard.extxyz run.toml -o folder",
        "evaluate folder/POSCAR_00000 run.toml -o other",
    ],
)
def test_an_output_that_is_an_input(call, line):
    content = inputs()
    Path("run.toml").touch()
    os.mkdir("set.h5.parts")
    before = sorted(map(str, Path().rglob("*")))
    code, _, errors = call(f"{line} --overwrite")
    assert code == 2
    assert "which is read" in errors or "--figure hard.extxyz: its ending" in errors
    assert sorted(map(str, Path().rglob("*"))) == before
    assert Path("pool.extxyz").read_bytes() == content
    assert Path("run.toml").read_bytes() == b""


def test_outputs_that_are_no_inputs():
    inputs()
    for output in ("new.extxyz", "new/", "folder/new.extxyz"):
        refuse_inputs(output, ["pool.extxyz", None, "soft.extxyz"])
