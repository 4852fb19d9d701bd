"""Descriptors in cells of unusual shape."""

import numpy as np
import pytest
from ase.build import bulk

from jentmax.descriptors import Snap
from jentmax.evaluation import describe

SNAP = Snap(cutoff=5.0, twojmax=2, components=5)


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)])
def test_another_cell_of_the_same_lattice(pbc):
    """However far a cell is sheared, the environments are those of an ordinary one."""
    atoms = bulk("W", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.pbc = pbc
    first, second = np.flatnonzero(pbc)[:2]
    vectors = np.array(atoms.cell)
    vectors[second] += 4100 * vectors[first]
    if all(pbc):
        vectors[2] -= 7 * vectors[1]
    sheared = atoms.copy()
    sheared.set_cell(vectors)
    ordinary, same = np.split(describe([atoms, sheared], SNAP).features, 2)
    # Rounding of positions 1e4 Å away, to 1e-12 Å.
    np.testing.assert_allclose(same, ordinary, rtol=0, atol=1e-10 * np.abs(ordinary).max())
