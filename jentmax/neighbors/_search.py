"""jax-md's neighbour searches, behind one signature.

Each function returns ``search(positions, cell) -> indices, shifts, overflow`` for one structure
whose positions lie within its cell. ``indices`` are the neighbours of every atom, padded with
n_atoms, shape (n_atoms, capacity); ``shifts`` the periods to add to each neighbour, shape
(n_atoms, capacity, 3); ``overflow`` says whether there was no room for a neighbour.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax_md import custom_partition, partition
from jaxtyping import Array, Bool, Float, Int

Search = Callable[[Array, Array], tuple[Array, Array, Array]]


def search_images(heights: Float[np.ndarray, "3"], reach: float, capacity: int) -> Search:
    """A search among all pairs of atoms and their images, for cells of any size.

    jax-md's `partition.neighbor_list` silently misses neighbours in cells smaller than twice the
    cutoff; its `neighbor_list_multi_image` does not.

    Args:
        heights: smallest heights of the cells, in Å.
        reach: largest distance of a neighbour, in Å.
        capacity: room for neighbours of each atom.
    """
    # jax-md's own decorator hides the fields of its classes from type checkers.
    table_type: Any = custom_partition.NeighborListMultiImage
    functions: Any = custom_partition.neighbor_list_multi_image(
        None,
        jnp.diag(jnp.asarray(heights)),
        reach,
        fractional_coordinates=False,
        format=partition.NeighborListFormat.Dense,
    )
    # The margin keeps float32 rounding of a height from requiring one more image.
    periods = np.ceil(reach / heights + 1e-4).astype(int)
    shifts = np.array(list(itertools.product(*(range(-r, r + 1) for r in periods))))

    def search(
        positions: Float[Array, "n_atoms 3"], cell: Float[Array, "3 3"]
    ) -> tuple[Int[Array, "n_atoms capacity"], Int[Array, "n_atoms capacity 3"], Bool[Array, ""]]:
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

    return search


def search_grid(heights: Float[np.ndarray, "3"], reach: float, capacity: int) -> Search:
    """A search in adjacent grid cells, for cells with heights of at least three times the reach.

    Arguments as for `search_images`.
    """
    grid_size = float(reach / np.min(heights) * (1 + 1e-6))  # in fractional coordinates

    def apart(one: Array, other: Array, cell: Array | None = None, **_: Any) -> Array:
        """Displacement in Å between fractional positions."""
        difference = one - other
        cell = jnp.diag(jnp.asarray(heights)) if cell is None else cell
        x, y, z = difference - jnp.round(difference)
        return x * cell[0] + y * cell[1] + z * cell[2]  # far faster than a batched matrix product

    table_type: Any = partition.NeighborList
    error_type: Any = partition.PartitionError
    cell_list: Any = partition.cell_list
    grid = cell_list(1.0, grid_size)
    functions: Any = partition.neighbor_list(
        apart,
        jnp.diag(jnp.asarray(heights)),
        reach,
        fractional_coordinates=True,
        format=partition.NeighborListFormat.Dense,
    )

    def search(
        positions: Float[Array, "n_atoms 3"], cell: Float[Array, "3 3"]
    ) -> tuple[Int[Array, "n_atoms capacity"], Int[Array, "n_atoms capacity 3"], Bool[Array, ""]]:
        n_atoms = len(positions)
        fractional = positions @ jnp.linalg.inv(cell)
        blank = table_type(
            idx=jnp.full((n_atoms, capacity), n_atoms),
            reference_position=fractional,
            error=error_type(jnp.zeros((), jnp.uint8)),
            # A grid cell has at least a quarter of the volume of an atom's neighbourhood.
            cell_list_capacity=-(-capacity // 2),
            max_occupancy=capacity,
            format=partition.NeighborListFormat.Dense,
            cell_size=grid_size,
            cell_list_fn=grid,
            update_fn=functions.update,
        )
        found = functions.update(fractional, blank, cell=cell)
        beside = fractional[found.idx % n_atoms] - fractional[:, None]
        return found.idx, -jnp.round(beside).astype(int), found.error.code != 0

    return search
