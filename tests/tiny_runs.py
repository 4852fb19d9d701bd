"""Runs of a few small structures and few steps; the same shapes, so that they compile once."""

import numpy as np

import jentmax
from jentmax.dataset import Dataset
from jentmax.generation import generate

BATCH = 4

TINY = (
    "run.structures=11",
    f"run.batch_size={BATCH}",
    "run.cycles_per_chain=2",
    "system.n_atoms=12",
    "system.density=[0.028, 0.03]",
    "system.aspect_ratio=[1.0, 1.05]",
    "descriptor.cutoff=3.6",
    "descriptor.twojmax=2",
    "descriptor.components=5",
    "potential.entropy_weight=[100, 200]",
    "sampler.steps=20",
    "quench.steps=5",
)

GIVEN = "scaling.scale=[2, 0.3, 0.5, 1, 0.6]"
"""About what a preliminary run would give."""


def tiny(*overrides, scaling=GIVEN):
    """Settings for 11 structures from 6 chains in 2 batches, with a given scale."""
    given = [*TINY, "scaling.kind=given", scaling] if scaling else TINY
    return jentmax.load("tungsten", [*given, *overrides])


def columns(path):
    """All that a data set file holds of its structures, one dictionary per structure."""
    with Dataset(path) as dataset:
        return [
            {
                "positions": atoms.positions,
                "numbers": atoms.numbers,
                "descriptors": atoms.arrays["descriptors"],
                "cell": dataset.cells[k],
                "attempt": dataset.attempt[k],
                "status": dataset.structure_status[k],
                "temperature": dataset.temperature[k],
                **atoms.info,
            }
            for k, atoms in enumerate(dataset)
        ]


def run(*overrides, path="set.h5", **options):
    """Generate a set, and give all that it holds of its structures."""
    return columns(generate(tiny(*overrides), path, overwrite=True, **options))


def assert_identical(one, other):
    """Two structures are the same bit for bit, in all that is stored of them."""
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name
