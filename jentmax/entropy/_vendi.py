"""Entropy of the eigenvalues of a kernel matrix: the logarithm of the Vendi score."""

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

    ``K_jl = exp(-|q_j - q_l|^2 / (2 h^2)) / n`` has trace 1, so its eigenvalues sum to 1. H_q is
    their Rényi entropy of order q; for q = 1 it is the von Neumann entropy. Friedman and Dieng,
    arXiv:2210.02410; for other orders, Pasarkar and Dieng, arXiv:2310.12952. H lies between 0, if
    all environments are equal, and ln n, if all are many bandwidths apart; at ln n the forces
    vanish. The bandwidth is the distance up to which environments repel each other. Unlike Eq. 2 of
    doi:10.1063/5.0013059, H does not grow with the logarithm of the distances, so values of K are
    not comparable.

    Order 2, ``-ln sum_jl K_jl^2``, needs no eigenvalues. Its time grows as n^2, that of other
    orders as n^3.

    Logarithms and powers add 16 times the machine epsilon to the eigenvalues, so equal environments
    have finite derivatives.
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
        # The largest row sum bounds the eigenvalues. Divide by it, so that large powers do not
        # underflow.
        largest = jax.lax.stop_gradient(jnp.max(jnp.sum(matrices, axis=-1), axis=-1))
        function = functools.partial(_power, self.order)
        trace, _ = _trace_and_slope(matrices / largest[..., None, None], function)
        return (jnp.log(trace) + self.order * jnp.log(largest)) / (1 - self.order)


def _shannon(eigenvalues: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return -eigenvalues * jnp.log(eigenvalues + 16 * jnp.finfo(eigenvalues.dtype).eps)


def _power(order: float, eigenvalues: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return eigenvalues * (eigenvalues + 16 * jnp.finfo(eigenvalues.dtype).eps) ** (order - 1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _trace_and_slope(
    matrices: Float[Array, "*replicas n n"], function: Callable[[Array], Array]
) -> tuple[Float[Array, "*replicas"], Float[Array, "*replicas n n"]]:
    """Trace of a function of symmetric matrices, and its derivative with respect to the matrix.

    It does not use derivatives of eigenvectors, which do not exist for equal eigenvalues.
    """
    values, vectors = _eigenvalues(matrices)
    slope = _derivative(function)(values)
    return jnp.sum(function(values), axis=-1), (vectors * slope[..., None, :]) @ vectors.mT


@_trace_and_slope.defjvp
def _trace_and_slope_derivative(
    function: Callable[[Array], Array], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (matrices,), (change,) = primals, tangents
    trace, slope = _trace_and_slope(matrices, function)
    values, vectors = _eigenvalues(matrices)
    rotated = vectors.mT @ change @ vectors
    # The derivative of a matrix function contains divided differences (Daleckii and Krein).
    differences = _divided_differences(_derivative(function), values)
    slope_change = vectors @ (differences * rotated) @ vectors.mT
    return (trace, slope), (jnp.sum(slope * change, axis=(-2, -1)), slope_change)


def _eigenvalues(
    matrices: Float[Array, "*replicas n n"],
) -> tuple[Float[Array, "*replicas n"], Float[Array, "*replicas n n"]]:
    """Eigenvalues, with negative rounding errors set to 0, and eigenvectors."""
    # Use lax.map: a batched eigh splits its LAPACK calls among XLA's threads, and several programs
    # that run at the same time would then wait for each other forever.
    values, vectors = jax.lax.map(jnp.linalg.eigh, matrices.reshape(-1, *matrices.shape[-2:]))
    values = values.reshape(matrices.shape[:-1])
    vectors = vectors.reshape(matrices.shape)
    return jnp.maximum(values, 0), vectors


def _derivative(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Derivative of an elementwise function."""
    return lambda values: jax.jvp(function, (values,), (jnp.ones_like(values),))[1]


def _divided_differences(
    function: Callable[[Array], Array], values: Float[Array, "*replicas n"]
) -> Float[Array, "*replicas n n"]:
    """``(f(a) - f(b)) / (a - b)`` for all pairs of values; the derivative if they are equal."""
    one, other = values[..., :, None], values[..., None, :]
    # This threshold minimises the error of both formulas.
    alike = jnp.abs(one - other) <= np.cbrt(jnp.finfo(values.dtype).eps) * (one + other)
    difference = jnp.where(alike, 1, one - other)
    return jnp.where(
        alike,
        _derivative(function)((one + other) / 2),
        (function(one) - function(other)) / difference,
    )
