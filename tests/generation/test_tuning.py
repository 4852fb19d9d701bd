"""The batch size that a run chooses for itself."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest
from jax.errors import JaxRuntimeError
from tiny_runs import tiny

from jentmax import tuning
from jentmax.tuning import chosen_batch_size, structure_steps_per_second

LONG = ["run.structures=100000", "run.cycles_per_chain=1", "run.batch_size=auto"]
CACHE = Path("cache")
FILE = CACHE / "batch-sizes.json"


@pytest.fixture
def rates(monkeypatch):
    """Rates by size, in the place of measured ones, and the sizes that were asked for."""
    asked = []
    rates = {8: 80, 16: 150, 32: 200, 64: 206, 128: 900}

    def rate(settings, size, n_devices, dtype):
        asked.append(size)
        if rates.get(size) is None:
            raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return rates[size]

    monkeypatch.setattr(tuning, "structure_steps_per_second", rate)
    monkeypatch.setattr(tuning.jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(tuning, "ATOM_STEPS_PER_SECOND", {"cpu": 10})
    return rates, asked


def chosen(*overrides, n_devices=2, cache=CACHE):
    size, reason = chosen_batch_size(
        tiny(*LONG, *overrides), n_devices, jnp.float32, cache, lambda _: None
    )
    return size, reason.split(",")[0]


def test_a_given_size_is_taken(rates):
    assert chosen("run.batch_size=5") == (5, "as given")
    assert not CACHE.exists()


def test_doubling_ends_where_it_gains_too_little(rates):
    assert chosen() == (32, "the fastest")
    assert rates[1] == [8, 16, 32, 64]


def test_what_was_measured_is_kept(rates):
    chosen()
    rates[1].clear()
    assert chosen("run.seed=3", "sampler.steps=21") == (32, "the fastest when it was measured")
    assert not rates[1]
    # That would leave a device without chains.
    assert chosen("run.structures=50") == (16, "the fastest")
    assert list(json.loads(FILE.read_text()).values()) == [32]


@pytest.mark.parametrize(
    "change", ["system.n_atoms=13", "descriptor.cutoff=3.7", "run.precision=float64"]
)
def test_what_it_depends_on_is_measured_anew(rates, change):
    chosen()
    rates[1].clear()
    chosen(change)
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
    assert chosen("run.structures=100") == (32, "the fastest")


def test_short_runs_take_the_default(rates, monkeypatch):
    monkeypatch.setattr(tuning, "ATOM_STEPS_PER_SECOND", {"cpu": 1e6})
    assert chosen("run.structures=1000") == (16, "the default for short runs")
    assert chosen("run.structures=10")[0] == 10
    assert chosen("run.structures=20", "system.n_atoms=[10, 12]")[0] == 10
    assert not rates[1]


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"a": "b"}', "\x00"])
def test_a_broken_file_is_made_anew(rates, text):
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
    assert 10 < structure_steps_per_second(tiny(), 2, 1, jnp.float64) < 1e8
