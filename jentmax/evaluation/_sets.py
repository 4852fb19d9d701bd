"""The sets to compare: their structures, environments and names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from jentmax.dataset import Structures, printable, structure_keys
from jentmax.errors import JentmaxError
from jentmax.evaluation._describe_files import described
from jentmax.evaluation._description import Description
from jentmax.evaluation._descriptor import Descriptor

Duplicates = Literal["keep", "drop"]

PhaseCallback = Callable[[str, int, int], None]
"""Called with the name of a phase, its finished work and its total work."""


def ignore(phase: str, done: int, total: int) -> None:
    """Do nothing."""


@dataclasses.dataclass(frozen=True)
class EnvironmentSet:
    """The atomic environments of one file.

    Attributes:
        name: name of the set.
        path: path of its file, as printable text.
        structures: its structures, in the file's order.
        description: description of their environments.
        n_dropped: number of structures dropped as duplicates.
    """

    name: str
    path: str
    structures: Structures
    description: Description
    n_dropped: int = 0

    @property
    def n_isolated(self) -> int:
        """Number of environments without a neighbour within the descriptor's cutoff."""
        return int(np.sum(self.description.neighbors == 0))

    @property
    def least_distances(self) -> np.ndarray:
        """Least distance between two atoms in Å, shape (n_structures,); NaN beyond the cutoff."""
        least = np.minimum.reduceat(self.description.nearest, self.structures.pointer[:-1])
        return np.where(np.isfinite(least), least, np.nan)

    @property
    def densities(self) -> np.ndarray:
        """Density in atoms/Å^3, shape (n_structures,); NaN unless periodic along all vectors."""
        volumes = np.abs(np.linalg.det(self.structures.cells))
        whole = self.structures.pbc.all(axis=1)
        return np.where(whole, self.structures.counts / np.where(whole, volumes, 1), np.nan)

    @property
    def mean_neighbors(self) -> np.ndarray:
        """Mean number of neighbours within the cutoff, shape (n_structures,)."""
        totals = np.add.reduceat(self.description.neighbors, self.structures.pointer[:-1])
        return totals / self.structures.counts


def open_sets(
    paths: Sequence[str],
    names: Sequence[str],
    descriptor: Descriptor,
    duplicates: Duplicates = "keep",
    cache: Path | None = None,
    callback: PhaseCallback = ignore,
    formats: Sequence[str | None] = (),
) -> list[EnvironmentSet]:
    """Read and describe the sets' files.

    Args:
        paths: paths of data sets or of any files that ASE reads.
        names: names of the sets.
        descriptor: environments -> features.
        duplicates: "drop" leaves out structures that repeat an earlier one of the same file.
        cache: folder for cached descriptions, or None.
        callback: called with the progress in atoms; the phase contains the set's name.
        formats: ASE's name of the format of each file, or None to infer it from the file's content
            or name; by default, all are inferred.

    Raises:
        JentmaxError: if a file cannot be read or described, or two hold the same structures.
    """
    sets: list[EnvironmentSet] = []
    formats = formats or [None] * len(paths)
    for path, name, format in zip(paths, names, formats, strict=True):
        phase = f"reading and describing {name}"
        callback(phase, 0, 1)
        structures, description = described(
            path, descriptor, cache, partial(callback, phase), format
        )
        for other in sets:
            if _same(other.structures, structures):
                raise JentmaxError(
                    f"{path} holds the same structures as {other.path}; give each set once"
                )
        sets.append(EnvironmentSet(name, printable(str(path)), structures, description))
    if duplicates == "drop":
        return [_without_duplicates(one) for one in sets]
    return sets


def _same(one: Structures, other: Structures) -> bool:
    # Positions alone are not enough: in primitive cells, every atom is at the origin.
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("pointer", "cells", "pbc", "numbers", "positions")
    )


def shared_structures(sets: Sequence[EnvironmentSet]) -> np.ndarray:
    """How many structures of each set another one has too, as `jentmax.dataset.repeats` compares.

    Returns:
        Shape (n_sets, n_sets): ``[i, j]`` is the number of structures of set j that set i has.
    """
    keys = [structure_keys(one.structures) for one in sets]
    known = [set(own) for own in keys]
    return np.array([[sum(key in there for key in own) for own in keys] for there in known])


def _without_duplicates(one: EnvironmentSet) -> EnvironmentSet:
    keep = ~one.structures.duplicate
    atoms, known = one.structures.rows(keep), one.description
    return dataclasses.replace(
        one,
        structures=one.structures[keep],
        description=dataclasses.replace(
            known,
            features=known.features[atoms],
            neighbors=known.neighbors[atoms],
            nearest=known.nearest[atoms],
        ),
        n_dropped=int(np.sum(~keep)),
    )
