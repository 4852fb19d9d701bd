"""What a data set file may be made of: nothing that leads elsewhere, no more than it can hold.

A file may come from anybody. HDF5 follows links to other files and loads code for filters that it
does not know, and believes what a header says of sizes; all of that is looked at before it is used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

import h5py

from jentmax.devices import memory_bytes
from jentmax.dataset.output import printable
from jentmax.errors import JentmaxError

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

_PACKED = 1032
"""Bytes that gzip can make of one, at most (https://zlib.net/zlib_tech.html)."""


_CHECKSUM = 4
"""Bytes of a Fletcher-32 checksum."""



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
                "copy it again or generate it again"
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
            "again or generate it again"
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
    """An attribute of the root: one number, or one text of fixed length.

    Texts of any length stand in a heap that has no checksum, and HDF5 may read a damaged one for
    ever.

    Raises:
        KeyError: the file has none of that name.
        JentmaxError: it is something else.
    """
    found = file.attrs.get_id(name)
    if found.shape != () or found.dtype.kind not in "Siu":
        raise JentmaxError(
            f"{file.filename}: attribute {printable(name)} is an array of {found.shape} of "
            f"{found.dtype}, must be one number or one text of fixed length; generate it again"
        )
    if found.dtype.itemsize > file.id.get_filesize():
        raise JentmaxError(
            f"{file.filename} is damaged: attribute {printable(name)} claims "
            f"{found.dtype.itemsize} bytes, more than the file has; copy it again"
        )
    return file.attrs[name]
