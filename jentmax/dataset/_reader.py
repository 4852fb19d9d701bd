"""Read a data set: a finished file, or the parts of an unfinished set."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from jentmax.dataset._file import File
from jentmax.dataset._hdf5 import DamagedFile
from jentmax.dataset._parts import MissingPart, Parts
from jentmax.dataset._running import Running
from jentmax.dataset._schema import (
    ATOM_COLUMNS,
    COMPUTED_COLUMNS,
    ENDING,
    NOT_FINITE,
    SLAB,
    TOO_CLOSE,
)
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms


class Dataset:
    """The structures of a data set, in order.

    ``len(dataset)``, ``dataset[3]``, ``dataset[-1]``, ``dataset[:10]`` and iteration give ASE
    atoms, with V, E_rep, S and more in ``atoms.info`` (``jentmax_index``, ``chain``, ``cycle``,
    ``energy_effective``, ``repulsion``, ``entropy``, ``entropy_weight``, ``least_distance``,
    ``temperature``) and the descriptors in ``atoms.arrays["descriptors"]``.

    Columns are read-only attributes, loaded on first use. Per structure: index, chain, cycle,
    energy (V = E_rep - K S in eV), repulsion (E_rep in eV), entropy (S in nats), entropy_weight (K
    in eV), least_distance (Å) and temperature (mean kinetic temperature of the last tenth of the
    ramp, in K), shape (n,); cells (lattice vectors as rows in Å), shape (n, 3, 3); and pbc, shape
    (n, 3). Per atom, sorted by structure: positions (Å), shape (N, 3); numbers, shape (N,); and
    unscaled descriptors, shape (N, n_features).

    An unfinished set has a folder ``NAME.parts`` instead of a file, and the status "running". It
    shows the accepted structures of the chunks that existed on opening, in the order of a set that
    ends with them.

    Attributes:
        path: path of the file.
        kind: "generated", or "described" for descriptors of given structures.
        status: "complete" or "running".
        header: all metadata of the set.
        recipe: recipe of the structures, as plain data.
        seed: seed of the random numbers.
        versions: versions of the packages that computed the structures.
        device: device that computed the structures.
        created: date and time, UTC, in ISO 8601.
        columns: names of the per-structure columns.
        scale: standard deviation of each descriptor in the preliminary run, in the descriptors'
            unit, shape (n_features,); S is computed from descriptors / scale.
        shift: mean of each descriptor in the preliminary run, shape (n_features,).
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        chunks: numbers of stream, batch and cycle of the chunks of a generated set, ascending.
        discarded: numbers of computed structures that were not accepted: "not finite" and "too
            close".
        fraction_discarded: fraction of all computed structures that were not accepted.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a set.

        Args:
            path: path of the file, finished or not, or of the folder of an unfinished set.

        Raises:
            JentmaxError: the path does not exist, or is not a data set, empty, cut off or damaged.
        """
        self.path, source = _opened(path)
        self._source, self._cache = source, {}
        self.kind, self.status, self.header = source.kind, source.status, source.header
        self.recipe: dict[str, Any] = self.header["recipe"]
        self.seed: int = self.header["seed"]
        self.versions: dict[str, str] = self.header["versions"]
        self.device: str = self.header["device"]
        self.created: str = self.header["created"]
        self.scale = np.array(self.header["scale"], float)
        self.shift = np.array(self.header["shift"], float)
        self.pointer, self.columns, self.chunks = source.pointer, source.names, source.ids
        counts = source.counts.tolist()
        self.discarded = {"not finite": counts[NOT_FINITE], "too close": counts[TOO_CLOSE]}
        self.fraction_discarded = sum(self.discarded.values()) / sum(counts)

    def close(self) -> None:
        """Close the file; loaded columns stay available."""
        self._source.close()

    def __enter__(self) -> Dataset:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.close()

    def __repr__(self) -> str:
        """Path, number of structures, kind and status."""
        return f"<Dataset {self.path}: {len(self)} structures, {self.kind}, {self.status}>"

    def __len__(self) -> int:
        """Number of structures."""
        return self._source.n

    @overload
    def __getitem__(self, which: int | np.integer) -> Atoms: ...
    @overload
    def __getitem__(self, which: slice) -> list[Atoms]: ...
    def __getitem__(self, which: int | np.integer | slice) -> Atoms | list[Atoms]:
        """One structure, or a list of them.

        Raises:
            IndexError: the index is out of range.
        """
        if isinstance(which, slice):
            return self.structures(which).to_ase()
        k = operator.index(which)
        if not -len(self) <= k < len(self):
            raise IndexError(
                f"structure {k} of {self.path}: there are {len(self)}, "
                f"so it must be from {-len(self)} to {len(self) - 1}"
            )
        k %= len(self)
        return self._source.structures(k, k + 1)[0]

    def __iter__(self) -> Iterator[Atoms]:
        """Iterate over the structures, with a few hundred of them in memory."""
        for first in range(0, len(self), 256):
            yield from self.structures(slice(first, first + 256))

    def structures(self, which: slice = slice(None)) -> Structures:
        """Some structures with all their columns; index counts from the set's first structure."""
        chosen = np.arange(len(self))[which]
        if not len(chosen):
            return self._source.structures(0, 1)[:0]
        first, last = int(chosen.min()), int(chosen.max()) + 1
        some = self._source.structures(first, last)
        return some if (np.diff(chosen) == 1).all() else some[chosen - first]

    def damage(self) -> list[str]:
        """Read everything, which verifies all checksums.

        Returns:
            One line for each damaged block of structures; empty for an undamaged set.
        """
        found: list[str] = []
        for first in range(0, len(self), SLAB):
            last = min(first + SLAB, len(self))
            for name in ("cells", "pbc", *ATOM_COLUMNS, *self.columns):
                try:
                    self._source.column(name, first, last)
                except JentmaxError as error:
                    why = error.why if isinstance(error, DamagedFile) else str(error)
                    line = f"structures {first} to {last - 1}: {why}"
                    found += [line] if line not in found[-1:] else []
        return found

    def __getattr__(self, name: str) -> np.ndarray:
        """A whole column.

        Raises:
            JentmaxError: the column is missing or cannot be read.
        """
        if name not in ("index", "cells", "pbc", *ATOM_COLUMNS, *COMPUTED_COLUMNS):
            raise AttributeError(f"Dataset has no attribute or column {name!r}")
        if name not in self._cache:
            if name in COMPUTED_COLUMNS and name not in self.columns:
                raise JentmaxError(
                    f"{self.path} has no column {name!r}: it is a {self.kind} data set with "
                    f"{', '.join(self.columns)}"
                )
            values = self._source.column(name, 0, len(self))
            values.flags.writeable = False
            self._cache[name] = values
        return self._cache[name]


def _opened(path: str | os.PathLike[str]) -> tuple[Path, File | Running]:
    """Open a set by the path of its file or of its folder of parts; also return the file's path."""
    path = Path(path)
    if path.name.endswith(ENDING) and path.is_dir():
        path = path.with_name(path.name.removesuffix(ENDING))
    parts = Parts(path)
    if not os.path.lexists(path) and parts.header() is not None:
        try:
            return path, Running(parts)
        except MissingPart:
            if not path.exists():  # or another process has just finished the set
                raise
    return path, File(path)
