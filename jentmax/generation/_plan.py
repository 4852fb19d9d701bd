"""Which chunks a set needs, which of them are there, and which one to make next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from jentmax.dataset import ChunkId, set_order
from jentmax.generation._processes import Process
from jentmax.generation._resolved import Resolved

LEAST_ACCEPTED = 0.01
"""Share of the first chunks that must be accepted."""

FIRST_CHUNKS = 4
"""How many chunks tell whether a recipe works."""

Counts = Sequence[int]
"""Structures of a chunk that are accepted, not finite, and too close."""


class Plan:
    """Counts what there is of a set, and says what to make next.

    Attributes:
        counts: of the chunks that are there.
        under_way: chunks that this process is making.
        sizes: chains of each stream's chunks.
    """

    def __init__(self, resolved: Resolved, structures: int, process: Process) -> None:
        """Plan a set of so many structures."""
        self.counts: dict[ChunkId, Counts] = {}
        self.under_way: set[ChunkId] = set()
        self.sizes = [stream.batch_size for stream in resolved.streams]
        self._cycles = resolved.recipe.cycles_per_chain
        self._structures, self._process = structures, process
        self._totals = np.zeros(3, int)
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
            self._gapless(stream, int(wanted)) >= wanted
            for stream, wanted in enumerate(self._of_stream)
        )

    @property
    def hopeless(self) -> bool:
        """Whether hardly any structure of the first chunks was accepted."""
        first = np.array(list(itertools.islice(self.counts.values(), FIRST_CHUNKS)))
        return len(first) == FIRST_CHUNKS and first[:, 0].sum() < LEAST_ACCEPTED * first.sum()

    def add(self, chunk: ChunkId, counts: Counts) -> None:
        """A chunk is there."""
        if chunk not in self.counts:
            self.counts[chunk] = counts
            self._totals += np.asarray(counts)
        self.under_way.discard(chunk)

    def remove(self, chunk: ChunkId) -> None:
        """A chunk is no longer there."""
        if chunk in self.counts:
            self._totals -= np.asarray(self.counts.pop(chunk))

    def next(self) -> ChunkId | None:
        """The chunk to make next; None if all that are needed are there or under way.

        A process begins with every N-th batch, N being the number of processes, and then helps the
        others from their last batch on.
        """
        index, count = self._process
        best = None
        for chunk in self._needed():
            if chunk in self.counts or chunk in self.under_way:
                continue
            if chunk.cycle and chunk._replace(cycle=chunk.cycle - 1) not in self.counts:
                continue
            own = chunk.batch % count == index
            sign = 1 if own else -1
            key = (not own, sign * chunk.batch, sign * chunk.stream)
            if best is None or key < best[0]:
                best = key, chunk
        return None if best is None else best[1]

    def _gapless(self, stream: int, wanted: int) -> int:
        """Accepted structures of a stream before its first chunk that is missing."""
        total = 0
        for chunk in self._order(stream):
            if total >= wanted or chunk not in self.counts:
                return total
            total += self.counts[chunk][0]
        return total

    def _needed(self) -> Iterator[ChunkId]:
        """Chunks that the set probably needs, from the share that was accepted so far."""
        share = max(self._totals[0] / self._totals.sum(), 0.01) if self.counts else 1.0
        for stream, wanted in enumerate(self._of_stream):
            expected = 0.0
            for chunk in self._order(stream):
                if expected >= wanted:
                    break
                counts = self.counts.get(chunk)
                expected += share * self.sizes[stream] if counts is None else counts[0]
                yield chunk

    def _order(self, stream: int) -> Iterator[ChunkId]:
        for batch in itertools.count():
            for cycle in range(self._cycles):
                yield ChunkId(stream, batch, cycle)
