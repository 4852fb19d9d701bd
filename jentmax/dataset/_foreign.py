"""Read structures from any file: data sets, or files of other programs through ASE."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from jentmax.dataset._parts import Parts
from jentmax.dataset._reader import Dataset
from jentmax.dataset._reading import read_atoms
from jentmax.dataset._structures import Structures
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms


def read_structures(path: str | os.PathLike[str], format: str | None = None) -> Structures:
    """Read all structures of a file.

    Args:
        path: path of a data set, finished or not, or of any file that ASE reads.
        format: ASE's name of the format of another program's file; by default inferred from content
            or name. Data sets need none.

    Raises:
        JentmaxError: the file does not exist, is empty, cannot be read completely, or has a
            structure that `Structures.check` refuses.
    """
    text = os.fspath(path)
    if is_dataset(text):
        with Dataset(text) as dataset:
            return dataset.structures()
    return checked(text, read_atoms(text, format))


def checked(path: str, atoms: Sequence[Atoms]) -> Structures:
    """Structures of a file that is read already; messages about them name it."""
    try:
        return Structures.from_ase(atoms)
    except JentmaxError as error:
        raise JentmaxError(f"{path}, {error}") from None


def is_dataset(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a data set, finished or not.

    Raises:
        JentmaxError: the path does not exist.
    """
    text = os.fspath(path)
    if os.path.isfile(text):
        return h5py.is_hdf5(text)
    if os.path.isdir(text) or Parts(text).exists():
        return True
    if not os.path.exists(text):
        raise JentmaxError(f"{text}: no such file; give one that ASE reads, or a data set")
    return False


def refuse_inputs(
    output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str] | None]
) -> None:
    """Refuse an output that is an input or a folder with an input in it, under any name or link.

    Args:
        output: path of a file or folder to write.
        inputs: paths that are read; None values are skipped.

    Raises:
        JentmaxError: writing the output may destroy an input.
    """
    target = Path(os.path.realpath(output))
    written = {_identity(target)}
    if target.is_dir():
        written |= {_identity(entry) for entry in os.scandir(target)}
    for path in inputs:
        if path is None:
            continue
        read = [Path(os.path.realpath(path))]
        if (folder := Parts(path).folder).is_dir():
            read.append(folder)
        for real in read:
            same = target == real or (real.exists() and _identity(real) in written)
            if same or target in real.parents or (real.is_dir() and real in target.parents):
                raise JentmaxError(
                    f"{os.fspath(output)}: it is {os.fspath(path)}, which is read, or one of the "
                    "two stands in the other; give another output"
                )


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int] | None:
    """What all names of a file have in common."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
