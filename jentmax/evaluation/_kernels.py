"""Measures that compare environments by a Gaussian kernel, for several sets side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jentmax.devices import n_cores
from jentmax.evaluation._measures import (
    delta_entropy,
    kernel_entropy,
    overlap,
    silverman_bandwidth,
    vendi_score,
)

_ENVIRONMENTS = 5000
"""Drawn from each set, and as many others to test with."""

_VENDI = 1000
"""Of them for the Vendi score, whose time grows as their cube."""


@dataclasses.dataclass(frozen=True)
class Kernels:
    """Measures by kernels. Sets are in the order in which they were given.

    Attributes:
        bandwidth: of the kernel, in units of the scaled features, the same for all sets.
        n_environments: drawn from each set, and as many others to test with.
        entropy: kernel entropy of the drawn environments in nats, shape (n_sets,).
        delta_entropy: mean of the test environments' differential entropies in nats, shape
            (n_sets, n_sets) for train, test.
        overlap: share of the test environments that the training set has, shape (n_sets, n_sets)
            for train, test.
        n_vendi: of the drawn environments, for ``vendi_score``.
        vendi_score: effective number of different environments, shape (n_sets,).
    """

    bandwidth: float
    n_environments: int
    entropy: np.ndarray
    delta_entropy: np.ndarray
    overlap: np.ndarray
    n_vendi: int
    vendi_score: np.ndarray


def compare_by_kernels(features: Mapping[str, np.ndarray], seed: int) -> Kernels:
    """Compare sets by equally many environments of each, drawn at random.

    Args:
        features: scaled, by name of the set, shapes (n_environments, n_features), at least two
            rows each.
        seed: of the draws.
    """
    least = min(map(len, features.values())) // 2
    n_environments, n_vendi = min(_ENVIRONMENTS, least), min(_VENDI, least)
    bandwidth = silverman_bandwidth(n_environments, next(iter(features.values())).shape[1])
    drawn = [
        np.random.default_rng([seed, 1]).choice(values, 2 * n_environments, replace=False)
        for values in features.values()
    ]
    train = [values[:n_environments] for values in drawn]
    test = [values[n_environments:] for values in drawn]
    with ThreadPoolExecutor(n_cores()) as threads:  # scipy and numpy let others run

        def deltas(some: list[np.ndarray], reference: np.ndarray) -> list[np.ndarray]:
            return list(threads.map(lambda one: delta_entropy(one, reference, bandwidth), some))

        between = [deltas(test, reference) for reference in train]
        own = list(threads.map(lambda one: delta_entropy(one, one, bandwidth), train))
    return Kernels(
        bandwidth=bandwidth,
        n_environments=n_environments,
        entropy=np.array([kernel_entropy(values) for values in own]),
        delta_entropy=np.array([[values.mean() for values in row] for row in between]),
        overlap=np.array([[overlap(values) for values in row] for row in between]),
        n_vendi=n_vendi,
        vendi_score=np.array([vendi_score(values[:n_vendi], bandwidth) for values in train]),
    )
