"""One process at a time for one file."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jentmax._output import writing
from jentmax.errors import JentmaxError

if sys.platform != "win32":
    import fcntl

_held: set[Path] = set()


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for the same from writing a file; on Windows it does nothing.

    A lock file beside it, ``.NAME.lock``, says who does, and is gone afterwards. The system's own
    lock (flock) is held on it, and ends with its process, however that ends, on whatever machine.
    Where the file system has none, a lock file counts as left behind if its process ran on this
    machine and is gone.

    Args:
        path: of the file; its folder must exist.

    Raises:
        JentmaxError: if another process has it (or another call in this one), or the folder is not
            writable.
    """
    if sys.platform == "win32":
        yield
        return
    lock = _lock_file(path)
    with writing(lock):
        descriptor = _taken(lock, Path(path))
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)
        # Removed while it is held: whoever opened it before finds that it is no longer there.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def refuse_locked(path: Path) -> None:
    """Raise a JentmaxError if another process keeps others from writing a file."""
    if sys.platform == "win32":
        return
    lock = _lock_file(path)
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        owner = _read(descriptor)
        # Shared, so that several processes may ask at once.
        locks = _lock(descriptor, shared=True)
        if locks == "other's" or (locks == "none" and not _is_gone(owner)):
            raise JentmaxError(_refusal(path, lock, owner, certain=locks != "none"))
    finally:
        os.close(descriptor)


def remove_held() -> None:
    """Remove all lock files of this process, which is about to end without leaving contexts."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.unlink()


def _taken(lock: Path, path: Path) -> int:
    """Descriptor of the lock file, which this process now has."""
    while True:
        try:
            descriptor, is_new = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            try:
                descriptor, is_new = os.open(lock, os.O_RDWR), False
            except FileNotFoundError:
                continue  # removed meanwhile
        try:
            locks = _lock(descriptor)
            owner = _read(descriptor)
            if locks == "other's" or (locks == "none" and not is_new and not _is_gone(owner)):
                raise JentmaxError(_refusal(path, lock, owner, certain=locks != "none"))
            if locks == "none" and not is_new:
                _remove_left_behind(lock, owner)
            elif _is_at(lock, descriptor):
                try:
                    _write(descriptor, _own())
                except OSError:  # the disk is full, say
                    lock.unlink()
                    raise
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_file(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.lock")


def _lock(descriptor: int, shared: bool = False) -> str:
    """Whose the system's lock is: "own" now, "other's", or "none" where there are no such."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return "other's"
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        return "none"
    return "own"


def _is_at(lock: Path, descriptor: int) -> bool:
    """Whether the file that was opened still stands under its name."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_left_behind(lock: Path, owner: Mapping[str, Any]) -> None:
    """Remove the lock file of a process that is gone, unless another one has done so meanwhile."""
    aside = lock.with_name(f"{lock.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(lock, aside)  # of several processes, one succeeds
        descriptor = os.open(aside, os.O_RDONLY)
        if _read(descriptor) != owner:
            with contextlib.suppress(FileExistsError):
                os.link(aside, lock)  # it was the lock of the one that was faster
        os.close(descriptor)
        aside.unlink()


def _own() -> dict[str, Any]:
    """Who this process is."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "since": datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
    }


def _read(descriptor: int) -> dict[str, Any]:
    """What a lock file says of its process; nothing if that has not written it yet."""
    try:
        found = json.loads(os.pread(descriptor, 1 << 16, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(descriptor: int, owner: Mapping[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)


def _is_gone(owner: Mapping[str, Any]) -> bool:
    """Whether a process is known to have ended: it ran on this machine, which has it no longer."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is somebody else's
    return _started(owner["pid"]) != owner.get("started")  # the number was given anew


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where the system does not say."""
    try:
        # Its name, in parentheses, may hold spaces and more of them.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _refusal(path: Path, lock: Path, owner: Mapping[str, Any], certain: bool) -> str:
    who = "another process"
    if owner:
        who = "process {pid} on {host} since {since} ({command})".format(
            **{name: owner.get(name, "?") for name in ("pid", "host", "since", "command")}
        )
    hint = "" if certain else f"; if that process is gone, remove {lock}"
    return f"{path} is being written by {who}; wait for it, or give another output{hint}"
