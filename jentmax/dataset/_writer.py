"""Write a data set file under a temporary name, then rename it."""

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

# The layout of HDF5 1.10 has checksums for all metadata of the columns.
_LAYOUT = ("v110", "v110")

_SLAB_ATOMS = (512, 65536)

_BLOCK = 8 * SLAB
"""Number of structures per write."""

_CACHE = 32 << 20
"""Size of HDF5's chunk cache in bytes; with this size, it writes each chunk once."""


def write_dataset(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    structures: Structures,
    *,
    overwrite: bool = False,
) -> None:
    """Write given structures, with their descriptors, as a data set file.

    The file appears only when it is complete; an existing file stays until then.

    Args:
        path: path of the file; its folder must exist.
        header: the entries recipe, seed, versions, device, scale, shift and, if known, created.
        structures: structures with the atom column descriptors; columns outside the schema are
            left out.
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
    """Write the finished file of a set, unless it exists; the first process wins.

    Args:
        parts: the unfinished set, without a gap before the last chunk that it needs. The file also
            contains the structures of later chunks, so that a larger set can continue from them.
        structures: number of structures of the set.

    Raises:
        MissingPart, DamagedPart: a part must be recomputed.
        JentmaxError: the parts have too few structures, the path belongs to another set, or cannot
            be written.
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
        except FileNotFoundError:  # another process was first, and removed temporary files
            raise MissingPart(partial) from None
        remove_partial(target)


def reopen_set(parts: Parts) -> None:
    """Write the chunks of a finished file into its folder of parts, to continue with a larger set.

    Raises:
        MissingPart: another process finished the larger set.
        JentmaxError: the file is damaged, or the folder belongs to another set or cannot be
            written.
    """
    with contextlib.closing(File(parts.output)) as file:
        if parts.begin(file.header) != file.header:
            raise JentmaxError(f"{parts.folder} is not of {parts.output}; remove the folder")
        there = parts.chunks()
        for chunk, rows in file.chunks():
            if chunk not in there:
                parts.put(chunk, rows)


class _File(io.BufferedRandom):
    """A file that hides write errors from HDF5.

    After an error such as a full disk, HDF5 cannot close the file, and the process crashes on exit.
    So this class stores the first error, and `close` raises it.
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
    """A new file next to a target, with a temporary name that is removed at the end."""
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
    """Write the contents of a file; ``statuses`` returns the status of every row by chunk."""
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
    """Write the columns of structures and atoms piece by piece; return the number of structures."""
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
    """Append rows to a dataset."""
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
    """Store a text as an attribute of fixed length: HDF5 has no checksums for other texts."""
    encoded = value.encode()
    dtype = h5py.string_dtype("utf-8", max(len(encoded), 1))
    thing.attrs.create(name, encoded, dtype=dtype)
