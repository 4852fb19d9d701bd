"""Opening a data set file, and telling in clear words what is wrong with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from jentmax._output import reason
from jentmax.dataset._contents import attribute, check_heaps
from jentmax.dataset._schema import (
    ATTRIBUTES,
    FORMAT,
    SCHEMA,
    Column,
    attributes_checksum,
    text,
)
from jentmax.errors import JentmaxError

# The start of an HDF5 file of the layout in use: version, whether somebody has it open for
# writing, and where it ends.
_START = struct.Struct("<8xB2xB16xQ")

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
"""What h5py raises where a file is damaged."""


_ATTEMPTS = 25
"""How often what does not fit its checksum is read, lest its writer be just about to write it. HDF5
waits after each, twice as long as after the last, from 1 ns: 25 times take 0.03 s, and the hundred
that are its default for ever."""


def open_file(path: Path, attempts: int = _ATTEMPTS) -> h5py.File:
    """Open a data set file for reading, also one that is being written.

    Args:
        path: of the file.
        attempts: how often what does not fit its checksum is read; one that nobody writes needs 1.

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
    error: Exception | None = None
    for _ in range(3):  # its writer may close it between the two steps
        try:
            return _open_running(path, attempts) if _is_running(path) else h5py.File(path, "r")
        except (OSError, RuntimeError) as caught:
            error = caught
    raise damaged(path, reason(error)) from error


def expected_size(path: Path) -> int:
    """Bytes that the file's header says it has at least; 0 if it does not say."""
    return _start(path)[1]


def damaged(path: Path, why: str) -> JentmaxError:
    """What is said of a file that is not as it was written."""
    return JentmaxError(
        f"{path} is truncated or damaged: {why}; copy it again or generate it anew "
        f"(jentmax info --check {path} tells what of it is whole)"
    )


def _is_running(path: Path) -> bool:
    """Whether the file is being written, or was when its writer was killed."""
    flags, end = _start(path)
    # HDF5 says so of other files, but not of running ones.
    if flags and (size := path.stat().st_size) < end:
        raise damaged(path, f"it has {size} of {end} bytes")
    return flags != 0


def _start(path: Path) -> tuple[int, int]:
    """Whether somebody has the file open for writing, and where it ends; 0 if it does not say."""
    with path.open("rb") as file:
        start = file.read(_START.size)
    if len(start) < _START.size:
        return 0, 0
    version, flags, end = _START.unpack(start)
    return (flags, end) if version == 3 else (0, 0)


def _open_running(path: Path, attempts: int) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # h5py lacks the function that limits it.
    library = ctypes.CDLL(h5py.h5p.__file__)
    if limit := getattr(library, "H5Pset_metadata_read_attempts", None):
        limit(ctypes.c_int64(access.id), ctypes.c_uint(attempts))
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


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
    check_heaps(file)
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
            "generate it anew"
        )
    if attributes_checksum(file) != file.attrs["checksum"]:
        raise damaged(path, "the attributes of its root do not fit their checksum")


def check_column(path: Path, name: str, dataset: h5py.Dataset, column: Column) -> None:
    """Raise a JentmaxError if a column has another type or shape than the schema's."""
    known = dataset.dtype.kind == np.dtype(column.dtype).kind and dataset.dtype.itemsize <= 8
    # There are numbers of 2 bytes that nothing can be computed with.
    known = known and (dataset.dtype.kind != "f" or dataset.dtype.itemsize >= 4)
    if dataset.shape[1:] != column.shape or not known:
        raise JentmaxError(
            f"{path}: {name} is {dataset!r}, must be {column.dtype} with rows of shape "
            f"{column.shape}; generate the data set anew"
        )


def check_numbers(path: Path, numbers: np.ndarray) -> None:
    """Raise a JentmaxError if there are atomic numbers of no element."""
    from ase.data import chemical_symbols

    if len(wrong := numbers[(numbers < 0) | (numbers >= len(chemical_symbols))]):
        allowed = f"from 0 to {len(chemical_symbols) - 1}"
        raise damaged(path, f"an atomic number is {wrong[0]}, must be {allowed}")
