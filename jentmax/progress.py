"""What a run reports while it is under way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        phase: what is being done, in words.
        done: structures harvested, with the share of those under way.
        structures: structures asked for.
        entropy: of each structure harvested so far, in nats.
        least_distance: likewise, in Å.
        quarantined: attempts discarded.
    """

    phase: str
    done: float
    structures: int
    entropy: Sequence[float]
    least_distance: Sequence[float]
    quarantined: int


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Report nothing."""


class Counter:
    """Keeps count of what a run has done, and reports it.

    Attributes:
        entropy: of each structure harvested so far, in nats.
        least_distance: likewise, in Å.
        quarantined: attempts discarded so far.
    """

    def __init__(self, structures: int, report: Report) -> None:
        """Begin a count towards a number of structures."""
        self.entropy: list[float] = []
        self.least_distance: list[float] = []
        self.quarantined = 0
        self._structures, self._report = structures, report

    def show(self, phase: str, under_way: float = 0.0) -> None:
        """Report what is being done, and how many structures' worth of it is not harvested yet."""
        self._report(
            Progress(
                phase=phase,
                done=min(len(self.entropy) + under_way, self._structures),
                structures=self._structures,
                entropy=self.entropy,
                least_distance=self.least_distance,
                quarantined=self.quarantined,
            )
        )
