"""What the command line tells XLA before JAX is imported: the CPU's cores, and a cache on disk."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path

_DEVICE_COUNT = "--xla_force_host_platform_device_count"


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


def use_every_core() -> None:
    """Make every core of the CPU a device of its own; call it before JAX is imported.

    What the environment's XLA_FLAGS already say stays.
    """
    defaults = {
        # Two on a single core too: `jentmax.sharding` says why.
        _DEVICE_COUNT: str(max(n_cores(), 2)),
        "--xla_cpu_prefer_vector_width": "512",
        # Splits operations between cores, which are busy with replicas of their own.
        "--xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    }
    flags = os.environ.get("XLA_FLAGS", "").split()
    given = {flag.partition("=")[0] for flag in flags}
    flags += [f"{name}={value}" for name, value in defaults.items() if name not in given]
    os.environ["XLA_FLAGS"] = " ".join(flags)


def use_cache() -> None:
    """Let JAX keep compiled programs on disk; call it before JAX is imported.

    They stand in `cache_folder`, unless JAX_COMPILATION_CACHE_DIR says otherwise. Where nothing
    can be written there is no cache.
    """
    # The least programs too: a run has some, and each would take a tenth of a second.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # A full disk costs time, and is nothing to be told about between the lines of a run.
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
