"""Information measures in closed form, against quests, vendi-score and numpy, and their limits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr
from scipy.stats import gaussian_kde

from jentmax.entropy import NearestNeighbor
from jentmax.evaluation._measures import (
    delta_entropy,
    kernel_entropy,
    local_entropies,
    log_determinant,
    overlap,
    silverman_bandwidth,
    vendi_score,
)


def gaussian(n, n_features, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features))


def clusters(counts):
    """Equal environments, so many at each of several places that are very far apart."""
    places = 1e3 * np.arange(len(counts))[:, None] * np.array([[0.6, -0.8]])
    return np.repeat(places, counts, axis=0)


def entropy_of(features, bandwidth):
    return kernel_entropy(delta_entropy(features, features, bandwidth))


def test_local_entropies_are_those_of_the_generator():
    # Both structures of 600 atoms are looked at in several pieces, the 40 pairs in one.
    sizes = np.array([39, 1, 2, 600, 39, 600, 1, *[2] * 40, 7])
    pointer = np.concatenate([[0], np.cumsum(sizes)])
    features = gaussian(pointer[-1], 6)
    features[45:48] = features[45]
    found = local_entropies(features, pointer)
    entropy = jax.jit(NearestNeighbor())
    expected = [
        float(entropy(jnp.asarray(features[first:last]))) if last - first > 1 else np.nan
        for first, last in itertools.pairwise(pointer)
    ]
    # Rounding, of sums taken in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_local_entropy_of_equal_and_of_evenly_spaced_environments():
    line = 0.2 * np.arange(11.0)[:, None] * np.array([1.0, 2.0, -2.0])
    features = np.concatenate([np.ones((5, 3)), line])
    found = local_entropies(features, np.array([0, 5, 16]))
    np.testing.assert_allclose(found, [np.log(5 * 1e-4), np.log(11 * 0.6)], rtol=1e-14)


def test_local_entropies_of_no_structures():
    assert local_entropies(np.empty((0, 6)), np.array([0])).shape == (0,)


def test_entropy_of_separate_clusters_is_shannons():
    counts = np.array([5, 2, 1, 8])
    expected = entr(counts / counts.sum()).sum()
    assert entropy_of(clusters(counts), 0.4) == pytest.approx(expected, rel=1e-14)
    assert entropy_of(clusters([9]), 0.4) == pytest.approx(0, abs=1e-15)


def test_entropy_of_two_environments():
    pair, kernel = np.array([[0.0], [0.3]]), np.exp(-(0.3**2) / 2 / 0.5**2)
    assert entropy_of(pair, 0.5) == pytest.approx(-np.log((1 + kernel) / 2), rel=1e-14)


def test_differential_entropy_of_one_reference_is_a_parabola():
    distances = np.array([0.0, 1e-6, 1.0, 30.0, 1e5])
    found = delta_entropy(distances[:, None], np.zeros((1, 1)), 0.5)
    # The last ones have a kernel below the smallest number.
    np.testing.assert_allclose(found, distances**2 / 2 / 0.5**2, rtol=1e-14)


def test_differential_entropy_of_what_the_reference_has():
    found = delta_entropy(clusters([1, 1, 1]), clusters([4, 1, 7]), 0.4)
    np.testing.assert_allclose(found, -np.log([4, 1, 7]), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("n_features", "bandwidth"), [(1, 0.1), (6, 0.4), (20, 1.0)])
def test_quests(n_features, bandwidth):
    quests = pytest.importorskip("quests.entropy")
    features, reference = gaussian(300, n_features, 1), gaussian(700, n_features, 2)
    theirs = quests.delta_entropy(features, reference, h=bandwidth)
    near = np.isfinite(theirs)
    assert near.mean() > 0.9
    # Theirs loses digits of the distances, some 1e-14 of 1, and divides by h^2.
    np.testing.assert_allclose(
        delta_entropy(features, reference, bandwidth)[near], theirs[near], rtol=1e-10, atol=1e-10
    )
    assert entropy_of(reference, bandwidth) == pytest.approx(
        quests.entropy(reference, h=bandwidth), rel=1e-10
    )
    some = np.concatenate([features, reference[:50]])
    assert overlap(delta_entropy(some, reference, bandwidth)) == np.mean(
        quests.delta_entropy(some, reference, h=bandwidth) < 1e-5
    )


def test_small_distances_far_from_the_origin():
    # On a grid that numbers around 2^20 resolve, an offset changes no distance.
    grid, offset = 2.0**-20, 2.0**20
    features = np.round(0.01 * gaussian(50, 3, 1) / grid) * grid
    reference = np.round(0.01 * gaussian(60, 3, 2) / grid) * grid
    np.testing.assert_array_equal(
        delta_entropy(features + offset, reference + offset, 0.005),
        delta_entropy(features, reference, 0.005),
    )


def test_more_pairs_than_are_looked_at_together():
    features, reference = gaussian(700, 4, 1), gaussian(900, 4, 2)
    one_by_one = [delta_entropy(row[None], reference, 0.5)[0] for row in features]
    np.testing.assert_allclose(delta_entropy(features, reference, 0.5), one_by_one, rtol=1e-13)


def test_a_set_twice_is_as_diverse():
    features = gaussian(100, 4)
    twice = np.concatenate([features, features])
    for measure in (entropy_of, vendi_score):
        assert measure(twice, 0.6) == pytest.approx(measure(features, 0.6), rel=1e-12)
    assert log_determinant(twice) == pytest.approx(log_determinant(features), rel=1e-12)


def test_overlap():
    reference = gaussian(200, 6)
    far = reference + 100
    assert overlap(delta_entropy(reference, reference, 0.3)) == 1
    assert overlap(delta_entropy(far, reference, 0.3)) == 0
    # The same environments but for rounding, with a fourth as many others.
    known = np.concatenate([reference + 1e-7, far[:50]])
    assert overlap(delta_entropy(known, reference, 0.3)) == 0.8


@pytest.mark.parametrize(("n", "n_features"), [(10, 1), (3000, 6), (10_000, 55)])
def test_bandwidth(n, n_features):
    rule = gaussian_kde(gaussian(n, n_features).T, bw_method="silverman").factor
    assert silverman_bandwidth(n, n_features) == pytest.approx(rule, rel=1e-14)


def test_log_determinant():
    features = gaussian(50, 4) @ gaussian(4, 4, 1)
    expected = np.linalg.slogdet(np.cov(features.T, ddof=0))[1]
    # The ridge's share, 1e-8 of variances that are not far from 1.
    assert log_determinant(features + 7) == pytest.approx(expected, abs=1e-6)
    assert log_determinant(features, ridge=0) == pytest.approx(expected, rel=1e-12)
    assert log_determinant(3 * features, ridge=0) == pytest.approx(expected + 8 * np.log(3))


def test_log_determinant_without_extent():
    # Twice the same feature of variance 1: (2 + ridge) ridge.
    features = np.array([[1.0, 1.0], [-1.0, -1.0]])
    assert log_determinant(features, 1e-4) == pytest.approx(np.log(2.0001e-4), rel=1e-12)
    assert log_determinant(np.ones((1, 6))) == pytest.approx(6 * np.log(1e-8), rel=1e-12)


def test_vendi_score_of_separate_clusters_is_their_number():
    assert vendi_score(clusters([6] * 7), 0.4) == pytest.approx(7, rel=1e-12)
    counts = np.array([5, 2, 1, 8])
    shannon = entr(counts / counts.sum()).sum()
    assert vendi_score(clusters(counts), 0.4) == pytest.approx(np.exp(shannon), rel=1e-12)


def test_vendi_score_of_two_environments():
    kernel = np.exp(-(0.3**2) / 2 / 0.5**2)
    expected = np.exp(entr([(1 + kernel) / 2, (1 - kernel) / 2]).sum())
    assert vendi_score(np.array([[0.0], [0.3]]), 0.5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
@pytest.mark.parametrize("bandwidth", [0.2, 1.0, 5.0])
def test_vendi_score_package(bandwidth):
    vendi = pytest.importorskip("vendi_score.vendi")
    features = gaussian(60, 3)
    theirs = vendi.score(
        features, lambda one, other: np.exp(-np.sum((one - other) ** 2) / 2 / bandwidth**2)
    )
    assert vendi_score(features, bandwidth) == pytest.approx(theirs, rel=1e-10)
