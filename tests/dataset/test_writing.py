"""Writing finished files: what exists, what cannot be written, full disks."""

import contextlib
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from dataset_files import (
    HEADER,
    accepted,
    assert_holds,
    described,
    finished,
    flipped,
    ids,
    leftovers,
    made,
    no_links,
    stream,
    under_way,
)

from jentmax.dataset import DamagedPart, Dataset, MissingPart, Parts, _writer, write_set
from jentmax.dataset.output import remove_partial
from jentmax.errors import JentmaxError


def test_an_existing_file_is_not_touched(path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(JentmaxError, match=r"set\.h5 exists.*overwrite"):
        described(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["set.h5"]


def test_overwriting_keeps_the_old_file_until_there_is_a_new_one(path, tmp_path, meanwhile):
    before = path.read_bytes()

    def fail():
        assert path.read_bytes() == before
        raise KeyboardInterrupt

    meanwhile(_writer, "_append", fail)
    with pytest.raises(KeyboardInterrupt):
        described(path, overwrite=True)
    assert path.read_bytes() == before
    described(path, overwrite=True)
    assert Dataset(path).kind == "described"
    assert os.listdir(tmp_path) == ["set.h5"]


# Finishing a set


def kept(parts):
    """What stands beside the folder of a set under way, and the folder's parts."""
    return sorted(os.listdir(parts.output.parent)), parts.chunks()


@pytest.mark.parametrize("links", [True, False])
def test_the_first_of_two_processes_wins(parts, meanwhile, monkeypatch, links):
    """Also on a file system without hard links. The other one may find its own file gone."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    meanwhile(Parts, "get", lambda: write_set(parts, 6))
    with pytest.raises(MissingPart) if links else contextlib.nullcontext():
        write_set(parts, 4)
    assert_holds(parts.output, accepted(ids())[:6])
    assert kept(parts) == (["set.h5", "set.h5.parts"], set(ids()))


@pytest.mark.parametrize("links", [True, False])
def test_a_smaller_file_of_the_set_is_replaced_and_a_larger_one_stays(parts, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    largest = 0
    for n in (5, 4, 5, 8, 2):
        before = parts.output.stat().st_ino if largest else None
        write_set(parts, n)
        assert (parts.output.stat().st_ino == before) == (n <= largest)
        largest = max(n, largest)
        assert_holds(parts.output, accepted(ids())[:largest])
    assert kept(parts) == (["set.h5", "set.h5.parts"], set(ids()))


@pytest.mark.parametrize("what", ["another set", "text", "a folder", "a described file"])
def test_a_file_that_appears_meanwhile_is_not_touched(parts, tmp_path, meanwhile, what):
    other = finished(tmp_path / "other.h5", 1, HEADER | {"seed": 8})
    make = {
        "another set": lambda: other.rename(parts.output),
        "text": lambda: parts.output.write_text("mine"),
        "a folder": parts.output.mkdir,
        "a described file": lambda: described(parts.output),
    }[what]

    def seen():
        now = parts.output.stat()
        return now.st_ino, now.st_mtime_ns, now.st_size

    found = []
    meanwhile(Parts, "get", lambda: (make(), found.append(seen())))
    with pytest.raises(JentmaxError, match=r"set\.h5 is (another set|not an HDF5 file|a folder)"):
        write_set(parts, 6)
    assert seen() == found[0]
    assert (leftovers(tmp_path), parts.chunks()) == ([], set(ids()))


def test_what_others_remove_meanwhile(parts, meanwhile):
    """`generate` looks at the folder again, and nothing is left."""
    meanwhile(_writer, "put_in_place", lambda: remove_partial(parts.output))
    with pytest.raises(MissingPart):
        write_set(parts, 6)
    assert kept(parts) == (["set.h5.parts"], set(ids()))
    meanwhile(Parts, "get", lambda: Parts(parts.output).remove_all())
    with pytest.raises(MissingPart):
        write_set(parts, 6)
    assert kept(parts) == ([], set())


def test_a_damaged_part_is_not_written(parts, part):
    part.write_bytes(flipped(part.read_bytes(), 1000))
    with pytest.raises(DamagedPart, match=r"0-000001-0001\.npz is damaged"):
        write_set(parts, 2)
    assert kept(parts) == (["set.h5.parts"], set(ids()))


def test_overwriting_through_a_link_keeps_the_link(path, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    described(link, overwrite=True)
    assert link.is_symlink()
    assert Dataset(path).kind == "described"


def test_permissions_are_those_of_any_new_file(path, tmp_path):
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_killed_processes_have_left_goes(tmp_path):
    (tmp_path / ".set.h5.0123abcd.partial").write_text("")
    (tmp_path / ".other.h5.0123abcd.partial").write_text("")
    finished(tmp_path / "set.h5")
    assert leftovers(tmp_path) == [".other.h5.0123abcd.partial"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none/set.h5", "no folder"),
        ("file/set.h5", "no folder"),
        (".", "is a folder"),
        ("x" * 250 + ".h5", "cannot be written"),
        *([("/proc/set.h5", "cannot be written")] if sys.platform == "linux" else ()),
        *([("/dev/null", "no regular file")] if os.name == "posix" else ()),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(JentmaxError, match=message):
        described(tmp_path / name, overwrite=True)
    if name not in (".", "/dev/null"):
        with pytest.raises(JentmaxError, match=r"\.parts cannot be (written|read): "):
            under_way(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


def test_size_is_near_that_of_the_compressed_arrays(tmp_path):
    header = HEADER | {"streams": [stream("W39", 39, 1.0, 32)]}
    path = finished(tmp_path / "set.h5", 20, header)
    n = len(accepted(ids(20, header), header))
    assert path.stat().st_size < 1.1 * n * (39 * (24 + 2 + 8) + 3 * 8 + 20 * 8)


# Full disks


@pytest.fixture
def limit():
    """Let files have no more than so many bytes."""
    resource = pytest.importorskip("resource")
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda n: resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_while_the_file_is_written(path, parts, tmp_path, limit):
    """Whenever the disk is full, the error is clear, nothing is left, and HDF5 goes on working."""
    before, size = path.read_bytes(), path.stat().st_size
    path.rename("old.h5")

    def finish():
        write_set(parts, len(accepted(ids())))

    def describe():
        described("old.h5", overwrite=True)

    for n_bytes in [0, 10, *range(1000, size, size // 15), size - 1]:
        limit(n_bytes)
        for write in (finish, describe) if n_bytes < size // 2 else (finish,):  # that is smaller
            with pytest.raises(JentmaxError, match=r"h5 cannot be written: File too large; check"):
                write()
            assert sorted(os.listdir(tmp_path)) == ["old.h5", "set.h5.parts"]
            assert Path("old.h5").read_bytes() == before
        with h5py.File("old.h5") as file:
            assert np.size(np.asarray(file["structures/pointer"]))
    limit(size)
    finish()
    assert path.read_bytes() == before


def test_a_full_disk_while_a_part_is_written(tmp_path, limit):
    parts, chunk = Parts(tmp_path / "set.h5"), ids()[0]
    limit(100)
    with pytest.raises(JentmaxError, match=r"set\.json cannot be written: File too large; check"):
        parts.begin(HEADER)
    assert os.listdir(parts.folder) == []
    limit(10**6)
    parts.begin(HEADER)
    for n_bytes in (0, 10, 2000):
        limit(n_bytes)
        with pytest.raises(JentmaxError, match=r"npz cannot be written: File too large; check"):
            parts.put(chunk, made(chunk))
        assert os.listdir(parts.folder) == ["set.json"]
    limit(10**6)
    parts.put(chunk, made(chunk))
    assert np.isfinite(Dataset(tmp_path / "set.h5").positions).all()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    try:
        for write in (finished, described):
            with pytest.raises(JentmaxError, match="cannot be written: Permission denied"):
                write(tmp_path / "set.h5")
        with pytest.raises(JentmaxError, match="cannot be written: Permission denied"):
            Parts(tmp_path / "set.h5").begin(HEADER)
    finally:
        tmp_path.chmod(0o700)
