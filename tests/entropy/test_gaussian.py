"""The Gaussian entropy in closed form, against numpy, and against evaluation's determinant."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jentmax.entropy import Gaussian
from jentmax.evaluation._measures import log_determinant

entropy = eqx.filter_jit(Gaussian.__call__)
gradient = eqx.filter_jit(jax.grad(Gaussian.__call__, argnums=1))


def gaussian(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


@pytest.mark.parametrize(("n", "n_features"), [(2, 1), (39, 6), (100, 30)])
@pytest.mark.parametrize("ridge", [1e-6, 0.1])
def test_numpy_and_scipy(n, n_features, ridge):
    points = gaussian(n, n_features) @ gaussian(n_features, n_features, 1)
    covariance = np.cov(points.T, ddof=0).reshape(n_features, n_features)
    covariance += ridge * np.eye(n_features)
    found = float(entropy(Gaussian(ridge), jnp.asarray(points)))
    expected = np.linalg.slogdet(2 * np.pi * np.e * covariance)[1] / 2
    assert found == pytest.approx(expected, rel=1e-9)
    theirs = multivariate_normal(np.zeros(n_features), covariance).entropy()
    assert found == pytest.approx(theirs, rel=1e-9)
    evaluated = (n_features * np.log(2 * np.pi * np.e) + log_determinant(points, ridge)) / 2
    assert found == pytest.approx(evaluated, rel=1e-9)


def test_closed_form():
    # The corners of a box: independent coordinates with the halves of its edges squared.
    corners = jnp.array([[x, y] for x in (-3.0, 3.0) for y in (-0.5, 0.5)])
    variances = np.array([9, 0.25]) + 1e-3
    expected = np.log(2 * np.pi * np.e * variances).sum() / 2
    assert Gaussian(1e-3)(corners) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float64, 1e-9), (jnp.float32, 0.1)])
def test_fewer_environments_than_features(dtype, tolerance):
    # Two environments extend along one direction of six; their variance is a quarter of 4 * 6.
    pair = jnp.stack([jnp.ones(6, dtype), -jnp.ones(6, dtype)])
    expected = (6 * np.log(2 * np.pi * np.e) + np.log(6.000001) + 5 * np.log(1e-6)) / 2
    # float32 knows 1 + 1e-6 to 10 % of the ridge.
    assert entropy(Gaussian(), pair) == pytest.approx(expected, abs=5 * tolerance)
    assert jnp.all(jnp.isfinite(gradient(Gaussian(), pair)))


def test_gradient_is_the_inverse_covariance():
    points = gaussian(20, 4)
    centered = points - points.mean(axis=0)
    covariance = centered.T @ centered / 20 + 1e-6 * np.eye(4)
    expected = centered @ np.linalg.inv(covariance) / 20
    found = gradient(Gaussian(), jnp.asarray(points))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_rotation_changes_nothing():
    points = gaussian(20, 4)
    rotation = np.linalg.qr(gaussian(4, 4, 1))[0]
    before, after = (
        float(entropy(Gaussian(), jnp.asarray(array))) for array in (points, points @ rotation)
    )
    assert after == pytest.approx(before, rel=1e-12)
