"""Many structures as flat arrays, and reading them from files."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jentmax._output import printable
from jentmax.dataset import Dataset
from jentmax.errors import JentmaxError
from jentmax.foreign import read_atoms

if TYPE_CHECKING:
    from ase import Atoms

_SAME = 1e-4
"""Å to which positions are rounded before they are compared."""


@dataclasses.dataclass(frozen=True)
class Structures:
    """Structures as flat arrays; ``structures[which]`` gives some of them.

    Attributes:
        positions: of all atoms, structure after structure, in Å, shape (n_atoms, 3).
        numbers: atomic numbers, shape (n_atoms,).
        cells: lattice vectors as rows, in Å, shape (n, 3, 3).
        periodic: along each lattice vector, shape (n, 3).
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        groups: the file's config_type, "" where there is none, shape (n,).
        duplicate: whether the structure repeats an earlier one, shape (n,): as the file says if it
            says so of every structure, or else found by `repeats`.

    Raises:
        JentmaxError: naming the structure: no atoms, or numbers that are not finite.
    """

    positions: np.ndarray
    numbers: np.ndarray
    cells: np.ndarray
    periodic: np.ndarray
    pointer: np.ndarray
    groups: np.ndarray
    duplicate: np.ndarray

    def __post_init__(self) -> None:
        """Refuse structures that nothing can be said about."""
        if empty := np.flatnonzero(self.counts < 1).tolist():
            raise JentmaxError(f"structure {empty[0]}: it has no atoms; remove it")
        for name, values, first in (
            ("positions", self.positions, self.pointer),
            ("cell", self.cells.reshape(-1, 3), 3 * np.arange(len(self) + 1)),
        ):
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                row = int(np.argmin(finite))
                k = int(np.searchsorted(first, row, side="right")) - 1
                raise JentmaxError(
                    f"structure {k}: {name}[{row - first[k]}] = {values[row].tolist()}, must be "
                    "three finite numbers in Å; correct or remove the structure"
                )
        from ase.data import chemical_symbols

        if (foreign := (self.numbers < 0) | (self.numbers >= len(chemical_symbols))).any():
            row = int(np.argmax(foreign))
            k = int(np.searchsorted(self.pointer, row, side="right")) - 1
            raise JentmaxError(
                f"structure {k}: the atomic number of atom {row - self.pointer[k]} is "
                f"{self.numbers[row]}, of no element; correct or remove the structure"
            )

    @classmethod
    def from_atoms(cls, structures: Sequence[Atoms]) -> Structures:
        """The arrays of ASE's structures.

        Args:
            structures: with ``config_type`` and ``duplicate`` in ``atoms.info``, or without.
        """
        counts = [len(atoms) for atoms in structures]
        empty = np.zeros((0, 3))
        positions = np.concatenate([empty, *(atoms.positions for atoms in structures)])
        numbers = np.concatenate([np.zeros(0, int), *(atoms.numbers for atoms in structures)])
        cells = np.array([atoms.cell.array for atoms in structures]).reshape(-1, 3, 3)
        periodic = np.array([atoms.pbc for atoms in structures], bool).reshape(-1, 3)
        pointer = np.concatenate([[0], np.cumsum(counts, dtype=int)])
        groups = [printable(str(atoms.info.get("config_type", ""))) for atoms in structures]
        flags = [atoms.info.get("duplicate") for atoms in structures]
        if all(isinstance(flag, bool | np.bool_) for flag in flags):
            duplicate = np.array(flags, bool)
        else:
            duplicate = repeats(positions, numbers, cells, periodic, pointer)
        return cls(positions, numbers, cells, periodic, pointer, np.array(groups, str), duplicate)

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.pointer) - 1

    @property
    def counts(self) -> np.ndarray:
        """Number of atoms of each structure, shape (n,)."""
        return np.diff(self.pointer)

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Indices of the atoms of some structures, structure after structure.

        Args:
            which: a slice, numbers of structures, or a mask of shape (n,).
        """
        chosen = np.arange(len(self))[which]
        counts = self.counts[chosen]
        firsts = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.pointer[chosen] - firsts, counts)

    def __getitem__(self, which: slice | np.ndarray) -> Structures:
        """Some of the structures; `rows` says what ``which`` may be."""
        rows = self.rows(which)
        return Structures(
            self.positions[rows],
            self.numbers[rows],
            self.cells[which],
            self.periodic[which],
            np.concatenate([[0], np.cumsum(self.counts[which])]),
            self.groups[which],
            self.duplicate[which],
        )

    def atoms(self, k: int) -> Atoms:
        """Structure k for ASE, with its config_type if it has one."""
        from ase import Atoms

        own = slice(self.pointer[k], self.pointer[k + 1])
        group = str(self.groups[k])
        return Atoms(
            self.numbers[own],
            self.positions[own],
            cell=self.cells[k],
            pbc=self.periodic[k],
            info={"config_type": group} if group else {},
        )


def repeats(
    positions: np.ndarray,
    numbers: np.ndarray,
    cells: np.ndarray,
    periodic: np.ndarray,
    pointer: np.ndarray,
) -> np.ndarray:
    """Whether an earlier structure has the same cell, species and positions, in the same order.

    Lengths are rounded to 1e-4 Å and then compared: two that differ by less may fall on different
    sides of a rounding, and those structures count as different.

    The arguments are those of `Structures`.

    Returns:
        Shape (n,).
    """
    # What is not finite is refused elsewhere.
    with np.errstate(invalid="ignore"):
        positions, cells = (
            np.rint(lengths / _SAME).astype(np.int64) for lengths in (positions, cells)
        )
    seen = set()
    repeated = np.zeros(len(pointer) - 1, bool)
    for k, (start, end) in enumerate(itertools.pairwise(pointer)):
        parts = (numbers[start:end], positions[start:end], cells[k], periodic[k])
        key = hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()
        repeated[k] = key in seen
        seen.add(key)
    return repeated


def read_structures(path: str | os.PathLike[str]) -> Structures:
    """All structures of a file: jentmax's own, or any that ASE reads.

    Raises:
        JentmaxError: if the file is missing, empty or cannot be read, or as `Structures`.
    """
    import h5py

    text = os.fspath(path)
    if not os.path.exists(text):
        raise JentmaxError(f"{text}: no such file; give one that ASE reads, or a data set")
    try:
        return _of_dataset(text) if h5py.is_hdf5(text) else Structures.from_atoms(read_atoms(text))
    except JentmaxError as error:
        if str(error).startswith("structure "):
            raise JentmaxError(f"{text}, {error}") from None
        raise


def _of_dataset(path: str) -> Structures:
    with Dataset(path) as dataset:
        arrays = (
            dataset.positions,
            dataset.numbers,
            dataset.cells,
            dataset.periodic.astype(bool),
            dataset.pointer,
        )
    return Structures(*arrays, np.zeros(len(dataset), "U1"), repeats(*arrays))
