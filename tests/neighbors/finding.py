"""Lists of neighbours, and replicas to find them in."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from contracts import random_cell

from jentmax.neighbors import (
    NeighborList,
)
from jentmax.system import cell_heights

SKEWED = np.array([[2.6, 0.0, 0.0], [12.0, 2.3, 0.0], [-9.0, 14.0, 2.9]])
"""Its lattice vectors are short only in other combinations."""


def listed(cutoff, heights, capacity=60, skin=0.5):
    return NeighborList(cutoff, heights, capacity, skin)


def list_for(cutoff, cells, **options):
    a, b, c = map(float, cell_heights(cells).reshape(-1, 3).min(axis=0))
    return listed(cutoff, (a, b, c), **options)


def cluster(n_replicas=2, n_atoms=12, seed=0):
    """Replicas in cells of their own, replicas last: positions, cells, numbers."""
    rng = np.random.default_rng(seed)
    cells = np.stack([random_cell(rng, 3.5) for _ in range(n_replicas)])
    positions = np.stack([rng.random((n_atoms, 3)) @ cell for cell in cells], axis=-1)
    return jnp.asarray(positions), cells, jnp.zeros((n_atoms, n_replicas), jnp.int32)


@eqx.filter_jit
def built(finder, positions, cells):
    return finder.build(positions, cells)


@eqx.filter_jit
def updated(finder, table, positions, cells):
    return finder.updated(table, positions, cells)


@eqx.filter_jit
def environments(finder, positions, cells, numbers, table):
    return finder(positions, cells, numbers, table)
