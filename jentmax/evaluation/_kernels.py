"""Measures based on a Gaussian kernel, for several sets."""

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
"""Environments drawn from each set for training; the same number is drawn for testing."""

_VENDI = 1000
"""Environments for the Vendi score, whose time grows as their cube."""


@dataclasses.dataclass(frozen=True)
class Kernels:
    """Kernel measures, with sets in the given order.

    Attributes:
        bandwidth: bandwidth of the kernel in units of the scaled features, the same for all sets.
        n_environments: number of training environments per set, and of test environments.
        entropy: kernel entropy of the training environments in nats, shape (n_sets,).
        delta_entropy: mean differential entropy of the test environments in nats, shape
            (n_sets, n_sets) for train, test.
        overlap: fraction of test environments that the training set contains, shape
            (n_sets, n_sets) for train, test.
        n_vendi: number of environments for ``vendi_score``.
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
    """Compare sets, with the same number of random environments from each.

    Args:
        features: scaled features by name of the set, shapes (n_environments, n_features), at least
            two rows each.
        seed: random seed.
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
    with ThreadPoolExecutor(n_cores()) as threads:  # scipy and numpy release the GIL

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
