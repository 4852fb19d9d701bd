"""Descent by fast inertial relaxation."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jentmax.potential import Potential
from jentmax.samplers._state import Sampler, State, forces_at, moved
from jentmax.schedules import as_number
from jentmax.system import System

# Of the publication.
_PATIENCE, _FASTER, _SLOWER, _MIXING, _LESS_MIXING = 5, 1.1, 0.5, 0.1, 0.99


class _Memory(NamedTuple):
    """A replica's own course; masses are 1, so that times are in Å/sqrt(eV)."""

    velocities: Array
    timestep: Array
    mixing: Array
    downhill: Array  # steps since the last one uphill


class Fire(Sampler):
    """FIRE (Bitzek et al., doi:10.1103/PhysRevLett.97.170201), each replica at its own pace.

    For comparison: where forces jump, it goes uphill at every ridge, stops and starts again.

    Attributes:
        potential: what to minimise.
        timestep: the first, in Å/sqrt(eV): masses are 1.
        largest_timestep: in the same unit.
        largest_step: displacement of an atom in a step, in Å.
    """

    potential: Potential
    timestep: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.02)
    largest_timestep: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.2)
    largest_step: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.2)

    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of the descent, at rest."""
        positions, each = system.positions, jnp.ones_like(entropy_weight)
        timestep = jnp.asarray(self.timestep, positions.dtype)
        return State(
            system=system,
            entropy_weight=entropy_weight,
            neighbors=self.potential.finder.build(positions, system.cell),
            velocities=jnp.zeros_like(positions),
            memory=_Memory(
                velocities=jnp.zeros_like(positions),
                timestep=timestep * each,
                mixing=_MIXING * each,
                downhill=jnp.zeros(each.shape, jnp.int32),
            ),
        )

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """Turn the velocities towards the forces, or stop where they point uphill; then move."""
        system, memory = state.system, state.memory
        positions, dtype = system.positions, system.positions.dtype
        neighbors = self.potential.finder.refreshed(state.neighbors, positions, system.cell)
        forces = forces_at(self.potential, positions, system, state.entropy_weight, neighbors)
        ahead = jnp.sum(forces * memory.velocities, axis=(0, 1)) > 0
        downhill = jnp.where(ahead, memory.downhill + 1, 0)
        patient = downhill > _PATIENCE
        turned = memory.mixing * _length(memory.velocities) / _length(forces)
        velocities = (1 - memory.mixing) * memory.velocities + turned * forces
        longest = jnp.asarray(self.largest_timestep, dtype)
        faster = jnp.where(
            patient, jnp.minimum(_FASTER * memory.timestep, longest), memory.timestep
        )
        timestep = jnp.where(ahead, faster, _SLOWER * memory.timestep)
        less = jnp.where(patient, _LESS_MIXING * memory.mixing, memory.mixing)
        velocities = jnp.where(ahead, velocities, 0) + timestep * forces
        move = timestep * velocities
        farthest = jnp.sqrt(jnp.maximum(jnp.max(jnp.sum(move**2, axis=1), axis=0), 1e-12))
        shorter = jnp.minimum(1, jnp.asarray(self.largest_step, dtype) / farthest)
        return State(
            system=moved(state, positions + shorter * move),
            entropy_weight=state.entropy_weight,
            neighbors=neighbors,
            velocities=state.velocities,
            memory=_Memory(
                velocities, timestep, jnp.where(ahead, less, _MIXING).astype(dtype), downhill
            ),
        )


def _length(vectors: Float[Array, "n_atoms 3 *replicas"]) -> Array:
    """Of all coordinates of a replica; never 0."""
    return jnp.sqrt(jnp.maximum(jnp.sum(vectors**2, axis=(0, 1)), 1e-12))
