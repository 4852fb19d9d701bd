"""Recipes of a few small structures and few steps; the same shapes, so that they compile once."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

import jentmax as jm
from jentmax.dataset import Dataset
from jentmax.generation import generate

BATCH = 4


class Stopped(Exception):
    """What reports raise to end a run."""


GIVEN = (2.0, 0.3, 0.5, 1.0, 0.6)
"""About what a run without entropy would give."""

COLUMNS = (
    "index",
    "chain",
    "cycle",
    "energy",
    "repulsion",
    "entropy",
    "entropy_weight",
    "least_distance",
    "temperature",
    "cells",
    "pbc",
    "pointer",
    "positions",
    "numbers",
    "descriptors",
)


def tiny(entropy=None, formula="W8", density=0.03, scale=GIVEN, **changes):
    """A recipe of two cycles per chain in batches of 4."""
    snap = jm.Snap(cutoff=3.6, twojmax=2, components=5)
    entropy = jm.NearestNeighbor() if entropy is None else entropy
    fields = {
        "steps": 20,
        "entropy_weight": 100.0,
        "batch_size": BATCH,
        "cycles_per_chain": 2,
        "sampler": jm.Langevin(),
        "start": jm.RandomStart(formula, density=density),
    }
    return jm.Recipe(jm.Potential(snap, jm.ClarkeSmith(), entropy, scale=scale), **fields | changes)


def columns(path, n=None):
    """All that a set holds of its first structures, by name."""
    with Dataset(path) as dataset:
        found = {name: np.array(getattr(dataset, name)) for name in COLUMNS}
    if n is not None:
        last = found["pointer"][n]
        for name, values in found.items():
            atoms = name in ("positions", "numbers", "descriptors")
            found[name] = values[: last if atoms else n + (name == "pointer")]
    return found


def made(recipe, structures: Any = 11, output="set.h5", **options):
    """Generate a set, and give all that it holds."""
    return columns(generate(recipe, structures=structures, output=output, **options))


def assert_identical(one, other):
    """Two sets, structures or chunks are the same bit for bit, in all that is stored of them."""
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].shape == other[name].shape, name
        assert one[name].tobytes() == other[name].tobytes(), name


def table(structures):
    """All that structures hold, by name."""
    fields = {name: getattr(structures, name) for name in ("positions", "numbers", "cells", "pbc")}
    return fields | dict(structures.columns) | dict(structures.atom_columns)


PROLOGUE = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import jax
jax.config.update("jax_numpy_dtype_promotion", "standard")
import jentmax as jm
from jentmax.generation import Process, generate
from tiny_runs import *
"""


def started(script, *words, **options):
    """A Python process that knows this module's names."""
    code = PROLOGUE + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process, code=0):
    """The output of a process that ends with a code."""
    output, errors = process.communicate(timeout=200)
    assert process.returncode == code, (process.returncode, output, errors)
    return output


def left(folder: str | os.PathLike = "."):
    """Names in a folder."""
    return sorted(os.listdir(folder))
