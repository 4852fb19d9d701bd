"""Chains: where each one starts, by its number and the seed alone, and how far it has come."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

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
        entropy_weight: largest K of its cycles, in eV; 0 where it has yet to be found.
    """

    positions: np.ndarray
    cell: np.ndarray
    species: np.ndarray
    masses: np.ndarray
    entropy_weight: float


@dataclasses.dataclass(frozen=True)
class Chain:
    """A chain between two cycles.

    Attributes:
        number: of the chain.
        start: where its next cycle begins: a random start, or the last structure harvested.
        cycle: number of the next one.
        attempt: how often the chain has been started anew.
        not_finite: attempts at the next cycle that came to numbers that were not finite.
        too_close: attempts at it whose atoms came too close.
    """

    number: int
    start: Start
    cycle: int = 0
    attempt: int = 0
    not_finite: int = 0
    too_close: int = 0

    @property
    def failures(self) -> int:
        """Attempts at the next cycle that gave no structure."""
        return self.not_finite + self.too_close

    def index(self, cycles_per_chain: int) -> int:
        """Number of the structure that its next cycle gives."""
        return self.number * cycles_per_chain + self.cycle

    def weighing(self, entropy_weight: float) -> Self:
        """With another K, in eV."""
        start = dataclasses.replace(self.start, entropy_weight=entropy_weight)
        return dataclasses.replace(self, start=start)

    def harvested(self, positions: Float[np.ndarray, "n_atoms 3"]) -> Chain:
        """After a cycle that gave a structure, with its positions in Å."""
        start = dataclasses.replace(self.start, positions=positions)
        return Chain(self.number, start, self.cycle + 1, self.attempt)

    def anew(self, settings: Settings, finite: bool) -> Self:
        """After a cycle that gave none: it is tried again from a new start, with the same K.

        Args:
            settings: of the run.
            finite: whether its numbers were; if so, atoms had come too close.

        Raises:
            JentmaxError: if the atoms do not fit without overlap.
        """
        start = random_start(settings, self.number, self.attempt + 1)
        again = dataclasses.replace(
            self,
            start=start,
            attempt=self.attempt + 1,
            not_finite=self.not_finite + (not finite),
            too_close=self.too_close + finite,
        )
        return again.weighing(self.start.entropy_weight)


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
    weight = settings.potential.entropy_weight
    # Seeds are padded with zeros: without the last number this would be the first attempt's.
    draws = np.random.default_rng([settings.run.seed, chain, 0, 1])
    density, aspect_ratio, entropy_weight = (
        draws.uniform(*as_range(value))
        for value in (system.density, system.aspect_ratio, 0.0 if weight == "auto" else weight)
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


def first_chain(settings: Settings, number: int) -> Chain:
    """A chain at its beginning.

    Raises:
        JentmaxError: if the atoms do not fit without overlap.
    """
    return Chain(number, random_start(settings, number))


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
    seed: int, chains: Sequence[int], attempts: Sequence[int], cycle: int | Sequence[int]
) -> tuple[Key[Array, " n_replicas"], Key[Array, " n_replicas"]]:
    """Random keys of one cycle of several chains, each from its own numbers alone.

    Args:
        seed: of all randomness.
        chains: their numbers.
        attempts: how often each has been started before.
        cycle: its number, or each chain's own.

    Returns:
        Keys for the cycle's start and for its steps.
    """
    numbers = np.broadcast_arrays(*(np.array(each, np.int32) for each in (chains, attempts, cycle)))
    return _keys(np.uint32(seed), *numbers)


@jax.jit
def _keys(seed: Array, chains: Array, attempts: Array, cycles: Array) -> tuple[Array, Array]:
    def keys(chain: Array, attempt: Array, cycle: Array) -> Array:
        numbered = jax.random.fold_in(jax.random.key(seed), chain)
        return jax.random.split(jax.random.fold_in(jax.random.fold_in(numbered, attempt), cycle))

    pairs = jax.vmap(keys)(chains, attempts, cycles)
    return pairs[:, 0], pairs[:, 1]
