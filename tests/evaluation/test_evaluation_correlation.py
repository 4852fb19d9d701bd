"""Multiple correlation in closed form, against scipy and plain least squares."""

import numpy as np
import pytest
from scipy.stats import beta

from jentmax.evaluation._correlation import multiple_correlation


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_one_predictor_is_pearsons():
    predictor = gaussian(40, 1)
    targets = predictor * np.array([1, -2, 0]) + gaussian(40, 3, seed=1)
    expected = [abs(np.corrcoef(predictor[:, 0], target)[0, 1]) for target in targets.T]
    np.testing.assert_allclose(multiple_correlation(predictor, targets), expected, rtol=1e-12)


def test_least_squares():
    predictors = gaussian(50, 5)
    targets = predictors @ gaussian(5, 3, seed=1) + 2 * gaussian(50, 3, seed=2) + 10
    with_constant = np.column_stack([predictors, np.ones(50)])
    _, residuals, _, _ = np.linalg.lstsq(with_constant, targets)
    expected = np.sqrt(1 - residuals / np.sum((targets - targets.mean(axis=0)) ** 2, axis=0))
    np.testing.assert_allclose(multiple_correlation(predictors, targets), expected, rtol=1e-12)


def test_linear_dependence():
    predictors = gaussian(30, 4)
    targets = predictors @ gaussian(4, 2, seed=1) - 5
    np.testing.assert_allclose(multiple_correlation(predictors, targets), 1, rtol=1e-14)


def test_independent_quantities():
    n, p, n_targets = 200, 6, 500
    squared = multiple_correlation(gaussian(n, p), gaussian(n, n_targets, seed=1)) ** 2
    # Each R^2 has this distribution, of mean p / (n - 1); four standard errors.
    distribution = beta(p / 2, (n - 1 - p) / 2)
    assert distribution.mean() == pytest.approx(p / (n - 1))
    error = distribution.std() / np.sqrt(n_targets)
    assert squared.mean() == pytest.approx(distribution.mean(), abs=4 * error)


def test_units_of_predictors_and_targets_do_not_matter():
    predictors, targets = gaussian(40, 3), gaussian(40, 2, seed=1)
    other = predictors @ np.diag([1e-9, 1.0, 1e9]) + np.array([0, 1e4, 1e9])
    # An offset of 1e4 deviations leaves 12 digits.
    np.testing.assert_allclose(
        multiple_correlation(other, 1e-5 * targets + 3),
        multiple_correlation(predictors, targets),
        rtol=1e-9,
    )


def test_predictors_that_depend_on_each_other():
    predictors, targets = gaussian(40, 3), gaussian(40, 2, seed=1)
    dependent = [predictors, predictors @ gaussian(3, 2, seed=2), np.full((40, 1), 0.1)]
    np.testing.assert_allclose(
        multiple_correlation(np.hstack(dependent), targets),
        multiple_correlation(predictors, targets),
        rtol=1e-10,
    )


def test_constant_quantities():
    # A mean of many 0.1 is not 0.1; rounding of 1e-16 is not a variation.
    constant = np.full((37, 1), 0.1)
    rounded = 5 * (1 + 1e-16 * np.arange(37.0))[:, None]
    varying = gaussian(37, 1)
    targets = np.hstack([constant, rounded, np.zeros((37, 1)), varying])
    found = multiple_correlation(varying, targets)
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
    assert multiple_correlation(constant, varying) == [0]


def test_fewer_samples_than_predictors():
    # As many predictors fit anything.
    found = multiple_correlation(gaussian(4, 9), gaussian(4, 2, seed=1))
    np.testing.assert_allclose(found, 1, rtol=1e-12)
