"""What samplers share: their contract, the state they move, and the loop that runs them."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jentmax.potential import Potential
from jentmax.system import System
from jentmax.units import ACCELERATION, BOLTZMANN


class State(eqx.Module):
    """A structure on its way; with many replicas side by side, they are the last axis.

    Attributes:
        system: the atoms.
        entropy_weight: the largest K of the cycle, in eV.
        neighbors: the potential's neighbour list, as of the start of the last step.
        velocities: in Å/fs.
        memory: what else a sampler keeps between steps.
    """

    system: System
    entropy_weight: Float[Array, "*replicas"]
    neighbors: Any
    velocities: Float[Array, "n_atoms 3 *replicas"]
    memory: Any = None

    def kinetic_temperature(self) -> Float[Array, "*replicas"]:
        """Twice the kinetic energy per degree of freedom, in K."""
        doubled = jnp.sum(self.system.masses[:, None] * self.velocities**2, axis=(0, 1))
        return doubled / (3 * len(self.velocities) * BOLTZMANN * ACCELERATION)


class Sampler(eqx.Module):
    """One cycle of annealing or descent."""

    potential: eqx.AbstractVar[Potential]

    def __hash__(self) -> int:
        """By identity, so that ``jax.jit(sampler.step)`` works though it holds arrays."""
        return id(self)

    @abc.abstractmethod
    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of a cycle; ``entropy_weight`` is the largest K, in eV."""

    @abc.abstractmethod
    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One step; ``progress`` in (0, 1] is the share of the cycle done after it."""


def forces_at(
    potential: Potential,
    positions: Float[Array, "n_atoms 3 *replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
    neighbors: Any,
) -> Float[Array, "n_atoms 3 *replicas"]:
    """``-dV/d positions``, in eV/Å, at positions in the place of the system's own."""
    return energy_and_forces_at(potential, positions, system, entropy_weight, neighbors)[1]


def energy_and_forces_at(
    potential: Potential,
    positions: Float[Array, "n_atoms 3 *replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
    neighbors: Any,
) -> tuple[Float[Array, "*replicas"], Float[Array, "n_atoms 3 *replicas"]]:
    """V in eV, and `forces_at`."""

    def total(positions: Array) -> tuple[Array, Array]:
        energy = potential.energy(positions, system.cell, system.species, entropy_weight, neighbors)
        return jnp.sum(energy), energy  # replicas are independent

    gradient, energy = jax.grad(total, has_aux=True)(positions)
    return energy, -gradient


def moved(state: State, positions: Float[Array, "n_atoms 3 *replicas"]) -> System:
    """The state's system at other positions (Å)."""
    return eqx.tree_at(lambda system: system.positions, state.system, positions)


def normal(
    key: Key[Array, "*replicas"], shape: tuple[int, ...], dtype: Any
) -> Float[Array, "... *replicas"]:
    """Standard normal numbers, each replica's from its own key alone."""
    if key.ndim == 0:
        return jax.random.normal(key, shape, dtype)
    return jax.vmap(lambda own: normal(own, shape, dtype), out_axes=-1)(key)


def fold_in(key: Key[Array, "*replicas"], number: Int[Array, ""] | int) -> Key[Array, "*replicas"]:
    """New keys from keys and a number."""
    if key.ndim == 0:
        return jax.random.fold_in(key, number)
    return jax.vmap(fold_in, in_axes=(0, None))(key, number)


def run(
    sampler: Sampler,
    key: Key[Array, "*replicas"],
    state: State,
    first: int,
    last: int,
    n_steps: int,
) -> tuple[State, Float[Array, "*replicas"]]:
    """Steps ``first`` to ``last - 1`` of a cycle of ``n_steps``, in one compiled call.

    Args:
        sampler: what to run.
        key: of the whole cycle; step i uses the key folded with i.
        state: after step ``first - 1``.
        first: the first step.
        last: the step to stop before.
        n_steps: steps of the whole cycle.

    Returns:
        The state, and the mean kinetic temperature over these steps, in K.
    """
    # As arrays, lest each number be compiled for.
    numbers = (jnp.asarray(number, jnp.int32) for number in (first, last, n_steps))
    return _run(sampler, key, state, *numbers)


@eqx.filter_jit
def _run(
    sampler: Sampler,
    key: Key[Array, "*replicas"],
    state: State,
    first: Int[Array, ""],
    last: Int[Array, ""],
    n_steps: Int[Array, ""],
) -> tuple[State, Float[Array, "*replicas"]]:
    dtype = state.system.positions.dtype

    def body(number: Array, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, heat = carry
        progress = (number + 1).astype(dtype) / n_steps.astype(dtype)
        state = sampler.step(fold_in(key, number), state, progress)
        return state, heat + state.kinetic_temperature()

    heat = jnp.zeros_like(state.entropy_weight)
    state, heat = jax.lax.fori_loop(first, last, body, (state, heat))
    return state, heat / jnp.maximum(last - first, 1).astype(dtype)
