"""Worker threads, one for each CPU core or GPU, and the compiler options for their programs.

XLA executes the programs of several threads at the same time, also on a CPU, which is one device.
All threads run the same single-device program on different replicas, so results do not depend on
the number of threads or devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from jentmax.devices._host import n_cores
from jentmax.errors import JentmaxError

Device = Any
"""A JAX device; type checkers do not accept its class as a type."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def workers(count: int | None = None) -> list[Device]:
    """The device of each worker thread: the CPU once per core, or each GPU once.

    Args:
        count: number of workers; None for all.

    Raises:
        JentmaxError: there are fewer cores or GPUs.
    """
    import jax

    local = jax.local_devices()
    everything = local
    if local[0].platform == "cpu":
        everything = [local[k % len(local)] for k in range(n_cores())]
    if count is None:
        return everything
    if not 1 <= count <= len(everything):
        kind = "CPU cores" if local[0].platform == "cpu" else "devices"
        raise JentmaxError(
            f"devices = {count} is not allowed: JAX has {len(everything)} {kind} here; give 1 to "
            f"{len(everything)}, or leave it out for all"
        )
    return everything[:count]


def compiler_options(platform: str) -> dict[str, str | int | bool]:
    """Options for ``jax.jit(..., compiler_options=...)``."""
    if platform != "cpu":
        return {}
    return {
        "xla_cpu_prefer_vector_width": "512",
        # This pass splits operations between cores, which are busy with other replicas.
        "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    }


def in_threads(
    function: Callable[[Device, Given], Made], items: Iterable[Given], count: int | None = None
) -> list[Made]:
    """Results of a function for all items, computed in worker threads.

    Args:
        function: called with the worker's device and an item.
        items: the items.
        count: number of workers; None for all.
    """
    devices = workers(count)
    free = list(devices)

    def run(item: Given) -> Made:
        device = free.pop()
        try:
            return function(device, item)
        finally:
            free.append(device)

    with ThreadPoolExecutor(len(devices)) as threads:
        return list(threads.map(run, items))
