"""Writing finished files: what exists, what cannot be written, full disks."""

import os
import sys

import h5py
import numpy as np
import pytest
from dataset_files import (
    HEADER,
    accepted,
    assert_holds,
    described,
    finished,
    ids,
    leftovers,
    made,
)

from jentmax.dataset import Dataset, Parts, write_set
from jentmax.errors import JentmaxError


@pytest.fixture
def path(tmp_path):
    return finished(tmp_path / "set.h5")


def test_an_existing_file_is_not_touched(path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(JentmaxError, match=r"set\.h5 exists.*overwrite"):
        described(path)
    assert not write_set(path, HEADER, ids(), made, 2)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["set.h5"]


def test_overwriting_keeps_the_old_file_until_there_is_a_new_one(path, tmp_path):
    before = path.read_bytes()
    header = HEADER | {"seed": 8}

    def get(chunk):
        assert path.read_bytes() == before
        return made(chunk, seed=1)

    def failing(chunk):
        raise FileNotFoundError(chunk) if chunk.batch else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(path, header, ids(), failing, 2, overwrite=True)
    assert path.read_bytes() == before
    assert write_set(path, header, ids(), get, 2, overwrite=True)
    assert (len(Dataset(path)), Dataset(path).seed) == (2, 8)
    assert os.listdir(tmp_path) == ["set.h5"]


def test_a_chunk_that_is_gone_leaves_nothing(tmp_path):
    """`generate` looks at the folder again."""
    with pytest.raises(FileNotFoundError):
        write_set(tmp_path / "set.h5", HEADER, ids(), Parts(tmp_path / "set.h5").get, 2)
    assert os.listdir(tmp_path) == []


def test_the_first_of_two_processes_wins(tmp_path):
    path = tmp_path / "set.h5"

    def get(chunk):
        if not path.exists():
            finished(path, n=4)
        return made(chunk)

    assert not write_set(path, HEADER, ids(), get, 6)
    assert_holds(path, accepted(ids())[:4])
    assert os.listdir(tmp_path) == ["set.h5"]


def test_a_file_that_appears_meanwhile_is_not_touched(tmp_path):
    path = tmp_path / "set.h5"

    def get(chunk):
        path.write_text("mine")
        return made(chunk)

    assert not write_set(path, HEADER, ids(), get, 6)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["set.h5"]


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
        pytest.param(
            "/proc/set.h5",
            "cannot be written",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has it"),
        ),
        pytest.param(
            "/dev/null",
            "no regular file",
            marks=pytest.mark.skipif(os.name != "posix", reason="POSIX has it"),
        ),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    for write in (finished, described):
        with pytest.raises(JentmaxError, match=message):
            write(tmp_path / name, overwrite=True)
    assert os.listdir(tmp_path) == ["file"]


def test_size_is_near_that_of_the_compressed_arrays(tmp_path):
    header = HEADER | {"streams": [{"share": 1.0, "n_atoms": 39, "batch_size": 32, "cycles": 1}]}
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


def test_a_full_disk_while_the_file_is_written(path, tmp_path, limit):
    """Whenever the disk is full, the error is clear, nothing is left, and HDF5 goes on working."""
    size = path.stat().st_size
    before = path.read_bytes()
    for n_bytes in [0, 10, *range(1000, size, size // 15), size - 1]:
        limit(n_bytes)
        for write, name in ((finished, "new.h5"), (described, "new.h5"), (described, "set.h5")):
            if write is described and n_bytes > size // 2:
                continue  # it is smaller
            with pytest.raises(JentmaxError, match=r"h5 cannot be written: File too large; see"):
                write(tmp_path / name, overwrite=True)
            assert os.listdir(tmp_path) == ["set.h5"]
            assert path.read_bytes() == before
        with h5py.File(path) as file:
            assert len(file["structures/pointer"])
    limit(size)
    finished(tmp_path / "new.h5")
    assert (tmp_path / "new.h5").read_bytes() == before


def test_a_full_disk_while_a_part_is_written(tmp_path, limit):
    parts, chunk = Parts(tmp_path / "set.h5"), ids()[0]
    limit(100)
    with pytest.raises(JentmaxError, match=r"set\.json cannot be written: File too large; see"):
        parts.begin(HEADER)
    assert os.listdir(parts.folder) == []
    limit(10**6)
    parts.begin(HEADER)
    for n_bytes in (0, 10, 2000):
        limit(n_bytes)
        with pytest.raises(JentmaxError, match=r"npz cannot be written: File too large; see"):
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
