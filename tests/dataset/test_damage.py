"""Files that were damaged after they were written: what is found, named and saved."""

import ase.io
import h5py
import numpy as np
import pytest
from dataset_files import (
    HEADER,
    TWO_STREAMS,
    accepted,
    bits,
    described,
    edit,
    finished,
    ids,
    read_all,
    under_way,
)

from jentmax.dataset import Dataset, check_file, ranges, whole_structures
from jentmax.dataset._schema import ATTRIBUTES, columns
from jentmax.errors import JentmaxError

SLAB = 128
MANY = HEADER | {"streams": [{"share": 1.0, "n_atoms": 24, "batch_size": 32, "cycles": 1}]}
N = len(accepted(ids(20, MANY), MANY))

NAMES = {"structures/cell": "cells", "structures/periodic": "pbc"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Some 380 structures, in three chunks of each column."""
    return finished(tmp_path_factory.mktemp("written") / "set.h5", 20, MANY)


@pytest.fixture(scope="module")
def originals(written):
    with Dataset(written) as dataset:
        return [bits(atoms) for atoms in dataset]


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5")


def assert_saved(path, originals, wholes):
    """These structures are whole, bit for bit."""
    structures, n_left_out = whole_structures(path)
    assert structures.columns["index"].tolist() == list(wholes)
    for atoms in structures:
        assert bits(atoms) == originals[atoms.info["jentmax_index"]]
    assert n_left_out == len(originals) - len(structures)
    assert check_file(path).whole.tolist() == list(wholes)


def damaged(path, copy, name, chunk, how):
    """A copy in which a chunk of a column is not what it was."""
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info(chunk)
    assert info.filter_mask == 0  # or else no filter would find what is wrong
    place, size = info.byte_offset, info.size
    content = bytearray(path.read_bytes())
    if how == "a bit":
        content[place + size // 2] ^= 4
    else:
        content[place : place + size] = bytes(size)
    copy.write_bytes(content)


# Damaged chunks


@pytest.mark.parametrize("how", ["a bit", "zeros"])
@pytest.mark.parametrize("name", columns(2))
def test_a_damaged_chunk(written, originals, tmp_path, name, how):
    """Reading it names file and column; the structures that are not in it are saved."""
    path = tmp_path / "set.h5"
    damaged(written, path, name, 1, how)
    column = NAMES.get(name, name.split("/")[1])
    message = rf"set\.h5 is .*damaged: {name} cannot be read"
    with Dataset(path) as dataset:
        with pytest.raises(JentmaxError, match=message):
            getattr(dataset, column)
        assert len(dataset[:100]) == 100
        with pytest.raises(JentmaxError, match=message):
            dataset[SLAB + 3]
    lost = range(SLAB, 2 * SLAB)
    [damage] = check_file(path).damage
    assert damage.startswith(f"structures {lost[0]}-{lost[-1]}: {name} cannot be read (")
    assert_saved(path, originals, [k for k in range(N) if k not in lost])


@pytest.mark.parametrize(
    "name",
    ["structures/pointer", "scaling/scale", "scaling/shift", "chunks/status", "chunks/batch"],
)
def test_damage_of_what_all_depends_on(written, tmp_path, name):
    path = tmp_path / "set.h5"
    damaged(written, path, name, 0, "a bit")
    for read in (Dataset, check_file, whole_structures):
        with pytest.raises(JentmaxError, match=rf"set\.h5 is .*damaged: {name} cannot be read"):
            read(path)


@pytest.mark.parametrize("name", [n for n in ATTRIBUTES if n not in ("format", "schema")])
def test_a_damaged_attribute(path, name):
    """Also one whose own checksum fits."""

    def change(file):
        value = file.attrs[name]
        changed = value[:-1] + b"~" if isinstance(value, bytes) else value + 1
        file.attrs.modify(name, changed)

    edit(path, change)
    with pytest.raises(
        JentmaxError, match=r"set\.h5 is .*damaged: (the attributes of its|.*can't decode)"
    ):
        Dataset(path)


@pytest.mark.parametrize("length", [100, 10_000, 200_000])
def test_damaged_recipes_of_any_length(tmp_path, length):
    """HDF5 keeps long attributes elsewhere than short ones."""
    header = HEADER | {"recipe": {"text": length * "x"}}
    path = finished(tmp_path / "set.h5", header=header)
    content = bytearray(path.read_bytes())
    content[content.index(b"xxxxxxxx") + length // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5 is .*damaged: .*(attribute.*checksum)"):
        Dataset(path)


# Damage anywhere


def assert_found(path, originals):
    """What is read of a file is what was written, or an error names it; which of the two."""
    try:
        found = [bits(atoms) for atoms in read_all(path)]
    except JentmaxError as error:
        assert str(path) in str(error)  # noqa: PT017
        return True
    assert found == originals
    return False


@pytest.mark.parametrize(
    ("header", "step"),
    [(HEADER, 211), (TWO_STREAMS, 197), pytest.param(TWO_STREAMS, 23, marks=pytest.mark.slow)],
)
def test_a_flipped_bit_anywhere(tmp_path, header, step):
    """Of every part of the file; where nothing is read there is nothing to find."""
    path = finished(tmp_path / "set.h5", header=header)
    whole = path.read_bytes()
    originals = [bits(atoms) for atoms in read_all(path)]
    places = range(0, len(whole), step)
    found = 0
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        path.write_bytes(content)
        found += assert_found(path, originals)
    with h5py.File(finished(tmp_path / "other.h5", header=header)) as file:
        stored = sum(file[name].id.get_storage_size() for name in columns(2))
    assert found / len(places) > stored / len(whole)


def test_a_file_cut_off_anywhere(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 101), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        for read in (Dataset, check_file, whole_structures):
            with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
                read(path)


def mutated(content, kind, rng):
    content = bytearray(content)
    place = int(rng.integers(len(content)))
    if kind == "a bit":
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "eight bytes":
        content[place : place + 8] = rng.bytes(len(content[place : place + 8]))
    else:
        place -= place % 512
        content[place : place + 512] = bytes(len(content[place : place + 512]))
    return content


# Shares of structures saved, on an average; one chunk of three is lost.
@pytest.mark.parametrize(
    ("kind", "least"), [("a bit", 0.55), ("eight bytes", 0.5), ("a sector of zeros", 0.5)]
)
def test_never_a_wrong_structure(written, originals, tmp_path, kind, least):
    """What is saved of damaged files is what was written, bit for bit; and it is not little."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    rng = np.random.default_rng(0)
    saved = []
    for _ in range(40):
        path.write_bytes(mutated(whole, kind, rng))
        try:
            structures, _ = whole_structures(path)
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
            saved.append(0)
            continue
        numbers = structures.columns["index"].tolist() if len(structures) else []
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
    for place in range(0, 16384, 512):
        path.write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
        assert_found(path, originals)
        try:
            structures, _ = whole_structures(path)
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        for atoms in structures:
            assert bits(atoms) == originals[atoms.info["jentmax_index"]]


# What cannot be, though every checksum fits


def assign(name, row, value):
    def change(file):
        file[name][row] = value

    return change


def shorten(name, length):
    return lambda file: file[name].resize(length, axis=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (assign("atoms/positions", (0, 1), np.nan), "atoms/positions cannot be read .*not finite"),
        (assign("atoms/descriptors", (0, 1), np.inf), "atoms/descriptors cannot be .*not finite"),
        (assign("structures/energy", 2, np.nan), "structures/energy cannot be read .*not finite"),
        (assign("structures/cell", (2, 0, 0), np.nan), "structures/cell cannot be .*not finite"),
        (assign("atoms/numbers", 0, -1), "an atomic number is -1, must be from 0 to 118"),
        (assign("atoms/numbers", 0, 119), "an atomic number is 119, must be from 0 to 118"),
    ],
)
def test_impossible_values(path, change, message):
    edit(path, change)
    with pytest.raises(JentmaxError, match=message):
        read_all(path)
    [damage] = check_file(path).damage
    assert "structures 0-" in damage
    assert len(whole_structures(path)[0]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (assign("structures/pointer", 3, 0), "pointer does not fit"),
        (assign("structures/pointer", 6, 10**9), "pointer does not fit"),
        (assign("structures/pointer", 0, -5), "pointer does not fit"),
        (shorten("structures/entropy", 5), "pointer does not fit"),
        (shorten("atoms/positions", 5), "pointer does not fit"),
        (assign("scaling/scale", 0, np.nan), "scaling/scale cannot be read .*not finite"),
        (assign("chunks/status", 0, 3), "table of chunks is impossible"),
        (assign("chunks/stream", 0, 1), "table of chunks is impossible"),
        (assign("chunks/batch", 1, 5), "table of chunks is impossible"),
        (assign("chunks/pointer", 1, 3), "table of chunks is impossible"),
        (shorten("chunks/pointer", 1), "table of chunks is impossible"),
        (shorten("chunks/status", 1), "table of chunks is impossible"),
    ],
)
def test_what_does_not_fit_together(path, change, message):
    with pytest.raises(JentmaxError, match=rf"set\.h5 is .*damaged: .*{message}"):
        Dataset(edit(path, change))


def test_a_status_that_was_changed(path):
    """The table of chunks says how many structures there are."""

    def change(file):
        status = file["chunks/status"][:]
        status[np.argmax(status == 0)] = 1
        file["chunks/status"][:] = status

    with pytest.raises(JentmaxError, match="its table of chunks does not fit its structures"):
        Dataset(edit(path, change))


def test_whole_ones(path, tmp_path):
    n = len(accepted(ids()))
    check = check_file(path)
    assert (check.n_structures, check.n_columns, check.status) == (n, 14, "complete")
    assert (check.damage, check.whole.tolist()) == ((), list(range(n)))
    check = check_file(described(tmp_path / "described.h5"))
    assert (check.damage, len(check.whole)) == ((), n)
    few = finished(tmp_path / "few.h5", n=3)
    assert len(whole_structures(few)[0]) == len(check_file(few).whole) == 3


def test_something_else_is_not_called_damaged(path, tmp_path):
    for name in ("none.h5", ".", "x" * 300):
        with pytest.raises(JentmaxError, match=r"does not exist|is a folder|cannot be read"):
            check_file(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(JentmaxError, match="no jentmax data set"):
        check_file(tmp_path / "other.h5")
    edit(path, lambda file: file.attrs.modify("schema", 1))
    with pytest.raises(JentmaxError, match="has schema 1"):
        whole_structures(path)


def test_sets_under_way(tmp_path):
    parts = under_way(tmp_path / "set.h5", 20, MANY)
    check = check_file(tmp_path / "set.h5")
    assert (check.status, check.n_structures, check.damage) == ("running", N, ())
    chunk = ids(20, MANY)[10]
    path = parts.folder / chunk.file_name
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(JentmaxError, match=r"0-000010-0000\.npz is damaged"):
        _ = Dataset(tmp_path / "set.h5").entropy
    [damage] = check_file(tmp_path / "set.h5").damage
    assert "0-000010-0000.npz is damaged" in damage
    structures, n_left_out = whole_structures(tmp_path / "set.h5.parts")
    expected = accepted(ids(20, MANY), MANY)
    assert 0 < n_left_out <= 2 * SLAB
    assert len(structures) + n_left_out == N
    kept = structures.columns["index"]
    assert np.array_equal(structures.entropy, expected.entropy[kept])
    path.write_bytes(content[:-1])
    with pytest.raises(JentmaxError, match=r"0-000010-0000\.npz is damaged"):
        check_file(tmp_path / "set.h5")


def test_what_is_checked_is_not_changed(written):
    before = written.read_bytes(), written.stat().st_mtime_ns
    check_file(written)
    whole_structures(written)
    assert (written.read_bytes(), written.stat().st_mtime_ns) == before


def test_ranges():
    assert ranges(np.array([0, 1, 2, 5, 7, 8])) == "0-2, 5, 7-8"
    assert ranges(np.arange(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"


# The command line


def test_info_check(path, call, good):
    n = len(accepted(ids()))
    assert f"set.h5 is whole: {n} structures, complete; 14 columns" in good(f"info --check {path}")
    other = finished(path.with_name("other.h5"), n=2)
    damaged(path, path, "structures/energy", 0, "a bit")
    code, output, errors = call(f"info --check {path} {other}")
    assert code == 2
    assert "other.h5 is whole" in output
    assert errors.startswith("error: ")
    assert f"structures 0-{n - 1}: structures/energy cannot be read" in errors
    assert f"none of {n} structures is whole" in errors


def test_export_whole(written, tmp_path, call, good):
    path = tmp_path / "set.h5"
    damaged(written, path, "atoms/descriptors", 0, "zeros")
    code, _, errors = call(f"info --check {path}")
    assert code == 2
    assert f"{N - SLAB} of {N} structures are whole: {SLAB}-{N - 1}" in errors
    assert f"jentmax export {path} whole.extxyz --whole" in errors
    code, _, errors = call(f"export {path} whole.extxyz")
    assert (code, "atoms/descriptors cannot be read" in errors) == (2, True)
    output = good(f"export {path} whole.extxyz --whole")
    assert output == f"{N - SLAB} structures written to whole.extxyz, {SLAB} left out as damaged\n"
    with Dataset(written) as dataset:
        for atoms, original in zip(ase.io.read("whole.extxyz", ":"), dataset[SLAB:], strict=True):
            # .extxyz has eight digits
            assert np.allclose(atoms.positions, original.positions, rtol=0, atol=1e-8)
            assert atoms.info["jentmax_index"] == original.info["jentmax_index"]
    path.write_bytes(path.read_bytes()[:3000])
    code, _, errors = call(f"export {path} nothing.extxyz --whole")
    assert (code, len(errors.splitlines())) == (2, 1)
