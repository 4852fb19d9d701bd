"""Files from elsewhere: they run nothing, lead nowhere, and take no more memory than they hold."""

import bz2
import gzip
import pickle
from pathlib import Path

import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from dataset_files import HEADER, accepted, described, edit, finished, ids

from jentmax.dataset import Dataset, _hdf5, _reading, export, printable, read_atoms, read_structures
from jentmax.errors import JentmaxError

CLEAR_SCREEN = "\x1b[2J"
COLUMN = "structures/energy"
N = len(accepted(ids()))


def replaced(path, make, name=COLUMN):
    """The file with another object in a column's place."""

    def change(file):
        values = file[name][()]
        del file[name]
        make(file, name, values)

    return edit(path, change)


def link(target):
    def make(file, name, values):
        file[name] = target

    return make


def other_file(name, values):
    with h5py.File("other.h5", "w") as file:
        file[name] = values


def virtual(file, name, values):
    other_file("x", values)
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "x", values.shape)
    file.create_virtual_dataset(name, layout)


def stored_elsewhere(file, name, values):
    Path("numbers").write_bytes(values.tobytes())
    file.create_dataset(name, values.shape, values.dtype, external=[("numbers", 0, values.nbytes)])


def unknown_filter(file, name, values):
    file.create_dataset(name, data=values, chunks=True, compression="lzf")


def packed_twice(file, name, values):
    """Each gzip may make a thousand bytes of one, two a million."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk(values.shape)
    for _ in range(2):
        layout.set_deflate(9)
    space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
    h5py.h5d.create(file.id, name.encode(), kind, space, layout).write(
        h5py.h5s.ALL, h5py.h5s.ALL, values
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link(h5py.SoftLink("/structures/entropy")), "energy is a link to something else"),
        (link(h5py.ExternalLink("other.h5", "/x")), "energy is a link to something else"),
        (link(h5py.ExternalLink("/etc/passwd", "/x")), "energy is a link to something else"),
        (virtual, "energy has its numbers in another file"),
        (stored_elsewhere, "energy has its numbers in another file"),
        (unknown_filter, "energy is packed by the HDF5 filters"),
        (packed_twice, "energy is packed by the HDF5 filters"),
    ],
)
def test_nothing_outside_the_file_is_read(path, make, message):
    other_file("x", np.zeros(N))
    with pytest.raises(JentmaxError, match=rf"set\.h5: structures/{message}"):
        Dataset(replaced(path, make))


def test_groups_that_are_links(path):
    def change(file):
        file.move("structures", "others")
        file["structures"] = h5py.SoftLink("/others")

    with pytest.raises(JentmaxError, match="is a link to something else"):
        Dataset(edit(path, change))


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((10**12,), (1000,)), ((N,), (10**8,)), ((10**12,), None)],
    ids=["rows", "a chunk", "rows never written"],
)
@pytest.mark.parametrize("name", [COLUMN, "structures/pointer", "chunks/status"])
def test_a_column_cannot_hold_more_than_its_file(path, name, shape, chunks):
    def make(file, name, values):
        rows = (None,) if chunks else shape
        file.create_dataset(name, shape, values.dtype, chunks=chunks, maxshape=rows)

    with pytest.raises(JentmaxError, match=rf"{name} claims shape .* more than a file of"):
        Dataset(replaced(path, make, name))


def test_many_columns_together_cannot_either(path):
    """Chunks may all stand at one place in the file."""
    share = 1032 * path.stat().st_size // 8 // 3

    def change(file):
        for name in ("energy", "entropy", "repulsion", "temperature"):
            del file[f"structures/{name}"]
            file.create_dataset(f"structures/{name}", share, float, chunks=(99,))

    with pytest.raises(JentmaxError, match="claims shape"):
        Dataset(edit(path, change))


def test_what_is_packed_best_is_read(path):
    """The other side of the rule: nothing that gzip packs is refused."""
    rows = accepted(ids())
    n = 10**5
    large = type(rows)(
        np.zeros((3 * n, 3)),
        np.ones(3 * n, int),
        np.ones((n, 3, 3)),
        np.ones((n, 3), bool),
        3 * np.arange(n + 1),
        {},
        {"descriptors": np.zeros((3 * n, 2))},
    )
    with Dataset(described("large.h5", large)) as dataset:
        assert not dataset.positions.any()


def test_columns_that_no_memory_holds(path, monkeypatch):
    with Dataset(path) as dataset:
        monkeypatch.setattr(_hdf5, "memory_bytes", lambda: 40.0)
        with pytest.raises(JentmaxError, match="this machine has 0 GiB of memory"):
            _ = dataset.positions
        with pytest.raises(JentmaxError, match="take some structures at a time"):
            _ = dataset.energy


def test_what_a_terminal_would_obey_is_printed_as_its_escape(good, tmp_path):
    header = HEADER | {
        "device": f"{CLEAR_SCREEN}\u202e日本",
        "versions": {CLEAR_SCREEN: "\x07"},
        "recipe": {"steps": f"{CLEAR_SCREEN}\r\x9b\n[run]\n"},
    }
    output = good(f"info {finished(tmp_path / 'set.h5', header=header)}")
    assert all(letter.isprintable() or letter == "\n" for letter in output)
    assert r"\x1b[2J\u202e日本" in output
    assert printable("\udcff\t\n") == "\\udcff\t\n"


@pytest.mark.parametrize("number", [-1, 119, 32000])
def test_numbers_of_no_element(call, path, number):
    replaced(path, link(np.full(3 * N, number, "int16")), "atoms/numbers")
    for command in ("info {}", "export {} out.extxyz", "describe {} -o out.h5 --preset tungsten"):
        code, _, errors = call(command.format(path))
        assert (code, "number" in errors) == (2, True), errors


OWN = {"entropy": {"kind": "evil:Estimator"}, "descriptor": {"kind": "evil:Descriptor"}}


@pytest.mark.parametrize(
    "command",
    [
        "describe set.h5 -o out.h5",
        "evaluate set.h5 -o out",
        "select set.h5 --structures 2 -o out.extxyz",
    ],
)
def test_recipes_of_data_sets_run_no_code(call, command):
    Path("evil.py").write_text("open('it-ran', 'w').close()")
    finished("set.h5", header=HEADER | {"recipe": OWN})
    code, _, errors = call(command)
    assert code == 2
    assert "evil:Descriptor" in errors
    assert not Path("it-ran").exists()


class Payload:
    def __reduce__(self):
        return open, ("it-ran", "w")


ENDINGS = ("traj", "db", "json", "gpw", "nc", "xyz", "cif", "pckl", "pkl", "npz")


def test_pickled_objects_are_not_made():
    content = pickle.dumps(Payload(), 0)
    pickle.loads(content).close()
    assert Path("it-ran").exists()  # it works
    Path("it-ran").unlink()
    for ending in ENDINGS:
        Path(f"set.{ending}").write_bytes(content)
        with pytest.raises(JentmaxError):
            read_atoms(f"set.{ending}")
    assert not Path("it-ran").exists()


def test_formats_that_lead_elsewhere(monkeypatch):
    secret = Path("secret")
    secret.write_text("positions")
    ase.io.write("good.xyz", ase.build.bulk("W"))
    for name in ("mysql.xyz", "postgres.xyz"):
        Path(name).write_bytes(Path("good.xyz").read_bytes())
        assert len(read_atoms(name)) == 1  # plainly extended XYZ, which leads nowhere
        Path(name).write_text("no structures here")
        with pytest.raises(JentmaxError, match=rf"{name} is of the format .* database server"):
            read_atoms(name)
    Path("inp").write_text('XYZCoordinates = "secret"\n')
    with pytest.raises(JentmaxError, match="inp is of the format octopus-in, which is not read"):
        read_atoms("inp")
    Path("set.dat").write_text("include_file : secret\n%block species \n%endblock species\n")
    with pytest.raises(JentmaxError, match="onetep-in, which is not read"):
        read_atoms("set.dat")
    Path("folder").mkdir()
    with pytest.raises(JentmaxError, match="folder is no regular file"):
        read_atoms("folder")


def test_a_name_with_an_at_sign_is_that_file():
    ase.io.write("good.xyz", ase.build.bulk("W"))
    Path("good.xyz").rename("good@0.xyz")
    ase.io.write("good", ase.build.bulk("Fe"), "extxyz")
    assert [str(atoms.symbols) for atoms in read_atoms("good@0.xyz")] == ["W"]


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2"])
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("1000000000000", "", "claims 1000000000000 atoms"),
        ("-1", "", "claims -1 atoms"),
        ("1", "Properties=species:S:1:pos:R:1000000000", "claims 1000000001 columns"),
        ("0", "Properties=pos:R:1000000000", "claims 1000000000 columns"),
        ("1", "Properties=species:S:-9:pos:R:1\\000", "claims 1000 columns"),
    ],
)
def test_extended_xyz_that_claims_too_much(ending, first, second, message):
    text = f"{first}\n{second}\nW 0 0 0\n".encode()
    packed = {"": text, ".gz": gzip.compress(text), ".bz2": bz2.compress(text)}[ending]
    Path(f"set.extxyz{ending}").write_bytes(packed)
    with pytest.raises(JentmaxError, match=rf"set\.extxyz{ending}: a structure {message}"):
        read_structures(f"set.extxyz{ending}")


def test_what_comes_after_another_kind_of_line_counts_too():
    """Lines of a cell, line ends of other systems: the count is where ASE finds it."""
    frame = ["1", "", "W 0 0 0", *(f"VEC{k} 3 0 0" for k in (1, 2, 3))]
    for end in ("\n", "\r", "\r\n"):
        Path("set.xyz").write_text(end.join([*frame, "9" * 12, "", "W 0 0 0", ""]), newline="")
        with pytest.raises(JentmaxError, match="a structure claims 999999999999 atoms"):
            read_structures("set.xyz")


def test_packed_files_are_not_unpacked_beyond_memory(monkeypatch):
    monkeypatch.setattr(_reading, "memory_bytes", lambda: 2.0**21)
    Path("set.extxyz.gz").write_bytes(gzip.compress(b"\n" * 2**23))
    with pytest.raises(JentmaxError, match="more than the 0 GiB of memory"):
        read_structures("set.extxyz.gz")


@pytest.mark.parametrize("name", ["jentmax_index", "selection_rank"])
@pytest.mark.parametrize("number", ["../../stolen", -1, 1.5, np.arange(2), CLEAR_SCREEN])
def test_exported_files_stay_in_their_folder(tmp_path, name, number):
    atoms = ase.build.bulk("W")
    atoms.info |= {name: number, "config_type": "../../stolen"}
    with pytest.raises(JentmaxError, match="must be a whole number of at least 0"):
        export([atoms], tmp_path / "out/", "vasp")
    assert list(tmp_path.rglob("*stolen*")) == []
