"""What samplers share: states, what a step tells, and the frame of a step."""

from __future__ import annotations

import abc
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jentmax.component import Component
from jentmax.neighbors import Neighbors
from jentmax.potential import Potential, Terms
from jentmax.system import System, random_key

AnyState = TypeVar("AnyState", bound="State")


class State(eqx.Module):
    """State of a sampler; with many replicas side by side, they are the last axis.

    Attributes:
        system: the atoms.
        entropy_weight: the largest K of the cycle, in eV.
        neighbors: the neighbour list, as of the start of the last step.
    """

    system: System
    entropy_weight: Float[Array, "*replicas"]
    neighbors: Neighbors


class Info(eqx.Module):
    """What a step tells about the positions at which it took the forces.

    Attributes:
        energy: V at the K of that moment, in eV.
        repulsion: E_rep, in eV.
        entropy: S, in nats.
        least_distance: between two atoms, in Å.
        temperature: kinetic temperature, in K; 0 for samplers without velocities.
        overflow: whether the neighbour list lacked room. The step is then not taken, and
            `Sampler.mend` gives a state with more room.
    """

    energy: Float[Array, "*replicas"]
    repulsion: Float[Array, "*replicas"]
    entropy: Float[Array, "*replicas"]
    least_distance: Float[Array, "*replicas"]
    temperature: Float[Array, "*replicas"]
    overflow: Bool[Array, "..."]


class Sampler(Component):
    """One cycle of annealing or descent: the settings of a method, without a potential.

    A sampler of your own needs `init` and `step`, as any object; `run` takes it too.
    """

    @abc.abstractmethod
    def init(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        systems: System,
        entropy_weight: Float[ArrayLike, "*replicas"],
    ) -> State:
        """The state at the start of a cycle.

        Args:
            potential: V.
            key: one random key, or one for each replica.
            systems: one structure, or replicas.
            entropy_weight: the largest K of the cycle, in eV; one, or one for each replica.
        """

    @abc.abstractmethod
    def step(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        state: Any,
        progress: Float[Array, ""],
    ) -> tuple[Any, Info]:
        """One step.

        Args:
            potential: V.
            key: one random key, or one for each replica; another one for every step.
            state: from `init` or the step before.
            progress: share of the cycle done after this step, in (0, 1].

        Returns:
            The state after the step, and what there is to tell of the positions before it.
        """

    def mend(self, state: AnyState) -> AnyState:
        """The state with a neighbour list that has room, if a step said ``info.overflow``."""
        return mended(state)


def mended(state: AnyState) -> AnyState:
    """A state whose neighbour list has room."""
    while bool(state.neighbors.overflowed):
        system = state.system
        grown = state.neighbors.grown(system.positions, system.cell)
        state = eqx.tree_at(lambda s: s.neighbors, state, grown)
    return state


def begun(
    potential: Potential, systems: System, entropy_weight: Any
) -> tuple[System, Array, Neighbors]:
    """Checked systems, K for each replica, and neighbours."""
    potential.check(systems)
    dtype = jnp.asarray(systems.positions).dtype
    weight = jnp.broadcast_to(jnp.asarray(entropy_weight, dtype), systems.replicas)
    return systems, weight, potential.neighbors(systems.positions, systems.cell)


def replica_keys(key: Any, replicas: tuple[int, ...]) -> Key[Array, "*replicas"]:
    """A key for each replica, from one key or as they are."""
    key = random_key(key)
    if key.shape == replicas:
        return key
    if key.shape == () and len(replicas) == 1:
        return fold_in_each(key, jnp.arange(replicas[0]))
    from jentmax.errors import JentmaxError

    raise JentmaxError(
        f"key has shape {key.shape} for replicas of shape {replicas}; give one key, or one for "
        "each replica"
    )


@jax.jit
def fold_in_each(key: Key[Array, ""], numbers: Int[Array, " n"]) -> Key[Array, " n"]:
    """A key for each number."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def fold_in(key: Key[Array, "*replicas"], number: Int[Array, ""] | int) -> Key[Array, "*replicas"]:
    """New keys from keys and a number."""
    if key.ndim == 0:
        return jax.random.fold_in(key, number)
    return jax.vmap(fold_in, in_axes=(0, None))(key, number)


def normal(
    key: Key[Array, "*replicas"], shape: tuple[int, ...], dtype: Any
) -> Float[Array, "... *replicas"]:
    """Standard normal numbers, each replica's from its own key alone."""
    if key.ndim == 0:
        return jax.random.normal(key, shape, dtype)
    return jax.vmap(lambda own: normal(own, shape, dtype), out_axes=-1)(key)


def forces_and_terms(
    potential: Potential, system: System, weight: Array, neighbors: Neighbors
) -> tuple[Float[Array, "n_atoms 3 *replicas"], Terms]:
    """``-dV/d positions`` in eV/Å, and V with its parts."""

    def total(positions: Array) -> tuple[Array, Terms]:
        terms = potential.terms(positions, system.cell, system.numbers, weight, neighbors)
        return jnp.sum(terms.energy), terms  # replicas are independent

    gradient, terms = jax.grad(total, has_aux=True)(system.positions)
    return -gradient, terms


def told(terms: Terms, temperature: Array, neighbors: Neighbors) -> Info:
    """What a step tells."""
    return Info(
        energy=terms.energy,
        repulsion=terms.repulsion,
        entropy=terms.entropy,
        least_distance=terms.least_distance,
        temperature=temperature,
        overflow=neighbors.overflowed,
    )


def moved(system: System, positions: Float[Array, "n_atoms 3 *replicas"]) -> System:
    """The system at other positions (Å)."""
    return eqx.tree_at(lambda system: system.positions, system, positions)


def taken(before: AnyState, after: AnyState) -> AnyState:
    """The state after a step, or the one before with the new list if that lacked room."""
    if after.neighbors.table is None:
        return after
    lacking = after.neighbors.overflowed
    kept = jax.tree.map(
        lambda old, new: jnp.where(lacking, old, new),
        eqx.tree_at(lambda s: s.neighbors, before, None),
        eqx.tree_at(lambda s: s.neighbors, after, None),
    )
    return eqx.tree_at(lambda s: s.neighbors, kept, after.neighbors, is_leaf=lambda x: x is None)
