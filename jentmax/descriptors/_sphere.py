"""Polynomials and averages on the unit sphere in four dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import comb

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jentmax._materialize import materialized


def chebyshev(degree: int, cosine: np.ndarray) -> np.ndarray:
    """Chebyshev polynomial of the second kind: the character of SU(2) of spin degree/2."""
    previous, current = np.zeros_like(cosine), np.ones_like(cosine)
    for _ in range(degree):
        previous, current = current, 2 * cosine * current - previous
    return current


def quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights that average even polynomials up to ``degree`` exactly.

    In Hopf coordinates, the product of a Gauss-Legendre rule and two evenly spaced angles.

    Args:
        degree: of the polynomials in the four coordinates.

    Returns:
        Unit vectors, shape (n_points, 4), and weights, shape (n_points,), with sum 1.
    """
    n_angles = degree // 2 + 1
    nodes, weights = np.polynomial.legendre.leggauss(degree // 4 + 1)
    angles = 2 * np.pi * np.arange(n_angles) / n_angles
    height, alpha, gamma = (
        grid.ravel() for grid in np.meshgrid(nodes, angles, angles, indexing="ij")
    )
    near, far = np.sqrt((1 + height) / 2), np.sqrt((1 - height) / 2)
    plus, minus = (alpha + gamma) / 2, (alpha - gamma) / 2
    points = np.stack(
        [near * np.cos(plus), near * np.sin(plus), far * np.cos(minus), far * np.sin(minus)], axis=1
    )
    return points, np.repeat(weights / 2, n_angles**2) / n_angles**2


def moments(weights: Array, vectors: Sequence[Array], degree: int) -> tuple[Array, Array]:
    """Sums over neighbours of all weighted monomials of two consecutive degrees.

    Args:
        weights: what to multiply the monomials by, shape (n_neighbors, ...).
        vectors: the four coordinates, each of the weights' shape.
        degree: at least 1.

    Returns:
        Sums of the monomials of ``degree - 1`` and of ``degree``, in lexicographic order, shapes
        (comb(degree + 2, 3), ...) and (comb(degree + 3, 3), ...).
    """
    # Group a has the monomials whose first coordinate is a; the product of coordinate a with the
    # groups from a on is the next degree's group a.
    groups = [jnp.zeros((0, *weights.shape), weights.dtype)] * 3 + [weights[None]]
    for _ in range(degree - 1):
        groups = materialized([vectors[a] * jnp.concatenate(groups[a:]) for a in range(4)])
    lower = [jnp.sum(group, axis=1) for group in groups]
    upper = [
        jnp.sum(vectors[a] * group, axis=1) for a in range(4) for group in groups[a:] if len(group)
    ]
    below, above = materialized([jnp.concatenate(lower), jnp.concatenate(upper)])
    return below, above


def character_matrix(degree: int, total: int, points: np.ndarray) -> np.ndarray:
    """Matrix from monomials of unit vectors v to the characters ``chebyshev(degree, g . v)``.

    ``U_d(g.v) = sum_k (-1)^k C(d-k, k) (2 g.v)^(d-2k)``, each term multiplied by the power of
    ``|v|^2 = 1`` that brings it to the degree ``total``.

    Args:
        degree: of the character.
        total: degree of the monomials; of the same parity, no less than ``degree``.
        points: the unit vectors g, shape (n_points, 4).

    Returns:
        Shape (n_points, comb(total + 3, 3)), columns in the order of `moments`.
    """
    columns = {}
    for exponents in itertools.product(range(total, -1, -1), repeat=4):
        if sum(exponents) == total:
            columns[exponents] = len(columns)
    matrix = np.zeros((len(points), len(columns)))
    for k in range(degree // 2 + 1):
        power, squares = degree - 2 * k, (total - degree) // 2 + k
        scale = (-1) ** k * comb(degree - k, k) * 2.0**power
        for linear in _exponents(power):
            values = scale * _multinomial(linear) * np.prod(points ** np.array(linear), axis=1)
            for pairs in _exponents(squares):
                exponents = tuple(a + 2 * b for a, b in zip(linear, pairs, strict=True))
                matrix[:, columns[exponents]] += _multinomial(pairs) * values
    return matrix


def _exponents(total: int) -> list[tuple[int, ...]]:
    """All ways to share ``total`` among four exponents."""
    return [
        (a, b, c, total - a - b - c)
        for a in range(total + 1)
        for b in range(total - a + 1)
        for c in range(total - a - b + 1)
    ]


def _multinomial(exponents: tuple[int, ...]) -> int:
    """Coefficient of a monomial in a power of the sum of its variables."""
    result, total = 1, 0
    for exponent in exponents:
        total += exponent
        result *= comb(total, exponent)
    return result
