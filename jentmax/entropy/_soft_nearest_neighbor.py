"""Entropy from a smooth minimum of the distances in descriptor space."""

from __future__ import annotations

from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.entropy._pairs import is_itself, squared_distances
from jentmax.fields import Positive


class SoftNearestNeighbor(Component):
    """``S = (1/n) sum_j ln( n r_j )`` with ``r_j = ( sum_{l != j} |q_j - q_l|^(-1/w) )^(-w)``.

    `NearestNeighbor`, doi:10.1063/5.0013059, Eq. 2, with a smooth minimum in place of the least
    distance. Its force does not jump where another environment becomes the nearest: each of those
    nearby pushes with its share ``(r_j / |q_j - q_l|)^(1/w)``, and the shares sum to 1. The width w
    is one of ratios of distances: of two environments, one that is farther by a factor e^w has the
    smaller share by a factor e. ``S`` lies below Eq. 2's by at most ``w ln(n - 1)``, grows by
    ``ln a`` where all features are multiplied by a, as Eq. 2 does, and tends to it as w tends
    to 0. K compares with Eq. 2's.

    A distance r counts as ``sqrt(r^2 + floor^2)``, so that equal environments have a finite
    entropy and the force is smooth there too.
    """

    width: Annotated[Positive, Doc("of the smooth minimum, in ln distance")] = eqx.field(
        static=True, default=0.1
    )
    floor: Annotated[
        Positive, Doc("distance that equal environments count as, in units of the scaled features")
    ] = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        logarithms = jnp.log(squared_distances(features) + self.floor**2) / 2
        exponents = jnp.where(is_itself(features), -jnp.inf, -logarithms / self.width)
        least = -self.width * logsumexp(exponents, axis=1)
        return jnp.log(jnp.asarray(len(features), features.dtype)) + jnp.mean(least, axis=0)
