"""Read files of other programs through ASE, completely.

Files may come from untrusted sources. As of 3.29, none of ASE's readers runs code from a file. Some
of them also read other files; this module refuses those formats.
"""

from __future__ import annotations

import difflib
import io
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jentmax.dataset._database import read_database
from jentmax.dataset._extxyz import is_extended_xyz, read_extended_xyz
from jentmax.dataset._frames import refuse_unread
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
"""Formats that make ASE access something other than the file, and why."""

_HEAD = 1 << 16
"""Number of bytes at the start of a file that identify extended XYZ."""


def read_atoms(path: str | os.PathLike[str], format: str | None = None) -> list[Atoms]:
    """Read all structures of a file in any ASE format, except jentmax data sets.

    Key-value pairs and data of ASE's databases are in ``atoms.info``.

    Args:
        path: of the file.
        format: ASE's name of the format; by default inferred from content or name.

    Raises:
        JentmaxError: ASE cannot read the file or reads only a part of it, it has no structures, its
            format accesses other files, or it claims more data than it has.
    """
    text = os.fspath(path)
    if not os.path.isfile(text):
        raise JentmaxError(
            f"{text} is no regular file; give a file, and convert folders (ase convert)"
        )
    n_bytes = _unpacked_bytes(text)
    if n_bytes == 0:
        raise JentmaxError(f"{text} is empty; give a file with at least one structure")
    name = _known(text, format) if format else _recognised(text)
    if name in _ELSEWHERE:
        raise JentmaxError(
            f"{text} is of the format {name}, which is not read: {_ELSEWHERE[name]}; "
            "rename it, or convert it to extended XYZ (ase convert)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers that are checked later
            structures = [_made_plain(atoms, name) for atoms in _read(text, name)]
    except JentmaxError:
        raise
    except Exception as error:  # ASE's readers raise many types
        why = printable(f"{type(error).__name__}: {error}")[:300]
        raise JentmaxError(
            f"{text}: ASE cannot read it as {name!r} ({why}); correct the file, or name its format "
            "(--format), such as extxyz"
        ) from None
    if not structures:
        raise JentmaxError(
            f"{text}: no structures in it, read as {name!r}; give a file with at least one"
        )
    refuse_unread(text, name, structures)
    return structures


def _read(path: str, name: str) -> Iterator[Atoms]:
    import ase
    import ase.io
    from ase.io.formats import open_with_compression

    if name == "extxyz":
        yield from read_extended_xyz(path, lambda: open_with_compression(path, "rb"))
        return
    if name in ("db", "json"):
        yield from read_database(path, name)
        return
    try:
        structures = ase.io.read(path, slice(None), name, do_not_split_by_at_sign=True)
    except UnicodeDecodeError:  # a comment in Latin-1, as old programs write
        with open_with_compression(path, "rb") as file:
            text = io.StringIO(file.read().decode("latin-1"))
        structures = ase.io.read(text, slice(None), name)
    for atoms in structures if isinstance(structures, list) else [structures]:
        if not isinstance(atoms, ase.Atoms):
            raise TypeError(f"it gives {type(atoms).__name__}, no atoms")
        yield atoms


def _made_plain(atoms: Atoms, name: str) -> Atoms:
    """Drop values that ASE's readers invent, and convert objects to text."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.spacegroup import Spacegroup

    if name.startswith("lammps-dump") and atoms.calc is not None:
        atoms.calc.results.pop("energy", None)  # ASE's reader sets 0 eV if it finds forces
    calculator: Any = atoms.calc
    if getattr(calculator, "results", None):  # the results belong to these atoms
        held: Any = SinglePointCalculator(atoms)
        held.results, held.name = dict(calculator.results), calculator.name
        atoms.calc = held
    for key, value in atoms.info.items():
        if isinstance(value, Spacegroup):
            atoms.info[key] = value.symbol
    occupancy = atoms.info.get("occupancy") if "spacegroup_kinds" in atoms.arrays else None
    if occupancy and all(list(sites.values()) == [1] for sites in occupancy.values()):
        del atoms.info["occupancy"], atoms.arrays["spacegroup_kinds"]  # they say nothing
    return atoms


def _known(path: str, name: str) -> str:
    """Check the name of a format that ASE reads."""
    from ase.io.formats import ioformats

    readable = [one for one, form in ioformats.items() if form.can_read and one != "jentmax"]
    if name not in readable:
        near = difflib.get_close_matches(name, readable) or ["extxyz", "traj", "db", "vasp"]
        raise JentmaxError(
            f"--format {printable(name)}: ASE reads no such format, for {path}; choose one such as "
            f"{', '.join(near)} (ase info --formats lists them)"
        )
    return "extxyz" if name == "xyz" else name


def _recognised(path: str) -> str:
    """Infer a file's format from its content or its name."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats, open_with_compression

    try:
        with open_with_compression(path, "rb") as file:
            if is_extended_xyz(file.read(_HEAD)):
                return "extxyz"
        name = filetype(path)
    except UnknownFileTypeError:
        name = ""
    except Exception as error:  # damaged packed files raise many types
        raise JentmaxError(
            f"{path} cannot be read: {printable(str(error))[:300]}; copy the file again"
        ) from None
    if name in _ELSEWHERE:
        return name
    if name not in ioformats or not ioformats[name].can_read:
        raise JentmaxError(
            f"{path}: neither its content nor its name shows a format that ASE reads; name the "
            "format (--format), such as extxyz, or convert it to extended XYZ"
        )
    return "extxyz" if name == "xyz" else name


def _unpacked_bytes(path: str) -> int:
    """Bytes of a file, unpacked if it is .gz, .bz2 or .xz, as ASE does.

    Raises:
        JentmaxError: the bytes do not fit into memory, or the file cannot be read.
    """
    from ase.io.formats import get_compression, open_with_compression

    memory = memory_bytes()
    try:
        if get_compression(path)[1] is None:
            n_bytes = os.path.getsize(path)
            open(path, "rb").close()
        else:
            n_bytes = 0
            with open_with_compression(path, "rb") as file:
                while n_bytes <= memory and (block := file.read(1 << 20)):
                    n_bytes += len(block)
    except Exception as error:  # damaged packed files raise many types
        why = getattr(error, "strerror", None) or error
        raise JentmaxError(
            f"{path} cannot be read: {printable(str(why))[:300]}; check its permissions, or copy "
            "the file again"
        ) from None
    if n_bytes > memory:
        raise JentmaxError(
            f"{path} has more than the {memory / 2**30:.0f} GiB of memory of this machine, "
            "unpacked; split it"
        )
    return n_bytes
