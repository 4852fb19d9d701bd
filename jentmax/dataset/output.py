"""Write files: checks before writing, and clear error messages."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from jentmax.dataset._schema import ENDING
from jentmax.errors import JentmaxError

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Error numbers of file systems without hard links."""


def through_links(path: str | os.PathLike[str]) -> Path:
    """The target of a path, which may not exist: all output is written through links.

    The links stay unchanged, even if their target does not exist yet.
    """
    return Path(os.path.realpath(path))


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise a JentmaxError if a file cannot, or without ``overwrite`` must not, get this path."""
    folder = through_links(path).parent
    if not os.path.isdir(folder):
        missing = folder if path.is_symlink() else path.parent
        raise JentmaxError(f"{path} cannot be written: there is no folder {missing}; create it")
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


def refuse_inputs(
    output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Refuse an output that is an input or a folder with an input in it, under any name or link.

    Args:
        output: path of a file or folder to write.
        inputs: paths that are read; None values are skipped.

    Raises:
        JentmaxError: writing the output may destroy an input.
    """
    target = Path(os.path.realpath(output))
    written = {_identity(target)}
    if target.is_dir():
        written |= {_identity(entry) for entry in os.scandir(target)}
    for path in inputs:
        if path is None:
            continue
        read = [Path(os.path.realpath(path))]
        if (folder := read[0].with_name(read[0].name + ENDING)).is_dir():
            read.append(folder)
        for real in read:
            same = target == real or (real.exists() and _identity(real) in written)
            if same or target in real.parents or (real.is_dir() and real in target.parents):
                raise JentmaxError(
                    f"{os.fspath(output)}: it is {os.fspath(path)}, which is read, or one of the "
                    "two contains the other; give another output"
                )


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int] | None:
    """What all names of a file have in common."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def partial_path(path: Path) -> Path:
    """A new temporary name beside a file, which `remove_partial` knows."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def partial_paths(path: Path) -> list[Path]:
    """Temporary files or folders next to a path."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.partial")
    return [path.with_name(name) for name in filter(left.fullmatch, os.listdir(path.parent))]


def remove_partial(path: Path) -> None:
    """Remove the temporary files of a path that killed processes left."""
    for left in partial_paths(path):
        with contextlib.suppress(OSError):
            left.unlink()


def put_in_place(partial: Path, path: Path) -> bool:
    """Give a complete file its name, unless the name is taken: the first process wins.

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
        try:  # an empty file is replaced at once
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(partial, path)
    _sync_folder(path.parent)
    return True


def replace(partial: Path, path: Path) -> None:
    """Give a complete file its name, replacing any file of this name."""
    os.replace(partial, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk, if the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert errors from the system and HDF5 to one clear message."""
    try:
        yield
    except JentmaxError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise JentmaxError(
            f"{path} cannot be written: {reason(error)}; "
            "check that the folder is writable and the disk is not full"
        ) from error


def printable(text: str) -> str:
    """Text from a file, with escapes in place of characters that would control a terminal.

    >>> print(printable("W\x1b[2J"))
    W\\x1b[2J
    """
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )


def reason(error: BaseException | None) -> str:
    """The system's reason in a few words, which h5py hides in a long message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found.group(1))
    if number:
        return os.strerror(number)
    return str(error).strip().partition("\n")[0] or type(error).__name__
