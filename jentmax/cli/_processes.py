"""Options for runs that several processes share."""

from __future__ import annotations

from typing import Annotated

import typer

from jentmax.errors import JentmaxError
from jentmax.processes import meet, use_own_device
from jentmax.shares import ALONE, Share

_PANEL = "Several processes"

Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Make share I (from 0) of N, without a word to the others: for SLURM arrays.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Where process 0 can be reached; srun and mpirun need none of these three.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many processes there are; 1 for a run by itself, whatever has launched it.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
ProcessId = Annotated[
    int | None,
    typer.Option(
        metavar="I",
        help="Number of this process, from 0.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


def share_of(
    shard: str | None, coordinator: str | None, processes: int | None, process_id: int | None
) -> Share:
    """What this process makes, of how many; call it before JAX is imported."""
    if shard is None:
        share = meet(coordinator, processes, process_id)
        if share != ALONE:
            use_own_device()
        return share
    if (coordinator, processes, process_id) != (None, None, None):
        raise JentmaxError(
            f"--shard {shard}: processes with shares do not meet; give it, or --coordinator, "
            "--processes and --process-id"
        )
    return Share.parse(shard)
