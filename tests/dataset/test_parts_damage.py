"""Parts of a set that are damaged, or come from elsewhere."""

import contextlib
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from dataset_files import (
    HEADER,
    assert_same,
    leftovers,
    made,
    table,
    under_way,
)

from jentmax.dataset import ChunkId, DamagedPart, Dataset, Parts
from jentmax.dataset import _parts as room
from jentmax.errors import JentmaxError

CHUNK = ChunkId(0, 1, 1)
OTHER = ChunkId(0, 2, 0)


@pytest.fixture
def parts(tmp_path):
    return under_way(tmp_path / "set.h5")


def assert_bits(one, other):
    one, other = table(one), table(other)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].tobytes() == other[name].tobytes(), name


# Damage


def damage(path, places):
    """The file with each of its bits at some places flipped, one after the other."""
    whole = path.read_bytes()
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        yield bytes(content)
    path.write_bytes(whole)


def test_a_flipped_bit_anywhere_is_found(parts):
    """And named, and the part can be made again."""
    path = parts.folder / CHUNK.file_name
    size = path.stat().st_size
    for content in damage(path, [*range(0, size, 37), *range(size - 400, size)]):
        path.write_bytes(content)
        with pytest.raises(DamagedPart, match=r"0-000001-0001\.npz is damaged: .*same command"):
            parts.get(CHUNK)
    for content in damage(path, range(size - 300, size)):
        path.write_bytes(content)
        with contextlib.suppress(DamagedPart):  # counts stand in the last line
            assert parts.accepted(CHUNK) == (made(CHUNK).status == 0).sum()


def test_a_part_cut_off_anywhere_is_found(parts):
    path = parts.folder / CHUNK.file_name
    whole = path.read_bytes()
    for length in [*range(1, len(whole), 41), *range(len(whole) - 250, len(whole))]:
        path.write_bytes(whole[:length])
        for read in (parts.get, parts.accepted):
            with pytest.raises(DamagedPart, match=r"0-000001-0001\.npz is damaged"):
                read(CHUNK)
    path.write_bytes(whole + b"x")
    with pytest.raises(DamagedPart):
        parts.get(CHUNK)


def test_a_damaged_part_is_made_again(parts):
    path = parts.folder / CHUNK.file_name
    path.write_bytes(path.read_bytes()[:-1])
    parts.remove(CHUNK)
    assert CHUNK not in parts.chunks()
    path.write_bytes(b"rubbish")
    assert_bits(parts.put(CHUNK, made(CHUNK)), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_a_whole_part_is_not_removed(parts):
    """Another process may have made it again meanwhile."""
    parts.remove(CHUNK)
    assert_bits(parts.get(CHUNK), made(CHUNK))
    parts.remove(ChunkId(0, 99, 0))


def test_a_part_that_is_made_again_while_it_is_removed(parts, monkeypatch):
    path, rename = parts.folder / CHUNK.file_name, os.rename
    whole = path.read_bytes()
    path.write_bytes(b"rubbish")

    def late(*names):
        path.write_bytes(whole)
        rename(*names)

    monkeypatch.setattr(os, "rename", late)
    parts.remove(CHUNK)
    assert_bits(parts.get(CHUNK), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_parts_in_the_place_of_others(parts, tmp_path):
    (parts.folder / CHUNK.file_name).write_bytes((parts.folder / OTHER.file_name).read_bytes())
    with pytest.raises(DamagedPart, match=r"it is 0-000002-0000\.npz"):
        parts.get(CHUNK)
    others = Parts(tmp_path / "other.h5")
    others.begin(HEADER | {"seed": 8})
    others.put(OTHER, made(OTHER))
    (others.folder / OTHER.file_name).rename(parts.folder / OTHER.file_name)
    for read in (parts.get, parts.accepted):
        with pytest.raises(DamagedPart, match="belongs to another set"):
            read(OTHER)


def test_a_damaged_header_anywhere_is_found(parts):
    path = parts.folder / "set.json"
    for content in damage(path, range(path.stat().st_size)):
        path.write_bytes(content)
        try:
            header = Parts(parts.output).header()
        except JentmaxError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:  # a blank between two entries
            assert header == parts.header() or json.loads(content) == json.loads(path.read_bytes())
    whole = path.read_bytes()
    for length in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(JentmaxError, match=r"set\.json: it is damaged"):
            Parts(parts.output).header()


def test_another_schema(parts):
    path = parts.folder / "set.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(JentmaxError, match="has schema 3, this jentmax reads 2"):
        Parts(parts.output).header()


def test_a_folder_that_is_something_else(tmp_path):
    parts = Parts(tmp_path / "set.h5")
    parts.folder.mkdir()
    assert parts.header() is None
    (parts.folder / "notes").write_text("mine")
    for use in (parts.header, lambda: parts.begin(HEADER)):
        with pytest.raises(JentmaxError, match=r"has no set\.json but other files \(notes\)"):
            use()
    parts.remove_all()
    assert (parts.folder / "notes").read_text() == "mine"
    (parts.folder / "set.json").write_text('{"format": "other"}')
    with pytest.raises(JentmaxError, match="its format is not 'jentmax set'"):
        parts.header()


def test_foreign_files_stay(parts):
    (parts.folder / "notes").write_text("mine")
    (parts.folder / ".0-000009-0000.npz.0123abcd.partial").write_text("of a killed process")
    parts.remove_all()
    assert os.listdir(parts.folder) == ["notes"]


# Files from elsewhere


def put_in_its_place(path, make):
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to("/etc/passwd"), lambda path: path.mkdir(), os.mkfifo],
    ids=["link", "folder", "pipe"],
)
def test_what_is_no_file_is_refused_and_not_touched(parts, make):
    path = parts.folder / CHUNK.file_name
    put_in_its_place(path, make)
    before = path.lstat()
    for use in (
        parts.get,
        parts.accepted,
        parts.remove,
        lambda chunk: parts.put(chunk, made(chunk)),
        lambda chunk: Dataset(parts.output),
    ):
        with pytest.raises(JentmaxError, match=r"is a link or no regular file") as raised:
            use(CHUNK)
        assert not isinstance(raised.value, DamagedPart)
        assert path.lstat().st_ino == before.st_ino
    put_in_its_place(parts.folder / "set.json", make)
    with pytest.raises(JentmaxError, match="is a link or no regular file"):
        Parts(parts.output).header()


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc"), lambda path: path.touch()])
def test_folders_that_are_links_or_files(tmp_path, make):
    parts = Parts(tmp_path / "set.h5")
    make(parts.folder)
    uses = (parts.exists, parts.header, parts.chunks, parts.remove_all, lambda: parts.begin(HEADER))
    for use in uses:
        with pytest.raises(JentmaxError, match="is a link or no folder"):
            use()
    assert os.path.lexists(parts.folder)


def forged(parts, content):
    """A part with whatever content, and checksums that fit."""
    end = content.rindex(b"PK\x05\x06") + 22
    packed = parts._packed(CHUNK, made(CHUNK))
    comment = packed[packed.rindex(b"jentmax part") : -17].decode()
    content = content[: end - 2] + (len(comment) + 17).to_bytes(2, "little")
    comment = f"{comment}{zlib.crc32(content):08x} ".encode()
    return content + comment + f"{zlib.crc32(comment):08x}".encode()


class Payload:
    def __reduce__(self):
        return open, ("it-ran", "w")


def saved(save=np.savez, **arrays):
    save("forged.npz", **arrays)
    return Path("forged.npz").read_bytes()


def arrays_of(rows):
    fields = {name: getattr(rows, name) for name in ("positions", "numbers", "cells", "pbc")}
    fields |= {"pointer": rows.pointer}
    fields |= {f"columns/{name}": values for name, values in rows.columns.items()}
    return fields | {"atom_columns/descriptors": rows.descriptors}


def test_forged_parts_run_no_code_and_take_no_memory(parts):
    path, good = parts.folder / CHUNK.file_name, arrays_of(made(CHUNK))
    path.write_bytes(forged(parts, saved(**good)))
    assert_same(parts.get(CHUNK), made(CHUNK))  # so that it is the content that is refused below
    pickled = np.array([Payload()], object)
    claimed = saved(**good).replace(b"'shape': (12, 3)", b"'shape': (12" + b"0" * 3 + b",)")
    bad = [
        saved(**good | {"numbers": pickled}),
        saved(**good | {"columns/evil": pickled}),
        saved(np.savez_compressed, **good),
        saved(np.savez_compressed, **good | {"columns/zeros": np.zeros((4, 10**6))}),
        saved(**good | {"positions": good["positions"].astype("complex128")}),
        saved(**good | {"positions": np.asfortranarray(good["positions"])}),
        saved(**good | {"pointer": np.array([0, 3, 2**62, 9, 12])}),
        saved(**{name: values for name, values in good.items() if name != "pbc"}),
        saved(**good | {"columns/status": np.zeros(4, "int8")}),
        claimed,
        b"PK\x05\x06" + bytes(18),
    ]
    for content in bad:
        path.write_bytes(forged(parts, content))
        with pytest.raises(DamagedPart):
            parts.get(CHUNK)
    assert not Path("it-ran").exists()


def test_a_part_larger_than_the_memory(parts, monkeypatch):
    monkeypatch.setattr(room, "memory_bytes", lambda: 100.0)
    with pytest.raises(JentmaxError, match="more than the memory holds"):
        parts.get(CHUNK)
