"""Neighbours of large systems, from jax-md's neighbour list."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jentmax.materialize import materialized
from jentmax.neighbors._environments import Environments, Finder, combine, inverse, masked

SKIN = 0.5
"""Distance by which the reach of a list exceeds the cutoff, in Å."""


class NeighborTable(eqx.Module):
    """Candidate neighbours of every atom.

    Attributes:
        indices: of the candidates; ``n_atoms`` marks padding.
        shifts: periods to add to each candidate's position.
        reference: positions at which the table was built, in Å.
        overflow: whether the table had no room for a candidate.
    """

    indices: Int[Array, "capacity n_atoms *replicas"]
    shifts: Float[Array, "3 capacity n_atoms *replicas"]
    reference: Float[Array, "n_atoms 3 *replicas"]
    overflow: Bool[Array, "*replicas"]


class NeighborList(Finder):
    """A list of the pairs within cutoff + skin, which jax-md builds.

    All replicas share one capacity.

    Attributes:
        cutoff: in Å.
        skin: in Å; the list is rebuilt when an atom has moved by half of it.
        capacity: room for neighbours of each atom.
        heights: smallest heights of the cells, in Å.
    """

    cutoff: float = eqx.field(static=True)
    skin: float = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    heights: tuple[float, float, float] = eqx.field(static=True)
    _search: Callable = eqx.field(static=True)

    def __init__(
        self,
        cutoff: float,
        heights: tuple[float, float, float],
        capacity: int,
        skin: float = SKIN,
    ):
        """Prepare lists for cells with at least these heights (Å)."""
        self.cutoff, self.skin, self.capacity = cutoff, skin, capacity
        self.heights = heights
        self._search = _search_for(heights, cutoff + skin, capacity)

    @property
    def least_heights(self) -> tuple[float, float, float]:
        """Smallest valid cell heights, in Å."""
        return self.heights

    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> NeighborTable:
        """The tables at these positions (Å) and cells (rows, Å)."""
        if positions.ndim == 3:
            return jax.vmap(self.build, in_axes=-1, out_axes=-1)(positions, cell)
        positions, cell = jax.lax.stop_gradient((positions, cell))
        periods = jnp.floor(combine(inverse(cell), positions.T))
        wrapped = positions - combine(cell, periods).T
        indices, shifts, overflow = self._search(wrapped, cell)
        # jax-md's shifts belong to wrapped positions; convert them to the unwrapped positions.
        indices, shifts = indices.T, shifts.T.astype(positions.dtype)
        own, other = periods[:, None], periods[:, indices % len(positions)]
        return NeighborTable(
            indices=indices,
            shifts=shifts + own - other,
            reference=positions,
            overflow=overflow,
        )

    def updated(
        self,
        table: NeighborTable,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> NeighborTable:
        """The tables, rebuilt for the replicas in which an atom has moved by half the skin.

        One ``cond`` covers all replicas, because `jax.vmap` would turn a ``cond`` per replica into
        a select that rebuilds at every step. Replicas with an up-to-date table keep it, so no
        replica depends on another, even if the other one has become NaN.
        """
        outdated = self._outdated(table, positions)

        def rebuilt() -> NeighborTable:
            new = self.build(positions, cell)
            mixed = jax.tree.map(lambda new, old: jnp.where(outdated, new, old), new, table)
            return eqx.tree_at(lambda t: t.overflow, mixed, mixed.overflow | table.overflow)

        return jax.lax.cond(jnp.any(outdated), rebuilt, lambda: table)

    def complete(
        self, table: NeighborTable, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        """Whether the table had room for every neighbour and no atom has moved half the skin."""
        return ~table.overflow & ~self._outdated(table, jax.lax.stop_gradient(positions))

    def _outdated(
        self, table: NeighborTable, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        moved = jnp.max(jnp.sum((positions - table.reference) ** 2, axis=1), axis=0)
        return moved > (self.skin / 2) ** 2

    def overflowed(self, table: NeighborTable) -> Bool[Array, ""]:
        """Whether the table of any replica had no room for a neighbour."""
        return jnp.any(table.overflow)

    def grown(self) -> NeighborList:
        """The same list with 1.5 times the room."""
        return NeighborList(self.cutoff, self.heights, math.ceil(1.5 * self.capacity), self.skin)

    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
        table: NeighborTable,
    ) -> Environments:
        """The environments at these positions (Å), from tables that are up to date there."""
        n_atoms, _, *replicas = positions.shape
        n_replicas = math.prod(replicas)
        points = jnp.swapaxes(positions, 0, 1)
        # Treat all replicas as one large system, so that a plain gather finds the neighbours.
        replica = jnp.arange(n_replicas).reshape(replicas)
        indices = table.indices % n_atoms * n_replicas + replica
        # Without this, XLA repeats the gather for every use.
        others = materialized([along[indices][None] for along in points.reshape(3, -1)])
        pairs = jnp.concatenate(others) - points[:, None] + combine(cell, table.shifts)
        kinds = numbers.reshape(-1)[indices]
        return masked(pairs, table.indices < n_atoms, self.cutoff, numbers, kinds)


@functools.cache
def _search_for(heights: tuple[float, float, float], reach: float, capacity: int) -> Callable:
    """The search; equal arguments return the same function, so compiled programs are reused."""
    # Import jax-md only for large systems, because it takes seconds.
    from jentmax.neighbors._search import search_grid, search_images

    least = np.asarray(heights)
    search = search_grid if grid_fits(least, reach) else search_images
    return search(least, reach, capacity)


def grid_fits(heights: Float[np.ndarray, "3"], reach: float) -> bool:
    """Whether cells of these heights (Å) have room for three grid cells of this reach (Å)."""
    return bool(np.min(heights) > 3.01 * reach)
