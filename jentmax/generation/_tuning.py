"""The choice of the batch size, the number of structures per batch on each device."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError

from jentmax.devices import Device, cpu_hash, in_threads, versions, workers
from jentmax.samplers import Cycle, default_batch_size, is_out_of_memory, pinned

if TYPE_CHECKING:
    from jentmax.generation._resolved import Resolved

WORTH_MEASURING = 300.0
"""Run time in seconds above which measuring, about half a minute, is worthwhile."""

ATOM_STEPS_PER_SECOND = {"cpu": 1e6, "gpu": 1e8}
"""Atoms times steps per second on one device, for estimating the length of a run."""

LEAST_GAIN = 1.05
"""Gain of a doubled batch size required to measure the next doubling."""

_CHUNK_SECONDS = 60.0
"""Largest time of a chunk."""

_SECONDS = 0.5
"""Time of a measurement, after compilation."""

_STEPS = 5


def chosen_batch_size(
    sized: Callable[[int], Resolved],
    n_chains: int,
    devices: int | None,
    cache: Path | None,
    show: Callable[[str], None],
) -> tuple[int, str]:
    """The batch size of a stream, and the reason in words.

    The recipe's batch size takes precedence. Otherwise, a long run uses a measurement, from the
    cache or a new one: the size doubles as long as the sampler becomes faster, memory suffices and
    there are enough chains for all devices. A short run uses `default_batch_size`, or the number of
    chains if that is smaller. For large structures, the size is limited to chunks of about a
    minute.

    Args:
        sized: the recipe, resolved for its first stream with a given batch size.
        n_chains: number of chains of the stream.
        devices: number of CPU cores or GPUs to use; None for all.
        cache: folder for measurements, or None.
        show: called with a message before a long operation.
    """
    recipe, n_devices = sized(1).recipe, len(workers(devices))
    if recipe.batch_size is not None:
        return recipe.batch_size, "as given"
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    steps = recipe.steps + (recipe.quench.steps if recipe.quench else 0)
    chain_steps = steps * sized(1).streams[0].n_atoms
    longest = max(1, int(_CHUNK_SECONDS * ATOM_STEPS_PER_SECOND[kind] / chain_steps))
    default = min(default_batch_size(), n_chains, longest)
    most = min(n_chains // n_devices, longest)
    file, key = cache and cache / "batch-sizes.json", _key(sized(1), n_devices)
    known = _read(file).get(key)
    if known and known <= most:
        return known, "the fastest in an earlier measurement"
    cycles = recipe.cycles_per_chain
    seconds = chain_steps * n_chains * cycles / n_devices / ATOM_STEPS_PER_SECOND[kind]
    if seconds < WORTH_MEASURING or most < default:
        return default, "the default for short runs"
    show("measuring the fastest batch size")
    fastest = _fastest(
        lambda size: structure_steps_per_second(sized(size), devices),
        max(1, min(default_batch_size() // 2, most)),
        most,
    )
    if file and 2 * fastest <= most:  # otherwise the number of chains limited it
        _write(file, _read(file) | {key: fastest})
    return fastest, "the fastest, from a new measurement"


def structure_steps_per_second(resolved: Resolved, devices: int | None) -> float:
    """Rate of the sampler with one chunk of the first stream on every device."""
    size = resolved.streams[0].batch_size
    few = [resolved.recipe.start.draw(resolved.seed, 0, chain, 0) for chain in range(min(size, 16))]
    systems = [few[place % len(few)] for place in range(size)]
    words = np.arange(4 * size, dtype=np.uint32).reshape(size, 4)

    def rate(device: Device, _: object) -> float:
        with pinned(resolved.x64), jax.default_device(device):
            cycle = Cycle(resolved.potential(0), resolved.recipe.sampler)
            keys, _, together, weights = resolved.arrays(systems, words, np.ones(size))
            state = cycle.start(keys, together, weights)
            seconds: list[float] = []
            while len(seconds) < 3 or sum(seconds[1:]) < _SECONDS:  # the first compiles
                began = time.perf_counter()
                state, heat = cycle.advance(keys, state, 0, _STEPS, 2 * _STEPS)
                jnp.asarray(heat).block_until_ready()
                seconds.append(time.perf_counter() - began)
            return size * _STEPS / min(seconds[1:])

    return sum(in_threads(rate, range(len(workers(devices))), devices))


def _fastest(rate: Callable[[int], float], start: int, most: int) -> int:
    """The last size whose doubling still gained enough and fitted into memory."""

    def measured(size: int) -> float:
        try:
            return rate(size)
        except JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return 0.0

    size, best = start, measured(start)
    if not best:
        while size > 1 and not best:
            size //= 2
            best = measured(size)
        return size
    while 2 * size <= most and (doubled := measured(2 * size)) >= LEAST_GAIN * best:
        size, best = 2 * size, doubled
    return size


def _key(resolved: Resolved, n_devices: int) -> str:
    """Hash of everything that the fastest size depends on."""
    tree = resolved.recipe.to_plain()
    given = {name: tree[name] for name in ("start", "descriptor", "repulsion", "precision")}
    given |= {
        "n_devices": n_devices,
        "device": [jax.local_devices()[0].device_kind, cpu_hash()],
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _read(file: Path | None) -> dict[str, int]:
    """Earlier measurements; empty if the file is missing or damaged."""
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: size for key, size in found.items() if type(size) is int and size > 0}


def _write(file: Path, sizes: dict[str, int]) -> None:
    """Store measurements, unless the folder is not writable."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(sizes, indent=1))
        os.replace(partial, file)
    except OSError:
        return
