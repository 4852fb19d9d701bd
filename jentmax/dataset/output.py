"""Writing files: what is refused beforehand, and errors in clear words."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jentmax.errors import JentmaxError

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links say."""


def through_links(path: str | os.PathLike[str]) -> Path:
    """What a path leads to, whether it is there or not: all output is written through links.

    The links stay as they are, also one whose target is still to be made.
    """
    return Path(os.path.realpath(path))


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise a JentmaxError if a file cannot, or without ``overwrite`` must not, get this path."""
    folder = through_links(path).parent
    if not os.path.isdir(folder):
        shown = folder if path.is_symlink() else path.parent
        raise JentmaxError(f"{path} cannot be written: there is no folder {shown}; create it")
    if os.path.isdir(path):
        raise JentmaxError(f"{path} is a folder; give the path of a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise JentmaxError(f"{path} is no regular file; give another path")
    if os.path.exists(path) and not overwrite:
        raise JentmaxError(
            f"{path} exists; give another path, or allow it to be replaced (--overwrite)"
        )
    with writing(path):
        tempfile.TemporaryFile(dir=folder).close()


def partial_path(path: Path) -> Path:
    """A new temporary name beside a file, which `remove_partial` knows."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def partial_paths(path: Path) -> list[Path]:
    """What stands beside a file, or a folder, under its temporary names."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.partial")
    return [path.with_name(name) for name in filter(left.fullmatch, os.listdir(path.parent))]


def remove_partial(path: Path) -> None:
    """Remove the temporary files that killed processes have left of a file."""
    for left in partial_paths(path):
        with contextlib.suppress(OSError):
            left.unlink()


def put_in_place(partial: Path, path: Path) -> bool:
    """Give a whole file its name, unless there is a file of this name: the first one wins.

    Args:
        partial: the file, which has been synced; it may keep its temporary name.
        path: in the same folder.

    Returns:
        Whether the file under the path is this one.

    Raises:
        FileNotFoundError: the folder is gone.
        OSError: anything else that the system refuses.
    """
    try:
        os.link(partial, path)
    except FileExistsError:
        # A network file system may repeat a request that it has already carried out.
        return os.path.samefile(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:  # an empty file of this name, which is replaced at once
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(partial, path)
    _sync_folder(path.parent)
    return True


def replace(partial: Path, path: Path) -> None:
    """Give a whole file its name, whatever has it now."""
    os.replace(partial, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder last, if the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system and HDF5 raise into one clear message."""
    try:
        yield
    except JentmaxError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise JentmaxError(
            f"{path} cannot be written: {reason(error)}; "
            "see that the folder is writable and the disk is not full"
        ) from error


def printable(text: str) -> str:
    """Text from a file, with what would do something to a terminal written as its escape.

    >>> print(printable("W\x1b[2J"))
    W\\x1b[2J
    """
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )


def reason(error: BaseException | None) -> str:
    """Why the system refused, in a few words; h5py buries it in a long message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found.group(1))
    if number:
        return os.strerror(number)
    return str(error).strip().partition("\n")[0] or type(error).__name__
