"""One file of a data set, its rows in the order in which they were written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from jentmax.dataset._contents import attribute, check_chunks, check_memory, check_sizes, has
from jentmax.dataset._opening import (
    check_column,
    check_format,
    check_numbers,
    damaged,
    open_file,
    reading,
)
from jentmax.dataset._schema import (
    ATTRIBUTES,
    KINDS,
    POINTER,
    SCALING,
    STATUSES,
    STRUCTURE_COLUMNS,
    Column,
    atom_columns,
    column_of,
    required_columns,
    text,
)
from jentmax.errors import JentmaxError


class Part:
    """An open data set file; ``len(part)`` is the number of its structures.

    Attributes:
        path: of the file.
        kind: likewise all others up to the columns, as in `Dataset`.
        columns: names of the per-structure columns that the file has.
        pointer: atoms of row k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            JentmaxError: there is none, or it is no data set, truncated or damaged.
        """
        self.path = path
        self._file: h5py.File | None = open_file(path)
        self._looked_at: set[str] = set()  # columns whose chunks were
        try:
            with self._reading() as file:
                self._read_header(file)
                # The writer extends the pointer last and it is read first: the structures it
                # counts are whole in all other columns, whatever is appended meanwhile.
                self.pointer: np.ndarray = self._whole(file, "structures/pointer", POINTER)
                self._check_columns(file)
                self._check_lengths(file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.pointer) - 1

    def structure_column(self, name: str) -> np.ndarray:
        """A column with one row per structure."""
        with self._reading() as file:
            return self._read(file, f"structures/{name}", slice(len(self)))

    def atom_column(self, name: str, rows: slice | None = None) -> np.ndarray:
        """A column with one row per atom, or some rows of it."""
        with self._reading() as file:
            values = self._read(file, f"atoms/{name}", rows or slice(self.pointer[-1]))
        if name == "numbers":
            check_numbers(self.path, values)
        return values

    @contextlib.contextmanager
    def _reading(self) -> Iterator[h5py.File]:
        """The open file, for reading from."""
        if self._file is None:
            raise JentmaxError(f"{self.path} is closed; read from it before closing it")
        with reading(self.path):
            yield self._file

    def _read(self, file: h5py.File, name: str, rows: slice) -> np.ndarray:
        """Some rows of a column."""
        with reading(self.path, name):
            dataset = column_of(file, name)
            check_memory(file, dataset, rows.stop - (rows.start or 0))
            if name not in self._looked_at:
                check_chunks(file, dataset)
                self._looked_at.add(name)
            return dataset[rows]

    def _whole(self, file: h5py.File, name: str, column: Column) -> np.ndarray:
        """All of a column that is read before the others are looked at."""
        with reading(self.path, name):
            dataset = column_of(file, name)
            check_column(self.path, name, dataset, column)
            check_sizes(file, [name])
            check_chunks(file, dataset)
            return dataset[:]

    def _read_header(self, file: h5py.File) -> None:
        check_format(self.path, file)
        told = {name: text(attribute(file, name)) for name in ATTRIBUTES}
        self.kind, self.status = told["kind"], told["status"]
        for name, allowed in (("kind", KINDS), ("status", STATUSES)):
            if told[name] not in allowed:
                raise ValueError(f"attribute {name} is {told[name]!r}")
        self.quarantined, self.rejected = int(told["quarantined"]), int(told["rejected"])
        self.settings = told["settings"]
        self.seed = int(told["seed"])
        self.versions: dict[str, str] = json.loads(told["versions"])
        if not isinstance(self.versions, dict):
            raise ValueError("attribute versions is no table")
        self.device, self.created = told["device"], told["created"]
        self.scale: np.ndarray = self._whole(file, "scaling/scale", SCALING)
        self.shift: np.ndarray = self._whole(file, "scaling/shift", SCALING)
        if len(self.scale) != len(self.shift):
            raise ValueError("scaling/scale and scaling/shift differ in length")

    def _check_columns(self, file: h5py.File) -> None:
        self.columns = tuple(name for name in STRUCTURE_COLUMNS if has(file, f"structures/{name}"))
        names = {*self.columns, *required_columns(self.kind)}
        needed = {f"structures/{name}": STRUCTURE_COLUMNS[name] for name in names}
        needed["structures/pointer"] = POINTER
        needed |= {f"atoms/{n}": column for n, column in atom_columns(len(self.scale)).items()}
        if missing := sorted(name for name in needed if not has(file, name)):
            raise JentmaxError(
                f"{self.path} lacks {', '.join(missing)}, which a {self.kind} data set must have; "
                "generate it anew"
            )
        for name, column in needed.items():
            check_column(self.path, name, column_of(file, name), column)
        check_sizes(file, needed)

    def _check_lengths(self, file: h5py.File) -> None:
        """Whether the columns have as many rows as the pointer says."""
        pointer = self.pointer
        lengths = [len(column_of(file, f"structures/{name}")) for name in self.columns]
        atom_lengths = [len(column_of(file, f"atoms/{name}")) for name in atom_columns(0)]
        if (
            len(self) < 0
            or pointer[0] != 0
            or (pointer[1:] <= pointer[:-1]).any()  # their difference may wrap around
            or min(lengths) < len(self)
            or min(atom_lengths) < pointer[-1]
        ):
            raise damaged(self.path, "structures/pointer does not fit the other columns")
