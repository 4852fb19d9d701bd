"""The order of a set: streams of structures, merged by their shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError


def set_order(shares: Sequence[float], counts: Sequence[int]) -> np.ndarray:
    """The stream of each structure of a set.

    Structure number r of a stream (from 0) has the key (r + 1/2) / share. Structures are sorted by
    their keys, and by the number of the stream if the keys are equal (the method of Sainte-Laguë):
    the first N have within one structure of N times the share from each stream, as long as no
    stream runs out.

    Args:
        shares: of the streams, positive, of any sum.
        counts: of the accepted structures that each stream has.

    Returns:
        Numbers of the streams, shape (sum of the counts,). The structures of a stream keep their
        own order.

    >>> set_order([3, 1], [6, 2]).tolist()
    [0, 0, 1, 0, 0, 0, 1, 0]
    """
    if not shares or not all(0 < share < np.inf for share in shares):
        raise JentmaxError(f"shares = {list(shares)}: all must be positive and finite")
    pairs = list(zip(shares, counts, strict=True))
    keys = np.concatenate([(np.arange(count) + 0.5) / share for share, count in pairs])
    streams = np.repeat(np.arange(len(pairs)), counts)
    return streams[np.lexsort((streams, keys))]


def in_set_order(
    shares: Sequence[float], streams: Sequence[Iterator[Structures]]
) -> Iterator[Structures]:
    """The structures of all streams in the order that `set_order` gives, a few at a time.

    Args:
        shares: of the streams.
        streams: structures of each stream, in its own order, in pieces of any length.
    """
    n_read = [0] * len(shares)
    under_way = set(range(len(shares)))
    waiting, keys, of = Structures.concatenate([]), np.zeros(0), np.zeros(0, int)
    while under_way:
        # A structure is ready when every stream has been read beyond it.
        last = min(under_way, key=lambda stream: ((n_read[stream] - 0.5) / shares[stream], stream))
        if (piece := next(streams[last], None)) is None:
            under_way.remove(last)
        else:
            new = (n_read[last] + np.arange(len(piece)) + 0.5) / shares[last]
            n_read[last] += len(piece)
            waiting = Structures.concatenate([waiting, piece]) if len(waiting) else piece
            keys, of = np.concatenate([keys, new]), np.concatenate([of, np.full(len(new), last)])
        ends = [((n_read[stream] - 0.5) / shares[stream], stream) for stream in under_way]
        end, stream = min(ends, default=(np.inf, 0))
        order = np.lexsort((of, keys))
        n_ready = int(((keys < end) | ((keys == end) & (of <= stream))).sum())
        if n_ready:
            yield waiting[order[:n_ready]]
            order = order[n_ready:]
            waiting, keys, of = waiting[order], keys[order], of[order]
