"""Entropy from the distance to the k-th nearest neighbour in descriptor space."""

from __future__ import annotations

import math
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
from jaxtyping import Array, Float, Int
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.entropy._first_least import first_least
from jentmax.entropy._pairs import is_itself, squared_distances
from jentmax.fields import Count, Positive


class KthNearestNeighbor(Component):
    """``H = psi(n) - psi(k) + ln V_d + (d/n) sum_j ln r_k(j)``, the Kozachenko-Leonenko estimator.

    ``r_k(j)`` is the Euclidean distance from environment j to its k-th nearest neighbour, ``V_d =
    pi^(d/2) / Gamma(d/2 + 1)`` is the volume of the unit ball in d = n_features dimensions, and psi
    is the digamma function. H is an asymptotically unbiased estimate of the differential entropy:
    Kozachenko and Leonenko, Probl. Inf. Transm. 23, 95 (1987); for any k, Kraskov, Stögbauer and
    Grassberger, doi:10.1103/PhysRevE.69.066138, Eq. 20.

    With k = 1, H equals `NearestNeighbor` (Eq. 2 of doi:10.1063/5.0013059) up to a factor and a
    constant: ``S = ln n + (1/n) sum_j ln r_1(j)`` gives
    ``H = d (S - ln n) + psi(n) - psi(1) + ln V_d`` exactly. Forces are d times as strong: K = 167
    eV here corresponds to K = 1000 eV with Eq. 2 and six features.

    Distances below ``floor`` count as ``floor`` and exert no force.

    Raises:
        ValueError: the number of environments is at most k.
    """

    k: Annotated[Count, Doc("which neighbour; less than the number of atoms")] = eqx.field(
        static=True, default=4
    )
    floor: Annotated[
        Positive, Doc("least distance between environments, in units of the scaled features")
    ] = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        n_atoms, n_features = features.shape[:2]
        if not 1 <= self.k < n_atoms:
            raise ValueError(
                f"k = {self.k} is too large for {n_atoms} environments; give 1 to {n_atoms - 1}"
            )
        nearest = _kth_nearest(jax.lax.stop_gradient(features), self.k)
        # Differentiate through the index of the neighbour, as in NearestNeighbor.
        neighbors = jnp.take_along_axis(features, nearest[:, None], axis=0)
        distances = jnp.sum((features - neighbors) ** 2, axis=1)
        logarithms = jnp.log(jnp.maximum(distances, self.floor**2)) / 2
        volume = n_features / 2 * math.log(math.pi) - math.lgamma(n_features / 2 + 1)
        counts = jnp.asarray([n_atoms, self.k], features.dtype)
        constant = jnp.subtract(*digamma(counts)) + volume
        return n_features * jnp.mean(logarithms, axis=0) + constant


def _kth_nearest(
    features: Float[Array, "n_atoms n_features *replicas"], k: int
) -> Int[Array, "n_atoms *replicas"]:
    """Index of the k-th nearest other row, found by removing the nearest row k - 1 times.

    This is faster than sorting for small k. Memory grows as n_atoms^2.
    """
    n_atoms = len(features)
    index = jnp.arange(n_atoms, dtype=jnp.int32).reshape(1, -1, *[1] * (features.ndim - 2))
    squared = squared_distances(features)
    squared = jnp.where(is_itself(features), jnp.inf, squared)

    def without_nearest(
        _: Int[Array, ""] | int, squared: Float[Array, "n_atoms n_atoms *replicas"]
    ) -> Float[Array, "n_atoms n_atoms *replicas"]:
        nearest = first_least(squared, index, axis=1)[1]
        return jnp.where(index == nearest[:, None], jnp.inf, squared)

    squared = jax.lax.fori_loop(1, k, without_nearest, squared)
    return first_least(squared, index, axis=1)[1]
