"""The order of a set: streams of structures, merged by their shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
