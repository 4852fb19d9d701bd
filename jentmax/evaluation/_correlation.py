"""Multiple correlation: how well some quantities predict others linearly."""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-12
"""A column is constant if its range is below this fraction of its largest value."""


def multiple_correlation(predictors: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Multiple correlation coefficient R of each target with all predictors.

    R is the correlation between the target and its least-squares fit by the predictors and a
    constant: 1 for an exact linear fit, |Pearson's r| for one predictor. Predictors may be constant
    or linearly dependent. Independent predictors give about sqrt(n_predictors / n_samples), not 0.

    Args:
        predictors: shape (n_samples, n_predictors).
        targets: shape (n_samples, n_targets).

    Returns:
        Between 0 and 1, or NaN for constant targets, shape (n_targets,).
    """
    directions, extents, _ = np.linalg.svd(_standardized(predictors), full_matrices=False)
    least = max(predictors.shape) * np.finfo(float).eps * extents.max(initial=0)
    standardized = _standardized(targets)
    fitted = directions[:, extents > least].T @ standardized
    explained = np.minimum(np.sum(fitted**2, axis=0) / len(targets), 1)
    return np.where(standardized.any(axis=0), np.sqrt(explained), np.nan)


def _standardized(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1; constant columns become 0."""
    varies = np.ptp(values, axis=0) > _ROUNDING * np.abs(values).max(axis=0)
    deviations = np.where(varies, values.std(axis=0), 1)
    return np.where(varies, (values - values.mean(axis=0)) / deviations, 0)
