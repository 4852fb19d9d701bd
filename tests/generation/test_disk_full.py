"""Disks that are full or read-only: one clear message, nothing lost, and the run goes on later."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import pytest
from dataset_files import HEADER, make_rows
from tiny_runs import GIVEN, TINY, assert_identical, columns, tiny

from jentmax.dataset import DatasetWriter, check_file
from jentmax.errors import JentmaxError
from jentmax.generation import generate

resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")

SETTINGS = ("system.n_atoms=[8, 12]", "run.structures=15")
FOLDER = pathlib.Path(__file__).parent
RESERVED = 1 << 20
"""What an append asks for beside its own bytes."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The set in one go."""
    return generate(tiny(*SETTINGS), tmp_path_factory.mktemp("whole") / "set.h5")


def check(whole):
    for one, other in zip(columns("set.h5"), columns(whole), strict=True):
        assert_identical(one, other)
    assert check_file("set.h5").status == "complete"
    assert os.listdir() == ["set.h5"]


def go_on(told):
    """Make the set, or go on with it; the number of structures that are there."""
    try:
        generate(tiny(*SETTINGS), "set.h5", resume=True)
    except JentmaxError as error:
        assert told in str(error)  # noqa: PT017
        assert "set.h5 cannot be written: " in str(error)  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    if not os.path.exists("set.h5"):
        assert os.listdir() == []
        return 0
    checked = check_file("set.h5")
    assert checked.damage == ()
    return checked.n_structures


def assert_went_on(lengths):
    """Nothing at first, all at the end, and it was cut short in between."""
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == 15
    assert len(set(lengths)) > 2, lengths


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no reservation of disk space")
def test_a_limit_that_is_raised_little_by_little(whole):
    """Each time the run goes on where it ended, to the set of one run bit for bit."""
    before, lengths = resource.getrlimit(resource.RLIMIT_FSIZE), []
    for more in range(0, 400, 6):
        resource.setrlimit(resource.RLIMIT_FSIZE, (RESERVED + more * 1024, before[1]))
        try:
            lengths.append(go_on("File too large"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if lengths[-1] == 15:
            break
    assert_went_on(lengths)
    check(whole)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no reservation of disk space")
def test_a_quota(whole, monkeypatch):
    """Exceeded at one reservation of space after another."""
    allocate, lengths = os.posix_fallocate, []

    def limited(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        allocate(*arguments)

    for n_reservations in range(20):
        left = [n_reservations]
        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", limited)
            lengths.append(go_on("Disk quota exceeded"))
        if lengths[-1] == 15:
            break
    assert_went_on(lengths)
    check(whole)


# Small filesystems, in a namespace of their own


def namespace(script, *arguments, folder):
    """Run a Python program in a process that sees a small filesystem in a folder."""
    shell = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
    program = PROLOGUE + textwrap.dedent(script)
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, folder, sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
    )


def cannot_mount():
    """Why there are no filesystems of a test's own; empty if there are."""
    if shutil.which("unshare") is None:
        return "no unshare, which makes namespaces"
    told = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, text=True
    )
    return f"no filesystems of one's own: {told.stderr.strip()}" if told.returncode else ""


REFUSED = cannot_mount()
own_filesystems = pytest.mark.skipif(bool(REFUSED), reason=REFUSED)

PROLOGUE = f"""
import os, pathlib, shutil, subprocess, sys
sys.path[:0] = [{str(FOLDER)!r}, {str(FOLDER.parent)!r}]

def jentmax(*words, code=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "jentmax.cli", *words], capture_output=True, text=True,
        env={{**os.environ, "PYTHONPATH": {str(FOLDER.parent)!r}, **environment}},
    )
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout
"""

RAISED_LITTLE_BY_LITTLE = """
import jax
jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_enable_x64", True)
import test_disk_full
os.chdir(sys.argv[1])
disk = os.statvfs(".")
free = disk.f_bavail * disk.f_frsize
lengths = []
os.mkdir("run")
os.chdir("run")
for more in range(0, 400, 8):
    taken = free - test_disk_full.RESERVED - more * 1024
    taken -= sum(os.stat(name).st_blocks * 512 for name in os.listdir())
    with open("../ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, taken)
    lengths.append(test_disk_full.go_on("No space left on device"))
    os.remove("../ballast")
    if lengths[-1] == 15:
        break
test_disk_full.assert_went_on(lengths)
shutil.copy("set.h5", sys.argv[2])
"""


@own_filesystems
def test_a_small_filesystem(whole, tmp_path):
    """Full in the midst of a run, and after room is made the run goes on."""
    small = tmp_path / "small"
    small.mkdir()
    done = namespace(RAISED_LITTLE_BY_LITTLE, small, tmp_path / "set.h5", folder=small)
    assert done.returncode == 0, done.stderr
    small.rmdir()
    check(whole)


CACHE = """
os.chdir(sys.argv[1])
def generate():
    words = [word for setting in sys.argv[3:] for word in ("--set", setting)]
    print(jentmax(
        "generate", *words, "--output", "set.h5", "--overwrite",
        XDG_CACHE_HOME=os.path.abspath("small"), JAX_DISABLE_MOST_OPTIMIZATIONS="True",
    ))
del os.environ["JAX_COMPILATION_CACHE_DIR"]
if sys.argv[2] == "full":
    with open("small/ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs("small").f_bavail * 4096 - 50_000)
    generate()
    assert os.statvfs("small").f_bavail < 4
    os.remove("small/ballast")  # what was begun to be written does no harm either
else:
    subprocess.run(["mount", "-o", "remount,ro", "small"], check=True)
generate()
"""


@own_filesystems
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_cache_that_cannot_be_written(tmp_path, how):
    """The run does without."""
    small = tmp_path / "small"
    small.mkdir()
    settings = [*TINY, "run.structures=2", "quench.steps=0", "scaling.kind=given", GIVEN]
    done = namespace(CACHE, tmp_path, how, *settings, folder=small)
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stdout + done.stderr
    assert len(columns("set.h5")) == 2


READ_ONLY = """
os.chdir(sys.argv[1])
for name in ("complete.h5", "running.h5"):
    shutil.copy(name, "small")
subprocess.run(["mount", "-o", "remount,ro", "small"], check=True)
for name in ("small/complete.h5", "small/running.h5"):
    before = pathlib.Path(name).read_bytes()
    assert "structures" in jentmax("info", name)
    assert "is whole" in jentmax("info", "--check", name)
    jentmax("export", name, "set.extxyz", "--overwrite")
    for words in (["--overwrite"], ["--resume"], ["--extend"]):
        told = jentmax("generate", "--output", name, *words, code=2)
        assert told == f"error: {name} cannot be written: Read-only file system; see that the " \\
            "folder is writable and the disk is not full\\n", told
    assert pathlib.Path(name).read_bytes() == before
for command in (
    ["generate", "--output", "small/new.h5"],
    ["export", "complete.h5", "small/set.extxyz"],
    ["describe", "set.extxyz", "--output", "small/new.h5"],
    ["config", "init", "small/run.toml"],
):
    told = jentmax(*command, code=2)
    assert "cannot be written: Read-only file system" in told, told
    assert len(told.splitlines()) == 1
"""


@own_filesystems
def test_a_read_only_filesystem(tmp_path):
    """What is there can be read; what would be written is refused before anything is computed."""
    small = tmp_path / "small"
    small.mkdir()
    with DatasetWriter.create("complete.h5", **HEADER) as writer:
        writer.append(make_rows([0, 1]))
        shutil.copy("complete.h5", "running.h5")
    done = namespace(READ_ONLY, tmp_path, folder=small)
    assert done.returncode == 0, done.stderr
