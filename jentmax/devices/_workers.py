"""What computes: one thread for each core of the CPU, or for each GPU, and how XLA compiles for it.

XLA runs executions that several threads start side by side, also on the one device that a CPU is.
Each thread runs the same single-device program on replicas of its own, so that no number depends on
how many threads or devices there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from jentmax.devices._host import n_cores
from jentmax.errors import JentmaxError

Device = Any
"""A device of JAX; its own class is no type for checkers."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def workers(count: int | None = None) -> list[Device]:
    """The device of each thread that should compute: the CPU once for each core, each GPU once.

    Args:
        count: how many to use; None for all.

    Raises:
        JentmaxError: there are not so many.
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
        # It splits operations between cores, which are busy with replicas of their own.
        "xla_disable_hlo_passes": "cpu-parallel-task-assigner",
    }


def in_threads(
    function: Callable[[Device, Given], Made], items: Iterable[Given], count: int | None = None
) -> list[Made]:
    """What a function makes of items, each in the thread of a worker.

    Args:
        function: called with the worker's device and an item.
        items: to be shared out.
        count: of the workers; None for all.
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
