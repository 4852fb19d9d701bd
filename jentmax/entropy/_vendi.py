"""Entropy of the kernel matrix's eigenvalues: the logarithm of the Vendi score."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.entropy._pairs import squared_distances
from jentmax.fields import Positive


class Vendi(Component):
    """Logarithm of the Vendi score: ``H_q = ln( tr K^q ) / (1 - q)``, ``-tr K ln K`` for q = 1.

    ``K_jl = exp(-|q_j - q_l|^2 / (2 h^2)) / n`` has trace 1: its eigenvalues are shares, and this
    is their Rényi entropy of order q, for q = 1 the von Neumann entropy. Friedman and Dieng,
    arXiv:2210.02410; of other orders, Pasarkar and Dieng, arXiv:2310.12952. It lies between 0,
    where all environments are equal, and ln n, where all are many bandwidths apart and no force
    acts any more: the bandwidth is the distance up to which environments are pushed apart. Unlike
    Eq. 2 of doi:10.1063/5.0013059 it does not grow with the logarithm of the distances, and K does
    not compare with Eq. 2's.

    Order 2, ``-ln sum_jl K_jl^2``, takes no eigenvalues and is far faster: time grows as n^2, that
    of the others as n^3.

    Eigenvalues below rounding count as such (16 times the floating-point type's resolution is
    added in logarithms and powers), so that equal environments have finite derivatives.
    """

    order: Annotated[Positive, Doc("of the Rényi entropy; 2 is the fastest")] = eqx.field(
        static=True, default=1.0
    )
    bandwidth: Annotated[Positive, Doc("in units of the scaled features")] = eqx.field(
        static=True, default=1.0
    )

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        kernel = jnp.exp(squared_distances(features) * (-0.5 / self.bandwidth**2)) / len(features)
        if self.order == 2:
            return -jnp.log(jnp.sum(kernel**2, axis=(0, 1)))
        matrices = jnp.moveaxis(kernel, (0, 1), (-2, -1))
        if self.order == 1:
            return _trace_and_slope(matrices, _shannon)[0]
        # Eigenvalues are at most a row's sum: relative to that, large powers do not vanish.
        largest = jax.lax.stop_gradient(jnp.max(jnp.sum(matrices, axis=-1), axis=-1))
        function = functools.partial(_power, self.order)
        trace, _ = _trace_and_slope(matrices / largest[..., None, None], function)
        return (jnp.log(trace) + self.order * jnp.log(largest)) / (1 - self.order)


def _shannon(share: Array) -> Array:
    return -share * jnp.log(share + 16 * jnp.finfo(share.dtype).eps)


def _power(order: float, share: Array) -> Array:
    return share * (share + 16 * jnp.finfo(share.dtype).eps) ** (order - 1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _trace_and_slope(
    matrices: Float[Array, "... n n"], function: Callable[[Array], Array]
) -> tuple[Float[Array, "..."], Float[Array, "... n n"]]:
    """Trace of a function of symmetric matrices, and its derivative by the matrix.

    The derivatives of eigenvectors, which do not exist where eigenvalues are equal, do not enter.
    """
    shares, vectors = _eigenvalues(matrices)
    slope = _derivative(function)(shares)
    return jnp.sum(function(shares), axis=-1), (vectors * slope[..., None, :]) @ vectors.mT


@_trace_and_slope.defjvp
def _trace_and_slope_derivative(
    function: Callable[[Array], Array], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (matrices,), (change,) = primals, tangents
    trace, slope = _trace_and_slope(matrices, function)
    shares, vectors = _eigenvalues(matrices)
    rotated = vectors.mT @ change @ vectors
    # A matrix function's derivative has the divided differences: Daleckii and Krein.
    differences = _divided_differences(_derivative(function), shares)
    slope_change = vectors @ (differences * rotated) @ vectors.mT
    return (trace, slope), (jnp.sum(slope * change, axis=(-2, -1)), slope_change)


def _eigenvalues(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues, of which rounding leaves some below zero that should vanish, and vectors."""
    # One after another: of many at once, XLA's LAPACK calls share them out among the threads that
    # run programs, and where several programs run side by side each waits for the others forever.
    shares, vectors = jax.lax.map(jnp.linalg.eigh, matrices.reshape(-1, *matrices.shape[-2:]))
    shares = shares.reshape(matrices.shape[:-1])
    vectors = vectors.reshape(matrices.shape)
    return jnp.maximum(shares, 0), vectors


def _derivative(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Of a function that acts on each entry."""
    return lambda values: jax.jvp(function, (values,), (jnp.ones_like(values),))[1]


def _divided_differences(function: Callable[[Array], Array], values: Array) -> Array:
    """``(f(a) - f(b)) / (a - b)`` for every two values, the derivative where they are equal."""
    one, other = values[..., :, None], values[..., None, :]
    # With this, the error of either way is the smallest.
    alike = jnp.abs(one - other) <= np.cbrt(jnp.finfo(values.dtype).eps) * (one + other)
    difference = jnp.where(alike, 1, one - other)
    return jnp.where(
        alike,
        _derivative(function)((one + other) / 2),
        (function(one) - function(other)) / difference,
    )
