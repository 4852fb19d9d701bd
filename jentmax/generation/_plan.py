"""Which chunks a set needs, which of them are there, and which one to make next."""

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
"""How many chunks tell whether a recipe works; more if they are small."""

FIRST_STRUCTURES = 32
"""How many structures these chunks must have: a few may all be bad luck."""

Counts = Sequence[int]
"""Structures of a chunk that are accepted, not finite, and too close."""


class Plan:
    """Counts what there is of a set, and says what to make next.

    Attributes:
        counts: of the chunks that are there.
        sizes: chains of each stream's chunks.
    """

    def __init__(self, resolved: Resolved, structures: int, process: Process) -> None:
        """Plan a set of so many structures."""
        self.counts: dict[ChunkId, Counts] = {}
        self.sizes = [stream.batch_size for stream in resolved.streams]
        self._cycles = resolved.recipe.cycles_per_chain
        self._structures, self._process = structures, process
        self._totals = np.zeros(3, int)
        self._gapless = [(0, 0)] * len(self.sizes)
        """Of each stream, chunks before its first one that is missing, and structures in them."""
        shares = [stream.share for stream in resolved.streams]
        order = set_order(shares, [structures] * len(shares))[:structures]
        self._of_stream = np.bincount(order, minlength=len(shares))
        """Structures that the set has of each stream."""

    @property
    def done(self) -> int:
        """Accepted structures that are there, in any place, up to as many as the set has."""
        return min(int(self._totals[0]), self._structures)

    @property
    def discarded(self) -> dict[str, int]:
        """Structures that were discarded, by the reason."""
        return {"not finite": int(self._totals[1]), "too close": int(self._totals[2])}

    @property
    def complete(self) -> bool:
        """Whether the set has all its structures, without a gap before any of them."""
        return all(
            self._before_gap(stream)[1] >= wanted for stream, wanted in enumerate(self._of_stream)
        )

    @property
    def first(self) -> np.ndarray:
        """Counts of the first chunks, as many as tell whether the recipe works, or as there are."""
        found, n = [], 0
        for counts in self.counts.values():
            if len(found) >= FIRST_CHUNKS and n >= FIRST_STRUCTURES:
                break
            found.append(counts)
            n += sum(counts)
        return np.array(found, int).reshape(-1, 3)

    @property
    def hopeless(self) -> bool:
        """Whether hardly any structure of the first chunks was accepted."""
        first = self.first
        enough = len(first) >= FIRST_CHUNKS and first.sum() >= FIRST_STRUCTURES
        return enough and bool(first[:, 0].sum() < LEAST_ACCEPTED * first.sum())

    def add(self, chunk: ChunkId, counts: Counts) -> None:
        """A chunk is there."""
        if chunk not in self.counts:
            self.counts[chunk] = counts
            self._totals += np.asarray(counts)

    def remove(self, chunk: ChunkId) -> None:
        """A chunk is no longer there."""
        if chunk in self.counts:
            self._totals -= np.asarray(self.counts.pop(chunk))
            self._gapless[chunk.stream] = 0, 0

    def next(self, count: int, under_way: Set[ChunkId]) -> list[ChunkId]:
        """The chunks to make next; fewer than asked for if no more are needed or can begin.

        A process begins with every N-th batch, N being the number of processes, and then helps the
        others from their last batch on.

        Args:
            count: how many are asked for.
            under_way: chunks that this process is making.
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
        """Chunks of a stream before its first one that is missing, and structures in them."""
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
        """A chunk by its place in the order of its stream."""
        return ChunkId(stream, *divmod(place, self._cycles))
