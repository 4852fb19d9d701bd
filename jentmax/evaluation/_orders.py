"""Greedy selection orders of structures, based on the features of their environments.

Selecting a structure adds all its environments at once. Farthest-point sampling in skmatter and
submodular selection in apricot select single rows only, so this module implements its own.
Every order is nested: its first 100 structures equal a selection of 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

_PAIRS = 2**18
"""Pairs of environments per block; their distances fit into the cache of a core."""


def farthest_point(
    features: np.ndarray,
    pointer: np.ndarray,
    n_structures: int,
    given: np.ndarray | None = None,
) -> np.ndarray:
    """Select structures by farthest-point sampling of their environments.

    Each step selects the structure with the environment farthest from all covered environments.
    The first step selects the environment nearest to the mean or, with ``given``, the one farthest
    from the given ones. Ties go to the first environment. With one environment per structure, the
    largest distance is at most twice the optimum over all selections
    (doi:10.1016/0304-3975(85)90224-5).

    Args:
        features: scaled features of all environments, sorted by structure, shape (N, n_features).
        pointer: environments of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        n_structures: number of structures to select, at most n.
        given: features of environments that are already covered, at least one, shape
            (M, n_features).

    Returns:
        Numbers of the structures in the order of selection, shape (n_structures,).
    """
    if given is not None:
        nearest = nearest_distances(features, given) ** 2
    else:
        nearest = -((features - features.mean(axis=0)) ** 2).sum(axis=1)
    chosen = np.empty(n_structures, int)
    for k in range(n_structures):
        structure = int(np.searchsorted(pointer, nearest.argmax(), side="right")) - 1
        own = slice(pointer[structure], pointer[structure + 1])
        if k == 0 and given is None:
            nearest[:] = np.inf
        _lower(nearest, features, features[own])
        nearest[own] = -np.inf
        chosen[k] = structure
    return chosen


def most_informative(
    features: np.ndarray,
    pointer: np.ndarray,
    n_structures: int,
    bandwidth: float,
    given: np.ndarray | None = None,
) -> np.ndarray:
    """Select structures by the information that their environments add, as in QUESTS.

    An environment y adds ``-ln sum_j exp(-|y - x_j|^2 / 2 h^2)`` nats to environments x_j
    (doi:10.1038/s41467-025-59232-0). Each step selects the structure whose environments on average
    add most to the covered ones. If nothing is covered yet, the first step selects the structure
    whose own environments have the largest entropy. Ties go to the first structure.

    Args:
        features: as for :func:`farthest_point`.
        pointer: as for :func:`farthest_point`.
        n_structures: as for :func:`farthest_point`.
        bandwidth: h, in units of the scaled features.
        given: as for :func:`farthest_point`; 10^9 pairs of given and candidate environments take
            about ten seconds.

    Returns:
        Numbers of the structures in the order of selection, shape (n_structures,).
    """
    counts = np.diff(pointer)
    log_sums = np.full(len(features), -np.inf)
    if given is not None:
        for some in np.array_split(given, -(-len(given) // 256)):
            _add(log_sums, features, some, bandwidth)
        gains = np.add.reduceat(-log_sums, pointer[:-1]) / counts
    else:
        pieces = np.split(features, pointer[1:-1])
        gains = np.array([_entropy(piece, bandwidth) for piece in pieces])
    free = np.ones(len(counts), bool)
    chosen = np.empty(n_structures, int)
    for k in range(n_structures):
        structure = int(np.where(free, gains, -np.inf).argmax())
        free[structure] = False
        chosen[k] = structure
        _add(log_sums, features, features[pointer[structure] : pointer[structure + 1]], bandwidth)
        gains = np.add.reduceat(-log_sums, pointer[:-1]) / counts
    return chosen


def random_order(n: int, n_structures: int, seed: int | list[int]) -> np.ndarray:
    """The first ``n_structures`` of n structures in random order, shape (n_structures,)."""
    return np.random.default_rng(seed).permutation(n)[:n_structures]


def nearest_distances(features: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Distance from each environment to the nearest covered one, shape (N,)."""
    distances, _ = KDTree(covered).query(features)
    return np.asarray(distances)


def covering_curve(
    features: np.ndarray, steps: Iterable[np.ndarray], distances: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from environments to the nearest covered one, as the selection grows.

    Args:
        features: scaled features of the environments to cover, shape (N, n_features).
        steps: features of the environments that each step adds, shapes (n, n_features).
        distances: distances before the first step, if some environments are already covered,
            shape (N,).

    Returns:
        Mean and maximum after each step, and with ``distances`` also before the first step.
    """
    nearest = np.full(len(features), np.inf) if distances is None else distances**2
    after = [] if distances is None else [(distances.mean(), distances.max())]
    for some in steps:
        _lower(nearest, features, some)
        after.append((np.sqrt(nearest).mean(), np.sqrt(nearest.max())))
    means, maxima = np.array(after).T
    return means, maxima


def _lower(nearest: np.ndarray, features: np.ndarray, new: np.ndarray) -> None:
    """Update squared distances to the nearest covered environment with new ones, in place."""
    for block, squares in _squared_distances(features, new):
        np.minimum(nearest[block], squares.min(axis=0), out=nearest[block])


def _entropy(features: np.ndarray, bandwidth: float) -> float:
    """Entropy of environments, ``-mean_i ln(sum_j exp(-|x_i - x_j|^2 / 2 h^2) / n)``, in nats."""
    log_sums = np.full(len(features), -np.inf)
    _add(log_sums, features, features, bandwidth)
    return float(np.log(len(features)) - log_sums.mean())


def _add(log_sums: np.ndarray, features: np.ndarray, new: np.ndarray, bandwidth: float) -> None:
    """Add new environments to logarithms of kernel sums, in place."""
    for block, squares in _squared_distances(features, new):
        exponents = np.multiply(squares, -0.5 / bandwidth**2, out=squares)
        # Without this, the sum underflows in float64 if the nearest is 40 bandwidths away.
        largest = exponents.max(axis=0)
        exponents -= largest
        sums = largest + np.log(np.exp(exponents, out=exponents).sum(axis=0))
        np.logaddexp(log_sums[block], sums, out=log_sums[block])


def _squared_distances(features: np.ndarray, new: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances from new environments to all environments, in blocks of the latter.

    They come from differences, not products, so that equal environments are at distance 0.
    """
    rows = max(1, _PAIRS // len(new))
    for first in range(0, len(features), rows):
        block = slice(first, first + rows)
        yield block, cdist(new, features[block], "sqeuclidean")
