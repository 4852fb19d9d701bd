"""What the commands print: progress while a run is under way, summaries, tables."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

if TYPE_CHECKING:
    from jentmax.choose import Selection
    from jentmax.config import Settings
    from jentmax.dataset import Dataset
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
        self._first: tuple[float, float] | None = None  # when something was done, and how much
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
        if progress.done > 0 and self._first is None:
            self._first = time.monotonic(), progress.done
        figures = self._figures(progress)
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=int(progress.done),
                description=progress.phase,
                figures=figures,
            )
            return
        now = time.monotonic()
        new = progress.phase not in self._phases
        if new or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._phases.add(progress.phase)
            elapsed = now - self._began
            self._print(
                f"{elapsed:7.1f} s  {progress.phase}: "
                f"{int(progress.done)}/{progress.structures} {figures}".rstrip()
            )

    def summary(self, path: Path) -> None:
        """Say what was made."""
        if self._last is None:
            return
        entropy, distance = self._last.entropy, self._last.least_distance
        elapsed = time.monotonic() - self._began
        self._print(
            f"{path}: {len(entropy)} structures in {elapsed:.1f} s; S {_mean(entropy)} nats, "
            f"least distance {_mean(distance)} Å, the smallest {min(distance):.2f} Å"
            + (
                f"; {self._last.quarantined} attempts were not finite and made anew"
                if self._last.quarantined
                else ""
            )
        )
        self._print(f"look at it with: jentmax info {path}")

    def _figures(self, progress: RunProgress) -> str:
        """Rate, time left, and running means, short enough for 80 columns."""
        if self._first is None:
            return ""
        parts = []
        # What was done until the first report had compiling in it.
        began, already = self._first
        elapsed, done = time.monotonic() - began, progress.done - already
        if elapsed > 1 and done > 0:
            left = datetime.timedelta(
                seconds=round((progress.structures - progress.done) * elapsed / done)
            )
            parts.append(f"{_rate(done / elapsed)}/s, {left} left")
        if progress.entropy:
            parts.append(f"S {np.mean(progress.entropy):.2f}")
            parts.append(f"least distance {np.mean(progress.least_distance):.2f} Å")
        return ", ".join(parts)

    def _print(self, line: str) -> None:
        self._rich.print(line, markup=False)
        sys.stdout.flush()


def print_info(dataset: Dataset) -> None:
    """Print what is in a data set."""
    console = RichConsole(highlight=False, soft_wrap=True)
    counts = np.diff(dataset.pointer)
    spread = f"{counts.min()}" if np.ptp(counts) == 0 else f"{counts.min()} to {counts.max()}"
    symbols = _symbols(dataset)
    facts = {
        "file": f"{dataset.path} ({dataset.kind}, {dataset.status})",
        "structures": f"{len(dataset)} of {spread} atoms: {symbols}",
        "descriptors": f"{dataset.descriptors.shape[1]} of each of {counts.sum()} atoms",
        "created": f"{dataset.created} on {dataset.device}",
        "versions": ", ".join(f"{name} {number}" for name, number in dataset.versions.items()),
        "seed": str(dataset.seed),
    }
    if dataset.quarantined:
        facts["quarantined"] = f"{dataset.quarantined} attempts that were not finite"
    for name, value in facts.items():
        console.print(f"{name:12} {value}", markup=False)
    columns = {
        "S (nats)": "entropy",
        "V (eV)": "energy",
        "E_rep (eV)": "repulsion",
        "K (eV)": "entropy_weight",
        "least distance (Å)": "least_distance",
        "last temperature (K)": "temperature",
    }
    table = Table("", "mean", "std", "min", "max")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, name in columns.items():
        if name in dataset.columns:
            values = getattr(dataset, name)
            numbers = (values.mean(), values.std(), values.min(), values.max())
            table.add_row(label, *(f"{number:.4g}" for number in numbers))
    volumes = np.abs(np.linalg.det(dataset.cells))
    if np.all(dataset.periodic):
        density = counts / volumes
        numbers = (density.mean(), density.std(), density.min(), density.max())
        table.add_row("density (atoms/Å^3)", *(f"{number:.4g}" for number in numbers))
    if table.rows:
        console.print(table)
    console.print(
        "settings\n" + "".join(f"    {line}\n" for line in dataset.settings.splitlines()),
        markup=False,
    )


def print_selection(selection: Selection, output: str) -> None:
    """Print how well chosen structures cover all candidates."""
    console = RichConsole(highlight=False, soft_wrap=True)
    table = Table(
        "structures",
        "mean",
        "max",
        "random: mean",
        title="distance of all environments to the nearest chosen one (standard deviations)",
        title_justify="left",
    )
    for column in table.columns:
        column.justify = "right"
    for k, n_structures in enumerate(selection.n_structures):
        if _is_round(n_structures) or n_structures == selection.n_structures[-1]:
            table.add_row(
                str(n_structures),
                f"{selection.mean[k]:.3f}",
                f"{selection.maximum[k]:.2f}",
                f"{selection.random_mean[k]:.3f} +- {selection.random_spread[k]:.3f}",
            )
    console.print(table)
    console.print(
        f"{output}: {len(selection.chosen)} of {selection.candidates} structures; "
        f"their coverage: {selection.figure}",
        markup=False,
    )


def _is_round(number: int) -> bool:
    """Whether it is 0 or one of 1, 2, 5, 10, 20, 50, ..."""
    return str(number).rstrip("0") in ("", "1", "2", "5")


def _symbols(dataset: Dataset) -> str:
    from ase.data import chemical_symbols

    return ", ".join(chemical_symbols[number] for number in np.unique(dataset.numbers))


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} +- {np.std(values):.3f}"
