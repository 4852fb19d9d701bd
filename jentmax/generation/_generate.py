"""A set: the first N accepted structures of a recipe's streams, made chunk by chunk."""

from __future__ import annotations

import contextlib
import operator
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset import (
    ChunkId,
    DamagedPart,
    Dataset,
    Parts,
    Structures,
    refuse_existing,
    write_set,
)
from jentmax.devices import device_name, workers
from jentmax.errors import JentmaxError
from jentmax.fields import shown
from jentmax.generation._engines import Engine, dask, threads
from jentmax.generation._identity import made_otherwise, refuse_others
from jentmax.generation._plan import Plan
from jentmax.generation._processes import ALONE, Process
from jentmax.generation._progress import Progress, Report, ignore
from jentmax.generation._recipe import Recipe
from jentmax.generation._resolve import check_seed
from jentmax.generation._resolved import ACCEPTED, Resolved

_SECONDS = 0.1
"""Between two looks at what is under way."""

_SECONDS_BETWEEN_LISTS = 1 / 32
"""Between two looks at what other processes have put into the folder, for each of them: many
processes together look at most 32 times a second."""


def generate(
    recipe: Recipe,
    *,
    structures: int,
    output: str | os.PathLike[str],
    seed: int = 0,
    overwrite: bool = False,
    devices: int | None = None,
    process: Process = ALONE,
    scheduler: Any = None,
    report: Report = ignore,
    cache: Path | None = None,
) -> Path:
    """Make a set: the first accepted structures of a recipe's stream, in an HDF5 file.

    Structure i depends on the recipe, the seed, i and the batch size alone. While the set is under
    way, its chunks are files in the folder ``OUTPUT.parts``; a chunk that is there is never made
    again. The same call goes on where the last one ended, also with more structures, also from a
    finished file, and any number of processes may make one set.

    Args:
        recipe: how structures come about.
        structures: how many the set has.
        output: path of the file.
        seed: of all randomness, from 0 to 2^32 - 1.
        overwrite: whether what is there may be replaced. A set under way of the same recipe is not:
            the same call goes on with it.
        devices: CPU cores or GPUs to use; None for all.
        process: which of several processes this one is; it says where each begins.
        scheduler: address of a Dask scheduler, or a ``distributed.Client``, whose workers make the
            chunks.
        report: called with a `Progress` several times a second, from the thread that calls this.
        cache: folder that keeps which batch sizes were measured to be the fastest.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: an argument is not allowed, the output belongs to another recipe, seed or
            version, it cannot be written, or hardly any structure is accepted.

    >>> import jentmax as jm
    >>> potential = jm.Potential(
    ...     jm.Snap(cutoff=4.0, components=6), jm.ClarkeSmith(), jm.NearestNeighbor(),
    ...     scale=[3.0, 0.4, 0.5, 1.4, 0.5, 1.1])
    >>> start = jm.RandomStart("W8", density=0.03)
    >>> recipe = jm.Recipe(potential, jm.Langevin(), start=start, steps=20, entropy_weight=100.0)
    >>> path = jm.generate(recipe, structures=4, output="few.h5")
    >>> with jm.Dataset(path) as data:
    ...     print(len(data), data[0].symbols)
    4 W8
    """
    structures = _checked(recipe, structures, process)
    check_seed(seed)
    if isinstance(devices, bool) or not isinstance(devices, int | None):
        raise JentmaxError(
            f"devices = {devices!r} is not allowed; give a whole number of at least 1, or None for "
            "all"
        )
    workers(devices)
    path = Path(output)
    refuse_existing(path, overwrite=True)
    if overwrite and process.count > 1:
        raise JentmaxError(
            f"overwrite: several processes cannot agree when to replace {path}; remove it and "
            f"{Parts(path).folder.name} first, or give another output"
        )
    run = _Run(recipe, structures, path, seed, overwrite, process, report)
    while not run.make(devices, scheduler, cache):
        continue  # another process has finished a set meanwhile
    return path


def _checked(recipe: Recipe, structures: int, process: Process) -> int:
    """The number of structures, if the arguments of `generate` are allowed."""
    if not isinstance(recipe, Recipe):
        raise JentmaxError(
            f"recipe = {shown(recipe)} is not allowed; give a Recipe, such as jm.recipe of a "
            "preset or a TOML file"
        )
    try:
        number = 0 if isinstance(structures, bool) else operator.index(structures)
    except TypeError:
        number = 0
    if number < 1:
        raise JentmaxError(
            f"structures = {structures!r} is not allowed; give a whole number of at least 1"
        )
    if not isinstance(process, Process) or not 0 <= process.index < process.count:
        raise JentmaxError(
            f"process = {process!r} is not allowed; give Process(I, N), process I of N, with I "
            "from 0 to N - 1"
        )
    return number


class _Run:
    """The way from what is there of a set to the finished file."""

    def __init__(
        self,
        recipe: Recipe,
        structures: int,
        path: Path,
        seed: int,
        overwrite: bool,
        process: Process,
        report: Report,
    ) -> None:
        self._recipe, self._structures, self._path = recipe, structures, path
        self._seed, self._overwrite, self._process = seed, overwrite, process
        self._report = report
        self._before: int | None = None
        self._entropy: list[float] = []
        self._distance: list[float] = []
        self._begin()

    def _begin(self) -> None:
        """Forget what an attempt has seen of the files."""
        self._parts = Parts(self._path)
        self._begun = False
        self._plan: Plan | None = None
        self._of_file: set[ChunkId] = set()
        self._pending: dict[Future[Structures], ChunkId] = {}
        self._ends: dict[ChunkId, Structures] = {}

    def make(self, devices: int | None, scheduler: Any, cache: Path | None) -> bool:
        """Make the set; False if it has to be begun again."""
        self._begin()
        with contextlib.ExitStack() as stack:
            finished = self._finished(stack)
            if finished is not None and len(finished) >= self._structures:
                self._count_before(len(finished))
                self._tell("complete", done=len(finished))
                # Chunks that the file lacks are those of a process that goes on to more.
                if self._parts.chunks() <= finished.chunks():
                    self._parts.remove_all()
                return True
            header = self._header(finished, devices, cache)
            if finished is None and not self._overwrite and os.path.lexists(self._path):
                return False
            resolved = Resolved.from_header(self._recipe, header)
            plan = self._plan = Plan(resolved, self._structures, self._process)
            if finished is not None:
                self._of_file = finished.chunks()
                for chunk in sorted(self._of_file):
                    plan.add(chunk, _counts(finished.chunk(chunk)))

            def get(chunk: ChunkId) -> Structures:
                if finished is not None and chunk in self._of_file:
                    return finished.chunk(chunk)
                return self._parts.get(chunk)

            try:
                self._look()
                self._count_before(plan.done)
                name = device_name(len(workers(devices)))
                self._tell("annealing", note=made_otherwise(header, name))
                engine = stack.enter_context(
                    threads(resolved, devices)
                    if scheduler is None
                    else dask(scheduler, resolved, header)
                )
                try:
                    if not self._make_file(engine, header, get, finished is not None):
                        return False
                except BaseException:
                    self._keep_the_rest(engine)
                    raise
            except FileNotFoundError:
                if self._parts.exists():
                    raise
                return False
            except JentmaxError:
                if self._begun and not self._parts.chunks():
                    self._parts.remove_all()
                raise
        self._tell("complete", done=self._structures)
        self._parts.remove_all()
        return True

    def _make_file(
        self,
        engine: Engine,
        header: dict[str, Any],
        get: Callable[[ChunkId], Structures],
        larger: bool,
    ) -> bool:
        """Make all chunks and write the file; False if that of another process is in place."""
        assert self._plan is not None
        while True:
            self._make_chunks(engine, get)
            try:
                if self._overwrite:  # all chunks of the new set are in its folder
                    self._path.unlink(missing_ok=True)
                n, chunks = self._structures, list(self._plan.counts)
                ours = write_set(self._path, header, chunks, get, n, overwrite=larger)
                return ours or larger  # a file that another process has made as large stays
            except DamagedPart as damaged:
                self._again(damaged)
            except FileNotFoundError:
                self._look()

    def _finished(self, stack: contextlib.ExitStack) -> Dataset | None:
        """The finished file that is there, if it is to be gone on with."""
        if self._overwrite or not os.path.lexists(self._path):
            return None
        finished = stack.enter_context(Dataset(self._path))
        if finished.kind != "generated":
            raise JentmaxError(
                f"{self._path} is a {finished.kind} data set; give another output, or --overwrite"
            )
        refuse_others(self._path, finished.header, self._recipe, self._seed)
        if len(finished) > self._structures:
            raise JentmaxError(
                f"structures = {self._structures}: {self._path} has {len(finished)} already; ask "
                "for as many or more, or give another output"
            )
        return finished

    def _under_way(self, finished: Dataset | None) -> dict[str, Any] | None:
        """The header of the set under way, if it is this one; another one is refused or removed."""
        try:
            if (header := self._parts.header()) is None:
                return None
            refuse_others(self._path, header, self._recipe, self._seed)
        except JentmaxError:
            if not self._overwrite:
                raise
        else:
            if finished is None or _same(header, finished.header):
                return header
        self._parts.remove_all()
        self._parts = Parts(self._path)  # which has seen no other set
        return None

    def _header(
        self, finished: Dataset | None, devices: int | None, cache: Path | None
    ) -> dict[str, Any]:
        """The header in place; it is resolved and written if there is none."""
        if (there := self._under_way(finished)) is not None:
            return there
        if finished is not None:
            header = dict(finished.header)
        else:
            resolved = self._recipe.resolve(
                self._seed,
                structures=self._structures,
                devices=devices,
                cache=cache,
                report=lambda phase, note: self._tell(phase, note=note),
            )
            header = resolved.header(len(workers(devices)))
        self._begun = True
        return self._parts.begin(header)

    def _make_chunks(self, engine: Engine, get: Callable[[ChunkId], Structures]) -> None:
        """Make chunks until the set has all its structures; what is under way then is surplus."""
        assert self._plan is not None
        plan, pending = self._plan, self._pending
        looked = time.monotonic()
        while not plan.complete:
            if plan.hopeless:
                raise JentmaxError(_hopeless(self._recipe, plan))
            for chunk in plan.next(engine.n_workers - len(pending)):
                try:
                    previous = self._previous(chunk, get)
                except DamagedPart as damaged:
                    self._again(damaged)
                    break
                except FileNotFoundError:
                    self._look()
                    break
                plan.under_way.add(chunk)
                pending[engine.submit(chunk, previous)] = chunk
            done, _ = wait(pending, timeout=_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = pending.pop(future)
                plan.under_way.discard(chunk)
                self._keep(chunk, future.result())
            if time.monotonic() > looked + self._process.count * _SECONDS_BETWEEN_LISTS:
                self._look()
                looked = time.monotonic()
            size = float(np.mean(plan.sizes))
            self._tell("annealing", under_way=engine.under_way() * size)

    def _keep_the_rest(self, engine: Engine) -> None:
        """End what is under way, and keep the chunks that are done all the same."""
        engine.stop()
        for future, chunk in self._pending.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                with contextlib.suppress(JentmaxError, OSError):
                    self._keep(chunk, future.result())

    def _previous(self, chunk: ChunkId, get: Callable[[ChunkId], Structures]) -> Structures | None:
        if chunk.cycle == 0:
            return None
        before = chunk._replace(cycle=chunk.cycle - 1)
        return self._ends.get(before) or get(before)

    def _keep(self, chunk: ChunkId, made: Structures) -> None:
        """Put a chunk in place, and count what is in place."""
        assert self._plan is not None
        there = self._parts.put(chunk, made)
        accepted = there.columns["status"] == ACCEPTED
        self._entropy += there.columns["entropy"][accepted].tolist()
        self._distance += there.columns["least_distance"][accepted].tolist()
        self._plan.add(chunk, _counts(there))
        if chunk.cycle + 1 < self._recipe.cycles_per_chain:
            self._ends[chunk] = there
        for before in list(self._ends):
            if before._replace(cycle=before.cycle + 1) in self._plan.counts:
                del self._ends[before]

    def _look(self) -> None:
        """Count the chunks that are there now, also those that other processes have made.

        Raises:
            FileNotFoundError: another process has finished the set.
        """
        assert self._plan is not None
        there = self._parts.chunks()
        if not there and not self._parts.exists():
            raise FileNotFoundError(self._parts.folder)
        for chunk in self._plan.counts.keys() - there - self._of_file:
            self._plan.remove(chunk)
        for chunk in sorted(there - self._plan.counts.keys()):
            try:
                self._plan.add(chunk, self._parts.counts(chunk))
            except DamagedPart as damaged:
                self._again(damaged, chunk)
            except FileNotFoundError:
                continue

    def _again(self, damaged: DamagedPart, chunk: ChunkId | None = None) -> None:
        """Remove a damaged part, so that it is made again."""
        assert self._plan is not None
        for one in [chunk] if chunk else sorted(self._parts.chunks()):
            try:
                self._parts.get(one)
            except FileNotFoundError:
                self._plan.remove(one)
            except DamagedPart:
                self._parts.remove(one)
                self._plan.remove(one)
        self._tell("annealing", note=str(damaged))

    def _count_before(self, done: int) -> None:
        """Keep how many structures there were when the run began, in its first attempt."""
        self._before = done if self._before is None else self._before

    def _tell(
        self, phase: str, *, under_way: float = 0.0, note: str = "", done: int | None = None
    ) -> None:
        plan = self._plan
        there = (plan.done if plan else 0) if done is None else done
        self._report(
            Progress(
                phase=phase,
                done=min(there + under_way, self._structures),
                structures=self._structures,
                before=self._before or 0,
                made=len(self._entropy),
                entropy=float(np.mean(self._entropy)) if self._entropy else np.nan,
                least_distance=float(np.mean(self._distance)) if self._distance else np.nan,
                smallest_distance=min(self._distance, default=np.nan),
                discarded=plan.discarded if plan else {},
                note=note,
            )
        )


def _counts(structures: Structures) -> list[int]:
    return np.bincount(structures.columns["status"], minlength=3).tolist()


def _same(under_way: dict[str, Any], finished: dict[str, Any]) -> bool:
    """Whether a folder and a file have the same header."""
    one, other = (
        {name: value for name, value in header.items() if name not in ("format", "schema")}
        for header in (under_way, finished)
    )
    return one == other


def _hopeless(recipe: Recipe, plan: Plan) -> str:
    """What to lower if hardly any structure is accepted."""
    accepted, not_finite, too_close = plan.first.sum(axis=0)
    told = (
        f"{accepted} of the first {plan.first.sum()} structures, in {len(plan.first)} chunks, were "
        "accepted: "
    )
    if not_finite >= too_close:
        names = ("timestep", "force_cap", "step_length", "largest_step")
        lower = " or ".join(f"sampler.{name}" for name in names if hasattr(recipe.sampler, name))
        return (
            f"{told}{not_finite} were not finite; lower {lower or 'the steps'}, or check the "
            "repulsion"
        )
    return (
        f"{told}{too_close} have atoms closer than min_distance = {recipe.min_distance:g} Å; lower "
        'it or entropy_weight, or let entropy_weight = "auto" find the largest that keeps it'
    )
