"""Time spans, as in batch queues, and the age of this process."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from jentmax.errors import JentmaxError

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_WITH_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?", re.ASCII)
_WITH_COLONS = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)

_began = time.monotonic()


def seconds(text: str) -> int:
    """Seconds of a time span such as 3h50m, 90m, 2d, or a SLURM time.

    The formats of SLURM are MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, DAYS-HOURS,
    DAYS-HOURS:MINUTES and DAYS-HOURS:MINUTES:SECONDS.

    Raises:
        JentmaxError: the text is not a time span, or the span is 0.

    >>> [seconds(text) for text in ("3h50m", "2d", "90", "1:30:00", "1-12", "1-00:00:30")]
    [13800, 172800, 5400, 5400, 129600, 86430]
    """
    given = text.strip().lower()
    if found := _WITH_UNITS.fullmatch(given):
        parts = found.groups()
    elif found := _WITH_COLONS.fullmatch(given):
        days, *rest = found.groups()
        numbers = [number for number in rest if number is not None]
        if days is not None:
            parts = (days, *numbers)
        else:
            parts = {1: (0, 0, *numbers), 2: (0, 0, *numbers), 3: (0, *numbers)}[len(numbers)]
    else:
        parts = ()
    total = sum(int(part or 0) * unit for part, unit in zip(parts, _UNITS.values(), strict=False))
    if not total:
        raise JentmaxError(
            f"--max-time {text} is not a time span; give one such as 3h50m, 90m, 2d, 1:30:00 "
            "(hours:minutes:seconds), 1-12:00:00 (days first), or a number of minutes"
        )
    return total


def process_age() -> float:
    """Seconds since this process started or, if unknown, since the import of this module."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError, IndexError):
        return time.monotonic() - _began
