"""Neighbours among all pairs of atoms and, in small cells, their periodic images."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jentmax.neighbors._environments import Environments, Finder, combine, inverse, masked


class AllPairs(Finder):
    """Every atom's nearest image, and its images up to ``images`` periods from that one.

    No images are needed where the cell's heights are at least twice the cutoff: then this is the
    minimum-image convention.

    Attributes:
        cutoff: in Å.
        images: periods to go along each lattice vector.
    """

    cutoff: float = eqx.field(static=True)
    images: tuple[int, int, int] = eqx.field(static=True, default=(0, 0, 0))

    @property
    def least_heights(self) -> tuple[float, float, float]:
        """Heights, in Å, down to which so many images hold every neighbour."""
        x, y, z = (self.cutoff / (periods + 0.5) for periods in self.images)
        return x, y, z

    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> None:
        """Nothing: there is no list."""
        return None

    def updated(
        self,
        table: None,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> None:
        """Nothing: there is no list."""
        return None

    def complete(
        self, table: None, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        """Always."""
        return jnp.ones(positions.shape[2:], bool)

    def overflowed(self, table: None) -> Bool[Array, ""]:
        """Never."""
        return jnp.asarray(False)

    def grown(self) -> AllPairs:
        """Itself."""
        return self

    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
        table: None = None,
    ) -> Environments:
        """The environments at these positions (Å); ``n_neighbors`` is n_atoms times the images."""
        n_atoms, _, *replicas = positions.shape
        points = jnp.swapaxes(positions, 0, 1)
        pairs = points[:, :, None] - points[:, None]  # neighbours before atoms, see `masked`
        periods = jnp.round(combine(inverse(cell), jax.lax.stop_gradient(pairs)))
        pairs = pairs - combine(cell, periods)
        others = ~np.eye(n_atoms, dtype=bool)
        if self.images != (0, 0, 0):
            shifts = np.array(list(itertools.product(*(range(-r, r + 1) for r in self.images))))
            offsets = combine(
                cell, jnp.asarray(shifts.T, positions.dtype).reshape(3, -1, *[1] * len(replicas))
            )
            pairs = pairs[:, None] + offsets[:, :, None, None]
            pairs = pairs.reshape(3, -1, n_atoms, *replicas)
            others = others | np.any(shifts != 0, axis=1)[:, None, None]
        return masked(
            pairs,
            jnp.asarray(others).reshape(-1, n_atoms, *[1] * len(replicas)),
            self.cutoff,
            numbers,
            jnp.concatenate([numbers] * (pairs.shape[1] // n_atoms))[:, None],
        )
