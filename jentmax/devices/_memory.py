"""Memory of this machine, for rejecting tasks that need more."""

from __future__ import annotations

import math
import os


def memory_bytes() -> float:
    """Memory of this machine in bytes; inf if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf
