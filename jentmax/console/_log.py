"""What happened to a data set and when, in a text file beside it."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jentmax.console._figures import Figures

if TYPE_CHECKING:
    from jentmax.progress import Progress

_SECONDS_BETWEEN_COUNTS = 30.0


class RunLog:
    """Appends a line with the time for each event of a run.

    Nothing is written before there are structures: a run that gives none leaves no file. No error
    of writing ends the run.
    """

    def __init__(self, output: Path, goes_on: bool) -> None:
        """Prepare to write beside a data set.

        Args:
            output: the data set's file.
            goes_on: whether the run goes on with it, and so with its log; or else replaces both.
        """
        self._path = output.with_name(f"{output.name}.log")
        self._mode = "a" if goes_on else "w"
        self._waiting: list[str] | None = []  # None once lines go to the file
        self._figures, self._phases, self._n_told = Figures(), set(), 0
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
        now, n_harvested = time.monotonic(), len(progress.entropy)
        figures = self._figures.told(progress, now)
        if progress.note:
            self.tell(progress.note)
        if progress.phase not in self._phases:
            self._phases.add(progress.phase)
            self.tell(progress.phase)
        more = n_harvested > self._n_told
        late = now - self._last_count >= _SECONDS_BETWEEN_COUNTS
        if more and (late or n_harvested == progress.structures):
            self._n_told, self._last_count = n_harvested, now
            self.tell(f"{n_harvested}/{progress.structures} structures {figures}")
        if n_harvested and self._waiting is not None:
            waiting, self._waiting = "".join(self._waiting), None
            self._write(waiting)

    def _write(self, lines: str) -> None:
        try:
            with self._path.open(self._mode, encoding="utf-8", errors="replace") as file:
                file.write(lines)
        except OSError:
            return
        self._mode = "a"
