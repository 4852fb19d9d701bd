"""What a run reports while it is under way."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        phase: what is being done, in words.
        done: structures harvested, with the share of those under way.
        structures: structures asked for.
        entropy: of each structure harvested so far, in nats.
        least_distance: likewise, in Å.
        quarantined: attempts discarded because they were not finite.
        rejected: attempts discarded because atoms came too close.
        note: something to be told once, in words; empty if there is nothing.
    """

    phase: str
    done: float
    structures: int
    entropy: Sequence[float]
    least_distance: Sequence[float]
    quarantined: int
    rejected: int = 0
    note: str = ""


Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Report nothing."""


class Counter:
    """Keeps count of what a run has done, and reports it.

    Attributes:
        quarantined: attempts discarded so far because they were not finite.
        rejected: attempts discarded so far because atoms came too close.
        before_report: called before each report.
    """

    def __init__(self, structures: int, report: Report) -> None:
        """Begin a count towards a number of structures."""
        self.quarantined = 0
        self.rejected = 0
        self.before_report: Callable[[], None] = lambda: None
        self._entropy, self._least_distance = array("d"), array("d")  # a quarter of lists' memory
        self._structures, self._report = structures, report

    @property
    def n_harvested(self) -> int:
        """Structures that are on disk."""
        return len(self._entropy)

    def show(self, phase: str, under_way: float = 0.0, note: str = "") -> None:
        """Report what is being done, and how many structures' worth of it is not harvested yet."""
        self.before_report()
        self._tell(phase, under_way, note)

    def harvested(
        self, entropy: np.ndarray, least_distance: np.ndarray, phase: str = "writing"
    ) -> None:
        """Count structures that are on disk, by their entropies (nats) and distances (Å)."""
        self._entropy.extend(entropy.tolist())
        self._least_distance.extend(least_distance.tolist())
        self._tell(phase)

    def _tell(self, phase: str, under_way: float = 0.0, note: str = "") -> None:
        self._report(
            Progress(
                phase=phase,
                done=min(len(self._entropy) + under_way, self._structures),
                structures=self._structures,
                entropy=self._entropy,
                least_distance=self._least_distance,
                quarantined=self.quarantined,
                rejected=self.rejected,
                note=note,
            )
        )
