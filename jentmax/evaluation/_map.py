"""A map of environments: the plane of the first two principal axes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PrincipalAxes(NamedTuple):
    """Origin and axes of the map, and the fraction of the variance along each axis.

    The map of features is ``(features - center) @ axes.T``.
    """

    center: np.ndarray
    """Shape (n_features,)."""

    axes: np.ndarray
    """Unit vectors as rows, the one with the larger variance first, shape (2, n_features)."""

    explained: np.ndarray
    """Fraction of the variance along each axis, shape (2,)."""


def principal_axes(features: np.ndarray) -> PrincipalAxes:
    """The two orthogonal directions with the largest variance of the scaled features.

    The largest component of each axis is positive, so maps of the same set always have the same
    orientation. The second axis is zero if there is only one feature or one row.

    Args:
        features: scaled features, at least one row, shape (n_environments, n_features).
    """
    center = features.mean(axis=0)
    _, deviations, directions = np.linalg.svd(features - center, full_matrices=False)
    axes = np.zeros((2, features.shape[1]))
    axes[: len(directions)] = directions[:2]
    largest = np.argmax(np.abs(axes), axis=1)
    axes *= np.where(axes[[0, 1], largest] < 0, -1, 1)[:, None]
    variances = np.zeros(2)
    variances[: len(deviations)] = deviations[:2] ** 2
    total = np.sum(deviations**2)
    return PrincipalAxes(center, axes, variances / total if total > 0 else variances)
