"""Running a cycle on the device, with neighbour lists that never lack room."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, Key

from jentmax.neighbors import Finder
from jentmax.samplers import Sampler, State, run
from jentmax.system import System

AnySampler = TypeVar("AnySampler", bound=Sampler)


def begin(
    sampler: AnySampler,
    key: Key[Array, "*replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
) -> tuple[AnySampler, State]:
    """The start of a cycle; see `jentmax.samplers.Sampler.init`.

    Returns:
        The sampler, whose neighbour lists may have grown, and the state.
    """
    while True:
        state = _init(sampler, key, system, entropy_weight)
        if not sampler.potential.finder.overflowed(state.neighbors):
            return sampler, state
        sampler = _roomier(sampler)


def advance(
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
    while True:
        after, temperature = run(sampler, key, state, first, last, n_steps)
        if not sampler.potential.finder.overflowed(after.neighbors):
            return sampler, after, temperature
        sampler = _roomier(sampler)
        neighbors = _build(sampler.potential.finder, state.system)
        state = dataclasses.replace(state, neighbors=neighbors)


@eqx.filter_jit
def _init(
    sampler: Sampler,
    key: Key[Array, "*replicas"],
    system: System,
    entropy_weight: Float[Array, "*replicas"],
) -> State:
    return sampler.init(key, system, entropy_weight)


@eqx.filter_jit
def _build(finder: Finder, system: System) -> Any:
    return finder.build(system.positions, system.cell)


def _roomier(sampler: AnySampler) -> AnySampler:
    """The same sampler with more room in its neighbour lists."""
    potential = sampler.potential
    return dataclasses.replace(
        sampler, potential=dataclasses.replace(potential, finder=potential.finder.grown())
    )
