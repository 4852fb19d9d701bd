"""Entropy from the distance to the nearest neighbour in descriptor space."""

from __future__ import annotations

import functools
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.entropy._first_least import first_least
from jentmax.fields import Positive

_GROUP = 8
"""Rows per group; the minimum over a group is one expression."""

_BLOCK = 8
"""Groups per block."""


class NearestNeighbor(Component):
    """``S = (1/n) sum_j ln( n min_{l != j} |q_j - q_l| )``; doi:10.1063/5.0013059, Eq. 2.

    Distances below ``floor`` count as ``floor`` and exert no force, so equal environments (a
    perfect crystal) have a finite entropy and zero gradient. The gradient with respect to a feature
    is at most ``2 / (n floor)`` per pair.
    """

    floor: Annotated[
        Positive, Doc("least distance between environments, in units of the scaled features")
    ] = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        nearest = _nearest(jax.lax.stop_gradient(features))
        # Differentiate through the index of the neighbour. The gradient of jnp.min compares all
        # entries with the minimum, and finds no match if XLA rounds the two differently.
        neighbors = jnp.take_along_axis(features, nearest[:, None], axis=0)
        distances = jnp.sum((features - neighbors) ** 2, axis=1)
        logarithms = jnp.log(jnp.maximum(distances, self.floor**2)) / 2
        return jnp.log(jnp.asarray(len(features), features.dtype)) + jnp.mean(logarithms, axis=0)


def _nearest(
    features: Float[Array, "n_atoms n_features *replicas"],
) -> Int[Array, "n_atoms *replicas"]:
    """Index of the nearest other row, the first one if several are equally near within rounding.

    The search first finds the group of rows with the nearest one: the minimum over a group is one
    expression that loads each feature once. It processes groups in blocks, so memory is linear in
    n_atoms.
    """
    n_atoms, n_features, *replicas = features.shape
    ones = [1] * len(replicas)
    n_groups = -(-n_atoms // _GROUP)
    block = min(n_groups, _BLOCK)
    n_blocks = -(-n_groups // block)
    padding = n_blocks * block * _GROUP - n_atoms
    padded = jnp.pad(
        features, [(0, padding)] + [(0, 0)] * (1 + len(replicas)), constant_values=jnp.inf
    )
    groups = padded.reshape(-1, _GROUP, n_features, *replicas)
    atoms = jnp.arange(n_atoms, dtype=jnp.int32).reshape(-1, *ones)

    def search_block(
        found: tuple[Float[Array, "n_atoms *replicas"], Int[Array, "n_atoms *replicas"]],
        first: Int[Array, ""],
    ) -> tuple[tuple[Float[Array, "n_atoms *replicas"], Int[Array, "n_atoms *replicas"]], None]:
        some = jax.lax.dynamic_slice_in_dim(groups, first, block)
        index = (first + jnp.arange(block, dtype=jnp.int32)).reshape(-1, 1, *ones)

        def squared(member: int) -> Float[Array, "block n_atoms *replicas"]:
            pairs = ((some[:, member, None, k], features[None, :, k]) for k in range(n_features))
            itself = index * _GROUP + member == atoms
            return jnp.where(itself, jnp.inf, sum((one - other) ** 2 for one, other in pairs))

        in_group = functools.reduce(jnp.minimum, map(squared, range(_GROUP)))
        least, here = first_least(in_group, index, axis=0)
        closer = least < found[0]
        return (jnp.where(closer, least, found[0]), jnp.where(closer, here, found[1])), None

    start = jnp.full((n_atoms, *replicas), jnp.inf, features.dtype)
    begin = (start, jnp.zeros(start.shape, jnp.int32))
    (_, group), _ = jax.lax.scan(search_block, begin, jnp.arange(n_blocks, dtype=jnp.int32) * block)

    index = group[:, None] * _GROUP + jnp.arange(_GROUP, dtype=jnp.int32).reshape(-1, *ones)
    flat = jnp.minimum(index, n_atoms - 1).reshape(n_atoms * _GROUP, 1, *replicas)
    members = jnp.take_along_axis(features, flat, axis=0).reshape(
        n_atoms, _GROUP, n_features, *replicas
    )
    squared = jnp.sum((members - features[:, None]) ** 2, axis=2)
    others = (index != atoms[:, None]) & (index < n_atoms)
    return first_least(jnp.where(others, squared, jnp.inf), index, axis=1)[1]
