"""Descent with the fast inertial relaxation engine (FIRE)."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Real
from typing_extensions import Doc

from jentmax.arrays import AnyKey
from jentmax.fields import AsArray
from jentmax.potential import Potential
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    forces_and_terms,
    guard_overflow,
    info_of,
    prepare,
    with_positions,
)
from jentmax.system import System

# Parameters of the publication.
_PATIENCE, _FASTER, _SLOWER, _MIXING, _LESS_MIXING = 5, 1.1, 0.5, 0.1, 0.99


class FireState(State):
    """State of `Fire`. All masses are 1, so times are in Å/sqrt(eV).

    Attributes:
        velocities: in sqrt(eV).
        timestep: time step of each replica.
        mixing: fraction of the velocities that turns towards the forces.
        downhill: number of steps since the last uphill step.
    """

    velocities: Float[Array, "n_atoms 3 *replicas"]
    timestep: Float[Array, "*replicas"]
    mixing: Float[Array, "*replicas"]
    downhill: Int[Array, "*replicas"]


class Fire(Sampler):
    """FIRE (Bitzek et al., doi:10.1103/PhysRevLett.97.170201), with a time step per replica.

    Included for comparison: V has ridges where forces jump, and FIRE stops and restarts at each of
    them. All masses are 1.
    """

    timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å/sqrt(eV), the initial value")] = 0.02
    largest_timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å/sqrt(eV)")] = 0.2
    largest_step: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å, for an atom in one step")] = 0.2

    def init(
        self,
        potential: Potential,
        key: AnyKey,
        systems: System,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    ) -> FireState:
        """The state at the start of the descent, with zero velocities; the key is unused."""
        systems, weight, neighbors = prepare(potential, systems, entropy_weight)
        positions = jnp.asarray(systems.positions)
        each = jnp.ones(weight.shape, positions.dtype)
        return FireState(
            systems,
            weight,
            neighbors,
            velocities=jnp.zeros_like(positions),
            timestep=jnp.asarray(self.timestep, positions.dtype) * each,
            mixing=_MIXING * each,
            downhill=jnp.zeros(each.shape, jnp.int32),
        )

    def step(
        self,
        potential: Potential,
        key: AnyKey,
        state: FireState,
        progress: Float[ArrayLike, ""],
    ) -> tuple[FireState, Info]:
        """Turn the velocities towards the forces, or zero them if they point uphill; then move."""
        system, positions, dtype = state.system, state.system.positions, state.velocities.dtype
        neighbors = state.neighbors.updated(positions, system.cell)
        forces, terms = forces_and_terms(potential, system, state.entropy_weight, neighbors)
        ahead = jnp.sum(forces * state.velocities, axis=(0, 1)) > 0
        downhill = jnp.where(ahead, state.downhill + 1, 0)
        patient = downhill > _PATIENCE
        turned = state.mixing * _length(state.velocities) / _length(forces)
        velocities = (1 - state.mixing) * state.velocities + turned * forces
        longest = jnp.asarray(self.largest_timestep, dtype)
        faster = jnp.where(patient, jnp.minimum(_FASTER * state.timestep, longest), state.timestep)
        timestep = jnp.where(ahead, faster, _SLOWER * state.timestep)
        less = jnp.where(patient, _LESS_MIXING * state.mixing, state.mixing)
        velocities = jnp.where(ahead, velocities, 0) + timestep * forces
        move = timestep * velocities
        farthest = jnp.sqrt(jnp.maximum(jnp.max(jnp.sum(move**2, axis=1), axis=0), 1e-12))
        shorter = jnp.minimum(1, jnp.asarray(self.largest_step, dtype) / farthest)
        after = FireState(
            with_positions(system, positions + shorter * move),
            state.entropy_weight,
            neighbors,
            velocities,
            timestep,
            jnp.where(ahead, less, _MIXING).astype(dtype),
            downhill,
        )
        return guard_overflow(state, after), info_of(terms, jnp.zeros_like(terms.energy), neighbors)


def _length(vectors: Float[Array, "n_atoms 3 *replicas"]) -> Float[Array, "*replicas"]:
    """Euclidean norm over all coordinates of each replica, at least 1e-6."""
    return jnp.sqrt(jnp.maximum(jnp.sum(vectors**2, axis=(0, 1)), 1e-12))
