"""Neighbours of stored structures, found on the host with vesin."""

from __future__ import annotations

import contextlib

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from jentmax.errors import JentmaxError
from jentmax.neighbors._environments import Environments

_MANY_IMAGES = 1000
"""Images of a cell within the cutoff above which a more compact cell of the same lattice is tried:
cells of ordinary shape have fewer, and the search takes as long as there are images."""


def n_images(cells: np.ndarray, periodic: np.ndarray, cutoff: float) -> np.ndarray:
    """Number of a cell's images, along its own vectors, that may lie within a cutoff.

    Args:
        cells: lattice vectors as rows, in Å, shape (..., 3, 3).
        periodic: along each lattice vector, shape (..., 3).
        cutoff: in Å.

    Returns:
        Shape (...), as floating-point numbers, because thin cells have very many.
    """
    # The inverse distances of lattice planes; 0 along vectors without a period.
    inverse_heights = np.linalg.norm(np.linalg.pinv(cells * periodic[..., None]), axis=-2)
    return np.prod(2 * np.ceil(cutoff * inverse_heights) + 1, axis=-1)


def compact_cells(cells: np.ndarray, periodic: np.ndarray, cutoff: float) -> np.ndarray:
    """The same cells; one so sheared that it has very many images is replaced by its reduced one.

    A cell and its reduced one have the same lattice, so every atom keeps its neighbours.

    Args:
        cells: lattice vectors as rows, in Å, shape (n, 3, 3), independent where periodic.
        periodic: along each lattice vector, shape (n, 3).
        cutoff: in Å.

    Returns:
        Shape (n, 3, 3).
    """
    # Deferred: few cells need it.
    from ase.geometry import minkowski_reduce

    compact = np.array(cells, np.float64)
    for k in np.flatnonzero(n_images(compact, periodic, cutoff) > _MANY_IMAGES):
        with contextlib.suppress(RuntimeError):  # it gives up on cells that are nearly flat
            compact[k] = minkowski_reduce(compact[k], periodic[k])[0]
    return compact


class HostSearch:
    """Finds all pairs within a cutoff, one structure at a time.

    Attributes:
        cutoff: in Å.
    """

    cutoff: float

    def __init__(self, cutoff: float) -> None:
        """Prepare a search with this cutoff (Å)."""
        # Imported here because only data sets need it.
        import vesin

        self.cutoff = cutoff
        # Starting threads takes longer than searching most structures.
        self._search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)

    def __call__(
        self,
        positions: Float[np.ndarray, "n_atoms 3"],
        cell: Float[np.ndarray, "3 3"],
        periodic: Bool[np.ndarray, "3"],
    ) -> tuple[
        Int[np.ndarray, " n_atoms"], Int[np.ndarray, " n_pairs"], Float[np.ndarray, "n_pairs 3"]
    ]:
        """The neighbours of every atom, periodic images included.

        Args:
            positions: in Å, shape (n_atoms, 3).
            cell: lattice vectors as rows, in Å, shape (3, 3).
            periodic: along each lattice vector, shape (3,).

        Returns:
            Number of neighbours of each atom, shape (n_atoms,); indices of the neighbours, sorted
            by atom, shape (n_pairs,); displacements to them in Å, shape (n_pairs, 3).
        """
        pairs, displacements = self._search.compute(
            points=np.asarray(positions, np.float64),
            box=np.asarray(cell, np.float64),
            periodic=periodic,
            quantities="PD",
            copy=False,  # the next search overwrites the result
        )
        centers, neighbors = pairs.T.astype(np.intp)
        return np.bincount(centers, minlength=len(positions)), neighbors, displacements.copy()


def host_environments(
    positions: Float[ArrayLike, "n_atoms 3"],
    cell: Float[ArrayLike, "3 3"],
    numbers: Int[ArrayLike, " n_atoms"],
    cutoff: float,
    periodic: bool | tuple[bool, bool, bool] = True,
    capacity: int | None = None,
) -> Environments:
    """The environments of one structure, of any size and cell.

    Args:
        positions: in Å, shape (n_atoms, 3).
        cell: lattice vectors as rows, in Å, shape (3, 3).
        numbers: atomic number of each atom, shape (n_atoms,).
        cutoff: in Å.
        periodic: along each lattice vector.
        capacity: room for neighbours of each atom; by default the largest number of neighbours.

    Returns:
        Environments of numpy arrays in float64.

    Raises:
        JentmaxError: an atom has more neighbours than ``capacity``.
    """
    counts, neighbors, displacements = HostSearch(cutoff)(
        np.asarray(positions, float), np.asarray(cell, float), np.broadcast_to(periodic, 3)
    )
    most = int(counts.max(initial=0))
    capacity = max(most, 1) if capacity is None else capacity
    if most > capacity:
        raise JentmaxError(
            f"capacity = {capacity} is less than the {most} neighbours of an atom; give at least "
            f"{most}"
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
    starts: Int[np.ndarray, " n_atoms"],
    counts: Int[np.ndarray, " n_atoms"],
    displacements: Float[np.ndarray, "n_pairs 3"],
    numbers: Int[np.ndarray, " n_atoms"],
    neighbor_numbers: Int[np.ndarray, " n_pairs"],
    cutoff: float,
    capacity: int,
) -> Environments:
    """The environments of atoms from any structures; each atom becomes a replica of one atom.

    Args:
        starts: index in ``displacements`` of each atom's first neighbour.
        counts: number of neighbours of each atom, at most ``capacity``.
        displacements: to the neighbours, in Å.
        numbers: atomic number of each atom.
        neighbor_numbers: atomic number of each neighbour.
        cutoff: in Å; the distance of padding.
        capacity: room for neighbours of each atom.

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
