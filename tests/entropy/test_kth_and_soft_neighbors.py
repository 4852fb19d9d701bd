"""The k-th and the soft nearest neighbour by brute force, in closed form, and against Eq. 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import digamma, gammaln

from jentmax.entropy import KthNearestNeighbor, NearestNeighbor, SoftNearestNeighbor


def gaussian(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


def log_unit_ball(n_features):
    return n_features / 2 * np.log(np.pi) - gammaln(n_features / 2 + 1)


@pytest.mark.parametrize("k", [1, 2, 4, 11])
@pytest.mark.parametrize(("n", "n_features"), [(12, 1), (39, 6), (200, 3)])
def test_infomeasure(n, n_features, k):
    infomeasure = pytest.importorskip("infomeasure")
    points = gaussian(n, n_features)
    theirs = infomeasure.entropy(points, approach="kl", k=k, minkowski_p=2, noise_level=0, base="e")
    # Rounding, of digamma functions by other series.
    assert KthNearestNeighbor(k)(jnp.asarray(points)) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(("n", "n_features"), [(2, 1), (39, 6), (100, 3)])
def test_the_first_neighbour_is_eq_2_but_for_factor_and_constant(n, n_features):
    points = jnp.asarray(gaussian(n, n_features))
    eq_2 = float(NearestNeighbor()(points))
    constant = digamma(n) - digamma(1) + log_unit_ball(n_features)
    found = KthNearestNeighbor(1)(points)
    assert found == pytest.approx(n_features * (eq_2 - np.log(n)) + constant, rel=1e-12)
    gradients = [
        jax.grad(estimator)(points) for estimator in (NearestNeighbor(), KthNearestNeighbor(1))
    ]
    np.testing.assert_allclose(gradients[1], n_features * gradients[0], rtol=1e-12, atol=1e-15)


def test_equal_environments_count_one_by_one():
    # Three at 0 and one at 5: the second neighbour of the three is at 0, that of the fourth at 5.
    points = jnp.array([[0.0], [0.0], [0.0], [5.0]])
    logarithms = (3 * np.log(1e-3) + np.log(5)) / 4
    expected = digamma(4) - digamma(2) + np.log(2) + logarithms
    assert KthNearestNeighbor(2, 1e-3)(points) == pytest.approx(expected, rel=1e-13)


def test_too_few_environments():
    with pytest.raises(ValueError, match="k = 4 is too large for 4 environments; give 1 to 3"):
        KthNearestNeighbor()(jnp.ones((4, 2)))


def soft_by_hand(points, width, floor=1e-4):
    distances = np.sqrt(cdist(points, points, "sqeuclidean") + floor**2)
    np.fill_diagonal(distances, np.inf)
    return np.log(len(points)) - width * np.log((distances ** (-1 / width)).sum(axis=1)).mean()


@pytest.mark.parametrize("width", [0.02, 0.1, 1.0])
def test_soft_minimum_by_brute_force(width):
    points = gaussian(39, 6)
    points[3] = points[8]
    found = SoftNearestNeighbor(width)(jnp.asarray(points))
    assert found == pytest.approx(soft_by_hand(points, width), rel=1e-12)


def test_soft_minimum_of_equal_distances():
    # A regular simplex with edges of sqrt(2): all n - 1 distances are the least.
    n, width = 5, 0.3
    expected = np.log(n * np.sqrt(2)) - width * np.log(n - 1)
    assert SoftNearestNeighbor(width, 1e-9)(jnp.eye(n)) == pytest.approx(expected, rel=1e-14)


def test_soft_minimum_becomes_the_minimum():
    points = jnp.asarray(gaussian(39, 6))
    hard = float(NearestNeighbor()(points))
    widths = [1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-5]
    below = [hard - float(SoftNearestNeighbor(width, 1e-9)(points)) for width in widths]
    assert below == sorted(below, reverse=True)
    assert all(0 <= gap <= width * np.log(38) for gap, width in zip(below, widths, strict=True))
    # Half the width times the share of pairs whose distances are that much alike.
    assert below[-1] < 1e-8


def test_soft_minimum_in_float32_and_narrow():
    points = gaussian(39, 6)
    found = SoftNearestNeighbor(0.01)(jnp.asarray(points, jnp.float32))
    # Distances are rounded by 1e-7, and their logarithms are not far from 1.
    assert found == pytest.approx(soft_by_hand(points.astype(np.float32), 0.01), abs=2e-6)


def largest_jump(estimator, n_steps):
    """Largest change of the force on the first of three environments as it passes between two."""

    def pull(x):
        points = jnp.stack([jnp.array([x, 0.5]), jnp.array([-1.0, 0.0]), jnp.array([1.0, 0.0])])
        return estimator(points)

    forces = jax.jit(jax.vmap(jax.grad(pull)))(jnp.linspace(-0.1, 0.1, n_steps))
    return float(jnp.max(jnp.abs(jnp.diff(forces))))


def test_the_force_is_continuous_where_that_of_eq_2_jumps():
    # Eq. 2: from away from one, x / r^2 with r^2 = 1.25, to away from the other, three times over
    # n = 3 with the two that are pushed back.
    hard = [largest_jump(NearestNeighbor(), n) for n in (100, 1000, 10_000)]
    np.testing.assert_allclose(hard, 2 / 1.25 / 3, rtol=0.02)
    soft = [largest_jump(SoftNearestNeighbor(), n) for n in (100, 1000, 10_000)]
    # A continuous force changes by its slope times the step.
    np.testing.assert_allclose(np.divide(soft[:-1], soft[1:]), 10, rtol=0.05)


@pytest.mark.parametrize("estimator", [KthNearestNeighbor(), SoftNearestNeighbor()])
def test_what_is_not_a_number_is_not_hidden(estimator):
    features = jax.random.normal(jax.random.key(0), (7, 2)).at[2, 1].set(jnp.nan)
    assert jnp.isnan(estimator(features))


@pytest.mark.parametrize("k", [1, 4])
def test_it_estimates_the_entropy_of_a_gaussian(k):
    points = 3.0 * gaussian(2000, 3, seed=1)
    exact = 3 / 2 * np.log(2 * np.pi * np.e * 9)
    # The variance per point is below 4; four standard errors.
    assert KthNearestNeighbor(k)(jnp.asarray(points)) == pytest.approx(
        exact, abs=4 * 2 / np.sqrt(2000)
    )
