"""Tables of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    from jentmax.evaluation import Table

_LONGEST = 20
"""Rows; what is longer is shortened, and whole in the files."""


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables, each below what its numbers are."""
    console = Console(highlight=False, soft_wrap=False)
    for table in tables:
        header, rows = table.display()
        console.print(Text(table.name, style="bold"))
        console.print(Text(table.caption))
        shown = RichTable()
        for number, name in enumerate(header):
            shown.add_column(Text(name), justify="left" if number < table.n_keys else "right")
        for row in rows[:_LONGEST]:
            shown.add_row(*map(Text, row))
        console.print(shown)
        if len(rows) > _LONGEST:
            console.print(f"and {len(rows) - _LONGEST} more, in tables.md")
        console.print()
