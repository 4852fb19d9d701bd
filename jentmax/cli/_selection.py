"""Print a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from jentmax.cli._streams import console
from jentmax.evaluation import sources_path

if TYPE_CHECKING:
    from pathlib import Path

    from jentmax.evaluation import Selection


def print_selection(selection: Selection, output: str, figure: Path | None) -> None:
    """Print how well the chosen structures cover all candidates."""
    screen = console()
    table = Table(
        "structures",
        "environments",
        "cost",
        "mean",
        "95 %",
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
                f"{selection.n_environments[k]:,}",
                f"{selection.cost[k] / selection.candidate_cost:.2%}",
                f"{selection.mean[k]:.3f}",
                f"{selection.quantile[k]:.3f}",
                f"{selection.maximum[k]:.2f}",
                f"{selection.random_mean[k]:.3f} +- {selection.random_spread[k]:.3f}",
            )
    screen.print(table)
    screen.print(
        f"cost: sum of N^{selection.cost_exponent:g} over structures of N atoms, in percent of all "
        f"candidates; random: ten orders with equal {selection.random_at}"
    )
    screen.print(f"file and frame of each structure: {sources_path(output)}", markup=False)
    screen.print(
        f"{output}: {len(selection.chosen)} of {selection.candidates} structures"
        + (f"; their coverage: {figure}" if figure else ""),
        markup=False,
    )


def _is_round(number: int) -> bool:
    """Whether a number is 0 or one of 1, 2, 5, 10, 20, 50, ..."""
    return str(number).rstrip("0") in ("", "1", "2", "5")
