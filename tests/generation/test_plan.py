"""Which chunk comes next, and several formulas merged by their shares."""

import types
from typing import Any

import numpy as np
import pytest
from tiny_runs import assert_identical, columns, left, made, tiny

import jentmax as jm
from jentmax.dataset import ChunkId, Dataset, Parts
from jentmax.errors import JentmaxError
from jentmax.generation import ALONE, Process, generate
from jentmax.generation._plan import Plan


def plan_of(structures, shares=(1.0,), size=4, cycles=1, process=ALONE):
    streams = [types.SimpleNamespace(batch_size=size, share=share) for share in shares]
    recipe = types.SimpleNamespace(cycles_per_chain=cycles)
    resolved: Any = types.SimpleNamespace(streams=streams, recipe=recipe)
    return Plan(resolved, structures, process)


def finish(plan, accept=lambda chunk: 4, most=10_000):
    """Make chunks until the plan is complete; the order in which they were made."""
    order = []
    while not plan.complete and not plan.hopeless:
        [chunk] = plan.next(1, set())
        n = accept(chunk)
        plan.add(chunk, (n, 0, 4 - n))
        order.append(chunk)
        assert len(order) < most
    return order


@pytest.mark.parametrize("cycles", [1, 3])
def test_chunks_come_in_their_order(cycles):
    order = finish(plan_of(21, cycles=cycles))
    assert order == [ChunkId(0, *divmod(k, cycles)) for k in range(6)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("accept", [4, 2, 1])
def test_processes_begin_elsewhere_and_help_each_other(count, accept):
    """Each alone makes all that is needed, and those that share make nothing twice."""
    for index in range(count):
        plan = plan_of(40, process=Process(index, count))
        order = finish(plan, lambda chunk: accept)
        assert sorted(chunk.batch for chunk in order) == list(range(len(order)))
        assert len(order) * accept >= 40
        assert (len(order) - 1) * accept < 40 + 4 * count
        own = [chunk.batch for chunk in order if chunk.batch % count == index]
        assert own == sorted(own)
    together = [plan_of(40, process=Process(index, count)) for index in range(count)]
    made = []
    while not together[0].complete:
        for one in together:
            for chunk in one.next(1, set()):
                made.append(chunk)
                for other in together:
                    other.add(chunk, (accept, 0, 4 - accept))
    assert len(made) == len(set(made))


def test_a_cycle_waits_for_the_one_before():
    plan = plan_of(100, cycles=5)
    under_way = set(plan.next(3, set()))
    assert under_way == {ChunkId(0, batch, 0) for batch in range(3)}
    assert plan.next(30, under_way) == [ChunkId(0, 3, 0), ChunkId(0, 4, 0)]
    plan.add(ChunkId(0, 1, 0), (4, 0, 0))
    assert plan.next(1, under_way) == [ChunkId(0, 1, 1)]
    assert plan.next(0, set()) == plan.next(-2, set()) == []


def test_gaps_count_for_nothing():
    plan = plan_of(8)
    for batch in (1, 2, 3):
        plan.add(ChunkId(0, batch, 0), (4, 0, 0))
    assert not plan.complete
    assert plan.done == 8
    assert plan.next(5, set()) == [ChunkId(0, 0, 0)]
    plan.add(ChunkId(0, 0, 0), (0, 4, 0))
    assert plan.complete
    plan.remove(ChunkId(0, 1, 0))
    assert plan.complete is False
    assert plan.next(5, set()) == [ChunkId(0, 1, 0)]
    assert plan.discarded == {"not finite": 4, "too close": 0}


def test_many_chunks_are_planned_quickly(monkeypatch):
    """A look at a set of 20,000 chunks is no look at each of them; in calls, not in seconds."""
    plan = plan_of(80_000)
    for batch in range(20_000):
        plan.add(ChunkId(0, batch, 0), (4, 0, 0))
    assert plan.complete
    calls = []
    chunk = plan._chunk
    monkeypatch.setattr(plan, "_chunk", lambda *place: calls.append(1) or chunk(*place))
    assert plan.complete
    assert plan.next(3, set()) == []
    assert len(calls) < 10


def test_few_accepted():
    """Fewer than 1 % of four chunks, and of 32 structures if these are small."""
    plan = plan_of(1000)
    order = finish(plan, lambda chunk: 0)
    assert len(order) == 8
    large = plan_of(1000, size=100)
    for batch in range(4):
        assert not large.hopeless
        large.add(ChunkId(0, batch, 0), (1 if batch == 2 else 0, 50, 50 - (batch == 2)))
    assert large.hopeless
    for later in range(4, 10):  # they do not make up for it
        large.add(ChunkId(0, later, 0), (100, 0, 0))
    assert large.hopeless
    lucky = plan_of(1000, size=100)
    for batch in range(4):
        lucky.add(ChunkId(0, batch, 0), (1, 50, 49))
    assert not lucky.hopeless


def test_a_share_of_a_fifth_is_no_reason_to_stop():
    rng = np.random.default_rng(0)
    order = finish(plan_of(400, size=4), lambda chunk: rng.binomial(4, 0.2))
    # The sum of n draws scatters by 0.8 sqrt(n), each of which gives 0.8: three deviations.
    assert len(order) == pytest.approx(500, abs=70)


# Several formulas


FORMULAS = ("W8", "W6", "W7")


def recipe(**changes):
    return tiny(start=jm.RandomStart(FORMULAS, density=0.03), steps=10, **changes)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixture") / "set.h5"
    return columns(generate(recipe(), structures=13, output=path))


@pytest.mark.slow
def test_every_first_n_is_within_one_of_its_shares(mixture):
    counts = np.diff(mixture["pointer"])
    for n in range(1, 14):
        for formula in FORMULAS:
            found = int(np.sum(counts[:n] == int(formula[1:])))
            assert abs(found - n / 3) < 1, (n, formula)
    for formula in FORMULAS:
        own = counts == int(formula[1:])
        assert mixture["chain"][own].tolist() == [0, 1, 2, 3, 0][: own.sum()]
        assert mixture["cycle"][own].tolist() == [0, 0, 0, 0, 1][: own.sum()]


@pytest.mark.parametrize("structures", [1, 4, 12])
def test_fewer_are_the_first_ones(mixture, structures):
    fewer = made(recipe(), structures)
    n_atoms = mixture["pointer"][structures]
    for name, values in fewer.items():
        atoms = name in ("positions", "numbers", "descriptors")
        expected = mixture[name][: n_atoms if atoms else structures + (name == "pointer")]
        assert np.array_equal(values, expected), name


@pytest.mark.slow
def test_a_larger_mixture_only_appends(mixture):
    made(recipe(), 5)
    assert_identical(made(recipe(), 13), mixture)
    assert left() == ["set.h5"]


def test_streams_of_a_mixture(mixture):
    """Each is that of its number: chains of other streams start elsewhere."""
    resolved = recipe().resolve()
    assert [(s.formula, s.n_atoms, s.share) for s in resolved.streams] == [
        ("W8", 8, 1.0), ("W6", 6, 1.0), ("W7", 7, 1.0)
    ]  # fmt: skip
    chunk = resolved.chunk(0, 0, stream=1)
    [first, *_] = np.flatnonzero(np.diff(mixture["pointer"]) == 6)
    atoms = slice(*mixture["pointer"][first : first + 2])
    assert np.array_equal(chunk.positions[:6], mixture["positions"][atoms])


# Discarded structures


def test_discarded_structures(mixture):
    """They are counted and stored, and the others are the first ones that are accepted."""
    plain = tiny(cycles_per_chain=1)
    free = columns(generate(plain, structures=16, output="free.h5"))
    asked = float(np.sort(free["least_distance"])[5]) + 1e-6
    told = []
    strict = made(tiny(cycles_per_chain=1, min_distance=asked), 10, callback=told.append)
    kept = free["least_distance"] >= asked
    assert kept.sum() == 10
    assert np.array_equal(strict["chain"], free["chain"][kept])
    assert np.array_equal(
        strict["positions"], free["positions"].reshape(-1, 8, 3)[kept].reshape(-1, 3)
    )
    assert (strict["least_distance"] >= asked).all()
    with Dataset("set.h5") as dataset:
        n = dataset.discarded["too close"]
        assert dataset.discarded["not finite"] == 0
        assert n >= 6 - (not kept[-1])
        assert dataset.fraction_discarded == n / (4 * len(dataset.chunks))
    assert told[-1].discarded == {"not finite": 0, "too close": n}
    made(tiny(cycles_per_chain=1, min_distance=asked), 12)
    with Dataset("set.h5") as dataset:
        assert dataset.discarded["too close"] >= n
        assert np.array_equal(dataset.positions[:80], strict["positions"])


def test_a_distance_that_no_structure_keeps():
    for _ in range(2):  # and nothing more is made when it is tried again
        with pytest.raises(
            JentmaxError,
            match=r"^0 of the first 32 structures, in 8 chunks, were accepted: 32 have atoms "
            r'closer than min_distance = 2\.9 Å; lower it or entropy_weight, or let .* "auto"',
        ):
            generate(tiny(min_distance=2.9), structures=100, output="set.h5", devices=1)
        assert len(Parts("set.h5").chunks()) == 8


def test_a_sampler_that_blows_up():
    recipe = tiny(sampler=jm.Langevin(timestep=1e4, force_cap=float("inf")), cycles_per_chain=1)
    with pytest.raises(
        JentmaxError,
        match=r"were accepted: \d+ were not finite; lower sampler\.timestep or sampler\.force_cap",
    ):
        generate(recipe, structures=100, output="set.h5")
