"""Print the tables of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from jentmax.cli._streams import console

if TYPE_CHECKING:
    from jentmax.report import Table


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables below their captions; of long tables only the first rows."""
    screen = console(soft_wrap=False)
    for table in tables:
        header, rows = table.display(brief=True)
        if not rows:
            continue
        screen.print(Text(table.name, style="bold"))
        screen.print(Text(table.caption))
        printed = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, name in enumerate(header):
            key = number < table.n_keys
            side = "left" if key else "right"
            printed.add_column(Text(name), justify=side, no_wrap=key, overflow="fold")
        for row in rows:
            printed.add_row(*map(Text, row))
        screen.print(printed)
        if len(rows) < len(table.rows):
            screen.print(f"and {len(table.rows) - len(rows)} more in tables.md\n")
