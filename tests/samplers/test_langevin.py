"""Langevin dynamics samples what it should and follows its schedule; the quench comes to rest."""

import dataclasses

import ase
import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from contracts import assert_close, replica_of, side_by_side

from jentmax.config import load
from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.neighbors import AllPairs, NeighborList
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import ADAM, Descent, Langevin, run
from jentmax.samplers._state import forces_at
from jentmax.system import System, random_positions
from jentmax.units import ACCELERATION

N_REPLICAS = 16
CELL = np.diag([9.54, 9.54, 14.31])
TUNGSTEN = Potential(
    descriptor=Snap(4.0, components=6),
    repulsion=ClarkeSmith(),
    estimator=NearestNeighbor(),
    finder=AllPairs(4.0),
    # Standard deviations in an unbiased run of tungsten at 10,000 K.
    scale=jnp.array([3.02, 0.41, 0.49, 1.38, 0.50, 1.14]),
)


def smooth(environments):
    """Three features that are quick to compile."""
    squared = environments.squared_distances() / 3.0**2
    fading = jnp.where(environments.mask, (1 - squared) ** 2, 0)
    return jnp.stack([jnp.sum(fading * squared**n, axis=1) for n in range(3)], axis=1)


TOY = Potential(smooth, ClarkeSmith(), NearestNeighbor(), AllPairs(3.0), jnp.ones(3))


def toys(n_replicas, mass=100.0):
    """Eight atoms anywhere in a cell."""
    systems = [
        contracts.random_system(seed, 8, np.diag([7.0, 6.5, 8.0])) for seed in range(n_replicas)
    ]
    system = side_by_side(*systems)
    return dataclasses.replace(system, masses=jnp.full_like(system.masses, mass))


def tungsten(dtype=jnp.float32):
    """Random starts of the published system, side by side."""
    starts = [
        random_positions(np.random.default_rng(seed), 39, CELL, 2.0) for seed in range(N_REPLICAS)
    ]
    return System(
        positions=jnp.asarray(np.stack(starts, axis=-1), dtype),
        cell=jnp.asarray(np.repeat(CELL[..., None], N_REPLICAS, axis=-1), dtype),
        species=jnp.zeros((39, N_REPLICAS), jnp.int32),
        masses=jnp.full((39, N_REPLICAS), 183.84, dtype),
    )


@eqx.filter_jit
def init(sampler, keys, system, weights):
    return sampler.init(keys, system, weights)


@eqx.filter_jit
def step(sampler, keys, state, progress):
    return sampler.step(keys, state, progress)


@eqx.filter_jit
def terms(potential, state):
    """V and its parts at the weight of the state."""
    system = state.system
    return potential.terms(system.positions, system.cell, system.species, state.entropy_weight)


@eqx.filter_jit
def forces(potential, system, weights):
    return forces_at(potential, system.positions, system, weights, None)


def keys_of(seed, n_replicas=N_REPLICAS):
    return jax.random.split(jax.random.key(seed), n_replicas)


def weights_of(weight, n_replicas=N_REPLICAS, dtype=jnp.float32):
    return jnp.full(n_replicas, weight, dtype)


def repelled_by(pair, cutoff=19.0):
    """V of a sum of a function of squared distances over all pairs, both ways; no entropy."""

    def repulsion(environments):
        squared = environments.squared_distances()
        return jnp.sum(jnp.where(environments.mask, pair(squared), 0), axis=(0, 1))

    return Potential(
        descriptor=lambda environments: jnp.zeros_like(environments.displacements[0])[:, :1],
        repulsion=repulsion,
        estimator=NearestNeighbor(),
        finder=AllPairs(cutoff),
        scale=jnp.ones(1),
    )


def in_a_large_cell(positions, masses):
    """Replicas (the last axis of the positions) in cubes of 40 Å."""
    n_atoms, _, n_replicas = positions.shape
    return System(
        positions=positions,
        cell=jnp.repeat(40 * jnp.eye(3)[..., None], n_replicas, axis=-1),
        species=jnp.zeros((n_atoms, n_replicas), jnp.int32),
        masses=jnp.repeat(jnp.asarray(masses)[:, None], n_replicas, axis=-1),
    )


def test_kinetic_temperature_is_that_of_ase():
    system = toys(2)
    system = dataclasses.replace(system, masses=system.masses * jnp.arange(1.0, 9.0)[:, None])
    state = init(Langevin(TOY), keys_of(0, 2), system, weights_of(0.0, 2, jnp.float64))
    for replica in range(2):
        here = replica_of(state, replica)
        atoms = ase.Atoms("H8", here.system.positions, masses=here.system.masses)
        atoms.set_velocities(np.asarray(here.velocities) / units.fs)
        assert here.kinetic_temperature() == pytest.approx(atoms.get_temperature(), rel=1e-12)
        assert state.kinetic_temperature()[replica] == pytest.approx(
            atoms.get_temperature(), rel=1e-12
        )


def test_a_dimer_on_a_spring():
    # V = k/2 u^2. In the middle scheme the variances of positions and velocities are kT/k and kT/m
    # for any time step; BAOAB's velocities would fall short by (omega dt)^2 / 4 of it.
    stiffness, temperature, timestep, masses = 1.0, 1000.0, 20.0, (10.0, 40.0)
    reduced = 8.0
    n_replicas, n_samples, interval = 256, 100, 20
    langevin = Langevin(
        repelled_by(lambda squared: stiffness / 4 * squared),
        timestep=timestep,
        friction=30.0,
        temperature=temperature,
        temperature_schedule="constant",
        force_cap=float("inf"),
    )
    start = jnp.zeros((2, 3, n_replicas)).at[1, 0].set(0.1)
    keys, weights = keys_of(1, n_replicas), weights_of(0.0, n_replicas, jnp.float64)
    state = init(langevin, keys, in_a_large_cell(start, masses), weights)
    apart, speeds, n_steps = [], [], (n_samples + 5) * interval
    for first in range(0, n_steps, interval):
        state, _ = run(langevin, keys, state, first, first + interval, n_steps)
        apart.append(state.system.positions[1] - state.system.positions[0])
        speeds.append(state.velocities[1] - state.velocities[0])
    thermal = units.kB * temperature
    # In 400 fs all correlation is lost: 76,800 independent squares, their mean known to 0.5 %.
    tolerance = 4 * np.sqrt(2 / (3 * n_replicas * n_samples))
    assert np.mean(np.square(apart[5:])) == pytest.approx(thermal / stiffness, rel=tolerance)
    shortfall = stiffness / reduced * (timestep * units.fs) ** 2 / 4
    assert shortfall > 5 * tolerance
    assert np.mean(np.square(speeds[5:])) / units.fs**2 * reduced == pytest.approx(
        thermal, rel=tolerance
    )


def test_the_repulsion_alone_samples_its_temperature():
    langevin = Langevin(
        dataclasses.replace(
            TUNGSTEN, descriptor=lambda e: jnp.zeros_like(e.displacements[0])[:, :6]
        ),
        temperature=3000.0,
        temperature_schedule="constant",
    )
    keys = keys_of(2)
    state = init(langevin, keys, tungsten(), weights_of(0.0))
    # Of 16 x 117 squares.
    assert np.mean(state.kinetic_temperature()) == pytest.approx(
        3000, rel=4 * np.sqrt(2 / (N_REPLICAS * 117))
    )
    state, _ = run(langevin, keys, state, 0, 200, 1000)
    state, temperatures = run(langevin, keys, state, 200, 1000, 1000)
    error = np.std(temperatures, ddof=1) / np.sqrt(N_REPLICAS)
    assert error < 30
    assert abs(np.mean(temperatures) - 3000) < 4 * error


@pytest.fixture(scope="module")
def annealed():
    """The published cycle as the preset has it: sampler, keys, start, end, tenths' temperatures."""
    given = load("tungsten").sampler
    langevin = Langevin(
        TUNGSTEN, timestep=given.timestep, friction=given.friction, force_cap=given.force_cap
    )
    keys = keys_of(3)
    start = state = init(langevin, keys, tungsten(), weights_of(1000.0))
    temperatures = []
    for tenth in range(10):
        first, last = given.steps * tenth // 10, given.steps * (tenth + 1) // 10
        state, temperature = run(langevin, keys, state, first, last, given.steps)
        temperatures.append(np.mean(temperature))
    return langevin, keys, start, state, np.array(temperatures)


def test_the_temperature_follows_its_schedule(annealed):
    *_, temperatures = annealed
    schedule = 10_000 * (1 - (np.arange(10) + 0.5) / 10)
    print(np.round(temperatures))
    assert np.all(np.abs(temperatures - schedule) < 0.15 * schedule + 200)


def test_annealing_raises_the_entropy(annealed):
    langevin, _, start, end, _ = annealed
    entropy = [np.asarray(terms(langevin.potential, state).entropy) for state in (start, end)]
    # The published sets have 3.2 and 4.4.
    assert np.all(entropy[1] > entropy[0] + 1)
    assert np.mean(entropy[1]) > 5


def test_types_stay(annealed):
    _, _, start, end, _ = annealed
    kinds = [jax.tree.map(lambda array: (array.dtype, array.shape), s) for s in (start, end)]
    assert kinds[0] == kinds[1]
    assert end.system.positions.dtype == jnp.float32


def test_a_replica_depends_on_its_own_key_and_start_alone(annealed):
    langevin, keys, start, _, _ = annealed
    # The others in the opposite order and with another weight.
    order = np.array([0, *range(N_REPLICAS - 1, 0, -1)])
    others = jax.tree.map(lambda array: array[..., order], start)
    others = dataclasses.replace(others, entropy_weight=weights_of(500.0).at[0].set(1000.0))
    one, temperature = run(langevin, keys, start, 0, 100, 3000)
    two, temperature_there = run(langevin, keys[order], others, 0, 100, 3000)
    for mine, its in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(mine[..., 0], its[..., 0])
    assert temperature[0] == temperature_there[0]
    assert np.all(np.asarray(one.system.positions != two.system.positions)[..., 1:].any((0, 1)))


def test_in_one_call_or_in_several(annealed):
    langevin, keys, start, _, _ = annealed
    whole, temperature = run(langevin, keys, start, 0, 90, 3000)
    state, temperatures = start, []
    for first, last in ((0, 20), (20, 21), (21, 90)):
        state, part = run(langevin, keys, state, first, last, 3000)
        temperatures.append((last - first) * part)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    # Sums of float32 in another order.
    np.testing.assert_allclose(sum(temperatures) / 90, temperature, rtol=1e-5)


def test_a_descent_from_the_end_of_a_cycle(annealed):
    langevin, keys, _, end, _ = annealed
    given = load("tungsten").quench
    quench = Descent(langevin.potential, ADAM, given.step_length)
    state = init(quench, keys, end.system, end.entropy_weight)

    before = terms(TUNGSTEN, state).energy
    almost, _ = run(quench, keys, state, 0, given.steps - 1, given.steps)
    after, temperature = run(quench, keys, almost, given.steps - 1, given.steps, given.steps)
    # Lower in every replica, and by more than the thermal energy of 100 K.
    assert np.all(terms(TUNGSTEN, after).energy < before - 3 * 39 * units.kB * 100)
    # At rest: the rate has fallen to nothing.
    np.testing.assert_array_equal(after.system.positions, almost.system.positions)
    assert not np.any(temperature)
    assert not np.any(after.velocities)


def test_a_descent_on_a_smooth_potential_ends_at_a_minimum():
    # Atoms that repel each other, held together by springs.
    potential = repelled_by(lambda squared: 2 * jnp.exp(-squared / 4) + 0.02 * squared)
    rng = np.random.default_rng(0)
    system = in_a_large_cell(jnp.asarray(rng.uniform(0, 4, (6, 3, 4))), np.full(6, 50.0))
    keys, weights = keys_of(0, 4), weights_of(0.0, 4, jnp.float64)
    quench = Descent(potential, ADAM, step_length=0.05)
    start = init(quench, keys, system, weights)
    end, _ = run(quench, keys, start, 0, 1000, 1000)
    assert np.all(terms(potential, end).energy < terms(potential, start).energy)
    # The forces were some eV/Å; Adam's last steps are of 1e-5 Å.
    assert np.max(np.abs(forces(potential, start.system, weights))) > 0.5
    assert np.max(np.abs(forces(potential, end.system, weights))) < 1e-3


def test_without_friction_energy_is_conserved_to_second_order():
    potential = repelled_by(lambda squared: 2 * jnp.exp(-squared / 4) + 0.02 * squared)
    rng = np.random.default_rng(1)
    system = in_a_large_cell(jnp.asarray(rng.uniform(0, 4, (6, 3, 3))), np.full(6, 50.0))
    keys, weights = keys_of(4, 3), weights_of(0.0, 3, jnp.float64)
    errors = []
    for timestep in (8.0, 4.0, 2.0):
        langevin = Langevin(
            potential,
            timestep=timestep,
            friction=0.0,
            temperature=1000.0,
            force_cap=float("inf"),
        )
        state = init(langevin, keys, system, weights)

        def half_a_kick(state, timestep=timestep):
            change = forces(potential, state.system, weights) * timestep / 2 * ACCELERATION
            return change / state.system.masses[:, None]

        # Velocities belong to half a step before the positions.
        state = dataclasses.replace(state, velocities=state.velocities - half_a_kick(state))
        interval, totals = round(8 / timestep), []
        for first in range(0, 50 * interval, interval):
            now = dataclasses.replace(state, velocities=state.velocities + half_a_kick(state))
            kinetic = 3 * 6 / 2 * units.kB * now.kinetic_temperature()
            totals.append(kinetic + terms(potential, state).energy)
            state, _ = run(langevin, keys, state, first, first + interval, 50 * interval)
        errors.append(np.max(np.abs(np.array(totals) - totals[0]), axis=0))
    assert np.all(errors[0] > 1e-5)
    # The next order, of dt^4, is a few hundredths of it.
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.1)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.05)


@pytest.mark.parametrize(("schedule", "share"), [("linear-down", 1), ("linear-up", 0)])
def test_velocities_at_the_start(schedule, share):
    system = in_a_large_cell(
        jnp.asarray(np.random.default_rng(0).uniform(0, 9, (4, 3, 500))), [1.0, 10.0, 100.0, 200.0]
    )
    langevin = Langevin(
        repelled_by(lambda squared: 0.01 * squared),
        temperature=2000.0,
        temperature_schedule=schedule,
    )
    state = init(langevin, keys_of(5, 500), system, weights_of(0.0, 500, jnp.float64))
    squares = np.mean(np.square(state.velocities), axis=(1, 2)) / units.fs**2
    # Of 1500 squares each.
    np.testing.assert_allclose(
        squares * np.asarray(system.masses[:, 0]),
        share * units.kB * 2000,
        rtol=4 * np.sqrt(2 / 1500),
    )
    # All drift: none of the components is fixed or alike in two replicas.
    assert len(np.unique(state.velocities)) == (state.velocities.size if share else 1)


def kicked_by(langevin, keys, state, progress):
    """Forces that a step without friction exerts, from what it does to the velocities."""
    after = step(langevin, keys, state, jnp.asarray(progress))
    change = (after.velocities - state.velocities) * state.system.masses[:, None]
    return change / (langevin.timestep * ACCELERATION)


def test_the_entropy_weight_follows_its_schedule():
    system = toys(2)
    keys, weights = keys_of(6, 2), jnp.array([100.0, 300.0])
    langevin = Langevin(TOY, entropy_schedule="quadratic-up", friction=0.0, force_cap=float("inf"))
    state = init(langevin, keys, system, weights)
    for progress in (0.5, 1.0):
        expected = forces(TOY, system, progress**2 * weights)
        # A kick changes velocities by a hundredth.
        assert_close(kicked_by(langevin, keys, state, progress), expected, "forces", 1e-9)
        after = step(langevin, keys, state, jnp.asarray(progress))
        np.testing.assert_array_equal(after.entropy_weight, weights)


def test_the_force_cap_shortens_and_does_not_turn():
    system, keys, weights = toys(2), keys_of(7, 2), weights_of(30.0, 2, jnp.float64)
    langevin = Langevin(TOY, entropy_schedule="constant", friction=0.0, force_cap=20.0)
    state = init(langevin, keys, system, weights)
    free = forces(TOY, system, weights)
    sizes = np.linalg.norm(free, axis=1, keepdims=True)
    assert np.any(sizes > 20)
    assert np.any(sizes < 20)
    # Each atom's apart: the largest force of all would hide the others'.
    expected = free * np.where(sizes > 20, 20 / np.maximum(sizes, 20), 1)
    np.testing.assert_allclose(
        kicked_by(langevin, keys, state, 0.5), expected, rtol=1e-8, atol=1e-9
    )


def test_with_a_neighbour_list():
    # Light atoms, so that the list of each replica is built again on the way.
    keys, weights, n_steps = keys_of(8, 3), jnp.array([1.0, 2.0, 3.0]), 30
    system = toys(3, mass=2.0)

    def run_with(finder, order):
        langevin = Langevin(dataclasses.replace(TOY, finder=finder))
        beside = jax.tree.map(lambda array: array[..., order], system)
        start = init(langevin, keys[order], beside, weights[order])
        return start, run(langevin, keys[order], start, 0, n_steps, n_steps)[0]

    finder = NeighborList(3.0, (7.0, 6.5, 8.0), capacity=40, skin=0.3)
    start, end = run_with(finder, np.array([0, 1, 2]))
    assert not finder.overflowed(end.neighbors)
    assert np.all(np.any(end.neighbors.reference != start.neighbors.reference, axis=(0, 1)))
    _, beside = run_with(finder, np.array([0, 2, 2]))
    for one, other in zip(jax.tree.leaves(end), jax.tree.leaves(beside), strict=True):
        np.testing.assert_array_equal(one[..., 0], other[..., 0])
    _, expected = run_with(AllPairs(3.0), np.array([0, 1, 2]))
    # Rounding errors grow over the steps.
    assert_close(end.system.positions, expected.system.positions, "positions", 1e-6)
