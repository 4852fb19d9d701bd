"""Opening a data set file, and telling in clear words what is wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from jentmax._output import reason
from jentmax.dataset._schema import FORMAT, SCHEMA, Column
from jentmax.errors import JentmaxError


def open_file(path: Path) -> h5py.File:
    """Open a data set file for reading, also one that is being written.

    Raises:
        JentmaxError: there is none, or HDF5 cannot open it.
    """
    if not path.exists():
        raise JentmaxError(f"{path} does not exist; jentmax generate makes data sets")
    if path.is_dir():
        raise JentmaxError(f"{path} is a folder; give the path of a data set file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise JentmaxError(f"{path} cannot be read: {reason(error)}") from error
    if not h5py.is_hdf5(path):
        raise JentmaxError(
            f"{path} is not an HDF5 file, or cut off at its very beginning; "
            "give a file that jentmax generate or jentmax describe wrote"
        )
    try:
        return h5py.File(path, "r")
    except OSError as error:
        # A file that is still being written, or was when its writer was killed, opens only so.
        with contextlib.suppress(OSError):
            return h5py.File(path, "r", swmr=True)
        raise JentmaxError(
            f"{path} is truncated or damaged ({reason(error)}); copy it again or generate it anew"
        ) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what HDF5 raises while reading into one clear message."""
    try:
        yield
    except JentmaxError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise JentmaxError(
            f"{path} is truncated or damaged ({reason(error)}); copy it again or generate it anew"
        ) from error


def check_format(path: Path, file: h5py.File) -> None:
    """Raise a JentmaxError if an HDF5 file is no data set of the schema known here."""
    if text(file.attrs.get("format")) != FORMAT:
        raise JentmaxError(
            f"{path} is HDF5 but no jentmax data set: its attribute 'format' is "
            f"{file.attrs.get('format')!r}, must be {FORMAT!r}; give a file that "
            "jentmax generate or jentmax describe wrote"
        )
    if (schema := file.attrs.get("schema")) != SCHEMA:
        raise JentmaxError(
            f"{path} has schema {schema!r}, this jentmax reads {SCHEMA}; "
            "use the jentmax that wrote it, or a newer one"
        )


def check_column(path: Path, name: str, dataset: h5py.Dataset, column: Column) -> None:
    """Raise a JentmaxError if a column has another type or shape than the schema's."""
    if dataset.shape[1:] != column.shape or dataset.dtype.kind != np.dtype(column.dtype).kind:
        raise JentmaxError(
            f"{path}: {name} is {dataset!r}, must be {column.dtype} with rows of shape "
            f"{column.shape}; generate the data set anew"
        )


def text(value: object) -> str:
    """An attribute's value as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
