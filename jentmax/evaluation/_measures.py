"""Information measures of sets of environments, given by their scaled features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

_FLOOR = 1e-4
"""Least distance that counts, in scaled units; that of `jentmax.entropy.NearestNeighbor`."""

_PAIRS = 2**18
"""Pairs looked at together: a few MB, which a core's cache holds."""

_COVERED = 1e-5
"""Differential entropy below which an environment counts as known, in nats; QUESTS' own value.

It is for rounding: an environment that stands in the other set has at most 0.
"""


def local_entropies(features: np.ndarray, pointer: np.ndarray) -> np.ndarray:
    """Entropy of each structure's own environments; doi:10.1063/5.0013059, Eq. 2.

    ``S = (1/n) sum_j ln( n min_{l != j} |q_j - q_l| )``; distances below 1e-4 count as 1e-4.

    Args:
        features: scaled, of all atoms, shape (n_atoms, n_features).
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n_structures + 1,).

    Returns:
        In nats, shape (n_structures,); nan for structures of less than two atoms.
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
    """A bandwidth for features of variance 1, by Silverman's rule; doi:10.1201/9781315140919.

    ``h = (4 / ((n_features + 2) n_environments))^(1 / (n_features + 4))``. It is the best width for
    a Gaussian distribution, which the reference set's scale makes a fair model of that set; 0.37
    for 10,000 environments and 6 features. Values at different widths do not compare: take one
    width, and equally many environments, for all sets.

    Args:
        n_environments: that are drawn from each set.
        n_features: of an environment.
    """
    return (4 / ((n_features + 2) * n_environments)) ** (1 / (n_features + 4))


def delta_entropy(features: np.ndarray, reference: np.ndarray, bandwidth: float) -> np.ndarray:
    """How far each environment lies outside a reference set, as in QUESTS.

    ``dH(y | X) = -ln sum_j exp(-|y - x_j|^2 / (2 h^2))``, doi:10.1038/s41467-025-59232-0. It is at
    most 0 if the reference set has the environment, and grows as the square of the distance far
    from it.

    Args:
        features: scaled, shape (n_environments, n_features).
        reference: scaled, at least one row, shape (n_reference, n_features).
        bandwidth: h, in scaled units.

    Returns:
        In nats, finite however far an environment lies, shape (n_environments,).
    """
    values = np.empty(len(features))
    for rows, exponents in _exponents(features, reference, bandwidth):
        # Relative to the largest term, so that not all of them underflow.
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        values[rows] = -largest - np.log(np.exp(exponents, out=exponents).sum(axis=1))
    return values


def kernel_entropy(delta_entropies: np.ndarray) -> float:
    """Entropy of a set of environments, as in QUESTS.

    ``H(X) = -(1/n) sum_i ln( (1/n) sum_j exp(-|x_i - x_j|^2 / (2 h^2)) )``,
    doi:10.1038/s41467-025-59232-0. It lies between 0, where all are equal, and ln n, where all are
    many bandwidths apart: compare sets of equally many environments.

    Args:
        delta_entropies: of all environments of the set with respect to the set itself,
            ``delta_entropy(features, features, bandwidth)``, at least one.

    Returns:
        In nats.
    """
    return float(np.log(len(delta_entropies)) + delta_entropies.mean())


def overlap(delta_entropies: np.ndarray) -> float:
    """Share of the environments that a reference set has already, as in QUESTS.

    Those whose differential entropy is at most 0, but for rounding (1e-5 nats).

    Args:
        delta_entropies: of the environments, as `delta_entropy` gives them, at least one.
    """
    return float(np.mean(delta_entropies < _COVERED))


def log_determinant(features: np.ndarray, ridge: float = _FLOOR**2) -> float:
    """Logarithm of the determinant of the features' covariance: of the squared volume they fill.

    Half of it is the entropy of a Gaussian distribution with the same covariance, up to a constant.

    Args:
        features: scaled, at least one row, shape (n_environments, n_features).
        ridge: added to each variance, so that a set without extent along some direction has a
            finite value too; by default the square of the entropy's least distance.

    Returns:
        In nats.
    """
    centered = features - features.mean(axis=0)
    covariance = centered.T @ centered / len(features)
    return float(np.linalg.slogdet(covariance + ridge * np.eye(len(covariance)))[1])


def vendi_score(features: np.ndarray, bandwidth: float) -> float:
    """Effective number of different environments; arXiv:2210.02410.

    The exponential of the von Neumann entropy of K / n, K being the n environments' Gaussian
    kernel. It lies between 1, where all are equal, and n: compare sets of equally many
    environments. Time grows as n^3 and memory as n^2: 2,000 take a second and 100 MB.

    Args:
        features: scaled, at least one row, shape (n_environments, n_features).
        bandwidth: of the kernel ``exp(-|x_i - x_j|^2 / (2 h^2))``, in scaled units.
    """
    kernel = cdist(features, features, "sqeuclidean")
    kernel *= -0.5 / bandwidth**2
    np.exp(kernel, out=kernel)
    kernel /= len(features)
    shares = np.linalg.eigvalsh(kernel)
    # Rounding leaves some that should vanish below zero.
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _nearest_squared(features: np.ndarray) -> np.ndarray:
    """Squared distance of each atom's environment to its structure's nearest other one.

    Args:
        features: of structures of equal size, shape (n_structures, n_atoms, n_features).

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
    """Logarithms of the Gaussian kernel, some rows at a time.

    Distances come from differences: |x|^2 - 2 xy + |y|^2 by matrix products loses the small ones.
    """
    step = _rows(len(reference))
    for first in range(0, len(features), step):
        rows = slice(first, first + step)
        yield rows, cdist(features[rows], reference, "sqeuclidean") * (-0.5 / bandwidth**2)


def _rows(row: int) -> int:
    """How many rows of so many pairs to look at together."""
    return max(1, _PAIRS // row)
