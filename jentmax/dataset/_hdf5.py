"""Read HDF5 files that may be damaged or come from untrusted sources.

HDF5 follows links to other files, loads code for unknown filters, and trusts the sizes in a file.
This module checks everything before use.
"""

from __future__ import annotations

import contextlib
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jentmax.dataset._schema import FORMAT, SCHEMA, Column, impossible
from jentmax.dataset.output import printable, reason
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

ATTRIBUTES = ("format", "schema", "kind", "structures", "header")
"""Attributes of the root; one more, checksum, is the CRC-32 of these."""

_PACKED = 1032
"""Maximum expansion of gzip (https://zlib.net/zlib_tech.html)."""

_CHECKSUM = 4
"""Bytes of a Fletcher-32 checksum."""

_DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,  # damaged sizes
)
"""Exceptions that h5py raises for damaged files."""


class DamagedFile(JentmaxError):
    """A file is damaged.

    Attributes:
        why: the reason, in a few words.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} is truncated or damaged: {why}; copy it again, or remove it and make it again"
        )
        self.why = why


class Hdf5:
    """An open HDF5 file of jentmax's format.

    Attributes:
        path: path of the file.
        attributes: attributes of the root, as text.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, and check its attributes.

        Raises:
            JentmaxError: the file does not exist, is not a data set, or is damaged.
        """
        self.path = path
        self._columns: dict[str, h5py.Dataset] = {}
        self._whole: set[str] = set()  # columns whose chunks are all within the file
        self._n_bytes = 0  # that the columns claim
        if os.path.isdir(path):
            raise JentmaxError(f"{path} is a folder; give the path of a data set file")
        try:
            with path.open("rb"):
                self._size = os.path.getsize(path)
        except FileNotFoundError:
            raise JentmaxError(f"{path} does not exist; jentmax generate makes data sets") from None
        except OSError as error:
            raise JentmaxError(f"{path} cannot be read: {reason(error)}") from error
        if not h5py.is_hdf5(path):
            raise JentmaxError(
                f"{path} is not an HDF5 file, or cut off near its beginning; "
                "give a file that jentmax generate or jentmax describe wrote"
            )
        self._file: h5py.File | None = None
        with self.reading():
            self._file = h5py.File(path, "r")
        try:
            with self.reading() as file:
                self.attributes = self._attributes(file)
                for group in ("/", *(f"/{name}" for name in file)):
                    self._check_links(file[group])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def has(self, name: str) -> bool:
        """Whether the file has an object of this name, "group/dataset"."""
        return self._file is not None and name in self._file

    def column(self, name: str, column: Column) -> h5py.Dataset:
        """A dataset whose numbers have the right type and are in the file itself.

        Raises:
            JentmaxError: the dataset is missing, has another type, or claims more data than the
                file can hold.
        """
        if name in self._columns:
            return self._columns[name]
        if not self.has(name):
            raise JentmaxError(
                f"{self.path} lacks {name}, which such a data set must have; generate it again"
            )
        with self.reading(name) as file:
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset) or not column.fits(
                dataset.dtype, dataset.shape
            ):
                raise JentmaxError(
                    f"{self.path}: {name} is {dataset!r}, must be {column.dtype} with rows of "
                    f"shape {column.shape}; generate the data set again"
                )
            if dataset.is_virtual or dataset.external:
                raise JentmaxError(
                    f"{self.path}: {name} has its numbers in another file, which is not read; "
                    "put the data itself there"
                )
            layout = dataset.id.get_create_plist()
            filters = [layout.get_filter(k)[0] for k in range(layout.get_nfilters())]
            if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
                raise JentmaxError(
                    f"{self.path}: {name} is packed by the HDF5 filters {filters}; gzip, shuffle "
                    "and fletcher32 are allowed, each once: repack it (h5repack)"
                )
            # HDF5 unpacks a whole chunk to read a single number.
            chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
            self._n_bytes += math.prod(dataset.shape) * dataset.dtype.itemsize
            if max(self._n_bytes, chunk) > _PACKED * self._size:
                raise JentmaxError(
                    f"{self.path} is damaged: {name} claims shape {dataset.shape} in chunks of "
                    f"{dataset.chunks}, more than a file of {self._size} bytes can hold; "
                    "copy it again or generate it again"
                )
        self._columns[name] = dataset
        return dataset

    def rows(self, name: str, which: slice | None = None) -> np.ndarray:
        """Rows of a dataset that `column` has checked; all by default.

        Raises:
            JentmaxError: the rows are damaged or impossible, or do not fit into memory.
        """
        dataset = self._columns[name]
        first, last, _ = (which or slice(None)).indices(len(dataset))
        n_bytes = (last - first) * math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
        if n_bytes > memory_bytes():
            raise JentmaxError(
                f"{self.path}: {name} takes {n_bytes / 2**30:.0f} GiB, this machine has "
                f"{memory_bytes() / 2**30:.0f} GiB of memory; take some structures at a time"
            )
        with self.reading(name):
            self._check_chunks(name, dataset)
            values = dataset[first:last]
            if why := impossible(name, values):
                raise ValueError(why)
        return values

    @contextlib.contextmanager
    def reading(self, column: str = "") -> Iterator[h5py.File]:
        """Convert exceptions from HDF5 to one clear message, which names the column if given."""
        if self._file is None and hasattr(self, "attributes"):
            raise JentmaxError(f"{self.path} is closed; read from it before closing it")
        try:
            yield self._file  # pyright: ignore[reportReturnType]
        except JentmaxError:
            raise
        except _DAMAGE as error:
            why = f"{column} cannot be read ({reason(error)})" if column else reason(error)
            raise DamagedFile(self.path, why) from error

    def _check_links(self, group: Any) -> None:
        """Refuse links to other files or other objects."""
        for name in group if isinstance(group, h5py.Group) else ():
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                name = printable(f"{group.name}/{name}".strip("/"))
                raise JentmaxError(
                    f"{self.path}: {name} is a link to something else, which may be another file; "
                    "such links are not followed: put the data itself there (h5repack, or h5copy)"
                )

    def _check_chunks(self, name: str, dataset: h5py.Dataset) -> None:
        """Refuse chunks beyond the end of the file or shorter than their checksum: HDF5 crashes."""
        if name in self._whole or dataset.chunks is None:
            return
        least = _CHECKSUM + 1 if dataset.fletcher32 else 1

        def check(chunk: h5py.h5d.StoreInfo) -> None:
            if chunk.size < least or chunk.byte_offset + chunk.size > self._size:
                raise ValueError("it has chunks that are not whole")

        dataset.id.chunk_iter(check)
        self._whole.add(name)

    def _attributes(self, file: h5py.File) -> dict[str, str]:
        found = None
        if "format" in file.attrs:
            with contextlib.suppress(JentmaxError):  # other programs' may be anything
                found = self._attribute(file, "format")
        if found != FORMAT:
            raise JentmaxError(
                f"{self.path} is HDF5 but no jentmax data set: its attribute 'format' is "
                f"{found!r}, must be {FORMAT!r}; give a file that jentmax generate or jentmax "
                "describe wrote"
            )
        if (schema := self._attribute(file, "schema")) != str(SCHEMA):
            raise JentmaxError(
                f"{self.path} has schema {printable(schema)[:20]}, this jentmax reads {SCHEMA}; "
                "use the jentmax that wrote it, or a newer one"
            )
        attributes = {name: self._attribute(file, name) for name in (*ATTRIBUTES, "checksum")}
        if str(checksum(attributes)) != attributes["checksum"]:
            raise ValueError("the attributes of its root do not fit their checksum")
        return attributes

    def _attribute(self, file: h5py.File, name: str) -> str:
        """An attribute of the root: one number, or one text of fixed length.

        HDF5 stores texts of variable length in a heap without a checksum, and may hang on a damaged
        heap.
        """
        if name not in file.attrs:
            raise JentmaxError(f"{self.path} lacks the attribute {name}; generate it again")
        found = file.attrs.get_id(name)
        if found.shape != () or found.dtype.kind not in "Siu" or found.dtype.itemsize > self._size:
            raise JentmaxError(
                f"{self.path}: attribute {name} is an array of {found.shape} of {found.dtype}, "
                "must be one number or one text of fixed length; generate it again"
            )
        value = file.attrs[name]
        return value.decode() if isinstance(value, bytes) else str(value)


def checksum(attributes: dict[str, str]) -> int:
    """CRC-32 of the root attributes; HDF5's own checksums do not cover long attributes."""
    return zlib.crc32("\0".join(attributes[name] for name in ATTRIBUTES).encode())
