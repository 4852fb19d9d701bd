"""The order of a set: streams merged by their shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jentmax.dataset import set_order
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


@pytest.mark.parametrize("shares", [[], [0.0], [1, -1], [np.nan], [np.inf]])
def test_shares_must_be_positive(shares):
    with pytest.raises(JentmaxError, match="must be positive"):
        set_order(shares, [1] * len(shares))
