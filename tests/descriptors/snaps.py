"""Descriptors, and environments that they are tested with."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.descriptors import Snap
from jentmax.neighbors import Environments, neighbor_finder
from jentmax.system import random_positions

ELEMENTS = ("Ni", "Al")
TWO = {"weights": {"Ni": 0.8, "Al": 1.3}, "radii": {"Al": 0.42}}
CHEM = {**TWO, "chemflag": True, "elements": ELEMENTS}
SNAPS = {
    "default": Snap(cutoff=4.0),
    "two-elements": Snap(cutoff=4.0, **TWO),
    "chem": Snap(cutoff=4.0, twojmax=2, bzero=True, **CHEM),
    "rmin0": Snap(cutoff=4.0, rmin0=2.2),
    "no-switching": Snap(cutoff=4.0, switching=False),
}
every_snap = pytest.mark.parametrize("snap", SNAPS.values(), ids=SNAPS.keys())
some_quick = pytest.mark.parametrize(
    "snap",
    [
        pytest.param(snap, id=name, marks=() if name in ("chem", "rmin0") else pytest.mark.slow)
        for name, snap in SNAPS.items()
    ],
)

# Of the largest component: rounding of sums taken in another order. Measured below 2e-14.
ROUNDING = 1e-12


@contextlib.contextmanager
def compiling(optimised):
    """Compiles with or, several times faster, without optimisation."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", not optimised)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def assert_close(actual, expected, tolerance=ROUNDING):
    """Within the tolerance times the largest expected component."""
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=tolerance * np.abs(np.asarray(expected)).max()
    )


def numbers_of(places):
    """Atomic numbers of nickel (0) and aluminium (1)."""
    return np.array([28, 13])[np.asarray(places)]


def structure(seed=0, n_atoms=14):
    """Random positions, a triclinic cell whose atoms see some images twice, two elements."""
    rng = np.random.default_rng(seed)
    cell = np.array([[6.1, 0.3, -0.2], [1.1, 6.6, 0.4], [-0.9, 0.8, 7.0]])
    positions = random_positions(rng, n_atoms, cell, 1.7)
    return positions, cell, numbers_of(np.arange(n_atoms) % 2)


@eqx.filter_jit
def find(finder, positions, cell, numbers):
    return finder(positions, cell, numbers, None)


@eqx.filter_jit
def compiled(snap, environments):
    return snap(environments)


def environments_of(snap, positions, cell, numbers):
    finder = neighbor_finder(snap.largest_cutoff, len(positions), cell)
    return find(finder, jnp.asarray(positions), jnp.asarray(cell), jnp.asarray(numbers, jnp.int32))


def features(snap, *structure):
    return compiled(snap, environments_of(snap, *structure))


def one_neighbor(distance, cutoff):
    """An atom with one neighbour, which itself sees nothing, and three slots of padding."""
    displacements = np.zeros((3, 1, 4))
    displacements[:, 0, 0] = distance * np.array([2.0, -1.0, 2.0]) / 3
    displacements[0, 0, 1:] = cutoff
    return Environments(
        displacements=jnp.asarray(displacements),
        mask=jnp.asarray([[True, False, False, False]]),
        numbers=jnp.full(1, 28, jnp.int32),
        neighbor_numbers=jnp.full((1, 4), 28, jnp.int32),
    )
