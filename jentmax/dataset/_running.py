"""Read the parts of an unfinished set."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jentmax.dataset._order import set_order
from jentmax.dataset._parts import MissingPart, Parts
from jentmax.dataset._schema import ACCEPTED, COMPUTED_COLUMNS, ChunkId
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError


class Running:
    """The accepted structures of the parts that exist on opening; otherwise like `File`."""

    kind, status = "generated", "running"

    def __init__(self, parts: Parts) -> None:
        """Read the names of the parts and their numbers of structures.

        Raises:
            MissingPart: the unfinished set does not exist, or has just been finished.
            JentmaxError: the set has no structures yet, or is damaged.
        """
        header = parts.header()
        if header is None:
            raise MissingPart(parts.folder)
        self.header, self._parts = header, parts
        self.ids = sorted(parts.chunks())
        self._statuses: dict[ChunkId, np.ndarray] = {}
        counts = np.array([parts.counts(chunk) for chunk in self.ids], int).reshape(-1, 3)
        self.counts = counts.sum(axis=0)
        self.n = int(self.counts[ACCEPTED])
        if not self.n:
            raise JentmaxError(
                f"{parts.folder} has no structures yet; wait for the first ones, or give the "
                "command that began the set again"
            )
        self._ends = np.cumsum(counts[:, ACCEPTED])
        of = np.repeat([chunk.stream for chunk in self.ids], counts[:, ACCEPTED])
        streams = header["streams"]
        order = set_order(
            [stream["share"] for stream in streams],
            np.bincount(of, minlength=len(streams)).tolist(),
        )
        # Places of the set's structures in the order of the chunks, stream after stream.
        self._places = np.empty(self.n, int)
        self._places[np.argsort(order, kind="stable")] = np.arange(self.n)
        sizes = np.array([stream["n_atoms"] for stream in streams])
        self.pointer = np.concatenate([[0], np.cumsum(sizes[order])])
        self.names = ("index", *COMPUTED_COLUMNS)
        self.structures = functools.lru_cache(1)(self._structures)
        self._chunk = functools.lru_cache(len(streams))(self._read_chunk)

    def close(self) -> None:
        """Do nothing, because no file is open."""

    def column(self, name: str, first: int, last: int) -> np.ndarray:
        """Rows of a column in `names`, or of cells, pbc, positions, numbers or descriptors."""
        return getattr(self.structures(first, last), name)

    def statuses(self) -> dict[ChunkId, np.ndarray]:
        """Status of every row of every chunk; reads the chunks that were not read before."""
        for chunk in self.ids:
            if chunk not in self._statuses:
                self._read_chunk(chunk)
        return self._statuses

    def _read_chunk(self, chunk: ChunkId) -> Structures:
        rows = self._parts.get(chunk)
        self._statuses[chunk] = rows.columns["status"]
        return rows

    def _structures(self, first: int, last: int) -> Structures:
        """The structures first to last - 1."""
        places = self._places[first:last]
        used = np.unique(np.searchsorted(self._ends, places, side="right"))
        found, there = [], []
        for k in used.tolist():
            rows = self._chunk(self.ids[k])
            found.append(rows[rows.columns["status"] == ACCEPTED])
            end = int(self._ends[k])
            there.append(np.arange(end - len(found[-1]), end))
        some = Structures.concatenate(found)[np.searchsorted(np.concatenate(there), places)]
        columns = {"index": np.arange(first, first + len(some))}
        columns |= {name: some.columns[name] for name in self.names[1:]}
        descriptors = {"descriptors": some.atom_columns["descriptors"]}
        pbc = some.pbc.astype(bool)
        return dataclasses.replace(some, pbc=pbc, columns=columns, atom_columns=descriptors)
