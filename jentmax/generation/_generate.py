"""Generate a set, the first N accepted structures of a recipe's streams, chunk by chunk."""

from __future__ import annotations

import contextlib
import operator
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset import (
    ChunkId,
    DamagedPart,
    Dataset,
    MissingPart,
    Parts,
    Structures,
    refuse_existing,
    reopen_set,
    write_set,
)
from jentmax.devices import device_name, workers
from jentmax.errors import JentmaxError
from jentmax.fields import shown
from jentmax.generation._engines import Engine, dask, threads
from jentmax.generation._identity import refuse_others, version_note
from jentmax.generation._plan import Plan
from jentmax.generation._processes import ALONE, Process
from jentmax.generation._progress import Progress, ProgressCallback, ignore
from jentmax.generation._recipe import Recipe
from jentmax.generation._resolve import check_seed
from jentmax.generation._resolved import ACCEPTED, Resolved

_SECONDS = 0.1
"""Seconds between two calls of the progress callback."""

_SECONDS_BETWEEN_LISTS = 1 / 32
"""Seconds between two listings of the folder, multiplied by the number of processes: together they
list it at most 32 times per second."""


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
    callback: ProgressCallback = ignore,
    cache: Path | None = None,
) -> Path:
    """Generate a set: the first accepted structures of a recipe's stream, in an HDF5 file.

    Structure i depends only on the recipe, the seed, i and the batch size. Until the set is
    finished, its chunks are files in the folder ``OUTPUT.parts``; existing chunks are never
    recomputed. The same call continues an interrupted set, and a call with more structures extends
    a finished or unfinished one. Any number of processes may work on one set.

    Args:
        recipe: recipe of the structures.
        structures: number of structures of the set.
        output: path of the file.
        seed: seed of all randomness, from 0 to 2^32 - 1.
        overwrite: whether to replace any other set or file at this path. A set of the same recipe
            and seed is not replaced but continued.
        devices: number of CPU cores or GPUs to use; None for all.
        process: index of this process among several; each starts with different chunks.
        scheduler: address of a Dask scheduler, or a ``distributed.Client``, whose workers compute
            the chunks.
        callback: called with a `Progress` several times per second, in the calling thread.
        cache: folder that stores the fastest batch sizes.

    Returns:
        The path of the file.

    Raises:
        JentmaxError: an argument is not allowed, the output belongs to another recipe, seed or
            version or cannot be written, or almost no structure is accepted.

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
    run = _Run(recipe, structures, path, seed, overwrite, process, callback)
    while True:
        # A missing part or folder means that another process finished the set, so start over.
        with contextlib.suppress(MissingPart):
            run.make(devices, scheduler, cache)
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
    """One run of `generate`: continues the existing chunks up to the finished file."""

    def __init__(
        self,
        recipe: Recipe,
        structures: int,
        path: Path,
        seed: int,
        overwrite: bool,
        process: Process,
        callback: ProgressCallback,
    ) -> None:
        self._recipe, self._structures, self._path = recipe, structures, path
        self._seed, self._overwrite = seed, overwrite
        self._process, self._callback = process, callback
        self._before: int | None = None  # structures that existed when the run began
        self._entropy: list[float] = []
        self._distance: list[float] = []

    def make(self, devices: int | None, scheduler: Any, cache: Path | None) -> None:
        """Make the set.

        Raises:
            MissingPart: another process finished the set in the meantime.
        """
        self._parts, self._plan = Parts(self._path), None
        if self._finished() >= self._structures:
            self._count_before(self._structures)
            with Dataset(self._path) as finished:
                # Chunks that are not in the file belong to a process that extends the set.
                if self._parts.chunks() <= set(finished.chunks):
                    self._parts.remove_all()
            self._tell("complete")
            return
        begun = self._begin(devices, cache)
        header = self._parts.header()
        if header is None:
            raise MissingPart(self._parts.folder)
        resolved = Resolved.from_header(self._recipe, header)
        self._plan = Plan(resolved, self._structures, self._process)
        self._look()
        self._count_before(self._plan.done)
        self._tell("annealing", note=version_note(header, device_name(len(workers(devices)))))
        try:
            with (
                threads(resolved, devices)
                if scheduler is None
                else dask(scheduler, resolved, header)
            ) as engine:
                self._make_file(engine)
        except JentmaxError:
            if begun and self._parts.exists() and not self._parts.chunks():
                self._parts.remove_all()
            raise
        self._tell("complete")
        self._parts.remove_all()

    def _finished(self) -> int:
        """Number of structures in the finished file; 0 if it does not exist or may be replaced.

        Raises:
            JentmaxError: the file is damaged, belongs to another set, or has more structures.
        """
        if not os.path.lexists(self._path) or self._path.stat().st_size == 0:
            return 0
        try:
            with Dataset(self._path) as finished:
                if finished.kind != "generated":
                    raise JentmaxError(
                        f"{self._path} is a {finished.kind} data set; give another output, or "
                        "--overwrite"
                    )
                refuse_others(self._path, finished.header, self._recipe, self._seed)
                if len(finished) > self._structures:
                    raise JentmaxError(
                        f"structures = {self._structures}: {self._path} has {len(finished)} "
                        "already; ask for as many or more, or give another output"
                    )
                return len(finished)
        except JentmaxError:
            if self._overwrite:
                return 0
            raise

    def _unfinished(self) -> bool:
        """Whether the folder of parts belongs to this set.

        Raises:
            JentmaxError: it belongs to another set.
        """
        try:
            if (header := self._parts.header()) is None:
                return False
            refuse_others(self._path, header, self._recipe, self._seed)
            return True
        except JentmaxError:
            if self._overwrite:
                return False
            raise

    def _begin(self, devices: int | None, cache: Path | None) -> bool:
        """Create the folder of parts if it is missing; return whether this process created it."""
        if self._finished():
            with Dataset(self._path) as finished:
                if self._parts.header() not in (None, finished.header):
                    self._clear()  # a killed process left the folder; the file is authoritative
            reopen_set(self._parts)
            return False
        if self._unfinished():
            self._remove_old_file()
            return False
        resolved = self._recipe.resolve(
            self._seed,
            structures=self._structures,
            devices=devices,
            cache=cache,
            callback=lambda phase, note: self._tell(phase, note=note),
        )
        if self._finished():
            raise MissingPart(self._parts.folder)
        self._remove_old_file()
        if not self._unfinished():
            self._clear()
        self._parts.begin(resolved.header(len(workers(devices))))
        return True

    def _remove_old_file(self) -> None:
        """Remove an empty file or, with ``overwrite``, any other file."""
        with contextlib.suppress(FileNotFoundError):
            if self._overwrite or self._path.stat().st_size == 0:
                self._path.unlink()

    def _clear(self) -> None:
        """Remove the folder of parts."""
        self._parts.remove_all()
        self._parts = Parts(self._path)

    def _make_file(self, engine: Engine) -> None:
        """Compute all chunks and write the file."""
        while True:
            try:
                self._make_chunks(engine)
                write_set(self._parts, self._structures)
                return
            except DamagedPart as damaged:
                self._remove_damaged()
                self._tell("annealing", note=str(damaged))
            except MissingPart:
                self._look()

    def _make_chunks(self, engine: Engine) -> None:
        """Compute chunks until the set is complete."""
        assert self._plan is not None
        plan, pending, looked = self._plan, engine.pending, time.monotonic()
        while not plan.complete:
            if plan.hopeless:
                raise JentmaxError(_hopeless(self._recipe, plan))
            for chunk in plan.next(engine.n_workers - len(pending), set(pending.values())):
                previous = None
                if chunk.cycle:
                    previous = self._parts.get(chunk._replace(cycle=chunk.cycle - 1))
                pending[engine.submit(chunk, previous)] = chunk
            done, _ = wait(pending, timeout=_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                self._keep(pending.pop(future), future)
            if time.monotonic() > looked + self._process.count * _SECONDS_BETWEEN_LISTS:
                self._look()
                looked = time.monotonic()
            self._tell("annealing", under_way=engine.under_way() * float(np.mean(plan.sizes)))

    def _keep(self, chunk: ChunkId, future: Future[Structures]) -> None:
        """Store a chunk, and count the stored one, which may come from another process."""
        assert self._plan is not None
        stored = self._parts.put(chunk, future.result())
        accepted = stored.columns["status"] == ACCEPTED
        self._entropy += stored.columns["entropy"][accepted].tolist()
        self._distance += stored.columns["least_distance"][accepted].tolist()
        self._plan.add(chunk, np.bincount(stored.columns["status"], minlength=3).tolist())

    def _look(self) -> None:
        """Count the chunks that exist now, including those of other processes.

        Raises:
            MissingPart: another process finished the set.
        """
        assert self._plan is not None
        existing = self._parts.chunks()
        if not self._parts.exists():
            raise MissingPart(self._parts.folder)
        for chunk in self._plan.counts.keys() - existing:
            self._plan.remove(chunk)
        for chunk in sorted(existing - self._plan.counts.keys()):
            try:
                self._plan.add(chunk, self._parts.counts(chunk))
            except DamagedPart as damaged:
                self._parts.remove(chunk)
                self._tell("annealing", note=str(damaged))
            except MissingPart:
                continue

    def _remove_damaged(self) -> None:
        """Remove all damaged parts, so that they are computed again."""
        for chunk in sorted(self._parts.chunks()):
            with contextlib.suppress(MissingPart):
                try:
                    self._parts.get(chunk)
                except DamagedPart:
                    self._parts.remove(chunk)
        self._look()

    def _count_before(self, done: int) -> None:
        """Store the number of structures that existed when the run began."""
        self._before = done if self._before is None else self._before

    def _tell(self, phase: str, *, under_way: float = 0.0, note: str = "") -> None:
        plan = self._plan
        done = self._structures if phase == "complete" else plan.done if plan else 0
        self._callback(
            Progress(
                phase=phase,
                done=min(done + under_way, self._structures),
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


def _hopeless(recipe: Recipe, plan: Plan) -> str:
    """Error message for almost no accepted structures; it names the settings to lower."""
    accepted, not_finite, too_close = plan.first.sum(axis=0)
    start = (
        f"{accepted} of the first {plan.first.sum()} structures, in {len(plan.first)} chunks, were "
        "accepted: "
    )
    if not_finite >= too_close:
        names = ("timestep", "force_cap", "step_length", "largest_step")
        lower = " or ".join(f"sampler.{name}" for name in names if hasattr(recipe.sampler, name))
        return (
            f"{start}{not_finite} were not finite; lower {lower or 'the steps'}, or check the "
            "repulsion"
        )
    return (
        f"{start}{too_close} have atoms closer than min_distance = {recipe.min_distance:g} Å; "
        'lower it or entropy_weight, or let entropy_weight = "auto" find the largest that keeps it'
    )
