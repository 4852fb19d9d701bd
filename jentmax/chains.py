"""Chains: where each one starts, by its number and the seed alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jentmax.config import Settings
from jentmax.config.settings import as_range
from jentmax.system import System, composition, random_positions, tetragonal_cell


@dataclasses.dataclass(frozen=True)
class Start:
    """A chain's random start and what it drew from the settings' ranges.

    Attributes:
        positions: in Å, shape (n_atoms, 3).
        cell: lattice vectors as rows, in Å, shape (3, 3).
        species: index of each atom's species, shape (n_atoms,).
        masses: in amu, shape (n_atoms,).
        entropy_weight: largest K of its cycles, in eV.
    """

    positions: np.ndarray
    cell: np.ndarray
    species: np.ndarray
    masses: np.ndarray
    entropy_weight: float


def random_start(settings: Settings, chain: int, attempt: int = 0) -> Start:
    """The start of a chain; the cell and K of all its attempts are the same.

    Args:
        settings: of the run.
        chain: its number.
        attempt: how often the chain has been started before.

    Raises:
        JentmaxError: if the atoms do not fit without overlap.
    """
    system = settings.system
    numbers = system.atom_counts()
    n_atoms = numbers[chain % len(numbers)]
    # Seeds are padded with zeros: without the last number this would be the first attempt's.
    draws = np.random.default_rng([settings.run.seed, chain, 0, 1])
    density, aspect_ratio, entropy_weight = (
        draws.uniform(*as_range(value))
        for value in (system.density, system.aspect_ratio, settings.potential.entropy_weight)
    )
    rng = np.random.default_rng([settings.run.seed, chain, attempt])
    cell = tetragonal_cell(n_atoms, density, aspect_ratio)
    species = rng.permutation(composition(n_atoms, system.composition()))
    return Start(
        positions=random_positions(rng, n_atoms, cell, system.start_distance),
        cell=cell,
        species=species,
        masses=np.asarray(system.atomic_masses())[species],
        entropy_weight=entropy_weight,
    )


def stacked(
    starts: Sequence[Start], dtype: DTypeLike
) -> tuple[System, Float[np.ndarray, " n_replicas"]]:
    """Starts side by side, replicas as the last axis, and their entropy weights (eV)."""

    def stack(name: str, kind: DTypeLike) -> np.ndarray:
        return np.stack([getattr(start, name) for start in starts], axis=-1).astype(kind)

    system: Any = System  # arrays of numpy will be JAX's when they are on the device
    return system(
        positions=stack("positions", dtype),
        cell=stack("cell", dtype),
        species=stack("species", np.int32),
        masses=stack("masses", dtype),
    ), stack("entropy_weight", dtype)


def chain_keys(
    seed: int, chains: Sequence[int], attempts: Sequence[int], cycle: int
) -> tuple[Key[Array, " n_replicas"], Key[Array, " n_replicas"]]:
    """Random keys of one cycle of several chains, each from its own numbers alone.

    Returns:
        Keys for the cycle's start and for its steps.
    """
    return _keys(
        np.uint32(seed), np.array(chains, np.int32), np.array(attempts, np.int32), np.int32(cycle)
    )


@jax.jit
def _keys(seed: Array, chains: Array, attempts: Array, cycle: Array) -> tuple[Array, Array]:
    def keys(chain: Array, attempt: Array) -> Array:
        numbered = jax.random.fold_in(jax.random.key(seed), chain)
        return jax.random.split(jax.random.fold_in(jax.random.fold_in(numbered, attempt), cycle))

    pairs = jax.vmap(keys)(chains, attempts)
    return pairs[:, 0], pairs[:, 1]
