"""Which structures of a set are shown."""

from types import SimpleNamespace

import ase
import numpy as np

from jentmax.dataset import Structures
from jentmax.evaluation._evaluate import _exemplars


def shown(groups, entropies, sizes=None):
    sizes = sizes or [2] * len(groups)
    some = [
        ase.Atoms(f"W{n}", info={"config_type": group})
        for n, group in zip(sizes, groups, strict=True)
    ]
    one = SimpleNamespace(structures=Structures.from_ase(some))
    return _exemplars(one, np.array(entropies))  # pyright: ignore


def test_without_groups_evenly_over_the_entropies():
    assert shown([""] * 6, [5.0, 0.0, 3.0, 1.0, 4.0, 2.0]) == [3, 5, 2, 4]
    assert shown([""], [1.0]) == [0]
    assert sorted(shown([""] * 3, [np.nan] * 3)) == [0, 1, 2]


def test_the_median_of_each_of_the_four_largest_groups():
    """By atoms, the largest first; a structure of one atom has no entropy and comes last."""
    groups = ["a", "b", "b", "b", "c", "d", "e"]
    found = shown(groups, [0.0, 3.0, np.nan, 1.0, 0, 0, np.nan], [9, 2, 1, 2, 7, 8, 1])
    assert found == [0, 5, 4, 1]
