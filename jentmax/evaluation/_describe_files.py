"""Describe files, with a cache, or write their descriptors as data sets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from jentmax.dataset import (
    Structures,
    checked,
    is_dataset,
    name_in_ase,
    printable,
    read_structures,
    refuse_existing,
    refuse_inputs,
    write_dataset,
)
from jentmax.devices import device_name, versions, workers
from jentmax.errors import JentmaxError, LeftOut
from jentmax.evaluation._describe import CountCallback, describe, ignore
from jentmax.evaluation._description import Description, save, saved
from jentmax.evaluation._descriptor import Descriptor, is_own_code, plain_descriptor

if TYPE_CHECKING:
    from ase import Atoms

_FORMAT = 3
"""Version of cached descriptions; increase it whenever the result for equal input changes."""

Precision = Literal["float32", "float64"]


def described(
    path: str | os.PathLike[str],
    descriptor: Descriptor,
    cache: Path | None = None,
    callback: CountCallback = ignore,
    format: str | None = None,
    atoms: Sequence[Atoms] | None = None,
) -> tuple[Structures, Description]:
    """Read and describe the structures of a file.

    The result is cached in ``cache`` and recomputed if the file's content, its name or the
    descriptor changes. Nothing is cached if the cache cannot be written, or if the descriptor is
    the user's own code, because jentmax cannot detect changes of such code.

    Args:
        path: path of a data set or of any file that ASE reads.
        descriptor: environments -> features.
        cache: `jentmax.devices.cache_folder`, or None.
        callback: as for `describe`; not called if nothing needs to be computed.
        format: ASE's name of the file's format; by default inferred from content or name.
        atoms: result of `read_atoms` for the file, if it was read before.

    Returns:
        The structures, with only the columns config_type and duplicate, and the description.

    Raises:
        JentmaxError: as `read_structures` and `describe`.
    """
    kept = cache and _kept(Path(path), descriptor, cache, format)
    if kept and (known := saved(kept)):
        return known
    read = read_structures(path, format) if atoms is None else checked(os.fspath(path), atoms)
    columns = {"config_type": read.groups, "duplicate": read.duplicate}
    structures = Structures(
        read.positions, read.numbers, read.cells, read.pbc, read.pointer, columns
    )
    with _naming(path):
        description = describe(structures, descriptor, callback)
    if kept:
        with contextlib.suppress(OSError):
            save(kept, structures, description)
    return structures, description


def describe_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    descriptor: Descriptor,
    overwrite: bool = False,
    *,
    precision: Precision = "float32",
    format: str | None = None,
) -> Path:
    """Write a file's structures with their descriptors as a data set.

    The set's scale and shift are the standard deviation and the mean over its atoms. The set does
    not contain the file's labels and other values; a `LeftOut` warning names them.

    Args:
        path: path of a data set or of any file that ASE reads.
        output: path of the data set file to write.
        descriptor: environments -> features.
        overwrite: whether an existing output may be replaced.
        precision: dtype of the stored descriptors, which are computed in float64.
        format: ASE's name of the file's format; by default inferred from content or name.

    Returns:
        The output's path.

    Raises:
        JentmaxError: as `read_structures` and `describe`, or if the output is the file or cannot be
            written.
    """
    if precision not in get_args(Precision):
        raise JentmaxError(
            f"precision {precision!r}: must be one of {', '.join(get_args(Precision))}"
        )
    refuse_inputs(output, [path])
    refuse_existing(Path(output), overwrite)
    structures = read_structures(path, format)
    numbers = np.arange(len(structures))
    lost = {*structures.columns, *structures.atom_columns} - {"index", "descriptors"}
    index = structures.columns.get("index", numbers)
    if index.dtype == object or not np.array_equal(index, numbers):
        lost.add("index")
    other = not is_dataset(path)  # then columns have other names than in the file
    names = sorted({name_in_ase(name) if other else name for name in lost})
    if names:
        shown = [printable(name) or "''" for name in names]
        warnings.warn(
            f"{os.fspath(output)} will not contain {', '.join(shown)}; they stay in "
            f"{os.fspath(path)}",
            LeftOut,
            stacklevel=2,
        )
    with _naming(path):
        values = describe(structures, descriptor).features
    header = {
        "recipe": {"descriptor": plain_descriptor(descriptor)},
        "seed": 0,  # nothing is random
        "scale": values.std(axis=0).tolist(),
        "shift": values.mean(axis=0).tolist(),
        "versions": versions(),
        "device": device_name(len(workers())),
    }
    write_dataset(
        Path(output),
        header,
        dataclasses.replace(
            structures,
            columns={"index": numbers},
            atom_columns={"descriptors": values.astype(precision)},
        ),
        overwrite=overwrite,
    )
    return Path(output)


def _kept(path: Path, descriptor: Descriptor, cache: Path, format: str | None) -> Path | None:
    """The cache file of a description.

    None if the described file cannot be read, or the descriptor is the user's own code.
    """
    if is_own_code(descriptor):
        return None
    try:
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    given = {
        "format": _FORMAT,
        "versions": versions(),
        "content": content,
        "name": [path.name, format],  # ASE infers the format from it
        "descriptor": plain_descriptor(descriptor),
    }
    key = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    return cache / "descriptors" / f"{key[:32]}.npz"


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Prefix error messages about a structure with the file's name."""
    try:
        yield
    except JentmaxError as error:
        raise JentmaxError(f"{path}, {error}") from None
