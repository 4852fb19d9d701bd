"""How many structures to put side by side on each device."""

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
"""Seconds that a run should take for measuring, of half a minute or so, to pay."""

ATOM_STEPS_PER_SECOND = {"cpu": 1e6, "gpu": 1e8}
"""Atoms moved by a step in a second, on one device, by which a run's length is guessed."""

LEAST_GAIN = 1.05
"""Improvement that a doubling must bring for another one to be tried."""

_CHUNK_SECONDS = 60.0
"""Longest time that a chunk should take."""

_SECONDS = 0.5
"""Time for which a size is measured, once it is compiled."""

_STEPS = 5


def chosen_batch_size(
    sized: Callable[[int], Resolved],
    n_chains: int,
    devices: int | None,
    cache: Path | None,
    show: Callable[[str], None],
) -> tuple[int, str]:
    """The batch size of a stream, and its source in words.

    The recipe's own number counts. Otherwise a long run measures now, unless it was measured
    before: the size doubles as long as that makes the sampler faster, memory lasts and there are
    chains enough for all devices. A short run takes `default_batch_size`, or the number of chains
    if that is less. A chunk of large structures is made smaller, so that it takes about a minute.

    Args:
        sized: the recipe, resolved for its first stream with a batch size.
        n_chains: that the stream will need.
        devices: CPU cores or GPUs to use; None for all.
        cache: folder that keeps what was measured, or None.
        show: called with what is being done before it takes long.
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
        return known, "the fastest when it was measured"
    cycles = recipe.cycles_per_chain
    seconds = chain_steps * n_chains * cycles / n_devices / ATOM_STEPS_PER_SECOND[kind]
    if seconds < WORTH_MEASURING or most < default:
        return default, "the default for short runs"
    show("measuring which batch size is the fastest")
    fastest = _fastest(
        lambda size: structure_steps_per_second(sized(size), devices),
        max(1, min(default_batch_size() // 2, most)),
        most,
    )
    if file and 2 * fastest <= most:  # more chains might have made it larger
        _write(file, _read(file) | {key: fastest})
    return fastest, "the fastest, measured now"


def structure_steps_per_second(resolved: Resolved, devices: int | None) -> float:
    """Rate of the sampler with a chunk of the first stream on every device."""
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
    """The size whose doubling gains too little, or for which there is no memory."""

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
    """Changes with all that the fastest size depends on."""
    tree = resolved.recipe.to_plain()
    told = {name: tree[name] for name in ("start", "descriptor", "repulsion", "precision")}
    told |= {
        "n_devices": n_devices,
        "device": [jax.local_devices()[0].device_kind, cpu_hash()],
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _read(file: Path | None) -> dict[str, int]:
    """What was measured before; nothing if the file is missing or broken."""
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
    """Keep what was measured, if the folder can be written."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(sizes, indent=1))
        os.replace(partial, file)
    except OSError:
        return
