"""Tables of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    from jentmax.report import Table


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables, each below what its numbers are; what is longer than a screen in part."""
    console = Console(highlight=False)
    for table in tables:
        header, rows = table.display(brief=True)
        if not rows:
            continue
        console.print(Text(table.name, style="bold"))
        console.print(Text(table.caption))
        shown = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, name in enumerate(header):
            key = number < table.n_keys
            side = "left" if key else "right"
            shown.add_column(Text(name), justify=side, no_wrap=key, overflow="fold")
        for row in rows:
            shown.add_row(*map(Text, row))
        console.print(shown)
        if len(rows) < len(table.rows):
            console.print(f"and {len(table.rows) - len(rows)} more in tables.md\n")
