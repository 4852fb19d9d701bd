"""Many structures as flat arrays on the host, with any columns beside them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_SAME = 1e-4
"""Å to which positions are rounded before they are compared."""

_LONGEST_TEXT = 100
"""Letters of texts that stand in an array of texts, which gives each the room of the longest."""

# Columns that have another name in ASE: there "energy" is what a DFT code computes.
_INFO = {"index": "jentmax_index", "energy": "energy_effective"}
_RESULTS = {"reference_energy": "energy"}

# What ASE's calculators compute, for a structure and for each atom.
_STRUCTURE_RESULTS = (
    "energy",
    "free_energy",
    "stress",
    "dipole",
    "magmom",
    "dielectric_tensor",
    "polarization",
)
_ATOM_RESULTS = (
    "forces",
    "stresses",
    "energies",
    "charges",
    "magmoms",
    "born_effective_charges",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Structures:
    """Structures as flat arrays, one after the other, with columns of any names.

    ``structures[3]`` is an `ase.Atoms`; ``structures[2:5]``, an array of numbers or a mask give
    `Structures`; iteration gives `ase.Atoms`. Columns are attributes too: ``structures.entropy`` is
    ``structures.columns["entropy"]``, ``structures.descriptors`` is
    ``structures.atom_columns["descriptors"]``.

    A column of dtype object holds what does not fit one array: None for a structure that lacks the
    value, and values of different types or shapes.

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
        """The arrays of ASE's structures, with everything in info, arrays and calculator results.

        Args:
            structures: of any sizes. Entries of info that are None are dropped.

        Raises:
            JentmaxError: as `check`.
        """
        structures = list(structures)
        counts = [len(atoms) for atoms in structures]
        infos = [_info_in(atoms) for atoms in structures]
        arrays = [_arrays_in(atoms) for atoms in structures]
        made = cls(
            np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in structures)]),
            np.concatenate([np.zeros(0, int), *(atoms.numbers for atoms in structures)]),
            np.array([atoms.cell.array for atoms in structures], float).reshape(-1, 3, 3),
            np.array([atoms.pbc for atoms in structures], bool).reshape(-1, 3),
            np.concatenate([[0], np.cumsum(counts, dtype=int)]),
            {name: _column([info.get(name) for info in infos]) for name in _names(infos)},
            {
                name: _joined([array.get(name) for array in arrays], counts)
                for name in _names(arrays)
            },
        )
        made.check()
        return made

    @staticmethod
    def concatenate(parts: Sequence[Structures]) -> Structures:
        """One after the other; a column that some lack is an object column with None there."""
        parts = list(parts)
        if not parts:
            return Structures.from_ase([])
        lengths = [len(part) for part in parts]
        n_atoms = [len(part.positions) for part in parts]
        columns = [part.columns for part in parts]
        atom_columns = [part.atom_columns for part in parts]
        ends = np.cumsum([0, *n_atoms[:-1]])
        return Structures(
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.pbc for part in parts]),
            np.concatenate(
                [[0], *(end + part.pointer[1:] for end, part in zip(ends, parts, strict=True))]
            ),
            {name: _joined([c.get(name) for c in columns], lengths) for name in _names(columns)},
            {
                name: _joined([c.get(name) for c in atom_columns], n_atoms)
                for name in _names(atom_columns)
            },
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
    def __getitem__(self, which: slice | np.ndarray | Sequence[int]) -> Structures: ...
    def __getitem__(
        self, which: int | np.integer | slice | np.ndarray | Sequence[int]
    ) -> Atoms | Structures:
        """One structure for ASE, or some of them as `Structures`; `rows` says how to choose.

        Raises:
            IndexError: there is no such structure.
        """
        if isinstance(which, int | np.integer) and not isinstance(which, bool | np.bool_):
            k = operator.index(which)
            if not -len(self) <= k < len(self):
                raise IndexError(f"structure {k}: there are {len(self)}")
            return self._atoms(k % len(self))
        chosen = np.arange(len(self))[which]
        rows = self.rows(which)
        some = Structures(
            self.positions[rows],
            self.numbers[rows],
            self.cells[chosen],
            self.pbc[chosen],
            np.concatenate([[0], np.cumsum(self.counts[chosen])]),
            {name: values[chosen] for name, values in self.columns.items()},
            {name: values[rows] for name, values in self.atom_columns.items()},
        )
        if "duplicate" in self.__dict__:  # of the whole, once it was computed
            some.__dict__["duplicate"] = self.duplicate[chosen]
        return some

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
        """The column config_type as printable text, "" where there is none, shape (n,)."""
        if "config_type" not in self.columns:
            return np.zeros(len(self), "U1")
        values = self.columns["config_type"].tolist()
        return np.array(["" if v is None else printable(str(v)) for v in values], str)

    @functools.cached_property
    def duplicate(self) -> np.ndarray:
        """Whether each structure repeats an earlier one, shape (n,).

        The column duplicate decides if it says so of every structure, else `repeats`.
        """
        flags = self.columns.get("duplicate")
        return flags if flags is not None and flags.dtype == bool else repeats(self)

    def rows(self, which: slice | np.ndarray | Sequence[int]) -> np.ndarray:
        """Indices of the atoms of some structures, structure after structure.

        Args:
            which: a slice, numbers of structures, or a mask of shape (n,).
        """
        chosen = np.arange(len(self))[which]
        counts = self.counts[chosen]
        firsts = np.cumsum(counts) - counts
        return np.arange(counts.sum()) + np.repeat(self.pointer[chosen] - firsts, counts)

    def check(self) -> None:
        """Refuse structures that nothing can be computed of.

        Raises:
            JentmaxError: naming the structure: no atoms, numbers that are not finite, or atomic
                numbers of no element.
        """
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

    def to_ase(self) -> list[Atoms]:
        """All structures for ASE.

        Columns stand in ``atoms.info`` (index as jentmax_index, energy, which is V, as
        energy_effective), atom columns in ``atoms.arrays``, labels in a calculator that holds them.
        """
        return list(self)

    def write(
        self, path: str | os.PathLike[str], format: str | None = None, *, overwrite: bool = False
    ) -> None:
        """Write in any format that ASE writes; as `jentmax.dataset.export`."""
        from jentmax.dataset._export import export

        export(self, path, format, overwrite=overwrite)

    def _atoms(self, k: int) -> Atoms:
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        own = slice(self.pointer[k], self.pointer[k + 1])
        atoms = Atoms(
            self.numbers[own], self.positions[own], cell=self.cells[k], pbc=self.pbc[k].astype(bool)
        )
        results = {}
        for name, values in self.columns.items():
            value = values[k]
            if isinstance(value, np.ndarray | np.generic) and values.dtype != object:
                value = value.item() if value.ndim == 0 else value.copy()
            if value is None:
                continue
            if (result := _RESULTS.get(name, name)) in _STRUCTURE_RESULTS and name != "energy":
                results[result] = value
            else:
                atoms.info[_INFO.get(name, name.removeprefix("info:"))] = value
        for name, values in self.atom_columns.items():
            value = values[own]
            if value.dtype == object and len(value):
                if value[0] is None:
                    continue
                value = np.array(value.tolist())
            if name in _ATOM_RESULTS:
                results[name] = value
            else:
                atoms.set_array(name.removeprefix("array:"), value)
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms


def repeats(structures: Structures) -> np.ndarray:
    """Whether an earlier structure has the same cell, species and positions, in the same order.

    Lengths are rounded to 1e-4 Å and then compared: two that differ by less may be rounded to
    different numbers, and those structures count as different.

    Returns:
        Shape (n,).
    """
    with np.errstate(invalid="ignore"):  # `check` refuses what is not finite
        positions, cells = (
            np.rint(lengths / _SAME).astype(np.int64)
            for lengths in (structures.positions, structures.cells)
        )
    numbers, pbc = structures.numbers.astype(np.int64), structures.pbc.astype(bool)
    seen = set()
    repeated = np.zeros(len(structures), bool)
    for k, (start, end) in enumerate(itertools.pairwise(structures.pointer)):
        parts = (numbers[start:end], positions[start:end], cells[k], pbc[k])
        key = hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()
        repeated[k] = key in seen
        seen.add(key)
    return repeated


def _info_in(atoms: Atoms) -> dict[str, Any]:
    """Values of a structure by the names of their columns."""
    taken = {*_INFO, *_RESULTS, *_STRUCTURE_RESULTS}
    names = {name: column for column, name in _INFO.items()}
    found = {
        names.get(name, f"info:{name}" if name in taken or name.startswith("info:") else name): v
        for name, v in atoms.info.items()
        if isinstance(name, str) and v is not None
    }
    names = {name: column for column, name in _RESULTS.items()}
    results = getattr(atoms.calc, "results", {})
    return found | {
        names.get(name, name): results[name]
        for name in _STRUCTURE_RESULTS
        if results.get(name) is not None
    }


def _arrays_in(atoms: Atoms) -> dict[str, np.ndarray]:
    """Values of the atoms by the names of their columns."""
    found = {
        f"array:{name}" if name in _ATOM_RESULTS or name.startswith("array:") else name: values
        for name, values in atoms.arrays.items()
        if name not in ("numbers", "positions")
    }
    results = getattr(atoms.calc, "results", {})
    return found | {
        name: values
        for name in _ATOM_RESULTS
        if results.get(name) is not None and len(values := np.asarray(results[name])) == len(atoms)
    }


def _names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every name, in the order in which they occur."""
    return list(dict.fromkeys(itertools.chain.from_iterable(tables)))


def _column(values: Sequence[Any]) -> np.ndarray:
    """One row for each value."""
    plain = bool | int | float | str | np.generic | np.ndarray
    arrays = [np.asarray(value) if isinstance(value, plain) else None for value in values]
    kinds = {
        None if a is None or a.dtype.kind not in "biufcU" else (a.dtype.char, a.shape)
        for a in arrays
    }
    texts = [value for value in values if isinstance(value, str)]
    if len(kinds) == 1 and None not in kinds and max(map(len, texts), default=0) <= _LONGEST_TEXT:
        return np.stack(arrays)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return _objects(values)


def _joined(arrays: Sequence[np.ndarray | None], lengths: Sequence[int]) -> np.ndarray:
    """Rows of all arrays; None for each row of an array that is None."""
    kinds = {None if a is None else (a.dtype.char, a.shape[1:]) for a in arrays}
    if len(kinds) == 1 and None not in kinds:
        return np.concatenate(arrays)  # pyright: ignore[reportArgumentType, reportCallIssue]
    rows: list[Any] = []
    for array, length in zip(arrays, lengths, strict=True):
        rows += [None] * length if array is None else list(array)
    return _objects(rows)


def _objects(values: Sequence[Any]) -> np.ndarray:
    column = np.empty(len(values), object)
    for k, value in enumerate(values):
        column[k] = value
    return column
