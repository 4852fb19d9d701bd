"""A finished data set file, open for reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jentmax.dataset._contents import (
    attribute,
    check_chunks,
    check_memory,
    check_sizes,
    column_of,
    has,
)
from jentmax.dataset._header import check_header, parsed_json
from jentmax.dataset._opening import check_column, check_format, damaged, open_file, reading
from jentmax.dataset._order import set_order
from jentmax.dataset._parts import ACCEPTED, TOO_CLOSE, ChunkId
from jentmax.dataset._schema import (
    CHUNK_TABLE,
    KINDS,
    POINTER,
    SCALING,
    STRUCTURE_COLUMNS,
    Column,
    atom_columns,
    required_columns,
    text,
)
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError


class File:
    """An open data set file.

    Attributes:
        path: of the file.
        kind: "generated" or "described".
        status: "complete".
        header: what the set says of itself.
        n: number of structures of the set.
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        names: of the columns with one row per structure.
        discarded: numbers of rejected structures, by the value of their status.
        n_rows: number of structures that were computed, accepted or not.
    """

    status = "complete"

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            JentmaxError: there is none, or it is no data set, truncated or damaged.
        """
        self.path = path
        self._file: h5py.File | None = open_file(path)
        self._looked_at: set[str] = set()  # columns whose chunks were
        try:
            with self._reading() as file:
                self.kind, self.header, self.n = read_header(path, file)
                self._scaling(file)
                self._pointer = self._whole(file, "structures/pointer", POINTER)
                self._check_columns(file)
                self._read_chunks(file)
        except BaseException:
            self.close()
            raise
        self.pointer = self._pointer[: self.n + 1]
        self.names = ("index", *(n for n in self._columns if n not in ("cell", "periodic")))
        self.discarded = {s: int((self._status == s).sum()) for s in range(1, TOO_CLOSE + 1)}
        self.n_rows = len(self._status) or self.n

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def column(self, name: str) -> np.ndarray:
        """One of `names`, or cells or pbc, with one row per structure."""
        if name == "index":
            return np.arange(self.n)
        return self._structure_column(name, slice(self.n))

    def atom_column(self, name: str) -> np.ndarray:
        """positions, numbers or descriptors, with one row per atom."""
        return self._atom_column(name, slice(int(self.pointer[-1])))

    def structures(self, first: int, last: int) -> Structures:
        """Those from one number up to, and without, another."""
        return self._stored(slice(first, last)) if last > first else self._stored(slice(0, 0))

    def chunks(self) -> set[ChunkId]:
        """The chunks that were finished."""
        return set(self._chunks)

    def chunk(self, chunk: ChunkId) -> Structures:
        """All rows of a chunk; those rejected have only their status.

        Raises:
            JentmaxError: it has no such chunk.
        """
        if chunk not in self._chunks:
            raise JentmaxError(f"{self.path} has no chunk {chunk}; it has {len(self._chunks)}")
        place = self._chunks.index(chunk)
        stream = self.header["streams"][chunk.stream]
        n, n_atoms = stream["batch_size"], stream["n_atoms"]
        status = self._status[self._first_row[place] :][:n]
        accepted = status == ACCEPTED
        ranks = self._first_rank[place] + np.arange(accepted.sum())
        rows = np.flatnonzero(self._order == chunk.stream)[ranks]
        found = [self._stored(slice(row, row + 1)) for row in rows.tolist()]
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            found = [self._stored(slice(int(rows[0]), int(rows[-1]) + 1))]
        made = Structures.concatenate(found)
        spread = np.flatnonzero(accepted)
        atoms = (n_atoms * spread[:, None] + np.arange(n_atoms)).ravel()
        n_features = len(self.header["scale"])
        precision = self.header["precision"]

        def filled(values: np.ndarray, where: np.ndarray, length: int) -> np.ndarray:
            whole = np.zeros((length, *values.shape[1:]), values.dtype)
            if whole.dtype.kind == "f":
                whole[:] = np.nan
            whole[where] = values
            return whole

        if not len(made):
            made = self._stored(slice(0, 0))
        columns = {
            name: filled(values, spread, n)
            for name, values in made.columns.items()
            if name != "index"
        }
        columns |= {"row": np.arange(n), "status": status, "cycle": np.full(n, chunk.cycle)}
        numbers = np.tile(made.numbers[:n_atoms], n) if len(made) else np.zeros(n * n_atoms, int)
        descriptors = made.atom_columns["descriptors"].reshape(-1, n_features).astype(precision)
        return Structures(
            filled(made.positions, atoms, n * n_atoms),
            numbers,
            filled(made.cells, spread, n),
            np.ones((n, 3), bool),
            n_atoms * np.arange(n + 1),
            columns,
            {"descriptors": filled(descriptors, atoms, n * n_atoms)},
        )

    def _stored(self, which: slice) -> Structures:
        """Structures by their rows in the file, also those after the last one of the set."""
        pointer = self._pointer[which.start : which.stop + 1]
        atoms = slice(int(pointer[0]), int(pointer[-1]))
        index = np.arange(which.start, which.stop)
        return Structures(
            self._atom_column("positions", atoms),
            self._atom_column("numbers", atoms),
            self._structure_column("cells", which),
            self._structure_column("pbc", which),
            pointer - pointer[0],
            {"index": index}
            | {n: self._structure_column(n, which) for n in self.names if n != "index"},
            {"descriptors": self._atom_column("descriptors", atoms)},
        )

    def _structure_column(self, name: str, rows: slice) -> np.ndarray:
        stored = {"cells": "cell", "pbc": "periodic"}.get(name, name)
        with self._reading() as file:
            values = self._read(file, f"structures/{stored}", rows)
        return values.astype(bool) if name == "pbc" else values

    def _atom_column(self, name: str, rows: slice) -> np.ndarray:
        with self._reading() as file:
            values = self._read(file, f"atoms/{name}", rows)
        if name == "numbers":
            _check_numbers(self.path, values)
        return values

    @contextlib.contextmanager
    def _reading(self) -> Iterator[h5py.File]:
        if self._file is None:
            raise JentmaxError(f"{self.path} is closed; read from it before closing it")
        with reading(self.path):
            yield self._file

    def _read(self, file: h5py.File, name: str, rows: slice) -> np.ndarray:
        """Some rows of a column."""
        with reading(self.path, name):
            dataset = column_of(file, name)
            check_memory(file, dataset, rows.stop - (rows.start or 0))
            if name not in self._looked_at:
                check_chunks(file, dataset)
                self._looked_at.add(name)
            return dataset[rows]

    def _whole(self, file: h5py.File, name: str, column: Column) -> np.ndarray:
        """All of a column that is read before the others are looked at."""
        with reading(self.path, name):
            dataset = column_of(file, name)
            check_column(self.path, name, dataset, column)
            check_sizes(file, [name])
            check_chunks(file, dataset)
            return dataset[:]

    def _scaling(self, file: h5py.File) -> None:
        for name in ("scale", "shift"):
            self.header[name] = self._whole(file, f"scaling/{name}", SCALING).tolist()
        with reading(self.path):
            check_header(self.header, generated=self.kind == "generated")

    def _check_columns(self, file: h5py.File) -> None:
        """Whether the columns are there, of the right types and lengths."""
        there = tuple(name for name in STRUCTURE_COLUMNS if has(file, f"structures/{name}"))
        self._columns = there
        self._n_stored = n = len(self._pointer) - 1
        needed = {
            f"structures/{name}": (STRUCTURE_COLUMNS[name], n)
            for name in {*there, *required_columns(self.kind)}
        }
        n_atoms = int(self._pointer[-1]) if n >= 0 else 0
        columns = atom_columns(len(self.header["scale"]))
        needed |= {f"atoms/{name}": (column, n_atoms) for name, column in columns.items()}
        if missing := sorted(name for name in needed if not has(file, name)):
            raise JentmaxError(
                f"{self.path} lacks {', '.join(missing)}, which a {self.kind} data set must have; "
                "generate it again"
            )
        for name, (column, _) in needed.items():
            check_column(self.path, name, column_of(file, name), column)
        check_sizes(file, needed)
        pointer = self._pointer
        if (
            not 1 <= self.n <= n
            or pointer[0] != 0
            or (pointer[1:] <= pointer[:-1]).any()  # their difference may wrap around
            or any(len(column_of(file, name)) != length for name, (_, length) in needed.items())
        ):
            raise damaged(self.path, "structures/pointer does not fit the other columns")

    def _read_chunks(self, file: h5py.File) -> None:
        """The table of chunks, and where their structures are."""
        self._chunks: list[ChunkId] = []
        self._status = np.zeros(0, np.int8)
        if self.kind != "generated":
            return
        table = {name: self._whole(file, f"chunks/{name}", c) for name, c in CHUNK_TABLE.items()}
        streams = self.header["streams"]
        ids = [table[name].tolist() for name in ChunkId._fields]
        self._chunks = [ChunkId(*numbers) for numbers in zip(*ids, strict=True)]
        self._status, self._first_row = table["status"], table["pointer"]
        stream = table["stream"]
        if (
            ((stream < 0) | (stream >= len(streams))).any()
            or self._chunks != sorted(set(self._chunks))
            or len(self._first_row) != len(stream) + 1
            or self._first_row.tolist()
            != np.cumsum([0, *(streams[s]["batch_size"] for s in stream)]).tolist()
            or len(self._status) != self._first_row[-1]
            or ((self._status < ACCEPTED) | (self._status > TOO_CLOSE)).any()
        ):
            raise damaged(self.path, "its table of chunks is impossible")
        accepted = np.concatenate([[0], np.cumsum(self._status == ACCEPTED)])[self._first_row]
        counts = np.zeros(len(streams), int)
        np.add.at(counts, stream, np.diff(accepted))
        self._order = set_order([s["share"] for s in streams], counts.tolist())
        sizes = np.array([s["n_atoms"] for s in streams])
        if not np.array_equal(sizes[self._order], np.diff(self._pointer)):
            raise damaged(self.path, "its table of chunks does not fit its structures")
        before = np.concatenate([[0], np.cumsum(counts)])
        self._first_rank = accepted[:-1] - before[stream]


def read_header(path: Path, file: h5py.File) -> tuple[str, dict[str, Any], int]:
    """Kind, header without scale and shift, and number of structures, of an open file.

    Raises:
        JentmaxError: it is no data set, or these are damaged.
        ValueError: likewise.
    """
    check_format(path, file)
    kind = text(attribute(file, "kind"))
    if kind not in KINDS:
        raise ValueError(f"attribute kind is {kind!r}")
    header = parsed_json(text(attribute(file, "header")))
    if not isinstance(header, dict):
        raise ValueError("attribute header is no table")
    for name in ("recipe", "versions"):
        header[name] = parsed_json(text(attribute(file, name)))
    for name in ("created", "device"):
        header[name] = text(attribute(file, name))
    header["seed"] = int(text(attribute(file, "seed")))
    return kind, header, int(text(attribute(file, "structures")))


def _check_numbers(path: Path, numbers: np.ndarray) -> None:
    """Raise a JentmaxError if there are atomic numbers of no element."""
    from ase.data import chemical_symbols

    if len(wrong := numbers[(numbers < 0) | (numbers >= len(chemical_symbols))]):
        allowed = f"from 0 to {len(chemical_symbols) - 1}"
        raise damaged(path, f"an atomic number is {wrong[0]}, must be {allowed}")
