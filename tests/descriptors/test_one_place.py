"""Atoms at one place: LAMMPS leaves out pairs at most 1e-10 Å apart, and so does Snap."""

import ase
import lammps_snap
import numpy as np
import pytest
from lammps_snap import Case

from jentmax.descriptors import Snap
from jentmax.evaluation import describe

SNAP = Snap(cutoff=5.0, twojmax=2, components=5)
WHY_NOT = lammps_snap.why_not()


def at_one_place():
    """Six atoms: two at one place, two 1e-11 Å apart, two 1e-9 Å apart."""
    positions = np.random.default_rng(0).uniform(0, 5, (6, 3))
    positions[3:] = positions[[1, 2, 0]] + [[0, 0, 0], [1e-11, 0, 0], [1e-9, 0, 0]]
    return positions, np.diag([5.0, 5.5, 6.0])


def test_atoms_at_one_place_do_not_see_each_other():
    positions, _ = at_one_place()
    both = describe([ase.Atoms("Ni2", positions[[1, 3]])], SNAP)
    alone = describe([ase.Atoms("Ni", positions[:1])], SNAP)
    np.testing.assert_allclose(both.features, np.repeat(alone.features, 2, axis=0), rtol=1e-14)
    assert both.nearest.tolist() == [0, 0]  # whoever looks for such atoms finds them


@pytest.mark.skipif(bool(WHY_NOT), reason=str(WHY_NOT))
@pytest.mark.parametrize("rmin0", [0.0, 0.5])
def test_atoms_at_one_place_as_in_lammps(rmin0):
    settings = {
        "cutoff": 4.0,
        "twojmax": 4,
        "rfac0": 0.99,
        "rmin0": rmin0,
        "switching": True,
        "self_weight": 1.0,
        "bzero": False,
        "weights": (1.0,),
        "radii": (0.5,),
        "chemflag": False,
        "bnormflag": False,
        "wselfallflag": False,
    }
    positions, cell = at_one_place()
    case = Case(positions, cell, np.zeros(6, int), settings)
    expected = lammps_snap.run_lammps(case).values
    atoms = ase.Atoms("Ni6", positions, cell=cell, pbc=True)
    found = describe([atoms], lammps_snap.snap(case)).features
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
