import atexit
import ctypes
import os
import shlex
import shutil
import sys
import tempfile

import jax
import pytest

from jentmax import cli, devices

# Many tests compile the same programs, in several processes: whoever comes first does it for all.
# In the environment, for the processes that this one starts.
CACHE = "JAX_COMPILATION_CACHE_DIR"
if CACHE not in os.environ:
    os.environ[CACHE] = tempfile.mkdtemp(prefix="jentmax-tests-")
    atexit.register(shutil.rmtree, os.environ[CACHE], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ[CACHE])
# The least programs too: reading one takes a quarter of the time that compiling it does.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")

# Modules all of whose tests want what users get; of other modules, tests marked as such.
OPTIMISED = {
    "test_chains",
    "test_cycles",
    "test_descents",
    "test_disk_full",
    "test_entropy_weight",
    "test_generation",
    "test_kills",
    "test_quarantine",
    "test_resuming",
    "test_samplers",
    "test_sharding",
    "test_shares",
    "test_processes",
}


def pytest_configure(config):
    config.addinivalue_line("markers", "optimised: XLA optimises what it compiles, as for users")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Compile without optimisation, in half the time, but for tests that are about it.

    Those are about it that compare bits, or what one and the same expression comes to in several
    programs, and those whose time goes into many steps. A hook, because it comes before fixtures
    of modules, which compile too; in the environment for the processes that tests start.
    """
    optimised = item.path.stem in OPTIMISED or item.get_closest_marker("optimised") is not None
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(not optimised)
    if optimised == jax.config.read("jax_disable_most_optimizations"):
        jax.config.update("jax_disable_most_optimizations", not optimised)
        jax.clear_caches()  # what is in them was compiled the other way


@pytest.fixture(autouse=True, scope="module")
def _memory_is_given_back():
    """Compiled programs would stay: several GB at the end. Those used again come from the disk."""
    yield
    jax.clear_caches()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc keeps what is freed
        libc.malloc_trim(0)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, tmp_path_factory, monkeypatch):
    """Nothing that a test or a docstring example writes lands in the checkout, or at home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command line, given in one string or in words; exit code, output and errors."""

    def run(*words):
        if len(words) == 1:
            words = shlex.split(words[0])
        monkeypatch.setattr(sys, "argv", ["jentmax", *words])
        for name in ("quieten", "use_every_core", "use_cache"):
            monkeypatch.setattr(devices, name, lambda: None)  # for processes without JAX yet
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def good(call):
    """Run a command line that works; its output."""

    def run(*words):
        code, output, errors = call(*words)
        assert (code, errors) == (0, ""), errors
        return output

    return run
