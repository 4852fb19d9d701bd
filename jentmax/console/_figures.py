"""How fast a run goes and what it comes to, in a few words."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jentmax.progress import Progress


class Figures:
    """Keeps what rates and means of a run need, so that a report takes no longer as it grows.

    Attributes:
        n_before: structures that were there before the run.
    """

    n_before: int

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.n_before = -1
        self._first: tuple[float, float] | None = None  # when something was done, and how much
        self._n_summed, self._entropy, self._distance = 0, 0.0, 0.0

    def told(self, progress: Progress, now: float) -> str:
        """Rate, time left, and means, short enough for a bar in 80 columns.

        Args:
            progress: every one of the run, in turn.
            now: time in seconds, from any moment.
        """
        if self.n_before < 0:
            self.n_before = len(progress.entropy)
        self._sum(progress)
        if self._first is None and progress.done > self.n_before:
            self._first = now, progress.done
        parts = []
        # What was done until the first report had compiling in it.
        began, already = self._first or (now, progress.done)
        elapsed, done = now - began, progress.done - already
        if elapsed > 1 and done > 0:
            left = datetime.timedelta(
                seconds=round((progress.structures - progress.done) * elapsed / done)
            )
            parts.append(f"{_rate(done / elapsed)}/s, {left} left")
        if self._n_summed:
            parts.append(f"S {self._entropy / self._n_summed:.2f}")
            parts.append(f"least distance {self._distance / self._n_summed:.2f} Å")
        if progress.rejected:
            parts.append(f"{progress.rejected} rejected")
        return ", ".join(parts)

    def _sum(self, progress: Progress) -> None:
        """Add what is new to the sums."""
        self._entropy += sum(progress.entropy[self._n_summed :])
        self._distance += sum(progress.least_distance[self._n_summed :])
        self._n_summed = len(progress.entropy)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
