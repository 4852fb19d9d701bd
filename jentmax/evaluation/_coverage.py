"""Coverage: distances from test environments to the nearest training environment.

This is the method of the paper's Tables I to III and Fig. 8 (doi:10.1063/5.0013059). Every
decomposition draws random training and test environments from each set. For every ordered pair of
sets it computes the distance from each test environment to the nearest training environment.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from jentmax.devices import n_cores
from jentmax.errors import JentmaxError

STATISTICS = ("mean", "median", "95 %", "max")
"""Statistics of the distances of one decomposition, in order; "95 %" is the 95th percentile."""

_KEPT = 10
"""Number of decompositions whose distances are kept for histograms."""

By = Literal["environment", "structure"]


@dataclasses.dataclass(frozen=True)
class Decompositions:
    """Number and sizes of the random decompositions.

    Attributes:
        train: number of training environments of each set.
        test: number of test environments of each set, disjoint from the training environments.
        number: number of decompositions.
        seed: random seed.
        by: "environment" draws single environments; "structure" draws the two parts from different
            structures.
    """

    train: int
    test: int
    number: int
    seed: int = 0
    by: By = "environment"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Distances from test environments to the nearest training environment.

    The order of axes is train, test: ``[i, j]`` is for training set i and test set j.

    Attributes:
        names: names of the sets.
        statistics: statistics of each decomposition, shape (n_decompositions, n_sets, n_sets, 4),
            in the order of `STATISTICS`, in units of the scaled features.
        novel: fraction of test environments farther from the training set than 99 % of the
            training set's own test environments, shape (n_decompositions, n_sets, n_sets).
        distances: all distances of the first ten decompositions, shape (n_sets, n_sets, n).
        group_names: group names of each set, in alphabetical order.
        group_means: for each test set, the mean distance of each group over all decompositions,
            shape (n_sets, n_groups); NaN for groups without draws.
    """

    names: tuple[str, ...]
    statistics: np.ndarray
    novel: np.ndarray
    distances: np.ndarray
    group_names: tuple[tuple[str, ...], ...]
    group_means: tuple[np.ndarray, ...]

    def mean(self) -> np.ndarray:
        """Statistics averaged over the decompositions, shape (n_sets, n_sets, 4)."""
        return self.statistics.mean(axis=0)

    def standard_error(self) -> np.ndarray:
        """Standard error of `mean` over the decompositions; NaN for a single one."""
        return standard_error(self.statistics)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; NaN for a single value."""
    n = len(values)
    if n == 1:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(n)


def sizes(
    counts: Mapping[str, int], train: int | None, test: int | None, default: tuple[int, int]
) -> tuple[int, int]:
    """Numbers of training and test environments, available in all sets.

    Args:
        counts: number of environments by name of the set.
        train: requested number of training environments, or None.
        test: requested number of test environments, or None.
        default: numbers without a request. If the smallest set has fewer environments, all of them
            are used, in the same proportion.

    Raises:
        JentmaxError: a set has fewer environments than requested, or fewer than three.
    """
    name = min(counts, key=counts.__getitem__)
    least = counts[name]
    if least < 3:
        raise JentmaxError(
            f"{name} has {least} environments; at least 3 are needed: give a larger set"
        )
    if train is None and test is None:
        fraction = min(1.0, least / sum(default))
        return max(1, int(fraction * default[0])), max(1, int(fraction * default[1]))
    train = train or (2 * test if test else 0)
    test = test or max(1, train // 2)
    if train + test > least:
        raise JentmaxError(
            f"--train {train} and --test {test} need {train + test} environments, but {name} has "
            f"{least}; give smaller numbers, or a larger set"
        )
    return train, test


def coverage(
    features: Mapping[str, np.ndarray],
    pointers: Mapping[str, np.ndarray],
    groups: Mapping[str, Sequence[str]],
    decompositions: Decompositions,
    callback: Callable[[int], None] = lambda done: None,
) -> Coverage:
    """Distances from test to nearest training environments for every ordered pair of sets.

    Args:
        features: features with a common scale, by name of the set, shapes (n_environments,
            n_features).
        pointers: environments of structure k are ``pointer[k]:pointer[k + 1]``.
        groups: group of each structure of each set.
        decompositions: number and sizes; each set must have enough environments (`sizes`).
        callback: called with the number of finished decompositions.

    Raises:
        JentmaxError: with ``by="structure"``, a set has too few or too large structures.
    """
    names = tuple(features)
    parts = [_Parts(name, features[name], pointers[name], groups[name]) for name in names]

    def one(number: int) -> _Distances:
        return _distances(parts, decompositions, number)

    with ThreadPoolExecutor(n_cores()) as threads:  # KDTree releases the GIL
        try:
            return _summary(parts, threads.map(one, range(decompositions.number)), callback)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


class _Parts:
    """One set, for drawing training and test environments."""

    def __init__(
        self, name: str, features: np.ndarray, pointer: np.ndarray, groups: Sequence[str]
    ) -> None:
        self.name, self.features, self.pointer = name, features, pointer
        self.key = zlib.crc32(name.encode())  # draws do not depend on the other sets
        self.group_names, of_structure = np.unique(np.asarray(groups, str), return_inverse=True)
        self.group = np.repeat(of_structure, np.diff(pointer))

    def draw(self, how: Decompositions, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and of test environments."""
        generator = np.random.default_rng([how.seed, number, self.key])
        if how.by == "environment":
            chosen = generator.choice(len(self.features), how.train + how.test, replace=False)
            return chosen[: how.train], chosen[how.train :]
        counts = np.diff(self.pointer)
        order = generator.permutation(len(counts))
        # Take whole structures until there are enough training, then enough test environments.
        ends = np.cumsum(counts[order])
        first = int(np.searchsorted(ends, how.train)) + 1
        second = int(np.searchsorted(ends, ends[min(first, len(ends)) - 1] + how.test)) + 1
        if second > len(order):
            raise JentmaxError(
                f"{self.name}: its {len(counts)} structures cannot be divided into {how.train} "
                f"training and {how.test} test environments by whole structures; give smaller "
                "--train and --test, or --by environment"
            )
        return (
            generator.choice(self._environments(order[:first]), how.train, replace=False),
            generator.choice(self._environments(order[first:second]), how.test, replace=False),
        )

    def _environments(self, structures: np.ndarray) -> np.ndarray:
        ends = self.pointer.tolist()
        return np.concatenate([np.arange(ends[k], ends[k + 1]) for k in structures])


@dataclasses.dataclass(frozen=True)
class _Distances:
    """Results of one decomposition."""

    statistics: np.ndarray  # (n_sets, n_sets, 4)
    novel: np.ndarray  # (n_sets, n_sets)
    distances: np.ndarray  # (n_sets, n_sets, n_test)
    group_sums: list[np.ndarray]  # for each test set (n_sets, n_groups)
    group_counts: list[np.ndarray]  # for each test set (n_groups,)


def _distances(parts: Sequence[_Parts], how: Decompositions, number: int) -> _Distances:
    draws = [one.draw(how, number) for one in parts]
    tests = np.concatenate(
        [one.features[test] for one, (_, test) in zip(parts, draws, strict=True)]
    )
    # Building and searching unbalanced trees takes two thirds of the time of balanced ones.
    trees = [
        KDTree(one.features[train], balanced_tree=False)
        for one, (train, _) in zip(parts, draws, strict=True)
    ]
    # (n_sets to train on, n_sets to test with, n_test)
    distances = np.array([tree.query(tests)[0] for tree in trees])
    distances = distances.reshape(len(parts), len(parts), how.test)
    quantiles = np.quantile(distances, [0.5, 0.95, 0.99], axis=-1)
    own = quantiles[2][np.diag_indices(len(parts))]
    statistics = [distances.mean(axis=-1), quantiles[0], quantiles[1], distances.max(axis=-1)]
    sums, counts = [], []
    for place, (one, (_, test)) in enumerate(zip(parts, draws, strict=True)):
        group, n_groups = one.group[test], len(one.group_names)
        sums.append(np.array([np.bincount(group, d[place], n_groups) for d in distances]))
        counts.append(np.bincount(group, minlength=n_groups))
    return _Distances(
        statistics=np.stack(statistics, axis=-1),
        novel=(distances > own[:, None, None]).mean(axis=-1),
        distances=distances,
        group_sums=sums,
        group_counts=counts,
    )


def _summary(
    parts: Sequence[_Parts], results: Iterator[_Distances], callback: Callable[[int], None]
) -> Coverage:
    """Summary over all decompositions, in a fixed order, so threads do not change any digit."""
    statistics, novel, distances = [], [], []
    group_sums = [np.zeros((len(parts), len(one.group_names))) for one in parts]
    group_counts = [np.zeros(len(one.group_names), np.int64) for one in parts]
    for done, result in enumerate(results, start=1):
        statistics.append(result.statistics)
        novel.append(result.novel)
        if len(distances) < _KEPT:
            distances.append(result.distances)
        for place in range(len(parts)):
            group_sums[place] += result.group_sums[place]
            group_counts[place] += result.group_counts[place]
        callback(done)
    with np.errstate(invalid="ignore"):
        means = [total / n for total, n in zip(group_sums, group_counts, strict=True)]
    return Coverage(
        names=tuple(one.name for one in parts),
        statistics=np.array(statistics),
        novel=np.array(novel),
        distances=np.concatenate(distances, axis=-1),
        group_names=tuple(tuple(map(str, one.group_names)) for one in parts),
        group_means=tuple(means),
    )
