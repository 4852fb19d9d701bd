"""Which way of finding neighbours suits a cell and a number of atoms."""

from __future__ import annotations

import math

import numpy as np

from jentmax.neighbors._all_pairs import AllPairs
from jentmax.neighbors._environments import Finder
from jentmax.neighbors._list import SKIN, NeighborList, grid_fits
from jentmax.system import cell_heights

ALL_PAIRS_WHERE_A_GRID_FITS = 100**2
"""Pairs up to which looking at all of them at every step is cheaper than keeping a list, in cells
that have room for the grid by which the list is built."""

ALL_PAIRS_ELSEWHERE = 500**2
"""The same in smaller or thinner cells, images included: there the search itself looks at all
pairs, times 27 images or more."""


def neighbor_finder(
    cutoff: float, n_atoms: int, cells: np.ndarray, most_neighbors: int = 0
) -> Finder:
    """The way to find neighbours in cells of given sizes.

    Cells whose heights are at least twice the cutoff take the minimum image of every pair; smaller
    ones take several images; large systems keep jax-md's list.

    Args:
        cutoff: in Å.
        n_atoms: atoms in each cell.
        cells: one or more cells, lattice vectors as rows, in Å, shape (..., 3, 3). The finder
            holds for every cell whose heights are no smaller.
        most_neighbors: that an atom is known to have within cutoff + skin.

    Returns:
        The finder; the same choice for the same arguments.
    """
    cells = np.asarray(cells, float).reshape(-1, 3, 3)
    heights = cell_heights(cells).min(axis=0)
    # As many images of an atom lie within a span of twice the cutoff, less the nearest one.
    images = np.maximum(np.ceil(2 * cutoff / heights - 1e-9).astype(int), 1) - 1
    grid = grid_fits(heights, cutoff + SKIN)
    most = ALL_PAIRS_WHERE_A_GRID_FITS if grid else ALL_PAIRS_ELSEWHERE
    if n_atoms**2 * np.prod(images + 1) <= most:
        return AllPairs(cutoff, (int(images[0]), int(images[1]), int(images[2])))
    density = n_atoms / np.abs(np.linalg.det(cells)).min()
    expected = density * 4 / 3 * math.pi * (cutoff + SKIN) ** 3
    # Environments fluctuate; a list that overflows all the same is mended, at a cost.
    capacity = max(math.ceil(1.5 * expected), math.ceil(1.2 * most_neighbors)) + 12
    return NeighborList(cutoff, tuple(heights.tolist()), capacity)
