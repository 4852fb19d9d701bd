"""Files of sets to compare and to choose from, and what is written of them."""

import csv

import ase
import ase.build
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

N_CANDIDATES = 14
WRITTEN = ["evaluation.h5", "figures", "report.html", "tables.csv", "tables.md"]


def liquid(seed):
    rng = np.random.default_rng(seed)
    return ase.Atoms("W9", rng.uniform(0, 6, (9, 3)), cell=6 * np.eye(3), pbc=True)


def write_crystals_and_liquid():
    """Crystals in two groups, one of them twice, an atom alone; and a liquid."""
    crystals = []
    for k in range(12):
        atoms = ase.build.bulk("W", cubic=True, a=3.1 + 0.01 * k)
        atoms.rattle(0.05, seed=k)
        atoms.info["config_type"] = "strained" if k % 3 else "dense"
        crystals.append(atoms)
    crystals.append(crystals[0].copy())
    crystals.append(ase.Atoms("W", cell=20 * np.eye(3), pbc=True, info={"config_type": "atom"}))
    ase.io.write("crystals.extxyz", crystals)
    ase.io.write("liquid.extxyz", [liquid(seed) for seed in range(5)])


def table(path, name):
    """Rows of a table in the .csv file: values by row and column."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == name]
    return {(row["row"], row["column"]): row["value"] for row in rows}


def write_candidates():
    """Crystals that hardly differ, among them two of another kind, and one of them again."""
    rng = np.random.default_rng(0)
    structures = []
    for k in range(N_CANDIDATES):
        lattice = {3: 3.6, 8: 2.9}.get(k, 3.165)
        atoms = ase.build.bulk("W", a=lattice, cubic=True)
        if k % 2:
            atoms *= (1, 1, 2)
        atoms.rattle(0.02, seed=k)
        atoms.info |= {"config_type": f"kind {k}", "duplicate": False}
        energy, forces = float(rng.normal()), rng.normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        structures.append(atoms)
    again = structures[3].copy()
    again.info["duplicate"] = True
    ase.io.write("all.extxyz", [*structures, again])
    return list(ase.io.iread("all.extxyz"))


def written(path="best.extxyz"):
    return list(ase.io.iread(path))


def kinds(path="best.extxyz"):
    return [int(atoms.info["config_type"].split()[1]) for atoms in written(path)]
