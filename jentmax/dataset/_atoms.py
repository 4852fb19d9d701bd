"""Structures of a data set file as ASE atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

# Columns that go into atoms.info, by the names they have there.
INFO = {
    "index": "jentmax_index",
    "chain": "chain",
    "cycle": "cycle",
    "energy": "energy_effective",  # "energy" is what a DFT code is to fill in
    "repulsion": "repulsion",
    "entropy": "entropy",
    "entropy_weight": "entropy_weight",
    "least_distance": "least_distance",
}


def as_atoms(structure: Mapping[str, np.ndarray], atoms: Mapping[str, np.ndarray]) -> Atoms:
    """One structure.

    Args:
        structure: its row of the per-structure columns; cell and periodic at least.
        atoms: its rows of the per-atom columns.
    """
    from ase import Atoms

    made = Atoms(
        atoms["numbers"],
        atoms["positions"],
        cell=structure["cell"],
        pbc=structure["periodic"].astype(bool),
    )
    made.set_array("descriptors", atoms["descriptors"])
    for column, name in INFO.items():
        if column in structure:
            made.info[name] = structure[column].item()
    return made
