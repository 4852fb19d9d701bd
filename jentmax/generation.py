"""Many annealing cycles: batches of chains, and the data set file that they fill."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jentmax.appending import Appender
from jentmax.batch import Runner
from jentmax.build import build_potential, n_features
from jentmax.chains import Chain, first_chain
from jentmax.config import Settings, to_toml
from jentmax.dataset import DatasetWriter
from jentmax.entropy_weight import largest_entropy_weight
from jentmax.harvest import chain_numbers, harvests
from jentmax.memory import Width
from jentmax.progress import Counter, Report, ignore
from jentmax.resuming import Earlier
from jentmax.scaling import feature_scaling
from jentmax.set_files import begin_writing, claimed, complete, refuse_unasked
from jentmax.sharding import first_devices, n_asked
from jentmax.shares import ALONE, Share, n_structures
from jentmax.tuning import chosen_batch_size
from jentmax.versions import device_name, versions

Given = TypeVar("Given")
Made = TypeVar("Made")


def generate(
    settings: Settings,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    extend: bool = False,
    share: Share = ALONE,
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
        resume: whether to go on with an existing file, which these settings have made in part; the
            set will be the one that a single run makes. Without a file a run begins.
        extend: likewise, and ``settings.run.structures`` may be larger than it was.
        share: what this process makes of the set, where several make it together, each in a file of
            its own; `Dataset` reads them as one, and `merge` puts them into one.
        report: called with the progress after each tenth of a cycle.
        cache: folder that keeps which batch sizes were measured to be the fastest.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: if the output exists or cannot be written, or another process writes it, or
            the settings cannot be met, or are not those of the file to go on with.

    >>> import jentmax
    >>> settings = jentmax.load("tungsten", ["run.structures=4", "run.batch_size=4",
    ...     "run.cycles_per_chain=1", "sampler.steps=50", "quench.steps=10", "scaling.steps=50"])
    >>> path = jentmax.generate(settings, "few.h5")
    >>> with jentmax.Dataset(path) as data:
    ...     print(len(data), data[0].symbols, bool(data.least_distance.min() > 1.5))
    4 W39 True
    """
    path = Path(settings.run.output if output is None else output)
    with claimed(path, share):
        going_on = resume or extend
        refuse_unasked(path, share, overwrite=overwrite, going_on=going_on)
        earlier = None
        if path.exists() and (going_on or share.count > 1):
            earlier = Earlier(path, settings, share, extend)
        with jax.enable_x64(settings.run.precision == "float64"):
            _generate(settings, path, share, earlier, overwrite, report, cache)
    return path


def _generate(
    settings: Settings,
    path: Path,
    share: Share,
    earlier: Earlier | None,
    overwrite: bool,
    report: Report,
    cache: Path | None,
) -> None:
    """Make what a process has to make, and write it."""
    double = settings.run.precision == "float64"
    dtype = jnp.float64 if double else jnp.float32
    n_devices = n_asked(settings.run.devices)
    numbers = share.chains(chain_numbers(settings))
    counter = Counter(sum(n_structures(settings, each) for each in numbers.values()), report)
    if earlier:
        earlier.count(counter, numbers)
        size, reason = earlier.batch_size, "as before"
    else:
        size, reason = chosen_batch_size(
            settings, n_devices, dtype, cache, counter.show, share.count
        )
    settings = _with_batch_size(settings, size)
    if earlier:
        numbers = earlier.unfinished(settings, numbers)
    numbers = {n_atoms: of_a_kind for n_atoms, of_a_kind in numbers.items() if of_a_kind}
    if not numbers:
        if earlier and share == ALONE:
            complete(earlier.dataset)
        return
    # Those that would have no chains are left out.
    most = max(map(len, numbers.values()))
    devices = first_devices(min(n_devices, -(-most // size)))
    width = Width(size)
    side_by_side = size * devices.n_used
    several = f" on each of {devices.n_used} devices" if devices.n_used > 1 else ""
    if earlier and (note := earlier.made_otherwise(versions(), device_name(devices.n_used))):
        counter.show("starting", note=note)
    counter.show("starting", note=f"batch      {size} side by side{several}, {reason}")

    runner = Runner(settings, dtype, counter, devices, width)
    # One per number of atoms, so that every batch after its first finds it compiled.
    potentials = {
        n_atoms: build_potential(settings, np.ones(n_features(settings)), n_atoms)
        for n_atoms in numbers
    }

    def begun(number: int) -> Chain:
        return (earlier.chain if earlier else first_chain)(settings, number)

    with ThreadPoolExecutor() as threads:
        # By number of atoms; a batch has one.
        chains = {
            n_atoms: _ahead(threads, begun, of_a_kind, side_by_side)
            for n_atoms, of_a_kind in numbers.items()
        }
        first = list(itertools.islice(next(iter(chains.values())), side_by_side))
        rehearsed: list[Future] = []

        def rehearse() -> None:
            programs = runner.rehearsals(potentials[len(first[0].start.species)], first)
            rehearsed.extend(
                threads.submit(_with_precision, double, program) for program in programs
            )

        if earlier is None and settings.scaling.kind == "preliminary":
            counter.show("compiling and making the preliminary run")
        else:
            counter.show("compiling")
            rehearse()
        # The annealing is the same program if its batch is as large.
        scaling = earlier.scaling if earlier else feature_scaling(settings, dtype, rehearse)
        wait(rehearsed)  # what went wrong there will go wrong again

        def create() -> DatasetWriter:
            begin = functools.partial(
                DatasetWriter.create,
                settings_toml=to_toml(_with_batch_size(settings, width.batch_size)),
                seed=settings.run.seed,
                device=device_name(devices.n_used),
                scale=scaling.scale,
                shift=scaling.shift,
                versions=versions(),
            )
            return begin_writing(begin, path, share, earlier, overwrite, side_by_side)

        scale = jnp.asarray(scaling.scale)
        with Appender(create, counter) as appender:
            for n_atoms, of_a_kind in chains.items():
                potential = dataclasses.replace(potentials[n_atoms], scale=scale)
                of_a_kind, first = itertools.chain(first, of_a_kind), []
                if settings.potential.entropy_weight == "auto":
                    weight = earlier.entropy_weight(n_atoms) if earlier else None
                    if weight is None:
                        weight = largest_entropy_weight(settings, n_atoms, runner, potential)
                    note = f"K          {weight:.4g} eV for {n_atoms} atoms"
                    counter.show("annealing", note=note)
                    of_a_kind = map(Chain.weighing, of_a_kind, itertools.repeat(weight))
                for rows in harvests(settings, runner, potential, of_a_kind, side_by_side, counter):
                    appender.append(rows)


def _with_batch_size(settings: Settings, size: int) -> Settings:
    run = settings.run.model_copy(update={"batch_size": size})
    return settings.model_copy(update={"run": run})


def _with_precision(double: bool, function: Callable[[], object]) -> None:
    """Call a function in a thread, to which the precision of the one that asks does not carry."""
    with jax.enable_x64(double):
        function()


def _ahead(
    threads: Executor, function: Callable[[Given], Made], items: Iterable[Given], n: int
) -> Iterator[Made]:
    """What a function makes of items, each made while the ``n`` before it are used."""
    coming: deque[Future[Made]] = deque()
    for item in items:
        coming.append(threads.submit(function, item))
        if len(coming) > n:
            yield coming.popleft().result()
    while coming:
        yield coming.popleft().result()
