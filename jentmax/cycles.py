"""Running a cycle on the devices, with neighbour lists that never lack room."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jentmax.potential import Potential, Terms
from jentmax.samplers import Sampler, State, run
from jentmax.sharding import Devices
from jentmax.system import System

AnySampler = TypeVar("AnySampler", bound=Sampler)


def begin(
    devices: Devices,
    sampler: AnySampler,
    key: Key[Array, "*replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
) -> tuple[AnySampler, State]:
    """The start of a cycle; see `jentmax.samplers.Sampler.init`.

    Args:
        devices: over which `Devices.split` has spread the arrays.
        sampler: what to run.
        key: of the start.
        system: the atoms.
        entropy_weight: largest K, in eV.

    Returns:
        The sampler, whose neighbour lists may have grown, and the state.
    """
    while True:
        state, overflowed = _init(devices, sampler, key, system, entropy_weight)
        if not np.any(np.asarray(overflowed)):  # of JAX arrays it would compile
            return sampler, state
        sampler = _roomier(sampler)


def advance(
    devices: Devices,
    sampler: AnySampler,
    key: Key[Array, "*replicas"],
    state: State,
    first: int,
    last: int,
    n_steps: int,
) -> tuple[AnySampler, State, Float[Array, "*replicas"]]:
    """Run steps ``first`` to ``last - 1`` of a cycle; see `jentmax.samplers.run`.

    If a neighbour list overflows on the way, the steps are run again with more room.

    Returns:
        The sampler, whose neighbour lists may have grown, the new state, and the mean kinetic
        temperature in K.
    """
    # As arrays, lest each number be compiled for.
    between = jnp.asarray(first, jnp.int32), jnp.asarray(n_steps, jnp.int32)
    lasts = devices.numbers(last, idle=first)
    while True:
        after, temperature, overflowed = _run(devices, sampler, key, state, *between, lasts)
        if not np.any(np.asarray(overflowed)):  # of JAX arrays it would compile
            return sampler, after, temperature
        sampler = _roomier(sampler)
        neighbors = _build(devices, sampler, state.system)
        state = dataclasses.replace(state, neighbors=neighbors)


@eqx.filter_jit
def terms(devices: Devices, potential: Potential, state: State) -> Terms:
    """The effective energy of a state and its parts."""

    def own(potential: Potential, state: State) -> Terms:
        system = state.system
        neighbors = potential.finder.refreshed(state.neighbors, system.positions, system.cell)
        return potential.terms(
            system.positions, system.cell, system.species, state.entropy_weight, neighbors
        )

    return devices.each(own, potential, state)


@eqx.filter_jit
def _init(
    devices: Devices,
    sampler: Sampler,
    key: Key[Array, "*replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
) -> tuple[State, Bool[Array, " n_devices"]]:
    def own(sampler: Sampler, *arguments: Any) -> tuple[State, Array]:
        state = sampler.init(*arguments)
        return state, sampler.potential.finder.overflowed(state.neighbors)[None]

    return devices.each(own, sampler, key, system, entropy_weight)


@eqx.filter_jit
def _run(
    devices: Devices,
    sampler: Sampler,
    key: Key[Array, "*replicas"],
    state: State,
    first: Int[Array, ""],
    n_steps: Int[Array, ""],
    lasts: Int[Array, " n_devices"],
) -> tuple[State, Float[Array, "*replicas"], Bool[Array, " n_devices"]]:
    def own(
        sampler: Sampler, key: Array, state: State, first: Any, n_steps: Any, lasts: Array
    ) -> tuple[State, Array, Array]:
        last: Any = lasts[0]  # the device's own
        state, temperature = run(sampler, key, state, first, last, n_steps)
        return state, temperature, sampler.potential.finder.overflowed(state.neighbors)[None]

    like = state, state.entropy_weight, lasts
    return devices.each(own, sampler, key, state, first, n_steps, lasts, like=like)


@eqx.filter_jit
def _build(devices: Devices, sampler: Sampler, system: System) -> Any:
    def own(sampler: Sampler, system: System) -> Any:
        return sampler.potential.finder.build(system.positions, system.cell)

    return devices.each(own, sampler, system)


def _roomier(sampler: AnySampler) -> AnySampler:
    """The same sampler with more room in its neighbour lists."""
    potential = sampler.potential
    return dataclasses.replace(
        sampler, potential=dataclasses.replace(potential, finder=potential.finder.grown())
    )
