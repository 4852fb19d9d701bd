"""Neighbours of stored structures, found on the host by vesin."""

from __future__ import annotations

import numpy as np

from jentmax.errors import JentmaxError
from jentmax.neighbors._environments import Environments


def host_environments(
    positions: np.ndarray,
    cell: np.ndarray,
    species: np.ndarray,
    cutoff: float,
    periodic: bool | tuple[bool, bool, bool] = True,
    capacity: int | None = None,
) -> Environments:
    """The environments of one structure of any size and cell.

    Args:
        positions: in Å, shape (n_atoms, 3).
        cell: lattice vectors as rows, in Å, shape (3, 3).
        species: index of each atom's species, shape (n_atoms,).
        cutoff: in Å.
        periodic: along each lattice vector.
        capacity: neighbours to make room for; by default as many as an atom has at most.

    Returns:
        Environments of numpy arrays in float64.

    Raises:
        JentmaxError: if an atom has more neighbours than ``capacity``.
    """
    # Deferred: only data sets need it.
    import vesin

    search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    centers, neighbors, vectors = search.compute(
        points=np.asarray(positions, np.float64),
        box=np.asarray(cell, np.float64),
        periodic=np.broadcast_to(periodic, 3),
        quantities="ijD",
    )
    n_atoms = len(positions)
    counts = np.bincount(centers, minlength=n_atoms)
    most = int(counts.max(initial=0))
    capacity = max(most, 1) if capacity is None else capacity
    if most > capacity:
        raise JentmaxError(
            f"capacity: {capacity} is too small for the {most} neighbours of an atom"
        )
    slots = np.arange(len(centers)) - np.repeat(np.cumsum(counts) - counts, counts)
    displacements = np.zeros((3, n_atoms, capacity))
    displacements[0] = cutoff
    displacements[:, centers, slots] = vectors.T
    neighbor_species = np.zeros((n_atoms, capacity), np.int32)
    neighbor_species[centers, slots] = np.asarray(species)[neighbors]
    return Environments(
        displacements=displacements,  # pyright: ignore[reportArgumentType]
        mask=np.arange(capacity) < counts[:, None],  # pyright: ignore[reportArgumentType]
        species=np.asarray(species, np.int32),  # pyright: ignore[reportArgumentType]
        neighbor_species=neighbor_species,  # pyright: ignore[reportArgumentType]
    )
