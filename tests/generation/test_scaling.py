"""Typical values of the features: given, or from a preliminary run without entropy."""

import dataclasses

import ase
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import tiny

from jentmax import scaling as room
from jentmax.chains import random_start
from jentmax.describe import describe
from jentmax.errors import JentmaxError
from jentmax.scaling import feature_scaling
from jentmax.schedules import number_of


def preliminary(*overrides, steps=40):
    short = ["scaling.replicas=4", f"scaling.steps={steps}", "scaling.snapshots=5"]
    return tiny(*short, *overrides, scaling=None)


@pytest.fixture
def states(monkeypatch):
    """What `advance` was asked for and gave in the preliminary run."""
    seen = []
    advance = room.advance

    def spied(devices, sampler, keys, state, first, last, n_steps):
        result = advance(devices, sampler, keys, state, first, last, n_steps)
        seen.append((first, last, n_steps, sampler, result[1]))
        return result

    monkeypatch.setattr(room, "advance", spied)
    return seen


def test_given_scale_is_used_as_it_is():
    scaling = feature_scaling(tiny(scaling="scaling.scale=[1, 0.2, 3e-5, 40, 5]"), jnp.float32)
    assert scaling.scale.tolist() == [1, 0.2, 3e-5, 40, 5]
    assert scaling.shift.tolist() == [0, 0, 0, 0, 0]


def test_scale_is_the_deviation_of_the_features(states):
    """Of all atoms of snapshots from the second half, described here by another way."""
    scaling = feature_scaling(preliminary(), jnp.float64)
    assert [state[:3] for state in states] == [
        (0, 0, 40), (0, 20, 40),
        (20, 24, 40), (24, 28, 40), (28, 32, 40), (32, 36, 40), (36, 40, 40),
    ]  # fmt: skip
    structures = [
        ase.Atoms("W12", positions, cell=cell, pbc=True)
        for *_, state in states[2:]
        for positions, cell in zip(
            np.moveaxis(np.asarray(state.system.positions), -1, 0),
            np.moveaxis(np.asarray(state.system.cell), -1, 0),
            strict=True,
        )
    ]
    assert len(structures) == 4 * 5
    features = describe(structures, preliminary()).features
    assert features.shape == (4 * 5 * 12, 5)
    # float64 sums of some ten neighbours in another order.
    assert np.allclose(scaling.shift, features.mean(axis=0), rtol=1e-12)
    assert np.allclose(scaling.scale, features.std(axis=0), rtol=1e-10)


def test_the_run_is_without_entropy(states):
    plain = feature_scaling(preliminary(), jnp.float64)
    weighty = feature_scaling(preliminary("potential.entropy_weight=5000"), jnp.float64)
    assert np.array_equal(plain.scale, weighty.scale)
    assert np.array_equal(plain.shift, weighty.shift)
    sampler, state = states[0][-2:]
    assert not np.any(state.entropy_weight)
    assert sampler.temperature_schedule == number_of("constant")
    assert (sampler.temperature, sampler.friction) == (10_000, 10)


def test_its_chains_are_not_those_of_the_structures(monkeypatch):
    chains = []

    def spied(settings, chain):
        chains.append(chain)
        return random_start(settings, chain)

    monkeypatch.setattr(room, "random_start", spied)
    settings = preliminary("system.n_atoms=[12, 6, 8]")
    first = feature_scaling(settings, jnp.float64)
    assert len(set(chains)) == 4
    # The first number of atoms; far from any structure's chain, and still 32-bit integers.
    assert all(chain % 3 == 0 and 10**9 < chain < 2**31 - 10**6 for chain in chains)
    second = feature_scaling(settings, jnp.float64)
    assert np.array_equal(first.scale, second.scale)
    other = feature_scaling(preliminary("system.n_atoms=[12, 6, 8]", "run.seed=1"), jnp.float64)
    assert not np.any(first.scale == other.scale)


def test_a_feature_that_does_not_vary():
    """No atom ever has a neighbour within 0.6 Å."""
    settings = preliminary("descriptor.cutoff=0.6")
    with pytest.raises(
        JentmaxError,
        match=r"descriptor\.components: component 1 is 1 for every atom.*cutoff = 0\.6 Å"
        r'.*scaling\.kind = "given"',
    ):
        feature_scaling(settings, jnp.float64)


def test_a_run_that_is_not_finite(monkeypatch):
    """One atom of one replica is enough."""
    chains = []

    def broken(settings, chain):
        start = random_start(settings, chain)
        chains.append(chain)
        positions = start.positions.copy()
        positions[7, 1] += np.nan if len(chains) == 3 else 0
        return dataclasses.replace(start, positions=positions)

    monkeypatch.setattr(room, "random_start", broken)
    with pytest.raises(JentmaxError, match=r"not finite; lower scaling\.timestep = 1 fs"):
        feature_scaling(preliminary(), jnp.float64)


def test_a_run_that_takes_too_much_memory(monkeypatch):
    def full(*_):
        raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    monkeypatch.setattr(room, "advance", full)
    with pytest.raises(JentmaxError, match=r"scaling\.replicas = 4 structures of .*n_atoms = 12"):
        feature_scaling(preliminary(), jnp.float64)
