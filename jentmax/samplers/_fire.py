"""Descent by fast inertial relaxation."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key
from typing_extensions import Doc

from jentmax.fields import AsArray
from jentmax.potential import Potential
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    begun,
    forces_and_terms,
    moved,
    taken,
    told,
)
from jentmax.system import System

# Of the publication.
_PATIENCE, _FASTER, _SLOWER, _MIXING, _LESS_MIXING = 5, 1.1, 0.5, 0.1, 0.99


class FireState(State):
    """State of `Fire`; masses are 1, so that times are in Å/sqrt(eV).

    Attributes:
        velocities: in sqrt(eV).
        timestep: of each replica.
        mixing: share of the velocities that turns towards the forces.
        downhill: steps since the last one uphill.
    """

    velocities: Float[Array, "n_atoms 3 *replicas"]
    timestep: Float[Array, "*replicas"]
    mixing: Float[Array, "*replicas"]
    downhill: Int[Array, "*replicas"]


class Fire(Sampler):
    """FIRE (Bitzek et al., doi:10.1103/PhysRevLett.97.170201), each replica at its own pace.

    It serves as a comparison: where forces jump, it goes uphill at every ridge, stops and starts
    again. Masses are 1.
    """

    timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å/sqrt(eV), the first")] = 0.02
    largest_timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å/sqrt(eV)")] = 0.2
    largest_step: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å, of an atom in a step")] = 0.2

    def init(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        systems: System,
        entropy_weight: Float[ArrayLike, "*replicas"],
    ) -> FireState:
        """The state at the start of the descent, at rest; the key is not used."""
        systems, weight, neighbors = begun(potential, systems, entropy_weight)
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
        key: Key[Array, "*replicas"],
        state: FireState,
        progress: Float[Array, ""],
    ) -> tuple[FireState, Info]:
        """Turn the velocities towards the forces, or stop where they point uphill; then move."""
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
            moved(system, positions + shorter * move),
            state.entropy_weight,
            neighbors,
            velocities,
            timestep,
            jnp.where(ahead, less, _MIXING).astype(dtype),
            downhill,
        )
        return taken(state, after), told(terms, jnp.zeros_like(terms.energy), neighbors)


def _length(vectors: Float[Array, "n_atoms 3 *replicas"]) -> Array:
    """Of all coordinates of a replica; never 0."""
    return jnp.sqrt(jnp.maximum(jnp.sum(vectors**2, axis=(0, 1)), 1e-12))
