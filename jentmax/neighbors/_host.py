"""Neighbours of stored structures, found on the host by vesin."""

from __future__ import annotations

import numpy as np

from jentmax.errors import JentmaxError
from jentmax.neighbors._environments import Environments


class HostSearch:
    """Finds all pairs within a cutoff, of one structure after another.

    Attributes:
        cutoff: in Å.
    """

    cutoff: float

    def __init__(self, cutoff: float) -> None:
        """Prepares a search with this cutoff (Å)."""
        # Deferred: only data sets need it.
        import vesin

        self.cutoff = cutoff
        # Starting threads would take longer than most structures do.
        self._search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)

    def __call__(
        self, positions: np.ndarray, cell: np.ndarray, periodic: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The neighbours of every atom, periodic images included.

        Args:
            positions: in Å, shape (n_atoms, 3).
            cell: lattice vectors as rows, in Å, shape (3, 3).
            periodic: along each lattice vector, shape (3,).

        Returns:
            Number of neighbours of each atom, shape (n_atoms,), and, the first atom's neighbours
            first, the neighbours' indices, shape (n_pairs,), and the displacements to them in Å,
            shape (n_pairs, 3).
        """
        pairs, displacements = self._search.compute(
            points=np.asarray(positions, np.float64),
            box=np.asarray(cell, np.float64),
            periodic=periodic,
            quantities="PD",
            copy=False,  # the next search overwrites it
        )
        centers, neighbors = pairs.T.astype(np.intp)
        return np.bincount(centers, minlength=len(positions)), neighbors, displacements.copy()


def host_environments(
    positions: np.ndarray,
    cell: np.ndarray,
    numbers: np.ndarray,
    cutoff: float,
    periodic: bool | tuple[bool, bool, bool] = True,
    capacity: int | None = None,
) -> Environments:
    """The environments of one structure of any size and cell.

    Args:
        positions: in Å, shape (n_atoms, 3).
        cell: lattice vectors as rows, in Å, shape (3, 3).
        numbers: atomic number of each atom, shape (n_atoms,).
        cutoff: in Å.
        periodic: along each lattice vector.
        capacity: neighbours to make room for; by default as many as an atom has at most.

    Returns:
        Environments of numpy arrays in float64.

    Raises:
        JentmaxError: if an atom has more neighbours than ``capacity``.
    """
    counts, neighbors, displacements = HostSearch(cutoff)(
        positions, cell, np.broadcast_to(periodic, 3)
    )
    most = int(counts.max(initial=0))
    capacity = max(most, 1) if capacity is None else capacity
    if most > capacity:
        raise JentmaxError(
            f"capacity: {capacity} is too small for the {most} neighbours of an atom"
        )
    numbers = np.asarray(numbers, np.int32)
    environments = many_environments(
        np.cumsum(counts) - counts,
        counts,
        displacements,
        numbers,
        numbers[neighbors],
        cutoff,
        capacity,
    )
    return Environments(
        displacements=np.swapaxes(environments.displacements[:, 0], 1, 2),  # pyright: ignore[reportArgumentType]
        mask=environments.mask[0].T,
        numbers=numbers,  # pyright: ignore[reportArgumentType]
        neighbor_numbers=environments.neighbor_numbers[0].T,
    )


def many_environments(
    starts: np.ndarray,
    counts: np.ndarray,
    displacements: np.ndarray,
    numbers: np.ndarray,
    neighbor_numbers: np.ndarray,
    cutoff: float,
    capacity: int,
) -> Environments:
    """The environments of many atoms of any structures: each is a replica of one atom.

    Args:
        starts: where each atom's neighbours begin in ``displacements``, shape (n_atoms,).
        counts: number of neighbours of each atom, at most ``capacity``, shape (n_atoms,).
        displacements: to the neighbours, in Å, shape (n_pairs, 3).
        numbers: atomic number of each atom, shape (n_atoms,).
        neighbor_numbers: atomic number of each neighbour, shape (n_pairs,).
        cutoff: in Å; the padding lies there.
        capacity: neighbours to make room for.

    Returns:
        Environments of numpy arrays in float64, with n_atoms replicas.
    """
    slots = np.arange(capacity)[:, None]
    mask = slots < counts
    pairs = (slots + starts)[mask]
    vectors = np.zeros((3, *mask.shape))
    vectors[0] = cutoff
    vectors[:, mask] = displacements[pairs].T
    kinds = np.zeros(mask.shape, np.int32)
    kinds[mask] = neighbor_numbers[pairs]
    return Environments(vectors[:, None], mask[None], numbers[None], kinds[None])  # pyright: ignore[reportArgumentType]
