"""V, its parts and forces are those of version 0.1."""

import ase.build
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close
from potentials import (
    evaluate,
)

from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import System

ENTROPIES = (
    NearestNeighbor,
    KthNearestNeighbor,
    SoftNearestNeighbor,
    KernelDensity,
    Gaussian,
    Vendi,
)


@pytest.mark.parametrize(
    ("case", "entropy"),
    [
        pytest.param(case, entropy, marks=() if (n + m) % 3 == 0 else pytest.mark.slow)
        for n, case in enumerate(("published", "triclinic", "alloy"))
        for m, entropy in enumerate(ENTROPIES)
    ],
)
def test_equals_version_01(request, case, entropy):
    """V, its parts and forces; scripts/make_v01_reference.py says how the file was made."""
    snap, pairs = Snap(4.0, components=6), ClarkeSmith()
    if case == "alloy":
        snap = Snap(3.5, components=6, weights={"Al": 0.6}, radii={"Al": 0.45})
        pairs = ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6, cutoff_ratio=1.05)
    with np.load(request.path.parent / "data" / "v01.npz") as stored:
        positions, cell = (jnp.asarray(stored[f"{case}/{name}"]) for name in ("positions", "cell"))
        numbers = np.array([74, 13])[stored[f"{case}/species"]]
        weight, scale = float(stored["entropy_weight"]), stored["scale"]
        repulsion, features = stored[f"{case}/repulsion"], stored[f"{case}/features"]
        energy, nats, forces = (
            stored[f"{case}/{entropy.__name__}/{name}"] for name in ("energy", "entropy", "forces")
        )
    system = System.from_ase(ase.Atoms(numbers, positions, cell=cell, pbc=True))
    potential = Potential(snap, pairs, entropy(), scale=scale).for_cells(system)
    found, push = evaluate(potential, positions, cell, jnp.asarray(numbers), weight)
    for name, expected in (
        ("features", features),
        ("repulsion", repulsion),
        ("entropy", nats),
        ("energy", energy),
    ):
        assert_close(getattr(found, name), expected, name, 1e-12)
    assert_close(push, forces, "forces", 1e-12)
