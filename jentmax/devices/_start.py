"""Starting JAX, with clear words if it does not start."""

from __future__ import annotations

import contextlib
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
"""What ends a run that is in order, or makes it take hours; a structure that is not finite, for
example, is discarded."""

_SECONDS = 60
"""After which a trial of XLA_FLAGS is given up."""


def import_jax() -> None:
    """Import JAX, which reads the user's variables.

    Raises:
        JentmaxError: it refuses one, or is not whole.
    """
    with _clear_words():
        import jax  # noqa: F401


def start() -> None:
    """Import JAX and start its back end.

    Raises:
        JentmaxError: it does not start, or would end the process, for the flags or variables that
            the user has set.
    """
    import_jax()
    _refuse_flags()
    with _clear_words():
        import jax

        jax.local_devices()
    for name, usual in _FOR_DEVELOPERS.items():
        if getattr(jax.config, name) not in (None, usual):
            warnings.warn(f"{name.upper()} is set and ignored: commands run without", stacklevel=2)
            jax.config.update(name, usual)


@contextlib.contextmanager
def _clear_words() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        names = [
            f"{name} = {value}"
            for name, value in sorted(os.environ.items())
            if name.startswith(("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES")) and name not in _OURS
        ]
        advice = "see that jax and jaxlib are whole and fit each other"
        if names:
            advice = f"change or unset what is wrong of these variables: {', '.join(names)}"
        if "JAX_PLATFORMS" in os.environ:
            advice += "; JAX_PLATFORMS = cpu takes the CPU"
        raise JentmaxError(f"JAX does not start: {told}; {advice}") from error


def _refuse_flags() -> None:
    """Try the flags in another process: XLA ends one that has an unknown flag at once."""
    flags = os.environ.get("XLA_FLAGS", "")
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
    except (OSError, subprocess.SubprocessError):  # no word on the flags: XLA has the last one
        return
    if done.returncode == 0:
        return
    lines = done.stderr.decode(errors="replace").splitlines()
    told = next((line.partition("] ")[2] for line in lines if "XLA_FLAGS" in line), "")
    raise JentmaxError(
        f"XLA_FLAGS = {flags} is not allowed: {told or 'XLA does not start with it'}; correct or "
        "unset it"
    )
