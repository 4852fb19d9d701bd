"""Polynomials and their averages on the unit sphere in four dimensions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jentmax.materialize import materialized

_FEW_POINTS = 100
"""Largest number of quadrature points for which one matrix product is cheaper than three."""


def chebyshev(degree: int, cosine: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Chebyshev polynomial of the second kind: the character of SU(2) of spin degree/2."""
    previous, current = np.zeros_like(cosine), np.ones_like(cosine)
    for _ in range(degree):
        previous, current = current, 2 * cosine * current - previous
    return current


def quadrature(
    degree: int,
) -> tuple[Float[np.ndarray, "n_points 4"], Float[np.ndarray, " n_points"]]:
    """Points and weights of a quadrature, exact for even polynomials up to ``degree``.

    The quadrature is a product rule in Hopf coordinates: two evenly spaced angles, and a
    Gauss-Legendre rule whose nodes vary fastest.

    Args:
        degree: of the polynomials in the four coordinates.

    Returns:
        Unit vectors, and weights with sum 1.
    """
    n_angles = degree // 2 + 1
    nodes, weights = np.polynomial.legendre.leggauss(degree // 4 + 1)
    angles = 2 * np.pi * np.arange(n_angles) / n_angles
    gamma, alpha, height = (
        grid.ravel() for grid in np.meshgrid(angles, angles, nodes, indexing="ij")
    )
    near, far = np.sqrt((1 + height) / 2), np.sqrt((1 - height) / 2)
    plus, minus = (alpha + gamma) / 2, (alpha - gamma) / 2
    points = np.stack(
        [near * np.cos(plus), near * np.sin(plus), far * np.cos(minus), far * np.sin(minus)], axis=1
    )
    return points, np.tile(weights / 2, n_angles**2) / n_angles**2


def densities_at(
    moments: Float[Array, "n_monomials n"], spin: int, degree: int, grid: int
) -> Float[Array, "n_points n"]:
    """``sum_k w_k U_spin(g . v_k)`` at the points g of a quadrature.

    Args:
        moments: of ``degree``, from `moments`; n_monomials = comb(degree + 3, 3).
        spin: degree of the character U.
        degree: degree of the moments; at least ``spin`` and of the same parity.
        grid: degree of the quadrature.
    """
    points, _ = quadrature(grid)
    matrix = character_matrix(spin, degree, points)
    if len(points) <= _FEW_POINTS:
        return jnp.asarray(matrix, moments.dtype) @ moments
    # The density is a trigonometric polynomial in both angles. Each amplitude depends on the node
    # through two numbers, Wigner's d_mm' and d_m-m'. At spin 8 this takes a tenth of the products.
    n_angles = grid // 2 + 1
    angles = 2 * np.pi * np.arange(n_angles) / n_angles
    frequencies = np.arange(spin % 2, spin + 1, 2) / 2
    waves = np.outer(angles, frequencies)
    waves = np.concatenate([np.cos(waves), np.sin(waves[:, frequencies > 0])], axis=1)
    fit = np.linalg.pinv(waves)
    matrix = matrix.reshape(n_angles, n_angles, -1, matrix.shape[1])
    of_node, size, of_moments = np.linalg.svd(
        np.einsum("sg,ra,ganm->srnm", fit, fit, matrix), full_matrices=False
    )
    of_node = jnp.asarray((of_node * size[..., None, :])[..., :2], moments.dtype)
    of_moments = jnp.asarray(of_moments[..., :2, :], moments.dtype)
    waves = jnp.asarray(waves, moments.dtype)
    parts = jnp.tensordot(of_moments, moments, axes=1)  # gamma's wave, alpha's, 2, n
    amplitudes = sum(  # gamma's wave, alpha's, node, n
        of_node[..., part, None] * parts[:, :, None, part] for part in range(2)
    )
    along_alpha = jnp.tensordot(
        waves, jnp.asarray(amplitudes), axes=(1, 1)
    )  # alpha, gamma's wave, node, n
    values = jnp.tensordot(waves, along_alpha, axes=(1, 1))  # gamma, alpha, node, n
    return values.reshape(len(points), -1)


def moments(
    weights: Float[Array, "n_neighbors *shape"],
    vectors: Sequence[Float[Array, "n_neighbors *shape"]],
    degree: int,
    first: Float[Array, "*#shape"] | float = 0.0,
) -> tuple[Float[Array, "n_lower *shape"], Float[Array, "n_upper *shape"]]:
    """Weighted sums over neighbours of all monomials of two consecutive degrees.

    Args:
        weights: weight of each neighbour.
        vectors: the four coordinates.
        degree: at least 1.
        first: added to the sums of powers of the first coordinate.

    Returns:
        Sums of the monomials of ``degree - 1`` and of ``degree``, in lexicographic order:
        n_lower = comb(degree + 2, 3), n_upper = comb(degree + 3, 3).
    """
    # Group a holds the monomials whose first coordinate is a. Coordinate a times the groups from a
    # on gives group a of the next degree.
    groups = [jnp.zeros((0, *weights.shape), weights.dtype)] * 3 + [weights[None]]
    for _ in range(degree - 1):
        groups = materialized([vectors[a] * jnp.concatenate(groups[a:]) for a in range(4)])
    lower = [jnp.sum(group, axis=1) for group in groups]
    upper = [
        jnp.sum(vectors[a] * group, axis=1) for a in range(4) for group in groups[a:] if len(group)
    ]

    def together(parts: list[Array]) -> Array:
        [power], rest = jnp.split(jnp.concatenate(parts), [1])
        return jnp.concatenate([(power + first)[None], rest])

    below, above = materialized([together(lower), together(upper)])
    return below, above


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def triple_averages(
    values: Float[Array, "n_functions n_points n"],
    triples: Sequence[tuple[int, int, int]],
    grid: int,
) -> Float[Array, "n_triples n"]:
    """Averages over the sphere of products of three functions.

    Args:
        values: values of the functions at the quadrature points.
        triples: the functions to multiply.
        grid: degree of the quadrature.
    """
    points, weights = quadrature(grid)
    at_once = max(k for k in range(1, 9) if len(points) % k == 0)
    a, b, c = np.array(triples).T
    weights = jnp.asarray(weights, values.dtype)

    def add(number: Array | int, total: Array) -> Array:
        first = number * at_once
        some = jax.lax.dynamic_slice_in_dim(values, first, at_once, axis=1)
        weight = jax.lax.dynamic_slice_in_dim(weights, first, at_once)
        terms = [weight[k] * some[a, k] * some[b, k] * some[c, k] for k in range(at_once)]
        return total + sum(terms)

    total = jnp.zeros((len(a), values.shape[2]), values.dtype)
    return jax.lax.fori_loop(0, len(points) // at_once, add, total)


@triple_averages.defjvp
def _(
    triples: Sequence[tuple[int, int, int]], grid: int, primals: tuple, tangents: tuple
) -> tuple[Array, Array]:
    """The tangent, in a form whose transpose is one expression per function."""

    def plain(values: Float[Array, "n_functions n_points n"]) -> Float[Array, "n_triples n"]:
        _, weights = quadrature(grid)
        weights = jnp.asarray(weights[:, None], values.dtype)
        f = [function[0] for function in jnp.split(values, len(values))]
        return jnp.stack([jnp.sum(weights * f[a] * f[b] * f[c], axis=0) for a, b, c in triples])

    _, tangent = jax.jvp(plain, primals, tangents)
    return triple_averages(*primals, triples, grid), tangent


def character_matrix(
    degree: int, total: int, points: Float[np.ndarray, "n_points 4"]
) -> Float[np.ndarray, "n_points n_monomials"]:
    """Matrix from monomials of unit vectors v to the characters ``chebyshev(degree, g . v)``.

    ``U_d(g.v) = sum_k (-1)^k C(d-k, k) (2 g.v)^(d-2k)``; a power of ``|v|^2 = 1`` raises each term
    to the degree ``total``.

    Args:
        degree: degree of the character.
        total: degree of the monomials; at least ``degree`` and of the same parity.
        points: the unit vectors g.

    Returns:
        Matrix whose n_monomials = comb(total + 3, 3) columns have the order of `moments`.
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
    """All tuples of four exponents with the sum ``total``."""
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
