"""Writing a data set file: once, under a temporary name, and then put in place."""

from __future__ import annotations

import datetime
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from jentmax.dataset._header import SCHEMA, check_header, parsed_json, plain_json
from jentmax.dataset._order import in_set_order, n_settled
from jentmax.dataset._parts import ACCEPTED, ChunkId
from jentmax.dataset._schema import (
    CHUNK_TABLE,
    FORMAT,
    POINTER,
    SCALING,
    STRUCTURE_COLUMNS,
    Column,
    Kind,
    atom_columns,
    attributes_checksum,
    required_columns,
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
"""Structures in one chunk of a column: what a damaged bit costs."""

_SLAB_ATOMS = (512, 65536)

_BLOCK = 8 * _SLAB
"""Structures that are written at once."""

_CACHE = 32 << 20
"""Bytes of a column's chunks that HDF5 keeps, so that it writes each of them once."""

Chunks = Mapping[ChunkId, np.ndarray]
"""The status of every row of each chunk."""


def write_dataset(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    structures: Structures | Iterable[Structures],
    *,
    kind: Kind = "generated",
    n_asked: int | None = None,
    chunks: Chunks | None = None,
    overwrite: bool = False,
) -> None:
    """Write a data set file.

    Nothing is under the path before all is written; an existing file stays until then.

    Args:
        path: of the file; its folder must exist.
        header: the entries recipe, seed, versions, device, scale, shift and, if known, created; a
            generated set has precision and streams too. Other entries are kept.
        structures: in the order of the set, at once or in pieces, with the atom column descriptors.
            Columns that the schema does not have are left out.
        kind: "generated", with every column, or "described", with those that are known.
        n_asked: structures that the set has; those after them are stored and not shown. By default
            all.
        chunks: the status of every row of each chunk of a generated set, read after ``structures``.
        overwrite: whether an existing file may be replaced.

    Raises:
        JentmaxError: the path exists or cannot be written, or something is missing or does not fit.
    """
    target = Path(os.path.realpath(path))
    refuse_existing(target, overwrite)
    pieces = [structures] if isinstance(structures, Structures) else structures
    in_place = (lambda partial: _replace(partial, target)) if overwrite else None
    if not _write(target, header, pieces, kind, n_asked, chunks or {}, in_place):
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
        chunks: all that there are. Those that the set does not need are kept with the others, so
            that a larger set can go on from them.
        get: reads a chunk, as `Parts.get` and `finished_chunk` do.
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
    statuses: dict[ChunkId, np.ndarray] = {}
    of_stream: defaultdict[int, list[ChunkId]] = defaultdict(list)
    for chunk in sorted(chunks):
        of_stream[chunk.stream].append(chunk)

    def accepted(stream: int) -> Iterator[Structures]:
        for chunk in of_stream[stream]:
            rows = get(chunk)
            status = statuses[chunk] = rows.columns["status"]
            yield rows[status == ACCEPTED]

    def pieces() -> Iterator[Structures]:
        shares = [stream["share"] for stream in header["streams"]]
        yield from in_set_order(shares, [accepted(stream) for stream in range(len(shares))])
        counts = [
            sum(int((statuses[chunk] == ACCEPTED).sum()) for chunk in _gapless(of_stream[s], c))
            for s, c in enumerate(stream["cycles"] for stream in header["streams"])
        ]
        if (n := n_settled(shares, counts)) < n_structures:
            raise JentmaxError(
                f"{target}: {n_structures} structures are asked for, and the chunks have {n} "
                "before the first one that is missing; generate the others first"
            )

    def in_place(partial: Path) -> bool:
        return not _has_as_many(target, header, n_structures) and _replace(partial, target)

    return _write(
        target,
        header,
        pieces(),
        "generated",
        n_structures,
        statuses,
        in_place if overwrite else None,
    )


def _gapless(chunks: list[ChunkId], cycles: int) -> Iterator[ChunkId]:
    """Sorted chunks of a stream up to the first one that is missing."""
    for place, chunk in enumerate(chunks):
        if (chunk.batch, chunk.cycle) != divmod(place, cycles):
            return
        yield chunk


def _has_as_many(path: Path, header: Mapping[str, Any], n_structures: int) -> bool:
    """Whether there is a file of the same set that has as many structures."""
    from jentmax.dataset._reader import Dataset

    try:
        with Dataset(path) as there:
            same = plain_json(there.header) == plain_json(_completed(header))
            return same and there.status == "complete" and len(there) >= n_structures
    except JentmaxError:
        return False


def _replace(partial: Path, target: Path) -> bool:
    os.replace(partial, target)
    sync_folder(target.parent)
    return True


def _write(
    target: Path,
    header: Mapping[str, Any],
    pieces: Iterable[Structures],
    kind: Kind,
    n_asked: int | None,
    chunks: Chunks,
    in_place: Callable[[Path], bool] | None,
) -> bool:
    """Write a file and put it in place; whether it is the one there now."""
    told = check_header(parsed_json(plain_json(_completed(header))), generated=kind == "generated")
    partial = partial_path(target)
    try:
        with writing(target, FileNotFoundError), open(partial, "x+b") as file:
            stream = _Stream(file)
            try:
                with h5py.File(
                    stream, "w", libver=_LAYOUT, rdcc_nbytes=_CACHE, rdcc_nslots=10_007
                ) as hdf5:
                    _put(hdf5, "format", FORMAT)
                    hdf5.flush()  # so that it stands near the start, where ASE looks for it
                    columns = _Columns(hdf5, kind, told)
                    for block in _blocks(pieces):
                        columns.append(block)
                    columns.close()
                    if kind == "generated":
                        _write_chunks(hdf5, chunks)
                    _write_header(hdf5, kind, told, _shown(columns.n, n_asked))
            finally:
                if stream.error is not None:
                    raise stream.error
            file.flush()
            os.fsync(file.fileno())
        with being_written, writing(target):
            try:
                first = (in_place or (lambda whole: put_in_place(whole, target)))(partial)
            except FileNotFoundError:
                # Whoever was first has removed the temporary names that it found.
                if not target.exists():
                    raise
                first = False
            if first:
                partial.unlink(missing_ok=True)
                remove_partial(target)
        return first
    finally:
        partial.unlink(missing_ok=True)


def _completed(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header as it is stored: the file says its format, schema and kind itself."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": now} | {k: v for k, v in header.items() if k not in ("format", "schema")}


def _shown(n: int, n_asked: int | None) -> int:
    if n < 1:
        raise JentmaxError("there are no structures to write")
    if n_asked is not None and not 1 <= n_asked <= n:
        raise JentmaxError(f"{n_asked} structures are asked for, and there are {n}")
    return n if n_asked is None else n_asked


def _blocks(pieces: Iterable[Structures]) -> Iterator[Structures]:
    """The same structures, a fixed number at a time."""
    pending: list[Structures] = []
    for piece in pieces:
        pending.append(piece)
        if sum(map(len, pending)) >= _BLOCK:
            joined = Structures.concatenate(pending)
            whole = len(joined) // _BLOCK * _BLOCK
            yield joined[:whole]
            pending = [joined[whole:]]
    if any(map(len, pending)):
        yield Structures.concatenate(pending)


class _Stream:
    """A file that HDF5 writes to, and that seems to take everything.

    HDF5 does not recover from a full disk: it cannot close the file any more, and the process
    crashes at its end. So the first error is kept, and raised when HDF5 is through.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.error = error
        return len(content)

    def truncate(self, size: int) -> int:
        if self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        if self.error is None:
            try:
                self._file.flush()
            except OSError as error:
                self.error = error

    def seek(self, place: int, whence: int = 0) -> int:
        try:
            return self._file.seek(place, whence)  # may write what is buffered
        except OSError as error:
            self.error = self.error or error
            return place

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: memoryview) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _Columns:
    """The columns of structures and atoms in a new file."""

    def __init__(self, file: h5py.File, kind: Kind, header: Mapping[str, Any]) -> None:
        self.n = 0
        self._n_atoms = 0
        self._file, self._kind, self._header = file, kind, header
        self._structures: dict[str, Column] = {}
        self._atoms: dict[str, Column] = {}
        self._ends = [np.zeros(1, np.int64)]

    def append(self, block: Structures) -> None:
        """Write structures after the others."""
        structures, atoms = self._values(block)
        if not self._structures:
            self._create(block, structures)
        for group, columns, values, start in (
            ("structures", self._structures, structures, self.n),
            ("atoms", self._atoms, atoms, self._n_atoms),
        ):
            for name, column in columns.items():
                dataset = self._file[f"{group}/{name}"]
                rows = _shaped(name, values.get(name), column)
                dataset.resize(start + len(rows), axis=0)
                dataset[start:] = rows
        self._ends.append(self._n_atoms + block.pointer[1:])
        self.n += len(block)
        self._n_atoms += len(block.positions)

    def close(self) -> None:
        """Write where each structure begins and ends."""
        ends = np.concatenate(self._ends)
        _create(self._file, "structures/pointer", POINTER, _SLAB, ends)

    def _values(self, block: Structures) -> tuple[dict[str, Any], dict[str, Any]]:
        block.check()
        structures = {"cell": block.cells, "periodic": block.pbc} | {
            name: values for name, values in block.columns.items() if values.dtype.kind in "biuf"
        }
        atoms = {"positions": block.positions, "numbers": block.numbers, **block.atom_columns}
        return structures, atoms

    def _create(self, block: Structures, structures: Mapping[str, np.ndarray]) -> None:
        self._structures = {
            name: column
            for name, column in STRUCTURE_COLUMNS.items()
            if name in structures or name in required_columns(self._kind)
        }
        descriptors = block.atom_columns.get("descriptors")
        double = descriptors is not None and descriptors.dtype == np.float64
        precision = self._header.get("precision", "float64" if double else "float32")
        self._atoms = atom_columns(len(self._header["scale"]), precision)
        per_atom = int(np.clip(_SLAB * len(block.positions) // len(block), *_SLAB_ATOMS))
        for group, columns, length in (
            ("structures", self._structures, _SLAB),
            ("atoms", self._atoms, per_atom),
        ):
            for name, column in columns.items():
                empty = np.zeros((0, *column.shape), column.dtype)
                _create(self._file, f"{group}/{name}", column, length, empty)


def _write_chunks(file: h5py.File, chunks: Chunks) -> None:
    """The status of every row that was computed, accepted or not."""
    ids = sorted(chunks)
    statuses = [np.asarray(chunks[chunk], np.int8) for chunk in ids]
    table = {
        **{name: [getattr(chunk, name) for chunk in ids] for name in ChunkId._fields},
        "pointer": np.cumsum([0, *map(len, statuses)]),
        "status": np.concatenate([np.zeros(0, np.int8), *statuses]),
    }
    for name, column in CHUNK_TABLE.items():
        _create(file, f"chunks/{name}", column, 4096, np.asarray(table[name], column.dtype))


def _write_header(file: h5py.File, kind: Kind, header: Mapping[str, Any], n: int) -> None:
    for name in ("scale", "shift"):
        values = np.asarray(header[name], float)
        _create(file, f"scaling/{name}", SCALING, max(len(values), 1), values)
    texts = ("created", "device")
    tables = ("versions", "recipe")
    apart = ("scale", "shift", "seed", *texts, *tables)
    file.attrs["schema"] = np.int64(SCHEMA)
    _put(file, "kind", kind)
    file.attrs["structures"] = np.int64(n)
    _put(file, "seed", str(header["seed"]))
    for name in texts:
        _put(file, name, header[name])
    for name in tables:
        _put(file, name, plain_json(header[name]))
    _put(file, "header", plain_json({k: v for k, v in header.items() if k not in apart}))
    file.attrs["checksum"] = np.uint32(attributes_checksum(file))


def _create(
    file: h5py.File, name: str, column: Column, length: int, values: np.ndarray
) -> h5py.Dataset:
    dataset = file.create_dataset(
        name,
        data=values,
        maxshape=(None, *column.shape),
        dtype=column.dtype,
        chunks=(length, *column.shape),
        compression="gzip",
        shuffle=True,
        fletcher32=True,
    )
    _put(dataset, "units", column.units)
    return dataset


def _put(thing: h5py.File | h5py.Dataset, name: str, value: str) -> None:
    """Store a text as an attribute of fixed length: HDF5 has no checksums of others."""
    encoded = value.encode()
    dtype = h5py.string_dtype("utf-8", max(len(encoded), 1))
    thing.attrs.create(name, encoded, dtype=dtype)


def _shaped(name: str, values: np.ndarray | None, column: Column) -> np.ndarray:
    if values is None:
        raise JentmaxError(f"column {name} is missing in some structures, or holds no numbers")
    if values.shape[1:] != column.shape:
        raise JentmaxError(f"{name} has shape {values.shape}, must be (n, *{column.shape})")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise JentmaxError(f"{name} has numbers that are not finite")
    return values.astype(column.dtype)
