"""What a run reports while it is under way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a set is.

    Attributes:
        phase: what is being done, in words.
        done: structures of the set that are there, whichever process made them, and the shares of
            those under way here.
        structures: that the set has when it is complete.
        before: structures that were there when the run began.
        made: accepted structures that this process has made.
        entropy: mean S of those, in nats; nan if there are none.
        least_distance: mean least distance in them, in Å; nan if there are none.
        smallest_distance: smallest of all, in Å; nan if there are none.
        discarded: structures of the set that were discarded, by the reason.
        note: something to show once, in words; empty if there is nothing.
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


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Report nothing."""
