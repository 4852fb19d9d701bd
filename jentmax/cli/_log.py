"""What happened to a data set and when, in a text file beside it."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jentmax.cli._figures import Figures

if TYPE_CHECKING:
    from jentmax.generation import Progress

_SECONDS_BETWEEN_COUNTS = 30.0


class RunLog:
    """Appends a line with the time for each event of a run.

    Nothing is written before there are structures: a run that gives none leaves no file. No error
    of writing ends the run.
    """

    def __init__(self, output: Path, goes_on: bool, process: int = 0) -> None:
        """Prepare to write beside a data set.

        Args:
            output: the data set's file.
            goes_on: whether the run goes on with it, and so with its log; or else replaces both.
            process: number of the process; each has a log.
        """
        number = f".{process}" if process else ""
        self._path = output.with_name(f"{output.name}{number}.log")
        self._mode = "a" if goes_on else "w"
        self._waiting: list[str] | None = []  # None once lines go to the file
        self._figures, self._phases = Figures(), set()
        self._n_told = 0
        self._last_count = 0.0

    def tell(self, event: str) -> None:
        """Write down an event of one line or more."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        lines = "".join(f"{now}  {' '.join(line.split())}\n" for line in event.splitlines())
        if self._waiting is None:
            self._write(lines)
        else:
            self._waiting.append(lines)

    def report(self, progress: Progress) -> None:
        """Write down what is new."""
        now, n_there = time.monotonic(), int(progress.done)
        figures = self._figures.told(progress, now)
        if progress.note:
            self.tell(progress.note)
        phase = progress.phase.partition(",")[0]  # what follows is how far it is
        if phase not in self._phases:
            self._phases.add(phase)
            self.tell(phase)
        late = now - self._last_count >= _SECONDS_BETWEEN_COUNTS
        if n_there > self._n_told and (late or n_there == progress.structures):
            self._n_told, self._last_count = n_there, now
            self.tell(f"{n_there}/{progress.structures} structures {figures}".rstrip())
        if (progress.before or progress.made) and self._waiting is not None:
            waiting, self._waiting = "".join(self._waiting), None
            self._write(waiting)

    def _write(self, lines: str) -> None:
        try:
            with self._path.open(self._mode, encoding="utf-8", errors="replace") as file:
                file.write(lines)
        except OSError:
            return
        self._mode = "a"
