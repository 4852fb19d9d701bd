"""The cores of the CPU, and the cache on disk that the command line uses."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quieten() -> None:
    """Keep XLA's log out of the progress bar; call it before JAX is imported.

    XLA compares CPU features wrongly and writes an error for every program taken from JAX's
    cache. What matters comes as an exception anyway.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def use_cache() -> None:
    """Let JAX keep compiled programs on disk; call it before JAX is imported.

    They go to `cache_folder`, unless JAX_COMPILATION_CACHE_DIR names another folder. If the folder
    cannot be written, there is no cache.
    """
    # The least programs too: a run has some, and each would take a tenth of a second.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # A full disk costs time only; a warning would break the progress lines.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / f"programs-{cpu_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK | os.X_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def cache_folder() -> Path:
    """The user's cache folder for jentmax; it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "jentmax")


def cpu_hash() -> str:
    """Differs between CPUs that cannot run each other's programs, which may share home folders."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = ("model name", "flags", "Features", "CPU part")  # the latter two on ARM
    told = sorted({line for line in lines if line.split("\t")[0].strip() in names})
    features = "\n".join(told) or platform.processor()
    return hashlib.sha256(f"{platform.machine()}\n{features}".encode()).hexdigest()[:12]
