"""The parts of a set under way, open for reading."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jentmax.dataset._order import set_order
from jentmax.dataset._parts import Parts
from jentmax.dataset._schema import ACCEPTED, CHUNK_COLUMNS, ChunkId
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError


class Running:
    """What there was of a set when it was opened; `File` says what the attributes are."""

    kind, status = "generated", "running"

    def __init__(self, parts: Parts) -> None:
        """Read the names of the parts, and how many structures are in each.

        Raises:
            FileNotFoundError: there is no set under way.
            JentmaxError: it has no structures yet, or is damaged.
        """
        header = parts.header()
        if header is None:
            raise FileNotFoundError(parts.folder)
        self.header, self._parts = header, parts
        self._ids = sorted(parts.chunks())
        counts = np.array([parts.counts(chunk) for chunk in self._ids], int).reshape(-1, 3)
        self.counts = counts.sum(axis=0)
        self.n = int(self.counts[ACCEPTED])
        if not self.n:
            raise JentmaxError(
                f"{parts.folder} has no structures yet; wait for the first ones, or give the "
                "command that began the set again"
            )
        self._ends = np.cumsum(counts[:, ACCEPTED])
        of = np.repeat([chunk.stream for chunk in self._ids], counts[:, ACCEPTED])
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
        self.names = ("index", *(name for name in CHUNK_COLUMNS if name not in ("row", "status")))
        self._read = functools.lru_cache(1)(self._structures)

    def close(self) -> None:
        """Nothing is open."""

    def column(self, name: str, first: int, last: int) -> np.ndarray:
        """One of the names, or cells, pbc, positions, numbers or descriptors."""
        return getattr(self._read(first, last), name)

    def structures(self, first: int, last: int) -> Structures:
        """Those from one number up to, and without, another."""
        return self._read(first, last)

    def _structures(self, first: int, last: int) -> Structures:
        places = self._places[first:last]
        used = np.unique(np.searchsorted(self._ends, places, side="right"))
        chunks = [self.chunk(self._ids[k]) for k in used]
        found = [rows[rows.columns["status"] == ACCEPTED] for rows in chunks]
        there = np.concatenate(
            [np.arange(end - len(f), end) for end, f in zip(self._ends[used], found, strict=True)]
        )
        some = Structures.concatenate(found)[np.searchsorted(there, places)]
        columns = {"index": np.arange(first, first + len(some))}
        columns |= {name: some.columns[name] for name in self.names[1:]}
        descriptors = {"descriptors": some.atom_columns["descriptors"]}
        pbc = some.pbc.astype(bool)
        return dataclasses.replace(some, pbc=pbc, columns=columns, atom_columns=descriptors)

    def chunks(self) -> set[ChunkId]:
        """Those that were there when it was opened."""
        return set(self._ids)

    def chunk(self, chunk: ChunkId) -> Structures:
        """All rows of a chunk."""
        try:
            return self._parts.get(chunk)
        except FileNotFoundError:
            raise JentmaxError(
                f"{self._parts.folder} has no chunk {chunk}; if the set has been finished "
                "meanwhile, open it again"
            ) from None
