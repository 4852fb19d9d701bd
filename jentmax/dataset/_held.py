"""Find which values a format can store, by writing structures, reading them and comparing."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jentmax.dataset._ase import labels_of
from jentmax.dataset._database import write_database
from jentmax.dataset._extxyz import lasting
from jentmax.dataset._same import same
from jentmax.dataset.output import printable, reason
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

LABELLED = ("extxyz", "traj", "db", "json")
"""Formats for structures with labels; other formats are mostly input of programs."""

_FIXED = "constraints"


def write_atoms(path: Path, structures: Sequence[Atoms], name: str) -> None:
    """Write structures, as `plain_atoms` gives them, by ASE.

    Args:
        path: of the file.
        structures: to write; one if the format has one for each file.
        name: ASE's name of the format.

    Raises:
        JentmaxError: ASE cannot write them.
        OSError: the system refuses.
    """
    import ase.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about dropped values, which are checked before
            if name in ("db", "json"):
                write_database(path, structures, name)
            elif name == "extxyz":
                ase.io.write(path, [_lasting(atoms) for atoms in structures], format=name)
            else:
                options = {"sort": True} if name == "vasp" else {}
                ase.io.write(path, structures, format=name, **options)
    except OSError as error:
        if error.errno is not None:
            raise
        raise JentmaxError(f"{path.name}: ASE cannot write it as {name!r}: {error}") from error
    except Exception as error:  # ASE's writers raise many types
        raise JentmaxError(f"{path.name}: ASE cannot write it as {name!r}: {error}") from error


def _lasting(atoms: Atoms) -> Atoms:
    """Values as read from extended XYZ: texts from JSON, and integers of the original type."""
    copied = atoms.copy()
    copied.calc, copied.info = atoms.calc, lasting(atoms.info)
    copied.arrays |= {k: v.astype(int) for k, v in atoms.arrays.items() if v.dtype.kind == "u"}
    return copied


def lost(
    structures: Iterable[Atoms], name: str, read: Callable[[str, str], list[Atoms]]
) -> list[str]:
    """Names of the values that a format does not preserve.

    It tests one structure of each kind, where a kind has the same names, types and shapes.

    Args:
        structures: as `plain_atoms` gives them.
        name: ASE's name of the format.
        read: path and name of the format -> the structures of a file.

    Returns:
        Names in info, arrays and results; "pbc", "cell" and "constraints".

    Raises:
        JentmaxError: not even atoms alone can be written.
    """
    found: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="jentmax-") as folder:
        for atoms in _kinds(structures):
            values = _values(atoms)
            found |= {
                one + " (two different values)" * (len(values.get(one, [])) > 1): None
                for one in _lost(atoms, name, read, Path(folder))
            }
    return list(found)


def holds(structures: Iterable[Atoms], name: str, read: Callable[[str, str], list[Atoms]]) -> bool:
    """Whether a format preserves all values; arguments as for `lost`."""
    with tempfile.TemporaryDirectory(prefix="jentmax-") as folder:
        return all(
            (back := _round_trip(atoms, name, read, Path(folder))[0]) is not None
            and not _missing(atoms, back)
            for atoms in _kinds(structures)
        )


def _kinds(structures: Iterable[Atoms]) -> list[Atoms]:
    """The first structure of each kind."""
    kinds: dict[Any, Atoms] = {}
    for atoms in structures:
        kinds.setdefault(_kind(atoms), atoms)
    return list(kinds.values())


def _lost(
    atoms: Atoms, name: str, read: Callable[[str, str], list[Atoms]], folder: Path
) -> list[str]:
    back, why = _round_trip(atoms, name, read, folder)
    if back is not None:
        return _missing(atoms, back)
    bare = _with_nothing(atoms)
    if _round_trip(bare, name, read, folder)[0] is None:
        try:  # a format that ASE writes and does not read, or an atom that it does not write
            write_atoms(folder / _file(name), [bare], name)
        except JentmaxError:
            raise JentmaxError(f"ASE cannot write it as {name!r}: {why}") from None
        return [*_values(atoms), *[_FIXED] * bool(atoms.constraints)]
    found = []
    for value in [*_values(atoms), _FIXED]:
        one = _with_nothing(atoms, value)
        back, _ = _round_trip(one, name, read, folder)
        if back is None or value in _missing(one, back):
            found.append(value)
    if not found:
        raise JentmaxError(f"ASE cannot write it as {name!r}: {why}")
    return found


def _round_trip(
    atoms: Atoms, name: str, read: Callable[[str, str], list[Atoms]], folder: Path
) -> tuple[Atoms | None, str]:
    path = folder / _file(name)
    if path.is_dir():  # of a format whose files are folders
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    try:
        write_atoms(path, [atoms], name)
        (back,) = read(os.fspath(path), name)
    except OSError as error:
        return None, reason(error)
    except ValueError as error:  # JentmaxError, too
        return None, printable(str(error).rpartition(f"{name!r}: ")[2])[:200]
    same_atoms = sorted(back.numbers) == sorted(atoms.numbers)
    return (back, "") if same_atoms else (None, "it gives other atoms back")


def _file(name: str) -> str:
    from ase.io.formats import ioformats

    return "structure." + (ioformats[name].extensions or [name])[0]


def _values(atoms: Atoms) -> dict[str, list[Any]]:
    """All values by name: info, arrays and results."""
    found: dict[str, list[Any]] = {}
    for values in labels_of(atoms):
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found


def _missing(atoms: Atoms, back: Atoms) -> list[str]:
    """Names of the values that changed or disappeared."""
    order = np.arange(len(atoms))
    if not np.array_equal(atoms.numbers, back.numbers):  # sorted by species
        order = np.argsort(atoms.symbols, kind="stable")
    read = _values(back)
    found = []
    for name, values in _values(atoms).items():
        others = read.get(name, [])
        if not all(any(same(value, other) for other in others) for value in values):
            found.append(name)
    if not same(_fixed(atoms[order]), _fixed(back)):  # pyright: ignore[reportArgumentType]
        found.append(_FIXED)
    if not np.array_equal(atoms.pbc, back.pbc):
        found.append("pbc")
    if not np.allclose(atoms.cell.cellpar(), back.cell.cellpar(), rtol=0, atol=1e-2):
        found.append("cell")
    return found


def _fixed(atoms: Atoms) -> Any:
    """Constraints in a form that can be compared: which coordinates are free, and the others."""
    from ase.constraints import FixAtoms, FixCartesian

    free, others = np.ones((len(atoms), 3), bool), []
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            free[constraint.index] = False
        elif isinstance(constraint, FixCartesian):
            free[constraint.index] &= ~np.asarray(constraint.mask, bool)
        else:
            others.append(constraint.todict())
    return {"free": free, "others": others}


def _with_nothing(atoms: Atoms, value: str | None = None) -> Atoms:
    """The atoms alone, or with one of their values."""
    from ase.calculators.singlepoint import SinglePointCalculator

    info, arrays, results = labels_of(atoms)
    bare = atoms.copy()
    bare.info = {k: v for k, v in info.items() if k == value}
    for name in arrays:
        if name != value:
            del bare.arrays[name]
    if value != _FIXED:
        bare.set_constraint()
    if value in results:
        bare.calc = SinglePointCalculator(bare, **{value: results[value]})
    return bare


def _kind(atoms: Atoms) -> Any:
    info, arrays, results = labels_of(atoms)
    values = [(k, _kind_of(v)) for table in (info, results) for k, v in table.items()]
    values += [(k, _kind_of(v, atoms=True)) for k, v in arrays.items()]
    fixed = tuple(type(constraint).__name__ for constraint in atoms.constraints)
    return (*values, fixed, tuple(atoms.pbc), bool(np.any(atoms.cell.array)), len(atoms) > 1)


def _kind_of(value: Any, atoms: bool = False) -> Any:
    """Equal for values that a format holds both or not: type, shape, unusual letters, range."""
    if isinstance(value, str):
        return "".join(sorted(set(re.sub(r"[A-Za-z0-9_]", "", value)))), value[:1].isalpha()
    if isinstance(value, bool | int | float | np.generic | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "biufc":
            size = np.abs(array[np.isfinite(array)]).max(initial=0)
            return (
                array.dtype.char,
                array.shape[1:] if atoms else array.shape,
                bool(np.isfinite(array).all()),
                0 < size < 1e-4,
                size > 1e9,
            )
        words = [str(word) for word in array.ravel().tolist()]
        return array.dtype.kind, array.ndim, "" in words, _kind_of("".join(words))
    return type(value).__name__, _kind_of(repr(value)[:10_000])
