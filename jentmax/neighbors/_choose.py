"""Choose a neighbour finder for a cell size and a number of atoms."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from jentmax.neighbors._all_pairs import AllPairs
from jentmax.neighbors._environments import Finder
from jentmax.neighbors._list import SKIN, NeighborList, grid_fits
from jentmax.system import cell_heights

ALL_PAIRS_WHERE_A_GRID_FITS = 100**2
"""Largest number of pairs for which computing all of them at every step is cheaper than a list, in
cells with room for the grid that builds the list."""

ALL_PAIRS_ELSEWHERE = 500**2
"""The same for smaller or thinner cells, including images: building a list there takes all pairs,
times 27 images or more."""


def neighbor_finder(
    cutoff: float,
    n_atoms: int,
    cells: Float[np.ndarray, "*shape 3 3"],
    most_neighbors: int = 0,
) -> Finder:
    """The finder for cells of given sizes.

    If the cell heights are at least twice the cutoff, the finder takes the minimum image of every
    pair; in smaller cells it takes several images; large systems use jax-md's neighbour list.

    Args:
        cutoff: in Å.
        n_atoms: atoms in each cell.
        cells: one or more cells, lattice vectors as rows, in Å, shape (..., 3, 3). The finder is
            valid for every cell whose heights are at least theirs.
        most_neighbors: largest known number of neighbours of an atom within cutoff + skin.

    Returns:
        The finder; the same arguments always give the same choice.
    """
    cells = np.asarray(cells, float).reshape(-1, 3, 3)
    heights = cell_heights(cells).min(axis=0)
    # This many images of an atom lie within twice the cutoff, in addition to the nearest one.
    images = np.maximum(np.ceil(2 * cutoff / heights - 1e-9).astype(int), 1) - 1
    grid = grid_fits(heights, cutoff + SKIN)
    most = ALL_PAIRS_WHERE_A_GRID_FITS if grid else ALL_PAIRS_ELSEWHERE
    if n_atoms**2 * np.prod(images + 1) <= most:
        return AllPairs(cutoff, (int(images[0]), int(images[1]), int(images[2])))
    density = n_atoms / np.abs(np.linalg.det(cells)).min()
    expected = density * 4 / 3 * math.pi * (cutoff + SKIN) ** 3
    # Leave room for fluctuations. If a list still overflows, it grows, which costs a compilation.
    capacity = max(math.ceil(1.5 * expected), math.ceil(1.2 * most_neighbors)) + 12
    return NeighborList(cutoff, tuple(heights.tolist()), capacity)
