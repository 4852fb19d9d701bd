"""Atoms in a periodic cell, and random starts without overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from jentmax.errors import JentmaxError


class System(eqx.Module):
    """Atoms in a periodic cell.

    Attributes:
        positions: in Å, not necessarily wrapped into the cell.
        cell: lattice vectors as rows, in Å.
        species: index of each atom's species.
        masses: of each atom, in amu.
    """

    positions: Float[Array, "n_atoms 3"]
    cell: Float[Array, "3 3"]
    species: Int[Array, " n_atoms"]
    masses: Float[Array, " n_atoms"]


def tetragonal_cell(n_atoms: int, density: float, aspect_ratio: float) -> np.ndarray:
    """Cell ``a x a x c`` that holds ``n_atoms`` at a density.

    Args:
        n_atoms: atoms in the cell.
        density: in atoms/Å^3.
        aspect_ratio: c/a.

    Returns:
        Lattice vectors as rows, in Å, shape (3, 3).

    >>> tetragonal_cell(39, 39 / (9.54**2 * 14.31), 1.5).diagonal().round(6).tolist()
    [9.54, 9.54, 14.31]
    """
    a = (n_atoms / (density * aspect_ratio)) ** (1 / 3)
    return np.diag([a, a, a * aspect_ratio])


def cell_heights(cells: np.ndarray) -> np.ndarray:
    """Distances between opposite faces of cells.

    Args:
        cells: lattice vectors as rows, in Å, shape (..., 3, 3).

    Returns:
        Heights along the three lattice vectors, in Å, shape (..., 3).
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(cells, float)), axis=-2)


def composition(n_atoms: int, fractions: Sequence[float]) -> np.ndarray:
    """Species indices whose counts come nearest to given fractions (largest remainders).

    Args:
        n_atoms: atoms to distribute.
        fractions: one per species, summing to 1.

    Returns:
        Sorted species indices, shape (n_atoms,).

    >>> composition(5, [0.5, 0.5]).tolist()
    [0, 0, 0, 1, 1]
    """
    ideal = n_atoms * np.asarray(fractions, float)
    counts = np.floor(ideal).astype(int)
    for kind in np.argsort(counts - ideal, kind="stable")[: n_atoms - counts.sum()]:
        counts[kind] += 1
    return np.repeat(np.arange(len(counts)), counts)


def random_positions(
    rng: np.random.Generator,
    n_atoms: int,
    cell: np.ndarray,
    least_distance: float,
    tries_per_atom: int = 20_000,
) -> np.ndarray:
    """Random sequential addition: atoms one by one, none nearer to another than a distance.

    Periodic images count, an atom's own included.

    Args:
        rng: source of randomness.
        n_atoms: atoms to place.
        cell: lattice vectors as rows, in Å, shape (3, 3).
        least_distance: in Å.
        tries_per_atom: places tried for an atom before giving up.

    Returns:
        Positions in Å, shape (n_atoms, 3).

    Raises:
        JentmaxError: if the atoms do not fit.
    """
    reach = np.ceil(least_distance / cell_heights(cell)).astype(int)
    images = np.stack(
        np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    own = np.linalg.norm(images[np.any(images != 0, axis=1)] @ cell, axis=1)
    if own.size and own.min() < least_distance:
        raise JentmaxError(
            f"system.start_distance: {least_distance:g} Å is more than the cell's own period of "
            f"{own.min():.3g} Å; give a smaller start_distance or more atoms"
        )
    if np.all(cell_heights(cell) >= 2 * least_distance):
        images = np.zeros((1, 3))  # the nearest is enough
    at_once = 10
    fractional = np.empty((n_atoms, 3))
    for atom in range(n_atoms):
        for _ in range(tries_per_atom // at_once):
            tries = rng.random((at_once, 3))
            offsets = tries[:, None] - fractional[None, :atom]
            offsets -= np.round(offsets)
            squared = np.sum(((offsets[:, :, None] + images) @ cell) ** 2, axis=-1)
            near = np.any(squared < least_distance**2, axis=(1, 2))
            free = np.flatnonzero(~near)
            if free.size:
                fractional[atom] = tries[free[0]]
                break
        else:
            raise JentmaxError(
                f"system.start_distance: {least_distance:g} Å leaves room for {atom} of "
                f"{n_atoms} atoms in a cell of {abs(np.linalg.det(cell)):.4g} Å^3; "
                "give a smaller start_distance or density"
            )
    return fractional @ cell
