"""Other programs' files: which format they are of, and that all of them is read, or refused."""

import gzip
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from jentmax.dataset import read_atoms, read_structures
from jentmax.errors import JentmaxError


def frame(comment="", rows=("W 0 0 0", "W 1.5 1.5 1.5"), properties="species:S:1:pos:R:3"):
    first = f'Lattice="3 0 0 0 3 0 0 0 3" Properties={properties} {comment}'
    return "\n".join([str(len(rows)), first, *rows, ""])


ONE = frame()
PLAIN = "2\n{}\nW 0 0 0\nW 1 1 1\n"


@pytest.mark.parametrize(
    ("content", "n"),
    [
        (3 * ONE, 3),
        (f"{ONE}\n{ONE}  \n\n{ONE}", 3),
        (f"\n{ONE}{ONE}\n\n \n", 2),
        (ONE[:-1], 1),
        (2 * ONE.replace("\n", "\r\n"), 2),
        ((ONE + "\n" + ONE).replace("\n", "\r"), 2),
        ("\ufeff" + ONE, 1),
        (PLAIN.format("7") + PLAIN.format("3 4") + PLAIN.format("2"), 3),
        (PLAIN.format("") + "\n" + PLAIN.format(""), 2),
        (PLAIN.format("").replace("W", "74"), 1),
        ("1\n\nW 0 0 0\nVEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 3\n\n" + ONE, 2),
        (ONE + frame(rows=("Fe 0 0 0",)) + frame(rows=("O 0 0 0", "H 1 1 1", "H 2 2 2")), 3),
    ],
)
@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.extxyz.gz", "train", "a.dat", "POSCAR"])
def test_every_structure_of_an_xyz_file(name, content, n):
    """Whatever the file is called, and whatever blank lines and line ends it has."""
    data = content.encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    structures = read_structures(name)
    assert len(structures) == n
    assert structures.numbers.min() > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (2 * ONE + ONE[: ONE.rindex("W")], "structure 2, which begins in line 9; it is cut off"),
        (ONE[:-9], "structure 0 has 2 values in line 4, must be 4"),
        (ONE + "END\n", "line 5, 'END', is not the number of atoms with which structure 1"),
        ("2\nW 0 0 0\nW 1 1 1\n" + ONE, "structure 0 has 1 values in line 4"),
        (frame(rows=("W 0 0 0 1",)), "structure 0 has 5 values in line 3, must be 4"),
        (frame("energy=1 energy=2"), "structure 0 has energy twice in line 2"),
        (
            frame(rows=("W 0 0 0 1 1",), properties="species:S:1:pos:R:3:f:R:1:f:R:1"),
            "two columns f",
        ),
        (
            frame(rows=("W 0 0 0 1 1",), properties="species:S:1:pos:R:3:charge:R:1:charges:R:1"),
            "two columns charges",
        ),
        (ONE + frame(rows=("Q 0 0 0",)), "structure 1, which begins in line 5, cannot be read"),
    ],
)
def test_xyz_files_of_which_something_would_be_lost(content, message):
    Path("a.extxyz").write_text(content)
    with pytest.raises(JentmaxError, match=message):
        read_structures("a.extxyz")


def results(atoms):
    """What a calculator holds."""
    return getattr(atoms.calc, "results", {})


def read(content, name="a.extxyz"):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (atoms,) = read_atoms(name)
    return atoms


def test_columns_without_a_name():
    """Forces beside the positions of a plain XYZ file, for example."""
    for comment in ("", "made by hand"):
        atoms = read(f"2\n{comment}\nW 0 0 0 1 2 3\nW 1 1 1 4 5 6\n")
        assert np.array_equal(atoms.arrays["unnamed"], [[1, 2, 3], [4, 5, 6]])
    atoms = read("1\n\nW 0 0 0 core\n")
    assert atoms.arrays["unnamed"].tolist() == ["core"]


def test_comments_that_ase_stumbles_over():
    atoms = read(frame('stress="1 2 3 4 5 6" virial="1 2 3 4 5 6" note="stress = 3"'))
    assert np.array_equal(results(atoms)["stress"], np.arange(1, 7))
    assert np.array_equal(atoms.info["virial"], np.arange(1, 7))
    assert atoms.info["note"] == "stress = 3"
    assert read(frame("note=Å").encode("latin-1")).info["note"] == "Å"
    assert read(frame('note="Å ü"'), "Å.extxyz").info["note"] == "Å ü"
    assert read(frame('pbc="T T F"')).pbc.tolist() == [True, True, False]
    assert results(read(frame("energy=-1.5", rows=("W 0 0 0",)))) == {"energy": -1.5}
    ase.io.write("POSCAR", bulk("W"))
    words = Path("POSCAR").read_bytes().split(b"\n", 1)
    assert len(read("Wölfram\n".encode("latin-1") + words[1], "POSCAR")) == 1


# Other formats


def test_a_format_that_is_named():
    ase.io.write("data.what", bulk("W"), "vasp")
    with pytest.raises(JentmaxError, match=r"neither its content nor its name .*\(--format\)"):
        read_structures("data.what")
    assert len(read_structures("data.what", "vasp")) == 1
    with pytest.raises(JentmaxError, match=r"data.what: ASE cannot read it as 'cif' \(.*--format"):
        read_structures("data.what", "cif")
    with pytest.raises(JentmaxError, match=r"--format vaps: .* choose one such as vasp"):
        read_structures("data.what", "vaps")
    Path("train.dat").write_text("some other program's")
    with pytest.raises(JentmaxError, match="ASE cannot read it as 'gamess-us-punch'"):
        read_structures("train.dat")
    Path("a.cif").write_text(PLAIN.format("not a CIF"))
    assert len(read_structures("a.cif")) == 1
    assert len(read_structures("a.cif", "xyz")) == 1


HEAD = """<?xml version="1.0"?>
<modeling><generator><i name="program" type="string">vasp</i></generator>
<incar></incar><kpoints></kpoints><parameters></parameters><atominfo><atoms>1</atoms>
<array name="atoms"><set><rc><c>W </c><c>1</c></rc></set></array></atominfo>
<structure name="initialpos"><crystal><varray name="basis"><v>3 0 0</v><v>0 3 0</v><v>0 0 3</v>
</varray></crystal><varray name="positions"><v>0 0 0</v></varray></structure>
"""
STEP = """<calculation>
<scstep><energy><i name="e_fr_energy">-5.1</i><i name="e_0_energy">-5.05</i></energy></scstep>
<structure><crystal><varray name="basis"><v>3 0 0</v><v>0 3 0</v><v>0 0 3</v></varray></crystal>
<varray name="positions"><v>0 0 0</v></varray></structure>
<varray name="forces"><v>0 0 0</v></varray>
<varray name="stress"><v>1 0 0</v><v>0 1 0</v><v>0 0 1</v></varray>
<energy><i name="e_fr_energy">-5.1</i><i name="e_0_energy">-5.05</i></energy></calculation>
"""


def dump(*steps):
    """Of LAMMPS, with so many lines of two atoms in each step."""
    lines = []
    for n_lines in steps:
        lines += ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", "2"]
        lines += ["ITEM: BOX BOUNDS pp pp pp", "0 3", "0 3", "0 3", "ITEM: ATOMS id type x y z"]
        lines += [f"{k + 1} 1 {k} 0 0" for k in range(n_lines)]
    return "\n".join([*lines, ""])


def copies(n, name, format=None):
    ase.io.write("one", bulk("W", cubic=True), format or name)
    return n * Path("one").read_text()


@pytest.mark.parametrize(
    ("name", "content", "n"),
    [
        ("vasprun.xml", lambda: HEAD + 2 * STEP + "</modeling>\n", 2),
        ("vasprun.xml", lambda: HEAD + STEP + STEP[:300], "its end is missing"),
        ("vasprun.xml", lambda: HEAD + 2 * STEP, "its end is missing"),
        ("md.dump", lambda: dump(2, 2), 2),
        ("md.dump", lambda: dump(2, 1), "structure 1 claims 2 atoms and has 1|cannot read"),
        ("md.dump", lambda: dump(2, 0), "structure 1 claims 2 atoms and has 0|cannot read"),
        ("XDATCAR", lambda: copies(2, "vasp-xdatcar"), 2),
        ("POSCAR", lambda: copies(1, "vasp"), 1),
        ("POSCAR", lambda: copies(1, "vasp") + "\n0.1 0 0\n 0 0.1E+00 0\n", 1),
        ("CONTCAR", lambda: copies(1, "vasp") + "Cartesian\n0.1 0 0\n0 0 0\n", 1),
        ("POSCAR", lambda: copies(2, "vasp"), "something stands after its one structure"),
        ("a.gen", lambda: copies(2, "gen"), "holds 2 structures, and 1 of them"),
        ("a.cif", lambda: copies(2, "cif"), 2),
        ("coord", lambda: copies(2, "turbomole"), "holds 2 structures, and 1 of them"),
        ("a.pdb", lambda: copies(2, "proteindatabank"), 2),
    ],
)
def test_every_step_of_other_formats(name, content, n):
    Path(name).write_text(content())
    if isinstance(n, int):
        assert len(read_atoms(name)) == n
        return
    with pytest.raises(JentmaxError, match=n) as raised:
        read_atoms(name)
    assert name in str(raised.value)


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json", "a.extxyz.gz"])
@pytest.mark.parametrize("left", [0.5, 0.9, 0.99])
def test_files_that_are_cut_off(name, left):
    ase.io.write(name, [bulk("W", cubic=True)] * 3)
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: int(left * len(data))])
    if (name, left) == ("a.db", 0.99):
        assert len(read_structures(name)) == 3  # SQLite's lists at the end are not needed
        return
    with pytest.raises(JentmaxError, match=rf"{name}\b.*read"):
        read_structures(name)


def test_what_is_no_file():
    os.mkfifo("pipe")
    os.symlink("nowhere", "dangling")
    Path("none.extxyz").touch()
    Path("damaged.gz").write_bytes(b"no gzip")
    for name, message in (
        ("pipe", "is no regular file"),
        ("dangling", "no such file"),
        ("none.extxyz", "is empty"),
        ("damaged.gz", "cannot be read: Not a gzipped file"),
    ):
        with pytest.raises(JentmaxError, match=f"{name}.*{message}"):
            read_structures(name)
