"""jax-md's searches for neighbours, behind one signature.

Each function here gives ``search(positions, cell) -> indices, shifts, overflow`` for one structure
whose positions lie within its cell: neighbours of every atom padded with n_atoms, shape
(n_atoms, capacity), the periods to add to each, shape (n_atoms, capacity, 3), and whether there was
no room for some.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax_md import custom_partition, partition
from jaxtyping import Array

Search = Callable[[Array, Array], tuple[Array, Array, Array]]


def search_images(heights: np.ndarray, reach: float, capacity: int) -> Search:
    """Among all pairs of atoms and their images: for cells of any size, at the cost of all pairs.

    jax-md's `partition.neighbor_list` silently misses neighbours in cells smaller than twice the
    cutoff; its `neighbor_list_multi_image` does not.

    Args:
        heights: least heights of the cells, in Å, shape (3,).
        reach: largest distance of a neighbour, in Å.
        capacity: neighbours that each atom has room for.
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
    # A little more: a height that is rounded in float32 must not need one image more.
    periods = np.ceil(reach / heights + 1e-4).astype(int)
    shifts = np.array(list(itertools.product(*(range(-r, r + 1) for r in periods))))

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

    return search


def search_grid(heights: np.ndarray, reach: float, capacity: int) -> Search:
    """Among the atoms of adjacent grid cells: for cells of at least three times the reach.

    Arguments as for `search_images`.
    """
    share = float(reach / np.min(heights) * (1 + 1e-6))  # of a period that a grid cell takes

    def apart(one: Array, other: Array, cell: Array | None = None, **_: Any) -> Array:
        """Displacement in Å between fractional positions."""
        difference = one - other
        cell = jnp.diag(jnp.asarray(heights)) if cell is None else cell
        x, y, z = difference - jnp.round(difference)
        return x * cell[0] + y * cell[1] + z * cell[2]  # far faster than millions of tiny products

    table_type: Any = partition.NeighborList
    error_type: Any = partition.PartitionError
    cell_list: Any = partition.cell_list
    grid = cell_list(1.0, share)
    functions: Any = partition.neighbor_list(
        apart,
        jnp.diag(jnp.asarray(heights)),
        reach,
        fractional_coordinates=True,
        format=partition.NeighborListFormat.Dense,
    )

    def search(positions: Array, cell: Array) -> tuple[Array, Array, Array]:
        n_atoms = len(positions)
        fractional = positions @ jnp.linalg.inv(cell)
        blank = table_type(
            idx=jnp.full((n_atoms, capacity), n_atoms),
            reference_position=fractional,
            error=error_type(jnp.zeros((), jnp.uint8)),
            # A grid cell has a quarter of the volume of an atom's neighbourhood, or somewhat more.
            cell_list_capacity=-(-capacity // 2),
            max_occupancy=capacity,
            format=partition.NeighborListFormat.Dense,
            cell_size=share,
            cell_list_fn=grid,
            update_fn=functions.update,
        )
        found = functions.update(fractional, blank, cell=cell)
        beside = fractional[found.idx % n_atoms] - fractional[:, None]
        return found.idx, -jnp.round(beside).astype(int), found.error.code != 0

    return search
