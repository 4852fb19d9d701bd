"""Plan of a set: the chunks that it needs, those that exist, and those to compute next."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence, Set

import numpy as np

from jentmax.dataset import ChunkId, set_order
from jentmax.generation._processes import Process
from jentmax.generation._resolved import Resolved

LEAST_ACCEPTED = 0.01
"""Fraction of the structures in the first chunks that must be accepted."""

FIRST_CHUNKS = 4
"""Number of chunks that decide whether a recipe works; more if they are small."""

FIRST_STRUCTURES = 32
"""Minimum number of structures in these chunks: a few could all fail by chance."""

Counts = Sequence[int]
"""Numbers of structures in a chunk that are accepted, not finite, and too close."""


class Plan:
    """Counts the existing structures of a set and chooses the next chunks.

    Attributes:
        counts: counts of the existing chunks.
        sizes: number of chains in the chunks of each stream.
    """

    def __init__(self, resolved: Resolved, structures: int, process: Process) -> None:
        """Plan a set with a given number of structures."""
        self.counts: dict[ChunkId, Counts] = {}
        self.sizes = [stream.batch_size for stream in resolved.streams]
        self._cycles = resolved.recipe.cycles_per_chain
        self._structures, self._process = structures, process
        self._totals = np.zeros(3, int)
        self._gapless = [(0, 0)] * len(self.sizes)
        """For each stream, the number of chunks before its first gap, and of their structures."""
        shares = [stream.share for stream in resolved.streams]
        order = set_order(shares, [structures] * len(shares))[:structures]
        self._of_stream = np.bincount(order, minlength=len(shares))
        """Number of structures in the complete set from each stream."""

    @property
    def done(self) -> int:
        """Number of accepted structures, at any position, up to the size of the set."""
        return min(int(self._totals[0]), self._structures)

    @property
    def discarded(self) -> dict[str, int]:
        """Number of discarded structures, by reason."""
        return {"not finite": int(self._totals[1]), "too close": int(self._totals[2])}

    @property
    def complete(self) -> bool:
        """Whether the set has all its structures, without gaps."""
        return all(
            self._before_gap(stream)[1] >= wanted for stream, wanted in enumerate(self._of_stream)
        )

    @property
    def first(self) -> np.ndarray:
        """Counts of the first chunks: enough to decide whether the recipe works, if they exist."""
        found, n = [], 0
        for counts in self.counts.values():
            if len(found) >= FIRST_CHUNKS and n >= FIRST_STRUCTURES:
                break
            found.append(counts)
            n += sum(counts)
        return np.array(found, int).reshape(-1, 3)

    @property
    def hopeless(self) -> bool:
        """Whether almost no structure of the first chunks was accepted."""
        first = self.first
        enough = len(first) >= FIRST_CHUNKS and first.sum() >= FIRST_STRUCTURES
        return enough and bool(first[:, 0].sum() < LEAST_ACCEPTED * first.sum())

    def add(self, chunk: ChunkId, counts: Counts) -> None:
        """Add an existing chunk."""
        if chunk not in self.counts:
            self.counts[chunk] = counts
            self._totals += np.asarray(counts)

    def remove(self, chunk: ChunkId) -> None:
        """Remove a chunk that no longer exists."""
        if chunk in self.counts:
            self._totals -= np.asarray(self.counts.pop(chunk))
            self._gapless[chunk.stream] = 0, 0

    def next(self, count: int, under_way: Set[ChunkId]) -> list[ChunkId]:
        """The next chunks to compute; fewer than `count` if no more are needed or can start.

        A process starts with every N-th batch, where N is the number of processes. Then it helps
        the others, from their last batch backwards.

        Args:
            count: maximum number of chunks.
            under_way: chunks that this process is already computing.
        """
        if count < 1:
            return []
        index, n_processes = self._process

        def urgency(chunk: ChunkId) -> tuple[bool, int, int]:
            own = chunk.batch % n_processes == index
            sign = 1 if own else -1
            return not own, sign * chunk.batch, sign * chunk.stream

        possible = (
            chunk
            for chunk in self._needed()
            if chunk not in self.counts
            and chunk not in under_way
            and (not chunk.cycle or chunk._replace(cycle=chunk.cycle - 1) in self.counts)
        )
        return heapq.nsmallest(count, possible, urgency)

    def _before_gap(self, stream: int) -> tuple[int, int]:
        """Number of chunks of a stream before its first gap, and of their accepted structures."""
        place, total = self._gapless[stream]
        while (counts := self.counts.get(self._chunk(stream, place))) is not None:
            place, total = place + 1, total + counts[0]
        self._gapless[stream] = place, total
        return place, total

    def _needed(self) -> Iterator[ChunkId]:
        """Chunks that the set probably needs, from the fraction accepted so far."""
        fraction = max(self._totals[0] / self._totals.sum(), 0.01) if self.counts else 1.0
        for stream, wanted in enumerate(self._of_stream):
            place, expected = self._before_gap(stream)
            while expected < wanted:
                chunk = self._chunk(stream, place)
                counts = self.counts.get(chunk)
                expected += fraction * self.sizes[stream] if counts is None else counts[0]
                place += 1
                yield chunk

    def _chunk(self, stream: int, place: int) -> ChunkId:
        """The chunk at a position in the order of its stream."""
        return ChunkId(stream, *divmod(place, self._cycles))
