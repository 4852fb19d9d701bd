"""Kernel density and Vendi entropy by brute force, in closed form, and as others have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr
from scipy.stats import gaussian_kde, multivariate_normal

from jentmax.entropy import KernelDensity, Vendi
from jentmax.evaluation._measures import (
    delta_entropy,
    kernel_entropy,
    silverman_bandwidth,
    vendi_score,
)


def gaussian(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


def clusters(counts):
    """Equal environments, so many at each of several places that are very far apart."""
    places = 1e3 * np.arange(len(counts))[:, None] * np.array([[0.6, -0.8]])
    return np.repeat(places, counts, axis=0)


def density_by_hand(points, bandwidths):
    """Of each point, by the normal distributions around all others."""
    n, n_features = points.shape
    total = 0.0
    for j in range(n):
        kernels = [
            multivariate_normal(points[other], bandwidths[other] ** 2 * np.eye(n_features))
            for other in range(n)
            if other != j
        ]
        total -= np.log(np.mean([kernel.pdf(points[j]) for kernel in kernels]))
    return total / n


def spread(points):
    return np.sqrt(points.var(axis=0).mean())


@pytest.mark.parametrize("bandwidth", [0.4, 2.0])
@pytest.mark.parametrize("n_features", [1, 4])
def test_kernel_density_by_brute_force(n_features, bandwidth):
    points = gaussian(15, n_features)
    found = KernelDensity(bandwidth)(jnp.asarray(points))
    assert found == pytest.approx(density_by_hand(points, np.full(15, bandwidth)), rel=1e-11)


def test_silverman_by_brute_force():
    points = gaussian(15, 3) * [1.0, 2.0, 0.3]
    bandwidth = spread(points) * silverman_bandwidth(15, 3)
    found = KernelDensity(floor=1e-9)(jnp.asarray(points))
    assert found == pytest.approx(density_by_hand(points, np.full(15, bandwidth)), rel=1e-11)


def test_adaptive_by_brute_force():
    points = gaussian(15, 3) ** 3
    fixed = spread(points) * silverman_bandwidth(15, 3)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    pilot = np.exp(-squared / 2 / fixed**2).mean(axis=1)
    bandwidths = fixed * (pilot / np.exp(np.log(pilot).mean())) ** -0.5
    assert bandwidths.max() > 1.5 * bandwidths.min()
    found = KernelDensity("adaptive", floor=1e-9)(jnp.asarray(points))
    assert found == pytest.approx(density_by_hand(points, bandwidths), rel=1e-11)


def test_kernel_density_against_scipy():
    # scipy counts the point itself, and takes the distribution's own bandwidth times a factor.
    points = gaussian(50, 1)
    density = gaussian_kde(points.T, bw_method="silverman")
    bandwidth = float(np.sqrt(density.covariance[0, 0]))
    itself = 1 / np.sqrt(2 * np.pi) / bandwidth
    others = (50 * density(points.T) - itself) / 49
    found = KernelDensity(bandwidth)(jnp.asarray(points))
    assert found == pytest.approx(-np.log(others).mean(), rel=1e-11)


def test_kernel_density_of_two_environments():
    # Each is where the other's kernel says: -ln of a normal density at their distance.
    distance, bandwidth = 0.7, 0.4
    expected = distance**2 / 2 / bandwidth**2 + np.log(2 * np.pi * bandwidth**2) / 2
    pair = jnp.array([[0.0], [distance]])
    assert KernelDensity(bandwidth)(pair) == pytest.approx(expected, rel=1e-14)


def test_environments_very_far_apart_have_finite_density():
    found = KernelDensity(0.5)(jnp.array([[0.0], [1e4]], jnp.float32))
    assert found == pytest.approx(1e8 / 2 / 0.25, rel=1e-6)


@pytest.mark.parametrize(("n", "n_features", "bandwidth"), [(39, 6, 0.9), (300, 3, 0.2)])
def test_quests(n, n_features, bandwidth):
    quests = pytest.importorskip("quests.entropy")
    points = gaussian(n, n_features)
    found = float(KernelDensity(bandwidth, "quests")(jnp.asarray(points)))
    # Theirs loses digits of the distances, some 1e-14 of 1, and divides by h^2.
    assert found == pytest.approx(quests.entropy(points, h=bandwidth), rel=1e-10)
    evaluated = kernel_entropy(delta_entropy(points, points, bandwidth))
    assert found == pytest.approx(evaluated, rel=1e-12)


def test_silverman_is_that_of_the_evaluation():
    points = gaussian(60, 6)
    points /= spread(points)  # evaluation has features of variance 1
    bandwidth = silverman_bandwidth(60, 6)
    found = KernelDensity("silverman", "quests", 1e-9)(jnp.asarray(points))
    expected = kernel_entropy(delta_entropy(points, points, bandwidth))
    assert found == pytest.approx(expected, rel=1e-12)


def test_quests_of_separate_clusters_is_shannons():
    counts = np.array([5, 2, 1, 8])
    found = KernelDensity(0.4, "quests")(jnp.asarray(clusters(counts)))
    assert found == pytest.approx(entr(counts / counts.sum()).sum(), rel=1e-13)


@pytest.mark.parametrize("bandwidth", ["silverman", "adaptive"])
def test_a_common_factor_adds_its_logarithm_in_each_dimension(bandwidth):
    points = jnp.asarray(gaussian(30, 4))
    density = KernelDensity(bandwidth, floor=1e-9)
    assert density(5 * points) == pytest.approx(float(density(points)) + 4 * np.log(5), rel=1e-12)
    quests = KernelDensity(bandwidth, "quests", 1e-9)
    assert quests(5 * points) == pytest.approx(float(quests(points)), rel=1e-12)


@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, 3.0, 7.5])
@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 4.0])
def test_vendi_score(order, bandwidth):
    vendi = pytest.importorskip("vendi_score.vendi")
    points = gaussian(40, 3)
    theirs = vendi.score(
        points, lambda one, other: np.exp(-np.sum((one - other) ** 2) / 2 / bandwidth**2), q=order
    )
    # What is added to the eigenvalues, 4e-15, counts as its square root for order 0.5: of the wide
    # kernel's 40 eigenvalues most are smaller, and so are lost in rounding in either program.
    tolerance = 1e-6 if order < 1 else 1e-10
    found = Vendi(order, bandwidth)(jnp.asarray(points))
    assert found == pytest.approx(np.log(theirs), rel=tolerance)


def test_vendi_is_that_of_the_evaluation():
    points = gaussian(39, 6)
    found = Vendi(1.0, 1.3)(jnp.asarray(points))
    assert found == pytest.approx(np.log(vendi_score(points, 1.3)), rel=1e-11)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, 5.0, 60.0])
def test_vendi_of_separate_clusters_is_renyis(order):
    counts = np.array([5, 2, 1, 8])
    shares = counts / counts.sum()
    renyi = entr(shares).sum() if order == 1 else np.log((shares**order).sum()) / (1 - order)
    # Rounding of the vanishing eigenvalues, to the power of 1/2.
    tolerance = 1e-6 if order < 1 else 1e-12
    for dtype, rounding in ((jnp.float64, tolerance), (jnp.float32, 5e-3 if order < 1 else 1e-4)):
        found = Vendi(order, 0.4)(jnp.asarray(clusters(counts), dtype))
        assert found == pytest.approx(renyi, rel=rounding)


def test_orders_near_1_and_2_are_continuous():
    points = jnp.asarray(gaussian(20, 4))
    for order in (1.0, 2.0):
        around = [float(Vendi(order + step)(points)) for step in (-1e-5, 1e-5)]
        # The middle, but for the square of the step and rounding over it.
        assert np.mean(around) == pytest.approx(float(Vendi(order)(points)), rel=1e-9)


def test_vendi_of_two_environments():
    kernel = np.exp(-(0.3**2) / 2 / 0.5**2)
    expected = entr([(1 + kernel) / 2, (1 - kernel) / 2]).sum()
    assert Vendi(1.0, 0.5)(jnp.array([[0.0], [0.3]])) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_vendi_derivatives_where_eigenvalues_are_equal(order):
    # The corners of a tetrahedron: one eigenvalue, and another one three times.
    corners = jnp.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    estimator = Vendi(order, 1.5)
    change = jnp.asarray(gaussian(4, 3))
    gradient = jax.jit(jax.grad(estimator))
    hessian = jax.jit(jax.hessian(estimator))(corners)
    step = 1e-5
    after, before = (gradient(corners + sign * step * change) for sign in (1, -1))
    # By symmetry away from the centre, all alike; then differences to the step squared.
    outward = gradient(corners) / corners
    np.testing.assert_allclose(outward, outward[0, 0], rtol=1e-10)
    found = jnp.tensordot(hessian, change, 2)
    np.testing.assert_allclose(found, (after - before) / (2 * step), rtol=1e-6, atol=1e-8)
