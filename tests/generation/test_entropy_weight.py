"""K that sets itself: against laws of the least distance whose answer is known."""

import math

import numpy as np
import pytest
import scipy.stats
from tiny_runs import columns, tiny

from jentmax.batch import Harvest
from jentmax.dataset import Dataset
from jentmax.entropy_weight import KEPT, largest_entropy_weight
from jentmax.errors import JentmaxError
from jentmax.generation import generate

AUTO = ("potential.entropy_weight=auto", "potential.min_distance=2.0")


class Lawful:
    """A runner whose structures have the least distance that a law says, and scatter about it."""

    def __init__(self, mean, deviation, largest=1e5):
        self.mean, self.deviation, self.largest = mean, deviation, largest
        self.rng = np.random.default_rng(0)
        self.batches = []

    def cycle(self, potential, chains, phase):
        self.batches.append([(chain.number, chain.cycle) for chain in chains])
        weights = np.array([chain.start.entropy_weight for chain in chains])
        scatter = self.rng.normal(size=len(chains))
        distances = self.mean(np.log(weights)) + self.deviation(np.log(weights)) * scatter
        return Harvest(
            positions=np.zeros((len(chains), 12, 3)),
            descriptors=np.zeros((len(chains), 12, 5)),
            columns={"least_distance": distances},
            finite=weights < self.largest,  # too large a K comes to no numbers at all
        )


def found(runner, *overrides):
    return largest_entropy_weight(tiny(*AUTO, *overrides), 12, runner, None)


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
    runner = Lawful(*LAWS["a line"])
    found(runner)
    tried = [chain for batch in runner.batches for chain in batch]
    assert len(tried) == len(set(tried))
    numbers = [number for number, _ in tried]
    assert min(numbers) >= 2**29
    assert max(numbers) < 2**30  # where those of the preliminary run begin
    # The first batch's chains have one cycle, all others as many as the set's.
    assert [cycle for batch in runner.batches for _, cycle in batch[:1]] == [0] + [0, 1] * (
        len(runner.batches) // 2
    )


@pytest.mark.parametrize(("batch_size", "trials"), [(4, 32), (10, 40), (64, 64)])
def test_trials_fill_whole_batches(batch_size, trials):
    runner = Lawful(*LAWS["a line"])
    found(runner, f"run.batch_size={batch_size}")
    assert {len(batch) for batch in runner.batches} == {trials}


def test_a_distance_that_is_never_kept_or_always():
    for law, what in ((1.0, "all structures come closer"), (3.0, "no structure comes closer")):
        runner = Lawful(lambda log, law=law: law + 0 * log, lambda log: 0.01, math.inf)
        with pytest.raises(JentmaxError, match=rf"potential\.min_distance = 2 Å: {what} whatever"):
            found(runner)


def test_numbers_that_are_not_finite_count_as_too_close():
    """However far apart the others keep; such a step is no line, and K stays well below it."""
    runner = Lawful(lambda log: 3 + 0 * log, lambda log: 0.01, largest=50.0)
    assert 10 < found(runner) < 50


def test_a_run():
    """K is found for each number of atoms, stored, and the distance is kept."""
    settings = tiny(*AUTO, "system.n_atoms=[8, 12]", "run.structures=12", "run.seed=3")
    path = generate(settings, "set.h5")
    weights = {8: set(), 12: set()}
    for structure in columns(path):
        weights[len(structure["positions"])].add(structure["entropy_weight"])
        assert structure["least_distance"] >= 2.0
    assert [len(found) for found in weights.values()] == [1, 1]
    assert weights[8] != weights[12]
    with Dataset(path) as dataset:
        assert 'entropy_weight = "auto"' in dataset.settings
        attempts = [dataset.attempt[dataset.chain == chain].max() for chain in range(6)]
        assert dataset.rejected == sum(attempts)
