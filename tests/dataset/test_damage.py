"""Files that were damaged after they were written: what is found and named, and what stays."""

import h5py
import numpy as np
import pytest
from dataset_files import (
    CHUNK,
    HEADER,
    TWO_STREAMS,
    accepted,
    bits,
    described,
    edit,
    finished,
    flipped,
    ids,
    read_all,
    stream,
    under_way,
)

from jentmax.dataset import Dataset
from jentmax.dataset._hdf5 import ATTRIBUTES
from jentmax.dataset._schema import CHUNK_TABLE, SLAB, STORED, columns
from jentmax.errors import JentmaxError

MANY = HEADER | {"streams": [stream("W24", 24, 1.0, 32)]}
N = len(accepted(ids(10, MANY), MANY))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Some 380 structures, in three or more chunks of each column."""
    return finished(tmp_path_factory.mktemp("written") / "set.h5", 10, MANY)


@pytest.fixture(scope="module")
def originals(written):
    with Dataset(written) as dataset:
        return [bits(atoms) for atoms in dataset]


def wholes(path, originals):
    """The structures that can be read, block after block: they are what was written, bit for bit.

    All others are an error that names the file, and are listed as damaged.
    """
    found = []
    try:
        with Dataset(path) as dataset:
            lost = []
            for first in range(0, len(dataset), SLAB):
                try:
                    some = dataset.structures(slice(first, first + SLAB))
                except JentmaxError as error:
                    assert str(path) in str(error)  # noqa: PT017
                    lost.append(f"structures {first} to {min(first + SLAB, len(dataset)) - 1}: ")
                else:
                    found += some.columns["index"].tolist()
                    for atoms in some:
                        assert bits(atoms) == originals[atoms.info["jentmax_index"]]
            damage = dataset.damage()
            assert all(any(line.startswith(one) for line in damage) for one in lost)
            assert all(line.startswith(tuple(lost)) for line in damage)
    except JentmaxError as error:
        assert str(path) in str(error)  # noqa: PT017
    return found


def damaged(path, copy, name, chunk, how):
    """A copy in which a chunk of a column is not what it was."""
    with h5py.File(path) as file:
        info = file[name].id.get_chunk_info(chunk)
    assert info.filter_mask == 0  # or else no filter would find what is wrong
    place, size, content = info.byte_offset, info.size, path.read_bytes()
    if how == "a bit":
        copy.write_bytes(flipped(content, place + size // 2, 2))
    else:
        copy.write_bytes(content[:place] + bytes(size) + content[place + size :])


# Damaged chunks


@pytest.mark.parametrize("how", ["a bit", "zeros"])
@pytest.mark.parametrize("name", columns(2))
def test_a_damaged_chunk(written, originals, tmp_path, name, how):
    """Reading it names file and column; the structures that are not in it can be read."""
    path = tmp_path / "set.h5"
    damaged(written, path, STORED[name], 1, how)
    message = rf"set\.h5 is .*damaged: {STORED[name]} cannot be read"
    with Dataset(path) as dataset:
        for read in (lambda: getattr(dataset, name), lambda: dataset[SLAB + 3]):
            with pytest.raises(JentmaxError, match=message):
                read()
        [damage] = dataset.damage()
    lost = range(SLAB, 2 * SLAB)
    assert damage.startswith(f"structures {lost[0]} to {lost[-1]}: {STORED[name]} cannot be read (")
    assert wholes(path, originals) == [k for k in range(N) if k not in lost]


@pytest.mark.parametrize(
    "name", ["structures/pointer", *(f"chunks/{name}" for name in CHUNK_TABLE)]
)
def test_damage_of_what_all_depends_on(written, tmp_path, name):
    path = tmp_path / "set.h5"
    damaged(written, path, name, 0, "a bit")
    with pytest.raises(JentmaxError, match=rf"set\.h5 is .*damaged: {name} cannot be read"):
        Dataset(path)


@pytest.mark.parametrize("name", [n for n in ATTRIBUTES if n not in ("format", "schema")])
def test_a_damaged_attribute(path, name):
    """Also one whose own checksum fits."""

    def change(file):
        value = file.attrs[name]
        file.attrs.modify(name, value[:-1] + b"~" if isinstance(value, bytes) else value + 1)

    edit(path, change)
    with pytest.raises(JentmaxError, match=r"set\.h5 is .*damaged: the attributes of its"):
        Dataset(path)


@pytest.mark.parametrize("length", [100, 10_000, 200_000])
def test_damaged_recipes_of_any_length(tmp_path, length):
    """HDF5 keeps long attributes elsewhere than short ones."""
    header = HEADER | {"recipe": {"text": length * "x"}}
    path = finished(tmp_path / "set.h5", header=header)
    content = path.read_bytes()
    path.write_bytes(flipped(content, content.index(b"xxxxxxxx") + length // 2, 0))
    with pytest.raises(JentmaxError, match=r"set\.h5 is .*damaged: .*checksum"):
        Dataset(path)


# Damage anywhere


@pytest.mark.parametrize(
    ("header", "step"),
    [(HEADER, 211), (TWO_STREAMS, 197), pytest.param(TWO_STREAMS, 23, marks=pytest.mark.slow)],
)
def test_a_flipped_bit_anywhere(tmp_path, header, step):
    """What is read is what was written, or an error names the file; most bits are read."""
    path = finished(tmp_path / "set.h5", header=header)
    whole, original = path.read_bytes(), read_all(path)
    with h5py.File(path) as file:
        stored = sum(file[STORED[name]].id.get_storage_size() for name in columns(2))
    places = range(0, len(whole), step)
    found = 0
    for place in places:
        path.write_bytes(flipped(whole, place))
        try:
            assert read_all(path) == original
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
            found += 1
    assert found / len(places) > stored / len(whole)


def test_a_file_cut_off_anywhere(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 101), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(JentmaxError, match=r"set\.h5 is (not an HDF5 file|truncated)"):
            Dataset(path)


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


# Shares of structures that can be read, on an average; one chunk of three or four is lost.
@pytest.mark.parametrize(
    ("kind", "least"), [("a bit", 0.55), ("eight bytes", 0.5), ("a sector of zeros", 0.5)]
)
@pytest.mark.slow
def test_never_a_wrong_structure(written, originals, tmp_path, kind, least):
    """What can be read of damaged files is what was written, bit for bit; and it is not little."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    rng = np.random.default_rng(0)
    read = []
    for _ in range(40):
        path.write_bytes(mutated(whole, kind, rng))
        read.append(len(wholes(path, originals)))
    assert np.mean(read) > least * N
    assert min(read) < N


@pytest.mark.slow
def test_headers_that_are_zeros(written, originals, tmp_path):
    """Sector after sector: nothing is read for ever, and what can be read is right."""
    whole, path = written.read_bytes(), tmp_path / "set.h5"
    for place in range(0, 16384, 512):
        path.write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
        wholes(path, originals)


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
    with Dataset(path) as dataset:
        [damage] = dataset.damage()
        assert damage.startswith(f"structures 0 to {len(dataset) - 1}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (assign("structures/pointer", 3, 0), "pointer does not fit"),
        (assign("structures/pointer", 6, 10**9), "pointer does not fit"),
        (assign("structures/pointer", 0, -5), "pointer does not fit"),
        (shorten("structures/entropy", 5), "pointer does not fit"),
        (shorten("atoms/positions", 5), "pointer does not fit"),
        (assign("chunks/status", 0, 3), "table of chunks is impossible"),
        (assign("chunks/stream", 0, 1), "table of chunks is impossible"),
        (assign("chunks/stream", 0, -1), "table of chunks is impossible"),
        (assign("chunks/batch", 1, 5), "table of chunks is impossible"),
        (assign("chunks/cycle", 1, 0), "table of chunks is impossible"),
        (shorten("chunks/cycle", 1), "table of chunks is impossible"),
        (shorten("chunks/status", 1), "table of chunks is impossible"),
        (shorten("chunks/status", 0), "table of chunks is impossible"),
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


def test_something_else_is_not_called_damaged(path, tmp_path):
    for other, message in (
        ("none.h5", r"none\.h5 does not exist"),
        (".", "is a folder"),
        ("x" * 300, "cannot be read: File name too long"),
        ("set.h5/set.h5", "cannot be read: Not a directory"),
    ):
        with pytest.raises(JentmaxError, match=message):
            Dataset(tmp_path / other)
    edit(path, lambda file: file.attrs.modify("schema", 1))
    with pytest.raises(JentmaxError, match=r"set\.h5 has schema 1, this jentmax reads 3"):
        Dataset(path)


def test_sets_under_way(tmp_path, originals):
    parts = under_way(tmp_path / "set.h5", 10, MANY)
    path = parts.folder / CHUNK.file_name
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, 1000))
    with Dataset(tmp_path / "set.h5") as dataset:
        assert (dataset.status, len(dataset)) == ("running", N)
        with pytest.raises(JentmaxError, match=r"0-000001-0001\.npz is damaged"):
            _ = dataset.entropy
        [damage] = dataset.damage()
        assert damage.startswith(f"structures 0 to {SLAB - 1}: {path} is damaged: ")
        for atoms in dataset[SLAB:]:
            assert bits(atoms) == originals[atoms.info["jentmax_index"]]
    path.write_bytes(whole[:-1])
    with pytest.raises(JentmaxError, match=r"0-000001-0001\.npz is damaged"):
        Dataset(tmp_path / "set.h5")


def test_what_is_checked_is_not_changed(path, tmp_path):
    under_way(tmp_path / "running.h5")
    wholes = (path, described(tmp_path / "described.h5"), tmp_path / "running.h5")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    for whole in wholes:
        with Dataset(whole) as dataset:
            assert dataset.damage() == []
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before


def test_info_check(path, call, good):
    n = len(accepted(ids()))
    assert f"set.h5 is whole: {n} structures, complete; all" in good(f"info --check {path}")
    other = finished(path.with_name("other.h5"), n=2)
    damaged(path, path, "structures/energy", 0, "a bit")
    code, output, errors = call(f"info --check {path} {other}")
    assert code == 2
    assert "other.h5 is whole" in output
    assert errors.startswith(f"error: {path} is damaged:\n")
    assert f"structures 0 to {n - 1}: structures/energy cannot be read" in errors
