"""Many structures as flat arrays on the host, with additional columns."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from jentmax.dataset._ase import atoms_from, columns_from, columns_of, joined
from jentmax.dataset._export import export
from jentmax.dataset._schema import HEAVIEST
from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_SAME = 1e-4
"""Å to which positions are rounded before they are compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Structures:
    """Structures as flat arrays, one after the other, with columns of any names.

    ``structures[3]`` is an `ase.Atoms`; ``structures[2:5]``, an array of numbers or a mask give
    `Structures`; iteration gives `ase.Atoms`. Columns are attributes too: ``structures.entropy`` is
    ``structures.columns["entropy"]``, ``structures.descriptors`` is
    ``structures.atom_columns["descriptors"]``.

    Columns of dtype object hold values that do not fit into one array: None for structures without
    the value, and values of different types or shapes.

    Attributes:
        positions: of all atoms in Å, shape (N, 3).
        numbers: atomic numbers, shape (N,).
        cells: lattice vectors as rows in Å, shape (n, 3, 3).
        pbc: whether a structure is periodic along each lattice vector, shape (n, 3).
        pointer: atoms of structure k are rows ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        columns: arrays with one row per structure, shape (n, ...). The names that jentmax writes:
            index, chain, cycle, energy (V in eV), repulsion (eV), entropy (nats), entropy_weight
            (eV), least_distance (Å), temperature (K). Labels: reference_energy, free_energy (eV),
            stress (eV/Å^3). Other names are those of ``atoms.info``.
        atom_columns: arrays with one row per atom, shape (N, ...): descriptors, forces (eV/Å), ...

    Raises:
        JentmaxError: arrays whose shapes do not fit together.
    """

    positions: np.ndarray
    numbers: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    pointer: np.ndarray
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    atom_columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the shapes."""
        n, n_atoms = len(self.pointer) - 1, len(self.positions)
        shapes = {
            "positions": (self.positions, (n_atoms, 3)),
            "numbers": (self.numbers, (n_atoms,)),
            "cells": (self.cells, (n, 3, 3)),
            "pbc": (self.pbc, (n, 3)),
        }
        for name, (values, shape) in shapes.items():
            if values.shape != shape:
                raise JentmaxError(f"{name} has shape {values.shape}, must be {shape}")
        for of, columns, length in (
            ("structure", self.columns, n),
            ("atom", self.atom_columns, n_atoms),
        ):
            for name, values in columns.items():
                if values.ndim < 1 or len(values) != length:
                    raise JentmaxError(
                        f"{of} column {name} has shape {values.shape}, must have {length} rows"
                    )
        steps = np.diff(self.pointer)
        if n < 0 or self.pointer[0] != 0 or self.pointer[-1] != n_atoms or (steps < 0).any():
            raise JentmaxError(f"pointer must rise from 0 to the {n_atoms} atoms")

    @classmethod
    def from_ase(cls, structures: Sequence[Atoms]) -> Structures:
        """The arrays of ASE's structures, with everything in info, arrays, constraints and results.

        Args:
            structures: of any sizes. Entries of info that are None are dropped.

        Raises:
            JentmaxError: as `check`.
        """
        structures = list(structures)
        counts = [len(atoms) for atoms in structures]
        values = [columns_from(atoms) for atoms in structures]
        made = cls(
            np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in structures)]),
            np.concatenate([np.zeros(0, int), *(atoms.numbers for atoms in structures)]),
            np.array([atoms.cell.array for atoms in structures], float).reshape(-1, 3, 3),
            np.array([atoms.pbc for atoms in structures], bool).reshape(-1, 3),
            np.concatenate([[0], np.cumsum(counts, dtype=int)]),
            columns_of([of_structure for of_structure, _ in values]),
            joined([of_atoms for _, of_atoms in values], counts),
        )
        made.check()
        return made

    @staticmethod
    def concatenate(parts: Sequence[Structures]) -> Structures:
        """One after the other; a column that some lack is an object column with None there."""
        parts = list(parts)
        if not parts:
            return Structures.from_ase([])
        n_atoms = [len(part.positions) for part in parts]
        ends = np.cumsum([0, *n_atoms[:-1]])
        pointers = (end + part.pointer[1:] for end, part in zip(ends, parts, strict=True))
        positions, numbers, cells, pbc = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("positions", "numbers", "cells", "pbc")
        )
        return Structures(
            positions,
            numbers,
            cells,
            pbc,
            np.concatenate([[0], *pointers]),
            joined([part.columns for part in parts], [len(part) for part in parts]),
            joined([part.atom_columns for part in parts], n_atoms),
        )

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.pointer) - 1

    def __iter__(self) -> Iterator[Atoms]:
        """Structures one by one, for ASE."""
        return (self._atoms(k) for k in range(len(self)))

    @overload
    def __getitem__(self, which: int | np.integer) -> Atoms: ...
    @overload
    def __getitem__(
        self, which: slice | np.ndarray | Sequence[int] | Sequence[np.integer]
    ) -> Structures: ...
    def __getitem__(
        self, which: int | np.integer | slice | np.ndarray | Sequence[int] | Sequence[np.integer]
    ) -> Atoms | Structures:
        """One structure for ASE, or several as `Structures`; indices as for `rows`.

        Raises:
            IndexError: the index is out of range.
        """
        if isinstance(which, int | np.integer):
            k = operator.index(which)
            if not -len(self) <= k < len(self):
                raise IndexError(f"structure {k}: there are {len(self)}")
            return self._atoms(k % len(self))
        chosen: np.ndarray = np.arange(len(self))[which]  # pyright: ignore[reportCallIssue, reportArgumentType]
        rows = self.rows(which)
        return Structures(
            self.positions[rows],
            self.numbers[rows],
            self.cells[chosen],
            self.pbc[chosen],
            np.concatenate([[0], np.cumsum(self.counts[chosen])]),
            {name: values[chosen] for name, values in self.columns.items()},
            {name: values[rows] for name, values in self.atom_columns.items()},
        )

    def __getattr__(self, name: str) -> np.ndarray:
        """A column by its name."""
        if not name.startswith("_"):
            for columns in (self.columns, self.atom_columns):
                if name in columns:
                    return columns[name]
        raise AttributeError(f"Structures have no attribute or column {name!r}")

    def __repr__(self) -> str:
        """Numbers of structures and atoms, and names of the columns."""
        names = ", ".join([*self.columns, *self.atom_columns])
        return f"<Structures: {len(self)} with {len(self.positions)} atoms; {names}>"

    @property
    def counts(self) -> np.ndarray:
        """Number of atoms of each structure, shape (n,)."""
        return np.diff(self.pointer)

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """The column config_type as printable text, "" if missing, shape (n,)."""
        if "config_type" not in self.columns:
            return np.zeros(len(self), "U1")
        values = self.columns["config_type"].tolist()
        return np.array(["" if v is None else printable(str(v)) for v in values], str)

    @functools.cached_property
    def duplicate(self) -> np.ndarray:
        """Whether each structure repeats an earlier one, shape (n,).

        Uses the column duplicate if every structure has it, otherwise `repeats`.
        """
        flags = self.columns.get("duplicate")
        return flags if flags is not None and flags.dtype == bool else repeats(self)

    def rows(self, which: slice | np.ndarray | Sequence[int] | Sequence[np.integer]) -> np.ndarray:
        """Indices of the atoms of some structures, structure after structure.

        Args:
            which: a slice, numbers of structures, or a mask of shape (n,).
        """
        chosen: np.ndarray = np.arange(len(self))[which]  # pyright: ignore[reportCallIssue, reportArgumentType]
        counts = self.counts[chosen]
        firsts = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.pointer[chosen] - firsts, counts)

    def check(self) -> None:
        """Refuse structures that cannot be used.

        Raises:
            JentmaxError: a structure has no atoms, numbers that are not finite, or atomic numbers
                of no element; the message names it.
        """
        if empty := np.flatnonzero(self.counts < 1).tolist():
            raise JentmaxError(f"structure {empty[0]}: it has no atoms; remove it")
        foreign = (self.numbers < 0) | (self.numbers > HEAVIEST)
        ends = 3 * np.arange(len(self) + 1)
        for name, values, wrong, first, must in (
            ("positions", self.positions, None, self.pointer, "three finite numbers in Å"),
            ("cell", self.cells.reshape(-1, 3), None, ends, "three finite numbers in Å"),
            ("numbers", self.numbers, foreign, self.pointer, f"0 to {HEAVIEST}"),
        ):
            wrong = ~np.isfinite(values).all(axis=1) if wrong is None else wrong
            if wrong.any():
                row = int(np.argmax(wrong))
                k = int(np.searchsorted(first, row, side="right")) - 1
                raise JentmaxError(
                    f"structure {k}: {name}[{row - first[k]}] = {values[row].tolist()}, must be "
                    f"{must}; correct or remove the structure"
                )

    def to_ase(self) -> list[Atoms]:
        """All structures for ASE.

        Columns are in ``atoms.info`` (index as jentmax_index, energy, which is V, as
        energy_effective), atom columns in ``atoms.arrays``, labels in a calculator that holds them.
        """
        return list(self)

    def write(
        self, path: str | os.PathLike[str], format: str | None = None, *, overwrite: bool = False
    ) -> None:
        """Write the structures in any ASE format, as `jentmax.dataset.export`."""
        export(self, path, format, overwrite=overwrite)

    def _atoms(self, k: int) -> Atoms:
        own = slice(self.pointer[k], self.pointer[k + 1])
        return atoms_from(
            (self.numbers[own], self.positions[own], self.cells[k], self.pbc[k]),
            {name: values[k] for name, values in self.columns.items()},
            {name: values[own] for name, values in self.atom_columns.items()},
        )


def repeats(structures: Structures) -> np.ndarray:
    """Whether an earlier structure has the same cell, species and positions, in the same order.

    Returns:
        Shape (n,).
    """
    seen = set()
    repeated = np.zeros(len(structures), bool)
    for k, key in enumerate(structure_keys(structures)):
        repeated[k] = key in seen
        seen.add(key)
    return repeated


def structure_keys(structures: Structures) -> list[bytes]:
    """A key for each structure, equal for equal cells, species and positions in the same order.

    Lengths are rounded to 1e-4 Å and then compared. Smaller differences may still round to
    different numbers, and then the structures count as different.
    """
    with np.errstate(invalid="ignore"):  # `check` refuses what is not finite
        positions, cells = (
            np.rint(lengths / _SAME).astype(np.int64)
            for lengths in (structures.positions, structures.cells)
        )
    numbers, pbc = structures.numbers.astype(np.int64), structures.pbc.astype(bool)
    keys = []
    for k, (start, end) in enumerate(itertools.pairwise(structures.pointer)):
        parts = (numbers[start:end], positions[start:end], cells[k], pbc[k])
        keys.append(hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest())
    return keys
