"""How fast a run goes and what it gives, in a few words."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jentmax.generation import Progress


class Figures:
    """Knows when a run began to make structures, for its rate."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._first: tuple[float, float] | None = None  # when something was done, and how much

    def told(self, progress: Progress, now: float) -> str:
        """Rate, time left, and means, short enough for a bar in 80 columns.

        Args:
            progress: every one of the run, in turn.
            now: time in seconds, from any moment.
        """
        if self._first is None and progress.done > progress.before:
            self._first = now, progress.done
        parts = []
        # Compiling took part of the time until the first report of something done.
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
