"""Read structures from any file: data sets, or files of other programs through ASE."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
