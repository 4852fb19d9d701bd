"""Eq. 2 by brute force, in closed form, and as what it estimates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln

from jentmax.entropy import NearestNeighbor


def brute_force(features, floor=1e-4):
    """Eq. 2, atom by atom."""
    n_atoms = len(features)
    total = 0.0
    for j in range(n_atoms):
        nearest = min(
            np.linalg.norm(features[j] - features[other]) for other in range(n_atoms) if other != j
        )
        total += np.log(n_atoms * max(nearest, floor))
    return total / n_atoms


@pytest.mark.parametrize(("n_atoms", "n_features"), [(2, 1), (10, 3), (39, 6)])
def test_brute_force(n_atoms, n_features):
    features = np.random.default_rng(n_atoms).normal(size=(n_atoms, n_features))
    features[1] = features[0] + 1e-6
    assert NearestNeighbor()(jnp.asarray(features)) == pytest.approx(
        brute_force(features), rel=1e-12
    )
    assert NearestNeighbor(0.5)(jnp.asarray(features)) == pytest.approx(
        brute_force(features, 0.5), rel=1e-12
    )


def test_evenly_spaced_on_a_line():
    # Along a direction of length 3, every nearest neighbour is at 3 a.
    line = 0.2 * jnp.arange(11.0)[:, None] * jnp.array([1.0, 2.0, -2.0])
    assert NearestNeighbor()(line) == pytest.approx(np.log(11 * 0.6), rel=1e-14)


def test_doubling_spaces_on_a_line():
    # At 1, 2, 4, ...: nearest neighbours at 1, 1, 2, 4, ...
    line = 2.0 ** jnp.arange(9)[:, None]
    logarithms = np.log(2) * np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert NearestNeighbor()(line) == pytest.approx(np.log(9) + logarithms.mean(), rel=1e-14)


def test_a_common_factor_adds_its_logarithm():
    features = jax.random.normal(jax.random.key(0), (20, 4))
    estimator = NearestNeighbor()
    assert estimator(7 * features) == pytest.approx(
        float(estimator(features)) + np.log(7), rel=1e-13
    )


def kozachenko_leonenko(entropy, n_points, n_features):
    """The unbiased estimate of a distribution's differential entropy, from Eq. 2's.

    The mean logarithm of the distances in n_features dimensions, plus the logarithm of the unit
    ball's volume, plus psi(n) - psi(1): Kozachenko and Leonenko, with one neighbour.
    """
    volume = n_features / 2 * np.log(np.pi) - gammaln(n_features / 2 + 1)
    mean_logarithm = float(entropy) - np.log(n_points)
    return n_features * mean_logarithm + volume + digamma(n_points) - digamma(1)


@pytest.mark.parametrize("n_features", [1, 2, 6])
def test_it_measures_what_kozachenko_and_leonenko_do(n_features):
    infomeasure = pytest.importorskip("infomeasure")
    points = np.random.default_rng(0).normal(size=(60, n_features))
    theirs = infomeasure.entropy(points, approach="kl", k=1, minkowski_p=2, noise_level=0, base="e")
    ours = kozachenko_leonenko(NearestNeighbor()(jnp.asarray(points)), 60, n_features)
    assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_it_estimates_the_entropy_of_a_gaussian(n_features):
    points = 3.0 * np.random.default_rng(1).normal(size=(2000, n_features))
    estimate = kozachenko_leonenko(NearestNeighbor()(jnp.asarray(points)), len(points), n_features)
    exact = n_features / 2 * np.log(2 * np.pi * np.e * 9)
    # The variance per point is about pi^2/6 + n_features/2 + ...: below 4; four standard errors.
    assert estimate == pytest.approx(exact, abs=4 * 2 / np.sqrt(2000))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("replicas", [(), (3,)])
@pytest.mark.parametrize("value", [0.0, 1.7, 1e4])
def test_equal_environments(dtype, replicas, value):
    estimator = NearestNeighbor(1e-3)
    features = jnp.full((12, 6, *replicas), value, dtype)
    entropy, gradient = jax.value_and_grad(lambda q: jnp.sum(estimator(q)) / 3 ** len(replicas))(
        features
    )
    # Rounding of a logarithm.
    tolerance = 1e-6 if dtype == jnp.float32 else 1e-14
    assert float(entropy) == pytest.approx(np.log(12 * 1e-3), rel=tolerance)
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def gradient_by_hand(features, floor):
    """Of Eq. 2: every atom and its nearest push each other apart by 1 / (n distance)."""
    gradient = np.zeros_like(features)
    for j in range(len(features)):
        distances = np.linalg.norm(features - features[j], axis=1)
        distances[j] = np.inf
        nearest = np.argmin(distances)
        if distances[nearest] > floor:
            push = (features[j] - features[nearest]) / distances[nearest] ** 2 / len(features)
            gradient[j] += push
            gradient[nearest] -= push
    return gradient


def test_gradient():
    features = np.random.default_rng(0).normal(size=(15, 4))
    features[3] = features[7]
    found = jax.jit(jax.grad(NearestNeighbor()))(jnp.asarray(features))
    np.testing.assert_allclose(found, gradient_by_hand(features, 1e-4), rtol=1e-12, atol=1e-15)
    # Equal environments do not feel each other; a third whose nearest they are pushes one.
    assert np.all(np.isfinite(found))


def test_gradient_at_the_floor():
    estimator = NearestNeighbor(0.01)
    pair = jnp.array([[0.0], [1.0]])
    slopes = [float(jax.grad(estimator)(0.01 * scale * pair)[1, 0]) for scale in (0.99, 1.01, 2.0)]
    # Of both atoms' terms, 1 / (n d) each.
    np.testing.assert_allclose(slopes, [0, 2 / 2 / 0.0101, 2 / 2 / 0.02], rtol=1e-12)


def test_gradient_where_two_neighbours_are_equally_near():
    features = jnp.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 9.0]])
    gradient = jax.grad(NearestNeighbor())(features)
    assert jnp.all(jnp.isfinite(gradient))
    np.testing.assert_allclose(jnp.sum(gradient, axis=0), 0, atol=1e-15)


def test_what_is_not_a_number_is_not_hidden():
    features = jax.random.normal(jax.random.key(0), (5, 2)).at[2, 1].set(jnp.nan)
    assert jnp.isnan(NearestNeighbor()(features))
