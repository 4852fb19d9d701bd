"""Descents: optimisers by name, replicas apart, FIRE, basin hopping."""

import contracts
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contracts import assert_close
from sampling import SPRINGS, forces, in_a_large_cell, keys_of, started

from jentmax.errors import JentmaxError
from jentmax.samplers import BasinHopping, Descent, Fire, run, schedules

pytestmark = pytest.mark.optimised


def atoms(n_replicas, seed=0):
    """Six atoms that repel each other, held together by springs."""
    rng = np.random.default_rng(seed)
    return in_a_large_cell(jnp.asarray(rng.uniform(0, 4, (6, 3, n_replicas))), np.full(6, 50.0))


def descended(sampler, n_replicas=4, steps=600):
    systems = atoms(n_replicas)
    return run(
        SPRINGS, sampler, systems, key=keys_of(0, n_replicas), steps=steps, entropy_weight=0.0,
        batch_size=n_replicas,
    )  # fmt: skip


@pytest.mark.parametrize(
    "sampler",
    [
        Descent(step_length=0.05),
        Descent("sgd", {"momentum": 0.9}, step_length=0.02),
        Descent(optax.sgd(1.0, momentum=0.9), step_length=0.02),
        Descent(noise=0.02),
        Fire(),
        BasinHopping(descents=2),
    ],
    ids=["adam", "momentum", "optax object", "noise", "fire", "basin hopping"],
)
def test_a_smooth_potential_ends_at_a_minimum(sampler):
    ends, info = descended(sampler)
    potential = SPRINGS.for_cells(ends)
    assert np.max(np.abs(forces(potential, atoms(4), 0.0))) > 0.5
    # The last steps are of 1e-4 Å and less.
    assert np.max(np.abs(forces(potential, ends, 0.0))) < 5e-3
    assert np.all(info.energy < contracts.evaluate(potential, atoms(4), 0.0).energy)
    assert not np.any(info.temperature)


def test_an_optimiser_by_name_is_that_object():
    for named, given in (
        (Descent("sgd", {"momentum": 0.9}), Descent(optax.sgd(1.0, momentum=0.9))),
        (Descent(), Descent(optax.adam(1.0, b1=0.5, b2=0.9))),
    ):
        (one, _), (other, _) = descended(named, steps=5), descended(given, steps=5)
        np.testing.assert_array_equal(one.positions, other.positions)


@pytest.mark.parametrize("name", ["adam", "novograd", "lamb"])
def test_replicas_do_not_see_each_other(name):
    """Of optimisers too that look at the length of the whole gradient."""
    sampler = Descent(name, step_length=0.05)
    together, _ = descended(sampler, 3, 20)
    for replica, system in enumerate(atoms(3)):
        key = keys_of(0, 3)[replica]
        alone, _ = run(SPRINGS, sampler, system, key=key, steps=20, entropy_weight=0.0)
        # XLA compiles other code for one structure.
        assert_close(alone.positions, together.positions[..., replica], "positions", 1e-9)


def test_noise_is_of_the_length_asked_for():
    sampler = Descent("sgd", step_length=1e-12, noise=0.3, noise_schedule=schedules.constant)
    ends, _ = descended(sampler, 200, 1)
    moves = np.asarray(ends.positions - atoms(200).positions)
    # 3600 normal numbers.
    assert moves.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * 3600))
    assert abs(moves.mean()) < 4 * 0.3 / np.sqrt(3600)


def test_schedules_of_a_descent():
    """Steps of signs have the step length's size; optax's schedules serve."""
    sampler = Descent("sign_sgd", step_length=0.1, step_schedule=optax.linear_schedule(1.0, 0.0, 1))
    systems, keys = atoms(2), keys_of(0, 2)
    cycle, state = started(SPRINGS, sampler, keys, systems, jnp.zeros(2))
    for number in range(4):
        before = np.array(state.system.positions)
        state, _ = cycle.advance(keys, state, number, number + 1, 4)
        moves = np.abs(state.system.positions - before)
        np.testing.assert_allclose(moves, 0.1 * (1 - (number + 1) / 4), atol=1e-12)


def test_basin_hopping_ends_at_the_best_of_its_minima():
    """Not above where its first descent alone ends."""
    hopped, info = descended(BasinHopping(descents=3, displacement=2.0), 16, 900)
    _, first = descended(Descent(), 16, 300)
    # The descents' ends are within their last steps of the minima.
    assert np.all(info.energy < first.energy + 1e-4)
    assert np.max(np.abs(forces(SPRINGS.for_cells(hopped), hopped, 0.0))) < 5e-3


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: Descent("adm"), ['"adm" is not an optax optimiser', "did you mean adam?", "lion"]),
        (lambda: Descent("apply_updates"), ["is not an optax optimiser"]),
        (lambda: Descent(options={"b3": 0.5}), ["b3", "fails", "b1, b2"]),
        (lambda: Descent("lbfgs", options={}), ['"lbfgs"', "fails"]),
        (lambda: Descent(3), ["Descent.optimizer = 3 is not allowed; give the name of an opt"]),
        (
            lambda: Descent(optax.sgd(1.0), {"b1": 1.0}),
            ["options are for an optimiser given by name"],
        ),
        (lambda: Descent(step_length=-1), ["Descent.step_length = -1 is not allowed", "Å"]),
        (lambda: Descent(noise=-1), ["Descent.noise = -1 is not allowed"]),
        (lambda: Fire(timestep=0), ["Fire.timestep = 0 is not allowed"]),
        (lambda: Fire(largest_step=0), ["Fire.largest_step = 0 is not allowed"]),
        (lambda: BasinHopping(descents=0.5), ["descents = 0.5 is not allowed; give a number of"]),
        (lambda: BasinHopping(displacement=0), ["BasinHopping.displacement = 0 is not allowed"]),
        (lambda: BasinHopping(noise=0), ["BasinHopping.noise = 0 is unknown"]),
    ],
)
def test_fields_that_are_not_allowed(make, parts):
    with pytest.raises(JentmaxError) as raised:
        make()
    for part in parts:
        assert part in str(raised.value)
