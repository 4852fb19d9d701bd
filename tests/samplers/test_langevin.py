"""Langevin dynamics samples the right distribution and follows its schedule."""

import ase
import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from contracts import assert_close, replica_of
from sampling import (
    TOY,
    TUNGSTEN,
    copied,
    forces,
    in_a_large_cell,
    keys_of,
    repelled_by,
    started,
    toys,
    tungsten,
    weights_of,
)

from jentmax.errors import JentmaxError
from jentmax.samplers import Descent, Langevin, run, schedules
from jentmax.units import ACCELERATION

pytestmark = pytest.mark.optimised

STEPS = 3000
"""Of the preset."""

FREE = 1e-9
"""1/ps, friction that is none within rounding."""


def temperature_of(system, velocities):
    """Of one structure, by ASE, in K."""
    atoms = ase.Atoms(f"H{system.n_atoms}", system.positions, masses=system.masses)
    atoms.set_velocities(np.asarray(velocities) / units.fs)
    return atoms.get_temperature()


def test_kinetic_temperature_is_that_of_ase():
    systems = toys(2)
    masses = systems.masses * jnp.arange(1.0, 9.0)[:, None]
    systems = eqx.tree_at(lambda s: s.masses, systems, masses)
    cycle, state = started(TOY, Langevin(), keys_of(0, 2), systems, [0.0, 0.0])
    _, info = eqx.filter_jit(Langevin().step)(cycle.potential, keys_of(1, 2), state, 0.5)
    for replica in range(2):
        here = replica_of(state, replica)
        expected = temperature_of(here.system, here.velocities)
        assert info.temperature[replica] == pytest.approx(expected, rel=1e-12)


def test_a_dimer_on_a_spring():
    # V = k/2 u^2. In the middle scheme the variances of positions and velocities are kT/k and kT/m
    # for any time step; BAOAB's velocities would fall short by (omega dt)^2 / 4 of it.
    stiffness, temperature, timestep, masses = 1.0, 1000.0, 20.0, (10.0, 40.0)
    reduced = 8.0
    n_replicas, n_samples, interval = 256, 100, 20
    potential = repelled_by(lambda squared: stiffness / 4 * squared)
    langevin = Langevin(
        timestep=timestep,
        friction=30.0,
        temperature=temperature,
        temperature_schedule=schedules.constant,
        force_cap=float("inf"),
    )
    start = in_a_large_cell(jnp.zeros((2, 3, n_replicas)).at[1, 0].set(0.1), masses)
    keys = keys_of(1, n_replicas)
    cycle, state = started(potential, langevin, keys, start, jnp.zeros(n_replicas))
    apart, speeds, n_steps = [], [], (n_samples + 5) * interval
    for first in range(0, n_steps, interval):
        state, _ = cycle.advance(keys, state, first, first + interval, n_steps)
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
    langevin = Langevin(temperature=3000.0, temperature_schedule=schedules.constant)
    systems, keys = tungsten(), keys_of(2)
    nothing = repelled_by(lambda squared: 0 * squared, cutoff=2.8)
    potential = eqx.tree_at(lambda p: p.repulsion, nothing, TUNGSTEN.repulsion)
    cycle, state = started(potential, langevin, keys, systems, weights_of(0.0, systems))
    at_start = [
        float(temperature_of(replica_of(state, k).system, state.velocities[..., k]))
        for k in range(16)
    ]
    # Of 16 x 117 squares.
    assert np.mean(at_start) == pytest.approx(3000, rel=4 * np.sqrt(2 / (16 * 117)))
    state, _ = cycle.advance(keys, state, 0, 200, 1000)
    state, temperatures = cycle.advance(keys, state, 200, 1000, 1000)
    error = np.std(temperatures, ddof=1) / np.sqrt(16)
    assert error < 30
    assert abs(np.mean(temperatures) - 3000) < 4 * error


@pytest.fixture(scope="module")
def annealed():
    """The published cycle as the preset has it: start, end, tenths' temperatures."""
    systems, keys = tungsten(), keys_of(3)
    cycle, state = started(TUNGSTEN, Langevin(), keys, systems, weights_of(1000.0, systems))
    start, temperatures = copied(state), []
    for tenth in range(10):
        first, last = STEPS * tenth // 10, STEPS * (tenth + 1) // 10
        state, temperature = cycle.advance(keys, state, first, last, STEPS)
        temperatures.append(np.mean(temperature))
    return start, state, np.array(temperatures)


@pytest.mark.slow
def test_the_temperature_follows_its_schedule(annealed):
    *_, temperatures = annealed
    schedule = 10_000 * (1 - (np.arange(10) + 0.5) / 10)
    print(np.round(temperatures))
    assert np.all(np.abs(temperatures - schedule) < 0.15 * schedule + 200)


@pytest.mark.slow
def test_annealing_raises_the_entropy(annealed):
    potential = TUNGSTEN.for_cells(annealed[0].system)
    entropy = [contracts.evaluate(potential, s.system, 0.0).entropy for s in annealed[:2]]
    # The published sets have 3.2 and 4.4.
    assert np.all(entropy[1] > entropy[0] + 1)
    assert np.mean(entropy[1]) > 5


@pytest.mark.slow
def test_types_stay(annealed):
    start, end, _ = annealed
    kinds = [jax.tree.map(lambda array: (array.dtype, array.shape), s) for s in (start, end)]
    assert kinds[0] == kinds[1]
    assert end.system.positions.dtype == jnp.float32


@pytest.mark.slow
def test_a_descent_from_the_end_of_a_cycle(annealed):
    _, end, _ = annealed
    keys, steps, quench = keys_of(3), 300, Descent()  # the preset's
    potential = TUNGSTEN.for_cells(end.system)
    before = contracts.evaluate(potential, end.system, 1000.0).energy
    cycle, state = started(TUNGSTEN, quench, keys, end.system, weights_of(1000.0, end.system))
    almost, _ = cycle.advance(keys, state, 0, steps - 1, steps)
    after, temperature = cycle.advance(keys, copied(almost), steps - 1, steps, steps)
    # Lower in every replica, and by more than the thermal energy of 100 K.
    energy = contracts.evaluate(potential, after.system, 1000.0).energy
    assert np.all(energy < before - 3 * 39 * units.kB * 100)
    # At rest: the step length has fallen to nothing.
    np.testing.assert_array_equal(after.system.positions, almost.system.positions)
    assert not np.any(temperature)


def test_without_friction_energy_is_conserved_to_second_order():
    potential = repelled_by(lambda squared: 2 * jnp.exp(-squared / 4) + 0.02 * squared)
    rng = np.random.default_rng(1)
    systems = in_a_large_cell(jnp.asarray(rng.uniform(0, 4, (6, 3, 3))), np.full(6, 50.0))
    potential = potential.for_cells(systems)
    keys, weights = keys_of(4, 3), weights_of(0.0, systems)

    def half_a_kick(state, timestep):
        change = forces(potential, state.system, weights) * timestep / 2 * ACCELERATION
        return change / state.system.masses[:, None]

    errors = []
    for timestep in (8.0, 4.0, 2.0):
        langevin = Langevin(
            timestep=timestep, friction=FREE, temperature=1000.0, force_cap=float("inf")
        )
        cycle, state = started(potential, langevin, keys, systems, weights)
        # Velocities belong to half a step before the positions.
        half = state.velocities - half_a_kick(state, timestep)
        state = eqx.tree_at(lambda s: s.velocities, state, half)
        interval, totals = round(8 / timestep), []
        for first in range(0, 50 * interval, interval):
            now = state.velocities + half_a_kick(state, timestep)
            kinetic = jnp.sum(state.system.masses[:, None] * now**2, axis=(0, 1)) / 2
            energy = contracts.evaluate(potential, state.system, 0.0).energy
            totals.append(kinetic / ACCELERATION + energy)
            state, _ = cycle.advance(keys, state, first, first + interval, 50 * interval)
        errors.append(np.max(np.abs(np.array(totals) - totals[0]), axis=0))
    assert np.all(errors[0] > 1e-5)
    # The next order, of dt^4, is a few hundredths of it.
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.1)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.05)


@pytest.mark.parametrize(
    ("schedule", "share"), [(schedules.linear_down, 1), (schedules.linear_up, 0)]
)
def test_velocities_at_the_start(schedule, share):
    positions = jnp.asarray(np.random.default_rng(0).uniform(0, 9, (4, 3, 500)))
    systems = in_a_large_cell(positions, [1.0, 10.0, 100.0, 200.0])
    langevin = Langevin(temperature=2000.0, temperature_schedule=schedule)
    potential = repelled_by(lambda squared: 0.01 * squared)
    _, state = started(potential, langevin, keys_of(5, 500), systems, jnp.zeros(500))
    squares = np.mean(np.square(state.velocities), axis=(1, 2)) / units.fs**2
    # Of 1500 squares each.
    np.testing.assert_allclose(
        squares * np.asarray(systems.masses[:, 0]),
        share * units.kB * 2000,
        rtol=4 * np.sqrt(2 / 1500),
    )
    # All drift: none of the components is fixed or alike in two replicas.
    assert len(np.unique(state.velocities)) == (state.velocities.size if share else 1)


def kicked_by(langevin, systems, weights, progress):
    """Forces that a step without friction exerts, from how it changes the velocities."""
    cycle, state = started(TOY, langevin, keys_of(6, 2), systems, weights)
    after, info = eqx.filter_jit(langevin.step)(
        cycle.potential, keys_of(7, 2), state, jnp.asarray(progress)
    )
    change = (after.velocities - state.velocities) * state.system.masses[:, None]
    return change / (langevin.timestep * ACCELERATION), info


def test_the_entropy_weight_follows_its_schedule():
    systems, weights = toys(2), jnp.array([100.0, 300.0])
    langevin = Langevin(
        entropy_schedule=schedules.quadratic_up,
        temperature=0.0,
        friction=FREE,
        force_cap=float("inf"),
    )
    potential = TOY.for_cells(systems)
    for progress in (0.5, 1.0):
        kicks, info = kicked_by(langevin, systems, weights, progress)
        assert_close(kicks, forces(potential, systems, progress**2 * weights), "forces", 1e-9)
        # The energy is that at the K of the moment.
        expected = contracts.evaluate(potential, systems, progress**2 * weights)
        assert_close(info.energy, expected.energy, "V", 1e-10)


def test_the_force_cap_shortens_and_does_not_turn():
    systems, weights = toys(2), jnp.full(2, 30.0)
    langevin = Langevin(
        entropy_schedule=schedules.constant, temperature=0.0, friction=FREE, force_cap=20.0
    )
    free = forces(TOY.for_cells(systems), systems, weights)
    sizes = np.linalg.norm(free, axis=1, keepdims=True)
    assert np.any(sizes > 20)
    assert np.any(sizes < 20)
    # Each atom's apart: the largest force of all would hide the others'.
    expected = free * np.where(sizes > 20, 20 / np.maximum(sizes, 20), 1)
    kicks, _ = kicked_by(langevin, systems, weights, 0.5)
    np.testing.assert_allclose(kicks, expected, rtol=1e-8, atol=1e-9)


def test_any_callable_is_a_schedule():
    """optax's schedules, and functions that give plain numbers."""
    optax = pytest.importorskip("optax")
    systems = toys(2)
    arguments = {"key": jax.random.key(0), "steps": 5, "entropy_weight": 10.0}
    expected, _ = run(TOY, Langevin(entropy_schedule=schedules.cosine_up), systems, **arguments)

    def rising(progress):
        return 1 - optax.cosine_decay_schedule(1.0, 1)(progress)

    found, _ = run(TOY, Langevin(entropy_schedule=rising), systems, **arguments)
    assert_close(found.positions, expected.positions, "positions", 1e-8)
    for schedule in (
        optax.linear_schedule(1.0, 0.0, 1),
        lambda progress: 1,
    ):
        ends, _ = run(TOY, Langevin(temperature_schedule=schedule), systems, **arguments)
        assert jnp.all(jnp.isfinite(ends.positions))
    with pytest.raises(JentmaxError, match=r"Langevin.entropy_schedule = 0.5 is not allowed"):
        Langevin(entropy_schedule=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timestep": 0}, "Langevin.timestep = 0 is not allowed; give a number above 0 (fs)"),
        ({"friction": -1}, "Langevin.friction = -1 is not allowed"),
        ({"temperature": -1}, "Langevin.temperature = -1 is not allowed"),
        ({"force_cap": 0}, "Langevin.force_cap = 0 is not allowed; give a number above 0, or inf"),
        ({"timestep": float("nan")}, "Langevin.timestep = NaN is not allowed"),
        ({"timestep": np.array([1.0, 0.0])}, "Langevin.timestep = [1.0, 0.0] is not allowed"),
        ({"temperatur": 5}, "Langevin.temperatur = 5 is unknown; did you mean temperature?"),
    ],
)
def test_fields_that_are_not_allowed(given, message):
    with pytest.raises(JentmaxError) as raised:
        Langevin(**given)
    assert message in str(raised.value)
