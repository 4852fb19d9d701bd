"""Neighbours from all pairs of atoms and, in small cells, their periodic images."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jentmax.neighbors._environments import Environments, Finder, combine, inverse, masked


class AllPairs(Finder):
    """The nearest image of every atom, and the ``images`` next ones along each lattice vector.

    For cell heights of at least twice the cutoff, ``images`` is 0: the minimum-image convention.
    For heights down to the cutoff it is 1, because at most two images of an atom lie within two
    heights: the nearest image and the next one on the other side.

    Attributes:
        cutoff: in Å.
        images: number of images along each lattice vector, in addition to the nearest one.
    """

    cutoff: float = eqx.field(static=True)
    images: tuple[int, int, int] = eqx.field(static=True, default=(0, 0, 0))

    @property
    def least_heights(self) -> tuple[float, float, float]:
        """Smallest cell heights, in Å, for which these images include every neighbour."""
        x, y, z = (2 * self.cutoff / (images + 1) for images in self.images)
        return x, y, z

    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> None:
        """None, because this finder keeps no list."""
        return None

    def updated(
        self,
        table: None,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> None:
        """None, because this finder keeps no list."""
        return None

    def complete(
        self, table: None, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        """True for every replica."""
        return jnp.ones(positions.shape[2:], bool)

    def overflowed(self, table: None) -> Bool[Array, ""]:
        """False."""
        return jnp.asarray(False)

    def grown(self) -> AllPairs:
        """The same finder."""
        return self

    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
        table: None = None,
    ) -> Environments:
        """The environments at these positions (Å); ``n_neighbors`` is n_atoms times the images."""
        n_atoms, _, *replicas = positions.shape
        points = jnp.swapaxes(positions, 0, 1)
        pairs = points[:, :, None] - points[:, None]  # neighbours before atoms; see `masked`
        fractional = combine(inverse(cell), jax.lax.stop_gradient(pairs))
        periods = jnp.round(fractional)
        pairs = pairs - combine(cell, periods)
        others = ~np.eye(n_atoms, dtype=bool)
        if self.images != (0, 0, 0):
            both, odd = self._periods()
            offsets = combine(
                cell, jnp.asarray(both, pairs.dtype).reshape(3, -1, *[1] * len(replicas))
            )
            pairs = pairs[:, None] + offsets[:, :, None, None]
            if odd.any():
                across = jnp.where(fractional > periods, -1, 1).astype(pairs.dtype)
                steps = jnp.asarray(odd, pairs.dtype).reshape(3, -1, *[1] * (2 + len(replicas)))
                pairs = pairs + combine(cell, across[:, None] * steps)
            pairs = pairs.reshape(3, -1, n_atoms, *replicas)
            others = others | np.any((both != 0) | (odd != 0), axis=0)[:, None, None]
        return masked(
            pairs,
            jnp.asarray(others).reshape(-1, n_atoms, *[1] * len(replicas)),
            self.cutoff,
            numbers,
            jnp.concatenate([numbers] * (pairs.shape[1] // n_atoms))[:, None],
        )

    def _periods(self) -> tuple[Int[np.ndarray, "3 n_images"], Int[np.ndarray, "3 n_images"]]:
        """Periods from the nearest image of an atom to all its images.

        Returns:
            Periods along the lattice vectors, and periods towards the other side of the atom.
        """
        along = []
        for images in self.images:
            reach = images // 2
            both = [(period, 0) for period in range(-reach, reach + 1)]
            along.append([*both, (0, reach + 1)] if images % 2 else both)
        periods = np.array(list(itertools.product(*along))).T
        return periods[0], periods[1]
