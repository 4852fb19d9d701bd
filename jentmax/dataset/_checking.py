"""What of a data set file is as it was written: all of it, or which structures."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from jentmax.dataset.output import reason
from jentmax.dataset._atoms import as_atoms
from jentmax.dataset._contents import check_chunks, check_heaps, check_sizes
from jentmax.dataset._opening import (
    DAMAGE,
    check_column,
    check_format,
    damaged,
    expected_size,
    open_file,
    reading,
)
from jentmax.dataset._schema import (
    POINTER,
    SCHEMA,
    STRUCTURE_COLUMNS,
    Column,
    atom_columns,
    attributes_checksum,
    column_of,
    required_columns,
    text,
)
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_HEAVIEST = 118
"""Number of the last element that has a name."""

_MOST_RANGES = 8
"""How many are written out before the rest is only counted."""


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found in a data set file.

    Attributes:
        path: of the file.
        status: "complete" or "running"; "unknown" if it cannot be read.
        n_structures: that it should hold.
        n_columns: that were read, of structures and of atoms.
        damage: what is damaged, in words; empty for a whole file.
        whole: numbers of the structures all of whose columns are as they were written, ascending,
            shape (n_whole,).
    """

    path: Path
    status: str
    n_structures: int
    n_columns: int
    damage: tuple[str, ...]
    whole: np.ndarray


class _Found(NamedTuple):
    check: Check
    rows: np.ndarray  # of the whole structures, in the order of their index
    pointer: np.ndarray
    structures: dict[str, np.ndarray]
    atoms: dict[str, np.ndarray]


def check_file(path: str | os.PathLike[str]) -> Check:
    """Read all of a data set file, and see that it is what was written and fits together.

    Every chunk of every column is read, and with it its checksum; the attributes have another.
    Columns must be there and as long as they should be, pointer and index possible, floating-point
    numbers finite, atomic numbers those of elements.

    Args:
        path: of the file, which may be cut off, or being written.

    Raises:
        JentmaxError: there is none, or so little of it is left that no structure can be told from
            another.
    """
    return _examine(Path(path), keep_atoms=False).check


def whole_structures(path: str | os.PathLike[str]) -> tuple[list[Atoms], int]:
    """The structures of a damaged data set file that are as they were written.

    Args:
        path: of the file, which may be cut off, or being written.

    Returns:
        The structures as `Dataset` gives them, in the order of their index, and how many are left
        out because something of theirs cannot be read or cannot be right.

    Raises:
        JentmaxError: as for `check_file`.
    """
    found = _examine(Path(path), keep_atoms=True)
    structures = []
    for row in found.rows:
        own = slice(found.pointer[row], found.pointer[row + 1])
        structures.append(
            as_atoms(
                {name: values[row] for name, values in found.structures.items()},
                {name: values[own] for name, values in found.atoms.items()},
            )
        )
    return structures, found.check.n_structures - len(structures)


def ranges(numbers: np.ndarray) -> str:
    """Ascending numbers in few words, such as "0-63, 70, 128-199"."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    told = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:_MOST_RANGES]]
    left = sum(len(run) for run in runs[_MOST_RANGES:])
    return ", ".join(told) + (f" and {left} more" if left else "")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[h5py.File, list[str]]]:
    """The open file, and that it is cut off, in words, if it is.

    HDF5 refuses a file that is shorter than it says. A copy as long as it says is opened instead:
    the zeros at its end fit no checksum of what was there.
    """
    try:
        size, expected = path.stat().st_size, expected_size(path)
    except OSError:
        size = expected = 0  # to open it will say why
    if size >= expected:
        with open_file(path) as file:
            yield file, []
        return
    with contextlib.ExitStack() as stack:
        try:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory()), path.name)
            shutil.copyfile(path, copy)
            os.truncate(copy, expected)
        except OSError as error:
            raise JentmaxError(
                f"{path} is cut off, and there is no room for a copy to be looked at: "
                f"{reason(error)}; let TMPDIR name a folder with room"
            ) from error
        try:
            file = stack.enter_context(open_file(copy, attempts=1))
        except JentmaxError as error:
            raise JentmaxError(str(error).replace(str(copy), str(path))) from error
        yield file, [f"it is cut off: it has {size} of {expected} bytes"]


def _examine(path: Path, keep_atoms: bool) -> _Found:
    """Read everything that can be read, and see what of it can be right."""
    with _opened(path) as (file, damage):
        _refuse_foreign(path, file)
        with reading(path, "structures/pointer"):
            check_sizes(file, ["structures/pointer"])
            n = len(column_of(file, "structures/pointer")) - 1
        if n < 0:
            raise damaged(path, "structures/pointer is empty")
        kind, status = _header(file, damage)
        structure_columns, columns_of_atoms = _expected(path, file, kind, damage)

        # First, as in `Dataset`: what it counts is whole in the other columns.
        pointer, known = _read(path, file, "structures/pointer", POINTER, n + 1, damage)
        known = known[:-1] & known[1:]
        end = min(_length(file, f"atoms/{name}") for name in columns_of_atoms)
        whole = known & (pointer[:-1] >= 0) & (np.diff(pointer) > 0) & (pointer[1:] <= end)
        _note(damage, "structures/pointer", known & ~whole, "fit no atoms")
        structures, atoms = {}, {}
        for name, column in structure_columns.items():
            name_there = f"structures/{name}"
            structures[name], good = _read(path, file, name_there, column, n, damage)
            whole &= good
        index = structures["index"]
        twice = whole & np.isin(index, _repeated(index[whole]))
        _note(damage, "structures/index", twice, "hold the number of another structure")
        whole &= ~twice

        n_atoms = int(pointer[1:][whole].max(initial=0))
        starts, ends = np.where(whole, pointer[:-1], 0), np.where(whole, pointer[1:], 0)
        for name, column in columns_of_atoms.items():
            values, good = _read(path, file, f"atoms/{name}", column, n_atoms, damage)
            n_bad = np.concatenate([[0], np.cumsum(~good)])
            whole &= n_bad[starts] == n_bad[ends]
            if keep_atoms:
                atoms[name] = values
    rows = np.flatnonzero(whole)
    rows = rows[np.argsort(index[rows], kind="stable")]
    n_columns = len(structure_columns) + len(columns_of_atoms)
    check = Check(path, status, n, n_columns, tuple(damage), index[rows])
    return _Found(check, rows, pointer, structures, atoms)


def _refuse_foreign(path: Path, file: h5py.File) -> None:
    """Refuse, as `Dataset` does, a file that is something else rather than damaged."""
    try:
        check_heaps(file)  # or HDF5 may read for ever
        foreign = "structures" not in file or file.attrs["schema"] != SCHEMA
    except JentmaxError:
        raise
    except DAMAGE:
        return
    if foreign:
        with reading(path):
            check_format(path, file)


def _header(file: h5py.File, damage: list[str]) -> tuple[str, str]:
    """Kind and status, "unknown" if they cannot be read."""
    with contextlib.suppress(*DAMAGE):
        kind, status = text(file.attrs["kind"]), text(file.attrs["status"])
        if (
            attributes_checksum(file) == file.attrs["checksum"]
            and status in ("running", "complete")
            and min(int(text(file.attrs[name])) for name in ("quarantined", "rejected")) >= 0
        ):
            return kind, status
    damage.append("the attributes of its root cannot be read, or do not fit their checksum")
    return "unknown", "unknown"


def _expected(
    path: Path, file: h5py.File, kind: str, damage: list[str]
) -> tuple[dict[str, Column], dict[str, Column]]:
    """The columns that the file has or should have, of structures and of atoms."""
    n_features = 0
    with contextlib.suppress(*DAMAGE):
        n_features = column_of(file, "atoms/descriptors").shape[-1]
    factors = Column("float64", (), "1")
    for name in ("scale", "shift"):
        _read(path, file, f"scaling/{name}", factors, n_features, damage)
    structures = {
        name: column
        for name, column in STRUCTURE_COLUMNS.items()
        if name in required_columns(kind) or f"structures/{name}" in file
    }
    atoms = atom_columns(n_features)
    names = [*(f"structures/{name}" for name in structures), *(f"atoms/{name}" for name in atoms)]
    check_sizes(file, [name for name in names if _length(file, name)])
    return structures, atoms


def _length(file: h5py.File, name: str) -> int:
    """Of a column; 0 if it cannot be told."""
    with contextlib.suppress(*DAMAGE):
        return len(column_of(file, name))
    return 0


def _read(
    path: Path, file: h5py.File, name: str, column: Column, length: int, damage: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of a column, zero where they cannot be read, and which of them are good."""
    values = np.zeros((length, *column.shape), column.dtype)
    readable = np.zeros(length, bool)
    try:
        dataset = column_of(file, name)
        check_column(path, name, dataset, column)
        check_chunks(file, dataset)
        at_once = dataset.chunks[0] if dataset.chunks else max(length, 1)
    except DAMAGE as error:
        damage.append(f"{name}: cannot be read ({reason(error)})")
        return values, readable
    for start in range(0, min(length, len(dataset)), at_once):
        rows = slice(start, min(start + at_once, length, len(dataset)))
        with contextlib.suppress(*DAMAGE):
            values[rows] = dataset[rows]
            readable[rows] = True
    _note(damage, name, ~readable, "cannot be read")
    possible = _possible(name, values)
    _note(damage, name, readable & ~possible, "hold what cannot be")
    return values, readable & possible


def _possible(name: str, values: np.ndarray) -> np.ndarray:
    """Which rows of a column hold what may stand there."""
    if values.dtype.kind == "f":
        return np.asarray(np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    if name == "atoms/numbers":
        return (values >= 1) & (values <= _HEAVIEST)
    if name == "structures/index":
        return values >= 0
    return np.ones(len(values), bool)


def _repeated(numbers: np.ndarray) -> np.ndarray:
    """Numbers that are there more than once."""
    unique, counts = np.unique(numbers, return_counts=True)
    return unique[counts > 1]


def _note(damage: list[str], name: str, rows: np.ndarray, what: str) -> None:
    """Write down what is wrong with some rows of a column, if there are any."""
    if rows.any():
        damage.append(f"{name}: rows {ranges(np.flatnonzero(rows))} {what}")
