"""Information measures of sets of environments, from their scaled features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

_FLOOR = 1e-4
"""Lower limit of distances, in scaled units, as in `jentmax.entropy.NearestNeighbor`."""

_PAIRS = 2**18
"""Pairs per block; a few MB, which fit into the cache of a core."""

_COVERED = 1e-5
"""Differential entropy below which an environment counts as known, in nats; the value of QUESTS.

It allows for rounding: an environment that the other set contains has at most 0.
"""


def local_entropies(features: np.ndarray, pointer: np.ndarray) -> np.ndarray:
    """Entropy of the environments of each structure; doi:10.1063/5.0013059, Eq. 2.

    ``S = (1/n) sum_j ln( n min_{l != j} |q_j - q_l| )``; distances below 1e-4 count as 1e-4.

    Args:
        features: scaled features of all atoms, shape (n_atoms, n_features).
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n_structures + 1,).

    Returns:
        Entropies in nats, shape (n_structures,); NaN for structures with fewer than two atoms.
    """
    sizes = np.diff(pointer)
    entropies = np.full(len(sizes), np.nan)
    for size in np.unique(sizes[sizes > 1]):
        alike = np.flatnonzero(sizes == size)
        for some in np.split(alike, range(_rows(size**2), len(alike), _rows(size**2))):
            atoms = pointer[some, None] + np.arange(size)
            nearest = np.maximum(_nearest_squared(features[atoms]), _FLOOR**2)
            entropies[some] = np.log(size) + np.log(nearest).mean(axis=1) / 2
    return entropies


def silverman_bandwidth(n_environments: int, n_features: int) -> float:
    """Silverman's bandwidth for features of variance 1; doi:10.1201/9781315140919.

    ``h = (4 / ((n_features + 2) n_environments))^(1 / (n_features + 4))``, for example 0.37 for
    10,000 environments and 6 features. It is optimal for a Gaussian distribution, a fair model of
    the scaled reference set. Values for different bandwidths are not comparable, so use one
    bandwidth and the same number of environments for all sets.

    Args:
        n_environments: number of environments drawn from each set.
        n_features: number of features.
    """
    return (4 / ((n_features + 2) * n_environments)) ** (1 / (n_features + 4))


def delta_entropy(features: np.ndarray, reference: np.ndarray, bandwidth: float) -> np.ndarray:
    """Differential entropy of each environment with respect to a reference set, as in QUESTS.

    ``dH(y | X) = -ln sum_j exp(-|y - x_j|^2 / (2 h^2))``, doi:10.1038/s41467-025-59232-0. It is at
    most 0 if the reference set contains the environment, and far away grows as the square of the
    distance.

    Args:
        features: scaled features, shape (n_environments, n_features).
        reference: scaled features of the reference set, at least one row, shape (n_reference,
            n_features).
        bandwidth: h, in scaled units.

    Returns:
        Differential entropies in nats, finite at any distance, shape (n_environments,).
    """
    values = np.empty(len(features))
    for rows, exponents in _exponents(features, reference, bandwidth):
        # Divide by the largest term, so that the sum does not underflow.
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        values[rows] = -largest - np.log(np.exp(exponents, out=exponents).sum(axis=1))
    return values


def kernel_entropy(delta_entropies: np.ndarray) -> float:
    """Entropy of a set of environments, as in QUESTS.

    ``H(X) = -(1/n) sum_i ln( (1/n) sum_j exp(-|x_i - x_j|^2 / (2 h^2)) )``,
    doi:10.1038/s41467-025-59232-0. It lies between 0, if all are equal, and ln n, if all are many
    bandwidths apart. Compare only sets with the same number of environments.

    Args:
        delta_entropies: differential entropies with respect to the set itself,
            ``delta_entropy(features, features, bandwidth)``, at least one.

    Returns:
        Entropy in nats.
    """
    return float(np.log(len(delta_entropies)) + delta_entropies.mean())


def overlap(delta_entropies: np.ndarray) -> float:
    """Fraction of the environments that a reference set contains, as in QUESTS.

    These are the environments with a differential entropy of at most 0, up to rounding (1e-5 nats).

    Args:
        delta_entropies: from `delta_entropy`, at least one.
    """
    return float(np.mean(delta_entropies < _COVERED))


def log_determinant(features: np.ndarray, ridge: float = _FLOOR**2) -> float:
    """Logarithm of the determinant of the features' covariance, the squared volume of the set.

    Up to a constant, half of it is the entropy of a Gaussian distribution with this covariance.

    Args:
        features: scaled features, at least one row, shape (n_environments, n_features).
        ridge: added to each variance, so that the result is finite for sets without extent in some
            direction; by default the square of the lower limit of distances.

    Returns:
        Logarithm in nats.
    """
    centered = features - features.mean(axis=0)
    covariance = centered.T @ centered / len(features)
    return float(np.linalg.slogdet(covariance + ridge * np.eye(len(covariance)))[1])


def vendi_score(features: np.ndarray, bandwidth: float) -> float:
    """Effective number of different environments; arXiv:2210.02410.

    It is the exponential of the von Neumann entropy of K / n, where K is the Gaussian kernel matrix
    of the n environments. It lies between 1, if all are equal, and n. Compare only sets with the
    same number of environments. Time grows as n^3 and memory as n^2; 2,000 environments take a
    second and 100 MB.

    Args:
        features: scaled features, at least one row, shape (n_environments, n_features).
        bandwidth: h of the kernel ``exp(-|x_i - x_j|^2 / (2 h^2))``, in scaled units.
    """
    kernel = cdist(features, features, "sqeuclidean")
    kernel *= -0.5 / bandwidth**2
    np.exp(kernel, out=kernel)
    kernel /= len(features)
    eigenvalues = np.linalg.eigvalsh(kernel)
    eigenvalues = eigenvalues[eigenvalues > 0]  # rounding makes some of them negative
    return float(np.exp(-np.sum(eigenvalues * np.log(eigenvalues))))


def _nearest_squared(features: np.ndarray) -> np.ndarray:
    """Squared distance from each environment to the nearest other one of its structure.

    Args:
        features: structures of equal size, shape (n_structures, n_atoms, n_features).

    Returns:
        Shape (n_structures, n_atoms).
    """
    n_structures, n_atoms, _ = features.shape
    nearest = np.empty((n_structures, n_atoms))
    components = np.ascontiguousarray(np.moveaxis(features, 2, 0))
    step = _rows(n_structures * n_atoms)
    for first in range(0, n_atoms, step):
        rows = np.arange(first, min(first + step, n_atoms))
        squared = np.zeros((n_structures, len(rows), n_atoms))
        for component in components:
            difference = component[:, rows, None] - component[:, None, :]
            squared += np.square(difference, out=difference)
        squared[:, np.arange(len(rows)), rows] = np.inf
        nearest[:, rows] = squared.min(axis=2)
    return nearest


def _exponents(
    features: np.ndarray, reference: np.ndarray, bandwidth: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Logarithms of the Gaussian kernel, in blocks of rows.

    Distances come from differences, because |x|^2 - 2 xy + |y|^2 is inaccurate for small distances.
    """
    step = _rows(len(reference))
    for first in range(0, len(features), step):
        rows = slice(first, first + step)
        yield rows, cdist(features[rows], reference, "sqeuclidean") * (-0.5 / bandwidth**2)


def _rows(row: int) -> int:
    """Rows per block, for rows of this many pairs."""
    return max(1, _PAIRS // row)
