"""Read a finished data set file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jentmax.dataset._hdf5 import DamagedFile, Hdf5
from jentmax.dataset._header import check_header, parsed_json
from jentmax.dataset._order import set_order
from jentmax.dataset._schema import (
    ACCEPTED,
    ATOM_COLUMNS,
    CHUNK_TABLE,
    COMPUTED_COLUMNS,
    KINDS,
    POINTER,
    STORED,
    TOO_CLOSE,
    ChunkId,
    columns,
)
from jentmax.dataset._structures import Structures
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError


class File:
    """An open data set file.

    Attributes:
        kind: "generated" or "described".
        status: "complete".
        header: header of the set.
        n: number of structures of the set.
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        names: names of the columns with one row per structure.
        counts: numbers of all computed structures, by status.
        ids: numbers of the chunks of a generated set, ascending.
    """

    status = "complete"

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            JentmaxError: the file does not exist, is not a data set, truncated or damaged.
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
        """Rows of a column in `names`, or of cells, pbc, positions, numbers or descriptors."""
        if name == "index":
            return np.arange(first, last)
        if name in ATOM_COLUMNS:
            first, last = self._pointer[[first, last]].tolist()
        values = self._hdf5.rows(STORED[name], slice(first, last))
        return values.astype(bool) if name == "pbc" else values

    def structures(self, first: int, last: int) -> Structures:
        """Structures by row, including the surplus after the last one of the set."""
        return Structures(
            self.column("positions", first, last),
            self.column("numbers", first, last),
            self.column("cells", first, last),
            self.column("pbc", first, last),
            self._pointer[first : last + 1] - self._pointer[first],
            {name: self.column(name, first, last) for name in self.names},
            {"descriptors": self.column("descriptors", first, last)},
        )

    def chunks(self) -> Iterator[tuple[ChunkId, Structures]]:
        """The chunks of a generated set; rejected rows have their status and zeros."""
        rows_of = [np.flatnonzero(self._order == k) for k in range(len(self.header["streams"]))]
        n_read = [0] * len(rows_of)
        for chunk, status in zip(self.ids, self._statuses, strict=True):
            n = int((status == ACCEPTED).sum())
            rows = rows_of[chunk.stream][n_read[chunk.stream] :][:n]
            n_read[chunk.stream] += n
            first, last = (int(rows[0]), int(rows[-1]) + 1) if n else (0, 0)
            yield chunk, self._all_rows(chunk, status, self.structures(first, last)[rows - first])

    def _all_rows(self, chunk: ChunkId, status: np.ndarray, some: Structures) -> Structures:
        """All rows of a chunk, from its accepted rows."""
        n_atoms = self.header["streams"][chunk.stream]["n_atoms"]
        if 8 * len(status) * n_atoms * (3 + len(self.header["scale"])) > memory_bytes():
            raise DamagedFile(self.path, f"{len(status)} structures of {n_atoms} atoms in a chunk")

        def spread(values: np.ndarray, per_structure: int = 1) -> np.ndarray:
            """Insert rows of zeros between the accepted rows."""
            width = values.shape[1:]
            found = np.zeros((len(status), per_structure, *width), values.dtype)
            found[status == ACCEPTED] = values.reshape(-1, per_structure, *width)
            return found.reshape(-1, *width)

        columns = {name: spread(values) for name, values in some.columns.items()}
        del columns["index"]
        columns |= {"row": np.arange(len(status)), "status": status}
        columns["chain"] = chunk.batch * len(status) + np.arange(len(status))
        columns["cycle"] = np.full(len(status), chunk.cycle)
        return Structures(
            spread(some.positions, n_atoms),
            spread(some.numbers, n_atoms),
            spread(some.cells),
            spread(some.pbc),
            n_atoms * np.arange(len(status) + 1),
            columns,
            {"descriptors": spread(some.descriptors, n_atoms)},
        )

    def _read_header(self) -> None:
        self.kind = self._hdf5.attributes["kind"]
        if self.kind not in KINDS:
            raise ValueError(f"attribute kind is {self.kind!r}")
        try:
            self.header = check_header(
                parsed_json(self._hdf5.attributes["header"]), generated=self.kind == "generated"
            )
        except JentmaxError as error:
            raise DamagedFile(self.path, str(error)) from None

    def _read_pointer(self) -> None:
        """Read the pointer, and check that the other columns fit it."""
        self._hdf5.column(STORED["pointer"], POINTER)
        self._pointer = self._hdf5.rows(STORED["pointer"])
        self.n, n_stored = int(self._hdf5.attributes["structures"]), len(self._pointer) - 1
        n_atoms = self._pointer[-1] if n_stored >= 0 else 0
        known = {
            name: self._hdf5.column(STORED[name], column)
            for name, column in columns(len(self.header["scale"])).items()
            if self.kind == "generated"
            or name not in COMPUTED_COLUMNS
            or self._hdf5.has(STORED[name])
        }
        if (
            not 1 <= self.n <= n_stored
            or self._pointer[0] != 0
            or (self._pointer[1:] <= self._pointer[:-1]).any()  # their difference may wrap around
            or any(
                len(rows) != (n_atoms if name in ATOM_COLUMNS else n_stored)
                for name, rows in known.items()
            )
        ):
            raise DamagedFile(self.path, "structures/pointer does not fit the other columns")
        self.pointer = self._pointer[: self.n + 1]
        self.names = ("index", *(name for name in COMPUTED_COLUMNS if name in known))

    def _read_chunks(self) -> None:
        """Read the table of chunks, which assigns each structure to its chunk."""
        self.counts, self.ids = np.array([self.n, 0, 0]), list[ChunkId]()
        if self.kind != "generated":
            return
        table = {}
        for name, column in CHUNK_TABLE.items():
            self._hdf5.column(f"chunks/{name}", column)
            table[name] = self._hdf5.rows(f"chunks/{name}")
        streams, status, stream = self.header["streams"], table["status"], table["stream"]
        if len({len(table[name]) for name in ChunkId._fields}) != 1:
            raise DamagedFile(self.path, "its table of chunks is impossible")
        ids = [ChunkId(*one) for one in np.array([table[n] for n in ChunkId._fields]).T.tolist()]
        if ((stream < 0) | (stream >= len(streams))).any() or ids != sorted(set(ids)):
            raise DamagedFile(self.path, "its table of chunks is impossible")
        ends = np.cumsum([streams[k]["batch_size"] for k in stream])
        if (
            not len(ends)
            or len(status) != ends[-1]
            or not np.isin(status, range(TOO_CLOSE + 1)).all()
        ):
            raise DamagedFile(self.path, "its table of chunks is impossible")
        self.ids, self._statuses = ids, np.split(status, ends[:-1])
        counts = np.zeros(len(streams), int)
        np.add.at(counts, stream, [(one == ACCEPTED).sum() for one in self._statuses])
        self._order = set_order([one["share"] for one in streams], counts.tolist())
        sizes = np.array([one["n_atoms"] for one in streams])
        if not np.array_equal(sizes[self._order], np.diff(self._pointer)):
            raise DamagedFile(self.path, "its table of chunks does not fit its structures")
        self.counts = np.bincount(status, minlength=3)
