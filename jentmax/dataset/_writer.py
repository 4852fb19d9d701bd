"""Writing a data set file: once, under a temporary name, and then put in place."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jentmax.dataset._file import File
from jentmax.dataset._hdf5 import checksum
from jentmax.dataset._header import plain_header, plain_json
from jentmax.dataset._parts import MissingPart, Parts
from jentmax.dataset._running import Running
from jentmax.dataset._schema import (
    ATOM_COLUMNS,
    CHUNK_TABLE,
    COMPUTED_COLUMNS,
    FORMAT,
    POINTER,
    SCHEMA,
    SLAB,
    STORED,
    ChunkId,
    Column,
    Kind,
    columns,
    impossible,
)
from jentmax.dataset._structures import Structures
from jentmax.dataset.output import (
    partial_path,
    put_in_place,
    refuse_existing,
    remove_partial,
    replace,
    through_links,
    writing,
)
from jentmax.errors import JentmaxError

# HDF5 1.10's layout, which has checksums of all that it writes about the columns.
_LAYOUT = ("v110", "v110")

_SLAB_ATOMS = (512, 65536)

_BLOCK = 8 * SLAB
"""Structures that are written at once."""

_CACHE = 32 << 20
"""Bytes of a column's chunks that HDF5 keeps, so that it writes each of them once."""


def write_dataset(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    structures: Structures,
    *,
    overwrite: bool = False,
) -> None:
    """Write given structures, with their descriptors, as a data set file.

    The path appears when everything is written; an existing file stays until then.

    Args:
        path: of the file; its folder must exist.
        header: the entries recipe, seed, versions, device, scale, shift and, if known, created.
        structures: with the atom column descriptors. Columns that the schema lacks are left out.
        overwrite: whether an existing file may be replaced.

    Raises:
        JentmaxError: the path exists or cannot be written, or something is missing or does not fit.
    """
    target = through_links(path)
    refuse_existing(target, overwrite)
    plain = plain_header(header, generated=False)
    with _partial_file(target) as (partial, file):
        _write(file, "described", plain, iter([structures]), len(structures), dict)
        file.close()
        if overwrite:
            replace(partial, target)
        elif not put_in_place(partial, target):
            raise JentmaxError(
                f"{target} exists now; give another path, or allow it to be replaced"
            )


def write_set(parts: Parts, structures: int) -> None:
    """Write the finished file of a set under way, unless it is there; the first process wins.

    Args:
        parts: the set under way, without a gap before its last chunk that the set needs. Structures
            of later chunks are kept too, so that a larger set can go on from them.
        structures: number of structures that the set has.

    Raises:
        MissingPart, DamagedPart: make the part again.
        JentmaxError: there are fewer structures, another set has this name, or nothing can be
            written.
    """
    target, source = parts.output, Running(parts)
    firsts = range(0, source.n, _BLOCK)
    pieces = (source.structures(first, min(first + _BLOCK, source.n)) for first in firsts)
    with _partial_file(target) as (partial, file):
        _write(file, "generated", source.header, pieces, structures, source.statuses)
        file.close()
        try:
            if not put_in_place(partial, target):
                with contextlib.closing(File(target)) as there:
                    if there.header != source.header:
                        raise JentmaxError(
                            f"{target} is another set now; remove it, and give the same command "
                            "again"
                        )
                    if there.n >= structures:
                        return
                replace(partial, target)
        except FileNotFoundError:  # another process was first, and has removed temporary names
            raise MissingPart(partial) from None
        remove_partial(target)


def reopen_set(parts: Parts) -> None:
    """Put the chunks of a finished file into its folder of parts: a larger set goes on from them.

    Raises:
        MissingPart: another process has finished the larger set.
        JentmaxError: the file is damaged, the folder is another set's, or it cannot be written.
    """
    with contextlib.closing(File(parts.output)) as file:
        if parts.begin(file.header) != file.header:
            raise JentmaxError(f"{parts.folder} is not of {parts.output}; remove the folder")
        there = parts.chunks()
        for chunk, rows in file.chunks():
            if chunk not in there:
                parts.put(chunk, rows)


class _File(io.BufferedRandom):
    """A file that seems to take everything that HDF5 writes.

    HDF5 does not recover from a full disk: it cannot close the file any more, and the process
    crashes at its end. So this keeps the first error, and `close` raises it.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        self._try(super().write, content)
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        return self._try(super().truncate, size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._try(super().seek, place, whence)  # may write the buffer

    def flush(self) -> None:
        self._try(super().flush)

    def close(self) -> None:
        if not self.closed:
            self.flush()
            self._try(os.fsync, self.fileno())
            super().close()
        if self.error is not None:
            raise self.error

    def _try(self, action: Callable[..., Any], *values: Any) -> Any:
        if self.error is None:
            try:
                return action(*values)
            except OSError as error:
                self.error = error
        return 0


@contextlib.contextmanager
def _partial_file(target: Path) -> Iterator[tuple[Path, _File]]:
    """A new file beside a target under a temporary name, which goes at the end."""
    partial = partial_path(target)
    with writing(target):
        try:
            with _File(io.FileIO(partial, "x+")) as file:
                yield partial, file
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


def _write(
    stream: _File,
    kind: Kind,
    header: Mapping[str, Any],
    pieces: Iterator[Structures],
    n_structures: int,
    statuses: Callable[[], Mapping[ChunkId, np.ndarray]],
) -> None:
    """Write all that a file holds; the statuses are those of the rows of all chunks."""
    with h5py.File(stream, "w", libver=_LAYOUT, rdcc_nbytes=_CACHE, rdcc_nslots=10_007) as file:
        _put(file, "format", FORMAT)
        file.flush()  # near the start of the file, where ASE looks for it
        n = _write_columns(file, kind, header, pieces)
        if not 1 <= n_structures <= n:
            raise JentmaxError(f"{n_structures} structures are asked for, there are {n}")
        if kind == "generated":
            ids, of_rows = zip(*sorted(statuses().items()), strict=True)
            table = dict(zip(ChunkId._fields, np.array(ids).T, strict=True))
            table["status"] = np.concatenate(of_rows)
            for name, column in CHUNK_TABLE.items():
                _append(file, f"chunks/{name}", column, table[name], 4096)
        attributes = {
            "format": FORMAT,
            "schema": str(SCHEMA),
            "kind": kind,
            "structures": str(n_structures),
            "header": plain_json(header),
        }
        for name in ("kind", "header"):
            _put(file, name, attributes[name])
        for name in ("schema", "structures"):
            file.attrs[name] = np.int64(attributes[name])
        file.attrs["checksum"] = np.uint32(checksum(attributes))


def _write_columns(
    file: h5py.File, kind: Kind, header: Mapping[str, Any], pieces: Iterator[Structures]
) -> int:
    """Write the columns of structures and atoms, a piece at a time; return how many structures."""
    n = n_atoms = per_atom = 0
    schema: dict[str, Column] = {}
    for piece in pieces:
        piece.check()
        values = {name: getattr(piece, name) for name in ("cells", "pbc", "positions", "numbers")}
        values |= {**piece.columns, **piece.atom_columns}
        if not schema:
            double = getattr(values.get("descriptors"), "dtype", None) == np.float64
            precision = header.get("precision", "float64" if double else "float32")
            schema = columns(len(header["scale"]), precision)
            if kind == "described":
                schema = {
                    k: c for k, c in schema.items() if k in values or k not in COMPUTED_COLUMNS
                }
            per_atom = int(np.clip(SLAB * len(piece.positions) // len(piece), *_SLAB_ATOMS))
            _append(file, STORED["pointer"], POINTER, np.zeros(1, int), SLAB)
        for name, column in schema.items():
            if name not in values or not column.fits(values[name].dtype, values[name].shape):
                raise JentmaxError(
                    f"{name} is missing or does not fit: it must be {column.dtype} with rows of "
                    f"shape {column.shape}"
                )
            if why := impossible(name, values[name]):
                raise JentmaxError(f"{name} cannot be written: {why}")
            slab = per_atom if name in ATOM_COLUMNS else SLAB
            _append(file, STORED[name], column, values[name], slab)
        _append(file, STORED["pointer"], POINTER, n_atoms + piece.pointer[1:], SLAB)
        n, n_atoms = n + len(piece), n_atoms + len(piece.positions)
    return n


def _append(file: h5py.File, name: str, column: Column, values: np.ndarray, slab: int) -> None:
    """Write rows of a dataset after those that it has."""
    if name in file:
        dataset: Any = file[name]
        start = len(dataset)
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values
        return
    dataset = file.create_dataset(
        name,
        data=values,
        maxshape=(None, *column.shape),
        dtype=column.dtype,
        chunks=(slab, *column.shape),
        compression="gzip",
        shuffle=True,
        fletcher32=True,
    )
    _put(dataset, "units", column.units)


def _put(thing: h5py.File | h5py.Dataset, name: str, value: str) -> None:
    """Store a text as an attribute of fixed length: HDF5 has no checksums of others."""
    encoded = value.encode()
    dtype = h5py.string_dtype("utf-8", max(len(encoded), 1))
    thing.attrs.create(name, encoded, dtype=dtype)
