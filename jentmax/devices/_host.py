"""CPU cores, and the disk cache of the command line."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path


def n_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quieten() -> None:
    """Keep XLA's log out of the progress bar; call this before importing JAX.

    XLA compares CPU features wrongly and logs an error for every program from JAX's cache. Real
    problems raise exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def use_cache() -> None:
    """Make JAX cache compiled programs on disk; call this before importing JAX.

    The cache is in `cache_folder`, unless JAX_COMPILATION_CACHE_DIR names another folder. If the
    folder is not writable, there is no cache.
    """
    # Cache small programs too: a run has several, and each takes a tenth of a second to compile.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # A full disk only costs time, and a warning would break the progress lines.
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
    """The user's cache folder for jentmax; it may not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "jentmax")


def cpu_hash() -> str:
    """Hash of the CPU type; machines that share a home folder may need different programs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = ("model name", "flags", "Features", "CPU part")  # the latter two on ARM
    found = sorted({line for line in lines if line.split("\t")[0].strip() in names})
    features = "\n".join(found) or platform.processor()
    return hashlib.sha256(f"{platform.machine()}\n{features}".encode()).hexdigest()[:12]
