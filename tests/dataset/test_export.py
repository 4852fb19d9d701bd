"""Structures in the files of other programs, read back by ASE."""

import os

import ase
import ase.db
import ase.io
import numpy as np
import pytest
from dataset_files import accepted, finished, ids, under_way

from jentmax.dataset import Dataset, Structures, export, refuse_output
from jentmax.errors import JentmaxError

# What formats do not hold is tested in test_labels.py.
pytestmark = pytest.mark.filterwarnings("ignore::jentmax.errors.LeftOut")

INDICES = [0, 1, 2, 3, 4, 5]
POSCARS = [f"POSCAR_{index:05d}" for index in INDICES]


@pytest.fixture
def dataset(tmp_path_factory):
    with Dataset(finished(tmp_path_factory.mktemp("data") / "set.h5", n=6)) as dataset:
        yield dataset


def assert_same_structures(written, structures, tolerance):
    assert len(written) == len(structures)
    for read, atoms in zip(written, structures, strict=True):
        assert read.symbols.get_chemical_formula() == atoms.symbols.get_chemical_formula()
        assert np.array_equal(read.numbers, atoms.numbers)
        assert np.abs(read.positions - atoms.positions).max() <= tolerance
        assert np.abs(read.cell.array - atoms.cell.array).max() <= tolerance
        assert read.pbc.all()


# tolerances in Å are what the formats' digits allow
@pytest.mark.parametrize(
    ("name", "format", "tolerance"),
    [
        ("set.extxyz", None, 1e-8),
        ("set.xyz", None, 1e-8),
        ("set.extxyz.gz", None, 1e-8),
        ("set.traj", None, 0),
        ("set.db", None, 0),
        ("set.json", None, 0),
        ("XDATCAR.dat", "extxyz", 1e-8),  # the format counts, not the name
    ],
)
def test_one_file(dataset, tmp_path, name, format, tolerance):
    export(dataset, tmp_path / name, format)
    assert os.listdir(tmp_path) == [name]
    written = ase.io.read(tmp_path / name, ":", format=format)
    assert_same_structures(written, list(dataset), tolerance)


@pytest.mark.parametrize("name", ["set.extxyz", "set.traj"])
def test_info_goes_along(dataset, tmp_path, name):
    export(dataset, tmp_path / name)
    for read, atoms in zip(ase.io.iread(tmp_path / name), dataset, strict=True):
        assert read.info.keys() == atoms.info.keys()
        assert all(read.info[key] == pytest.approx(atoms.info[key], rel=1e-7) for key in atoms.info)


def test_descriptors_go_along_in_extxyz(dataset, tmp_path):
    export(dataset, tmp_path / "set.extxyz")
    for read, atoms in zip(ase.io.iread(tmp_path / "set.extxyz"), dataset, strict=True):
        written, expected = read.arrays["descriptors"], atoms.arrays["descriptors"]
        assert written.shape == expected.shape
        assert np.allclose(written, expected, atol=1e-8)


def test_databases_can_be_searched(dataset, tmp_path):
    export(dataset, tmp_path / "set.db")
    (row,) = ase.db.connect(tmp_path / "set.db").select("jentmax_index=3")
    assert row.entropy == dataset[3].info["entropy"]
    assert np.array_equal(row.data["descriptors"], dataset[3].arrays["descriptors"])


def test_a_part_of_the_structures(dataset, tmp_path):
    export(dataset[1:3], tmp_path / "set.extxyz")
    written = ase.io.iread(tmp_path / "set.extxyz")
    assert [atoms.info["jentmax_index"] for atoms in written] == [1, 2]


@pytest.mark.parametrize("write", [finished, under_way])
def test_all_that_hold_structures(tmp_path, write):
    """A data set, some of it, and a list of atoms."""
    write(tmp_path / "set.h5")
    expected = accepted(ids())
    with Dataset(tmp_path / "set.h5") as dataset:
        for given in (dataset, dataset.structures(), list(dataset), expected):
            export(given, tmp_path / "set.extxyz", overwrite=True)
            assert_same_structures(ase.io.read(tmp_path / "set.extxyz", ":"), list(dataset), 1e-8)
        dataset.structures(slice(2)).write(tmp_path / "few.traj")
        assert len(ase.io.read(tmp_path / "few.traj", ":")) == 2
    expected[:3].write(f"{tmp_path}/folder/", "lammps-data")
    assert len(os.listdir(tmp_path / "folder")) == 3


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("old.extxyz", None, "exists"),
        ("none/new.extxyz", None, "there is no folder"),
        ("new", None, "no ending"),
        ("old.extxyz", "vasp", "is a file"),
        ("folder/", None, "POSCAR_00000 exists"),
    ],
)
def test_outputs_are_refused_beforehand(tmp_path, name, format, message):
    (tmp_path / "old.extxyz").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "POSCAR_00000").write_text("mine")
    for refuse in (refuse_output, lambda *given: export(Structures.from_ase([]), *given)):
        with pytest.raises(JentmaxError, match=f"{message}|there are no structures"):
            refuse(f"{tmp_path}/{name}", format)
    refuse_output(tmp_path / "new.extxyz")
    refuse_output(tmp_path / "old.extxyz", overwrite=True)
    refuse_output(f"{tmp_path}/folder/", overwrite=True)


# Folders


@pytest.mark.parametrize(
    ("name", "make", "format"),
    [
        ("new/", False, None),
        ("old", True, None),
        ("new", False, "vasp"),
        ("new.poscar", False, None),
    ],
)
def test_folder_of_poscars(dataset, tmp_path, name, make, format):
    folder = tmp_path / name
    if make:
        folder.mkdir()
        (folder / "INCAR").write_text("mine")
    export(dataset, f"{tmp_path}/{name}", format)
    assert sorted(os.listdir(folder)) == ["INCAR"] * make + POSCARS
    assert len(os.listdir(tmp_path)) == 1
    for file, atoms in zip(POSCARS, dataset, strict=True):
        [read] = ase.io.iread(folder / file)
        by_symbol = atoms[np.argsort(atoms.symbols, kind="stable")]
        assert np.array_equal(read.numbers, by_symbol.numbers)
        assert np.allclose(np.sort(read.positions, 0), np.sort(by_symbol.positions, 0), atol=1e-14)
        # grouped: each species once, as a POTCAR has it
        symbols = (folder / file).read_text().splitlines()[5].split()
        assert symbols == sorted(set(atoms.symbols))


def test_other_formats_with_one_structure_per_file(dataset, tmp_path):
    export(dataset, f"{tmp_path}/new/", "lammps-data")
    files = sorted(os.listdir(tmp_path / "new"))
    assert files == [f"structure_{index:05d}.lammps-data" for index in INDICES]
    read = ase.io.read(tmp_path / "new" / files[3], format="lammps-data")
    assert len(read) == len(dataset[3])


def test_one_structure_makes_a_folder_too(dataset, tmp_path):
    export(dataset[:1], tmp_path / "new", "vasp")
    assert os.listdir(tmp_path / "new") == POSCARS[:1]


def test_structures_of_the_same_name(dataset, tmp_path):
    with pytest.raises(JentmaxError, match="same jentmax_index"):
        export([dataset[0], dataset[0]], f"{tmp_path}/new/")
    assert os.listdir(tmp_path) == []


# What exists


@pytest.mark.parametrize("name", ["set.extxyz", "set.db", "set.traj"])
def test_existing_files(dataset, tmp_path, name):
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(JentmaxError, match=f"{name} exists"):
        export(dataset, path)
    assert path.read_text() == "mine"
    export(dataset, path, overwrite=True)
    assert len(ase.io.read(path, ":")) == 6
    assert os.listdir(tmp_path) == [name]


def test_existing_folders(dataset, tmp_path):
    export(dataset, f"{tmp_path}/new/")
    (tmp_path / "new" / "INCAR").write_text("mine")
    (tmp_path / "new" / "POSCAR_00002").write_text("mine")
    with pytest.raises(JentmaxError, match="POSCAR_00000 exists"):
        export(dataset[:3], f"{tmp_path}/new/")
    assert (tmp_path / "new" / "POSCAR_00002").read_text() == "mine"
    export(dataset[:3], f"{tmp_path}/new/", overwrite=True)
    # those of the larger set are gone, as they would be taken for this one's
    assert sorted(os.listdir(tmp_path / "new")) == ["INCAR", *POSCARS[:3]]
    assert len(ase.io.read(tmp_path / "new" / "POSCAR_00002")) == len(dataset[2])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_where_a_folder_should_be(dataset, tmp_path, overwrite):
    (tmp_path / "new").write_text("mine")
    with pytest.raises(JentmaxError, match="is a file; 'vasp' takes a folder"):
        export(dataset, tmp_path / "new", "vasp", overwrite=overwrite)
    assert (tmp_path / "new").read_text() == "mine"


# What cannot be written


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("set", None, "no ending that determines the format"),
        ("set.extxzy", None, "no format 'extxzy'; choose one such as extxyz"),
        ("set.extxyz", "vaps", "no format 'vaps'; choose one such as vasp"),
        ("set.h5", None, "no format 'h5'"),
        ("set.h5", "jentmax", "no format 'jentmax'"),
        ("none/set.extxyz", None, "there is no folder"),
        ("none/new/", None, "there is no folder"),
        ("x" * 250 + ".extxyz", None, "cannot be written"),
    ],
)
def test_errors(dataset, tmp_path, name, format, message):
    with pytest.raises(JentmaxError, match=message):
        export(dataset, f"{tmp_path}/{name}", format)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["set.extxyz", "new/"])
def test_nothing_to_write(tmp_path, name):
    with pytest.raises(JentmaxError, match="no structures"):
        export([], f"{tmp_path}/{name}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "format"), [("set.traj", "traj"), ("new/", "vasp")])
def test_a_writer_that_fails_leaves_nothing(dataset, tmp_path, name, format):
    structures = [*dataset[:2], ase.Atoms("W", info={"jentmax_index": 2})]
    structures[2].positions = np.nan if format == "traj" else 0.0  # POSCARs need a cell
    message = "ASE cannot write it as 'vasp'"
    if format == "traj":
        structures[2] = "no atoms at all"
        (tmp_path / name).write_text("mine")
        message = "structure 2 is of the type str"
    with pytest.raises(JentmaxError, match=message):
        export(structures, f"{tmp_path}/{name}", format, overwrite=True)
    if format == "traj":
        assert (tmp_path / name).read_text() == "mine"
    assert os.listdir(tmp_path) == ["set.traj"] * (format == "traj")


def test_two_species_are_grouped(tmp_path):
    atoms = ase.Atoms("WTaWTa", positions=np.diag([1.0, 2, 3, 4])[:, :3], cell=9 * np.eye(3))
    export([atoms], f"{tmp_path}/new/")
    lines = (tmp_path / "new" / "POSCAR_00000").read_text().splitlines()
    assert (lines[5].split(), lines[6].split()) == (["Ta", "W"], ["2", "2"])
