"""Parts of a set that are damaged, or come from elsewhere."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dataset_files import (
    CHUNK,
    HEADER,
    TWO_STREAMS,
    assert_bits,
    counted,
    flipped,
    ids,
    leftovers,
    made,
    stream,
    under_way,
)

from jentmax.dataset import ChunkId, DamagedPart, Dataset, Parts
from jentmax.dataset import _parts as room
from jentmax.dataset._npz import pack
from jentmax.errors import JentmaxError

OTHER = ChunkId(0, 2, 0)


# Damage


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_found(part, parts):
    """Or changes nothing; most are found, and the error names the part."""
    whole = part.read_bytes()
    places = [*range(0, len(whole), 37), *range(len(whole) - 1100, len(whole))]
    found = 0
    for place in places:
        part.write_bytes(flipped(whole, place))
        try:
            assert_bits(parts.get(CHUNK), made(CHUNK))
        except DamagedPart as error:
            assert "0-000001-0001.npz is damaged: " in str(error)  # noqa: PT017
            found += 1
    assert found > len(places) / 2
    for place in range(len(whole) - 40, len(whole)):  # the comment
        for bit in range(8):
            part.write_bytes(flipped(whole, place, bit))
            for read in (parts.get, parts.counts):
                with pytest.raises(DamagedPart):
                    read(CHUNK)


def test_a_part_cut_off_anywhere_is_found(part, parts):
    whole = part.read_bytes()
    for length in [*range(1, len(whole), 41), *range(len(whole) - 250, len(whole))]:
        part.write_bytes(whole[:length])
        for read in (parts.get, parts.counts):
            with pytest.raises(DamagedPart, match=r"0-000001-0001\.npz is damaged.*same command"):
                read(CHUNK)
    for content in (whole + b"x", whole[1:], whole[:100] + whole[101:]):
        part.write_bytes(content)
        with pytest.raises(DamagedPart):
            parts.get(CHUNK)


def test_a_disk_that_cannot_read_a_part(parts, monkeypatch):
    opened = os.open

    def fails(path, *flags):
        if str(path).endswith(CHUNK.file_name):
            raise OSError(5, "Input/output error")
        return opened(path, *flags)

    monkeypatch.setattr(os, "open", fails)
    for read in (parts.get, parts.counts):
        with pytest.raises(DamagedPart, match="Input/output error; the same command makes it"):
            read(CHUNK)


def test_a_damaged_part_is_made_again(part, parts):
    part.write_bytes(part.read_bytes()[:-1])
    parts.remove(CHUNK)
    parts.remove(CHUNK)  # another process has done so
    assert CHUNK not in parts.chunks()
    part.write_bytes(b"rubbish")
    assert_bits(parts.put(CHUNK, made(CHUNK)), made(CHUNK))
    assert leftovers(parts.folder) == []


def test_parts_in_the_place_of_others(part, parts, tmp_path):
    part.write_bytes((parts.folder / OTHER.file_name).read_bytes())
    with pytest.raises(DamagedPart, match=r"it says that it is 0-000002-0000\.npz"):
        parts.get(CHUNK)
    others = Parts(tmp_path / "other.h5")
    others.begin(TWO_STREAMS)
    third = ChunkId(1, 0, 0)
    for chunk in (OTHER, third):
        others.put(chunk, made(chunk, TWO_STREAMS))
        (others.folder / chunk.file_name).rename(parts.folder / chunk.file_name)
        for read in (parts.get, parts.counts):
            with pytest.raises(DamagedPart, match="belongs to another set"):
                read(chunk)
    comment = f"jentmax {third.file_name} {parts._id:08x} 2 0 0"
    (parts.folder / third.file_name).write_bytes(pack(made(third, TWO_STREAMS), comment))
    for read in (parts.get, parts.counts):
        with pytest.raises(DamagedPart, match="it says that it is"):
            read(third)


def test_a_damaged_header_anywhere_is_found(parts):
    """Or changes nothing: a blank between two entries."""
    path = parts.folder / "set.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(flipped(whole, place))
        try:
            assert Parts(parts.output).header() == HEADER
        except JentmaxError as error:
            assert f"{path} is damaged: " in str(error)  # noqa: PT017
        else:
            assert json.loads(path.read_bytes()) == json.loads(whole)
    for length in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(JentmaxError, match=r"set\.json is damaged: .*; copy the folder again"):
            Parts(parts.output).header()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": "other"}', "its format is not 'jentmax set'"),
        ('{"format": "jentmax set", "schema": 2}', "it has schema 2, this jentmax reads 3"),
        ("[1]", "its format is not"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"seed": ' + "9" * 5000 + "}", "digits"),
        (b"\xff", "can't decode"),
    ],
)
def test_headers_of_something_else(parts, content, message):
    content = content.encode() if isinstance(content, str) else content
    (parts.folder / "set.json").write_bytes(content)
    for use in (Parts(parts.output).header, lambda: Parts(parts.output).begin(HEADER)):
        with pytest.raises(JentmaxError, match=rf"set\.json is damaged: .*{message}"):
            use()


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


def test_foreign_files_stay(parts):
    (parts.folder / "notes").write_text("mine")
    (parts.folder / ".0-000009-0000.npz.0123abcd.partial").write_text("of a killed process")
    parts.remove_all()
    assert os.listdir(parts.folder) == ["notes"]


def test_a_folder_that_a_killed_process_was_removing(parts, tmp_path):
    left = tmp_path / ".set.h5.parts.0123abcd.partial"
    parts.folder.rename(left)
    under_way(tmp_path / "other.h5")
    (tmp_path / ".set.h5.parts.01234567.partial").symlink_to("other.h5.parts")
    Parts(parts.output).remove_all()
    assert leftovers(tmp_path) == [".set.h5.parts.01234567.partial"]
    assert Parts("other.h5").chunks() == set(ids())


# Files from elsewhere


@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to("/etc/passwd"), lambda path: path.mkdir(), os.mkfifo],
    ids=["link", "folder", "pipe"],
)
def test_what_is_no_file_is_refused_and_not_touched(part, parts, make):
    part.unlink()
    make(part)
    before = part.lstat()
    for use in (
        parts.get,
        parts.counts,
        lambda chunk: parts.put(chunk, made(chunk)),
        lambda chunk: Dataset(parts.output),
    ):
        with pytest.raises(JentmaxError, match=r"is a link or no regular file") as raised:
            use(CHUNK)
        assert not isinstance(raised.value, DamagedPart)
        assert part.lstat().st_ino == before.st_ino
    (parts.folder / "set.json").unlink()
    make(parts.folder / "set.json")
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


class Payload:
    def __reduce__(self):
        return open, ("it-ran", "w")


def saved(save=np.savez, **arrays):
    save("forged.npz", **arrays)
    return Path("forged.npz").read_bytes()


def with_array(content, header, values=b""):
    """The archive with an array that says of itself whatever it likes."""
    header = header.encode() + b"\n"
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("columns/evil.npy", start + header + values)
    return stream.getvalue()


def arrays_of(rows):
    fields = ("positions", "numbers", "cells", "pbc", "pointer")
    fields = {name: getattr(rows, name) for name in fields}
    fields |= {f"columns/{name}": values for name, values in rows.columns.items()}
    return fields | {"atom_columns/descriptors": rows.descriptors}


CLAIM = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}".format


def test_forged_parts_run_no_code_and_take_no_memory(part, parts):
    """Their comments are right, and so are the checksums of their arrays."""
    rows = made(CHUNK)
    comment = "jentmax {} {:08x} {} {} {}".format(CHUNK.file_name, parts._id, *counted(CHUNK))

    def forge(content):
        end = content.rindex(b"PK\x05\x06") + 20
        part.write_bytes(content[:end] + len(comment).to_bytes(2, "little") + comment.encode())

    good = arrays_of(rows)
    whole = saved(**good)
    forge(whole)
    assert_bits(parts.get(CHUNK), rows)  # so that it is the content that is refused below
    pickled = np.array([Payload()], object)
    changes = [
        {"numbers": pickled},
        {"columns/evil": pickled},
        {"positions": good["positions"].astype("complex128")},
        {"positions": np.asfortranarray(good["positions"])},
        {"pointer": np.array([0, 3, 2**62, 9, 12])},
        {"columns/status": np.zeros(4, "int8")},
        {"columns/status": np.full(4, 2, "int8")},  # that is not what the comment says
    ]
    bad = [
        *(saved(**good | change) for change in changes),
        saved(np.savez_compressed, **good),
        saved(np.savez_compressed, **good | {"columns/zeros": np.zeros((4, 10**6))}),
        saved(**{name: values for name, values in good.items() if name != "pbc"}),
        with_array(whole, CLAIM("'<f8'", "(4, 1000000000)")),
        with_array(whole, CLAIM("'<f8'", f"({2**70}, 0)")),
        with_array(whole, CLAIM("'<f8'", "(True,)"), bytes(8)),
        with_array(whole, CLAIM("'<f8'", "-" * 9000 + "(4,)")),
        with_array(whole, CLAIM("('<f8',)", "(4,)"), bytes(32)),
        with_array(whole, "{}"),
        b"PK\x05\x06" + bytes(18),
    ]
    for content in bad:
        forge(content)
        with pytest.raises(DamagedPart):
            parts.get(CHUNK)
    assert not Path("it-ran").exists()


def test_a_part_cannot_hold_more_than_its_file(tmp_path):
    """The comment is read before the structures are counted, and memory is taken for them."""
    n, parts = 999_999_999, Parts(tmp_path / "set.h5")
    parts.begin(HEADER | {"streams": [stream("W3", 3, 1.0, n)]})
    comment = f"jentmax {CHUNK.file_name} {parts._id:08x} {n} 0 0"
    (parts.folder / CHUNK.file_name).write_bytes(pack(made(CHUNK), comment))
    for read in (parts.counts, parts.get, lambda chunk: Dataset(parts.output)):
        with pytest.raises(DamagedPart, match=r"it says that it is .* with \['999999999', "):
            read(CHUNK)


def test_a_part_larger_than_the_memory(parts, monkeypatch):
    monkeypatch.setattr(room, "memory_bytes", lambda: 100.0)
    with pytest.raises(JentmaxError, match="more than the memory holds"):
        parts.get(CHUNK)
