"""Standard output and error streams whose failures do not end a run."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_NARROWEST = 60
"""Minimum width of tables and help, in columns; narrower terminals wrap the lines."""

_SIGNS = {
    "Å": "A",
    "±": "+-",
    "×": "x",
    "°": "deg",
    "²": "^2",
    "³": "^3",
    "–": "-",
    "—": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "•": "*",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "µ": "u",
    "━": "-",
    "╸": "-",
    "╺": "-",
}
"""Replacements for terminals without these characters."""

_HANDLER = "jentmax.replaced"

_GONE = {errno.EPIPE, errno.EBADF}
"""The reader has gone, or the descriptor was never open; these are not failures."""


def guard() -> None:
    """Make standard output and error safe; call it before anything is printed or opened.

    It replaces characters that the encoding lacks. Output that cannot be written, to a closed pipe
    or a full disk, is dropped, and `failure` reports it. Streams that a program has substituted for
    the original ones do not change.
    """
    codecs.register_error(_HANDLER, _replaced)
    width = os.environ.get("TERMINAL_WIDTH", "")  # which typer reads
    if shutil.get_terminal_size().columns < _NARROWEST:
        os.environ["TERMINAL_WIDTH"] = str(_NARROWEST)
    elif not width.isdecimal():
        os.environ.pop("TERMINAL_WIDTH", None)
    for number in range(3):
        _keep_open(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _stream(number, "utf-8"))
        elif _is_own(stream, number) and os.name == "nt":  # its terminals are not descriptors
            stream.reconfigure(errors=_HANDLER)
        elif _is_own(stream, number):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            setattr(sys, name, _stream(number, stream.encoding))


def failure() -> str | None:
    """The system's reason why standard output is incomplete; None if it is complete.

    A reader that stops early, such as ``| head``, is not a failure.
    """
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    error = raw.error if isinstance(raw, _Raw) else None
    if error is None or error.errno in _GONE:
        return None
    return os.strerror(error.errno or 0)


def console(soft_wrap: bool = True) -> Console:
    """A console that prints complete text and tables even in a narrow terminal."""
    from rich.console import Console

    made = Console(highlight=False, soft_wrap=soft_wrap)
    made.width = max(made.width, _NARROWEST)
    return made


class _Raw(io.FileIO):
    """A file descriptor that stores write errors instead of raising them."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        while self.error is None:
            try:
                written = super().write(content)
            except OSError as error:
                self.error = error
                break
            if written is not None:
                return written
            select.select([], [self.fileno()], [])  # the descriptor is non-blocking
        return size


def _stream(number: int, encoding: str) -> io.TextIOWrapper:
    raw = _Raw(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        _HANDLER,
        line_buffering=raw.isatty() or number == 2,
        write_through=number == 2,
    )


def _keep_open(number: int) -> None:
    """Open a closed descriptor, so that no other file gets its number and the printed output."""
    try:
        os.fstat(number)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere == number:
            os.set_inheritable(number, True)
        else:
            os.dup2(nowhere, number)
            os.close(nowhere)


def _is_own(stream: Any, number: int) -> bool:
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == number
    except (OSError, ValueError):
        return False


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_plain(letter) for letter in letters), error.end


def _plain(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter]
    if "\udc80" <= letter <= "\udcff":  # an undecodable byte of a file name
        return f"\\x{ord(letter) - 0xDC00:02x}"
    if "\u2800" <= letter <= "\u28ff":  # a spinner's dots
        return "*"
    return "?"
