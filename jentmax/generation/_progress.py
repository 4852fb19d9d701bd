"""The progress of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a set.

    Attributes:
        phase: current phase, in words.
        done: finished structures of the set, from all processes, plus the finished fractions of
            structures in progress in this process.
        structures: number of structures of the complete set.
        before: structures that existed when the run started.
        made: accepted structures from this process.
        entropy: their mean S, in nats; NaN if there are none.
        least_distance: their mean least distance, in Å; NaN if there are none.
        smallest_distance: their smallest distance, in Å; NaN if there are none.
        discarded: discarded structures of the set, by reason.
        note: a message to show once; may be empty.
    """

    phase: str
    done: float
    structures: int
    before: int = 0
    made: int = 0
    entropy: float = math.nan
    least_distance: float = math.nan
    smallest_distance: float = math.nan
    discarded: Mapping[str, int] = dataclasses.field(default_factory=dict)
    note: str = ""


ProgressCallback = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Do nothing."""
