"""Print a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from jentmax.cli._streams import console

if TYPE_CHECKING:
    from pathlib import Path

    from jentmax.evaluation import Selection


def print_selection(selection: Selection, output: str, figure: Path | None) -> None:
    """Print how well the chosen structures cover all candidates."""
    screen = console()
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
    screen.print(table)
    screen.print(
        f"{output}: {len(selection.chosen)} of {selection.candidates} structures"
        + (f"; their coverage: {figure}" if figure else ""),
        markup=False,
    )


def _is_round(number: int) -> bool:
    """Whether a number is 0 or one of 1, 2, 5, 10, 20, 50, ..."""
    return str(number).rstrip("0") in ("", "1", "2", "5")
