import atexit
import ctypes
import os
import resource
import shlex
import shutil
import sys
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before JAX: XLA's log of its cache is long

import hypothesis
import jax
import jaxtyping
import pytest
from annotations import ROOMS

# The hook must come before the package is imported.
jaxtyping.install_import_hook([f"jentmax.{room}" for room in ROOMS], "annotations.checked")

MOST_MEMORY = 1.5 * 2**30
"""Of a process between two tests, in bytes."""

QUICK = "not slow"
"""The tests that run without ``-m``, as pyproject.toml says."""

# Many tests compile the same programs, in several processes: the first one compiles for all.
# The environment variable is for the processes that this one starts.
CACHE = "JAX_COMPILATION_CACHE_DIR"
if CACHE not in os.environ:
    os.environ[CACHE] = tempfile.mkdtemp(prefix="jentmax-tests-")
    atexit.register(shutil.rmtree, os.environ[CACHE], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ[CACHE])
# Small programs too: reading one takes a quarter of the time of compiling it.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")

# XLA's older emitters compile three times as fast as those that users get.
QUICK_TO_COMPILE = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest_configure(config):
    quick = config.option.markexpr == QUICK
    if quick:  # before JAX starts its back end, which reads it, as do the processes of tests
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_TO_COMPILE}"
    hypothesis.settings.register_profile("quick", max_examples=20, deadline=None)
    hypothesis.settings.register_profile("thorough", max_examples=100, deadline=None)
    hypothesis.settings.load_profile("quick" if quick else "thorough")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Neighbouring tests to one worker, since they share fixtures and programs."""
    from xdist.scheduler import WorkStealingScheduling

    if config.getvalue("dist") == "load":
        return WorkStealingScheduling(config, log)


left_out, peaks = set(), []


def pytest_deselected(items):
    left_out.update(item.nodeid for item in items if item.get_closest_marker("slow"))


def pytest_sessionfinish(session):
    told = len(left_out), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = told
    else:
        peaks.append(told)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    if "told" in getattr(node, "workeroutput", {}):
        peaks.append(node.workeroutput["told"])


def pytest_terminal_summary(terminalreporter):
    if not peaks:
        return
    n, peak = (max(values) for values in zip(*peaks, strict=True))
    terminalreporter.write_line(f"most memory of a process: {peak / 2**20:.1f} GiB")
    if n:
        everything = 'pytest -n auto -m "slow or not slow"'
        terminalreporter.write_line(f"{n} slow tests were left out; everything: {everything}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Compile without optimisation, in half the time, except for tests marked ``optimised``.

    These compare bits or one expression in several programs, or take many steps: as for users,
    unless the run is to be quick. This is a hook because hooks run before the fixtures of modules,
    which compile too; the environment variable is for the processes that tests start.
    """
    marked = item.get_closest_marker("optimised") is not None
    optimised = marked and item.config.option.markexpr != QUICK
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(not optimised)
    if optimised == jax.config.read("jax_disable_most_optimizations"):
        jax.config.update("jax_disable_most_optimizations", not optimised)
        jax.clear_caches()  # what is in them was compiled the other way


@pytest.fixture(autouse=True, scope="module")
def _memory_of_modules_is_given_back():
    """Free compiled programs: several GB at the end. Those used again come from the disk."""
    yield
    give_memory_back()


@pytest.fixture(autouse=True)
def _memory_of_tests_is_given_back():
    yield
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * resource.getpagesize()
    if resident > MOST_MEMORY:
        give_memory_back()


def give_memory_back():
    jax.clear_caches()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc keeps what is freed
        libc.malloc_trim(0)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, tmp_path_factory, monkeypatch):
    """Nothing that a test or a docstring example writes lands in the checkout, or at home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _annotations_are_checked(request, monkeypatch):
    """Except in tests marked ``wrong_types``, whose point is the error of the function itself."""
    if request.node.get_closest_marker("wrong_types"):
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command line, given in one string or in words; exit code, output and errors."""

    def run(*words):
        from jentmax import cli, devices

        if len(words) == 1:
            words = shlex.split(words[0])
        monkeypatch.setattr(sys, "argv", ["jentmax", *words])
        for name in ("quieten", "use_cache"):
            monkeypatch.setattr(devices, name, lambda: None)  # for processes without JAX yet
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # as for users, who see them as lines
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
