"""The sphere beneath Snap: quadrature, characters and moments."""

import itertools
from math import comb, prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.descriptors._sphere import character_matrix, chebyshev, moments, quadrature


def exact_average(exponents):
    """Of a monomial over the unit sphere in four dimensions."""
    if any(exponent % 2 for exponent in exponents):
        return 0.0
    odd = prod(prod(range(1, exponent, 2)) for exponent in exponents)
    return odd / prod(range(4, 4 + sum(exponents), 2))


def exponents_of(total):
    return [e for e in itertools.product(range(total + 1), repeat=4) if sum(e) == total]


@pytest.mark.parametrize("degree", [0, 2, 4, 6, 8, 12, 18, 24])
def test_quadrature_is_exact(degree):
    points, weights = quadrature(degree)
    # Weights between 0 and 1 and values below 1: nothing but rounding.
    np.testing.assert_allclose(np.sum(points**2, axis=1), 1, rtol=0, atol=1e-14)
    assert np.all(weights > 0)
    # Even polynomials only; those of lower degree are among these times powers of |v|^2 = 1.
    for exponents in exponents_of(degree):
        average = weights @ np.prod(points ** np.array(exponents), axis=1)
        assert abs(average - exact_average(exponents)) < 1e-14, exponents


def test_quadrature_needs_few_points():
    assert len(quadrature(6)[0]) == 32


def test_quadrature_knows_that_characters_are_orthonormal():
    points, weights = quadrature(16)
    for j, k in itertools.product(range(9), repeat=2):
        if (j + k) % 2 == 0:
            average = weights @ (chebyshev(j, points[:, 0]) * chebyshev(k, points[:, 0]))
            # Characters are up to 9 large at a point.
            assert abs(average - (j == k)) < 1e-12


def test_chebyshev_is_the_character():
    angle = np.linspace(0.1, 3.0, 30)
    for degree in range(9):
        expected = np.sin((degree + 1) * angle) / np.sin(angle)
        # 1 / sin(angle) is up to 10 and multiplies the rounding.
        np.testing.assert_allclose(chebyshev(degree, np.cos(angle)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_moments_are_all_in_lexicographic_order(degree):
    rng = np.random.default_rng(8)
    vectors, weights = rng.uniform(0.5, 1, size=(4, 6, 5)), rng.uniform(0.5, 1, size=(6, 5))
    computed = jax.jit(moments, static_argnums=2)(weights, list(vectors), degree)
    for total, values in zip((degree - 1, degree), computed, strict=True):
        expected = [
            np.sum(weights * np.prod(vectors ** np.array(e)[:, None, None], axis=0), axis=0)
            for e in sorted(exponents_of(total), reverse=True)
        ]
        assert values.shape == (comb(total + 3, 3), 5)
        # The same products and sums in another order.
        np.testing.assert_allclose(values, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("degree", "total"), [(0, 0), (0, 4), (1, 1), (2, 2), (1, 7), (5, 7), (8, 8)]
)
def test_character_matrix_gives_characters(degree, total):
    rng = np.random.default_rng(9)
    points, vectors = rng.normal(size=(6, 4)), rng.normal(size=(7, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # One neighbour: its moments are its monomials.
    coordinates = list(jnp.asarray(vectors.T)[:, None])
    lower, upper = jax.jit(moments, static_argnums=2)(jnp.ones((1, 7)), coordinates, max(total, 1))
    values = upper if total else lower
    computed = character_matrix(degree, total, points) @ np.asarray(values)
    # Coefficients of degree 8 are some hundreds and cancel.
    np.testing.assert_allclose(computed, chebyshev(degree, points @ vectors.T), rtol=0, atol=1e-12)
