"""Typical values of the features: given, or from a run without entropy."""

import dataclasses

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import columns, tiny

import jentmax as jm
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.samplers import Cycle

SHORT = jm.FitScale(replicas=4, steps=40, snapshots=5)


def tiny_without(formula="W8", fit=SHORT, **changes):
    """The tiny recipe, which has no scale but a short run that finds it."""
    recipe = tiny(formula=formula, scale=None, **changes)
    return dataclasses.replace(recipe, scale=fit)


@pytest.fixture
def states(monkeypatch):
    """What `Cycle.advance` was asked for and gave in the run without entropy."""
    seen, advance = [], Cycle.advance

    def spied(self, keys, state, first, last, steps):
        found = advance(self, keys, state, first, last, steps)
        if steps == SHORT.steps:  # the programs that compile meanwhile take none
            kept = jax.tree.map(np.asarray, (found[0].system, found[0].entropy_weight))
            seen.append((first, last, self.sampler, *kept))
        return found

    monkeypatch.setattr(Cycle, "advance", spied)
    return seen


def test_the_run_tells_how_far_it_is():
    told = []
    tiny_without().resolve(callback=lambda phase, note: told.append((phase, note)))
    shares = [phase.partition(", ")[2] for phase, _ in told if phase.startswith("compiling and")]
    assert shares == ["", *(f"{percent} %" for percent in range(0, 101, 10))]


def test_small_cells_are_told():
    """A little less than twice the cutoff and a step takes many times longer."""

    def notes(density):
        told = []
        tiny(density=density).resolve(callback=lambda phase, note: told.append(note))
        return [note for note in told if note.startswith("cells")]

    assert notes(0.02) == []
    [note] = notes((0.02, 0.03))
    assert "6.44 Å, less than twice the cutoff of 3.6 Å: a step needs 8 images of each pair" in note


def test_a_given_scale_is_used_as_it_is():
    resolved = tiny(scale=[1, 0.2, 3e-5, 40, 5]).resolve()
    assert resolved.scale == pytest.approx([1, 0.2, 3e-5, 40, 5], rel=1e-7)
    assert resolved.shift.tolist() == [0, 0, 0, 0, 0]


def test_the_scale_is_the_deviation_of_the_features(states):
    """Of all atoms of snapshots from the second half, described here by another way."""
    recipe = tiny_without(precision="float64")
    resolved = recipe.resolve()
    assert [state[:2] for state in states] == [(k, k + 4) for k in range(0, 40, 4)]
    structures = [
        ase.Atoms("W8", positions, cell=cell, pbc=True)
        for *_, system, _ in states[5:]
        for positions, cell in zip(
            np.moveaxis(system.positions, -1, 0), np.moveaxis(system.cell, -1, 0), strict=True
        )
    ]
    assert len(structures) == 4 * 5
    features = jm.describe(structures, recipe.potential.descriptor).features
    assert features.shape == (4 * 5 * 8, 5)
    # float64 sums of some ten neighbours in another order.
    assert np.allclose(resolved.shift, features.mean(axis=0), rtol=1e-12)
    assert np.allclose(resolved.scale, features.std(axis=0), rtol=1e-10)
    _, _, sampler, _, weight = states[0]
    assert not weight.any()
    assert (float(sampler.temperature), float(sampler.friction)) == (10_000, 10)


def test_it_depends_on_neither_k_nor_the_batch_size():
    plain = tiny_without().resolve(3)
    other = tiny_without(entropy_weight=5000.0, batch_size=2).resolve(3)
    assert np.array_equal(plain.scale, other.scale)
    assert np.array_equal(plain.shift, other.shift)
    assert not np.any(plain.scale == tiny_without().resolve(4).scale)


def test_its_chains_are_not_those_of_the_structures(monkeypatch):
    chains, draw = [], jm.RandomStart.draw

    def spied(self, seed, stream, chain, cycle):
        chains.append((stream, chain, cycle))
        return draw(self, seed, stream, chain, cycle)

    monkeypatch.setattr(jm.RandomStart, "draw", spied)
    tiny_without().resolve()
    far = {chain for chain in chains if chain[1] >= 2**30}
    assert far == {(0, 2**30 + k, 0) for k in range(4)}


def test_a_set_stores_what_was_found():
    recipe = tiny_without()
    path = generate(recipe, structures=3, output="set.h5", seed=2)
    resolved = recipe.resolve(2)
    with jm.Dataset(path) as dataset:
        assert np.array_equal(dataset.scale, resolved.scale)
        assert np.array_equal(dataset.shift, resolved.shift)
        assert dataset.recipe["scale"]["steps"] == 40
    first = columns(path)
    generate(recipe, structures=6, output="set.h5", seed=2)  # which finds no scale again
    assert np.array_equal(columns(path)["positions"][:24], first["positions"])


def test_of_a_potential():
    """The scale of 16 replicas at most; one structure will do, in its own precision."""
    potential = tiny(scale=None).potential
    systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=6)
    fit = jm.FitScale(replicas=2, steps=20, snapshots=2)
    found = jm.fit_scale(potential, systems, key=jax.random.key(1), fit=fit)
    fewer = jm.fit_scale(potential, systems[:2], key=jax.random.key(1), fit=fit)
    assert found.scale is not None
    assert fewer.scale is not None
    assert np.array_equal(found.scale, fewer.scale)
    assert found.scale.dtype == systems.positions.dtype
    assert found.scale.shape == (5,)
    one = jm.fit_scale(potential, systems[0], key=jax.random.key(1), fit=fit)
    assert one.scale is not None
    assert one.scale.shape == (5,)
    assert potential.scale is None


def test_a_feature_that_does_not_vary():
    """No atom ever has a neighbour within 0.6 Å."""
    snap = jm.Snap(cutoff=0.6, twojmax=2, components=5)
    potential = jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor())
    recipe = dataclasses.replace(tiny_without(), potential=potential)
    with pytest.raises(
        JentmaxError, match=r"descriptor: feature 1 is .* for every atom.*or give the scale"
    ):
        recipe.resolve()


def test_a_run_that_is_not_finite(monkeypatch):
    """One atom of one replica is enough."""
    draw = jm.RandomStart.draw

    def broken(self, seed, stream, chain, cycle):
        start = draw(self, seed, stream, chain, cycle)
        if chain != 2**30 + 2:
            return start
        positions = start.positions.copy()
        positions[7, 1] = np.nan
        return dataclasses.replace(start, positions=positions)

    monkeypatch.setattr(jm.RandomStart, "draw", broken)
    with pytest.raises(JentmaxError, match=r"non-finite; lower scale\.timestep = 1 fs"):
        tiny_without().resolve()


def test_a_run_that_takes_too_much_memory(monkeypatch):
    def full(*_):
        raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    potential = tiny(scale=None).potential
    systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=4)
    monkeypatch.setattr(Cycle, "advance", full)
    with pytest.raises(JentmaxError, match=r"scale\.replicas = 4 structures of 8 atoms need more"):
        jm.fit_scale(potential, systems, key=jax.random.key(1), fit=SHORT)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"steps": 0}, r"FitScale\.steps = 0"),
        ({"steps": 5, "snapshots": 6}, r"snapshots = 6 exceeds scale\.steps = 5"),
        ({"temperature": 0.0}, r"FitScale\.temperature = 0\.0"),
        ({"replica": 3}, r"FitScale\.replica = 3 is unknown; did you mean replicas\?"),
    ],
)
def test_bad_settings(arguments, told):
    with pytest.raises(JentmaxError, match=told):
        jm.FitScale(**arguments)


def test_a_key_that_is_none():
    systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=2)
    with pytest.raises(JentmaxError, match="random key"):
        jm.fit_scale(tiny(scale=None).potential, systems, key=jnp.array(0.5), fit=SHORT)


def test_x64_ends_with_it():
    with jax.enable_x64(False):
        tiny_without(precision="float64").resolve()
        assert jnp.ones(1).dtype == jnp.float32
