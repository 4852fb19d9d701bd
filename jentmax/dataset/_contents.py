"""What a data set file may be made of: nothing that leads elsewhere, no more than it can hold.

A file may come from anybody. HDF5 follows links to other files and loads code for filters that it
does not know, and believes what a header says of sizes; all of that is looked at before it is used.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import h5py

from jentmax._host_memory import memory_bytes
from jentmax._output import printable
from jentmax.errors import JentmaxError

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

_PACKED = 1032
"""Bytes that gzip can make of one, at most (https://zlib.net/zlib_tech.html)."""


_CHECKSUM = 4
"""Bytes of a Fletcher-32 checksum."""

_HEAP_OBJECT = struct.Struct("<H6xQ")
"""Head of a text in a heap: its number there, and its length."""


def has(file: h5py.File, name: str) -> bool:
    """Whether the file has an object of this name, "group/dataset".

    Raises:
        JentmaxError: a link on the way to it leads elsewhere.
    """
    place: h5py.Group = file
    *groups, last = name.split("/")
    for part in (*groups, last):
        link = place.get(part, getclass=True, getlink=True)
        if link is None:
            return False
        if link is not h5py.HardLink:
            raise JentmaxError(
                f"{file.filename}: {name} is a link to something else, which may be another file; "
                "such links are not followed: put the data itself there (h5repack, or h5copy)"
            )
        if part is last:
            return True
        if place.get(part, getclass=True) is not h5py.Group:
            return False
        place = place[part]  # pyright: ignore[reportAssignmentType]
    return False


def column_of(file: h5py.File, name: str) -> h5py.Dataset:
    """One dataset of the file, whose bytes are in the file itself.

    Raises:
        KeyError: the file has no such dataset.
        JentmaxError: it is elsewhere, or compressed in a way that would load code.
    """
    if not has(file, name):
        raise KeyError(f"there is no {name}")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise KeyError(f"{name} is not a dataset")
    if dataset.is_virtual or dataset.external:
        raise JentmaxError(
            f"{file.filename}: {name} has its numbers in another file, which is not read; "
            "put the data itself there"
        )
    layout = dataset.id.get_create_plist()
    filters = [layout.get_filter(k)[0] for k in range(layout.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
        raise JentmaxError(
            f"{file.filename}: {name} is packed by the HDF5 filters {filters}; gzip, shuffle and "
            "fletcher32 are allowed, each once: repack it (h5repack)"
        )
    return dataset


def check_sizes(file: h5py.File, names: Iterable[str]) -> None:
    """Refuse a file whose columns claim more than so many bytes can hold, however well packed.

    Raises:
        JentmaxError: naming the column, or the sum of them.
    """
    room = _PACKED * os.path.getsize(file.filename)
    total = 0
    for name in names:
        dataset = column_of(file, name)
        n_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
        # To read one number the whole of its chunk is unpacked.
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        total += n_bytes
        if max(total, chunk) > room:
            raise JentmaxError(
                f"{file.filename} is damaged: {name} claims shape {dataset.shape} in chunks of "
                f"{dataset.chunks}, more than a file of {room // _PACKED} bytes can hold; "
                "copy it again or generate it anew"
            )


def check_chunks(file: h5py.File, dataset: h5py.Dataset) -> None:
    """Refuse chunks that end before their checksum does, on which HDF5 crashes, or beyond the file.

    Raises:
        JentmaxError: naming the column.
    """
    if dataset.chunks is None:
        return
    ends, sizes = [0], []

    def look(chunk: h5py.h5d.StoreInfo) -> None:
        ends.append(chunk.byte_offset + chunk.size)
        sizes.append(chunk.size)

    dataset.id.chunk_iter(look)
    least = _CHECKSUM + 1 if dataset.fletcher32 else 1
    if min(sizes, default=least) < least or max(ends) > os.path.getsize(file.filename):
        raise JentmaxError(
            f"{file.filename} is damaged: {dataset.name} has chunks that are not whole; copy it "
            "again or generate it anew"
        )


def check_memory(file: h5py.File, dataset: h5py.Dataset, n_rows: int) -> None:
    """Refuse to read what no memory of this machine holds.

    Raises:
        JentmaxError: naming the column.
    """
    n_bytes = n_rows * math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    memory = memory_bytes()
    if n_bytes > memory:
        raise JentmaxError(
            f"{file.filename}: {dataset.name} takes {n_bytes / 2**30:.0f} GiB, this machine has "
            f"{memory / 2**30:.0f} GiB of memory; take some structures at a time"
        )


def attribute(file: h5py.File, name: str) -> object:
    """An attribute of the root: one text or number.

    Raises:
        KeyError: the file has none of that name.
        JentmaxError: it is something else.
    """
    found = file.attrs.get_id(name)
    simple = found.dtype.kind in "Siu" or h5py.check_string_dtype(found.dtype) is not None
    if found.shape != () or not simple or found.dtype.itemsize > os.path.getsize(file.filename):
        raise JentmaxError(
            f"{file.filename}: attribute {printable(name)} is an array of {found.shape} of "
            f"{found.dtype}, must be one text or number; generate it anew"
        )
    return file.attrs[name]


def check_heaps(file: h5py.File) -> None:
    """Refuse damage in the heaps that hold texts of any length, over which HDF5 may hang.

    HDF5 keeps no checksum of a heap, and goes through the lengths that stand in it. Such texts are
    in data sets of other writers; those of fixed length need no heap.

    Raises:
        JentmaxError: lengths in a heap do not fit it.
    """
    types = [file.attrs.get_id(name).dtype for name in file.attrs]
    if not any(dtype.kind == "O" for dtype in types):
        return
    with open(file.filename, "rb") as stream:
        for place in _places(stream, b"GCOL\x01"):
            stream.seek(place + 8)
            size = int.from_bytes(stream.read(8), "little")
            # HDF5 itself refuses other sizes.
            if 4096 <= size <= os.path.getsize(file.filename) - place:
                _check_heap(file.filename, stream.read(size - 16))


def _places(stream: BinaryIO, signature: bytes) -> Iterator[int]:
    """Where a signature stands in a file."""
    start, overlap = 0, len(signature) - 1
    while len(block := _block(stream, start)) > overlap:
        found = block.find(signature)
        while found >= 0:
            yield start + found
            found = block.find(signature, found + 1)
        start += len(block) - overlap


def _block(stream: BinaryIO, start: int) -> bytes:
    stream.seek(start)
    return stream.read(1 << 20)


def _check_heap(path: str, objects: bytes) -> None:
    place = 0
    while len(objects) - place >= _HEAP_OBJECT.size:
        number, length = _HEAP_OBJECT.unpack_from(objects, place)
        # Number 0 is the room left, its own header included.
        step = length if number == 0 else _HEAP_OBJECT.size + (length + 7) // 8 * 8
        if not _HEAP_OBJECT.size <= step <= len(objects) - place:
            raise JentmaxError(
                f"{path} is damaged: a text in it claims {length} bytes, more than there are; copy "
                "it again or generate it anew"
            )
        place += step
