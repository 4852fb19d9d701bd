"""Convert ASE structures to rows of columns and back, without loss."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jentmax.dataset._same import same

if TYPE_CHECKING:
    from ase import Atoms

_LONGEST_TEXT = 100
"""Maximum length of texts in an array of texts, which pads each to the longest."""

# Columns that have another name in ASE: there "energy" is what a DFT code computes.
_INFO = {"index": "jentmax_index", "energy": "energy_effective"}
_RESULTS = {"reference_energy": "energy"}
_COLUMNS = {name: column for column, name in (_INFO | _RESULTS).items()}

_CONSTRAINTS = "constraints"
"""A column of tables that ASE makes its constraints of."""

# What ASE's calculators compute, for a structure and for each atom.
_STRUCTURE_RESULTS = [
    "energy",
    "free_energy",
    "stress",
    "dipole",
    "magmom",
    "dielectric_tensor",
    "polarization",
]
_ATOM_RESULTS = ["forces", "stresses", "energies", "charges", "magmoms", "born_effective_charges"]

_PLAIN = bool | int | float | str | np.generic | np.ndarray


def labels_of(atoms: Atoms) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """All values of a structure, each in one place: info, arrays or results.

    Results belong to the current positions and have ASE's names for results. Others move to info or
    arrays, as NAME_result if the name is taken. A value that is a result and also in info or arrays
    appears only as a result. None values are dropped, and a non-zero origin of the cell is celldisp
    in info.
    """
    info = {str(name): value for name, value in atoms.info.items() if value is not None}
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    if (origin := atoms.get_celldisp()).any():
        info.setdefault("celldisp", origin.ravel())
    results = {}
    for name, value in _results(atoms).items():
        values = np.asarray(value) if isinstance(value, _PLAIN | list | tuple) else np.empty(0, "O")
        of_atoms = name not in _STRUCTURE_RESULTS and values.shape[:1] == (len(atoms),)
        beside: dict[str, Any] = arrays if of_atoms else info
        known = name in _STRUCTURE_RESULTS or (name in _ATOM_RESULTS and of_atoms)
        if known and values.dtype.kind in "iuf":
            results[name] = value
            if name in beside and same(beside[name], value):
                del beside[name]
        elif name not in beside or not same(beside[name], value):
            free = f"{name}_result" if name in beside else name
            beside[free] = values if of_atoms else value
    return info, arrays, results


def _results(atoms: Atoms) -> dict[str, Any]:
    """Results of a calculator; empty if the atoms have moved since."""
    calculator: Any = atoms.calc
    results = getattr(calculator, "results", None) or {}
    # Magnetic moments and charges to start from may be set later: nothing has moved.
    changed = calculator.check_state(atoms) if hasattr(calculator, "check_state") else []
    if {"positions", "numbers", "cell"} & set(changed):
        return {}
    return {str(name): value for name, value in results.items() if value is not None}


def plain_atoms(atoms: Atoms) -> Atoms:
    """A copy with all labels where ASE's writers look for them, as in `labels_of`."""
    from ase.calculators.singlepoint import SinglePointCalculator

    info, arrays, results = labels_of(atoms)
    copied = atoms.copy()
    copied.info = info
    for name in atoms.arrays.keys() - arrays.keys() - {"numbers", "positions"}:
        del copied.arrays[name]
    for name in arrays.keys() - atoms.arrays.keys():
        copied.set_array(name, arrays[name])
    if results:
        copied.calc = SinglePointCalculator(copied, **results)
        if isinstance(name := getattr(atoms.calc, "name", None), str):
            copied.calc.name = name  # pyright: ignore[reportAttributeAccessIssue]
    return copied


def columns_from(
    atoms: Atoms,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Values of a structure and of its atoms, by column name."""
    info, arrays, results = labels_of(atoms)
    taken = {*_INFO, *_RESULTS, *_STRUCTURE_RESULTS, _CONSTRAINTS}
    found = {}
    for name, value in info.items():
        clash = name in taken or name.startswith("info:")
        column = f"info:{name}" if clash else name
        found[_COLUMNS[name] if name in _INFO.values() else column] = value
    for name in _STRUCTURE_RESULTS:
        if name in results:
            found[_COLUMNS.get(name, name)] = results[name]
    if atoms.constraints:
        found[_CONSTRAINTS] = [constraint.todict() for constraint in atoms.constraints]
    of_atoms = {
        f"array:{name}" if name in _ATOM_RESULTS or name.startswith("array:") else name: values
        for name, values in arrays.items()
    }
    return found, of_atoms | {k: np.asarray(v) for k, v in results.items() if k in _ATOM_RESULTS}


def name_in_ase(column: str) -> str:
    """The name that a column's values have in ASE: the reverse of `columns_from`."""
    known = _INFO | _RESULTS
    return known.get(column, column.removeprefix("info:").removeprefix("array:"))


def atoms_from(
    arrays: Sequence[np.ndarray], info: Mapping[str, Any], atom_arrays: Mapping[str, np.ndarray]
) -> Atoms:
    """One structure from numbers, positions, cell and pbc, and the values of its columns."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import dict2constraint

    numbers, positions, cell, pbc = arrays
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc.astype(bool))
    results = {}
    for name, value in info.items():
        if value is None:
            continue
        if name == _CONSTRAINTS:
            atoms.set_constraint([dict2constraint(copy.deepcopy(one)) for one in value])
            continue
        value = value.item() if isinstance(value, np.generic) else copy.deepcopy(value)
        if (result := _RESULTS.get(name, name)) in _STRUCTURE_RESULTS and name != "energy":
            results[result] = value
        else:
            atoms.info[_INFO.get(name, name.removeprefix("info:"))] = value
    for name, values in atom_arrays.items():
        if values.dtype == object and len(values):
            if all(value is None for value in values):
                continue
            values = np.array(values.tolist())
        if name in _ATOM_RESULTS:
            results[name] = values
        else:
            atoms.set_array(name.removeprefix("array:"), values)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Columns from the values of each structure; None if it has none of a name."""
    return {name: _column([row.get(name) for row in rows]) for name in _names(rows)}


def joined(
    tables: Sequence[Mapping[str, np.ndarray]], lengths: Sequence[int]
) -> dict[str, np.ndarray]:
    """Concatenate the columns of tables; rows of tables without a column get None."""
    found = {}
    for name in _names(tables):
        arrays = [table.get(name) for table in tables]
        kinds = {None if a is None else (a.dtype.char, a.shape[1:]) for a in arrays}
        if len(kinds) == 1 and None not in kinds:
            found[name] = np.concatenate(arrays)  # pyright: ignore[reportArgumentType, reportCallIssue]
            continue
        rows: list[Any] = []
        for array, n in zip(arrays, lengths, strict=True):
            if array is None:
                rows += [None] * n
            else:
                rows += array.tolist() if array.ndim == 1 else list(array)
        found[name] = _objects(rows)
    return found


def _names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """All different names, in order of appearance."""
    return list(dict.fromkeys(itertools.chain.from_iterable(tables)))


def _column(values: Sequence[Any]) -> np.ndarray:
    """One row for each value: an array of one type and shape, or else of objects."""
    arrays = [np.asarray(value) if isinstance(value, _PLAIN) else None for value in values]
    kinds = {
        None if a is None or a.dtype.kind not in "biufcU" else (a.dtype.char, a.shape)
        for a in arrays
    }
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    if len(kinds) == 1 and None not in kinds and longest <= _LONGEST_TEXT:
        return np.stack(arrays)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return _objects(copy.deepcopy(values))


def _objects(values: Sequence[Any]) -> np.ndarray:
    column = np.empty(len(values), object)
    for k, value in enumerate(values):
        column[k] = value
    return column
