"""Commands where terminals, variables and settings are those of strangers, for scripts/fuzz.py.

What Python and JAX read when they start needs a process; those have limited time and memory.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
from fuzz_reading import SMALL, refuse_unclear

SECONDS = 150.0
"""After which a command counts as hanging; JAX may compile for 30 on a busy machine."""

MEMORY = 24 << 30
"""Bytes of addresses that a process may take; JAX reserves more of them than it uses."""

TERMINAL = {
    "PYTHONIOENCODING": [
        "ascii",
        "latin-1",
        "cp1252",
        "utf-8",
        "ascii:strict",
        ":replace",
        "utf-16",
    ],
    "LC_ALL": ["C", "POSIX", "C.UTF-8", "xx_YY", ""],
    "LANG": ["C", "de_DE", "xx"],
    "PYTHONUTF8": ["0", "1"],
    "PYTHONCOERCECLOCALE": ["0"],
    "COLUMNS": ["0", "1", "20", "79", "100000", "-5", "x", ""],
    "LINES": ["0", "1", "x"],
    "TERMINAL_WIDTH": ["", "x", "0", "30"],
    "TERM": ["dumb", "xterm", "", "unknown", "xterm-256color"],
    "NO_COLOR": ["", "1"],
    "FORCE_COLOR": ["", "1", "0", "x"],
    "CLICOLOR_FORCE": ["1"],
    "TTY_COMPATIBLE": ["0", "1"],
    "GITHUB_ACTIONS": ["true"],
    "PYTHONUNBUFFERED": ["1"],
    "PYTHONOPTIMIZE": ["1"],
    "PYTHONWARNINGS": ["error", "default", "nonsense"],
    "HOME": ["/nowhere", "/proc", ""],
    "XDG_CACHE_HOME": ["/proc", "/dev/null", ""],
    "TMPDIR": ["/nowhere", ""],
    "TZ": ["nonsense", "UTC"],
}

STREAMS = ["", "", ">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", "</dev/null", "<&-"]
STREAMS += [">/dev/full 2>&1", "<&- >&- 2>&-", "| head -1", "| true", "2>&1 | cat"]

CHEAP = [
    "config presets",
    "config show",
    "info set.h5",
    "info --check set.h5",
    "--help",
    "--version",
]
CHEAP += ["export set.h5 out.extxyz", "generate --help", "info none.h5", "nonsense", "info"]
CHEAP += ["generate --set descriptor.cutoff=-1", "export set.h5 none/out.extxyz"]

_BOOLEAN = ["0", "1", "true", "off", "x", ""]
JAX = {
    "JAX_PLATFORMS": ["cpu", "cuda", "tpu", "nonsense", "", "cpu,cuda", "cuda,cpu", "CPU"],
    "JAX_PLATFORM_NAME": ["cpu", "gpu", "x"],
    "JAX_ENABLE_X64": _BOOLEAN,
    "JAX_NUMPY_DTYPE_PROMOTION": ["strict", "standard", "x"],
    "JAX_NUMPY_RANK_PROMOTION": ["raise", "warn", "allow", "x"],
    "JAX_DEFAULT_MATMUL_PRECISION": ["bfloat16", "float32", "highest", "x", ""],
    "JAX_DEFAULT_DTYPE_BITS": ["32", "64", "x"],
    "JAX_DEBUG_NANS": _BOOLEAN,
    "JAX_DEBUG_INFS": _BOOLEAN,
    "JAX_DEBUG_KEY_REUSE": _BOOLEAN,
    "JAX_CHECK_TRACER_LEAKS": _BOOLEAN,
    "JAX_LOG_COMPILES": _BOOLEAN,
    "JAX_EXPLAIN_CACHE_MISSES": _BOOLEAN,
    "JAX_LEGACY_PRNG_KEY": ["error", "warn", "x"],
    "JAX_TRANSFER_GUARD": ["disallow", "log", "x"],
    "JAX_DEFAULT_PRNG_IMPL": ["rbg", "unsafe_rbg", "threefry2x32", "x"],
    "JAX_THREEFRY_PARTITIONABLE": _BOOLEAN,
    "JAX_ENABLE_CUSTOM_PRNG": _BOOLEAN,
    "JAX_COMPILATION_CACHE_DIR": ["/proc/x", "/dev/null", "", "cache"],
    "JAX_ENABLE_COMPILATION_CACHE": _BOOLEAN,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": ["x", "-1", "0", ""],
    "JAX_RAISE_PERSISTENT_CACHE_ERRORS": ["1"],
    "JAX_TRACEBACK_FILTERING": ["off", "tracebackhide", "x"],
    "JAX_NUM_CPU_DEVICES": ["1", "2", "0", "x"],
    "JAX_LOGGING_LEVEL": ["DEBUG", "ERROR", "x"],
    "JAX_ENABLE_CHECKS": _BOOLEAN,
    "JAX_NO_EXECUTION": _BOOLEAN,
    "XLA_FLAGS": [
        "--xla_force_host_platform_device_count=2",
        "--xla_cpu_enable_fast_math=true",
        "--xla_no_such_flag=1",
        "none",
        "",
        "--xla_dump_to=dump",
        "--xla_backend_optimization_level=x",
    ],
    "XLA_PYTHON_CLIENT_PREALLOCATE": ["false", "x"],
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ["x", "2", "", "0.5"],
    "CUDA_VISIBLE_DEVICES": ["", "-1", "x", "7"],
    "TF_CPP_MIN_LOG_LEVEL": ["0", "x"],
    "OMP_NUM_THREADS": ["0", "1", "x"],
}

RANKS = ["SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "JOB_COMPLETION_INDEX"]
SIZES = ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "PMI_SIZE"]
SIZES += ["JENTMAX_PROCESSES", "SLURM_NTASKS", "SLURM_STEP_TASKS_PER_NODE"]
LOCAL = ["SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"]
LOCAL += ["MPI_LOCALRANKID", "MPI_LOCALNRANKS", "CUDA_VISIBLE_DEVICES"]
LAUNCHED = ["", "", "0", "1", "2", "4", "-1", "x", "4(x16)", "9" * 30, " 1", "٣", "²", "1.0", "0,1"]

MATPLOTLIB = {
    "MPLBACKEND": ["agg", "nonsense", "TkAgg", "pdf", "", "module://none", "QtAgg", "svg"],
    "MPLCONFIGDIR": ["/nowhere", "/proc", "/dev/null", "", "settings"],
    "MATPLOTLIBRC": ["matplotlibrc", "none", "/proc", ""],
    "DISPLAY": ["", ":99"],
}
STYLES = [
    "text.usetex: True",
    "font.family: nonsense",
    "font.size: 0",
    "font.size: 500",
    "backend: x",
]
STYLES += [
    "figure.dpi: 0",
    "figure.dpi: x",
    "savefig.dpi: 100000",
    "savefig.format: pdf",
    "nonsense",
]
STYLES += ["figure.figsize: 0, 0", "figure.figsize: 900, 900", "axes.unicode_minus: x", "axes.grid"]
STYLES += ["savefig.bbox: tight", "savefig.transparent: True", "axes.formatter.use_locale: True"]
STYLES += [
    "image.cmap: none",
    "lines.linewidth: -1",
    "figure.constrained_layout.use: True",
    "\x00é",
]
STYLES += ["path.sketch: 1, 100, 2", "axes.prop_cycle: cycler('color', [])", "backend: TkAgg"]

DRAWN = [f"select set.extxyz --structures 2 -o out.traj {shlex.join(SMALL)}"]
DRAWN += ["evaluate set.h5 --decompositions 3 -o report --no-cache"]

TINY = "generate --set steps=3 --set cycles_per_chain=1 --set batch_size=2 --structures 2 -o out.h5"
TINY += " --set scale=[2,0.3,0.5,1,0.6] --set entropy_weight=100 --set start.formula=W8"
TINY += " --set start.density=0.03 --set descriptor.cutoff=3.1 --set descriptor.twojmax=2"
TINY += " --set descriptor.components=5 --set quench.steps=2"


def _some(rng: np.random.Generator, table: dict[str, list[str]], most: int) -> dict[str, str]:
    chosen = rng.choice(sorted(table), int(rng.integers(1, most + 1)), replace=False)
    return {str(name): str(rng.choice(table[str(name)])) for name in chosen}


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _ran(line: str, environment: dict[str, str], folder: Path) -> tuple[int, str, str]:
    """Run a line of a shell; as `refuse_unclear`, for the streams that are shown."""
    start = f"{shlex.quote(sys.executable)} -m jentmax.cli"
    variables = " ".join(f"{name}={shlex.quote(text)}" for name, text in environment.items())
    try:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {start} {line}"],
            env={"JAX_PLATFORMS": "cpu"} | os.environ | environment,
            cwd=folder,
            capture_output=True,
            timeout=SECONDS,
            preexec_fn=_limited,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"hang: {variables} jentmax {line}") from None
    texts = [
        re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\r|\x00", b"", one) for one in (done.stdout, done.stderr)
    ]
    output, errors = (one.decode("utf-8", "replace") for one in texts)
    if done.returncode == 141 and "|" in line:  # the signal that says that nobody reads on
        return 0, output, errors
    hidden = any(where in line for where in ("2>&-", "2>/dev/full", "2>&1"))
    try:
        return refuse_unclear(done.returncode, output, "error:" if hidden else errors)
    except AssertionError as error:
        raise AssertionError(f"{variables} jentmax {line}: {error}") from None


def terminal(rng: np.random.Generator, folder: Path) -> str:
    """What shows the output decides neither how a command ends nor what it writes."""
    line = f"{rng.choice(CHEAP)} {rng.choice(STREAMS)}"
    code, _, errors = _ran(line, _some(rng, TERMINAL, 4), folder)
    written = folder / "out.extxyz"
    if code == 0 and line.startswith("export") and written.read_text().count("Lattice=") != 7:
        raise AssertionError(f"jentmax {line}: the output is not whole")
    return f"error: {errors}" if code else "result"


def launcher(rng: np.random.Generator, folder: Path) -> str:
    """Variables of launchers give a process of a run, or a clear error."""
    from jentmax.errors import JentmaxError
    from jentmax.generation import process_of, use_own_device

    environment = {
        str(name): str(rng.choice(LAUNCHED))
        for name in rng.choice([*RANKS, *SIZES, *LOCAL], int(rng.integers(1, 9)), replace=False)
    }
    with mock.patch.dict(os.environ, environment):
        try:
            use_own_device()
            index, count = process_of()
        except JentmaxError as error:
            return f"error: {error}"
    if not 0 <= index < count:
        raise AssertionError(f"{environment}: process {index} of {count}")
    return "result"


def back_end(rng: np.random.Generator, folder: Path) -> str:
    """Variables of JAX's: a run that is complete, or an error; commands without JAX go on."""
    environment = _some(rng, JAX, 3)
    lines = [TINY, TINY, "info set.h5", "evaluate set.h5 --decompositions 3 -o report --no-cache"]
    lines += [f"describe set.extxyz -o out.h5 {shlex.join(SMALL)}"]
    line = str(rng.choice(lines))
    code, _, errors = _ran(line, environment, folder)
    if code and line.startswith("info"):
        raise AssertionError(f"{environment}: a command without JAX fails: {errors}")
    if not code and "out.h5" in line:
        from jentmax.dataset import Dataset

        with Dataset(folder / "out.h5") as dataset:
            if dataset.status != "complete" and line is TINY:
                raise AssertionError(f"{environment}: the set is {dataset.status}")
            if not np.isfinite(dataset.positions[:]).all():
                raise AssertionError(f"{environment}: positions that are not finite")
    return f"error: {errors}" if code else "result"


def drawing(rng: np.random.Generator, folder: Path) -> str:
    """Figures look the same whatever matplotlib's settings; one that fails costs no result."""
    if rng.random() < 0.7:
        chosen = rng.choice(STYLES, int(rng.integers(1, 4)), replace=False)
        (folder / "matplotlibrc").write_text("\n".join(chosen.tolist()), encoding="latin-1")
    line = str(rng.choice(DRAWN))
    environment = _some(rng, MATPLOTLIB, 2)
    code, _, errors = _ran(line, environment, folder)
    if code:
        raise AssertionError(f"{environment} jentmax {line}: {errors}")
    wanted = ["out.traj", "out.traj.png"] if "select" in line else ["report/report.html"]
    for name in wanted:
        if not (folder / name).exists() and "warning:" not in errors:
            raise AssertionError(f"{environment} jentmax {line}: there is no {name}")
    return "result"
