"""A set under way: a folder of files that are written once, one for each chunk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset._header import check_chunk, check_header, parsed_json, plain_json, with_time
from jentmax.dataset._npz import pack, unpack
from jentmax.dataset._schema import (
    ACCEPTED,
    SCHEMA,
    ChunkId,
)
from jentmax.dataset._structures import Structures
from jentmax.dataset.output import (
    being_written,
    partial_path,
    partial_paths,
    put_in_place,
    reason,
    writing,
)
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError

FORMAT = "jentmax set"
ENDING = ".parts"

_HEADER = "set.json"
_NAME = re.compile(r"(\d+)-(\d{6,})-(\d{4,})\.npz")
_OURS = re.compile(rf"{re.escape(_HEADER)}|{_NAME.pattern}|\..+\.[0-9a-f]{{8}}\.partial")

# The last bytes of a part, a comment to other readers of zip files: chunk, set, numbers of
# structures accepted, not finite and too close, and CRC-32 of all bytes before the comment and of
# the comment so far.
_COMMENT = "jentmax part {} {:08x} {:09d} {:09d} {:09d} {:08x} "
_COMMENT_READ = re.compile(rb"jentmax part (\S+) (\w{8}) (\d{9}) (\d{9}) (\d{9}) (\w{8}) (\w{8})$")
_TAIL = 256
"""Bytes at the end of a part in which its comment stands."""


class DamagedPart(JentmaxError):
    """A part is not as it was written, or belongs to another set: remove it and make it again."""


class Parts:
    """A set under way: the folder ``OUTPUT.parts`` with ``set.json`` and one file per chunk.

    Any number of processes may read and write it at the same time. Each file appears whole under
    its name and is never changed; if several processes make the same one, the first one in place
    counts for all.

    Attributes:
        output: path of the finished file, links followed.
        folder: the folder of the parts, which need not exist.
    """

    def __init__(self, output: str | os.PathLike[str]) -> None:
        """Name the folder; nothing is read or written."""
        self.output = Path(os.path.realpath(output))
        self.folder = self.output.with_name(self.output.name + ENDING)
        self._header: dict[str, Any] | None = None
        self._id = 0

    def exists(self) -> bool:
        """Whether there is the folder.

        Raises:
            JentmaxError: there is something else of this name.
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
        """Make the folder and its header, unless they are there.

        Args:
            header: of the set; it gets the entries format, schema and, if it has none, created.

        Returns:
            The header in place: this one, or that of the process that was first.

        Raises:
            JentmaxError: the folder cannot be written, has no header but other files, or its
                header is damaged or lacks something.
        """
        mine = parsed_json(plain_json({**with_time(header), "format": FORMAT, "schema": SCHEMA}))
        content = check_header(mine) | {"checksum": _checksum(mine)}
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
        """What set.json says; None if there is no folder, or nothing in it yet.

        Raises:
            JentmaxError: it is damaged, of another layout, or no set's folder.
        """
        if not self.exists():
            return None
        path = self.folder / _HEADER
        try:
            content = _read(path)[0]
        except FileNotFoundError:
            others = [name for name in self._names() if not name.endswith(".partial")]
            if os.path.lexists(path):  # another process has just put it there
                return self.header()
            if others:
                raise JentmaxError(
                    f"{self.folder} has no {_HEADER} but other files ({others[0]}); remove the "
                    "folder, or give another output"
                ) from None
            return None
        try:
            header = parsed_json(content)
            if header.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            if (schema := header.get("schema")) != SCHEMA:
                raise JentmaxError(f"it has schema {schema!r:.20}, this jentmax reads {SCHEMA}")
            if header.pop("checksum", None) != _checksum(header):
                raise ValueError("it does not fit its checksum")
            check_header(header)
        except (JentmaxError, ValueError, AttributeError) as error:
            why = str(error) if isinstance(error, JentmaxError) else f"it is damaged: {error}"
            raise JentmaxError(
                f"{path}: {why}; copy the folder again, or remove it and generate the set again"
            ) from error
        if self._header is None:
            self._header, self._id = header, _checksum(header)
        return header

    def chunks(self) -> set[ChunkId]:
        """The chunks that are there, by the names in the folder; no file is opened."""
        found = set()
        for name in self._names():
            if match := _NAME.fullmatch(name):
                chunk = ChunkId(*map(int, match.groups()))
                if chunk.file_name == name:
                    found.add(chunk)
        return found

    def put(self, chunk: ChunkId, structures: Structures) -> Structures:
        """Write a chunk, unless it is there.

        Args:
            chunk: which one.
            structures: every row of its batch, accepted or not, with the columns that
                docs/file-format.md lists. Rejected rows may hold any numbers.

        Returns:
            The chunk in place: this one, or that of the process that was first.

        Raises:
            FileNotFoundError: the folder is gone: another process has finished the set.
            JentmaxError: the structures are no chunk of this set, the file cannot be written, or
                there is a link or a folder in its place.
        """
        check_chunk(chunk, structures, self._known())
        content = self._packed(chunk, structures)
        with being_written:
            while not self._put(chunk.file_name, content):
                try:
                    return self.get(chunk)
                except DamagedPart:
                    self.remove(chunk)
        return structures

    def get(self, chunk: ChunkId) -> Structures:
        """Read a chunk.

        Returns:
            All rows of its batch, in their order; arrays that cannot be written to.

        Raises:
            FileNotFoundError: there is none.
            DamagedPart: it is not as it was written, or of another set.
            JentmaxError: there is a link or a folder in its place, or it cannot be read.
        """
        return self._whole(self.folder / chunk.file_name, chunk)

    def accepted(self, chunk: ChunkId) -> int:
        """Number of accepted structures of a chunk; as `counts`."""
        return self.counts(chunk)[ACCEPTED]

    def counts(self, chunk: ChunkId) -> tuple[int, int, int]:
        """Numbers of structures of a chunk by their status; only the end of its file is read.

        Returns:
            How many are accepted, not finite and too close.

        Raises:
            FileNotFoundError, DamagedPart, JentmaxError: as `get`.
        """
        path = self.folder / chunk.file_name
        return self._comment(path, chunk, *_read(path, _TAIL))[0]

    def remove(self, chunk: ChunkId) -> None:
        """Remove a damaged part; a whole one stays, also if another process puts it there now.

        Raises:
            JentmaxError: there is a link or a folder in its place, or it cannot be removed.
        """
        path = self.folder / chunk.file_name
        aside = partial_path(path)
        with contextlib.suppress(FileNotFoundError), writing(path, FileNotFoundError):
            with contextlib.suppress(DamagedPart):
                self._whole(path, chunk)
                return
            os.rename(path, aside)
            with contextlib.suppress(DamagedPart):
                self._whole(aside, chunk)
                put_in_place(aside, path)
            aside.unlink()

    def remove_all(self) -> None:
        """Remove the set under way, with what killed processes have left of it.

        The folder loses its name first, so that processes that write to it notice. Files that are
        not of a set stay where they are.
        """
        with writing(self.folder):
            if self.exists():
                foreign = [name for name in self._names() if not _OURS.fullmatch(name)]
                doomed = self.folder
                if not foreign:
                    doomed = partial_path(self.folder)
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(self.folder, doomed)
                _empty(doomed)
            for left in partial_paths(self.folder):
                if left.is_dir() and not left.is_symlink():
                    _empty(left)

    def _names(self) -> list[str]:
        if not self.exists():
            return []
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JentmaxError(f"{self.folder} cannot be read: {reason(error)}") from error

    def _known(self) -> dict[str, Any]:
        """The header that this object has seen first: all parts belong to that set."""
        if self._header is None and self.header() is None:
            raise FileNotFoundError(f"there is no set under way in {self.folder}")
        assert self._header is not None
        return self._header

    def _put(self, name: str, content: bytes) -> bool:
        """Write a file whole, or not at all; whether it is in place."""
        path = self.folder / name
        partial = partial_path(path)
        with writing(path, FileNotFoundError):
            try:
                with open(partial, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                return put_in_place(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def _packed(self, chunk: ChunkId, structures: Structures) -> bytes:
        """The bytes of a part."""
        counts = np.bincount(structures.columns["status"], minlength=3)
        content = pack(structures)
        comment = _COMMENT.format(chunk.file_name, self._id, *counts, 0).encode()
        # The two bytes before a zip file's comment are the comment's length.
        content = content[:-2] + (len(comment) + 8).to_bytes(2, "little")
        comment = _COMMENT.format(chunk.file_name, self._id, *counts, zlib.crc32(content)).encode()
        return content + comment + f"{zlib.crc32(comment):08x}".encode()

    def _whole(self, path: Path, chunk: ChunkId) -> Structures:
        content, size = _read(path)
        _, length, checksum = self._comment(path, chunk, content[-_TAIL:], size)
        if zlib.crc32(memoryview(content)[:-length]) != checksum:
            raise _damaged(path, "it does not fit its checksum")
        try:
            structures = unpack(content)
            check_chunk(chunk, structures, self._known())
        except (JentmaxError, ValueError) as error:
            raise _damaged(path, reason(error)) from error
        return structures

    def _comment(
        self, path: Path, chunk: ChunkId, tail: bytes, size: int
    ) -> tuple[tuple[int, int, int], int, int]:
        """The comment of a part: counts, its own length, and the checksum of the rest."""
        streams = self._known()["streams"]
        if (match := _COMMENT_READ.search(tail)) is None:
            raise _damaged(path, "its end is cut off or overwritten")
        if f"{zlib.crc32(match.group()[:-8]):08x}".encode() != match.groups()[-1]:
            raise _damaged(path, "its last line does not fit its checksum")
        name, of_set, *numbers, checksum, _ = (group.decode() for group in match.groups())
        if of_set != f"{self._id:08x}":
            raise _damaged(path, "it belongs to another set")
        accepted, not_finite, too_close = map(int, numbers)
        n = accepted + not_finite + too_close
        if (
            name != chunk.file_name
            or chunk.stream >= len(streams)
            or n * streams[chunk.stream]["n_atoms"] > size
        ):
            raise _damaged(path, f"it is {name[:80]}")
        return (accepted, not_finite, too_close), len(match.group()), int(checksum, 16)


def _checksum(header: Mapping[str, Any]) -> int:
    return zlib.crc32(plain_json(header).encode())


def _damaged(path: Path, why: str) -> DamagedPart:
    return DamagedPart(
        f"{path} is damaged: {why}; the same command again removes it and makes it again"
    )


def _read(path: Path, n_last: int | None = None) -> tuple[bytes, int]:
    """The last bytes of a regular file, or all; and its size. An empty one is soon replaced.

    Raises:
        FileNotFoundError: there is none.
        JentmaxError: it is something else, or cannot be read.
    """
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    for attempt in range(50):
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise JentmaxError(
                    f"{path} is a link or no regular file, and links are not followed; remove it"
                )
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | more)) as file:
                size = os.fstat(file.fileno()).st_size
                if size > memory_bytes():
                    raise JentmaxError(f"{path} has {size} bytes, more than the memory holds")
                if size or attempt == 49:
                    file.seek(max(0, size - (n_last or size)))
                    return file.read(), size
        except FileNotFoundError:
            raise
        except OSError as error:
            raise JentmaxError(f"{path} cannot be read: {reason(error)}") from error
        time.sleep(0.02)
    raise AssertionError


def _empty(folder: Path) -> None:
    """Remove a folder and the files of a set in it; others stay, and with them the folder."""
    with contextlib.suppress(FileNotFoundError):
        for name in filter(_OURS.fullmatch, os.listdir(folder)):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                (folder / name).unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
