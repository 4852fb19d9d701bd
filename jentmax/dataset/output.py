"""Writing files: what is refused beforehand, and errors in clear words."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from jentmax.errors import JentmaxError

being_written = threading.Lock()
"""Held while structures are written: whoever is about to end the process waits for it."""


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise a JentmaxError if a file must not, or cannot, be written to this path.

    Args:
        path: of the file to be written.
        overwrite: whether it may replace a file.
    """
    if not os.path.isdir(path.parent):
        raise JentmaxError(f"{path} cannot be written: there is no folder {path.parent}; create it")
    if os.path.isdir(path):
        raise JentmaxError(f"{path} is a folder; give the path of a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise JentmaxError(f"{path} is no regular file; give another path")
    if os.path.exists(path) and not overwrite:
        raise JentmaxError(
            f"{path} exists; give another path, or allow it to be replaced (--overwrite)"
        )
    with writing(path):
        tempfile.TemporaryFile(dir=path.parent).close()


def remove_partial(path: Path) -> None:
    """Remove what processes that were killed have left of a file; call it where no other writes it.

    Args:
        path: of the file.
    """
    target = Path(os.path.realpath(path))
    left = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.partial")
    for name in filter(left.fullmatch, os.listdir(target.parent)):
        with contextlib.suppress(OSError):
            target.with_name(name).unlink()


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
