"""Neighbours of large systems from jax-md's neighbour list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jentmax.neighbors._environments import Environments, Finder, combine, inverse, masked


class NeighborTable(eqx.Module):
    """Candidates for neighbours of every atom, padded with ``n_atoms``.

    Attributes:
        indices: of the neighbours.
        shifts: periods to add to each neighbour's position.
        reference: positions at which the table was built, in Å.
        overflow: whether there was no room for some neighbour.
    """

    indices: Int[Array, "n_atoms capacity *replicas"]
    shifts: Float[Array, "3 n_atoms capacity *replicas"]
    reference: Float[Array, "n_atoms 3 *replicas"]
    overflow: Bool[Array, "*replicas"]


class NeighborList(Finder):
    """A list of the pairs within cutoff + skin, built by jax-md and kept until an atom moves.

    jax-md's `neighbor_list_multi_image` is used because its `partition.neighbor_list` silently
    misses neighbours in cells smaller than twice the cutoff. All replicas share one capacity.

    Attributes:
        cutoff: in Å.
        skin: in Å; the list is built again once an atom has moved by half of it.
        capacity: neighbours that each atom has room for.
        heights: least heights of the cells, in Å.
    """

    cutoff: float = eqx.field(static=True)
    skin: float = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    heights: tuple[float, float, float] = eqx.field(static=True)
    _search: Callable = eqx.field(static=True)

    def __init__(
        self, cutoff: float, heights: tuple[float, float, float], capacity: int, skin: float = 0.5
    ):
        """Prepares lists for cells of at least these heights (Å)."""
        # Deferred, since this import takes seconds that only large systems should pay.
        from jax_md import custom_partition, partition

        self.cutoff, self.skin, self.capacity, self.heights = cutoff, skin, capacity, heights
        # jax-md's own decorator hides the fields of its classes from type checkers.
        table_type: Any = custom_partition.NeighborListMultiImage
        functions: Any = custom_partition.neighbor_list_multi_image(
            None,
            jnp.diag(jnp.asarray(heights)),
            cutoff + skin,
            fractional_coordinates=False,
            format=partition.NeighborListFormat.Dense,
        )
        # A little more, lest a height that is rounded in float32 ask for one image too many.
        reach = np.ceil((cutoff + skin) / np.asarray(heights) + 1e-4).astype(int)
        shifts = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))

        def search(positions: Array, cell: Array) -> tuple[Array, Array, Array]:
            n_atoms = len(positions)
            blank = table_type(
                idx=jnp.full((n_atoms, capacity), n_atoms),
                shifts=jnp.zeros((n_atoms, capacity, 3), int),
                reference_position=positions,
                reference_box=cell.T,  # jax-md's lattice vectors are columns
                box=cell.T,
                search_shifts=jnp.asarray(shifts),
                format=partition.NeighborListFormat.Dense,
                max_occupancy=capacity,
                update_fn=functions.update,
            )
            found = functions.update(positions, blank, box=cell.T)
            return found.idx, found.shifts, found.did_buffer_overflow

        self._search = search

    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> NeighborTable:
        """The tables at these positions (Å) and cells (rows, Å)."""
        if positions.ndim == 3:
            return jax.vmap(self.build, in_axes=-1, out_axes=-1)(positions, cell)
        positions, cell = jax.lax.stop_gradient((positions, cell))
        periods = jnp.floor(combine(inverse(cell), positions.T))
        wrapped = positions - combine(cell, periods).T
        indices, shifts, overflow = self._search(wrapped, cell)
        # jax-md searched among wrapped positions; these shifts hold for the positions as they are.
        own, other = periods[:, :, None], periods[:, indices % len(positions)]
        return NeighborTable(
            indices=indices,
            shifts=jnp.moveaxis(shifts, -1, 0).astype(positions.dtype) + own - other,
            reference=positions,
            overflow=overflow,
        )

    def refreshed(
        self,
        neighbors: NeighborTable,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> NeighborTable:
        """The tables, those of the replicas in which an atom has moved half the skin built anew.

        All are built once any is needed, in one decision: under `jax.vmap` each replica's own
        would become a selection between both outcomes at every step. The others keep the old one,
        so that no replica depends on its neighbours, not even when their numbers are not finite.
        """
        moved = jnp.max(jnp.sum((positions - neighbors.reference) ** 2, axis=1), axis=0)
        outdated = moved > (self.skin / 2) ** 2

        def rebuilt() -> NeighborTable:
            anew = self.build(positions, cell)
            table = jax.tree.map(lambda new, old: jnp.where(outdated, new, old), anew, neighbors)
            return eqx.tree_at(
                lambda table: table.overflow, table, table.overflow | neighbors.overflow
            )

        return jax.lax.cond(jnp.any(outdated), rebuilt, lambda: neighbors)

    def overflowed(self, neighbors: NeighborTable) -> Bool[Array, ""]:
        """Whether there was no room for some neighbour."""
        return jnp.any(neighbors.overflow)

    def grown(self) -> NeighborList:
        """The same list with half as much room again."""
        return NeighborList(self.cutoff, self.heights, math.ceil(1.5 * self.capacity), self.skin)

    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        species: Int[Array, "n_atoms *replicas"],
        neighbors: NeighborTable,
    ) -> Environments:
        """The environments at these positions (Å) from tables built or refreshed there."""
        if positions.ndim == 3:
            return jax.vmap(self, in_axes=-1, out_axes=-1)(positions, cell, species, neighbors)
        points, shifts = positions.T, jnp.swapaxes(neighbors.shifts, 1, 2)
        indices = neighbors.indices.T % len(positions)
        pairs = points[:, indices] - points[:, None] + combine(cell, shifts)
        present = (neighbors.indices < len(positions)).T
        return masked(pairs, present, self.cutoff, species, species[indices])
