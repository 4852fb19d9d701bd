"""Writing a data set file: once, under a temporary name, and then put in place."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jentmax.dataset._hdf5 import checksum
from jentmax.dataset._header import check_header, parsed_json, plain_json, with_time
from jentmax.dataset._order import in_set_order
from jentmax.dataset._schema import (
    ACCEPTED,
    CHUNK_TABLE,
    FORMAT,
    POINTER,
    SCALING,
    SCHEMA,
    ChunkId,
    Column,
    Kind,
    columns,
    impossible,
    required,
)
from jentmax.dataset._structures import Structures
from jentmax.dataset.output import (
    being_written,
    partial_path,
    put_in_place,
    refuse_existing,
    remove_partial,
    sync_folder,
    writing,
)
from jentmax.errors import JentmaxError

# HDF5 1.10's layout, which has checksums of all that it writes about the columns.
_LAYOUT = ("v110", "v110")

_SLAB = 128
"""Structures in one chunk of a column: as many are lost to a damaged bit."""

_SLAB_ATOMS = (512, 65536)

_BLOCK = 8 * _SLAB
"""Structures that are written at once."""

_CACHE = 32 << 20
"""Bytes of a column's chunks that HDF5 keeps, so that it writes each of them once."""


def write_dataset(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    structures: Structures,
    *,
    kind: Kind = "described",
    overwrite: bool = False,
) -> None:
    """Write given structures, with their descriptors, as a data set file.

    The path appears when everything is written; an existing file stays until then.

    Args:
        path: of the file; its folder must exist.
        header: the entries recipe, seed, versions, device, scale, shift and, if known, created.
        structures: with the atom column descriptors. Columns that the schema lacks are left out.
        kind: what the file says that it is.
        overwrite: whether an existing file may be replaced.

    Raises:
        JentmaxError: the path exists or cannot be written, or something is missing or does not fit.
    """
    target = Path(os.path.realpath(path))
    refuse_existing(target, overwrite)
    in_place = _replace if overwrite else put_in_place
    if not _write(target, header, kind, iter([structures]), len(structures), {}, in_place):
        raise JentmaxError(f"{target} exists now; give another path, or allow it to be replaced")


def write_set(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    chunks: Iterable[ChunkId],
    get: Callable[[ChunkId], Structures],
    n_structures: int,
    *,
    overwrite: bool = False,
) -> bool:
    """Write the finished file of a generated set from its chunks.

    Args:
        path: of the file.
        header: of the set.
        chunks: all that there are, without a gap before the last one that the set needs. The
            structures of the others are kept too, so that a larger set can go on from them.
        get: reads a chunk, as `Parts.get` and `Dataset.chunk` do.
        n_structures: that the set has.
        overwrite: whether to replace a file, unless it is of the same set and has as many
            structures.

    Returns:
        Whether the file in place is this one: the first of several processes wins.

    Raises:
        JentmaxError: the chunks do not have so many structures, or nothing can be written.
        FileNotFoundError, DamagedPart: as ``get`` raises them.
    """
    target = Path(os.path.realpath(path))
    if not overwrite and target.exists():
        return False
    refuse_existing(target, overwrite)
    chunks, statuses = sorted(chunks), {}

    def accepted(stream: int) -> Iterator[Structures]:
        for chunk in chunks:
            if chunk.stream == stream:
                rows = get(chunk)
                statuses[chunk] = rows.columns["status"]
                yield rows[statuses[chunk] == ACCEPTED]

    def replace(partial: Path, target: Path) -> bool:
        return not _has_as_many(target, header, n_structures) and _replace(partial, target)

    shares = [stream["share"] for stream in header["streams"]]
    pieces = in_set_order(shares, [accepted(stream) for stream in range(len(shares))])
    in_place = replace if overwrite else put_in_place
    return _write(target, header, "generated", pieces, n_structures, statuses, in_place)


def _has_as_many(path: Path, header: Mapping[str, Any], n_structures: int) -> bool:
    """Whether there is a file of the same set that has as many structures."""
    from jentmax.dataset._file import File

    try:
        there = File(path)
        there.close()
        return there.n >= n_structures and plain_json(there.header) == plain_json(_own(header))
    except JentmaxError:
        return False


def _replace(partial: Path, target: Path) -> bool:
    os.replace(partial, target)
    sync_folder(target.parent)
    return True


def _own(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header without the entries that set.json has of its own; with a time."""
    return with_time({k: v for k, v in header.items() if k not in ("format", "schema")})


def _write(
    target: Path,
    header: Mapping[str, Any],
    kind: Kind,
    pieces: Iterator[Structures],
    n_structures: int,
    statuses: Mapping[ChunkId, np.ndarray],
    in_place: Callable[[Path, Path], bool],
) -> bool:
    """Write a file and put it in place; whether it is the one there now."""
    plain = check_header(parsed_json(plain_json(_own(header))), generated=kind == "generated")
    partial = partial_path(target)
    try:
        with writing(target, FileNotFoundError):
            with _File(io.FileIO(partial, "x+")) as file:
                try:
                    with h5py.File(
                        file, "w", libver=_LAYOUT, rdcc_nbytes=_CACHE, rdcc_nslots=10_007
                    ) as hdf5:
                        _write_all(hdf5, kind, plain, pieces, n_structures, statuses)
                    file.flush()
                finally:
                    if file.error is not None:
                        raise file.error
                os.fsync(file.fileno())
            with being_written:
                try:
                    first = in_place(partial, target)
                except FileNotFoundError:
                    # Another process was first, and has removed the temporary names that it found.
                    if not target.exists():
                        raise
                    first = False
                if first:
                    remove_partial(target)
        return first
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


class _File(io.BufferedRandom):
    """A file that seems to take everything that HDF5 writes.

    HDF5 does not recover from a full disk: it cannot close the file any more, and the process
    crashes at its end. So the first error is kept, and raised when HDF5 is through.
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

    def _try(self, action: Callable[..., Any], *values: Any) -> Any:
        if self.error is None:
            try:
                return action(*values)
            except OSError as error:
                self.error = error
        return 0


def _write_all(
    file: h5py.File,
    kind: Kind,
    header: Mapping[str, Any],
    pieces: Iterator[Structures],
    n_structures: int,
    statuses: Mapping[ChunkId, np.ndarray],
) -> None:
    _put(file, "format", FORMAT)
    file.flush()  # so that it stands near the start, where ASE looks for it
    n = _write_columns(file, kind, header, pieces)
    if not 1 <= n_structures <= n:
        raise JentmaxError(f"{n_structures} structures are asked for, there are {n}")
    if kind == "generated":
        ids = sorted(statuses)
        rows = [statuses[chunk] for chunk in ids]
        table = dict(zip(ChunkId._fields, np.array(ids).T, strict=True))
        table |= {"pointer": np.cumsum([0, *map(len, rows)]), "status": np.concatenate(rows)}
        for name, column in CHUNK_TABLE.items():
            _append(file, f"chunks/{name}", column, table[name], 4096)
    for name in ("scale", "shift"):
        values = np.array(header[name], float)
        _append(file, f"scaling/{name}", SCALING, values, max(len(values), 1))
    _write_attributes(file, kind, header, n_structures)


def _write_columns(
    file: h5py.File, kind: Kind, header: Mapping[str, Any], pieces: Iterator[Structures]
) -> int:
    """Write the columns of structures and atoms, a block at a time; how many structures."""
    n = n_atoms = per_atom = 0
    schema: dict[str, Column] = {}
    for block in _blocks(pieces):
        block.check()
        values = {"structures/cell": block.cells, "structures/periodic": block.pbc}
        values |= {f"structures/{name}": column for name, column in block.columns.items()}
        values |= {"atoms/positions": block.positions, "atoms/numbers": block.numbers}
        values |= {f"atoms/{name}": column for name, column in block.atom_columns.items()}
        if not schema:
            double = getattr(values.get("atoms/descriptors"), "dtype", None) == np.float64
            precision = header.get("precision", "float64" if double else "float32")
            schema = columns(len(header["scale"]), precision)
            schema = {k: c for k, c in schema.items() if k in values or required(k, kind)}
            per_atom = int(np.clip(_SLAB * len(block.positions) // len(block), *_SLAB_ATOMS))
            _append(file, "structures/pointer", POINTER, np.zeros(1, int), _SLAB)
        for name, column in schema.items():
            if name not in values or not column.fits(values[name].dtype, values[name].shape):
                raise JentmaxError(
                    f"{name} is missing or does not fit: it must be {column.dtype} with rows of "
                    f"shape {column.shape}"
                )
            if why := impossible(name, values[name]):
                raise JentmaxError(f"{name} cannot be written: {why}")
            _append(file, name, column, values[name], per_atom if "atoms/" in name else _SLAB)
        _append(file, "structures/pointer", POINTER, n_atoms + block.pointer[1:], _SLAB)
        n, n_atoms = n + len(block), n_atoms + len(block.positions)
    return n


def _blocks(pieces: Iterator[Structures]) -> Iterator[Structures]:
    """The same structures, many at a time."""
    pending: list[Structures] = []
    for piece in pieces:
        pending.append(piece)
        if sum(map(len, pending)) >= _BLOCK:
            yield Structures.concatenate(pending)
            pending = []
    if any(map(len, pending)):
        yield Structures.concatenate(pending)


def _write_attributes(file: h5py.File, kind: Kind, header: Mapping[str, Any], n: int) -> None:
    apart = {"scale", "shift", "seed", "created", "device", "versions", "recipe"}
    attributes = {
        "kind": kind,
        "created": header["created"],
        "seed": str(header["seed"]),
        "versions": plain_json(header["versions"]),
        "device": header["device"],
        "recipe": plain_json(header["recipe"]),
        "header": plain_json({k: v for k, v in header.items() if k not in apart}),
    }
    for name, text in attributes.items():
        _put(file, name, text)
    numbers = {"schema": SCHEMA, "structures": n}
    for name, number in numbers.items():
        file.attrs[name] = np.int64(number)
    everything = {"format": FORMAT, **attributes, **{k: str(v) for k, v in numbers.items()}}
    file.attrs["checksum"] = np.uint32(checksum(everything))


def _append(file: h5py.File, name: str, column: Column, values: np.ndarray, slab: int) -> None:
    """Write rows of a dataset after those that are there."""
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
