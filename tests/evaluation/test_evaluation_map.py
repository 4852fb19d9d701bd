"""Principal axes in closed form and against the covariance's eigenvectors."""

import numpy as np
import pytest

from jentmax.evaluation._map import principal_axes


def test_closed_form():
    # Points on the axes of a rotated cross: variances 8, 2 and 0 (times 2/4), around (1, 2, 3).
    long, short = np.array([0.6, 0.8, 0]), np.array([0.0, 0.0, 1.0])
    features = np.array([1.0, 2.0, 3.0]) + np.array([2 * long, -2 * long, -short, short])
    center, axes, explained = principal_axes(features)
    np.testing.assert_allclose(center, [1, 2, 3], rtol=1e-14)
    np.testing.assert_allclose(axes, [long, short], atol=1e-14)
    np.testing.assert_allclose(explained, [0.8, 0.2], rtol=1e-14)


def test_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 50
    center, axes, explained = principal_axes(features)
    variances, vectors = np.linalg.eigh(np.cov(features.T))
    np.testing.assert_allclose(explained, variances[[-1, -2]] / variances.sum(), rtol=1e-11)
    overlaps = np.abs(axes @ vectors[:, [-1, -2]])
    np.testing.assert_allclose(overlaps, np.eye(2), atol=1e-10)
    mapped = (features - center) @ axes.T
    np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(mapped.var(axis=0, ddof=1), variances[[-1, -2]], rtol=1e-11)


def test_orientation_does_not_depend_on_the_order_of_rows():
    features = np.random.default_rng(1).normal(size=(100, 4)) * [1, 2, 3, 4]
    axes = principal_axes(features).axes
    np.testing.assert_allclose(principal_axes(features[::-1]).axes, axes, atol=1e-12)
    assert np.all(axes[[0, 1], np.abs(axes).argmax(axis=1)] > 0)


@pytest.mark.parametrize("features", [np.ones((1, 6)), np.zeros((9, 3)), np.arange(4.0)[:, None]])
def test_less_than_two_directions(features):
    center, axes, explained = principal_axes(features)
    assert axes.shape == (2, features.shape[1])
    assert explained[1] == 0
    mapped = (features - center) @ axes.T
    np.testing.assert_allclose(mapped[:, 0], features[:, 0] - features[:, 0].mean(), atol=1e-15)
    np.testing.assert_allclose(mapped[:, 1], 0, atol=1e-15)
