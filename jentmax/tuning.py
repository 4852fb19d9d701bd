"""How many structures to put side by side on each device."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.errors import JaxRuntimeError
from jax.typing import DTypeLike

from jentmax.build import build_potential, build_sampler, n_features
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.cycles import advance, begin
from jentmax.devices import cpu_hash
from jentmax.memory import is_out_of_memory
from jentmax.sharding import first_devices
from jentmax.versions import versions

DEFAULTS = {"cpu": 16, "gpu": 1024}
"""Structures side by side where nothing was measured: a vector of a CPU core in float32 (a step of
half as many takes as long), and enough to occupy a GPU. Measuring begins at half of it."""

WORTH_MEASURING = 300.0
"""Seconds that a run should take for measuring, of half a minute or so, to pay."""

ATOM_STEPS_PER_SECOND = {"cpu": 1e6, "gpu": 1e8}
"""Atoms moved by a step in a second, on one device, by which a run's length is guessed."""

LEAST_GAIN = 1.05
"""Improvement that a doubling must bring for another one to be tried."""

_SECONDS = 0.5
"""Time for which a size is measured, once it is compiled."""

_STEPS = 5


def chosen_batch_size(
    settings: Settings,
    n_devices: int,
    dtype: DTypeLike,
    cache: Path | None,
    show: Callable[[str], None],
    n_processes: int = 1,
) -> tuple[int, str]:
    """The batch size of a run, and where it comes from, in words.

    A number in the settings is taken. For "auto" it is what was measured before, or else, if the
    run is long enough to repay it, what is measured now: doubled as long as that makes the
    sampler faster, memory lasts and there are chains enough for all devices. For short runs it is
    `DEFAULTS`, or the number of chains if that is less. So it is where several processes make a
    set, which must agree on it.

    Args:
        settings: of the run.
        n_devices: that will share the chains.
        dtype: floating-point type of the run.
        cache: folder that keeps what was measured, or None.
        show: called with what is being done, in words, before it takes long.
        n_processes: that share the chains.
    """
    if settings.run.batch_size != "auto":
        return settings.run.batch_size, "as given"
    kind = "cpu" if jax.default_backend() == "cpu" else "gpu"
    n_chains = -(-chains_of_a_kind(settings) // n_processes)
    default, most = min(DEFAULTS[kind], n_chains), n_chains // n_devices
    if n_processes > 1:
        return default, "the default for several processes"
    file, key = cache and cache / "batch-sizes.json", _key(settings, n_devices)
    known = _read(file).get(key)
    if known and known <= most:
        return known, "the fastest when it was measured"
    steps = settings.run.structures * (settings.sampler.steps + settings.quench.steps)
    atom_steps = steps * max(settings.system.atom_counts()) / n_devices
    short = atom_steps / ATOM_STEPS_PER_SECOND[kind] < WORTH_MEASURING
    if short or most < default:
        return default, "the default for short runs"
    show("measuring which batch size is the fastest")
    fastest = _fastest(
        lambda size: structure_steps_per_second(settings, size, n_devices, dtype),
        DEFAULTS[kind] // 2,
        most,
    )
    if file and 2 * fastest <= most:  # or else more chains might have made it larger
        _write(file, _read(file) | {key: fastest})
    return fastest, "the fastest, measured now"


def chains_of_a_kind(settings: Settings) -> int:
    """Largest number of chains with the same number of atoms."""
    n_chains = -(-settings.run.structures // settings.run.cycles_per_chain)
    return -(-n_chains // len(settings.system.atom_counts()))


def structure_steps_per_second(
    settings: Settings, batch_size: int, n_devices: int, dtype: DTypeLike
) -> float:
    """Rate of the annealing with so many structures side by side on each device."""
    devices, n_replicas = first_devices(n_devices), batch_size * n_devices
    sampler = build_sampler(settings, build_potential(settings, np.ones(n_features(settings))))
    numbers = len(settings.system.atom_counts())
    few = [random_start(settings, numbers * place) for place in range(min(n_replicas, 16))]
    starts = [few[place % len(few)] for place in range(n_replicas)]
    chains = list(range(n_replicas))
    start_keys, keys, system, weights = devices.split(
        (
            *chain_keys(settings.run.seed, chains, [0] * n_replicas, 0),
            *stacked(starts, dtype),
        )
    )
    sampler, state = begin(devices, sampler, start_keys, system, weights)
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds[1:]) < _SECONDS:  # the first has compiling in it
        began = time.perf_counter()
        sampler, state, _ = advance(devices, sampler, keys, state, 0, _STEPS, 2 * _STEPS)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - began)
    return n_replicas * _STEPS / min(seconds[1:])


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


def _key(settings: Settings, n_devices: int) -> str:
    """Changes with all that the fastest size depends on."""
    told = settings.model_dump(mode="json", include={"system", "descriptor", "repulsion"})
    told |= {
        "n_devices": n_devices,
        "device": [jax.local_devices()[0].device_kind, cpu_hash()],
        "precision": settings.run.precision,
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
