"""Convert structures to the bytes of an .npz file and back, without pickles or compression."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
from numpy.lib import format as npy

from jentmax.dataset._structures import Structures
from jentmax.dataset.output import reason

_ARRAYS = ("positions", "numbers", "cells", "pbc", "pointer")
_COLUMNS, _ATOM_COLUMNS = "columns/", "atom_columns/"

# zipfile and numpy raise these for damaged files, besides ValueError; some are undocumented.
_DAMAGE = (zipfile.BadZipFile, RuntimeError, EOFError, LookupError, TypeError, MemoryError)


def pack(structures: Structures, comment: str) -> bytes:
    """Structures with numeric columns as an .npz file, which `numpy.load` also reads."""
    arrays = {name: getattr(structures, name) for name in _ARRAYS}
    arrays |= {_COLUMNS + name: values for name, values in structures.columns.items()}
    arrays |= {_ATOM_COLUMNS + name: values for name, values in structures.atom_columns.items()}
    content = io.BytesIO()
    np.savez(content, **arrays)
    with zipfile.ZipFile(content, "a") as archive:
        archive.comment = comment.encode()
    return content.getvalue()


def unpack(content: bytes) -> Structures:
    """The structures in an .npz file, as views of its bytes; a CRC-32 checks each array.

    Raises:
        ValueError: the file is damaged, or not written by `pack`.
        JentmaxError: the shapes of its arrays do not match.
    """
    arrays, n_bytes = {}, 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                n_bytes += member.file_size
                if member.compress_type != zipfile.ZIP_STORED or n_bytes > len(content):
                    raise ValueError("it is compressed")
                arrays[member.filename.removesuffix(".npy")] = _array(archive.read(member))
    except _DAMAGE as error:
        raise ValueError(reason(error)) from error
    if missing := [name for name in _ARRAYS if name not in arrays]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    groups = (
        {name.removeprefix(group): a for name, a in arrays.items() if name.startswith(group)}
        for group in (_COLUMNS, _ATOM_COLUMNS)
    )
    return Structures(*(arrays[name] for name in _ARRAYS), *groups)


def _array(content: bytes) -> np.ndarray:
    """The array of an .npy file; allocates no memory for a shape larger than the file."""
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("an array has another version")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    n_bytes = math.prod(shape) * dtype.itemsize
    if fortran or dtype.kind not in "biuf" or n_bytes != len(content) - stream.tell():
        raise ValueError("an array has another type, or does not fit its shape")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
