"""Rate and mean results of a run, as a short text."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jentmax.generation import Progress


class Figures:
    """Formats the progress of a run; remembers when the first structures were done."""

    def __init__(self) -> None:
        """Start a run."""
        self._first: tuple[float, float] | None = None  # time and amount at the first progress

    def text(self, progress: Progress, now: float) -> str:
        """Rate, remaining time and means, short enough for a bar in 80 columns.

        Args:
            progress: the progress; call this with every progress of the run.
            now: time in seconds, from an arbitrary origin.
        """
        if self._first is None and progress.done > progress.before:
            self._first = now, progress.done
        parts = []
        # The time before the first progress includes compilation, so leave it out.
        began, already = self._first or (now, progress.done)
        elapsed, done = now - began, progress.done - already
        if elapsed > 1 and done > 0:
            left = datetime.timedelta(
                seconds=round((progress.structures - progress.done) * elapsed / done)
            )
            parts.append(f"{_rate(done / elapsed)}/s, {left} left")
        if not math.isnan(progress.entropy):
            parts.append(f"S {progress.entropy:.2f}")
            parts.append(f"least distance {progress.least_distance:.2f} Å")
        if discarded := sum(progress.discarded.values()):
            parts.append(f"{discarded} discarded")
        return ", ".join(parts)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
