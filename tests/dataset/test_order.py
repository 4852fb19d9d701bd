"""The order of a set: streams merged by their shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jentmax.dataset import Structures, set_order
from jentmax.errors import JentmaxError

SHARES = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@given(SHARES, st.integers(1, 300))
def test_every_beginning_is_within_one_structure_of_its_shares(shares, n):
    order = set_order(shares, [n] * len(shares))[:n]
    for first in range(1, n + 1):
        counts = np.bincount(order[:first], minlength=len(shares))
        quota = first * np.array(shares) / sum(shares)
        # Sainte-Laguë may leave the quota by more than one with many unequal parties.
        if len(shares) <= 3:
            assert (np.abs(counts - quota) < 1 + 1e-9).all()
    assert len(order) == n


@given(SHARES, st.data())
def test_more_structures_only_append(shares, data):
    """As long as no stream has run out before."""
    n = data.draw(st.integers(1, 50))
    few, many = set_order(shares, [n] * len(shares)), set_order(shares, [2 * n] * len(shares))
    settled = n  # the first n need no more than n of each stream
    assert few[:settled].tolist() == many[:settled].tolist()


@given(SHARES, st.data())
def test_merging_gives_the_same_order(shares, data):
    """Whatever the lengths of the pieces."""
    counts = [data.draw(st.integers(0, 12)) for _ in shares]

    def pieces(stream):
        first = 0
        while first < counts[stream]:
            n = data.draw(st.integers(0, 5))
            yield numbered(stream, range(first, min(first + n, counts[stream])))
            first += n

    found = Structures.concatenate(list(in_set_order(shares, [*map(pieces, range(len(shares)))])))
    order = set_order(shares, counts)
    assert len(found) == len(order)
    if len(found):
        assert found.columns["stream"].tolist() == order.tolist()
        for stream in range(len(shares)):
            own = found.columns["rank"][found.columns["stream"] == stream]
            assert own.tolist() == list(range(counts[stream]))


def numbered(stream, ranks):
    n = len(ranks)
    columns = {"stream": np.full(n, stream), "rank": np.array(ranks, int)}
    arrays = np.zeros((n, 3)), np.ones(n, int), np.zeros((n, 3, 3)), np.ones((n, 3), bool)
    return Structures(*arrays, np.arange(n + 1), columns)


@pytest.mark.parametrize("shares", [[], [0.0], [1, -1], [np.nan], [np.inf]])
def test_shares_must_be_positive(shares):
    with pytest.raises(JentmaxError, match="must be positive"):
        set_order(shares, [1] * len(shares))
