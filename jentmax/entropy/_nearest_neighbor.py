"""Entropy from the distance to the nearest neighbour in descriptor space."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class NearestNeighbor(eqx.Module):
    """``S = (1/n) sum_j ln( n min_{l != j} |q_j - q_l| )``; doi:10.1063/5.0013059, Eq. 2.

    Distances below ``floor`` count as ``floor`` and exert no force, so that equal environments (a
    perfect crystal) have a finite entropy and a finite, vanishing gradient. No gradient with
    respect to a feature exceeds ``2 / (n floor)`` per pair.

    Attributes:
        floor: least distance, in units of the scaled features.
    """

    floor: float = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        n_atoms, n_features, *replicas = features.shape
        fixed = jax.lax.stop_gradient(features)
        squared = sum((fixed[:, None, k] - fixed[None, :, k]) ** 2 for k in range(n_features))
        itself = jnp.eye(n_atoms, dtype=bool).reshape(n_atoms, n_atoms, *[1] * len(replicas))
        squared = jnp.where(itself, jnp.inf, squared)
        # The gradient goes through the neighbour's index: that of a minimum looks for the entries
        # that equal it, and finds none where the compiler rounds the two differently. For the same
        # reason the index is looked for with a tolerance; two reductions are faster than argmin.
        least = jnp.min(squared, axis=0) * (1 + 8 * jnp.finfo(features.dtype).eps)
        index = jnp.arange(n_atoms).reshape(-1, 1, *[1] * len(replicas))
        nearest = jnp.min(jnp.where(squared <= least, index, n_atoms - 1), axis=0)
        neighbors = jnp.take_along_axis(features, nearest[:, None], axis=0)
        distances = jnp.sum((features - neighbors) ** 2, axis=1)
        logarithms = jnp.log(jnp.maximum(distances, self.floor**2)) / 2
        return jnp.log(jnp.asarray(n_atoms, features.dtype)) + jnp.mean(logarithms, axis=0)
