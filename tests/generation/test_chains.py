"""Chunks: pure functions of the recipe, the seed, the stream, the batch and the cycle."""

import dataclasses
import itertools
import threading

import ase.geometry
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import BATCH, assert_identical, ended, started, table, tiny

import jentmax as jm
from jentmax.errors import JentmaxError
from jentmax.samplers import Cycle

RANGES = {
    "start": jm.RandomStart("W8", density=(0.028, 0.03), aspect_ratio=(1.0, 1.05)),
    "entropy_weight": (100.0, 200.0),
}


@pytest.fixture(scope="module")
def resolved():
    return tiny(**RANGES).resolve(seed=5)


@pytest.fixture(scope="module")
def first(resolved):
    return resolved.chunk(1, 0)


@pytest.fixture(scope="module")
def second(resolved, first):
    return resolved.chunk(1, 1, first)


# Starts and K


def test_starts_depend_on_seed_stream_chain_and_cycle_alone():
    """Whatever was drawn before, and whatever else the recipe says."""
    start = jm.RandomStart(("W8", "W6Be2"), density=(0.028, 0.03))
    names = list(itertools.product((0, 1), (0, 1), (0, 7), (0, 3)))
    drawn = {name: start.draw(*name) for name in names}
    again = {name: start.draw(*name) for name in reversed(names)}
    for name in names:
        assert np.array_equal(drawn[name].positions, again[name].positions)
        assert np.array_equal(drawn[name].numbers, again[name].numbers)
        # The cell is the chain's own, for all its cycles.
        assert np.array_equal(drawn[name].cell, drawn[*name[:3], 0].cell)
    assert len({draw.positions.tobytes() for draw in drawn.values()}) == len(names)
    assert len({draw.cell.tobytes() for draw in drawn.values()}) == len(names) / 2


def test_starts_are_in_their_ranges():
    start = jm.RandomStart("W6Be2", density=(0.02, 0.03), aspect_ratio=(0.9, 1.2))
    orders = set()
    for chain in range(20):
        system = start.draw(3, 0, chain, 0)
        a, b, c = system.cell.diagonal()
        assert a == b
        assert 0.02 <= 8 / (a * b * c) <= 0.03
        assert 0.9 <= c / a <= 1.2
        _, distances = ase.geometry.get_distances(system.positions, cell=system.cell, pbc=True)
        assert (distances + 9 * np.eye(8)).min() >= 2.0
        assert sorted(system.numbers.tolist()) == [4, 4, *[74] * 6]
        orders.add(tuple(system.numbers.tolist()))
    assert len(orders) > 5


def test_k_is_each_chains_own(resolved, first, second):
    weights = first.entropy_weight
    assert np.array_equal(weights, second.entropy_weight)
    assert len(set(weights)) == BATCH
    assert ((weights >= 100) & (weights <= 200)).all()
    # Another batch size numbers the same chains.
    larger = dataclasses.replace(resolved.streams[0], batch_size=2 * BATCH)
    both = dataclasses.replace(resolved, streams=(larger,)).chunk(0, 0)
    assert np.array_equal(both.entropy_weight[BATCH:], weights)
    assert np.array_equal(both.cells[BATCH:], first.cells)
    other = dataclasses.replace(resolved, seed=6).chunk(1, 0)
    assert not np.any(other.entropy_weight == weights)


# Chunks


def test_columns(resolved, first):
    assert first.row.tolist() == [0, 1, 2, 3]
    assert first.chain.tolist() == [4, 5, 6, 7]
    assert first.cycle.tolist() == [0] * 4
    assert first.status.tolist() == [0] * 4
    assert first.status.dtype == np.int8
    assert first.descriptors.shape == (32, 5)
    assert first.descriptors.dtype == np.float32
    fractional = first.positions.reshape(4, 8, 3) @ np.linalg.inv(first.cells)
    assert ((fractional > -1e-12) & (fractional < 1 + 1e-12)).all()  # rounding of the way back
    for atoms, distance in zip(first.to_ase(), first.least_distance, strict=True):
        _, distances = ase.geometry.get_distances(atoms.positions, cell=atoms.cell, pbc=True)
        assert (distances + 9 * np.eye(8)).min() == pytest.approx(distance, rel=1e-5)  # float32


def test_values_are_those_of_the_positions(first, resolved):
    potential = resolved.recipe.potential
    with jax.enable_x64(True):
        systems = jm.System.from_ase(first.to_ase(), np.float64)
        weights = first.entropy_weight
        terms = potential.terms(systems.positions, systems.cell, systems.numbers, weights)
        # float32: 1e-7 of coordinates of some Å, against distances of features of some 0.1.
        for name in ("energy", "repulsion", "entropy"):
            found = getattr(first, name)
            assert np.allclose(found, getattr(terms, name), rtol=2e-4, atol=2e-4), name
        features = np.moveaxis(terms.features, -1, 0).reshape(32, 5)
        assert np.allclose(first.descriptors, features, rtol=2e-4, atol=1e-4)


def test_a_chunk_is_pure(resolved, first, second):
    """The same bits in another order, in another thread, and side by side."""
    assert_identical(table(resolved.chunk(1, 1, first)), table(second))
    found = {}

    def make(batch):
        own = tiny(**RANGES).resolve(seed=5)
        found[batch] = own.chunk(batch, 0)

    threads = [threading.Thread(target=make, args=(batch,)) for batch in (2, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_identical(table(found[1]), table(first))
    assert not np.any(found[0].positions == found[1].positions)


@pytest.mark.slow
def test_a_chunk_is_the_same_in_another_process(second, tmp_path):
    script = """
    ranges = {
        "start": jm.RandomStart("W8", density=(0.028, 0.03), aspect_ratio=(1.0, 1.05)),
        "entropy_weight": (100.0, 200.0),
    }
    resolved = tiny(**ranges).resolve(seed=5)
    np.savez("chunk.npz", **table(resolved.chunk(1, 1, resolved.chunk(1, 0))))
    """
    ended(started(script))
    with np.load("chunk.npz") as found:
        assert_identical(dict(found), table(second))


def test_a_chain_goes_on_from_where_it_was(resolved, first, monkeypatch):
    begun = []
    start = Cycle.start

    def spied(self, keys, systems, weights):
        begun.append(np.asarray(systems.positions))
        return start(self, keys, systems, weights)

    monkeypatch.setattr(Cycle, "start", spied)
    resolved.chunk(1, 1, first)
    expected = first.positions.reshape(4, 8, 3).astype(np.float32)
    assert np.array_equal(np.moveaxis(begun[0], -1, 0), expected)


def test_two_elements_keep_their_atoms():
    """The order of a chain's atoms is drawn once, unless it starts again."""
    recipe = tiny(formula="W6Be2")
    resolved = recipe.resolve()
    first = resolved.chunk(0, 0)
    second = resolved.chunk(0, 1, first)
    assert np.array_equal(first.numbers, second.numbers)
    assert sorted(first.numbers[:8].tolist()) == [4, 4, *[74] * 6]
    assert len({tuple(atoms.numbers) for atoms in first.to_ase()}) > 1


def test_progress_of_a_chunk():
    recipe = tiny(quench=jm.Quench(steps=20))
    told = []
    recipe.resolve().chunk(0, 0, callback=told.append)
    # A tenth of the cycle's 20 steps, then of the quench's 20 steps.
    assert told == pytest.approx([k / 20 for k in range(1, 21)])


def test_calls_that_make_no_sense(resolved, first, second):
    with pytest.raises(JentmaxError, match=r"cycle 1 of batch 1 continues from .* of cycle 0"):
        resolved.chunk(1, 1)
    with pytest.raises(JentmaxError, match="of 4 structures"):
        resolved.chunk(1, 1, first[:3])
    with pytest.raises(JentmaxError, match=r"cycle 1 of batch 2"):  # other chains
        resolved.chunk(2, 1, first)
    with pytest.raises(JentmaxError, match=r"cycle 1 of batch 1"):  # another cycle
        resolved.chunk(1, 1, second)
    for arguments, told in (
        ((-1, 0), "batch = -1"),
        ((0, -1), "cycle = -1"),
        ((0, 0, 1), "stream = 1"),
    ):
        with pytest.raises(JentmaxError, match=rf"{told} is not allowed"):
            resolved.chunk(*arguments[:2], stream=(*arguments, 0)[2])


# One device or several, and the user's switches


def test_the_users_switches_change_no_bit(first):
    with (
        jax.enable_x64(True),
        jax.threefry_partitionable(False),
        jax.default_matmul_precision("bfloat16"),
        jax.numpy_dtype_promotion("strict"),
        jax.default_prng_impl("rbg"),
    ):
        assert_identical(table(tiny(**RANGES).resolve(seed=5).chunk(1, 0)), table(first))


@pytest.mark.parametrize("x64", [False, True])
def test_float64_needs_no_switch(x64):
    with jax.enable_x64(x64):
        recipe = tiny(precision="float64")
        made = recipe.resolve().chunk(0, 0)
        assert jnp.ones(1).dtype == (jnp.float64 if x64 else jnp.float32)
    assert made.descriptors.dtype == np.float64
    assert np.any(made.positions != made.positions.astype(np.float32))
    with jax.enable_x64(True):
        systems = jm.System.from_ase(made.to_ase(), np.float64)
        terms = recipe.potential.terms(systems.positions, systems.cell, systems.numbers, 100.0)
        # Rounding of 1e-15, against distances in descriptor space of some 0.1.
        assert np.allclose(made.energy, terms.energy, rtol=1e-9)


# Numbers that are not finite


class Faulty(eqx.Module):
    """Langevin whose sixth tenth puts a number into one atom of one replica."""

    inner: jm.Langevin
    # As arrays, so that all run the same program.
    fault: jax.Array = eqx.field(converter=jnp.float32)
    at: jax.Array = eqx.field(converter=jnp.asarray)

    def init(self, potential, key, systems, entropy_weight):
        return self.inner.init(potential, key, systems, entropy_weight)

    def step(self, potential, key, state, progress):
        state, info = self.inner.step(potential, key, state, progress)
        positions = state.system.positions
        broken = positions.at[3, 1, 2].set(self.fault)
        positions = jnp.where(jnp.abs(progress - self.at) < 1e-3, broken, positions)
        return eqx.tree_at(lambda s: s.system.positions, state, positions), info


@pytest.mark.parametrize("fault", [np.nan, np.inf, 1e30, 1e4])
@pytest.mark.slow
def test_a_chain_gone_bad_is_no_others_trouble(resolved, first, fault):
    """1e30 is where no distance means anything, though all may be finite; nor at 1e4 in float32."""
    faulty = [Faulty(jm.Langevin(), fault, at) for at in (9.0, 0.55)]
    resolved = [
        dataclasses.replace(resolved, recipe=tiny(**RANGES, sampler=sampler)) for sampler in faulty
    ]
    clean, broken = (one.chunk(1, 0) for one in resolved)
    assert broken.status.tolist() == [0, 0, 1, 0]
    others = [0, 1, 3]
    assert_identical(table(broken[others]), table(clean[others]))
    # Its next cycle begins at a new start, in the cell it had; the others go on.
    starts = [resolved[0]._start(0, 4 + row, 1, broken, row) for row in range(4)]
    drawn = resolved[0].recipe.start.draw(5, 0, 6, 1)
    assert np.array_equal(starts[2].positions, drawn.positions)
    assert np.array_equal(starts[2].cell, clean.cells[2])
    assert np.array_equal(starts[1].positions, broken.positions[8:16])
    after = resolved[0].chunk(1, 1, broken)
    assert after.status.tolist() == [0] * 4
    assert_identical(table(after[others]), table(resolved[0].chunk(1, 1, clean)[others]))


@pytest.mark.parametrize("name", ["features", "energy", "entropy", "repulsion", "least_distance"])
def test_whatever_is_not_finite_is_seen(resolved, monkeypatch, name):
    run = Cycle.run

    def spied(self, *arguments):
        ends, terms, temperature = run(self, *arguments)
        values = getattr(terms, name)
        return ends, eqx.tree_at(
            lambda t: getattr(t, name), terms, values.at[..., 1].set(jnp.nan)
        ), temperature  # fmt: skip

    monkeypatch.setattr(Cycle, "run", spied)
    assert resolved.chunk(1, 0).status.tolist() == [0, 1, 0, 0]


def test_atoms_too_close(resolved, first):
    """They are counted, and nothing else changes; the chain begins again elsewhere."""
    asked = float(np.sort(first.least_distance)[1]) + 1e-6
    strict = dataclasses.replace(resolved, recipe=tiny(**RANGES, min_distance=asked))
    found = strict.chunk(1, 0)
    assert sorted(found.status.tolist()) == [0, 0, 2, 2]
    assert np.array_equal(found.status == 2, first.least_distance < asked)
    one, other = table(found), table(first)
    for columns in (one, other):
        columns.pop("status")
    assert_identical(one, other)
    row = int(np.argmin(first.least_distance))
    start = strict._start(0, 4 + row, 1, found, row)
    assert np.array_equal(start.positions, strict.recipe.start.draw(5, 0, 4 + row, 1).positions)


# A device whose memory is full


def little_memory(monkeypatch, most, where="start"):
    """So many structures fit."""
    call, sizes = getattr(Cycle, where), []

    def spied(self, *arguments):
        n = len(arguments[0])
        sizes.append(n)
        if n > most:
            raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return call(self, *arguments)

    monkeypatch.setattr(Cycle, where, spied)
    return sizes


@pytest.mark.parametrize("where", ["start", "advance"])
@pytest.mark.parametrize("most", [pytest.param(1, marks=pytest.mark.slow), 2, 3])
def test_out_of_memory_splits_the_execution(resolved, first, monkeypatch, where, most):
    """Never the numbering: starts, K and keys stay."""
    sizes = little_memory(monkeypatch, most, where)
    found = resolved.chunk(1, 0)
    assert max(sizes) == 4
    assert min(sizes) == min(most, 2)
    for name in ("row", "chain", "cycle", "status", "entropy_weight", "numbers", "cells"):
        assert np.array_equal(getattr(found, name), getattr(first, name)), name
    # Programs of other widths: last digits, which 20 steps have hardly grown.
    assert np.allclose(found.positions, first.positions, atol=1e-2)


def test_a_structure_larger_than_the_memory(resolved, monkeypatch):
    little_memory(monkeypatch, 0)
    with pytest.raises(JentmaxError, match=r"of 8 atoms: a single structure needs more memory"):
        resolved.chunk(0, 0)


def test_other_errors_of_the_device_are_not_taken_for_it(resolved, monkeypatch):
    def broken(*_):
        raise JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(Cycle, "start", broken)
    with pytest.raises(JaxRuntimeError, match="something else"):
        resolved.chunk(0, 0)


# What a file holds of it


@pytest.mark.parametrize(
    "recipe",
    [
        tiny(**RANGES),
        tiny(start=jm.RandomStart(("W8", "W6"), density=0.03), entropy_weight=3.0),
        tiny(precision="float64"),
        tiny(quench=jm.Quench(steps=5), min_distance=1.5),
    ],
)
def test_header_and_back(recipe):
    import json

    resolved = recipe.resolve(seed=2)
    content = json.loads(json.dumps(resolved.header()))
    again = type(resolved).from_header(recipe, content)
    assert again.streams == resolved.streams
    assert again.seed == 2
    assert again.header() == resolved.header()
    assert_identical(table(again.chunk(0, 0)), table(resolved.chunk(0, 0)))
