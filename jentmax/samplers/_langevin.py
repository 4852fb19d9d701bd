"""Annealing by Langevin dynamics."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jentmax.potential import Potential
from jentmax.samplers._state import Sampler, State, forces_at, moved, normal
from jentmax.schedules import as_number, as_schedule, evaluate
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

    All numbers are data: runs that differ in them share one compiled program.

    Attributes:
        potential: what to sample.
        timestep: in fs.
        friction: in 1/ps.
        temperature: by which the temperature schedule is multiplied, in K.
        temperature_schedule: a name in `jentmax.schedules.SCHEDULES`; kept as its number.
        entropy_schedule: likewise, for K.
        force_cap: largest force on an atom, in eV/Å.
    """

    potential: Potential
    timestep: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=1.0)
    friction: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=100.0)
    temperature: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=10_000.0)
    temperature_schedule: Int[ArrayLike, ""] = eqx.field(
        converter=as_schedule, default="linear-down"
    )
    entropy_schedule: Int[ArrayLike, ""] = eqx.field(converter=as_schedule, default="linear-up")
    force_cap: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=20.0)

    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of a cycle, with velocities drawn at its first temperature."""
        positions, dtype = system.positions, system.positions.dtype
        start = jnp.zeros((), dtype)
        speed = jnp.sqrt(BOLTZMANN * ACCELERATION * self._temperature(start) / system.masses)
        return State(
            system=system,
            entropy_weight=entropy_weight,
            neighbors=self.potential.finder.build(positions, system.cell),
            velocities=speed[:, None] * normal(key, positions.shape[:2], dtype),
        )

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One time step: kick, drift by half, friction and noise, drift by half."""
        system, masses = state.system, state.system.masses[:, None]
        positions, dtype = system.positions, system.positions.dtype
        timestep, friction = (jnp.asarray(x, dtype) for x in (self.timestep, self.friction))
        neighbors = self.potential.finder.refreshed(state.neighbors, positions, system.cell)
        weight = state.entropy_weight * evaluate(self.entropy_schedule, progress)
        forces = self._capped(forces_at(self.potential, positions, system, weight, neighbors))
        kept = jnp.exp(-1e-3 * friction * timestep)
        # 1 - kept^2 without the cancellation.
        gained = -jnp.expm1(-2e-3 * friction * timestep)
        thermal = jnp.sqrt(gained * BOLTZMANN * ACCELERATION * self._temperature(progress) / masses)

        velocities = state.velocities + timestep * ACCELERATION / masses * forces
        positions = positions + timestep / 2 * velocities
        velocities = kept * velocities + thermal * normal(key, positions.shape[:2], dtype)
        positions = positions + timestep / 2 * velocities
        return State(
            system=moved(state, positions),
            entropy_weight=state.entropy_weight,
            neighbors=neighbors,
            velocities=velocities,
        )

    def _temperature(self, progress: Float[Array, ""]) -> Array:
        scale = jnp.asarray(self.temperature, progress.dtype)
        return scale * evaluate(self.temperature_schedule, progress)

    def _capped(self, forces: Float[Array, "n_atoms 3 *replicas"]) -> Array:
        squared = jnp.sum(forces**2, axis=1, keepdims=True)
        cap = jnp.asarray(self.force_cap, forces.dtype)
        return forces * jnp.minimum(1, cap / jnp.sqrt(jnp.maximum(squared, 1e-12)))
