"""Annealing by Langevin dynamics."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jentmax.potential import Potential
from jentmax.samplers._state import Sampler, State, forces_at, moved, normal
from jentmax.schedules import SCHEDULES
from jentmax.system import System
from jentmax.units import ACCELERATION, BOLTZMANN


class Langevin(Sampler):
    """Langevin dynamics while T and K follow schedules; doi:10.1063/5.0013059, Sec. II.

    Each step kicks, drifts by half, applies friction and noise, and drifts by half (the "middle"
    scheme; Zhang, Liu, Yan, Tuckerman, Liu, doi:10.1021/acs.jpca.9b02771). Its positions are those
    of BAOAB (doi:10.1093/amrx/abs010), its velocities those of half a step before.

    The nearest neighbour in descriptor space switches, so the entropy's force jumps, most of all
    at the minima, which lie where two neighbours are equally near. Steps across such a jump heat
    the atoms faster than a weak thermostat cools them. Hence a strong friction, and a cap on the
    force on each atom: with both the kinetic temperature follows its schedule.

    Attributes:
        potential: what to sample.
        timestep: in fs.
        friction: in 1/ps.
        temperature: by which the temperature schedule is multiplied, in K.
        temperature_schedule: a name in `jentmax.schedules.SCHEDULES`.
        entropy_schedule: likewise, for K.
        force_cap: largest force on an atom, in eV/Å.
    """

    potential: Potential
    timestep: float = eqx.field(static=True, default=1.0)
    friction: float = eqx.field(static=True, default=100.0)
    temperature: float = eqx.field(static=True, default=10_000.0)
    temperature_schedule: str = eqx.field(static=True, default="linear-down")
    entropy_schedule: str = eqx.field(static=True, default="linear-up")
    force_cap: float = eqx.field(static=True, default=20.0)

    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of a cycle, with velocities drawn at its first temperature."""
        positions = system.positions
        speed = jnp.sqrt(BOLTZMANN * self._temperature(0.0) * ACCELERATION / system.masses)
        velocities = speed[:, None] * normal(key, positions.shape[:2], positions.dtype)
        return State(
            system=system,
            entropy_weight=entropy_weight,
            neighbors=self.potential.finder.build(positions, system.cell),
            velocities=velocities.astype(positions.dtype),
        )

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One time step: kick, drift by half, friction and noise, drift by half."""
        system, masses = state.system, state.system.masses[:, None]
        positions, dtype = system.positions, system.positions.dtype
        neighbors = self.potential.finder.refreshed(state.neighbors, positions, system.cell)
        weight = state.entropy_weight * SCHEDULES[self.entropy_schedule](progress)
        forces = self._capped(forces_at(self.potential, positions, system, weight, neighbors))
        kept = math.exp(-1e-3 * self.friction * self.timestep)
        thermal = jnp.sqrt(
            (1 - kept**2) * BOLTZMANN * ACCELERATION * self._temperature(progress) / masses
        ).astype(dtype)

        velocities = state.velocities + self.timestep * ACCELERATION / masses * forces
        positions = positions + self.timestep / 2 * velocities
        velocities = kept * velocities + thermal * normal(key, positions.shape[:2], dtype)
        positions = positions + self.timestep / 2 * velocities
        return State(
            system=moved(state, positions),
            entropy_weight=state.entropy_weight,
            neighbors=neighbors,
            velocities=velocities,
        )

    def _temperature(self, progress: Float[Array, ""] | float) -> Array:
        return self.temperature * SCHEDULES[self.temperature_schedule](progress)

    def _capped(self, forces: Float[Array, "n_atoms 3 *replicas"]) -> Array:
        squared = jnp.sum(forces**2, axis=1, keepdims=True)
        return forces * jnp.minimum(1, self.force_cap / jnp.sqrt(jnp.maximum(squared, 1e-12)))
