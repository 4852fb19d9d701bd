"""Systems and potentials that samplers are tested with."""

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import Cycle
from jentmax.system import System, random_positions

CELL = np.diag([9.54, 9.54, 14.31])
TUNGSTEN = Potential(
    Snap(4.0, components=6),
    ClarkeSmith(),
    NearestNeighbor(),
    # Standard deviations in an unbiased run of tungsten at 10,000 K.
    scale=[3.02, 0.41, 0.49, 1.38, 0.50, 1.14],
)
TOY = Potential(contracts.smooth, ClarkeSmith(), NearestNeighbor(), cutoff=3.0)


def toys(n_replicas, mass=100.0, n_atoms=8):
    """Atoms anywhere in a cell."""
    cell = np.diag([7.0, 6.5, 8.0])
    systems = [contracts.random_system(seed, n_atoms, cell) for seed in range(n_replicas)]
    together = System.stack(systems)
    return eqx.tree_at(lambda s: s.masses, together, jnp.full_like(together.masses, mass))


def tungsten(n_replicas=16, dtype=jnp.float32):
    """Random starts of the published system, side by side."""
    starts = [random_positions(np.random.default_rng(k), 39, CELL, 2.0) for k in range(n_replicas)]
    systems = [contracts.system_of(start, CELL, np.full(39, 74)) for start in starts]
    together = System.stack(systems)
    return contracts.in_float32(together) if dtype == jnp.float32 else together


def repelled_by(pair, cutoff=19.0):
    """V of a sum of a function of squared distances over all pairs, both ways; no entropy."""

    def repulsion(environments):
        return jnp.sum(jnp.where(environments.mask, pair(environments.squared_distances()), 0))

    def nothing(environments):
        return jnp.zeros_like(environments.displacements[0])[:, :1]

    return Potential(nothing, repulsion, NearestNeighbor(), cutoff=cutoff)


SPRINGS = repelled_by(lambda squared: 2 * jnp.exp(-squared / 4) + 0.02 * squared)
"""Atoms that repel each other, held together by springs."""


def in_a_large_cell(positions, masses):
    """Replicas (the last axis of the positions) in cubes of 40 Å."""
    n_atoms, _, n_replicas = positions.shape
    return System(
        numbers=jnp.full((n_atoms, n_replicas), 74, jnp.int32),
        positions=positions,
        cell=jnp.repeat(40 * jnp.eye(3)[..., None], n_replicas, axis=-1),
        pbc=jnp.ones((3, n_replicas), bool),
        masses=jnp.repeat(jnp.asarray(masses, float)[:, None], n_replicas, axis=-1),
    )


def keys_of(seed, n_replicas=16):
    return jax.random.split(jax.random.key(seed), n_replicas)


def weights_of(weight, systems):
    return jnp.full(systems.replicas, weight, systems.positions.dtype)


def copied(tree):
    """A copy, since states are used up."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)


def started(potential, sampler, keys, systems, weight):
    """A cycle and its state at the start."""
    planned = potential if potential.finder is not None else potential.for_cells(systems)
    cycle = Cycle(planned, sampler)
    return cycle, cycle.start(keys, systems, jnp.asarray(weight))


@eqx.filter_jit
def forces(potential, systems, weight):
    """In eV/Å."""

    def total(positions):
        return jnp.sum(potential.energy(positions, systems.cell, systems.numbers, weight))

    return -jax.grad(total)(systems.positions)
