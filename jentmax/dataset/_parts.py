"""An unfinished set: a folder with one file per chunk, each written once."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset._header import check_header, checksum, parsed_json, plain_header
from jentmax.dataset._npz import pack, unpack
from jentmax.dataset._schema import (
    ACCEPTED,
    ENDING,
    PART_COLUMNS,
    SCHEMA,
    ChunkId,
    columns,
    impossible,
)
from jentmax.dataset._structures import Structures
from jentmax.dataset.output import (
    partial_path,
    partial_paths,
    put_in_place,
    reason,
    through_links,
    writing,
)
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError

_FORMAT = "jentmax set"
_HEADER = "set.json"
_NAME = re.compile(r"(\d+)-(\d{6,})-(\d{4,})\.npz")
_OURS = re.compile(rf"{re.escape(_HEADER)}|{_NAME.pattern}|\..+\.[0-9a-f]{{8}}\.partial")

# The comment at the end of a part: its name, the checksum of its set's header, and the numbers of
# structures accepted, not finite and too close. One short read counts the structures of a chunk.
_COMMENT = "jentmax {} {:08x} {} {} {}"
_COMMENT_READ = re.compile(rb"jentmax ([\w.-]+) (\w{8}) (\d{1,9}) (\d{1,9}) (\d{1,9})$")
_COMMENT_BYTES = 128

_LEAST = 12
"""Minimum number of bytes per atom."""

Counts = tuple[int, int, int]


class DamagedPart(JentmaxError):
    """A part has changed since it was written, or belongs to another set: recompute it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is damaged: {why}; the same command makes it again")


class MissingPart(JentmaxError):
    """A part, or the whole folder, does not exist: another process may have finished the set."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} does not exist now; if the set has been finished, open it again")


class Parts:
    """An unfinished set: the folder ``OUTPUT.parts`` with ``set.json`` and one file per chunk.

    Any number of processes may read and write it at the same time. Each file appears complete and
    never changes. If several processes write the same file, the first one counts for all.

    Attributes:
        output: path of the finished file, with links resolved.
        folder: folder of the parts; it may not exist yet.
    """

    def __init__(self, output: str | os.PathLike[str]) -> None:
        """Set the paths, without reading or writing anything."""
        self.output = through_links(output)
        self.folder = self.output.with_name(self.output.name + ENDING)
        self._header: dict[str, Any] | None = None
        self._id = 0

    def exists(self) -> bool:
        """Whether the folder exists.

        Raises:
            JentmaxError: something else has this name.
        """
        try:
            mode = self.folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise JentmaxError(f"{self.folder} cannot be read: {reason(error)}") from error
        if not stat.S_ISDIR(mode):
            raise JentmaxError(
                f"{self.folder} is a link or no folder, and links are not followed; remove it, or "
                "give another output"
            )
        return True

    def begin(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """Create the folder and its header, unless they exist.

        Args:
            header: header of the set; the entry created is added if it is missing.

        Returns:
            The stored header: this one, or that of the process that was first.

        Raises:
            JentmaxError: the folder cannot be written, has other files but no header, or its header
                is damaged or incomplete.
        """
        mine = plain_header(header)
        content = {"format": _FORMAT, "schema": SCHEMA, "checksum": checksum(mine), **mine}
        with writing(self.folder):
            if not self.exists():
                self.folder.mkdir(exist_ok=True)
            if self.header() is None:
                self._put(_HEADER, (json.dumps(content, indent=1) + "\n").encode())
            found = self.header()
        if found is None:
            raise JentmaxError(f"{self.folder} has been removed; run the command again")
        return found

    def header(self) -> dict[str, Any] | None:
        """The header in set.json; None if the folder is missing or empty.

        Raises:
            JentmaxError: the header is damaged or has another layout, or this is not the folder of
                a set.
        """
        path = self.folder / _HEADER
        if not self.exists():
            return None
        try:
            content, _ = _read(path)
        except MissingPart:
            others = [name for name in self._names() if not name.endswith(".partial")]
            if os.path.lexists(path):  # another process has just written it
                return self.header()
            if others:
                raise JentmaxError(
                    f"{self.folder} has no {_HEADER} but other files ({others[0]}); remove the "
                    "folder, or give another output"
                ) from None
            return None
        try:
            header = parsed_json(content)
            if not isinstance(header, dict) or header.pop("format", None) != _FORMAT:
                raise ValueError(f"its format is not {_FORMAT!r}")
            if (schema := header.pop("schema", None)) != SCHEMA:
                raise ValueError(f"it has schema {schema!r:.20}, this jentmax reads {SCHEMA}")
            if header.pop("checksum", None) != checksum(header):
                raise ValueError("it does not fit its checksum")
            check_header(header)
        except ValueError as error:
            raise JentmaxError(
                f"{path} is damaged: {error}; copy the folder again, or remove it and generate "
                "the set again"
            ) from error
        if self._header is None:
            self._header, self._id = header, checksum(header)
        return header

    def chunks(self) -> set[ChunkId]:
        """The chunks in the folder, from its file names; opens no file."""
        matches = filter(None, map(_NAME.fullmatch, self._names()))
        found = {ChunkId(*map(int, match.groups())): match.string for match in matches}
        return {chunk for chunk, name in found.items() if chunk.file_name == name}

    def put(self, chunk: ChunkId, structures: Structures) -> Structures:
        """Write a chunk, unless it exists.

        Args:
            chunk: numbers of the chunk.
            structures: every row of its batch, accepted or not, with the columns listed in
                docs/file-format.md. Rejected rows may hold any numbers.

        Returns:
            The stored chunk: this one, or that of the process that was first.

        Raises:
            MissingPart: the folder is gone because another process finished the set.
            JentmaxError: the structures are not a chunk of this set, the file cannot be written, or
                its path is a link or a folder.
        """
        _check_chunk(chunk, structures, self._known())
        content = pack(structures, _COMMENT.format(chunk.file_name, self._id, *_counts(structures)))
        while not self._put(chunk.file_name, content):
            try:
                return self.get(chunk)
            except DamagedPart:
                self.remove(chunk)
        return structures

    def get(self, chunk: ChunkId) -> Structures:
        """Read a chunk.

        Returns:
            All rows of its batch in order, as read-only arrays.

        Raises:
            MissingPart: the chunk does not exist.
            DamagedPart: the chunk is damaged, or belongs to another set.
            JentmaxError: the path is a link or a folder, or cannot be read.
        """
        path = self.folder / chunk.file_name
        content, size = _read(path)
        counts = self._comment(chunk, content[-_COMMENT_BYTES:], size)
        try:
            structures = unpack(content)
            _check_chunk(chunk, structures, self._known())
        except ValueError as error:
            raise DamagedPart(path, reason(error)) from error
        if _counts(structures) != counts:
            raise DamagedPart(path, "its comment does not fit its structures")
        return structures

    def counts(self, chunk: ChunkId) -> Counts:
        """Numbers of structures of a chunk by status, from the end of its file.

        Returns:
            Numbers of accepted, not finite and too close structures.

        Raises:
            MissingPart, DamagedPart, JentmaxError: as `get`.
        """
        return self._comment(chunk, *_read(self.folder / chunk.file_name, _COMMENT_BYTES))

    def remove(self, chunk: ChunkId) -> None:
        """Remove a chunk.

        Raises:
            JentmaxError: the file cannot be removed.
        """
        path = self.folder / chunk.file_name
        with writing(path):
            path.unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove the unfinished set, and what killed processes left of it.

        The folder is renamed first, so that other processes stop writing to it. A folder with other
        files stays.
        """
        with writing(self.folder):
            if self.exists():
                if not all(map(_OURS.fullmatch, self._names())):
                    _empty(self.folder)
                    return
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.folder, partial_path(self.folder))
            for left in partial_paths(self.folder):
                if not left.is_symlink():
                    _empty(left)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder) if self.exists() else []
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JentmaxError(f"{self.folder} cannot be read: {reason(error)}") from error

    def _known(self) -> dict[str, Any]:
        """The header that this object read first; all parts must belong to that set."""
        if self._header is None and self.header() is None:
            raise MissingPart(self.folder)
        assert self._header is not None
        return self._header

    def _put(self, name: str, content: bytes) -> bool:
        """Write a file completely or not at all; return whether it was the first."""
        path = self.folder / name
        partial = partial_path(path)
        with writing(path):
            try:
                with open(partial, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return put_in_place(partial, path)
            except FileNotFoundError:
                raise MissingPart(path) from None
            finally:
                partial.unlink(missing_ok=True)

    def _comment(self, chunk: ChunkId, tail: bytes, size: int) -> Counts:
        """Read the counts in a part's comment, and check that the part is large enough for them."""
        path, streams = self.folder / chunk.file_name, self._known()["streams"]
        if (match := _COMMENT_READ.search(tail)) is None:
            raise DamagedPart(path, "its end is cut off or overwritten")
        name, of_set, *numbers = (group.decode() for group in match.groups())
        if of_set != f"{self._id:08x}":
            raise DamagedPart(path, "it belongs to another set")
        accepted, not_finite, too_close = map(int, numbers)
        fits = name == chunk.file_name and chunk.stream < len(streams)
        if fits:
            stream, n = streams[chunk.stream], accepted + not_finite + too_close
            fits = n == stream["batch_size"] and size >= _LEAST * n * stream["n_atoms"]
        if not fits:
            raise DamagedPart(path, f"it says that it is {name[:80]}, with {numbers} structures")
        return accepted, not_finite, too_close


def _counts(structures: Structures) -> Counts:
    accepted, not_finite, too_close = np.bincount(structures.columns["status"], minlength=3)
    return int(accepted), int(not_finite), int(too_close)


def _check_chunk(chunk: ChunkId, structures: Structures, header: Mapping[str, Any]) -> None:
    """Raise a JentmaxError if the structures do not form this chunk."""
    if not 0 <= chunk.stream < len(header["streams"]) or min(chunk) < 0:
        raise JentmaxError(f"{chunk}: the set has {len(header['streams'])} streams")
    stream = header["streams"][chunk.stream]
    n, n_atoms = stream["batch_size"], stream["n_atoms"]
    if len(structures) != n or (structures.counts != n_atoms).any():
        raise JentmaxError(f"{chunk} must have {n} structures of {n_atoms} atoms each")
    values = {**structures.columns, **structures.atom_columns}
    schema = columns(len(header["scale"]))
    for name, column in {**PART_COLUMNS, "descriptors": schema["descriptors"]}.items():
        if name not in values or not column.fits(values[name].dtype, values[name].shape):
            raise JentmaxError(f"{chunk}: {name} is missing, or of another type or shape")
    if (values["row"] != np.arange(n)).any() or not np.isin(values["status"], range(3)).all():
        raise JentmaxError(f"{chunk}: rows must be 0 to {n - 1}, and status from 0 to 2")
    accepted = structures[values["status"] == ACCEPTED]
    accepted.check()
    for name, column in {**accepted.columns, **accepted.atom_columns}.items():
        if impossible(name, column):
            raise JentmaxError(f"{chunk}: {name} of an accepted structure is not finite")


def _read(path: Path, n_last: int | None = None) -> tuple[bytes, int]:
    """The last bytes of a regular file, or all bytes, and its size. An empty file is about to be
    replaced, so wait for that.

    Raises:
        MissingPart: the file does not exist.
        DamagedPart: the disk fails to read it.
        JentmaxError: the path is not a regular file, or cannot be read.
    """
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        for _ in range(50):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise JentmaxError(
                    f"{path} is a link or no regular file, and links are not followed; remove it"
                )
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | more)) as file:
                size = os.fstat(file.fileno()).st_size
                if size > memory_bytes():
                    raise JentmaxError(f"{path} has {size} bytes, more than the memory holds")
                file.seek(max(0, size - (n_last or size)))
                if content := file.read():
                    return content, size
            time.sleep(0.02)
        return b"", 0
    except FileNotFoundError:
        raise MissingPart(path) from None
    except OSError as error:
        if error.errno == errno.EIO:
            raise DamagedPart(path, reason(error)) from error
        raise JentmaxError(f"{path} cannot be read: {reason(error)}") from error


def _empty(folder: Path) -> None:
    """Remove the files of a set and their folder; other files stay, and so does their folder."""
    with contextlib.suppress(OSError):
        for name in filter(_OURS.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        folder.rmdir()
