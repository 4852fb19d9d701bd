"""Polynomials and averages on the unit sphere in four dimensions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jentmax.materialize import materialized

_FEW_POINTS = 100
"""Up to which one matrix product is cheaper than three."""


def chebyshev(degree: int, cosine: np.ndarray) -> np.ndarray:
    """Chebyshev polynomial of the second kind: the character of SU(2) of spin degree/2."""
    previous, current = np.zeros_like(cosine), np.ones_like(cosine)
    for _ in range(degree):
        previous, current = current, 2 * cosine * current - previous
    return current


def quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights that average even polynomials up to ``degree`` exactly.

    In Hopf coordinates, the product of two evenly spaced angles and a Gauss-Legendre rule, whose
    nodes vary fastest.

    Args:
        degree: of the polynomials in the four coordinates.

    Returns:
        Unit vectors, shape (n_points, 4), and weights, shape (n_points,), with sum 1.
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


def densities_at(moments: Array, spin: int, degree: int, grid: int) -> Array:
    """``sum_k w_k U_spin(g . v_k)`` at the points g of a quadrature.

    Args:
        moments: of ``degree``, from `moments`, shape (comb(degree + 3, 3), n).
        spin: degree of the character U.
        degree: of the moments; of the spin's parity, no less than it.
        grid: degree of the quadrature.

    Returns:
        Shape (n_points, n).
    """
    points, _ = quadrature(grid)
    matrix = character_matrix(spin, degree, points)
    if len(points) <= _FEW_POINTS:
        return jnp.asarray(matrix, moments.dtype) @ moments
    # In both angles it is a trigonometric polynomial, whose amplitudes depend on the nodes through
    # two numbers each: d_mm' and d_m-m' of Wigner. A tenth of the products at spin 8.
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
    weights: Array, vectors: Sequence[Array], degree: int, first: Array | float = 0.0
) -> tuple[Array, Array]:
    """Sums over neighbours of all weighted monomials of two consecutive degrees.

    Args:
        weights: what to multiply the monomials by, shape (n_neighbors, ...).
        vectors: the four coordinates, each of the weights' shape.
        degree: at least 1.
        first: what to add to the powers of the first coordinate, shape (...).

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

    def together(parts: list[Array]) -> Array:
        [power], rest = jnp.split(jnp.concatenate(parts), [1])
        return jnp.concatenate([(power + first)[None], rest])

    below, above = materialized([together(lower), together(upper)])
    return below, above


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def triple_averages(values: Array, triples: Sequence[tuple[int, int, int]], grid: int) -> Array:
    """Averages over the sphere of products of three functions.

    Args:
        values: of the functions at the quadrature's points, shape (n_functions, n_points, n).
        triples: which functions to multiply.
        grid: degree of the quadrature.

    Returns:
        Shape (n_triples, n).
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
    """The tangent in a form whose transpose is one expression for each function."""

    def plain(values: Array) -> Array:
        _, weights = quadrature(grid)
        weights = jnp.asarray(weights[:, None], values.dtype)
        f = [function[0] for function in jnp.split(values, len(values))]
        return jnp.stack([jnp.sum(weights * f[a] * f[b] * f[c], axis=0) for a, b, c in triples])

    _, tangent = jax.jvp(plain, primals, tangents)
    return triple_averages(*primals, triples, grid), tangent


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
