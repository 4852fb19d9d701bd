"""Descents: optimisers by name, replicas apart, FIRE, basin hopping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_samplers import forces, in_a_large_cell, init, keys_of, repelled_by, terms, weights_of
from tiny_runs import run as generated
from tiny_runs import tiny

from jentmax.build import build_potential, build_sampler
from jentmax.errors import JentmaxError
from jentmax.samplers import BasinHopping, Descent, Fire, named_optimizer, run

SPRINGS = repelled_by(lambda squared: 2 * jnp.exp(-squared / 4) + 0.02 * squared)


def atoms(n_replicas, seed=0):
    """Six atoms that repel each other, held together by springs."""
    rng = np.random.default_rng(seed)
    return in_a_large_cell(jnp.asarray(rng.uniform(0, 4, (6, 3, n_replicas))), np.full(6, 50.0))


def descended(sampler, n_replicas=4, n_steps=600):
    system, keys = atoms(n_replicas), keys_of(0, n_replicas)
    weights = weights_of(0.0, n_replicas, jnp.float64)
    start = init(sampler, keys, system, weights)
    end, _ = run(sampler, keys, start, 0, n_steps, n_steps)
    return start, end, weights


@pytest.mark.parametrize(
    "sampler",
    [
        Descent(SPRINGS, named_optimizer("adam"), 0.05),
        Descent(SPRINGS, named_optimizer("sgd", (("momentum", 0.9),)), 0.02),
        Descent(SPRINGS, noise=0.02),
        Fire(SPRINGS),
        BasinHopping(SPRINGS, descents=2),
    ],
    ids=["adam", "momentum", "noise", "fire", "basin hopping"],
)
def test_a_smooth_potential_ends_at_a_minimum(sampler):
    start, end, weights = descended(sampler)
    assert np.max(np.abs(forces(SPRINGS, start.system, weights))) > 0.5
    # The last steps are of 1e-4 Å and less.
    assert np.max(np.abs(forces(SPRINGS, end.system, weights))) < 5e-3


@pytest.mark.parametrize("name", ["adam", "novograd", "lamb"])
def test_replicas_do_not_see_each_other(name):
    """Of optimisers too that look at the length of the whole gradient."""
    sampler = Descent(SPRINGS, named_optimizer(name), 0.05)
    _, together, _ = descended(sampler, 3, 20)
    system, keys, weights = atoms(3), keys_of(0, 3), weights_of(0.0, 3, jnp.float64)
    for replica in range(3):
        alone = jax.tree.map(lambda array, k=replica: array[..., k], system)
        start = init(sampler, keys[replica], alone, weights[replica])
        end, _ = run(sampler, keys[replica], start, 0, 20, 20)
        # XLA compiles other code for one structure.
        np.testing.assert_allclose(
            end.system.positions, together.system.positions[..., replica], rtol=1e-9, atol=1e-9
        )


def test_noise_is_of_the_length_asked_for():
    sampler = Descent(SPRINGS, named_optimizer("sgd"), 0.0, noise=0.3, noise_schedule="constant")
    start, end, _ = descended(sampler, 200, 1)
    moves = np.asarray(end.system.positions - start.system.positions)
    # 3600 normal numbers.
    assert moves.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * 3600))
    assert abs(moves.mean()) < 4 * 0.3 / np.sqrt(3600)


def test_basin_hopping_ends_at_the_best_of_its_minima():
    """Not above where its first descent alone ends."""
    hopping = BasinHopping(SPRINGS, descents=3, displacement=2.0)
    _, end, weights = descended(hopping, 16, 900)
    single = Descent(SPRINGS)
    _, first, _ = descended(single, 16, 300)
    # The descents' ends are within their last steps of the minima.
    assert np.all(terms(SPRINGS, end).energy < terms(SPRINGS, first).energy + 1e-4)
    assert np.max(np.abs(forces(SPRINGS, end.system, weights))) < 5e-3


def test_the_same_optimizer_whenever_it_is_asked_for():
    """Or each batch would compile anew."""
    assert named_optimizer("adam", (("b1", 0.5),)) is named_optimizer("adam", (("b1", 0.5),))
    assert isinstance(named_optimizer("lion"), optax.GradientTransformation)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["sampler.optimizer=adm"], ['"adm" is no optimiser', "did you mean adam?", "lion"]),
        (["sampler.optimizer=apply_updates"], ["is no optimiser"]),
        (["sampler.options={b3=0.5}"], ["b3", "cannot be used", "b1, b2"]),
        (["sampler.optimizer=lbfgs", "sampler.options={}"], ['"lbfgs"', "cannot be used"]),
    ],
)
def test_optimizers_that_cannot_be_used(overrides, parts):
    settings = tiny("sampler.kind=optax", *overrides)
    potential = build_potential(settings, np.ones(5))
    with pytest.raises(JentmaxError) as raised:
        build_sampler(settings, potential)
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize("kind", ["optax", "fire", "basin-hopping"])
def test_structures_by_every_sampler(kind):
    structures = generated(f"sampler.kind={kind}", "sampler.steps=20", "run.structures=3")
    assert len(structures) == 3
    for structure in structures:
        assert structure["temperature"] == 0
        assert np.isfinite(structure["energy_effective"])
