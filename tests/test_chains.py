"""Where chains start: by their number and the seed alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import tiny

import jentmax
from jentmax import chains as rooms
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.errors import JentmaxError
from jentmax.system import tetragonal_cell


def assert_same(one, other):
    for name in ("positions", "cell", "species", "masses", "entropy_weight"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_start_depends_on_seed_and_chain_alone():
    starts = [random_start(tiny(), chain) for chain in range(3)]
    others = tiny("run.structures=1", "run.batch_size=9", "run.cycles_per_chain=1", "run.seed=0")
    for chain in (2, 0, 1):
        assert_same(random_start(others, chain), starts[chain])
    assert not np.array_equal(starts[0].positions, starts[1].positions)
    assert not np.array_equal(random_start(tiny("run.seed=1"), 0).positions, starts[0].positions)


def test_attempts_have_the_same_cell_and_weight_and_other_positions():
    first, second, third = (random_start(tiny(), 5, attempt) for attempt in range(3))
    for other in (second, third):
        assert np.array_equal(first.cell, other.cell)
        assert first.entropy_weight == other.entropy_weight
        assert not np.any(first.positions == other.positions)
    assert not np.any(second.positions == third.positions)


def test_every_stream_of_random_numbers_is_used_once(monkeypatch):
    """numpy pads seeds with zeros: [seed, chain] is the same stream as [seed, chain, 0]."""
    streams = {}
    make = np.random.default_rng

    def spied(seed):
        streams[tuple(seed)] = make(seed).random()
        return make(seed)

    monkeypatch.setattr(rooms.np.random, "default_rng", spied)
    for chain, attempt in itertools.product(range(4), range(3)):
        random_start(tiny(), chain, attempt)
    # What is drawn from the ranges, once per chain, and three attempts' positions.
    assert len(streams) == len(set(streams.values())) == 4 * (1 + 3)


def test_ranges_are_drawn_from_evenly_and_independently():
    settings = tiny(
        "system.density=[0.02, 0.04]",
        "system.aspect_ratio=[1, 2]",
        "potential.entropy_weight=[0, 300]",
        "system.n_atoms=2",
        "system.start_distance=0",
    )
    draws = []
    for chain in range(400):
        start = random_start(settings, chain)
        a, b, c = start.cell.diagonal()
        assert np.array_equal(start.cell, np.diag([a, a, c]))
        assert a == b
        draws.append([2 / (a * b * c), c / a, start.entropy_weight])
    unit = (np.array(draws) - [0.02, 1, 0]) / [0.02, 1, 300]
    # Rounding apart (cell from density and back).
    assert np.all((unit > -1e-9) & (unit < 1 + 1e-9))
    # Mean and correlation of 400 even draws: standard errors 0.014 and 0.05; five of them allowed.
    assert np.all(np.abs(unit.mean(axis=0) - 0.5) < 0.07)
    assert np.all(np.abs(np.corrcoef(unit.T) - np.eye(3)) < 0.25)
    assert np.all(np.abs(unit.std(axis=0) - 12**-0.5) < 0.05)


def test_numbers_are_taken_as_they_are():
    settings = jentmax.load("tungsten")
    start = random_start(settings, 3)
    assert start.entropy_weight == 1000
    expected = tetragonal_cell(39, settings.system.density, 1.5)
    assert np.array_equal(start.cell, expected)
    assert start.positions.shape == (39, 3)


def test_no_two_atoms_overlap():
    for chain in range(5):
        start = random_start(jentmax.load("tungsten"), chain)
        offsets = start.positions[:, None] - start.positions[None]
        sides = start.cell.diagonal()
        offsets -= sides * np.round(offsets / sides)
        distances = np.linalg.norm(offsets, axis=-1) + 99 * np.eye(39)
        assert distances.min() >= 2.0


def test_composition_and_masses():
    settings = tiny('system.species=["W", "Be"]', "system.fractions=[0.75, 0.25]")
    orders = set()
    for chain in range(6):
        start = random_start(settings, chain)
        assert np.bincount(start.species).tolist() == [9, 3]
        assert np.allclose(start.masses, np.where(start.species == 0, 183.84, 9.0121831))
        orders.add(tuple(start.species))
    assert len(orders) > 1


def test_atom_numbers_go_round():
    settings = tiny("system.n_atoms=[4, 7, 5]")
    counts = [len(random_start(settings, chain).positions) for chain in range(7)]
    assert counts == [4, 7, 5, 4, 7, 5, 4]


def test_atoms_that_do_not_fit():
    settings = tiny("system.density=0.06", "system.start_distance=2.42", "system.n_atoms=50")
    with pytest.raises(
        JentmaxError, match=r"system\.start_distance: 2\.42 Å leaves room for \d+ of 50"
    ):
        random_start(settings, 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_stacked_puts_replicas_last(dtype):
    starts = [random_start(tiny(), chain) for chain in range(3)]
    system, weights = stacked(starts, dtype)
    assert system.positions.shape == (12, 3, 3)
    assert {system.positions.dtype, system.cell.dtype, system.masses.dtype, weights.dtype} == {
        jnp.dtype(dtype)
    }
    for place, start in enumerate(starts):
        assert np.array_equal(system.positions[..., place], start.positions.astype(dtype))
        assert np.array_equal(system.cell[..., place], start.cell.astype(dtype))
        assert np.array_equal(system.species[..., place], start.species)
        assert np.array_equal(system.masses[..., place], start.masses.astype(dtype))
        assert weights[place] == dtype(start.entropy_weight)


def data(keys):
    return [tuple(row) for row in np.asarray(jax.random.key_data(keys)).tolist()]


def test_keys_depend_on_the_chains_own_numbers_alone():
    starts, steps = chain_keys(7, [3, 4, 5], [0, 2, 1], cycle=1)
    for place, (chain, attempt) in enumerate([(3, 0), (4, 2), (5, 1)]):
        start, step = chain_keys(7, [chain], [attempt], cycle=1)
        assert data(start) == data(starts)[place : place + 1]
        assert data(step) == data(steps)[place : place + 1]


def test_no_key_comes_twice():
    keys = []
    for seed, attempt, cycle in itertools.product((0, 1, 2**32 - 1), (0, 1), (0, 1)):
        for kind in chain_keys(seed, [0, 1, 2**30], [attempt] * 3, cycle):
            keys.extend(data(kind))
    assert len(keys) == len(set(keys)) == 3 * 2 * 2 * 2 * 3


def test_keys_are_the_same_in_both_precisions():
    with jax.enable_x64(False):
        single = data(chain_keys(2**32 - 1, [0, 2**30], [0, 1], 3)[0])
    assert single == data(chain_keys(2**32 - 1, [0, 2**30], [0, 1], 3)[0])
