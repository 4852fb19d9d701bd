"""How well one set's environments cover another's: distances to the nearest training environment.

The paper's Tables I to III and Fig. 8 (doi:10.1063/5.0013059): environments of every set are drawn
at random into training and test parts, again and again, and each test environment's distance to
the nearest training environment is taken for every ordered pair of sets.
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
"""Of the distances of one decomposition, in this order; the third is the 95th percentile."""

_KEPT = 10
"""Decompositions whose distances are kept, to show how they are distributed."""

By = Literal["environment", "structure"]


@dataclasses.dataclass(frozen=True)
class Decompositions:
    """How often and into which parts the sets are divided.

    Attributes:
        train: environments of each set to train on.
        test: environments of each set to test with, others than those.
        number: how many divisions are drawn.
        seed: of the draws.
        by: "environment" draws single environments; "structure" draws whole structures, none of
            which is in both parts.
    """

    train: int
    test: int
    number: int
    seed: int = 0
    by: By = "environment"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Distances from test environments to the nearest training environment.

    Axes are named in the order train, test: ``[i, j]`` is trained on set i and tested on set j.

    Attributes:
        names: of the sets.
        statistics: of each decomposition's distances, shape (n_decompositions, n_sets, n_sets, 4),
            in the order of `STATISTICS`, in units of the scaled features.
        novel: share of the test environments farther from the training set than its 99th
            percentile of distances of its own, shape (n_decompositions, n_sets, n_sets).
        distances: all of them, of the first ten decompositions, shape (n_sets, n_sets, n).
        group_names: of the groups of each set's structures, in alphabetical order.
        group_means: mean distance of each group's environments over all decompositions, for each
            test set an array of shape (n_sets, n_groups); nan where none was drawn.
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
        """Of `mean`, from the spread over the decompositions; nan for a single one."""
        return standard_error(self.statistics)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis; nan for a single value."""
    n = len(values)
    if n == 1:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(n)


def sizes(
    counts: Mapping[str, int], train: int | None, test: int | None, default: tuple[int, int]
) -> tuple[int, int]:
    """Numbers of training and test environments that all sets have.

    Args:
        counts: environments that can be drawn, by name of the set.
        train: training environments asked for, or None.
        test: test environments asked for, or None.
        default: numbers to take if nothing is asked for. If the smallest set has fewer, all of it
            is taken, in the same proportion.

    Raises:
        JentmaxError: if a set has fewer than are asked for, or fewer than three.
    """
    name = min(counts, key=counts.__getitem__)
    least = counts[name]
    if least < 3:
        raise JentmaxError(
            f"{name} has {least} environments to draw; at least 3 are needed: give a larger set"
        )
    if train is None and test is None:
        share = min(1.0, least / sum(default))
        return max(1, int(share * default[0])), max(1, int(share * default[1]))
    train = train or (2 * test if test else 0)
    test = test or max(1, train // 2)
    if train + test > least:
        raise JentmaxError(
            f"--train {train} and --test {test} are {train + test} environments, and {name} has "
            f"{least} to draw; ask for fewer, or give a larger set"
        )
    return train, test


def coverage(
    features: Mapping[str, np.ndarray],
    pointers: Mapping[str, np.ndarray],
    groups: Mapping[str, Sequence[str]],
    decompositions: Decompositions,
    report: Callable[[int], None] = lambda done: None,
) -> Coverage:
    """Distances from test to the nearest training environments for every ordered pair of sets.

    Args:
        features: scaled alike, by name of the set, shapes (n_environments, n_features).
        pointers: environments of structure k are ``pointer[k]:pointer[k + 1]``.
        groups: of each set's structures.
        decompositions: how to divide the sets; each has enough environments (`sizes`).
        report: called with the number of decompositions done.

    Raises:
        JentmaxError: dividing by structures, if a set's structures are too few or too large.
    """
    names = tuple(features)
    parts = [_Parts(name, features[name], pointers[name], groups[name]) for name in names]

    def one(number: int) -> _Distances:
        return _distances(parts, decompositions, number)

    with ThreadPoolExecutor(n_cores()) as threads:  # KDTree lets other threads run
        try:
            return _summary(parts, threads.map(one, range(decompositions.number)), report)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


class _Parts:
    """One set, to be divided."""

    def __init__(
        self, name: str, features: np.ndarray, pointer: np.ndarray, groups: Sequence[str]
    ) -> None:
        self.name, self.features, self.pointer = name, features, pointer
        self.key = zlib.crc32(name.encode())  # draws do not depend on the sets beside it
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
        # Whole structures in turn until there are enough to train on, then to test with.
        ends = np.cumsum(counts[order])
        first = int(np.searchsorted(ends, how.train)) + 1
        second = int(np.searchsorted(ends, ends[min(first, len(ends)) - 1] + how.test)) + 1
        if second > len(order):
            raise JentmaxError(
                f"{self.name}: its {len(counts)} structures cannot be divided into {how.train} "
                f"training and {how.test} test environments by whole structures; ask for fewer "
                "with --train and --test, or give --by environment"
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
    # Unbalanced trees are built and searched in two thirds of the time of balanced ones.
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
    parts: Sequence[_Parts], results: Iterator[_Distances], report: Callable[[int], None]
) -> Coverage:
    """Of all decompositions, taken in their order, so that threads change no digit."""
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
        report(done)
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
