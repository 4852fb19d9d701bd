"""Reading structures from any file: jentmax's own, or other programs' through ASE.

Files may come from anybody. None of ASE's readers runs code from a file as of 3.29. Some of them
read other files too, and are refused here.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import h5py

from jentmax.dataset._parts import Parts
from jentmax.dataset._reader import Dataset
from jentmax.dataset._structures import Structures
from jentmax.dataset.output import printable
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_ELSEWHERE = {
    "mysql": "a path that begins so makes ASE look for a database server",
    "postgresql": "a path that begins so makes ASE look for a database server",
    "onetep-in": "it may include other files of this machine",
    "octopus-in": "it may include other files of this machine",
}
"""Formats that make ASE read something else than the file, and why."""


def read_structures(path: str | os.PathLike[str]) -> Structures:
    """All structures of a file.

    Args:
        path: of a data set, finished or under way, or of any file that ASE reads.

    Raises:
        JentmaxError: there is no such file, it is empty or cannot be read, or it holds a structure
            that `Structures.check` refuses.
    """
    text = os.fspath(path)
    if os.path.isfile(text) and not h5py.is_hdf5(text):
        try:
            return Structures.from_ase(read_atoms(text))
        except JentmaxError as error:
            if str(error).startswith("structure "):
                raise JentmaxError(f"{text}, {error}") from None
            raise
    if not os.path.exists(text) and not Parts(text).exists():
        raise JentmaxError(f"{text}: no such file; give one that ASE reads, or a data set")
    with Dataset(text) as dataset:
        return dataset.structures()


def read_atoms(path: str | os.PathLike[str]) -> list[Atoms]:
    """All structures of a file of any format that ASE reads, but a data set of jentmax's own.

    Raises:
        JentmaxError: ASE cannot read it, there is nothing in it, or it must not be read: its format
            reaches elsewhere, or its numbers claim more than is there.
    """
    import ase
    import ase.io
    from ase.io.formats import filetype

    text = os.fspath(path)
    if not os.path.isfile(text):
        raise JentmaxError(
            f"{text} is no regular file; give a file, and convert folders (ase convert)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers that are looked at later
            name = filetype(text)
            if name in _ELSEWHERE:
                raise JentmaxError(
                    f"{text} is of the format {name}, which is not read: {_ELSEWHERE[name]}; "
                    "rename it, or convert it to extended XYZ (ase convert)"
                )
            n_bytes = _unpacked_bytes(text)
            options = _extended_xyz(text, n_bytes) if name == "extxyz" else {}
            structures = ase.io.read(text, ":", name, do_not_split_by_at_sign=True, **options)
    except JentmaxError:
        raise
    except Exception as error:  # ASE's readers raise whatever they stumble over
        why = printable(f"{type(error).__name__}: {error}")[:300]
        raise JentmaxError(
            f"{text}: ASE cannot read it ({why}); give a file of a format that ASE knows, such as "
            "extended XYZ"
        ) from None
    whole = isinstance(structures, list) and all(isinstance(one, ase.Atoms) for one in structures)
    if not whole or not structures:
        raise JentmaxError(f"{text}: no structures in it; give a file with at least one")
    return structures  # pyright: ignore[reportReturnType]


def _unpacked_bytes(path: str) -> int:
    """Bytes of a file, unpacked if it is .gz, .bz2 or .xz, which ASE unpacks.

    Raises:
        JentmaxError: they are more than the memory there is.
    """
    from ase.io.formats import get_compression, open_with_compression

    memory = memory_bytes()
    if get_compression(path)[1] is None:
        n_bytes = os.path.getsize(path)
    else:
        n_bytes = 0
        with open_with_compression(path, "rb") as file:
            while n_bytes <= memory and (block := file.read(1 << 20)):
                n_bytes += len(block)
    if n_bytes > memory:
        raise JentmaxError(
            f"{path} has more than the {memory / 2**30:.0f} GiB of memory of this machine, "
            "unpacked; split it"
        )
    return n_bytes


def _extended_xyz(path: str, n_bytes: int) -> dict[str, Any]:
    """What makes ASE refuse extended XYZ whose numbers of atoms and columns claim too much.

    ASE would look for as many lines as a first line says, long after the file's end, and make room
    for as many columns as a second line says.

    Raises:
        JentmaxError: a structure claims more atoms than the file has room for.
    """
    from ase.io.extxyz import key_val_str_to_dict
    from ase.io.formats import open_with_compression

    most_atoms = longest = 0
    left = n_bytes
    with open_with_compression(path, "r") as file:
        while first := file.readline().strip():
            try:
                n_atoms = int(first)
            except ValueError:
                if first.startswith("VEC"):  # of the cell, after the atoms
                    continue
                break  # ASE refuses it
            left -= len(first)
            if n_atoms < 0 or 2 * n_atoms > left:  # a line takes two bytes at least
                raise JentmaxError(
                    f"{path}: a structure claims {first[:40]} atoms, and the file has room for up "
                    f"to {left // 2}; it is cut off or damaged, copy it again"
                )
            most_atoms = max(most_atoms, n_atoms)
            for _ in range(n_atoms + 1):
                line = file.readline()
                longest = max(longest, len(line))
                left -= len(line)

    def parser(line: str) -> dict[str, Any]:
        info = key_val_str_to_dict(line)
        columns = map(int, str(info.get("Properties", "")).split(":")[2::3])
        n_columns = sum(max(0, number) for number in columns)
        if 2 * n_columns > longest + 1 or 8 * n_columns * most_atoms > memory_bytes():
            raise JentmaxError(
                f"{path}: a structure claims {n_columns} columns, more than the file has room for; "
                "correct its Properties"
            )
        return info

    return {"properties_parser": parser}
