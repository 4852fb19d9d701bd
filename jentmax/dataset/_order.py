"""Order of the structures in a set: streams, merged by their shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jentmax.errors import JentmaxError


def set_order(shares: Sequence[float], counts: Sequence[int]) -> np.ndarray:
    """The stream of each structure of a set.

    Structure number r of a stream (from 0) has the key (r + 1/2) / share. Structures are sorted by
    their keys and, for equal keys, by stream number (the Sainte-Laguë method). As long as no stream
    runs out, the first N structures contain each stream's share of N to within one structure.

    Args:
        shares: shares of the streams, positive, with any sum.
        counts: number of accepted structures of each stream.

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
