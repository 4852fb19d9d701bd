"""What the command line tells XLA and JAX before they are imported."""

import os
from pathlib import Path

import pytest

from jentmax import devices
from jentmax.devices import cache_folder, cpu_hash, n_cores, use_cache, use_every_core

COUNT = "--xla_force_host_platform_device_count"


@pytest.mark.parametrize(("cores", "count"), [(1, 2), (2, 2), (7, 7)])
def test_every_core_is_a_device(monkeypatch, cores, count):
    monkeypatch.setattr(devices, "n_cores", lambda: cores)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    use_every_core()
    flags = os.environ["XLA_FLAGS"].split()
    assert flags[:2] == ["--xla_dump_to=here", f"{COUNT}={count}"]
    assert "--xla_cpu_prefer_vector_width=512" in flags


def test_flags_that_are_given_stay(monkeypatch):
    given = f"{COUNT}=3 --xla_cpu_prefer_vector_width=256 --xla_disable_hlo_passes=constant-folding"
    monkeypatch.setenv("XLA_FLAGS", given)
    use_every_core()
    assert os.environ["XLA_FLAGS"] == given


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert n_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert n_cores() == 5


@pytest.fixture
def no_cache_given(monkeypatch):
    """An environment that changes for the test alone."""
    without = {name: value for name, value in os.environ.items() if "CACHE_DIR" not in name}
    monkeypatch.setattr(os, "environ", without)


@pytest.mark.usefixtures("no_cache_given")
def test_programs_are_kept_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path))
    use_cache()
    folder = tmp_path / "jentmax" / f"programs-{cpu_hash()}"
    assert folder.is_dir()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    del os.environ["XDG_CACHE_HOME"]
    assert cache_folder() == Path.home() / ".cache" / "jentmax"


def test_a_cache_that_is_given_stays(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    use_cache()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
    assert not cache_folder().exists()


@pytest.mark.usefixtures("no_cache_given")
def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path / "file"))
    use_cache()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_other_cpus_have_other_programs(monkeypatch):
    here = cpu_hash()
    assert cpu_hash() == here
    told = "model name\t: One\nflags\t\t: avx avx2\ncpu MHz\t\t: {}\n"
    hashes = []
    for text in (told.format(1), told.format(2), told.replace("avx2", "avx512f"), "nothing"):
        monkeypatch.setattr(Path, "read_text", lambda _, text=text: text)
        hashes.append(cpu_hash())
    assert hashes[0] == hashes[1]
    assert len({here, *hashes}) == 4
