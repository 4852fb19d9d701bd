"""Annealing by Langevin dynamics."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge, Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from typing_extensions import Doc

from jentmax.fields import AsArray, Infinite
from jentmax.potential import Potential
from jentmax.samplers import schedules
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    begun,
    forces_and_terms,
    moved,
    normal,
    replica_keys,
    taken,
    told,
)
from jentmax.samplers.schedules import Schedule, factor
from jentmax.system import System
from jentmax.units import ACCELERATION, BOLTZMANN


class LangevinState(State):
    """State of `Langevin`.

    Attributes:
        velocities: in Å/fs.
    """

    velocities: Float[Array, "n_atoms 3 *replicas"]


class Langevin(Sampler):
    """Langevin dynamics while T and K follow schedules; doi:10.1063/5.0013059, Sec. II.

    Each step kicks, drifts by half, applies friction and noise, and drifts by half (the "middle"
    scheme; Zhang, Liu, Yan, Tuckerman, Liu, doi:10.1021/acs.jpca.9b02771). Its positions are those
    of BAOAB (doi:10.1093/amrx/abs010), its velocities those of half a step before.

    The nearest neighbour in descriptor space switches, so the entropy's force jumps, most of all
    at the minima, which lie where two neighbours are equally near. Steps across such a jump heat
    the atoms faster than a weak thermostat cools them. A strong friction and a cap on the force on
    each atom keep the kinetic temperature on its schedule.

    Numbers are data: runs that differ in them share one compiled program.
    """

    timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("fs")] = 1.0
    friction: Annotated[ArrayLike, AsArray(), Gt(0), Doc("1/ps")] = 100.0
    temperature: Annotated[ArrayLike, AsArray(), Ge(0), Doc("K, at its largest")] = 10_000.0
    temperature_schedule: Annotated[Schedule, Doc("T over a cycle")] = schedules.linear_down
    entropy_schedule: Annotated[Schedule, Doc("K over a cycle")] = schedules.linear_up
    force_cap: Annotated[
        ArrayLike, AsArray(), Infinite(), Gt(0), Doc("eV/Å, largest force on an atom")
    ] = 20.0

    def init(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        systems: System,
        entropy_weight: Float[ArrayLike, "*replicas"],
    ) -> LangevinState:
        """The state at the start of a cycle, with velocities drawn at its first temperature."""
        systems, weight, neighbors = begun(potential, systems, entropy_weight)
        key = replica_keys(key, systems.replicas)
        dtype = systems.positions.dtype
        speed = jnp.sqrt(
            BOLTZMANN * ACCELERATION * self._temperature(jnp.zeros((), dtype)) / systems.masses
        )
        velocities = speed[:, None] * normal(key, systems.positions.shape[:2], dtype)
        return LangevinState(systems, weight, neighbors, velocities)

    def step(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        state: LangevinState,
        progress: Float[Array, ""],
    ) -> tuple[LangevinState, Info]:
        """One time step: kick, drift by half, friction and noise, drift by half."""
        system, masses = state.system, state.system.masses[:, None]
        positions, dtype = system.positions, system.positions.dtype
        progress = jnp.asarray(progress, dtype)
        key = replica_keys(key, system.replicas)
        timestep, friction = (jnp.asarray(x, dtype) for x in (self.timestep, self.friction))
        neighbors = state.neighbors.updated(positions, system.cell)
        weight = state.entropy_weight * factor(self.entropy_schedule, progress)
        forces, terms = forces_and_terms(potential, system, weight, neighbors)
        kept = jnp.exp(-1e-3 * friction * timestep)
        # 1 - kept^2 without the cancellation.
        gained = -jnp.expm1(-2e-3 * friction * timestep)
        thermal = jnp.sqrt(gained * BOLTZMANN * ACCELERATION * self._temperature(progress) / masses)

        velocities = state.velocities + timestep * ACCELERATION / masses * self._capped(forces)
        positions = positions + timestep / 2 * velocities
        velocities = kept * velocities + thermal * normal(key, positions.shape[:2], dtype)
        positions = positions + timestep / 2 * velocities
        after = LangevinState(moved(system, positions), state.entropy_weight, neighbors, velocities)
        info = told(terms, kinetic_temperature(system, state.velocities), neighbors)
        return taken(state, after), info

    def _temperature(self, progress: Float[Array, ""]) -> Array:
        scale = jnp.asarray(self.temperature, progress.dtype)
        return scale * factor(self.temperature_schedule, progress)

    def _capped(self, forces: Float[Array, "n_atoms 3 *replicas"]) -> Array:
        squared = jnp.sum(forces**2, axis=1, keepdims=True)
        cap = jnp.asarray(self.force_cap, forces.dtype)
        return forces * jnp.minimum(1, cap / jnp.sqrt(jnp.maximum(squared, 1e-12)))


def kinetic_temperature(
    system: System, velocities: Float[Array, "n_atoms 3 *replicas"]
) -> Float[Array, "*replicas"]:
    """Twice the kinetic energy per degree of freedom, in K; velocities in Å/fs."""
    doubled = jnp.sum(system.masses[:, None] * velocities**2, axis=(0, 1))
    return doubled / (3 * len(velocities) * BOLTZMANN * ACCELERATION)
