"""How a run goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column

from jentmax.console._figures import Figures

if TYPE_CHECKING:
    from jentmax.config import Settings
    from jentmax.progress import Progress as RunProgress

_SECONDS_BETWEEN_LINES = 5.0


class Console:
    """Shows how a run goes: a live bar in a terminal, plain lines elsewhere, or nothing."""

    def __init__(self, settings: Settings, quiet: bool = False) -> None:
        """Prepare to show a run of these settings."""
        self._settings, self._quiet = settings, quiet
        self._rich = RichConsole(highlight=False, quiet=quiet, soft_wrap=True)
        self._bar: Progress | None = None
        self._began = time.monotonic()
        self._figures = Figures()
        self._last_line = -_SECONDS_BETWEEN_LINES
        self._phases: set[str] = set()  # of which there has been a line
        self._last: RunProgress | None = None

    def __enter__(self) -> Self:
        """Show the bar, in a terminal."""
        if self._rich.is_terminal and not self._quiet:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),  # the room that the others leave
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[figures]}"),
                console=self._rich,
                expand=True,
            )
            self._task = self._bar.add_task(
                "starting", total=self._settings.run.structures, figures=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()

    def begin(self) -> None:
        """Say what will be done, where, and how."""
        from jentmax.sharding import n_asked
        from jentmax.versions import device_name

        run, system, sampler = self._settings.run, self._settings.system, self._settings.sampler
        atoms = " or ".join(map(str, system.atom_counts()))
        self._print(f"device     {device_name(n_asked(run.devices))}, {run.precision}")
        self._print(
            f"structures {run.structures} of {atoms} atoms of {', '.join(system.species)}, "
            f"{sampler.steps} steps each, seed {run.seed}"
        )
        self._print(f"output     {run.output}")
        if self._bar is not None:
            self._bar.start()

    def report(self, progress: RunProgress) -> None:
        """Show how far the run has come."""
        self._last = progress
        if progress.note:
            self._print(progress.note)
        now = time.monotonic()
        figures = self._figures.told(progress, now)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=int(progress.done),
                total=progress.structures,  # of this process, where several share a run
                description=progress.phase,
                figures=figures,
            )
            return
        new = progress.phase not in self._phases
        if new or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._phases.add(progress.phase)
            elapsed = now - self._began
            self._print(
                f"{elapsed:7.1f} s  {progress.phase}: "
                f"{int(progress.done)}/{progress.structures} {figures}".rstrip()
            )

    def summary(self, path: Path) -> str:
        """Say what was made, and return the line that does."""
        if self._last is None or not self._last.entropy:
            return ""  # more processes than there are chains
        entropy, distance = self._last.entropy, self._last.least_distance
        elapsed = time.monotonic() - self._began
        n_before = self._figures.n_before
        new = f", {len(entropy) - n_before} of them made now" if n_before else ""
        line = (
            f"{path}: {len(entropy)} structures{new} in {elapsed:.1f} s; S {_mean(entropy)} nats, "
            f"least distance {_mean(distance)} Å, the smallest {min(distance):.2f} Å"
            + _discarded(self._last)
        )
        self._print(line)
        self._print(f"look at it with: jentmax info {path}")
        return line

    def _print(self, line: str) -> None:
        self._rich.print(line, markup=False)
        sys.stdout.flush()


def _discarded(progress: RunProgress) -> str:
    """What was made anew, and why."""
    counts = {
        "were not finite": progress.quarantined,
        "had atoms too close": progress.rejected,
    }
    told = [f"{count} attempts {what}" for what, count in counts.items() if count]
    return f"; {' and '.join(told)}; these were made anew" if told else ""


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} +- {np.std(values):.3f}"
