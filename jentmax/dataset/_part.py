"""One file of a data set, its rows in the order in which they were written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from jentmax.dataset._opening import check_column, check_format, damaged, open_file, reading
from jentmax.dataset._schema import (
    POINTER,
    STRUCTURE_COLUMNS,
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
        try:
            with self._reading() as file:
                self._read_header(file)
                # The writer extends the pointer last and it is read first: the structures it
                # counts are whole in all other columns, whatever is appended meanwhile.
                self.pointer: np.ndarray = self._read(file, "structures/pointer")
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
            return self._read(file, f"atoms/{name}", rows or slice(self.pointer[-1]))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[h5py.File]:
        """The open file, for reading from."""
        if self._file is None:
            raise JentmaxError(f"{self.path} is closed; read from it before closing it")
        with reading(self.path):
            yield self._file

    def _read(self, file: h5py.File, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Some rows of a column."""
        with reading(self.path, name):
            return column_of(file, name)[rows]

    def _read_header(self, file: h5py.File) -> None:
        check_format(self.path, file)
        attributes = file.attrs
        self.kind = text(attributes["kind"])
        self.status = text(attributes["status"])
        self.quarantined = int(text(attributes["quarantined"]))
        self.rejected = int(text(attributes["rejected"]))
        self.settings = text(attributes["settings"])
        self.seed = int(text(attributes["seed"]))
        self.versions: dict[str, str] = json.loads(text(attributes["versions"]))
        self.device = text(attributes["device"])
        self.created = text(attributes["created"])
        self.scale: np.ndarray = self._read(file, "scaling/scale")
        self.shift: np.ndarray = self._read(file, "scaling/shift")

    def _check_columns(self, file: h5py.File) -> None:
        self.columns = tuple(name for name in STRUCTURE_COLUMNS if f"structures/{name}" in file)
        names = {*self.columns, *required_columns(self.kind)}
        needed = {f"structures/{name}": STRUCTURE_COLUMNS[name] for name in names}
        needed["structures/pointer"] = POINTER
        needed |= {f"atoms/{n}": column for n, column in atom_columns(len(self.scale)).items()}
        if missing := sorted(name for name in needed if name not in file):
            raise JentmaxError(
                f"{self.path} lacks {', '.join(missing)}, which a {self.kind} data set must have; "
                "generate it anew"
            )
        for name, column in needed.items():
            check_column(self.path, name, column_of(file, name), column)

    def _check_lengths(self, file: h5py.File) -> None:
        """Whether the columns have as many rows as the pointer says."""
        pointer = self.pointer
        lengths = [len(column_of(file, f"structures/{name}")) for name in self.columns]
        atom_lengths = [len(column_of(file, f"atoms/{name}")) for name in atom_columns(0)]
        if (
            len(self) < 0
            or pointer[0] != 0
            or (np.diff(pointer) < 1).any()
            or min(lengths) < len(self)
            or min(atom_lengths) < pointer[-1]
        ):
            raise damaged(self.path, "structures/pointer does not fit the other columns")
