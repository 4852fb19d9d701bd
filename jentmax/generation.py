"""Many annealing cycles: batches of chains, and the data set file that they fill."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jentmax._output import refuse_existing
from jentmax.appending import Appender
from jentmax.batch import Batch
from jentmax.build import build_potential, n_features
from jentmax.config import Settings, to_toml
from jentmax.dataset import DatasetWriter
from jentmax.memory import Width
from jentmax.progress import Counter, Report, ignore
from jentmax.scaling import feature_scaling
from jentmax.sharding import first_devices, n_asked
from jentmax.tuning import chains_of_a_kind, chosen_batch_size
from jentmax.versions import device_name, versions

Given = TypeVar("Given")
Made = TypeVar("Made")


def generate(
    settings: Settings,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    report: Report = ignore,
    cache: Path | None = None,
) -> Path:
    """Make structures of low effective energy and write them to an HDF5 file.

    Structure i is cycle ``i mod cycles_per_chain`` of chain ``i div cycles_per_chain``. It depends
    on the seed, i and the settings alone (bit for bit at the same batch size on the same kind of
    device, however many there are), and is on disk soon after its cycle has ended.

    Args:
        settings: from `jentmax.load`.
        output: path of the file; ``settings.run.output`` by default.
        overwrite: whether an existing file may be replaced.
        report: called with the progress after each tenth of a cycle.
        cache: folder that keeps which batch sizes were measured to be the fastest.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: if the output exists or cannot be written, or the settings cannot be met.

    >>> import jentmax
    >>> settings = jentmax.load("tungsten", ["run.structures=4", "run.batch_size=4",
    ...     "run.cycles_per_chain=1", "sampler.steps=50", "quench.steps=10", "scaling.steps=50"])
    >>> path = jentmax.generate(settings, "few.h5")
    >>> with jentmax.Dataset(path) as data:
    ...     print(len(data), data[0].symbols, bool(data.least_distance.min() > 1.5))
    4 W39 True
    """
    path = Path(settings.run.output if output is None else output)
    refuse_existing(path, overwrite)
    n_devices = n_asked(settings.run.devices)
    double = settings.run.precision == "float64"
    dtype = jnp.float64 if double else jnp.float32
    counter = Counter(settings.run.structures, report)
    with jax.enable_x64(double):
        size, reason = chosen_batch_size(settings, n_devices, dtype, cache, counter.show)
        settings = _with_batch_size(settings, size)
        # Those that would have no chains are left out.
        devices = first_devices(min(n_devices, -(-chains_of_a_kind(settings) // size)))
        width = Width(size)
        several = f" on each of {devices.n_used} devices" if devices.n_used > 1 else ""
        counter.show("starting", note=f"batch      {size} side by side{several}, {reason}")

        def batch_of(chains: Sequence[int]) -> Batch:
            return Batch(settings, chains, dtype, counter, devices, width)

        # One per number of atoms, so that every batch after its first finds it compiled.
        potentials = {
            n_atoms: build_potential(settings, np.ones(n_features(settings)), n_atoms)
            for n_atoms in settings.system.atom_counts()
        }
        with ThreadPoolExecutor() as threads:
            ahead = _ahead(threads, batch_of, batches(settings, devices.n_used))
            first = next(ahead)
            first.sample(potentials[first.n_atoms])
            rehearsed: list[Future] = []

            def rehearse() -> None:
                rehearsed.extend(
                    threads.submit(_with_precision, double, program)
                    for program in first.rehearsals()
                )

            if settings.scaling.kind == "preliminary":
                counter.show("compiling and making the preliminary run")
            else:
                counter.show("compiling")
                rehearse()
            # The annealing is the same program if its batch is as large.
            scaling = feature_scaling(settings, dtype, running=rehearse)
            wait(rehearsed)  # what went wrong there will go wrong again

            def create() -> DatasetWriter:
                return DatasetWriter.create(
                    path,
                    settings_toml=to_toml(_with_batch_size(settings, width.batch_size)),
                    seed=settings.run.seed,
                    device=device_name(devices.n_used),
                    scale=scaling.scale,
                    shift=scaling.shift,
                    versions=versions(),
                    overwrite=overwrite,
                )

            scale = jnp.asarray(scaling.scale)
            with Appender(create, counter) as appender:
                for batch in itertools.chain([first], ahead):
                    potential = potentials[batch.n_atoms]
                    batch.sample(dataclasses.replace(potential, scale=scale))
                    for cycle in range(settings.run.cycles_per_chain):
                        if batch.wanted(cycle):
                            appender.append(batch.rows(cycle))
    return path


def batches(settings: Settings, n_devices: int = 1) -> Iterator[list[int]]:
    """Numbers of the chains that run side by side, batch after batch.

    All batches have the same size, so that the last one is computed as the others are: what it
    has too many is not written. With several numbers of atoms a batch has one of them.

    Args:
        settings: of the run, with a number as the batch size.
        n_devices: that share each batch.
    """
    n_chains = -(-settings.run.structures // settings.run.cycles_per_chain)
    numbers = len(settings.system.atom_counts())
    size = int(settings.run.batch_size) * n_devices
    for kind in range(numbers):
        for first in range(kind, n_chains, size * numbers):
            yield [first + numbers * place for place in range(size)]


def _with_batch_size(settings: Settings, size: int) -> Settings:
    run = settings.run.model_copy(update={"batch_size": size})
    return settings.model_copy(update={"run": run})


def _with_precision(double: bool, function: Callable[[], object]) -> None:
    """Call a function in a thread, to which the precision of the one that asks does not carry."""
    with jax.enable_x64(double):
        function()


def _ahead(
    threads: Executor, function: Callable[[Given], Made], items: Iterable[Given]
) -> Iterator[Made]:
    """What a function makes of items, each made while the one before is used."""
    pending = None
    for item in items:
        coming = threads.submit(function, item)
        if pending is not None:
            yield pending.result()
        pending = coming
    if pending is not None:
        yield pending.result()
