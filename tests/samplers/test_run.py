"""`jentmax.run`, and steps by hand: batches, lists that lack room, callbacks, states on disk."""

from typing import Any

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close
from sampling import TOY, copied, keys_of, started, toys

from jentmax.errors import JentmaxError
from jentmax.neighbors import NeighborList
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import (
    BasinHopping,
    Descent,
    Fire,
    Info,
    Langevin,
    State,
    estimate_memory,
    run,
    schedules,
)
from jentmax.system import System, random_positions

pytestmark = pytest.mark.optimised

STEPS = 20
CHAOS = 1e-6
"""Of the largest position: rounding errors grow over the steps."""
HOT = Langevin(temperature_schedule=schedules.constant)
ROOM = 40
"""Neighbours for which there is always room."""
SAMPLERS = [HOT, Descent(noise=0.05), Fire(), BasinHopping()]
NAMES = ["langevin", "descent", "fire", "basin hopping"]
SOME_QUICK = [
    pytest.param(sampler, id=name, marks=() if sampler is HOT else pytest.mark.slow)
    for name, sampler in zip(NAMES, SAMPLERS, strict=True)
]
KEY = jax.random.key(7)


def listed(capacity):
    """A potential whose list is built often: light atoms move half its skin in a few steps."""
    finder = NeighborList(3.0, (7.0, 6.5, 8.0), capacity, skin=0.1)
    return eqx.tree_at(lambda p: p.finder, TOY, finder, is_leaf=lambda x: x is None)


def gas(n_replicas=4):
    """Atoms that are light, so that they move, and do not overlap."""
    cell, rng = np.diag([7.0, 6.5, 8.0]), np.random.default_rng(0)
    starts = [random_positions(rng, 12, cell, 1.9) for _ in range(n_replicas)]
    systems = [contracts.system_of(start, cell, np.full(12, 74)) for start in starts]
    together = System.stack(systems)
    return eqx.tree_at(lambda s: s.masses, together, jnp.full_like(together.masses, 20.0))


def ran(potential, sampler=HOT, n_replicas=4, **given):
    arguments = {"key": KEY, "steps": STEPS, "entropy_weight": 10.0} | given
    return run(potential, sampler, gas(n_replicas), **arguments)


@pytest.fixture(scope="module")
def roomy():
    """With room from the beginning."""
    return ran(listed(ROOM))


def test_lists_that_lack_room_are_mended(roomy):
    """Room for 4 neighbours is too little at the start, for the most at the start on the way."""
    _, start = started(listed(ROOM), HOT, keys_of(0, 4), gas(), jnp.full(4, 10.0))
    most = int(np.max(np.sum(np.asarray(start.neighbors.table.indices) < 12, axis=0)))
    assert most > 4
    for capacity in (4, most):
        ends, info = ran(listed(capacity))
        assert_close(ends.positions, roomy[0].positions, "positions", CHAOS)
        assert_close(info.temperature, roomy[1].temperature, "temperature", CHAOS)
        assert not jnp.any(info.overflow)
    _, state = started(TOY, HOT, keys_of(0, 4), gas(), jnp.full(4, 10.0))
    assert state.neighbors.table is None, "no list where none is worth it"


def test_lists_and_all_pairs_give_the_same(roomy):
    ends, info = ran(TOY)
    assert_close(ends.positions, roomy[0].positions, "positions", CHAOS)
    assert_close(info.energy, roomy[1].energy, "V", CHAOS)


@pytest.mark.parametrize("sampler", SOME_QUICK)
def test_an_overflow_leaves_the_state_as_it_was(sampler):
    """By hand: the step is not taken, and `mend` gives a state from which to go on."""
    systems = gas(3)
    init, step = eqx.filter_jit(sampler.init), eqx.filter_jit(sampler.step)
    ends, mended = {}, 0
    for capacity in (4, ROOM):
        potential = listed(capacity)
        state = init(potential, KEY, systems, 10.0)
        number = 0
        while number < STEPS:
            before = state
            progress = jnp.asarray((number + 1) / STEPS)
            state, info = step(potential, jax.random.fold_in(KEY, number), state, progress)
            if not jnp.any(info.overflow):
                number += 1
                continue
            mended += 1
            without = [eqx.tree_at(lambda s: s.neighbors, s, None) for s in (before, state)]
            assert eqx.tree_equal(*without), "a step was taken"
            state = sampler.mend(state)
            assert not state.neighbors.overflowed
            assert state.neighbors.finder.capacity > before.neighbors.finder.capacity
        ends[capacity] = state.system.positions
    assert mended > 0
    assert_close(ends[4], ends[ROOM], "positions", CHAOS)
    # A state that lacks nothing stays.
    assert sampler.mend(state) is state or eqx.tree_equal(sampler.mend(state), state)


@pytest.mark.parametrize("potential", [TOY, listed(ROOM)], ids=["all pairs", "list"])
def test_replicas_do_not_depend_on_what_runs_beside_them(potential):
    """Bit for bit; not on when others need new lists, nor on numbers that are not finite."""
    potential = potential if potential.finder else TOY.for_cells(gas())
    keys = keys_of(0, 4)
    systems = gas()
    arguments = {"steps": STEPS, "entropy_weight": 10.0}
    ends, info = run(potential, HOT, systems, key=keys, **arguments)
    order = np.array([2, 1, 0, 3])
    others, other_info = run(potential, HOT, systems[order], key=keys[order], **arguments)
    np.testing.assert_array_equal(others.positions, ends.positions[..., order])
    np.testing.assert_array_equal(other_info.temperature, info.temperature[order])
    broken = eqx.tree_at(lambda s: s.positions, systems, systems.positions.at[..., 2].set(jnp.nan))
    beside, beside_info = run(potential, HOT, broken, key=keys, **arguments)
    assert np.all(np.isnan(beside.positions[..., 2]))
    assert np.isnan(beside_info.energy[2])
    for place in (0, 1, 3):
        np.testing.assert_array_equal(beside.positions[..., place], ends.positions[..., place])
        assert beside_info.temperature[place] == info.temperature[place]


def test_pieces_make_the_whole():
    systems, keys = gas(), keys_of(0, 4)
    cycle, start = started(listed(ROOM), HOT, keys, systems, jnp.full(4, 10.0))
    whole, temperature = cycle.advance(keys, copied(start), 0, STEPS, STEPS)
    state, temperatures = start, []
    for first, last in ((0, 7), (7, 8), (8, STEPS)):
        state, part = cycle.advance(keys, state, first, last, STEPS)
        temperatures.append((last - first) * part)
    np.testing.assert_array_equal(state.system.positions, whole.system.positions)
    # The mean of means is rounded otherwise.
    np.testing.assert_allclose(sum(temperatures) / STEPS, temperature, rtol=1e-12)


def test_batches():
    """Five replicas in twos: three programs' runs of one program, the last one filled up."""
    ends, info = ran(TOY, n_replicas=5, batch_size=2)
    assert (len(ends), info.energy.shape) == (5, (5,))
    systems = gas(5)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(5))
    planned = TOY.for_cells(systems)
    pair, _ = run(planned, HOT, systems[2:4], key=keys[2:4], steps=STEPS, entropy_weight=10.0)
    np.testing.assert_array_equal(pair.positions, ends.positions[..., 2:4])
    # Other batch sizes round otherwise.
    together, _ = ran(TOY, n_replicas=5)
    assert_close(ends.positions, together.positions, "positions", CHAOS)


def test_one_structure():
    system = toys(1)[0]
    arguments = {"steps": STEPS, "entropy_weight": 10.0}
    alone, info = run(TOY, HOT, system, key=KEY, **arguments)
    assert (alone.replicas, info.energy.shape) == ((), ())
    both, _ = run(TOY, HOT, toys(1), key=KEY[None], **arguments)
    np.testing.assert_array_equal(alone.positions, both.positions[..., 0])


def test_info_is_of_the_ends():
    weights = jnp.array([1.0, 2.0, 3.0, 4.0])
    ends, info = ran(TOY, entropy_weight=weights)
    terms = contracts.evaluate(TOY.for_cells(ends), ends, weights)
    for name in ("energy", "entropy", "repulsion", "least_distance"):
        assert_close(getattr(info, name), getattr(terms, name), name, 1e-10)


def test_what_the_caller_has_stays():
    """States are used up inside; systems, keys and weights are copied before."""
    systems, keys, weights = toys(3), keys_of(0, 3), jnp.full(3, 10.0)
    before = [np.array(leaf) for leaf in jax.tree.leaves((systems, weights))]
    for sampler in SAMPLERS:
        run(TOY, sampler, systems, key=keys, steps=3, entropy_weight=weights)
        for leaf, expected in zip(jax.tree.leaves((systems, weights)), before, strict=True):
            assert not leaf.is_deleted()
            np.testing.assert_array_equal(leaf, expected)
        assert not keys.is_deleted()


@pytest.mark.parametrize("sampler", SOME_QUICK)
def test_a_state_is_used_up(sampler):
    """Memory is that of one state: none of its large arrays is copied."""
    cycle, state = started(TOY, sampler, keys_of(0, 2), toys(2), jnp.ones(2))
    cycle.advance(keys_of(0, 2), state, 0, 3, 10)
    assert state.system.positions.is_deleted()


@pytest.mark.parametrize(("steps", "batch_size"), [(20, None), (3, None), (20, 2)])
def test_callback(steps, batch_size):
    told = []
    ran(TOY, steps=steps, batch_size=batch_size, callback=told.append)
    assert len(told) == min(steps, 10) * (2 if batch_size else 1)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert all(0 < share < 1.001 for share in told)


class Stopped(Exception):
    pass


def test_a_callback_may_end_the_run():
    told = []

    def stop(share):
        told.append(share)
        raise Stopped("enough")

    with pytest.raises(Stopped, match="enough"):
        ran(TOY, callback=stop)
    assert len(told) == 1


def test_estimated_memory():
    few, many = (estimate_memory(TOY, HOT, toys(n)) for n in (2, 16))
    state = 8 * 16 * 3 * 8 * 2  # positions and velocities in float64
    assert state < many < 1e9
    assert 2 * few < many
    assert isinstance(many, int)


@pytest.mark.parametrize("sampler", SOME_QUICK)
def test_a_state_is_saved_and_restored(sampler, tmp_path):
    potential, systems = TOY.for_cells(toys(2)), toys(2)
    step = eqx.filter_jit(sampler.step)

    def go(state, numbers):
        info = None
        for number in numbers:
            key = jax.random.fold_in(KEY, number)
            state, info = step(potential, key, state, jnp.asarray((number + 1) / 20))
        return state, info

    state, _ = go(sampler.init(potential, KEY, systems, 5.0), range(10))
    eqx.tree_serialise_leaves(tmp_path / "state.eqx", state)
    like = sampler.init(potential, KEY, jax.tree.map(jnp.zeros_like, systems).__class__(
        systems.numbers, systems.positions + 1, systems.cell, systems.pbc, systems.masses
    ), 5.0)  # fmt: skip
    restored = eqx.tree_deserialise_leaves(tmp_path / "state.eqx", like)
    assert eqx.tree_equal(restored, state)
    one, other = (go(given, range(10, 20)) for given in (state, restored))
    assert eqx.tree_equal(one, other)


# Samplers of one's own


class Walk:
    """Random steps, without a base class: what a new user writes."""

    def init(self, potential, key, systems, entropy_weight):
        weight = jnp.broadcast_to(
            jnp.asarray(entropy_weight, systems.positions.dtype), systems.replicas
        )
        return State(systems, weight, potential.neighbors(systems.positions, systems.cell))

    def step(self, potential, key, state, progress):
        system = state.system
        neighbors = state.neighbors.updated(system.positions, system.cell)
        terms = potential.terms(
            system.positions, system.cell, system.numbers, state.entropy_weight, neighbors
        )

        def drawn(key):
            return jax.random.normal(key, system.positions.shape[:2], system.positions.dtype)

        noise = jax.vmap(drawn, out_axes=-1)(key) if key.ndim else drawn(key)
        positions = system.positions + 0.05 * (1 - progress) * noise
        info = Info(terms.energy, terms.repulsion, terms.entropy, terms.least_distance,
                    jnp.zeros_like(terms.energy), neighbors.overflowed)  # fmt: skip
        positions = jnp.where(neighbors.overflowed, system.positions, positions)
        system = eqx.tree_at(lambda s: s.positions, system, positions)
        return State(system, state.entropy_weight, neighbors), info


def test_a_sampler_of_ones_own():
    ends, info = ran(TOY, sampler=Walk())
    start = gas()
    moved = np.asarray(ends.positions - start.positions)
    # The sum of squares of (1 - progress) over 20 steps is 6.175; 432 normal numbers.
    assert moved.std() == pytest.approx(0.05 * np.sqrt(6.175), rel=0.15)
    assert jnp.all(jnp.isfinite(info.energy))
    listed_ends, _ = ran(listed(2), sampler=Walk())
    assert_close(listed_ends.positions, ends.positions, "positions, with a list", 1e-12)


# Bad input


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps = 0 is not allowed; give a whole number of at least 1"),
        ({"steps": 1.5}, "steps = 1.5 is not allowed"),
        ({"steps": True}, "steps = True is not allowed"),
        ({"batch_size": 0}, "batch_size = 0 is not allowed"),
        ({"devices": 0}, "devices = 0 is not allowed"),
        ({"devices": 10_000}, "devices = 10000 is not allowed: JAX has"),
        ({"key": 0.5}, "key = float 0.5 is not a random key; give one such as jax.random.key"),
        ({"key": 3}, "key = int 3 is not a random key"),
        ({"key": keys_of(0, 3)}, r"key has shape \(3,\) for replicas of shape \(4,\)"),
        ({"entropy_weight": np.ones(3)}, r"entropy_weight has shape \(3,\); give one number, or"),
        ({"sampler": Langevin}, "sampler = Langevin is not allowed; give an object with init"),
        ({"sampler": "langevin"}, "sampler = str is not allowed"),
    ],
)
def test_arguments_that_are_not_allowed(given, message):
    with pytest.raises(JentmaxError, match=message):
        ran(TOY, **given)


@pytest.mark.wrong_types
def test_potentials_and_systems_that_are_not_allowed():
    arguments = {"key": KEY, "steps": 3, "entropy_weight": 1.0}
    listed: Any = list(toys(2))
    function: Any = contracts.smooth
    with pytest.raises(JentmaxError, match="systems = list is not allowed; give a System"):
        run(TOY, HOT, listed, **arguments)
    with pytest.raises(JentmaxError, match="potential = function is not allowed; give a Potential"):
        run(function, HOT, toys(2), **arguments)
    aluminium = Potential(contracts.smooth, ClarkeSmith(r0={"Al": 2.5}), TOY.entropy, cutoff=3.0)
    with pytest.raises(
        JentmaxError, match="numbers contain W, which the potential does not support"
    ):
        run(aluminium, HOT, toys(2), **arguments)
    systems = toys(2)
    slab = eqx.tree_at(lambda s: s.pbc, systems, systems.pbc.at[2].set(False))
    with pytest.raises(JentmaxError, match="not periodic in all directions"):
        run(TOY, HOT, slab, **arguments)
    planned = TOY.for_cells(systems)
    small = eqx.tree_at(lambda s: s.cell, systems, 0.5 * systems.cell)
    with pytest.raises(JentmaxError, match="cell is smaller than the cells"):
        run(planned, HOT, small, **arguments)


@pytest.mark.wrong_types
@pytest.mark.parametrize("sampler", SOME_QUICK)
def test_a_key_that_is_none_by_hand(sampler):
    state = sampler.init(TOY, KEY, toys(2), 1.0)
    if not isinstance(sampler, Fire):  # which draws nothing
        with pytest.raises(JentmaxError, match=r"key = float 0\.3 is not a random key"):
            sampler.step(TOY, 0.3, state, 0.5)
