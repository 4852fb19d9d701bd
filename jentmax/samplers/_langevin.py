"""Annealing with Langevin dynamics."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge, Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Real
from typing_extensions import Doc

from jentmax.arrays import AnyKey
from jentmax.fields import AsArray, Infinite
from jentmax.potential import Potential
from jentmax.samplers import schedules
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    forces_and_terms,
    guard_overflow,
    info_of,
    normal,
    prepare,
    replica_keys,
    with_positions,
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
    """Langevin dynamics with schedules for T and K; doi:10.1063/5.0013059, Sec. II.

    Each step is a kick, half a drift, friction and noise, and half a drift (the "middle" scheme;
    Zhang, Liu, Yan, Tuckerman, Liu, doi:10.1021/acs.jpca.9b02771). The positions equal those of
    BAOAB (doi:10.1093/amrx/abs010); the velocities lag by half a step.

    When the nearest neighbour in descriptor space switches, the force of the entropy jumps. The
    minima of V lie at such jumps, where two neighbours are equally near. Steps across a jump heat
    the atoms faster than a weak thermostat cools them. Strong friction and a cap on the force of
    each atom keep the kinetic temperature on its schedule.

    The parameters are arrays, so changing their values does not recompile.
    """

    timestep: Annotated[ArrayLike, AsArray(), Gt(0), Doc("fs")] = 1.0
    friction: Annotated[ArrayLike, AsArray(), Gt(0), Doc("1/ps")] = 100.0
    temperature: Annotated[ArrayLike, AsArray(), Ge(0), Doc("K, the maximum")] = 10_000.0
    temperature_schedule: Annotated[Schedule, Doc("T over a cycle")] = schedules.linear_down
    entropy_schedule: Annotated[Schedule, Doc("K over a cycle")] = schedules.linear_up
    force_cap: Annotated[
        ArrayLike, AsArray(), Infinite(), Gt(0), Doc("eV/Å, maximum force on an atom")
    ] = 20.0

    def init(
        self,
        potential: Potential,
        key: AnyKey,
        systems: System,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    ) -> LangevinState:
        """The state at the start of a cycle, with velocities at the initial temperature."""
        systems, weight, neighbors = prepare(potential, systems, entropy_weight)
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
        key: AnyKey,
        state: LangevinState,
        progress: Float[ArrayLike, ""],
    ) -> tuple[LangevinState, Info]:
        """One time step: a kick, half a drift, friction and noise, half a drift."""
        system, masses = state.system, state.system.masses[:, None]
        positions, dtype = system.positions, system.positions.dtype
        progress = jnp.asarray(progress, dtype)
        key = replica_keys(key, system.replicas)
        timestep, friction = (jnp.asarray(x, dtype) for x in (self.timestep, self.friction))
        neighbors = state.neighbors.updated(positions, system.cell)
        weight = state.entropy_weight * factor(self.entropy_schedule, progress)
        forces, terms = forces_and_terms(potential, system, weight, neighbors)
        kept = jnp.exp(-1e-3 * friction * timestep)
        # This is 1 - kept^2 without cancellation.
        gained = -jnp.expm1(-2e-3 * friction * timestep)
        thermal = jnp.sqrt(gained * BOLTZMANN * ACCELERATION * self._temperature(progress) / masses)

        velocities = state.velocities + timestep * ACCELERATION / masses * self._capped(forces)
        positions = positions + timestep / 2 * velocities
        velocities = kept * velocities + thermal * normal(key, positions.shape[:2], dtype)
        positions = positions + timestep / 2 * velocities
        after = LangevinState(
            with_positions(system, positions), state.entropy_weight, neighbors, velocities
        )
        info = info_of(terms, kinetic_temperature(system, state.velocities), neighbors)
        return guard_overflow(state, after), info

    def _temperature(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        most = jnp.asarray(self.temperature, progress.dtype)
        return most * factor(self.temperature_schedule, progress)

    def _capped(
        self, forces: Float[Array, "n_atoms 3 *replicas"]
    ) -> Float[Array, "n_atoms 3 *replicas"]:
        squared = jnp.sum(forces**2, axis=1, keepdims=True)
        cap = jnp.asarray(self.force_cap, forces.dtype)
        return forces * jnp.minimum(1, cap / jnp.sqrt(jnp.maximum(squared, 1e-12)))


def kinetic_temperature(
    system: System, velocities: Float[Array, "n_atoms 3 *replicas"]
) -> Float[Array, "*replicas"]:
    """Twice the kinetic energy per degree of freedom, in K, from velocities in Å/fs."""
    doubled = jnp.sum(system.masses[:, None] * velocities**2, axis=(0, 1))
    return doubled / (3 * len(velocities) * BOLTZMANN * ACCELERATION)
