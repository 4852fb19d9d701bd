"""Parts that are damaged, cut off, of others, links or folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import Stopped, assert_identical, columns, left, made, tiny

from jentmax.dataset import ChunkId, Parts
from jentmax.errors import JentmaxError
from jentmax.generation import generate

FOLDER = Path("set.h5.parts")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "set.h5"
    return columns(generate(tiny(), structures=20, output=path))


@pytest.fixture
def parts():
    """Three chunks at least of a set of 20 structures, in this folder."""

    def callback(progress):
        if progress.made >= 12:
            raise Stopped

    with pytest.raises(Stopped):
        generate(tiny(), structures=20, output="set.h5", callback=callback, devices=1)
    parts = Parts("set.h5")
    header = parts.header()
    assert header is not None
    assert header["seed"] == 0
    assert ChunkId(0, 0, 1) in parts.chunks()
    return parts


def flipped(path, where):
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 4
    path.write_bytes(content)


def cut(path, where):
    os.truncate(path, int(where * path.stat().st_size))


@pytest.mark.parametrize("harm", [flipped, cut])
@pytest.mark.parametrize("where", [0.0, 0.05, 0.1, 0.3, 0.999])
@pytest.mark.parametrize("chunk", [ChunkId(0, 0, 0), ChunkId(0, 0, 1), ChunkId(0, 1, 0)])
@pytest.mark.slow
def test_a_damaged_part_is_made_again(whole, parts, harm, where, chunk):
    """At its end, which is read at once, or elsewhere, which is seen later."""
    path = FOLDER / chunk.file_name
    harm(path, where)
    notes = []
    found = made(tiny(), 20, callback=lambda told: notes.append(told.note))
    assert_identical(found, whole)
    assert left() == ["set.h5"]
    told = [note for note in notes if "damaged" in note]
    assert len(told) == 1
    assert f"{path.absolute()} is damaged: " in told[0]
    assert "makes it again" in told[0]


def test_all_parts_are_damaged(whole, parts):
    for chunk in parts.chunks():
        cut(FOLDER / chunk.file_name, 0.5)
    assert_identical(made(tiny(), 20), whole)


def test_a_part_of_another_set(whole, parts):
    """It is no part of this one, whatever its name."""
    other = tiny(entropy_weight=300.0)
    with pytest.raises(Stopped):
        generate(other, structures=20, output="other.h5", callback=stop_at_once)
    [chunk, *_] = Parts("other.h5").chunks()
    os.replace(Path("other.h5.parts") / chunk.file_name, FOLDER / chunk.file_name)
    assert_identical(made(tiny(), 20), whole)


def stop_at_once(progress):
    if progress.made:
        raise Stopped


def test_a_part_under_the_name_of_another(whole, parts):
    os.replace(FOLDER / ChunkId(0, 0, 0).file_name, FOLDER / ChunkId(0, 1, 0).file_name)
    assert_identical(made(tiny(), 20), whole)


@pytest.mark.parametrize("what", ["link", "folder"])
@pytest.mark.parametrize("name", ["0-000000-0000.npz", "0-000003-0000.npz"])
@pytest.mark.slow
def test_parts_that_are_links_or_folders(parts, what, name):
    """Refused with a clear message, and nothing is touched; also where none was yet."""
    path = FOLDER / name
    path.unlink(missing_ok=True)
    Path("elsewhere.npz").write_bytes(b"precious")
    if what == "link":
        path.symlink_to(Path("elsewhere.npz").absolute())
    else:
        path.mkdir()
        (path / "file").write_text("precious")
    before = sorted(os.listdir(FOLDER))
    with pytest.raises(JentmaxError, match=rf"{name} is a link or no regular file"):
        generate(tiny(), structures=20, output="set.h5")
    assert sorted(os.listdir(FOLDER)) == before
    assert Path("elsewhere.npz").read_bytes() == b"precious"
    assert path.is_symlink() or (path / "file").read_text() == "precious"


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_folder_that_is_none(what):
    os.mkdir("elsewhere")
    if what == "link":
        FOLDER.symlink_to(Path("elsewhere").absolute())
    else:
        FOLDER.write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(JentmaxError, match=r"set\.h5\.parts is a link or no folder"):
            generate(tiny(), structures=3, output="set.h5", overwrite=overwrite)
    assert left() == ["elsewhere", "set.h5.parts"]
    assert left("elsewhere") == []


def test_a_folder_of_somebody_else():
    FOLDER.mkdir()
    (FOLDER / "thesis.tex").write_text("precious")
    with pytest.raises(JentmaxError, match=r"has no set\.json but other files \(thesis\.tex\)"):
        generate(tiny(), structures=3, output="set.h5")
    assert left(FOLDER) == ["thesis.tex"]
    made(tiny(), 3, overwrite=True, output="other.h5")
    assert (FOLDER / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "something"}'])
def test_a_damaged_header(parts, content):
    """Refused: parts without it may be of any set."""
    (FOLDER / "set.json").write_bytes(content)
    before = left(FOLDER)
    with pytest.raises(JentmaxError, match=r"set\.json is damaged: .*remove it"):
        generate(tiny(), structures=20, output="set.h5")
    assert left(FOLDER) == before
    assert len(made(tiny(), 3, overwrite=True)["index"]) == 3
    assert left() == ["set.h5"]


def test_what_others_remove_is_made_again(whole, parts, monkeypatch):
    """Another process has found a part damaged that this one has counted."""
    counts = Parts.counts

    def removing(self, chunk):
        found = counts(self, chunk)
        if chunk.cycle == 0:
            (self.folder / chunk.file_name).unlink()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Parts, "counts", removing)
        seen = []

        def once(self, chunk):
            if chunk in seen:
                return counts(self, chunk)
            seen.append(chunk)
            return removing(self, chunk)

        patched.setattr(Parts, "counts", once)
        assert_identical(made(tiny(), 20), whole)


def test_names_that_are_no_parts_are_left_alone(whole, parts):
    (FOLDER / "notes.txt").write_text("precious")
    (FOLDER / "0-000000-0000.npz.copy").write_text("precious")
    assert_identical(made(tiny(), 20), whole)
    assert left(FOLDER) == ["0-000000-0000.npz.copy", "notes.txt"]
    assert np.array_equal(made(tiny(), 20)["index"], np.arange(20))
