"""Devices: how many there are, and that no structure depends on their number."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import assert_identical, columns, tiny

from jentmax import sharding
from jentmax.config import to_toml
from jentmax.errors import JentmaxError
from jentmax.sharding import first_devices, n_asked, n_available

SHORT = ["run.batch_size=2", "scaling.steps=20", "scaling.replicas=4"]


def generate(*words, n_devices=4):
    """A run in a process whose CPU has so many devices."""
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    done = subprocess.run(
        [sys.executable, "-m", "jentmax.cli", "generate", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same set made by one, two and four devices, and what was printed."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "run.toml").write_text(to_toml(tiny(*SHORT, scaling=None)))
    made = {}
    for count in (1, 2, 4):
        path = folder / f"{count}.h5"
        words = [str(folder / "run.toml"), "--devices", str(count), "-o", str(path)]
        code, output, errors = generate(*words)
        assert code == 0, errors
        made[count] = columns(path), output
    return made


def test_structures_do_not_depend_on_how_many_devices_there_are(sets):
    """Nor does the scale of the preliminary run, in which all is measured."""
    expected, _ = sets[1]
    assert len(expected) == 11
    for count in (2, 4):
        for one, other in zip(sets[count][0], expected, strict=True):
            assert_identical(one, other)


def test_what_is_used_is_told(sets):
    for count, rest in ((1, ", as given"), (2, " on each of 2 devices, as given")):
        first, *_, batch = sets[count][1].splitlines()[:4]
        assert first.startswith("device     CPU (")
        assert f", {count} core" in first
        assert batch == f"batch      2 side by side{rest}"
    # Six chains in twos leave nothing to do for a fourth device.
    assert "batch      2 side by side on each of 3 devices" in sets[4][1]


def test_more_devices_than_there_are():
    Path("run.toml").write_text(to_toml(tiny()))
    code, _, errors = generate("run.toml", "--devices", "3", n_devices=2)
    assert code == 2
    assert errors == (
        "error: run.devices = 3 is more than the 2 CPU cores that JAX has here; give 1 to 2, or "
        '"all"\n'
    )
    assert os.listdir() == ["run.toml"]


def test_all_devices_or_so_many(monkeypatch):
    monkeypatch.setattr(sharding, "n_available", lambda: 4)
    assert n_asked("all") == 4
    assert [n_asked(count) for count in (1, 4)] == [1, 4]
    with pytest.raises(JentmaxError, match=r"run\.devices = 5 .* 4 "):
        n_asked(5)


def test_the_second_device_of_a_single_core_does_not_count(monkeypatch):
    monkeypatch.setattr(sharding.jax, "local_device_count", lambda: 2)
    monkeypatch.setattr(sharding.jax, "default_backend", lambda: "cpu")
    for cores, available in ((1, 1), (2, 2)):
        monkeypatch.setattr(sharding, "n_cores", lambda cores=cores: cores)
        assert n_available() == available


def test_a_device_of_its_own_needs_none_beside_it():
    devices = first_devices(1)
    assert (devices.n_used, devices.mesh.size) == (1, 1)
