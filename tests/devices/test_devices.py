"""Cores, threads, compile options, the cache on disk; nothing changes XLA_FLAGS."""

import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jentmax
from jentmax import devices
from jentmax.devices import _workers, cache_folder, cpu_hash, n_cores, use_cache
from jentmax.errors import JentmaxError


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert n_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert n_cores() == 5


def test_workers_of_a_cpu(monkeypatch):
    """One thread for each core, all on the one device."""
    monkeypatch.setattr(_workers, "n_cores", lambda: 4)
    [device] = jax.local_devices()
    assert devices.workers() == [device] * 4
    assert devices.workers(1) == [device]
    assert devices.workers(3) == [device] * 3
    for count in (0, 5):
        message = rf"devices = {count} is not allowed: JAX has 4 CPU cores here; give 1 to 4, or"
        with pytest.raises(JentmaxError, match=message):
            devices.workers(count)


class Device:
    """A GPU, or one of several CPU devices."""

    def __init__(self, platform, kind="NVIDIA H100"):
        self.platform, self.device_kind = platform, kind


def test_workers_of_several_gpus(monkeypatch):
    """Each once, however many cores there are."""
    monkeypatch.setattr(_workers, "n_cores", lambda: 16)
    both = [Device("gpu"), Device("gpu")]
    monkeypatch.setattr(jax, "local_devices", lambda: both)
    assert devices.workers() == both
    assert devices.workers(1) == both[:1]
    with pytest.raises(JentmaxError, match=r"devices = 3 .*JAX has 2 devices here"):
        devices.workers(3)
    assert devices.device_name(2) == "2 x GPU (NVIDIA H100)"
    assert devices.device_name(1) == "GPU (NVIDIA H100)"


def test_workers_of_several_cpu_devices(monkeypatch):
    """Users may have asked XLA for them: the cores are shared among them."""
    monkeypatch.setattr(_workers, "n_cores", lambda: 3)
    one, two = Device("cpu"), Device("cpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [one, two])
    assert devices.workers() == [one, two, one]


@pytest.mark.parametrize("count", [1, 3])
def test_in_threads(monkeypatch, count):
    monkeypatch.setattr(_workers, "n_cores", lambda: 3)
    threads, at_once, most = set(), [0], [0]
    lock, enough = threading.Lock(), threading.Event()

    def work(device, item):
        with lock:
            threads.add(threading.get_ident())
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            if at_once[0] == count:
                enough.set()
        assert enough.wait(20)
        with lock:
            at_once[0] -= 1
        return device.platform, item**2

    assert devices.in_threads(work, range(7), count) == [("cpu", k**2) for k in range(7)]
    assert len(threads) == most[0] == count
    assert threading.get_ident() not in threads


def test_an_error_in_a_thread_comes_out(monkeypatch):
    monkeypatch.setattr(_workers, "n_cores", lambda: 2)

    def work(device, item):
        if item == 3:
            raise JentmaxError("three")
        return item

    with pytest.raises(JentmaxError, match="three"):
        devices.in_threads(work, range(7))


def test_compiler_options_are_known_to_xla():
    """And are a program's own: XLA_FLAGS stays as it is."""
    before = os.environ.get("XLA_FLAGS")
    options = devices.compiler_options("cpu")
    assert options
    compiled = jax.jit(lambda x: jnp.sin(x) + 1, compiler_options=options)
    assert compiled(jnp.ones(100))[0] == pytest.approx(math.sin(1) + 1)
    with pytest.raises(Exception, match="no_such_option"):
        jax.jit(jnp.sin, compiler_options={"no_such_option": True})(1.0)
    assert devices.compiler_options("gpu") == {}
    assert os.environ.get("XLA_FLAGS") == before


def test_importing_devices_imports_no_jax():
    code = """
import sys
from jentmax import devices
devices.n_cores(), devices.memory_bytes(), devices.cpu_hash(), devices.compiler_options("cpu")
print([name for name in ("jax", "equinox", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_flags_that_are_given_stay():
    """Of a file too, which XLA reads; appending to it broke it."""
    Path("flags.txt").write_text("--xla_cpu_enable_fast_math=false\n")
    code = """
import os
from jentmax import devices
devices.quieten(), devices.use_cache()
import jax
import jentmax as jm
system = jm.System.random(jax.random.key(0), "W4", density=0.03)
potential = jm.Potential(jm.Snap(cutoff=4.0, twojmax=1), jm.ClarkeSmith(), jm.NearestNeighbor())
ends, _ = jm.run(potential, jm.Fire(), system, key=jax.random.key(1), steps=2, entropy_weight=1.0)
print(os.environ["XLA_FLAGS"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": "flags.txt"},
    )
    assert done.stdout == "flags.txt\n", done.stderr


def test_memory_and_versions():
    assert 1e8 < devices.memory_bytes() < 1e15
    found = devices.versions()
    assert found["jentmax"] == jentmax.__version__
    assert found["jax"] == jax.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_device_name_and_kind():
    for count, words in ((1, "1 core)"), (8, "8 cores)")):
        name = devices.device_name(count)
        assert name.startswith("CPU (")
        assert name.endswith(words)
        # The kind is the same, however many there are.
        assert devices.device_kind(name) == devices.device_kind(devices.device_name(3))
    assert devices.device_kind("4 x GPU (NVIDIA H100)") == "GPU (NVIDIA H100)"


# The cache on disk


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
