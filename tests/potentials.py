"""Potentials and structures that V is tested with."""

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jentmax.descriptors import Snap
from jentmax.entropy import (
    NearestNeighbor,
)
from jentmax.neighbors import (
    AllPairs,
    NeighborList,
    neighbor_finder,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import cell_heights, random_positions

N_ATOMS = 12
NUMBERS = jnp.full(N_ATOMS, 74, jnp.int32)
IMAGES = AllPairs(4.0, (1, 1, 1))


def using(potential, finder):
    """The potential with a finder that the test chooses."""
    return eqx.tree_at(lambda p: p.finder, potential, finder, is_leaf=lambda x: x is None)


PUBLISHED = using(
    Potential(
        Snap(4.0, components=6),
        ClarkeSmith(),
        NearestNeighbor(),
        # Standard deviations in liquid-like tungsten.
        scale=[3.02, 0.41, 0.49, 1.38, 0.50, 1.14],
    ),
    IMAGES,
)
SCALE = jnp.array([3.0, 0.5, 0.5, 1.5, 0.5])
# Faster to compile.
OWN = Potential(Snap(4.0, twojmax=2), ClarkeSmith(), NearestNeighbor(), scale=SCALE)
SMALL = using(OWN, IMAGES)
TWO_ELEMENTS = using(
    Potential(
        Snap(3.5, twojmax=2, weights={"Al": 0.6}, radii={"Al": 0.45}),
        ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6, cutoff_ratio=1.05),
        NearestNeighbor(),
        scale=[2.0, 0.5, 0.5, 1.0, 0.5],
    ),
    AllPairs(3.5, (1, 1, 1)),
)
# Quickest of all.
TOY = Potential(contracts.smooth, ClarkeSmith(), NearestNeighbor(), cutoff=3.0)

terms = eqx.filter_jit(Potential.terms)


@eqx.filter_jit
def evaluate(potential, positions, *arguments):
    """Terms and forces of one structure, or of replicas, which are the last axis."""

    def total(positions):
        terms = potential.terms(positions, *arguments)
        return jnp.sum(terms.energy), terms

    gradient, terms = jax.grad(total, has_aux=True)(positions)
    return terms, -gradient


def list_for(cell, capacity=60):
    a, b, c = map(float, cell_heights(np.asarray(cell)))
    return NeighborList(4.0, (a, b, c), capacity)


def structure(seed, volume_per_atom=25.0, n_atoms=N_ATOMS):
    """Positions without overlap in a triclinic cell, and the cell."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + rng.uniform(-0.3, 0.3, size=(3, 3))
    cell *= (n_atoms * volume_per_atom / abs(np.linalg.det(cell))) ** (1 / 3)
    finder = neighbor_finder(4.0, n_atoms, cell)
    assert isinstance(finder, AllPairs)
    assert max(finder.images) <= 1
    return jnp.asarray(random_positions(rng, n_atoms, cell, 1.9)), jnp.asarray(cell)


@eqx.filter_jit
def value_and_gradient(potential, positions, cell, numbers=None, weight=1.0, neighbors=None):
    def total(positions):
        energy = potential.energy(positions, cell, numbers, weight, neighbors)
        return jnp.sum(energy), energy

    gradient, energy = jax.grad(total, has_aux=True)(positions)
    return energy, gradient


def assert_no_number(potential, positions, cell, **given):
    energy, gradient = value_and_gradient(potential, positions, cell, **given)
    assert jnp.all(jnp.isnan(energy))
    assert jnp.all(jnp.isnan(gradient))
