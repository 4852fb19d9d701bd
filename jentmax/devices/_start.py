"""Start JAX, with a clear error if it does not start."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

from jentmax.errors import JentmaxError

_OURS = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")

_FOR_DEVELOPERS = {
    "jax_check_tracer_leaks": False,
    "jax_debug_infs": False,
    "jax_debug_nans": False,
    "jax_disable_jit": False,
    "jax_transfer_guard": "allow",
}
"""Debugging options that end a correct run or make it take hours. For example, jentmax discards
non-finite structures, and jax_debug_nans would end the run."""

_SECONDS = 60
"""Timeout of the test of XLA_FLAGS."""


def import_jax() -> None:
    """Import JAX, which reads environment variables.

    Raises:
        JentmaxError: JAX rejects a variable, or its installation is incomplete.
    """
    with _clear_words():
        import jax  # noqa: F401


def start() -> None:
    """Import JAX and start its back end.

    Raises:
        JentmaxError: it does not start, or would abort the process, because of environment
            variables.
    """
    import_jax()
    _refuse_flags(os.environ.get("XLA_FLAGS", ""))
    with _clear_words():
        import jax

        jax.local_devices()
    for name, usual in _FOR_DEVELOPERS.items():
        if getattr(jax.config, name) not in (None, usual):
            warnings.warn(f"{name.upper()} is set, but commands ignore it", stacklevel=2)
            jax.config.update(name, usual)


@contextlib.contextmanager
def _clear_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # JAX raises an AssertionError without a text if a platform has no device.
        reason = str(error).strip().partition("\n")[0] or "it finds no device"
        names = [
            f"{name} = {value}"
            for name, value in sorted(os.environ.items())
            if name.startswith(("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES")) and name not in _OURS
        ]
        advice = "check the installation of jax and jaxlib (pip check)"
        if names:
            advice = f"correct or unset the wrong one of {', '.join(names)}"
        if "JAX_PLATFORMS" in os.environ:
            advice += "; JAX_PLATFORMS=cpu uses the CPU"
        raise JentmaxError(f"JAX does not start: {reason}; {advice}") from error


@functools.cache
def _refuse_flags(flags: str) -> None:
    """Test the flags in another process, because XLA aborts the process at an unknown flag."""
    if not flags.strip():
        return
    trial = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", trial],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):  # the test failed, not the flags
        return
    if done.returncode == 0:
        return
    lines = done.stderr.decode(errors="replace").splitlines()
    reason = next((line.partition("] ")[2] for line in lines if "XLA_FLAGS" in line), "")
    raise JentmaxError(
        f"XLA_FLAGS = {flags} is not allowed: {reason or 'XLA does not start with it'}; correct or "
        "unset it"
    )
