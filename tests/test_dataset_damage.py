"""Files that were damaged after they were written: what is told, and what is saved."""

import shutil

import h5py
import numpy as np
import pytest
from dataset_files import (
    BATCHES,
    HEADER,
    PROPERTIES,
    assert_holds,
    edit,
    make_rows,
    rows_of,
    write,
)

from jentmax.dataset import Dataset, DatasetWriter, check_file, ranges, whole_structures
from jentmax.dataset._schema import FIXED_ATTRIBUTES, STRUCTURE_COLUMNS, atom_columns
from jentmax.errors import JentmaxError

N, BATCH = 200, 25
COLUMNS = [
    *(f"structures/{name}" for name in STRUCTURE_COLUMNS),
    *(f"atoms/{name}" for name in atom_columns(2)),
]


@pytest.fixture(scope="module", params=["complete", "running"])
def written(request, tmp_path_factory):
    """200 structures in eight appends; closed, or left by a writer that was killed."""
    path = tmp_path_factory.mktemp("written") / "set.h5"
    copy = path.with_name("copy.h5")
    with DatasetWriter.create(path, **HEADER) as writer:
        for start in range(0, N, BATCH):
            writer.append(rows_of(24, range(start, start + BATCH)))
        shutil.copy(path, copy)
    if request.param == "complete":
        return path
    copy.write_bytes(copy.read_bytes().rstrip(b"\0"))  # space reserved
    return copy


@pytest.fixture(scope="module")
def originals(written):
    with Dataset(written) as dataset:
        return {atoms.info["jentmax_index"]: bits(atoms) for atoms in dataset}


def bits(atoms):
    """All that there is of a structure."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, *atoms.arrays.values())
    return (*(array.tobytes() for array in arrays), tuple(sorted(atoms.info.items())))


def assert_saved(path, originals, wholes):
    """These structures are what is whole, bit for bit."""
    structures, n_left_out = whole_structures(path)
    assert [atoms.info["jentmax_index"] for atoms in structures] == list(wholes)
    for atoms in structures:
        assert bits(atoms) == originals[atoms.info["jentmax_index"]]
    assert n_left_out == len(originals) - len(structures)
    assert check_file(path).whole.tolist() == list(wholes)


def place_of(path, name, chunk):
    """Where a chunk of a column lies in the file, and its length."""
    with Dataset(path) as dataset:
        info = dataset._parts[0]._file[name].id.get_chunk_info(chunk)
    assert info.filter_mask == 0  # or else no filter would see what is wrong
    return info.byte_offset, info.size


def damaged(path, copy, name, chunk, how):
    place, size = place_of(path, name, chunk)
    content = bytearray(path.read_bytes())
    if how == "a bit":
        content[place + size // 2] ^= 4
    else:
        content[place : place + size] = bytes(size)
    copy.write_bytes(content)


# Damaged chunks


@pytest.mark.parametrize("how", ["a bit", "zeros"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_damaged_chunk(written, originals, tmp_path, name, how):
    """Reading it names file and column; the structures that are not in it can be had."""
    path = tmp_path / "set.h5"
    damaged(written, path, name, 2, how)
    column = name.split("/")[1]
    message = rf"set\.h5 is .*damaged: {name} cannot be read"
    with pytest.raises(JentmaxError, match=message), Dataset(path) as dataset:
        getattr(dataset, PROPERTIES.get(column, column))
    # Chunks are as long as an append.
    lost = range(2 * BATCH, 3 * BATCH)
    rows = "1200-1799" if name.startswith("atoms") else "50-74"
    assert check_file(path).damage == (f"{name}: rows {rows} cannot be read",)
    assert_saved(path, originals, [k for k in range(N) if k not in lost])


def test_a_structure_alone_is_refused_too(written, tmp_path):
    path = tmp_path / "set.h5"
    damaged(written, path, "atoms/positions", 2, "a bit")
    with Dataset(path) as dataset:
        assert len(dataset[:50]) == 50
        with pytest.raises(JentmaxError, match="atoms/positions cannot be read"):
            dataset[60]


def test_a_damaged_pointer(written, originals, tmp_path):
    """Structures on both sides of the gap are lost, too: where they begin or end is not known."""
    path = tmp_path / "set.h5"
    damaged(written, path, "structures/pointer", 2, "a bit")
    with pytest.raises(JentmaxError, match="structures/pointer cannot be read"):
        Dataset(path)
    assert check_file(path).damage == ("structures/pointer: rows 50-74 cannot be read",)
    assert_saved(path, originals, [k for k in range(N) if not 49 <= k < 75])


@pytest.mark.parametrize("name", ["scaling/scale", "scaling/shift"])
def test_a_damaged_scale(written, originals, tmp_path, name):
    path = tmp_path / "set.h5"
    damaged(written, path, name, 0, "a bit")
    with pytest.raises(JentmaxError, match=f"{name} cannot be read"):
        Dataset(path)
    assert check_file(path).damage == (f"{name}: rows 0-1 cannot be read",)
    assert_saved(path, originals, range(N))


@pytest.mark.parametrize("name", [n for n in FIXED_ATTRIBUTES if n not in ("schema", "seed")])
def test_a_damaged_attribute(tmp_path, name):
    """Whatever holds it."""
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        writer.append(make_rows(range(5)))
    with h5py.File(path) as file:
        text = file.attrs[name]
    content = bytearray(path.read_bytes())
    content[content.index(text) + len(text) - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5 is "):
        Dataset(path)
    assert check_file(path).damage == (
        "the attributes of its root cannot be read, or do not fit their checksum",
    )
    assert len(whole_structures(path)[0]) == 5


@pytest.mark.parametrize("length", [100, 10_000, 200_000])
def test_damaged_settings_of_any_length(tmp_path, length):
    """HDF5 keeps long attributes elsewhere than short ones."""
    text = "# " + length * "x"
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER | {"settings_toml": text}) as writer:
        writer.append(make_rows(range(5)))
    content = bytearray(path.read_bytes())
    content[content.index(b"xxxxxxxx") + length // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5 is .*damaged: .*(attribute.*checksum)"):
        Dataset(path)


# Damage anywhere


def mutated(content, kind, rng):
    content = bytearray(content)
    place = int(rng.integers(len(content)))
    if kind == "a bit":
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "eight bytes":
        content[place : place + 8] = rng.bytes(len(content[place : place + 8]))
    elif kind == "a sector of zeros":
        place -= place % 512
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    else:
        del content[place:]
    return content


# Shares of structures saved, on an average; half of a file that is cut off is there.
@pytest.mark.parametrize(
    ("kind", "least"),
    [("a bit", 0.7), ("eight bytes", 0.7), ("a sector of zeros", 0.6), ("cut off", 0.3)],
)
def test_never_a_wrong_structure(written, originals, tmp_path, kind, least):
    """What is saved of damaged files is what was written, bit for bit; and it is not little."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    rng = np.random.default_rng(0)
    saved = []
    for _ in range(60):
        path.write_bytes(mutated(whole, kind, rng))
        try:
            structures, _ = whole_structures(path)
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
            structures = []
        numbers = [atoms.info["jentmax_index"] for atoms in structures]
        assert numbers == sorted(set(numbers))
        for atoms in structures:
            assert bits(atoms) == originals[atoms.info["jentmax_index"]]
        if 0 < len(structures) < N:
            assert check_file(path).damage
        saved.append(len(structures))
    assert np.mean(saved) > least * N


def test_headers_that_are_zeros(written, originals, tmp_path):
    """Sector after sector: nothing is read for ever, and what can be read is right."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    n_saved = 0
    for place in range(0, 16384, 512):
        path.write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
        try:
            structures, _ = whole_structures(path)
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        n_saved += bool(structures)
        for atoms in structures:
            assert bits(atoms) == originals[atoms.info["jentmax_index"]]
    assert n_saved > 0


def test_a_cut_off_file(written, originals, tmp_path):
    """The longer it is, the more is whole; columns that came to lie late are named."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    numbers = [0]
    for tenth in range(2, 11):
        path.write_bytes(whole[: len(whole) * tenth // 10 - 1])
        numbers.append(len(check_file(path).whole))
        assert_saved(path, originals, range(numbers[-1]))
    assert numbers == sorted(numbers)
    assert numbers[-1] >= N - BATCH
    damage = check_file(path).damage
    assert damage[0].startswith("it is cut off: it has")
    assert path.read_bytes() == whole[:-1]


def test_no_room_for_a_copy(written, tmp_path, monkeypatch):
    path = tmp_path / "set.h5"
    path.write_bytes(written.read_bytes()[:-1000])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(JentmaxError, match=r"set\.h5 is cut off.*No space left.*TMPDIR"):
        check_file(path)


# What cannot be, though every checksum fits


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "set.h5", *BATCHES)


def assign(name, row, value):
    def change(file):
        file[name][row] = value

    return change


def shorten(name, length):
    return lambda file: file[name].resize(length, axis=0)


def remove(name):
    def change(file):
        del file[name]

    return change


# BATCHES' structures by their rows: 7, 2, 5, 0, 9, 1.
@pytest.mark.parametrize(
    ("change", "told", "whole"),
    [
        (assign("structures/index", 1, 9), "index: rows 1, 4 hold the number", [0, 1, 5, 7]),
        (assign("structures/index", 3, -1), "index: rows 3 hold what cannot be", [1, 2, 5, 7, 9]),
        (assign("atoms/positions", (0, 1), np.nan), "positions: rows 0 hold", [0, 1, 2, 5, 9]),
        (assign("atoms/descriptors", (0, 1), np.inf), "descriptors: rows 0 hold", [0, 1, 2, 5, 9]),
        (assign("atoms/numbers", 0, 0), "numbers: rows 0 hold", [0, 1, 2, 5, 9]),
        (assign("atoms/numbers", 0, 119), "numbers: rows 0 hold", [0, 1, 2, 5, 9]),
        (assign("structures/energy", 2, np.nan), "energy: rows 2 hold", [0, 1, 2, 7, 9]),
        (assign("structures/cell", (2, 0, 0), np.nan), "cell: rows 2 hold", [0, 1, 2, 7, 9]),
        (assign("structures/pointer", 3, 0), "pointer: rows 2 fit no", None),
        (assign("structures/pointer", 6, 10**9), "pointer: rows 5 fit no", [0, 2, 5, 7, 9]),
        (assign("structures/pointer", 0, -5), "pointer: rows 0 fit no", [0, 1, 2, 5, 9]),
        (assign("scaling/scale", 0, np.nan), "scale: rows 0 hold", [0, 1, 2, 5, 7, 9]),
        (shorten("structures/entropy", 5), "entropy: rows 5 cannot be read", [0, 2, 5, 7, 9]),
        (remove("structures/entropy"), "entropy: cannot be read", []),
        (remove("atoms/descriptors"), "descriptors: cannot be read", []),
        (lambda file: file.attrs.modify("rejected", np.int64(-1)), "attributes", None),
        (lambda file: file.attrs.modify("status", np.array("odd", "S8")), "attributes", None),
    ],
)
def test_what_cannot_be(path, change, told, whole):
    edit(path, change)
    check = check_file(path)
    assert any(told in line for line in check.damage)
    if whole is not None:
        assert check.whole.tolist() == whole
        assert [atoms.info["jentmax_index"] for atoms in whole_structures(path)[0]] == whole


def test_what_is_whole(path, tmp_path):
    check = check_file(path)
    assert (check.n_structures, check.n_columns, check.status) == (6, 16, "complete")
    assert check.damage == ()
    assert check.whole.tolist() == [0, 1, 2, 5, 7, 9]
    described = write(tmp_path / "described.h5", make_rows([3, 1]), kind="described")
    assert check_file(described).damage == ()


def test_what_is_no_data_set(path, tmp_path):
    """As `Dataset` says it, and not as damage."""
    for name in ("none.h5", ".", "x" * 300):
        with pytest.raises(JentmaxError, match=r"does not exist|is a folder|cannot be read"):
            check_file(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(JentmaxError, match="no jentmax data set"):
        check_file(tmp_path / "other.h5")
    edit(path, lambda file: file.attrs.modify("schema", 2))
    with pytest.raises(JentmaxError, match="has schema 2"):
        whole_structures(path)


def test_a_file_is_whole_while_it_is_written(tmp_path):
    path = tmp_path / "set.h5"
    with DatasetWriter.create(path, **HEADER) as writer:
        for n in range(1, 4):
            writer.append(BATCHES[n - 1])
            check = check_file(path)
            assert (check.status, check.damage) == ("running", ())
    with Dataset(path) as dataset:
        assert_holds(dataset, *BATCHES)


def test_ranges():
    assert ranges(np.array([0, 1, 2, 5, 7, 8])) == "0-2, 5, 7-8"
    assert ranges(np.arange(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"


# The command line


def test_info_check(path, call, good):
    assert "set.h5 is whole: 6 structures, complete; 16 columns" in good(f"info --check {path}")
    other = write(path.with_name("other.h5"), make_rows([0, 1], seed=3))
    damaged(path, path, "structures/energy", 0, "a bit")
    code, output, errors = call(f"info --check {path} {other}")
    assert code == 2
    assert "other.h5 is whole" in output
    assert errors.startswith("error: ")
    assert "structures/energy: rows 0-5 cannot be read" in errors
    assert "none of 6 structures is whole" in errors


def test_info_shows_several_files(path, good):
    other = write(path.with_name("other.h5"), make_rows([0, 1], seed=3))
    output = good(f"info {path} {other}")
    assert "set.h5 (generated" in output
    assert "other.h5 (generated" in output


def test_export_whole(written, tmp_path, call, good):
    import ase.io

    path = tmp_path / "set.h5"
    damaged(written, path, "atoms/descriptors", 7, "zeros")
    code, _, errors = call(f"info --check {path}")
    assert code == 2
    assert "175 of 200 structures are whole: 0-174" in errors
    assert f"jentmax export {path} whole.extxyz --whole" in errors
    code, _, errors = call(f"export {path} whole.extxyz")
    assert (code, "atoms/descriptors cannot be read" in errors) == (2, True)
    output = good(f"export {path} whole.extxyz --whole")
    assert output == "175 structures written to whole.extxyz, 25 left out as damaged\n"
    with Dataset(written) as dataset:
        for atoms, original in zip(ase.io.read("whole.extxyz", ":"), dataset, strict=False):
            # .extxyz has eight digits
            assert np.allclose(atoms.positions, original.positions, rtol=0, atol=1e-8)
            assert atoms.info["jentmax_index"] == original.info["jentmax_index"]
    good(f"export {path} poscars/ --whole")
    path.write_bytes(path.read_bytes()[:3000])
    code, _, errors = call(f"export {path} nothing.extxyz --whole")
    assert code == 2
    assert len(errors.splitlines()) == 1
