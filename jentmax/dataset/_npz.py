"""Structures as the bytes of an .npz file, and back: no pickles, no compression, no surprises."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
from numpy.lib import format as npy

from jentmax.dataset._structures import Structures

_ARRAYS = ("positions", "numbers", "cells", "pbc", "pointer")
_COLUMN, _ATOM_COLUMN = "columns/", "atom_columns/"


def pack(structures: Structures, comment: bytes) -> bytes:
    """An .npz file, which `numpy.load` reads too.

    Args:
        structures: whose columns hold numbers.
        comment: that the file ends with.
    """
    arrays = {name: getattr(structures, name) for name in _ARRAYS}
    arrays |= {_COLUMN + name: values for name, values in structures.columns.items()}
    arrays |= {_ATOM_COLUMN + name: values for name, values in structures.atom_columns.items()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            npy.write_array(member, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy"), member.getvalue())
        archive.comment = comment
    return content.getvalue()


def unpack(content: bytes) -> Structures:
    """The structures in an .npz file, as views of its bytes where it is possible.

    Nothing takes more memory than the file has bytes.

    Raises:
        ValueError: it is none that `pack` makes.
        JentmaxError: its arrays do not fit together.
    """
    arrays, n_bytes = {}, 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                n_bytes += member.file_size
                if member.compress_type != zipfile.ZIP_STORED or n_bytes > len(content):
                    raise ValueError("it is compressed")
                arrays[member.filename.removesuffix(".npy")] = _array(archive.read(member))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    if missing := [name for name in _ARRAYS if name not in arrays]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    fields = [arrays.pop(name) for name in _ARRAYS]
    return Structures(
        *fields,
        *(
            {name[len(group) :]: a for name, a in arrays.items() if name.startswith(group)}
            for group in (_COLUMN, _ATOM_COLUMN)
        ),
    )


def _array(content: bytes) -> np.ndarray:
    """The numbers of an .npy file."""
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("an array has another version")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    start = stream.tell()
    if (
        fortran
        or dtype.kind not in "biuf"
        or math.prod(shape) * dtype.itemsize != len(content) - start
    ):
        raise ValueError("an array has another type, or does not fit its shape")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)
