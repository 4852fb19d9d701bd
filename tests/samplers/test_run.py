"""Cycles on the device: in pieces, side by side, with neighbour lists that lack room."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import tiny

from jentmax import NeighborList
from jentmax.build import build_potential, build_sampler
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.cycles import advance, begin
from jentmax.sharding import first_devices

DEVICES = first_devices(1)

STEPS = 60

CHAOS = 1e-6
"""Rounding of 1e-15 Å grows to 2e-11 Å in 40 steps here, and a thousandfold in 20 more."""

SKIN = 0.1
"""In Å: an atom at 10,000 K moves half of it in 2 steps of 3 fs, so that lists are built often."""

ROOM = 32
"""Neighbours within cutoff and skin are 7 on average here."""


def settings():
    few = ["descriptor.twojmax=1", "descriptor.components=2"]  # quick to compile
    hot = ["sampler.temperature_schedule=constant", "sampler.timestep=3"]
    return tiny(*hot, *few, scaling="scaling.scale=[2, 0.3]")


@pytest.fixture(scope="module")
def finders():
    """Neighbour lists by capacity, made once so that they compile once."""
    found = {}

    def finder(capacity):
        potential = build_potential(settings(), settings().scaling.scale)
        heights = (7.3, 7.3, 7.3)
        if capacity not in found:
            found[capacity] = NeighborList(potential.finder.cutoff, heights, capacity, SKIN)
        return found[capacity]

    return finder


def sampler_with(finder):
    potential = build_potential(settings(), settings().scaling.scale)
    return build_sampler(settings(), dataclasses.replace(potential, finder=finder))


def started(sampler, chains=(0, 1, 2, 3), broken=None):
    """Sampler, keys of the steps and state at a cycle's start."""
    starts = [random_start(settings(), chain) for chain in chains]
    if broken is not None:
        starts[broken] = dataclasses.replace(starts[broken], positions=np.full((12, 3), np.nan))
    start_keys, keys, system, weights = DEVICES.split(
        (*chain_keys(0, chains, [0] * len(chains), 0), *stacked(starts, jnp.float64))
    )
    return *begin(DEVICES, sampler, start_keys, system, weights), keys


def ended(sampler, **options):
    """Sampler, positions and temperatures at the end of a cycle."""
    sampler, state, keys = started(sampler, **options)
    sampler, state, temperature = advance(DEVICES, sampler, keys, state, 0, STEPS, STEPS)
    return sampler, np.asarray(state.system.positions), np.asarray(temperature)


@pytest.fixture(scope="module")
def end(finders):
    """With room enough from the beginning."""
    sampler, positions, temperature = ended(sampler_with(finders(ROOM)))
    assert sampler.potential.finder.capacity == ROOM
    return positions, temperature


def most_neighbors(state):
    return int(np.max(np.sum(np.asarray(state.neighbors.indices) < 12, axis=0)))


def test_lists_that_lack_room_are_mended(finders, end):
    """Room for 5 neighbours is too little at the start, for 8 on the way."""
    sampler, state, keys = started(sampler_with(finders(5)))
    assert sampler.potential.finder.capacity == most_neighbors(state) == 8
    assert not state.neighbors.overflow.any()
    _, enough, _ = started(sampler_with(finders(ROOM)))
    assert np.array_equal(state.velocities, enough.velocities)

    sampler, state, temperature = advance(DEVICES, sampler, keys, state, 0, STEPS, STEPS)
    assert sampler.potential.finder.capacity == 12
    assert not state.neighbors.overflow.any()
    assert np.allclose(state.system.positions, end[0], rtol=0, atol=CHAOS)
    assert np.allclose(temperature, end[1], rtol=CHAOS)


def test_nothing_grows_where_there_is_room(finders):
    sampler = sampler_with(finders(ROOM))
    same, state, keys = started(sampler)
    assert same is sampler
    assert advance(DEVICES, sampler, keys, state, 0, 3, STEPS)[0] is sampler


def test_lists_and_all_pairs_give_the_same(finders, end):
    potential = build_potential(settings(), settings().scaling.scale)
    _, positions, temperature = ended(build_sampler(settings(), potential))
    assert np.allclose(positions, end[0], rtol=0, atol=CHAOS)
    assert np.allclose(temperature, end[1], rtol=CHAOS)


@pytest.mark.parametrize("lists", [True, False])
def test_replicas_do_not_depend_on_what_runs_beside_them(finders, lists):
    """Bit for bit; not on when others need new lists, nor on numbers that are not finite."""
    potential = build_potential(settings(), settings().scaling.scale)
    sampler = sampler_with(finders(ROOM) if lists else potential.finder)
    _, positions, temperature = ended(sampler)
    _, others, other_temperature = ended(sampler, chains=(9, 1, 8, 3))
    for place in (1, 3):
        assert np.array_equal(others[..., place], positions[..., place])
        assert other_temperature[place] == temperature[place]
    _, beside_broken, broken_temperature = ended(sampler, broken=2)
    assert np.all(np.isnan(beside_broken[..., 2]))
    for place in (0, 1, 3):
        assert np.array_equal(beside_broken[..., place], positions[..., place])
        assert broken_temperature[place] == temperature[place]


def test_pieces_make_the_whole(finders, end):
    sampler, state, keys = started(sampler_with(finders(ROOM)))
    temperatures = []
    for first, last in ((0, 7), (7, 20), (20, STEPS)):
        sampler, state, temperature = advance(DEVICES, sampler, keys, state, first, last, STEPS)
        temperatures.append((last - first) * np.asarray(temperature))
    assert np.array_equal(state.system.positions, end[0])
    # Mean of means, rounded otherwise.
    assert np.allclose(sum(temperatures) / STEPS, end[1], rtol=1e-12)


def test_a_cycle_is_compiled_once(finders, monkeypatch):
    """Whatever its steps, keys and starts."""
    sampler = sampler_with(finders(ROOM))
    ended(sampler)
    traced = []
    monkeypatch.setattr(type(sampler.potential), "terms", lambda *_: traced.append(1), raising=True)
    again = sampler_with(finders(ROOM))
    again, state, keys = started(again, chains=(5, 6, 7, 8))
    advance(DEVICES, again, keys, state, 3, 11, 40)
    assert not traced
