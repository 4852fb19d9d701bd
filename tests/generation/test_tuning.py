"""The batch size that a run chooses for itself."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import tiny

import jentmax as jm
from jentmax.dataset import Dataset, Stream
from jentmax.generation import Resolved, _tuning, generate
from jentmax.generation._tuning import chosen_batch_size, structure_steps_per_second

CACHE = Path("cache")
FILE = CACHE / "batch-sizes.json"


@pytest.fixture
def rates(monkeypatch):
    """Rates by size, in the place of measured ones, and the sizes that were asked for."""
    asked = []
    rates = {8: 80, 16: 150, 32: 200, 64: 206, 128: 900}

    def rate(resolved, devices):
        size = resolved.streams[0].batch_size
        asked.append(size)
        if rates.get(size) is None:
            raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return rates[size]

    monkeypatch.setattr(_tuning, "structure_steps_per_second", rate)
    monkeypatch.setattr(_tuning, "workers", lambda devices: [None, None])
    # So slow that a run is long, whose chunks may be long too.
    monkeypatch.setattr(_tuning, "ATOM_STEPS_PER_SECOND", {"cpu": 10})
    monkeypatch.setattr(_tuning, "_CHUNK_SECONDS", 1e9)
    return rates, asked


def chosen(n_chains=100_000, cache: Path | None = CACHE, batch_size=None, **changes):
    recipe = tiny(batch_size=batch_size, **changes)

    def sized(size):
        n_atoms = int(recipe.start.formula[1:])
        stream = Stream(recipe.start.formula, n_atoms, 1.0, size, 100.0)
        return Resolved(recipe, 0, (stream,), np.ones(5), np.zeros(5))

    size, reason = chosen_batch_size(sized, n_chains, None, cache, lambda _: None)
    return size, reason.split(",")[0]


def test_a_given_size_is_taken(rates):
    assert chosen(batch_size=5) == (5, "as given")
    assert not CACHE.exists()


def test_doubling_ends_when_it_gains_too_little(rates):
    assert chosen() == (32, "the fastest")
    assert rates[1] == [8, 16, 32, 64]


def test_what_was_measured_is_kept(rates):
    chosen()
    rates[1].clear()
    assert chosen(steps=21) == (32, "the fastest in an earlier measurement")
    assert not rates[1]
    # That would leave a device without chains.
    assert chosen(50) == (16, "the fastest")
    assert list(json.loads(FILE.read_text()).values()) == [32]


@pytest.mark.parametrize("change", [{"formula": "W9"}, {"precision": "float64"}])
def test_what_it_depends_on_is_measured_again(rates, change):
    chosen()
    rates[1].clear()
    chosen(**change)
    assert rates[1]
    assert len(json.loads(FILE.read_text())) == 2


def test_memory_ends_it_too(rates):
    rates[0][32] = None
    assert chosen() == (16, "the fastest")


def test_memory_for_few_alone(rates):
    for size in (8, 16):
        rates[0][size] = None
    rates[0].update({4: 9, 2: 5})
    assert chosen() == (4, "the fastest")


def test_no_more_than_there_are_chains(rates):
    rates[0][64] = 999
    assert chosen(100) == (32, "the fastest")


def test_chunks_take_about_a_minute(rates, monkeypatch):
    """Of large structures and many steps there are fewer side by side."""
    monkeypatch.setattr(_tuning, "_CHUNK_SECONDS", 60)
    monkeypatch.setattr(_tuning, "ATOM_STEPS_PER_SECOND", {"cpu": 1e6})
    # 1,500,000 steps of 8 atoms take 12 seconds for one structure.
    assert chosen(10_000, steps=1_500_000)[0] <= 5
    assert chosen(10, steps=1_500_000)[0] <= 5
    assert chosen(10, steps=100_000_000)[0] == 1


def test_short_runs_take_the_default(rates, monkeypatch):
    monkeypatch.setattr(_tuning, "ATOM_STEPS_PER_SECOND", {"cpu": 1e6})
    assert chosen(1000) == (16, "the default for short runs")
    assert chosen(10)[0] == 10
    assert not rates[1]


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"a": "b"}', "\x00"])
def test_a_broken_file_is_replaced(rates, text):
    CACHE.mkdir()
    FILE.write_text(text)
    assert chosen()[0] == 32
    assert list(json.loads(FILE.read_text()).values()) == [32]


def test_a_folder_that_cannot_be_written(rates):
    CACHE.write_text("a file")
    assert chosen()[0] == 32
    assert chosen(cache=None)[0] == 32


def test_the_measure_is_of_the_sampler():
    """Some thousand of these small structures a second, on any machine."""
    assert 10 < structure_steps_per_second(tiny().resolve(), 1) < 1e8


def test_a_set_that_chooses():
    """It depends on the number of structures; going on keeps it."""
    recipe = tiny(batch_size=None, cycles_per_chain=2, start=jm.RandomStart("W8", density=0.03))
    notes = []
    generate(recipe, structures=8, output="set.h5", callback=lambda told: notes.append(told.note))
    with Dataset("set.h5") as dataset:
        assert [stream["batch_size"] for stream in dataset.header["streams"]] == [4]
        first = dataset.positions
    assert "batch      4 side by side on each device, the default for short runs" in notes
    generate(recipe, structures=30, output="set.h5")
    with Dataset("set.h5") as dataset:
        assert np.array_equal(dataset.positions[: len(first)], first)
    generate(dataclasses.replace(recipe, batch_size=4), structures=30, output="set.h5")
