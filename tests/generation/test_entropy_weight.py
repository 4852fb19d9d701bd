"""K that sets itself: against laws of the least distance whose answer is known."""

import math
import types

import numpy as np
import pytest
import scipy.stats
from tiny_runs import columns, tiny

import jentmax as jm
from jentmax.dataset import Dataset, Stream
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.generation._entropy_weight import KEPT, largest_entropy_weight

RECIPE = {"entropy_weight": "auto", "min_distance": 2.0}


class Lawful:
    """A resolved recipe whose structures have the least distance of a law, and scatter about it."""

    def __init__(self, mean, deviation, largest=1e5, batch_size=16):
        self.mean, self.deviation, self.largest = mean, deviation, largest
        self.rng = np.random.default_rng(0)
        self.recipe = types.SimpleNamespace(min_distance=2.0, cycles_per_chain=2)
        self.streams = [Stream("W12", 12, 1.0, batch_size, 0.0)]
        self.batches = []

    def run(self, stream, chains, cycle, weights, previous, device, callback):
        self.batches.append([(int(chain), cycle) for chain in chains])
        assert (previous is None) == (cycle == 0)
        scatter = self.rng.normal(size=len(chains))
        distances = self.mean(np.log(weights)) + self.deviation(np.log(weights)) * scatter
        status = np.where(weights < self.largest, 0, 1)  # too large a K gives no finite numbers
        return types.SimpleNamespace(columns={"status": status, "least_distance": distances})


def found(law):
    return largest_entropy_weight(law, 0, 1)


LAWS = {
    "a line": (lambda log: 3.1 - 0.18 * log, lambda log: 0.04),
    # As measured: 39 atoms of tungsten, and scatter that shrinks as K grows.
    "a curve": (lambda log: 2.667 + 0.0094 * log - 0.0182 * log**2, lambda log: 0.2 / log),
    "a steep one": (lambda log: 2.8 - 0.5 * log, lambda log: 0.1),
    "a flat one": (lambda log: 2.4 - 0.05 * log, lambda log: 0.02),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_share_that_keeps_the_distance(law):
    """At the K found it is the one aimed at."""
    mean, deviation = LAWS[law]
    log = math.log(found(Lawful(mean, deviation)))
    share = scipy.stats.norm.sf((2.0 - mean(log)) / deviation(log))
    # 64 trials or more give the quantile: the share's standard error is sqrt(p (1 - p) / 64).
    assert abs(share - KEPT) < 2 * math.sqrt(KEPT * (1 - KEPT) / 64)
    assert share >= 0.95


def test_no_chain_is_that_of_a_structure_or_comes_twice():
    law = Lawful(*LAWS["a line"])
    found(law)
    tried = [chain for batch in law.batches for chain in batch]
    assert len(tried) == len(set(tried))
    numbers = [number for number, _ in tried]
    assert min(numbers) >= 2**29
    assert max(numbers) < 2**30  # where those of the run without entropy begin
    # The first chains have one cycle, all others as many as the set's.
    assert [cycle for batch in law.batches[:2] for _, cycle in batch] == [0] * 32
    assert sum(cycle == 1 for _, cycle in tried) == (len(tried) - 32) / 2


@pytest.mark.parametrize(("batch_size", "trials"), [(4, 32), (10, 40), (64, 64)])
def test_trials_fill_whole_batches(batch_size, trials):
    law = Lawful(*LAWS["a line"], batch_size=batch_size)
    found(law)
    assert {len(batch) for batch in law.batches} == {batch_size}
    first = [chain for batch in law.batches for chain, cycle in batch if cycle == 0]
    assert len(first) % trials == 0


def test_a_distance_that_is_never_kept_or_always():
    for mean, what in ((1.0, "all structures are closer"), (3.0, "no structure is closer")):
        law = Lawful(lambda log, mean=mean: mean + 0 * log, lambda log: 0.01, math.inf)
        with pytest.raises(
            JentmaxError, match=rf"min_distance = 2 Å: {what} at any entropy_weight"
        ):
            found(law)


def test_numbers_that_are_not_finite_count_as_too_close():
    """However far apart the others keep; such a step is no line, and K stays well below it."""
    law = Lawful(lambda log: 3 + 0 * log, lambda log: 0.01, largest=50.0)
    assert 10 < found(law) < 50


@pytest.mark.slow
def test_a_run():
    """K is found for each formula, stored, used again, and the distance is kept."""
    start = jm.RandomStart(("W8", "W7"), density=0.03)
    recipe = tiny(start=start, **RECIPE)
    told = []
    path = generate(recipe, structures=12, output="set.h5", seed=3, callback=told.append)
    found = columns(path)
    counts = np.diff(found["pointer"])
    weights = [set(found["entropy_weight"][counts == n]) for n in (8, 7)]
    assert [len(one) for one in weights] == [1, 1]
    assert weights[0] != weights[1]
    assert (found["least_distance"] >= 2.0).all()
    with Dataset(path) as dataset:
        assert dataset.recipe["entropy_weight"] == "auto"
        stored = [stream["entropy_weight"] for stream in dataset.header["streams"]]
    assert stored == [*weights[0], *weights[1]]
    assert any("eV for W7" in one.note for one in told)
    again = recipe.resolve(3)
    assert [stream.entropy_weight for stream in again.streams] == stored
    told.clear()
    generate(recipe, structures=16, output="set.h5", seed=3, callback=told.append)
    assert not any("finding K" in one.phase for one in told)
    assert np.array_equal(columns(path)["positions"][:60], found["positions"][:60])
