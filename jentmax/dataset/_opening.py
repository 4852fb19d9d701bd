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
from jentmax.dataset._schema import ATTRIBUTES, FORMAT, SCHEMA, Column
from jentmax.errors import JentmaxError

# The start of an HDF5 file of the layout in use: version, whether somebody has it open for
# writing, and where it ends.
_START = struct.Struct("<8xB2xB16xQ")


def open_file(path: Path) -> h5py.File:
    """Open a data set file for reading, also one that is being written.

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
            return _open_running(path) if _is_running(path) else h5py.File(path, "r")
        except (OSError, RuntimeError) as caught:
            error = caught
    raise JentmaxError(
        f"{path} is truncated or damaged ({reason(error)}); copy it again or generate it anew"
    ) from error


def _is_running(path: Path) -> bool:
    """Whether the file is being written, or was when its writer was killed."""
    with path.open("rb") as file:
        start = file.read(_START.size)
    if len(start) < _START.size:
        return False
    version, flags, end = _START.unpack(start)
    if version != 3 or flags == 0:
        return False
    # HDF5 says so of other files, but not of running ones.
    if (size := path.stat().st_size) < end:
        raise JentmaxError(
            f"{path} is truncated: it has {size} of {end} bytes; copy it again or generate it anew"
        )
    return True


def _open_running(path: Path) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # What does not fit its checksum is read again, by default a hundred times, each after twice
    # the wait of the last, from 1 ns: a damaged file would be read for ever. h5py lacks the
    # function that limits it; 25 times take 0.03 s.
    library = ctypes.CDLL(h5py.h5p.__file__)
    if limit := getattr(library, "H5Pset_metadata_read_attempts", None):
        limit(ctypes.c_int64(access.id), ctypes.c_uint(25))
    flags = h5py.h5f.ACC_RDONLY | h5py.h5f.ACC_SWMR_READ
    return h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what HDF5 raises while reading into one clear message."""
    try:
        yield
    except JentmaxError:
        raise
    # MemoryError: numbers in a damaged file that say how much there is.
    except (
        OSError,
        RuntimeError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise JentmaxError(
            f"{path} is truncated or damaged ({reason(error)}); copy it again or generate it anew"
        ) from error


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


def check_column(path: Path, name: str, dataset: h5py.Dataset, column: Column) -> None:
    """Raise a JentmaxError if a column has another type or shape than the schema's."""
    if dataset.shape[1:] != column.shape or dataset.dtype.kind != np.dtype(column.dtype).kind:
        raise JentmaxError(
            f"{path}: {name} is {dataset!r}, must be {column.dtype} with rows of shape "
            f"{column.shape}; generate the data set anew"
        )


def check_numbers(path: Path, numbers: np.ndarray) -> None:
    """Raise a JentmaxError if there are atomic numbers of no element."""
    from ase.data import chemical_symbols

    if len(wrong := numbers[(numbers < 0) | (numbers >= len(chemical_symbols))]):
        raise JentmaxError(
            f"{path} is damaged: an atomic number is {wrong[0]}, must be from 0 to "
            f"{len(chemical_symbols) - 1}; copy it again or generate it anew"
        )


def text(value: object) -> str:
    """An attribute's value as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
