"""Whether a data set is as it was written: all of it, or which structures."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from jentmax.dataset._hdf5 import DamagedFile
from jentmax.dataset._reader import Source, opened
from jentmax.dataset._schema import ATOM_COLUMNS
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError

_SLAB = 128
"""Structures that are read at once: the writer's chunks, each of which has a checksum."""

_MOST_RANGES = 8
"""How many are written out before the rest is only counted."""


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found in a data set.

    Attributes:
        path: of the file.
        status: "complete" or "running".
        n_structures: that the set has.
        n_columns: that were read, of structures and of atoms.
        damage: what is damaged, in words; empty for a whole set.
        whole: numbers of the structures all of whose columns are as they were written, ascending,
            shape (n_whole,).
    """

    path: Path
    status: str
    n_structures: int
    n_columns: int
    damage: tuple[str, ...]
    whole: np.ndarray


def check_file(path: str | os.PathLike[str]) -> Check:
    """Read all of a data set, and check that it is what was written.

    Every chunk of every column is read, and with it its checksum. Columns must be there and fit
    each other, numbers must be finite, and atomic numbers those of elements.

    Args:
        path: of the file, or of a set under way.

    Raises:
        JentmaxError: there is none, or what says where structures begin and end is damaged.
    """
    path, source = opened(path)
    try:
        return _check(path, source)
    finally:
        source.close()


def whole_structures(path: str | os.PathLike[str]) -> tuple[Structures, int]:
    """The structures of a damaged data set that are as they were written.

    Args:
        path: of the file, or of a set under way.

    Returns:
        The structures, in their order, and how many are left out because they are damaged.

    Raises:
        JentmaxError: as for `check_file`.
    """
    path, source = opened(path)
    try:
        check = _check(path, source)
        runs = np.split(check.whole, np.flatnonzero(np.diff(check.whole) != 1) + 1)
        parts = [source.structures(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
        return Structures.concatenate(parts), check.n_structures - len(check.whole)
    finally:
        source.close()


def ranges(numbers: np.ndarray) -> str:
    """Ascending numbers in few words, such as "0-63, 70, 128-199"."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:_MOST_RANGES]]
    left = sum(len(run) for run in runs[_MOST_RANGES:])
    return ", ".join(shown) + (f" and {left} more" if left else "")


def _check(path: Path, source: Source) -> Check:
    names = ("cells", "pbc", *ATOM_COLUMNS, *source.names)
    bad: dict[str, np.ndarray] = {}
    for first in range(0, source.n, _SLAB):
        last = min(first + _SLAB, source.n)
        for name in names:
            try:
                source.column(name, first, last)
            except JentmaxError as error:
                why = error.why if isinstance(error, DamagedFile) else str(error)
                rows = bad.setdefault(why, np.zeros(source.n, bool))
                rows[first:last] = True
    whole = ~np.any([np.zeros(source.n, bool), *bad.values()], axis=0)
    damage = (f"structures {ranges(np.flatnonzero(rows))}: {why}" for why, rows in bad.items())
    return Check(path, source.status, source.n, len(names), tuple(damage), np.flatnonzero(whole))
