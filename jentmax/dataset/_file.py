"""A finished data set file, open for reading."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset._hdf5 import DamagedFile, Hdf5
from jentmax.dataset._header import check_header, parsed_json
from jentmax.dataset._order import set_order
from jentmax.dataset._schema import (
    ACCEPTED,
    ATOM_COLUMNS,
    CHUNK_TABLE,
    KINDS,
    POINTER,
    REQUIRED,
    SCALING,
    STORED,
    STRUCTURE_COLUMNS,
    TOO_CLOSE,
    ChunkId,
    columns,
    required,
)
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError


class File:
    """An open data set file.

    Attributes:
        kind: "generated" or "described".
        status: "complete".
        header: what the set says of itself.
        n: number of structures of the set.
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        names: of the columns with one row per structure.
        counts: of all structures that were computed, by the value of their status.
    """

    status = "complete"

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            JentmaxError: there is none, or it is no data set, truncated or damaged.
        """
        self.path = path
        self._hdf5 = Hdf5(path)
        try:
            with self._hdf5.reading():
                self._read_header()
                self._read_pointer()
                self._read_chunks()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._hdf5.close()

    def column(self, name: str, first: int, last: int) -> np.ndarray:
        """One of the names, or cells, pbc, positions, numbers or descriptors."""
        if name == "index":
            return np.arange(first, last)
        if name in ATOM_COLUMNS:
            atoms = slice(int(self._pointer[first]), int(self._pointer[last]))
            return self._hdf5.rows(f"atoms/{name}", atoms)
        values = self._hdf5.rows(f"structures/{STORED.get(name, name)}", slice(first, last))
        return values.astype(bool) if name == "pbc" else values

    def structures(self, first: int, last: int) -> Structures:
        """Structures by their rows, also those after the last one of the set."""
        positions, numbers, descriptors = (self.column(n, first, last) for n in ATOM_COLUMNS)
        return Structures(
            positions,
            numbers,
            self.column("cells", first, last),
            self.column("pbc", first, last),
            self._pointer[first : last + 1] - self._pointer[first],
            {name: self.column(name, first, last) for name in self.names},
            {"descriptors": descriptors},
        )

    def chunks(self) -> set[ChunkId]:
        """The chunks that were finished."""
        return set(self._chunks)

    def chunk(self, chunk: ChunkId) -> Structures:
        """All rows of a chunk; those rejected have their status, and are else another structure."""
        if chunk not in self._chunks:
            raise JentmaxError(f"{self.path} has no chunk {chunk}; it has {len(self._chunks)}")
        place = self._chunks[chunk]
        status = self._status[self._first_row[place] : self._first_row[place + 1]]
        accepted = status == ACCEPTED
        rank = self._first_rank[place]
        rows = np.flatnonzero(self._order == chunk.stream)[rank : rank + accepted.sum()]
        if not len(rows):
            rows = np.zeros(1, int)
        some = self.structures(int(rows[0]), int(rows[-1]) + 1)
        made = some[(rows - rows[0])[np.maximum(np.cumsum(accepted) - 1, 0)]]
        columns = {name: values for name, values in made.columns.items() if name != "index"}
        columns |= {"row": np.arange(len(status)), "status": status}
        columns["cycle"] = np.full(len(status), chunk.cycle)
        return dataclasses.replace(made, columns=columns)

    def _read_header(self) -> None:
        stored = self._hdf5.attributes
        self.kind = stored["kind"]
        if self.kind not in KINDS:
            raise ValueError(f"attribute kind is {self.kind!r}")
        header: dict[str, Any] = dict(parsed_json(stored["header"]))
        header |= {name: parsed_json(stored[name]) for name in ("recipe", "versions")}
        header |= {name: stored[name] for name in ("created", "device")}
        header["seed"] = int(stored["seed"])
        for name in ("scale", "shift"):
            self._hdf5.column(f"scaling/{name}", SCALING)
            header[name] = self._hdf5.rows(f"scaling/{name}").tolist()
        try:
            self.header = check_header(header, generated=self.kind == "generated")
        except JentmaxError as error:
            raise DamagedFile(self.path, str(error)) from None

    def _read_pointer(self) -> None:
        """Where structures begin and end; the other columns must fit."""
        self._hdf5.column("structures/pointer", POINTER)
        self._pointer = self._hdf5.rows("structures/pointer")
        self.n, n_stored = int(self._hdf5.attributes["structures"]), len(self._pointer) - 1
        n_atoms = self._pointer[-1] if n_stored >= 0 else 0
        known = [
            (name, column)
            for name, column in columns(len(self.header["scale"])).items()
            if required(name, self.kind) or self._hdf5.has(name)
        ]
        lengths = {
            len(self._hdf5.column(name, column)) == (n_atoms if "atoms/" in name else n_stored)
            for name, column in known
        }
        if (
            not 1 <= self.n <= n_stored
            or self._pointer[0] != 0
            or (self._pointer[1:] <= self._pointer[:-1]).any()  # their difference may wrap around
            or lengths != {True}
        ):
            raise DamagedFile(self.path, "structures/pointer does not fit the other columns")
        self.pointer = self._pointer[: self.n + 1]
        there = {name for name, _ in known}
        names = (name for name in STRUCTURE_COLUMNS if f"structures/{name}" in there)
        self.names = ("index", *(name for name in names if name not in REQUIRED))

    def _read_chunks(self) -> None:
        """The table of chunks, and which structures are theirs."""
        self._chunks: dict[ChunkId, int] = {}
        self.counts = np.array([self.n, 0, 0])
        if self.kind != "generated":
            return
        table = {}
        for name, column in CHUNK_TABLE.items():
            self._hdf5.column(f"chunks/{name}", column)
            table[name] = self._hdf5.rows(f"chunks/{name}")
        streams, status, stream = self.header["streams"], table["status"], table["stream"]
        ids = list(
            map(ChunkId._make, zip(*(table[n].tolist() for n in ChunkId._fields), strict=True))
        )
        first_row = table["pointer"]
        if (
            ((stream < 0) | (stream >= len(streams))).any()
            or ids != sorted(set(ids))
            or ((status < ACCEPTED) | (status > TOO_CLOSE)).any()
            or first_row.tolist() != [0, *np.cumsum([streams[s]["batch_size"] for s in stream])]
            or len(status) != first_row[-1]
        ):
            raise DamagedFile(self.path, "its table of chunks is impossible")
        accepted = np.concatenate([[0], np.cumsum(status == ACCEPTED)])[first_row]
        counts = np.bincount(stream, np.diff(accepted), len(streams)).astype(int)
        self._order = set_order([s["share"] for s in streams], counts.tolist())
        sizes = np.array([s["n_atoms"] for s in streams])
        if not np.array_equal(sizes[self._order], np.diff(self._pointer)):
            raise DamagedFile(self.path, "its table of chunks does not fit its structures")
        self._chunks = {chunk: place for place, chunk in enumerate(ids)}
        self._status, self._first_row = status, first_row
        self._first_rank = accepted[:-1] - (np.cumsum(counts) - counts)[stream]
        self.counts = np.bincount(status, minlength=3)
