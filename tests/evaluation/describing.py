"""Structures, and their features from the neighbours that ASE finds."""

from pathlib import Path

import ase
import ase.build
import ase.io
import ase.neighborlist
import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jentmax.descriptors import Snap
from jentmax.evaluation import describe
from jentmax.neighbors import Environments

REAL = Path(__file__).parents[3] / "shared" / "data"

TINY = Snap(cutoff=3.6, twojmax=2, components=5)
PAPER = Snap(cutoff=4.0, components=6)


def random_structure(n_atoms, seed=0, density=0.03, symbols=("W",), pbc=True):
    """Atoms anywhere in a skewed cell, some outside."""
    rng = np.random.default_rng([seed, n_atoms])
    side = (n_atoms / density) ** (1 / 3)
    cell = side * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    positions = rng.uniform(-0.5, 1.5, (n_atoms, 3)) @ cell
    return ase.Atoms(rng.permutation(np.resize(symbols, n_atoms)), positions, cell=cell, pbc=pbc)


def by_ase(atoms, descriptor):
    """Features from the neighbours that ASE finds."""
    i, j, displacements = ase.neighborlist.neighbor_list("ijD", atoms, descriptor.largest_cutoff)
    numbers = np.full(256, 74, np.int32)  # more than there are, to compile once
    numbers[: len(atoms)] = atoms.numbers
    room_for_neighbors = 128
    vectors = np.full((256, room_for_neighbors, 3), 9.0)
    mask = np.zeros((256, room_for_neighbors), bool)
    neighbor_numbers = np.full((256, room_for_neighbors), 74, np.int32)
    for atom in range(len(atoms)):
        mine = i == atom
        vectors[atom, : mine.sum()] = displacements[mine]
        mask[atom, : mine.sum()] = True
        neighbor_numbers[atom, : mine.sum()] = numbers[j[mine]]
    arrays = (np.moveaxis(vectors, -1, 0), mask, numbers, neighbor_numbers)
    return np.asarray(features_of(descriptor, *map(jnp.asarray, arrays)))[: len(atoms)]


@eqx.filter_jit
def features_of(descriptor, *arrays):
    return descriptor(Environments(*arrays))


def features_by_structure(structures, descriptor):
    """Features of each structure's atoms."""
    ends = np.cumsum([len(atoms) for atoms in structures])
    return np.split(describe(structures, descriptor).features, ends[:-1])


def assert_close(features, expected):
    """Equal to rounding: float64 sums of some ten neighbours in another order."""
    assert features.shape == expected.shape
    assert np.allclose(features, expected, rtol=1e-10, atol=1e-10)


def first_component(atoms, cutoff):
    """(1 + sum of the switching function over the neighbours)^3, the component 000."""
    i, distances = ase.neighborlist.neighbor_list("id", atoms, cutoff)
    switched = (np.cos(np.pi * distances / cutoff) + 1) / 2
    return (1 + np.bincount(i, switched, len(atoms))) ** 3


def coordination(environments):
    """Smooth numbers of neighbours of one structure, and of the heavy ones among them."""
    x, y, z = environments.displacements
    near = jnp.where(environments.mask, (1 - (x * x + y * y + z * z) / 9) ** 2, 0)
    heavy = environments.neighbor_numbers > 10
    return jnp.stack([near.sum(axis=1), (near * heavy).sum(axis=1)], axis=1)


setattr(coordination, "cutoff", 3.0)  # noqa: B010  functions have no such attribute in types
