"""Write tests/data/v01.npz: V, its parts and forces from version 0.1, for tests/test_version_01.py.

Runs with version 0.1 installed: ``git worktree add ../old v0.1``, an environment with
``pip install -e ../old``, then its ``python scripts/make_v01_reference.py``. float64 on one CPU.
"""

# Version 0.1's potential took other arguments.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.neighbors import neighbor_finder
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import random_positions

FILE = pathlib.Path(__file__).parents[1] / "tests" / "data" / "v01.npz"
WEIGHT = 100.0
"""K in eV."""

ENTROPIES = {
    "NearestNeighbor": NearestNeighbor(),
    "KthNearestNeighbor": KthNearestNeighbor(),
    "SoftNearestNeighbor": SoftNearestNeighbor(),
    "KernelDensity": KernelDensity(),
    "Gaussian": Gaussian(),
    "Vendi": Vendi(),
}


def cases() -> dict[str, tuple]:
    """By name: cutoff, cell, number of atoms, species, descriptor, repulsion."""
    snap = {"cutoff": 4.0, "components": 6}
    triclinic = np.array([[5.2, 0.0, 0.0], [1.9, 5.6, 0.0], [-1.4, 1.1, 6.1]])
    one, two = np.zeros(12, int), np.arange(10) % 2
    alloy = Snap(3.5, twojmax=3, weights=(1.0, 0.6), radii=(0.5, 0.45), components=6)
    pairs = ClarkeSmith(r0=(2.7, 2.2), n=9, m=6, cutoff_ratio=1.05)
    return {
        "published": (np.diag([9.54, 9.54, 14.31]), np.zeros(39, int), Snap(**snap), ClarkeSmith()),
        "triclinic": (triclinic, one, Snap(**snap), ClarkeSmith()),
        "alloy": (1.1 * triclinic, two, alloy, pairs),
    }


if __name__ == "__main__":
    arrays: dict[str, Any] = {
        "entropy_weight": WEIGHT,
        "scale": [3.02, 0.41, 0.49, 1.38, 0.5, 1.14],
    }
    for seed, (name, (cell, species, descriptor, repulsion)) in enumerate(cases().items()):
        positions = random_positions(np.random.default_rng(seed), len(species), cell, 2.0)
        finder = neighbor_finder(descriptor.largest_cutoff, len(species), cell)
        arrays[f"{name}/positions"], arrays[f"{name}/cell"] = positions, cell
        arrays[f"{name}/species"] = species
        terms = None
        for kind, entropy in ENTROPIES.items():
            potential = Potential(
                descriptor, repulsion, entropy, finder, jnp.asarray(arrays["scale"])
            )

            def energy(positions, potential=potential, cell=cell, species=species):
                terms = potential.terms(positions, jnp.asarray(cell), jnp.asarray(species), WEIGHT)
                return terms.energy, terms

            (value, terms), gradient = jax.jit(jax.value_and_grad(energy, has_aux=True))(
                jnp.asarray(positions)
            )
            arrays[f"{name}/{kind}/energy"] = value
            arrays[f"{name}/{kind}/entropy"] = terms.entropy
            arrays[f"{name}/{kind}/forces"] = -gradient
        assert terms is not None
        arrays[f"{name}/repulsion"], arrays[f"{name}/features"] = terms.repulsion, terms.features
    np.savez_compressed(FILE, **arrays)
    print(f"{len(arrays)} arrays, {FILE.stat().st_size / 1000:.0f} kB: {FILE}")
