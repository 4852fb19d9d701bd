"""Disks that are full, limits, and folders that cannot be written: nothing is lost."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
from tiny_runs import PROLOGUE, assert_identical, columns, left, made, tiny

from jentmax.dataset import Parts
from jentmax.errors import JentmaxError
from jentmax.generation import generate

N = 24


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "set.h5"
    return columns(generate(tiny(), structures=N, output=path))


def go_on(expected, name="set.h5"):
    """Go on until it is complete or stops with a message; how many chunks are there."""
    try:
        generate(tiny(), structures=N, output=name, devices=1)
    except JentmaxError as error:
        if f"cannot be written: {expected}; check that the folder is writable" not in str(error):
            raise
        parts = Parts(name)
        if parts.header() is None:
            return 0
        for chunk in parts.chunks():
            parts.get(chunk)  # is whole
        return len(parts.chunks())
    return 1000


@contextlib.contextmanager
def limit(size):
    """No file may be larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def _cache_is_elsewhere():
    """JAX's cache of programs does not complain of the same limit."""
    import jax

    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    assert before == jax.config.values["jax_compilation_cache_dir"]


@pytest.mark.usefixtures("_cache_is_elsewhere")
def test_a_limit_that_is_raised_little_by_little(whole):
    """First of set.json, then of a part, then of the file, which is the largest."""
    made(tiny(), 1, output="warm.h5")  # compiles
    os.remove("warm.h5")
    lengths = []
    for size in (100, 2000, 5000, 20_000, 60_000, 10_000_000):
        with limit(size):
            lengths.append(go_on("File too large"))
        if lengths[-1] == 1000:
            break
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == 1000
    assert len(set(lengths)) >= 3, lengths
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_every_sync_fails_once(whole, monkeypatch, number):
    """Each time the run goes on from what it had."""
    fsync, lengths = os.fsync, []

    def failing(descriptor):
        calls[0] -= 1
        if calls[0] == 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    for count in (1, 2, 3, 2, 4, 3, 2, 1, 2, 3, 4, 100):
        calls = [count]
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", failing)
            lengths.append(go_on(os.strerror(number)))
        if lengths[-1] == 1000:
            break
    assert lengths == sorted(lengths)
    assert lengths[-1] == 1000
    assert_identical(columns("set.h5"), whole)
    assert left() == ["set.h5"]


def test_a_read_only_folder(whole, monkeypatch):
    """Refused before anything is computed; the set under way stays as it is."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    os.mkdir("folder")
    os.chmod("folder", 0o500)
    with pytest.raises(JentmaxError, match="cannot be written: Permission denied"):
        generate(tiny(), structures=N, output="folder/set.h5")
    os.chmod("folder", 0o700)


# Small filesystems, in a namespace of their own


def cannot_mount():
    """Why there are no filesystems of a test's own; empty if there are."""
    if shutil.which("unshare") is None:
        return "no unshare, which makes namespaces"
    told = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True
    )
    return f"no filesystems of one's own: {told.stderr.strip()}" if told.returncode else ""


def namespace(script, folder, *arguments):
    """Run a Python program in a process that sees a small filesystem in a folder."""
    shell = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
    program = PROLOGUE + textwrap.dedent(script)
    words = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, str(folder), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


REFUSED = cannot_mount()
own_filesystems = pytest.mark.skipif(bool(REFUSED), reason=REFUSED)

LITTLE_BY_LITTLE = """
import shutil
from test_disk_full import go_on
os.chdir(sys.argv[1])
os.mkdir("run")
lengths = []
for more in range(0, 600_000, 12_000):
    disk = os.statvfs(".")
    with open("ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - 4096 - more)
    lengths.append(go_on("No space left on device", "run/set.h5"))
    os.remove("ballast")
    if lengths[-1] == 1000:
        break
assert lengths == sorted(lengths), lengths
assert lengths[-1] == 1000, lengths
assert len(set(lengths)) >= 3, lengths
assert os.listdir("run") == ["set.h5"]
shutil.copy("run/set.h5", sys.argv[2])
"""


@own_filesystems
@pytest.mark.slow
def test_a_small_filesystem(whole, tmp_path):
    """Full in the midst of a run, and after room is made the run goes on."""
    small = tmp_path / "small"
    small.mkdir()
    namespace(LITTLE_BY_LITTLE, small, small, tmp_path / "set.h5")
    assert_identical(columns("set.h5"), whole)


READ_ONLY = """
import pathlib, subprocess
from jentmax.errors import JentmaxError
os.chdir(sys.argv[1])
def callback(progress):
    if progress.made:
        raise Stopped
for name in ("none.h5", "running.h5"):
    if name == "running.h5":
        try:
            generate(tiny(), structures=24, output=name, callback=callback)
        except Stopped:
            pass
before = sorted(str(path) for path in pathlib.Path(".").rglob("*"))
subprocess.run(["mount", "-o", "remount,ro", "."], check=True)
for name in ("none.h5", "running.h5"):
    try:
        generate(tiny(), structures=24, output=name)
    except JentmaxError as error:
        assert f"{name} cannot be written: Read-only file system" in str(error), error
    else:
        raise AssertionError(name)
assert len(jm.Dataset("running.h5")) >= 4
assert sorted(str(path) for path in pathlib.Path(".").rglob("*")) == before
subprocess.run(["mount", "-o", "remount,rw", "."], check=True)
generate(tiny(), structures=24, output="running.h5")
assert sorted(os.listdir()) == ["running.h5"]
import shutil
shutil.copy("running.h5", sys.argv[2])
"""


@own_filesystems
@pytest.mark.slow
def test_a_read_only_filesystem(whole, tmp_path):
    """What is there can be read; a run is refused, and goes on afterwards."""
    small = tmp_path / "small"
    small.mkdir()
    namespace(READ_ONLY, small, small, tmp_path / "set.h5")
    assert_identical(columns("set.h5"), whole)
