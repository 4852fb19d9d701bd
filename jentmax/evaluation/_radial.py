"""Radial distribution function of a set of periodic structures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jentmax.dataset import Structures


def radial_distribution(
    structures: Structures, cutoff: float, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Number of pairs by distance, relative to ideal gases with the densities of the structures.

    ``g = sum_k pairs_k(r) / sum_k n_k rho_k 4 pi/3 (r2^3 - r1^3)``, with all species and all
    periodic images, counting each pair from both atoms. For disordered structures g goes to 1 at
    large r. Vacuum in a cell counts as volume and increases g. Structures that are not periodic
    along all three lattice vectors have no density and are left out.

    Args:
        structures: the set.
        cutoff: largest distance, in Å.
        bins: number of equal intervals from 0 to the cutoff.

    Returns:
        Midpoints of the intervals in Å, and g in each interval, both of shape (bins,); g is NaN if
        no structure is periodic along all vectors.
    """
    # Imported here because only this function needs it.
    import vesin

    search = vesin.NeighborList(cutoff=cutoff, full_list=False)
    edges = np.linspace(0, cutoff, bins + 1)
    pairs = np.zeros(bins)
    squared_per_volume = 0.0
    for k in np.flatnonzero(structures.pbc.all(axis=1)):
        points = structures.positions[structures.pointer[k] : structures.pointer[k + 1]]
        cell = structures.cells[k]
        (distances,) = search.compute(points=points, box=cell, periodic=True, quantities="d")
        pairs += 2 * np.histogram(distances, bins, (0, cutoff))[0]
        squared_per_volume += len(points) ** 2 / abs(np.linalg.det(cell))
    expected = squared_per_volume * 4 / 3 * math.pi * np.diff(edges**3)
    middles = (edges[:-1] + edges[1:]) / 2
    return middles, np.divide(pairs, expected, out=np.full(bins, np.nan), where=expected > 0)
