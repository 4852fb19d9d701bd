"""The five scripts that measure the library, and what importing it may not do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jentmax as jm

SCRIPTS = Path(__file__).parent / "target_scripts"

SMALLER = {
    "replicas=256": "replicas=3",
    "steps=3000": "steps=20",
    "structures=1000": "structures=6",
    "n = jm.Langevin(timestep=1.0), 100": "n = jm.Langevin(timestep=1.0), 5",
    "systems, key=k2)": "systems, key=k2, fit=jm.FitScale(steps=20))",
}
"""Sizes for a test; the scripts themselves have those of real use."""

BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pydantic", "tomllib") or name.startswith("jentmax.config"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""

RUN_TOML = """
steps = 20
entropy_weight = 300.0
cycles_per_chain = 1
quench = false
scale = [3.0, 0.4, 0.5, 1.4, 0.5, 1.1]

[start]
formula = "W39"
density = 0.03
aspect_ratio = 1.0
"""


def copied(folder):
    """The scripts in small sizes."""
    for script in SCRIPTS.glob("*.py"):
        text = script.read_text()
        for large, small in SMALLER.items():
            text = text.replace(large, small)
        (folder / script.name).write_text(text)


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "script",
    [
        "energy",
        *(
            pytest.param(script, marks=pytest.mark.slow)
            for script in ("own_entropy", "by_hand", "from_objects")
        ),
    ],
)
def test_target_scripts_know_no_settings(tmp_path, script):
    copied(tmp_path)
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    ended = python(f"{script}.py", cwd=tmp_path, env=environment(tmp_path))
    assert ended.returncode == 0, ended.stderr
    if script == "from_objects":
        with jm.Dataset(tmp_path / "mine.h5") as made:
            assert len(made) == 6
            assert str(made[0].symbols) == "W39"


def test_the_blocked_imports_are_blocked(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    ended = python("-c", "import jentmax; jentmax.recipe", cwd=tmp_path, env=environment(tmp_path))
    assert "jentmax.config is blocked" in ended.stderr


@pytest.mark.slow
def test_the_same_set_from_objects_and_from_toml(tmp_path):
    copied(tmp_path)
    (tmp_path / "run.toml").write_text(RUN_TOML)
    assert python("from_toml.py", cwd=tmp_path).returncode == 0
    snap = jm.Snap(cutoff=4.0, components=6)
    recipe = jm.Recipe(
        jm.Potential(
            snap, jm.ClarkeSmith(), jm.NearestNeighbor(), scale=[3.0, 0.4, 0.5, 1.4, 0.5, 1.1]
        ),
        jm.Langevin(),
        start=jm.RandomStart("W39", density=0.03),
        steps=20,
        entropy_weight=300.0,
    )
    jm.generate(recipe, structures=6, output="objects.h5", seed=0, devices=1)
    with jm.Dataset(tmp_path / "same.h5") as one, jm.Dataset("objects.h5") as other:
        for name in ("positions", "cells", "descriptors", "energy", "entropy", "temperature"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_importing_loads_no_jax():
    code = """
import sys, jentmax
jentmax.__version__, dir(jentmax)
assert not {"jax", "equinox", "h5py", "matplotlib"} & set(sys.modules)
"""
    ended = python("-c", code)
    assert ended.returncode == 0, ended.stderr


def test_importing_everything_starts_no_back_end_and_changes_no_setting():
    code = """
import jax, os
before = dict(jax.config.values), dict(os.environ)
import jentmax, jentmax.devices
for name in dir(jentmax):
    getattr(jentmax, name)
jentmax.Snap(cutoff=4.0), jentmax.Langevin(timestep=2.0), jentmax.Descent()
after = dict(jax.config.values), dict(os.environ)
assert before[1] == after[1]
assert {name: after[0][name] for name in before[0]} == before[0]  # JAX adds some of its own
from jax._src import xla_bridge
assert not xla_bridge._backends
"""
    ended = python("-c", code)
    assert ended.returncode == 0, ended.stderr


def environment(folder):
    import os

    return os.environ | {"PYTHONPATH": str(folder)}
