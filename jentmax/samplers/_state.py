"""Code that all samplers use: `State`, `Info`, the base class, and helpers for a step."""

from __future__ import annotations

import abc
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, Real

from jentmax.arrays import AnyKey
from jentmax.component import Component
from jentmax.neighbors import Neighbors
from jentmax.potential import Potential, Terms
from jentmax.system import System, random_key

AnyState = TypeVar("AnyState", bound="State")


class State(eqx.Module):
    """State of a sampler; replicas are the last axis.

    Attributes:
        system: the atoms.
        entropy_weight: the largest K of the cycle, in eV.
        neighbors: the neighbour list at the start of the last step.
    """

    system: System
    entropy_weight: Float[Array, "*replicas"]
    neighbors: Neighbors


class Info(eqx.Module):
    """Observables at the positions where a step evaluated the forces.

    Attributes:
        energy: V at the current K, in eV.
        repulsion: E_rep, in eV.
        entropy: S, in nats.
        least_distance: between two atoms, in Å.
        temperature: kinetic temperature, in K; 0 for samplers without velocities.
        overflow: whether the neighbour list overflowed. If so, the step did not move the atoms,
            and `Sampler.mend` returns a state with more room.
    """

    energy: Float[Array, "*replicas"]
    repulsion: Float[Array, "*replicas"]
    entropy: Float[Array, "*replicas"]
    least_distance: Float[Array, "*replicas"]
    temperature: Float[Array, "*replicas"]
    overflow: Bool[Array, "..."]


class Sampler(Component):
    """One cycle of annealing or descent: the parameters of a method, without a potential.

    Subclassing is optional: `run` accepts any object with `init` and `step`.
    """

    @abc.abstractmethod
    def init(
        self,
        potential: Potential,
        key: AnyKey,
        systems: System,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    ) -> State:
        """The state at the start of a cycle.

        Args:
            potential: V.
            key: one random key, or one per replica.
            systems: one structure, or replicas.
            entropy_weight: the largest K of the cycle, in eV; one value, or one per replica.
        """

    @abc.abstractmethod
    def step(
        self,
        potential: Potential,
        key: AnyKey,
        state: Any,
        progress: Float[ArrayLike, ""],
    ) -> tuple[Any, Info]:
        """One step.

        Args:
            potential: V.
            key: one random key, or one per replica; a new one for every step.
            state: from `init` or the previous step.
            progress: fraction of the cycle completed after this step, in (0, 1].

        Returns:
            The state after the step, and the observables at the positions before it.
        """

    def mend(self, state: AnyState) -> AnyState:
        """The state with a larger neighbour list; call it if ``info.overflow`` is true."""
        return mended(state)


def mended(state: AnyState) -> AnyState:
    """The state with a neighbour list that does not overflow."""
    while bool(state.neighbors.overflowed):
        system = state.system
        grown = state.neighbors.grown(system.positions, system.cell)
        state = eqx.tree_at(lambda s: s.neighbors, state, grown)
    return state


def prepare(
    potential: Potential, systems: System, entropy_weight: Any
) -> tuple[System, Float[Array, "*replicas"], Neighbors]:
    """The systems after a check, K of each replica, and neighbours."""
    potential.check(systems)
    dtype = jnp.asarray(systems.positions).dtype
    weight = jnp.broadcast_to(jnp.asarray(entropy_weight, dtype), systems.replicas)
    return systems, weight, potential.neighbors(systems.positions, systems.cell)


def replica_keys(key: Any, replicas: tuple[int, ...]) -> Key[Array, "*replicas"]:
    """One key per replica, from one key or from given keys."""
    key = random_key(key)
    if key.shape == replicas:
        return key
    if key.shape == () and len(replicas) == 1:
        return fold_in_each(key, jnp.arange(replicas[0]))
    from jentmax.errors import JentmaxError

    raise JentmaxError(
        f"key has shape {key.shape} for replicas of shape {replicas}; give one key, or one per "
        "replica"
    )


@jax.jit
def fold_in_each(key: Key[Array, ""], numbers: Int[Array, " n"]) -> Key[Array, " n"]:
    """One key for each number."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def fold_in(key: Key[Array, "*replicas"], number: Int[Array, ""] | int) -> Key[Array, "*replicas"]:
    """New keys from keys and a number."""
    if key.ndim == 0:
        return jax.random.fold_in(key, number)
    return jax.vmap(fold_in, in_axes=(0, None))(key, number)


def normal(
    key: Key[Array, "*replicas"], shape: tuple[int, ...], dtype: Any
) -> Float[Array, "... *replicas"]:
    """Standard normal numbers; those of a replica depend on its key only."""
    if key.ndim == 0:
        return jax.random.normal(key, shape, dtype)
    return jax.vmap(lambda own: normal(own, shape, dtype), out_axes=-1)(key)


def forces_and_terms(
    potential: Potential,
    system: System,
    weight: Float[Array, "*replicas"],
    neighbors: Neighbors,
) -> tuple[Float[Array, "n_atoms 3 *replicas"], Terms]:
    """``-dV/d positions`` in eV/Å, and V with its parts."""

    def total(
        positions: Float[Array, "n_atoms 3 *replicas"],
    ) -> tuple[Float[Array, ""], Terms]:
        terms = potential.terms(positions, system.cell, system.numbers, weight, neighbors)
        return jnp.sum(terms.energy), terms  # replicas are independent

    gradient, terms = jax.grad(total, has_aux=True)(system.positions)
    return -gradient, terms


def info_of(terms: Terms, temperature: Float[Array, "*replicas"], neighbors: Neighbors) -> Info:
    """The observables of a step."""
    return Info(
        energy=terms.energy,
        repulsion=terms.repulsion,
        entropy=terms.entropy,
        least_distance=terms.least_distance,
        temperature=temperature,
        overflow=neighbors.overflowed,
    )


def with_positions(system: System, positions: Float[Array, "n_atoms 3 *replicas"]) -> System:
    """The system with new positions (Å)."""
    return eqx.tree_at(lambda system: system.positions, system, positions)


def guard_overflow(before: AnyState, after: AnyState) -> AnyState:
    """``after``, or ``before`` with the new neighbour list if that list overflowed."""
    if after.neighbors.table is None:
        return after
    overflowed = after.neighbors.overflowed
    kept = jax.tree.map(
        lambda old, new: jnp.where(overflowed, old, new),
        eqx.tree_at(lambda s: s.neighbors, before, None),
        eqx.tree_at(lambda s: s.neighbors, after, None),
    )
    return eqx.tree_at(lambda s: s.neighbors, kept, after.neighbors, is_leaf=lambda x: x is None)
