"""Progress of a command with several phases."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 5.0


class Phases:
    """Shows phases: a live bar in a terminal, plain lines otherwise, or nothing."""

    def __init__(self, quiet: bool = False) -> None:
        """Prepare to show phases."""
        self._console = Console(highlight=False, quiet=quiet, soft_wrap=True)
        self._bar: Progress | None = None
        self._began = time.monotonic()
        self._phase, self._last_line = "", 0.0

    def __enter__(self) -> Phases:
        """Show the bar, in a terminal."""
        if self._console.is_interactive and not self._console.quiet:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, phase: str, done: int, total: int) -> None:
        """Show a phase with its finished and total amount of work."""
        new = phase != self._phase
        if self._bar is not None:
            if new:
                self._bar.reset(self._task, description=phase, total=total)
            self._bar.update(self._task, completed=done, total=total)
        elif new or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            percentage = "" if new else f" {100 * done // max(total, 1)} %"
            self.note(phase + percentage)
            self._last_line = time.monotonic()
        self._phase = phase

    def note(self, text: str) -> None:
        """Print a line with the elapsed time."""
        elapsed = time.monotonic() - self._began
        self._console.print(f"{elapsed:7.1f} s  {text}", markup=False)
        sys.stdout.flush()
