import atexit
import os
import shutil
import tempfile

import jax
import pytest

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
