"""Opening a data set file, and saying clearly what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py

from jentmax.dataset._contents import attribute
from jentmax.dataset._header import SCHEMA
from jentmax.dataset._schema import ATTRIBUTES, FORMAT, Column, attributes_checksum, text
from jentmax.dataset.output import reason
from jentmax.errors import JentmaxError

# The start of an HDF5 file of the layout in use: version, and where the file ends.
_START = struct.Struct("<8xB19xQ")

DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,  # numbers in a damaged file say how much there is
)
"""What h5py raises if a file is damaged."""


def open_file(path: Path) -> h5py.File:
    """Open a data set file for reading.

    Raises:
        JentmaxError: there is none, or HDF5 cannot open it.
    """
    if os.path.isdir(path):
        raise JentmaxError(f"{path} is a folder; give the path of a data set file")
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise JentmaxError(f"{path} does not exist; jentmax generate makes data sets") from None
    except OSError as error:
        raise JentmaxError(f"{path} cannot be read: {reason(error)}") from error
    if not h5py.is_hdf5(path):
        raise JentmaxError(
            f"{path} is not an HDF5 file, or cut off at its very beginning; "
            "give a file that jentmax generate or jentmax describe wrote"
        )
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise damaged(path, reason(error)) from error


def expected_size(path: Path) -> int:
    """Bytes that the file's header says it has at least; 0 if it does not say."""
    with path.open("rb") as file:
        start = file.read(_START.size)
    if len(start) < _START.size:
        return 0
    version, end = _START.unpack(start)
    return end if version == 3 else 0


def damaged(path: Path, why: str) -> JentmaxError:
    """The error for a file that is not as it was written."""
    return JentmaxError(
        f"{path} is truncated or damaged: {why}; copy it again or generate it again "
        f"(jentmax info --check {path} says which structures are whole)"
    )


@contextlib.contextmanager
def reading(path: Path, column: str = "") -> Iterator[None]:
    """Turn what HDF5 raises while reading, a column if one is named, into one clear message."""
    try:
        yield
    except JentmaxError:
        raise
    except DAMAGE as error:
        why = f"{column} cannot be read ({reason(error)})" if column else reason(error)
        raise damaged(path, why) from error


def check_format(path: Path, file: h5py.File) -> None:
    """Raise a JentmaxError if an HDF5 file is no data set of the schema known here."""
    name = attribute(file, "format") if "format" in file.attrs else None
    if text(name) != FORMAT:
        raise JentmaxError(
            f"{path} is HDF5 but no jentmax data set: its attribute 'format' is "
            f"{name!r}, must be {FORMAT!r}; give a file that jentmax generate or jentmax describe "
            "wrote"
        )
    if (schema := attribute(file, "schema")) != SCHEMA:
        raise JentmaxError(
            f"{path} has schema {schema}, this jentmax reads {SCHEMA}; "
            "use the jentmax that wrote it, or a newer one"
        )
    if missing := [name for name in ATTRIBUTES if name not in file.attrs]:
        raise JentmaxError(
            f"{path} lacks the attributes {', '.join(missing)}, which a data set must have; "
            "generate it again"
        )
    if attributes_checksum(file) != attribute(file, "checksum"):
        raise damaged(path, "the attributes of its root do not fit their checksum")


def check_column(path: Path, name: str, dataset: h5py.Dataset, column: Column) -> None:
    """Raise a JentmaxError if a column has another type or shape than the schema's."""
    known = dataset.dtype.kind in column.kinds and dataset.dtype.itemsize <= 8
    # There are numbers of 2 bytes that nothing can be computed with.
    known = known and (dataset.dtype.kind != "f" or dataset.dtype.itemsize >= 4)
    if dataset.shape[1:] != column.shape or not known:
        raise JentmaxError(
            f"{path}: {name} is {dataset!r}, must be {column.dtype} with rows of shape "
            f"{column.shape}; generate the data set again"
        )
