import atexit
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
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")


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
