"""Progress of a run on the terminal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from jentmax.cli._figures import Figures

if TYPE_CHECKING:
    from jentmax.config import RunOptions
    from jentmax.generation import Progress as RunProgress
    from jentmax.generation import Recipe

_SECONDS_BETWEEN_LINES = 5.0


class Console:
    """Shows the progress of a run: a live bar in a terminal, plain lines otherwise, or nothing."""

    def __init__(self, recipe: Recipe, options: RunOptions, quiet: bool = False) -> None:
        """Prepare to show a run."""
        self._recipe, self._options, self._quiet = recipe, options, quiet
        self._rich = RichConsole(highlight=False, quiet=quiet, soft_wrap=True)
        self._bar: Progress | None = None
        self._began = time.monotonic()
        self._figures = Figures()
        self._last_line = -_SECONDS_BETWEEN_LINES
        self._phases: set[str] = set()  # already printed
        self._last: RunProgress | None = None

    def __enter__(self) -> Console:
        """Show the bar, in a terminal."""
        if self._rich.is_interactive and not self._quiet:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),  # takes the remaining width
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[figures]}"),
                console=self._rich,
                expand=True,
            )
            self._task = self._bar.add_task("starting", total=self._options.structures, figures="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the bar, without removing it."""
        if self._bar is not None:
            self._bar.stop()

    def begin(self) -> None:
        """Print device, structures and output of the run."""
        from jentmax.devices import device_name, workers

        recipe, options = self._recipe, self._options
        formulas = " or ".join(getattr(recipe.start, "formulas", ["atoms"]))
        self._print(f"device     {device_name(len(workers(options.devices)))}, {recipe.precision}")
        self._print(
            f"structures {options.structures} of {formulas}, {recipe.steps} steps each, "
            f"seed {options.seed}"
        )
        self._print(f"output     {options.output}")
        if self._bar is not None:
            self._bar.start()

    def update(self, progress: RunProgress) -> None:
        """Show the progress of the run."""
        self._last = progress
        if progress.note:
            self._print(progress.note)
        now = time.monotonic()
        figures = self._figures.text(progress, now)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=int(progress.done),
                total=progress.structures,
                description=progress.phase,
                figures=figures,
            )
            return
        phase = progress.phase.partition(",")[0]  # the rest is its progress
        new = phase not in self._phases
        if new or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._phases.add(phase)
            elapsed = now - self._began
            self._print(
                f"{elapsed:7.1f} s  {progress.phase}: "
                f"{int(progress.done)}/{progress.structures} {figures}".rstrip()
            )

    def summary(self, path: Path) -> str:
        """Print a summary of the run, and return it."""
        last = self._last
        if last is None:
            return ""
        new = ""
        if last.made:
            n_new = last.structures - last.before
            if last.made < n_new:
                new = f", {last.made} of them made by this process"
            elif last.before:
                new = f", {n_new} of them made now"
        line = (
            f"{path}: {last.structures} structures{new} in {time.monotonic() - self._began:.1f} s"
        )
        if last.made:
            line += (
                f"; S {last.entropy:.3f} nats, least distance {last.least_distance:.3f} Å, "
                f"the smallest {last.smallest_distance:.2f} Å"
            )
        line += _discarded(last)
        self._print(line)
        self._print(f"look at it with: jentmax info {path}")
        return line

    def _print(self, line: str) -> None:
        self._rich.print(line, markup=False)
        sys.stdout.flush()


def _discarded(progress: RunProgress) -> str:
    """Numbers of discarded structures, by reason."""
    counts = [f"{count} {why}" for why, count in progress.discarded.items() if count]
    return f"; discarded: {', '.join(counts)}" if counts else ""
