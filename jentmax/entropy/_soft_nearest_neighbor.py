"""Entropy from a smooth minimum of distances in descriptor space."""

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

    This is `NearestNeighbor` (doi:10.1063/5.0013059, Eq. 2) with a smooth minimum. The force does
    not jump when another environment becomes the nearest: every neighbour l pushes with the weight
    ``(r_j / |q_j - q_l|)^(1/w)``, and the weights sum to 1. The width w is in units of ln distance:
    an environment farther away by a factor e^w has a weight smaller by a factor e. S is below Eq. 2
    by at most ``w ln(n - 1)`` and converges to it as w goes to 0. Multiplying all features by a
    adds ``ln a``, as in Eq. 2, so the same K is suitable.

    A distance r counts as ``sqrt(r^2 + floor^2)``, so equal environments have a finite entropy and
    a smooth force.
    """

    width: Annotated[Positive, Doc("of the smooth minimum, in ln distance")] = eqx.field(
        static=True, default=0.1
    )
    floor: Annotated[
        Positive, Doc("distance of equal environments, in units of the scaled features")
    ] = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        logarithms = jnp.log(squared_distances(features) + self.floor**2) / 2
        exponents = jnp.where(is_itself(features), -jnp.inf, -logarithms / self.width)
        least = -self.width * logsumexp(exponents, axis=1)
        return jnp.log(jnp.asarray(len(features), features.dtype)) + jnp.mean(least, axis=0)
