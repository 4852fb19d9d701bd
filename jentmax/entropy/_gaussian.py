"""Entropy of a Gaussian distribution with the covariance of the environments."""

from __future__ import annotations

import math
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.fields import Positive


class Gaussian(Component):
    """``H = 1/2 ln det( 2 pi e (C + ridge I) )``, with the covariance C of the features (over n).

    H is the differential entropy of a normal distribution, the maximum over all distributions with
    this covariance. Maximising it is D-optimality: it enlarges the volume that a linear model
    needs, but ignores repeated environments within that volume. Multiplying all features by a adds
    ``d ln a`` in d = n_features dimensions, but only ``ln a`` to Eq. 2 of doi:10.1063/5.0013059, so
    choose a K smaller by a factor of about d. `jentmax.evaluate` shows ``ln det(C + ridge I)``.
    """

    ridge: Annotated[
        Positive, Doc("added to variances, in units of the scaled features squared")
    ] = eqx.field(static=True, default=1e-6)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        n_features = features.shape[1]
        centered = features - jnp.mean(features, axis=0)
        covariance = jnp.mean(centered[:, :, None] * centered[:, None, :], axis=0)
        identity = jnp.eye(n_features, dtype=features.dtype)
        ridge = self.ridge * identity.reshape(identity.shape + (1,) * (features.ndim - 2))
        determinant = _log_determinant(covariance + ridge, self.ridge)
        return n_features / 2 * math.log(2 * math.pi * math.e) + determinant / 2


def _log_determinant(
    matrix: Float[Array, "n n *replicas"], least: float
) -> Float[Array, "*replicas"]:
    """ln det of symmetric matrices whose eigenvalues are at least ``least``, by elimination.

    Unlike a LAPACK solver, this keeps replicas as the last axis and has exact derivatives of any
    order. All pivots are at least ``least`` up to rounding, so no row exchange is necessary.
    """
    total = jnp.zeros(matrix.shape[2:], matrix.dtype)
    while len(matrix):
        pivot = jnp.maximum(matrix[0, 0], least)
        total += jnp.log(pivot)
        column = matrix[1:, 0]
        matrix = matrix[1:, 1:] - column[:, None] * (column / pivot)[None, :]
    return total
