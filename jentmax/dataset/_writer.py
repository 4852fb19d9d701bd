"""Writing a data set file so that it can be read at any moment, also after a kill."""

from __future__ import annotations

import datetime
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import ArrayLike

from jentmax._output import refuse_existing, writing
from jentmax.dataset._rows import Rows
from jentmax.dataset._schema import (
    FORMAT,
    POINTER,
    SCHEMA,
    STRUCTURE_COLUMNS,
    Column,
    Kind,
    Status,
    atom_columns,
    column_of,
    required_columns,
)
from jentmax.dataset._space import BOOKKEEPING, probe, release, reserve
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from jentmax.dataset._reader import Dataset

# HDF5 1.10's layout, the first in which one process may append while others read, and in which
# nothing that a reader needs is ever overwritten: a kill in the middle of an append loses that
# append alone.
_LAYOUT = ("v110", "v110")

# A chunk that is not yet full is written anew by each append and its old place is lost, so
# chunks are about as long as one append.
_CHUNK_STRUCTURES = (64, 1024)
_CHUNK_ATOMS = (512, 65536)

_STATUS = "S8"


class DatasetWriter:
    """Appends structures to a new data set file; made by :meth:`create`.

    The file appears under its path with the first structures in it: until then an existing file
    of that name stays as it was. From then on every append is on disk when it returns, and the
    file can be read, also by other processes, also if this one is killed. Left by an exception,
    the context manager keeps what was appended and leaves the status "running".

    Attributes:
        path: of the file.
        quarantined: number of attempts discarded so far because they went non-finite.
        rejected: number of those discarded because atoms came too close. Set both before an append
            or the close, which store them.
    """

    path: Path
    quarantined: int
    rejected: int

    def __init__(
        self, path: Path, partial: Path, file: h5py.File, kind: Kind, overwrite: bool
    ) -> None:
        """Take over a file that has its header; use :meth:`create`."""
        self.path = path
        self.quarantined = 0
        self.rejected = 0
        self._partial: Path | None = partial  # None once the file stands under its path
        self._file: h5py.File | None = file
        self._kind: Kind = kind
        self._overwrite = overwrite
        self._columns: set[str] = set()
        self._atom_columns = atom_columns(len(column_of(file, "scaling/scale")))
        self._n_structures = 0
        self._n_atoms = 0

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        settings_toml: str,
        seed: int,
        device: str,
        scale: ArrayLike,
        shift: ArrayLike,
        versions: Mapping[str, str],
        overwrite: bool = False,
        kind: Kind = "generated",
    ) -> DatasetWriter:
        """Begin a data set file.

        Args:
            path: of the file; its folder must exist.
            settings_toml: the resolved settings as TOML.
            seed: of the random numbers.
            device: that computed the structures, in words.
            scale: standard deviation of each descriptor in the preliminary run, in the
                descriptors' unit, shape (n_features,); S is that of descriptors / scale.
            shift: mean of each descriptor there, shape (n_features,).
            versions: of "jentmax", "jax", "jaxlib", "numpy", "python".
            overwrite: replace an existing file, once there are structures to put in its place.
            kind: "generated", with every column, or "described", with those that are known.

        Raises:
            JentmaxError: the path exists, or cannot be written, or scale and shift do not fit.
        """
        scale, shift = np.asarray(scale, float), np.asarray(shift, float)
        if scale.ndim != 1 or scale.shape != shift.shape:
            raise JentmaxError(
                f"scale has shape {scale.shape} and shift {shift.shape}; both must be (n_features,)"
            )
        target = Path(os.path.realpath(path))
        refuse_existing(target, overwrite)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        with writing(target):
            probe(partial, BOOKKEEPING + len(settings_toml.encode()) + 2 * scale.nbytes)
            try:
                file = h5py.File(partial, "w", libver=_LAYOUT)
                file.attrs["format"] = _text(FORMAT)  # first, so that it stands near the start
                file.attrs["schema"] = SCHEMA
                file.attrs["kind"] = _text(kind)
                now = datetime.datetime.now(datetime.UTC)
                file.attrs["created"] = _text(now.isoformat(timespec="seconds"))
                file.attrs["seed"] = seed
                file.attrs["versions"] = _text(json.dumps(dict(versions)))
                file.attrs["device"] = _text(device)
                file.attrs["settings"] = _text(settings_toml)
                # These three change while others may read: fixed lengths alone can.
                file.attrs["status"] = np.array("running", _STATUS)
                file.attrs["quarantined"] = np.int64(0)
                file.attrs["rejected"] = np.int64(0)
                for name, values in (("scale", scale), ("shift", shift)):
                    file.create_dataset(f"scaling/{name}", data=values).attrs["units"] = "1"
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        return cls(target, partial, file, kind, overwrite)

    def copy(self, dataset: Dataset, n_rows: int) -> None:
        """Begin with the structures of another data set, which may be the one to be replaced.

        The file appears under its path when all of them are in it: whatever happens before, the
        other one is left as it was.

        Args:
            dataset: to be copied, with its counts of attempts discarded.
            n_rows: how many structures later appends are about to have.

        Raises:
            JentmaxError: as `append`.
        """
        self.quarantined, self.rejected = dataset.quarantined, dataset.rejected
        try:
            for first in range(0, len(dataset), n_rows):
                self._append(dataset.rows(slice(first, first + n_rows)))
            self._show()
        except BaseException:
            self.close("running")
            raise

    def __enter__(self) -> DatasetWriter:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, as complete unless an exception is on its way."""
        self.close("complete" if error is None else "running")

    def append(self, rows: Rows) -> None:
        """Append structures; they are on disk when this returns.

        Args:
            rows: of any number of structures, also none, always with the same columns.

        Raises:
            JentmaxError: arrays of shapes that do not fit, or the disk is full; the structures
                appended before stay readable.
        """
        self._append(rows)
        self._show()

    def _append(self, rows: Rows) -> None:
        """Append structures, to a file that may not stand under its path yet."""
        file = self._file
        if file is None:
            raise JentmaxError(f"{self.path}: the file is closed; append before closing it")
        structures, atoms, counts = self._checked(rows)
        if len(counts) == 0:
            return
        ends = self._n_atoms + np.cumsum(counts)
        with writing(self.path):
            if not self._columns:
                self._create_columns(file, structures, counts)
            datasets = [
                (column_of(file, f"{group}/{name}"), start, values)
                for group, arrays, start in (
                    ("structures", structures, self._n_structures),
                    ("atoms", atoms, self._n_atoms),
                )
                for name, values in arrays.items()
            ]
            reserve(file, sum(values.nbytes + _chunk_bytes(d) for d, _, values in datasets))
            for dataset, start, values in datasets:
                _write_at(dataset, start, values)
            self._store_discarded(file)
            file.flush()
            # Readers count the pointer's entries: written last, it vouches for all the rest.
            pointer = column_of(file, "structures/pointer")
            reserve(file, ends.nbytes + _chunk_bytes(pointer))
            _write_at(pointer, self._n_structures + 1, ends)
            file.flush()
        self._n_structures += len(counts)
        self._n_atoms = int(ends[-1])

    def _show(self) -> None:
        """Put the file under its path, if it is not there yet and has structures."""
        if self._file is not None and self._partial is not None and self._n_structures:
            with writing(self.path):
                self._publish(self._file, self._partial)

    def close(self, status: Status = "complete") -> None:
        """Close the file; closing twice does nothing.

        Args:
            status: "complete", or "running" if there should have been more structures. Without
                any structure no file is left, and an existing one stays.

        Raises:
            JentmaxError: the disk is full or gone.
        """
        file, self._file = self._file, None
        if file is None:
            return
        with writing(self.path):
            if self._partial is not None:
                file.close()
                self._partial.unlink(missing_ok=True)
                return
            self._store_discarded(file)
            file.attrs.modify("status", np.array(status, _STATUS))
            release(file)
            file.close()

    def _checked(
        self, rows: Rows
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
        """Arrays of the file's types, per structure and per atom, and the atoms' counts."""
        counts = np.asarray(rows.counts, "int64")
        if counts.ndim != 1 or (counts < 1).any():
            raise JentmaxError(f"counts is {counts}; it must hold one positive number a structure")
        structures = {
            name: _shaped(name, getattr(rows, name), column, len(counts))
            for name, column in STRUCTURE_COLUMNS.items()
            if getattr(rows, name) is not None
        }
        atoms = {
            name: _shaped(name, getattr(rows, name), column, int(counts.sum()))
            for name, column in self._atom_columns.items()
        }
        expected = self._columns or set(required_columns(self._kind)) | set(structures)
        if wrong := expected ^ set(structures):
            raise JentmaxError(
                f"columns {', '.join(sorted(wrong))}: present in some rows and absent in others, "
                f"or absent where kind is {self._kind!r}; give the same columns every time"
            )
        return structures, atoms, counts

    def _store_discarded(self, file: h5py.File) -> None:
        file.attrs.modify("quarantined", np.int64(self.quarantined))
        file.attrs.modify("rejected", np.int64(self.rejected))

    def _create_columns(
        self, file: h5py.File, structures: Mapping[str, np.ndarray], counts: np.ndarray
    ) -> None:
        """Lay out empty columns in chunks about as long as the first append."""
        reserve(file, 0)
        per_structure = int(np.clip(len(counts), *_CHUNK_STRUCTURES))
        per_atom = int(np.clip(counts.sum(), *_CHUNK_ATOMS))
        for name in structures:
            _create(file, f"structures/{name}", STRUCTURE_COLUMNS[name], per_structure)
        for name, column in self._atom_columns.items():
            _create(file, f"atoms/{name}", column, per_atom)
        _write_at(_create(file, "structures/pointer", POINTER, per_structure), 0, np.zeros(1, int))
        self._columns = set(structures)

    def _publish(self, file: h5py.File, partial: Path) -> None:
        """Put the file under its path and go on appending in a way that readers can follow."""
        self._file = None
        release(file)
        file.close()
        try:
            refuse_existing(self.path, self._overwrite)
            os.replace(partial, self.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._partial = None
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
        # h5py.File could open first and switch later: a kill between the two would leave a
        # file that nobody can open.
        flags = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
        self._file = h5py.File(h5py.h5f.open(os.fsencode(self.path), flags, fapl=access))


def _text(value: str) -> np.ndarray:
    """Text of fixed length: that of any length stands where HDF5 keeps no checksum of it."""
    encoded = value.encode()
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, len(encoded))))


def _create(file: h5py.File, name: str, column: Column, chunk: int) -> h5py.Dataset:
    dataset = file.create_dataset(
        name,
        shape=(0, *column.shape),
        maxshape=(None, *column.shape),
        dtype=column.dtype,
        chunks=(chunk, *column.shape),
        compression="gzip",
        shuffle=True,
    )
    dataset.attrs["units"] = column.units
    return dataset


def _write_at(dataset: h5py.Dataset, start: int, values: np.ndarray) -> None:
    dataset.resize(start + len(values), axis=0)
    dataset[start:] = values


def _chunk_bytes(dataset: h5py.Dataset) -> int:
    return math.prod(dataset.chunks or ()) * dataset.dtype.itemsize


def _shaped(name: str, values: ArrayLike, column: Column, length: int) -> np.ndarray:
    array = np.asarray(values, column.dtype)
    if array.shape != (length, *column.shape):
        raise JentmaxError(f"{name} has shape {array.shape}, must be {(length, *column.shape)}")
    return array
