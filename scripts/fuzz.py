"""Files, values, names and machines of strangers, given to everything that meets them: each case
must give a result or a clear error, and lose nothing without a word.

    python scripts/fuzz.py --cases 10000 --seed 0 --keep failures/
    python scripts/fuzz.py --kinds labels frames --cases 500

Cases are numbered: case k of a seed is the same on every machine with the same packages, whatever
kinds are chosen. They run in a worker process with limited time and memory; if it dies, another one
takes its place. The files of cases that fail are kept.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import fuzz_files
import fuzz_machines
import fuzz_reading
import fuzz_sets
import fuzz_structures
import numpy as np

SECONDS = 10.0
"""After which a damaged file counts as hanging; the slowest takes some tenths."""

SECONDS_OF_COMMANDS = 180.0
"""After which a case that compiles, or starts processes, counts as hanging."""

MEMORY = 2 << 30
"""Maximum memory of a case in bytes, in addition to that of the packages."""

SITUATIONS: dict[str, Callable[[np.random.Generator, Path], str]] = {
    "labels": fuzz_structures.labels,
    "frames": fuzz_structures.frames,
    "database": fuzz_structures.database,
    "names": fuzz_structures.names,
    "degenerate": fuzz_sets.degenerate,
    "launcher": fuzz_machines.launcher,
    "terminal": fuzz_machines.terminal,
    "back-end": fuzz_machines.back_end,
    "drawing": fuzz_machines.drawing,
}
"""Cases that are more than a file: each is called with its random numbers and its folder."""

WEIGHTS = {name: 2 * weight for name, weight in fuzz_files.KINDS.items()}
WEIGHTS |= {"labels": 6, "frames": 6, "database": 4, "names": 4, "launcher": 2, "degenerate": 2}
WEIGHTS |= {"terminal": 1, "back-end": 1, "drawing": 1}
"""Of the kinds of cases; those that need processes take seconds each."""


class Case(NamedTuple):
    """A case by its number."""

    kind: str
    seed: int
    number: int

    @property
    def rng(self) -> np.random.Generator:
        """Its random numbers."""
        return np.random.default_rng([self.seed, self.number, 1])


@dataclass(frozen=True)
class Failure:
    """A case that gave neither a result nor a clear error, or lost something."""

    case: int
    kind: str
    what: str
    file: str


def case_of(number: int, seed: int) -> Case:
    """The case of a number."""
    rng = np.random.default_rng([seed, number])
    kind = rng.choice([kind for kind, count in WEIGHTS.items() for _ in range(count)])
    return Case(str(kind), seed, number)


def cases(first: int, count: int, seed: int, kinds: Iterable[str]) -> Iterator[Case]:
    """So many cases of some kinds, from a number on."""
    chosen = set(kinds)
    every = (case_of(number, seed) for number in itertools.count(first))
    return itertools.islice((case for case in every if case.kind in chosen), count)


def tried(case: Case, folder: Path) -> str:
    """The outcome of a case: as `attempt`."""
    if case.kind in SITUATIONS:
        return SITUATIONS[case.kind](case.rng, folder)
    return fuzz_reading.attempt(folder / f"case{Path(case.kind).suffix}")


def _work(link: multiprocessing.connection.Connection, memory: int) -> None:
    """Run the cases from a pipe until it is closed."""
    import jax  # before memory is limited

    import jentmax.cli
    import jentmax.generation  # noqa: F401

    jax.devices()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    link.send("ready")
    while given := link.recv():
        case, folder = given
        os.chdir(folder)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                link.send(tried(case, Path(folder)))
        except BaseException:
            link.send("traceback: " + traceback.format_exc())


class Worker:
    """A process that runs cases, replaced if a case kills it or takes too long."""

    def __init__(self, seconds: float | None = None, memory: int = MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self._context = multiprocessing.get_context("spawn")
        self._process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, case: Case, folder: Path) -> str:
        """The outcome of a case: as `tried`, or "traceback: ...", "hang" or "crash ..."."""
        if self._process is None:
            self._link, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(theirs, self.memory))
            self._process.start()
            theirs.close()
            self._link.recv()
        self._link.send((case, str(folder)))
        seconds = SECONDS_OF_COMMANDS if case.kind in SITUATIONS else SECONDS
        seconds = seconds if self.seconds is None else self.seconds
        try:
            if self._link.poll(seconds):
                return self._link.recv()
            outcome = f"hang: more than {seconds} s"
        except (EOFError, ConnectionError):
            self._process.join()
            outcome = f"crash: exit code {self._process.exitcode}"
        self._stop()
        return outcome

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def failures(
    chosen: Iterable[Case], keep: Path | None, outcomes: collections.Counter[str]
) -> Iterator[Failure]:
    """Run cases; yields failures as they occur."""
    with tempfile.TemporaryDirectory() as name, Worker() as worker:
        good = fuzz_files.samples(Path(name))
        for case in chosen:
            folder = Path(name, "case")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _prepare(case, folder, good)
            began = time.monotonic()
            outcome = worker.run(case, folder)
            outcomes["seconds, longest"] = max(
                outcomes["seconds, longest"], int(time.monotonic() - began + 1)
            )
            outcomes[f"{case.kind}: {outcome.partition(':')[0]}"] += 1
            if outcome.startswith(("result", "error")):
                continue
            kept = folder
            if keep is not None:
                kept = keep / f"seed-{case.seed}-case-{case.number}-{case.kind}"
                shutil.copytree(folder, kept, dirs_exist_ok=True)
            yield Failure(case.number, case.kind, outcome, str(kept))


def _prepare(case: Case, folder: Path, good: dict[str, bytes]) -> None:
    """Write the files that a case begins with."""
    if case.kind not in SITUATIONS:
        content = fuzz_files.content_of(case.kind, case.rng, good)
        (folder / f"case{Path(case.kind).suffix}").write_bytes(content)
    elif case.kind in ("terminal", "back-end", "drawing"):
        (folder / "set.h5").write_bytes(good["complete.h5"])
        (folder / "set.extxyz").write_bytes(good["set.extxyz"])


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases requested on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="for failures")
    given = parser.parse_args(words)
    outcomes: collections.Counter[str] = collections.Counter()
    failed = 0
    began = time.monotonic()
    chosen = cases(given.first, given.cases, given.seed, given.kinds)
    for failure in failures(chosen, given.keep.absolute(), outcomes):
        failed += 1
        print(f"seed {given.seed}, case {failure.case}, {failure.file}\n{failure.what}", flush=True)
    for what, count in sorted(outcomes.items()):
        print(f"{count:7} {what}")
    print(f"{given.cases} cases in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
