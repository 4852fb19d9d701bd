"""Two processes, one file."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from tiny_runs import tiny

from jentmax import locking
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.locking import locked

LOCK = pathlib.Path(".set.h5.lock")
HOLDER = """
import sys, time
from jentmax.locking import locked
with locked("set.h5"):
    print("taken", flush=True)
    sys.stdin.read()
"""
CONTENDER = """
import os, sys
from jentmax.errors import JentmaxError
from jentmax.locking import locked
for _ in range(300):
    try:
        with locked("set.h5"):
            os.close(os.open("inside", os.O_CREAT | os.O_EXCL))  # fails if another is inside
            os.remove("inside")
            print("in")
    except JentmaxError as error:
        assert "is being written by" in str(error), error
"""


@pytest.fixture(params=["flock", "no flock"])
def system(request, monkeypatch):
    """File systems that have locks, and some that do not."""
    if request.param == "no flock":

        def flock(*_):
            raise OSError(errno.ENOLCK, "no locks available")

        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


@pytest.fixture
def holder():
    """Another process that has the file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.communicate()


def owner(**changes):
    """Write a lock file, of this process but for some changes."""
    LOCK.write_text(json.dumps(locking._own() | changes))


def a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("system")
def test_nothing_is_left():
    with locked("set.h5"):
        assert os.listdir() == [str(LOCK)]
    assert os.listdir() == []
    with pytest.raises(KeyError), locked("set.h5"):
        raise KeyError
    assert os.listdir() == []


@pytest.mark.usefixtures("system")
def test_the_other_process_is_named(holder):
    with pytest.raises(JentmaxError) as error, locked("set.h5"):
        pass
    told = json.loads(LOCK.read_text())
    assert f"set.h5 is being written by process {holder.pid} on {told['host']}" in str(error.value)
    assert f"since {told['since']} (-c)" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_run_that_comes_second_is_refused(holder):
    for options in ({}, {"resume": True}, {"overwrite": True}, {"extend": True}):
        with pytest.raises(JentmaxError, match=rf"being written by process {holder.pid}"):
            generate(tiny(), "set.h5", **options)
    assert os.listdir() == [str(LOCK)]


@pytest.mark.usefixtures("system")
def test_one_process_is_no_exception():
    with locked("set.h5"), locked("other.h5"):
        with pytest.raises(JentmaxError, match=rf"process {os.getpid()}"), locked("set.h5"):
            pass
        os.symlink("set.h5", "link.h5")
        with pytest.raises(JentmaxError, match="is being written"), locked("link.h5"):
            pass
        assert LOCK.exists()
    assert os.listdir() == ["link.h5"]


@pytest.mark.usefixtures("system")
def test_a_killed_process_has_nothing(holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert LOCK.exists()
    with locked("set.h5"):
        assert json.loads(LOCK.read_text())["pid"] == os.getpid()
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("changes", "flock", "taken"),
    [
        ({"pid": a_dead_process}, True, True),
        ({"pid": a_dead_process}, False, True),
        ({"started": lambda: 1}, False, True),  # the number belongs to another process now
        ({"host": lambda: "elsewhere"}, True, True),  # its lock has ended, and so has it
        ({"host": lambda: "elsewhere", "pid": a_dead_process}, False, False),
        ({}, False, False),
    ],
)
def test_lock_files_that_are_there(changes, flock, taken, request, monkeypatch):
    if not flock:
        monkeypatch.setattr(locking, "_lock", lambda _: "none")
    owner(**{name: change() for name, change in changes.items()})
    if taken:
        with locked("set.h5"):
            assert json.loads(LOCK.read_text()) | {"since": ""} == locking._own() | {"since": ""}
    else:
        with (
            pytest.raises(JentmaxError, match=r"if that process is gone, remove .*\.set\.h5\.lock"),
            locked("set.h5"),
        ):
            pass
        assert LOCK.exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}'])
def test_lock_files_that_say_nothing(text, monkeypatch):
    LOCK.write_text(text)
    with locked("set.h5"):
        assert json.loads(LOCK.read_text())["pid"] == os.getpid()
    LOCK.write_text(text)
    monkeypatch.setattr(locking, "_lock", lambda _: "none")
    with pytest.raises(JentmaxError, match="if that process is gone, remove"), locked("set.h5"):
        pass


@pytest.mark.parametrize("flock", [True, False])
def test_never_two_inside(flock):
    """However often lock files come and go."""
    patch = "" if flock else "import jentmax.locking as l; l._lock = lambda _: 'none'\n"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", patch + CONTENDER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    entered = 0
    for process in processes:
        output, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        entered += output.count(b"in")
    assert entered > 0
    assert os.listdir() == []


def test_threads_too():
    inside, most, lock = [], [], threading.Lock()

    def enter():
        for _ in range(100):
            try:
                with locked("set.h5"):
                    with lock:
                        inside.append(1)
                        most.append(len(inside))
                    with lock:
                        inside.pop()
            except JentmaxError:
                pass

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_what_ends_at_once_removes_its_own():
    with locked("set.h5"), locked("other.h5"):
        locking.remove_held()
        assert os.listdir() == []


def test_a_full_disk_leaves_nothing(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(JentmaxError, match="cannot be written: No space left"), locked("set.h5"):
        pass
    assert os.listdir() == []


def test_what_killed_processes_left_is_removed(monkeypatch):
    """And nothing else."""
    left = [".set.h5.0123abcd.partial", ".set.h5.ffffffff.partial"]
    others = [".set.h5.mine.partial", ".set2.h5.0123abcd.partial", "set.h5.0123abcd.partial"]
    for name in (*left, *others):
        pathlib.Path(name).touch()
    with pytest.raises(JentmaxError, match="is more than"):
        generate(tiny("run.devices=1000"), "set.h5")
    assert sorted(os.listdir()) == sorted(others)
