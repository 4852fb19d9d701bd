"""The log of a data set: a text file next to it, with a time for each event."""

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

    It writes nothing before the first structure, so a run without structures leaves no file. Write
    errors do not end the run.
    """

    def __init__(self, output: Path, continues: bool, process: int = 0) -> None:
        """Prepare to write next to a data set.

        Args:
            output: path of the data set.
            continues: whether the run continues the data set and its log, or replaces them.
            process: number of the process; each process has its own log.
        """
        number = f".{process}" if process else ""
        self._path = output.with_name(f"{output.name}{number}.log")
        self._mode = "a" if continues else "w"
        self._waiting: list[str] | None = []  # None once lines go to the file
        self._figures, self._phases = Figures(), set()
        self._n_logged = 0
        self._last_count = 0.0

    def write(self, event: str) -> None:
        """Log an event of one or more lines."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        lines = "".join(f"{now}  {' '.join(line.split())}\n" for line in event.splitlines())
        if self._waiting is None:
            self._append(lines)
        else:
            self._waiting.append(lines)

    def update(self, progress: Progress) -> None:
        """Log new information."""
        now, n_done = time.monotonic(), int(progress.done)
        figures = self._figures.text(progress, now)
        if progress.note:
            self.write(progress.note)
        phase = progress.phase.partition(",")[0]  # the rest is its progress
        if phase not in self._phases and phase != "complete":  # logged separately
            self._phases.add(phase)
            self.write(phase)
        late = now - self._last_count >= _SECONDS_BETWEEN_COUNTS
        if n_done > self._n_logged and (late or n_done == progress.structures):
            self._n_logged, self._last_count = n_done, now
            self.write(f"{n_done}/{progress.structures} structures {figures}".rstrip())
        if (progress.before or progress.made) and self._waiting is not None:
            waiting, self._waiting = "".join(self._waiting), None
            self._append(waiting)

    def _append(self, lines: str) -> None:
        try:
            with self._path.open(self._mode, encoding="utf-8", errors="replace") as file:
                file.write(lines)
        except OSError:
            return
        self._mode = "a"
