"""Write structures as files of other programs, through ASE."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jentmax.dataset._ase import plain_atoms
from jentmax.dataset._held import LABELLED, holds, lost, write_atoms
from jentmax.dataset._reading import read_atoms
from jentmax.dataset.output import partial_path, printable, refuse_existing, through_links, writing
from jentmax.errors import JentmaxError, LeftOut

if TYPE_CHECKING:
    from ase import Atoms

_COMPUTED = {"descriptors"}
"""Values that may be dropped, because `jentmax describe` can recompute them."""


def export(
    structures: Iterable[Atoms],
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write structures in any ASE format.

    The output includes labels and columns (V, E_rep, S and so on). First, some structures are
    written to a temporary folder and read back. If .extxyz, .traj, .db or .json cannot store a
    value, the structures are refused. Other formats are mostly input of programs: they drop values
    that they cannot store, and a `LeftOut` warning names these.

    The path appears only when the output is complete.

    Args:
        structures: structures to write: a `Dataset`, `Structures`, or a list of ASE atoms.
        path: path of the file; its ending determines the format. If it ends with "/" or is a
            folder, each structure becomes a file in this folder: ``POSCAR_00000`` and so on,
            numbered by selection_rank or, without it, jentmax_index. The same holds for formats
            with one structure per file.
        format: ASE's name of the format, by default from the path; for folders, "vasp".
        overwrite: whether existing files may be replaced; in a folder, only files with such names.

    Raises:
        JentmaxError: the format is unknown or cannot store a value, or the path exists or cannot be
            written.
    """
    name, into_folder = _way(path, format)
    listed = _plain(path, structures)
    if not listed:
        raise JentmaxError(f"there are no structures to write to {os.fspath(path)}")
    target = through_links(path)
    if into_folder:
        files = _files(target, listed, name)
        _present(target, name, overwrite)
        _refuse_lost(path, listed, name)
        _write_folder(target, files, name, overwrite)
        return
    refuse_existing(target, overwrite)
    _refuse_lost(path, listed, name)
    with writing(target), _scratch(target.parent, target) as scratch:
        write_atoms(scratch / target.name, listed, name)
        refuse_existing(target, overwrite)
        os.replace(scratch / target.name, target)


def refuse_output(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    overwrite: bool = False,
    structures: Iterable[Atoms] = (),
) -> None:
    """Raise the errors and warnings of `export` before any work.

    Args:
        path: as for `export`.
        format: as for `export`.
        overwrite: as for `export`.
        structures: structures that may be written.

    Raises:
        JentmaxError: as `export`.
    """
    name, into_folder = _way(path, format)
    target = through_links(path)
    if into_folder:
        _present(target, name, overwrite)
    else:
        refuse_existing(target, overwrite)
    _refuse_lost(path, _plain(path, structures), name)


def _plain(path: str | os.PathLike[str], structures: Iterable[Atoms]) -> list[Atoms]:
    from ase import Atoms

    found = []
    for k, atoms in enumerate(structures):
        if not isinstance(atoms, Atoms):
            raise JentmaxError(
                f"{os.fspath(path)}: structure {k} is of the type {type(atoms).__name__}, must be "
                "ase.Atoms"
            )
        found.append(plain_atoms(atoms))
    return found


def _refuse_lost(path: str | os.PathLike[str], structures: Sequence[Atoms], name: str) -> None:
    """Refuse values that a format cannot store, or warn about them."""
    names = lost(structures, name, read_atoms)
    needed = [one for one in names if one not in _COMPUTED]
    if needed and name in LABELLED:
        others = [one for one in LABELLED if one != name and holds(structures, one, read_atoms)]
        where = f"write {' or '.join(others)}, which can, or" if others else "no format here can:"
        raise JentmaxError(
            f"{os.fspath(path)}: the format {name} cannot hold {_listed(needed)}; {where} remove "
            "them first"
        )
    if names:
        warnings.warn(
            f"{os.fspath(path)}: the format {name} does not hold {_listed(names)}; left out",
            LeftOut,
            stacklevel=3,
        )


def _listed(names: Sequence[str]) -> str:
    few = [printable(name)[:60] or "''" for name in names[:12]]
    return ", ".join(few) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _way(path: str | os.PathLike[str], format: str | None) -> tuple[str, bool]:
    """ASE's name of the format, and whether each structure becomes a separate file in a folder."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    text = os.fspath(path)
    into_folder = text.endswith(("/", os.sep)) or os.path.isdir(text)
    try:
        name = format or ("vasp" if into_folder else filetype(text, read=False))
    except UnknownFileTypeError:
        raise JentmaxError(
            f"{text} has no ending that determines the format; end it with .extxyz, .traj, .db, "
            'with "/" for a folder of POSCAR files, or name the format (--output-format)'
        ) from None
    writable = [name for name, one in ioformats.items() if one.can_write]
    if name not in writable:
        near = difflib.get_close_matches(name, writable) or ["extxyz", "traj", "db", "vasp"]
        raise JentmaxError(
            f"{text}: ASE writes no format {name!r}; choose one such as {', '.join(near)} "
            "(ase info --formats lists them)"
        )
    return name, into_folder or ioformats[name].single


def _files(target: Path, structures: Sequence[Atoms], name: str) -> dict[str, Atoms]:
    """Structures by file name."""
    stem, ending = _file_name(name)
    files: dict[str, Atoms] = {}
    for k, atoms in enumerate(structures):
        number = atoms.info.get("selection_rank", atoms.info.get("jentmax_index", k))
        if not isinstance(number, int | np.integer) or number < 0:
            raise JentmaxError(
                f"{target}: the number of structure {k}, its selection_rank or jentmax_index, is "
                f"{printable(repr(number))[:80]}, must be a whole number of at least 0"
            )
        files[f"{stem}_{number:05d}{ending}"] = atoms
    if len(files) != len(structures):
        raise JentmaxError(f"{target}: several structures have the same jentmax_index")
    return files


def _write_folder(target: Path, files: Mapping[str, Atoms], name: str, overwrite: bool) -> None:
    """Write one file per structure; the folder may exist and contain other files."""
    present = _present(target, name, overwrite)
    parent = target if os.path.isdir(target) else target.parent
    with writing(target), _scratch(parent, target) as scratch:
        for file, atoms in files.items():
            write_atoms(scratch / file, [atoms], name)
        if parent is not target:
            scratch.rename(target)
            return
        for file in files:
            os.replace(scratch / file, target / file)
        for file in set(present) - set(files):  # of a larger set; it would mix with this one
            (target / file).unlink()


def _present(target: Path, name: str, overwrite: bool) -> list[str]:
    """Files of structures in a folder."""
    if os.path.isdir(target):
        stem, ending = _file_name(name)
        ours = re.compile(rf"{stem}_\d{{5,}}{re.escape(ending)}")
        present = sorted(file for file in os.listdir(target) if ours.fullmatch(file))
        if present and not overwrite:
            raise JentmaxError(
                f"{target / present[0]} exists; give another folder, or allow it to be replaced "
                "(--overwrite)"
            )
        return present
    if os.path.exists(target):
        raise JentmaxError(
            f"{target} is a file; {name!r} takes a folder, with one file per structure: "
            "give another path"
        )
    if not os.path.isdir(target.parent):
        raise JentmaxError(
            f"{target} cannot be written: there is no folder {target.parent}; create it"
        )
    return []


def _file_name(name: str) -> tuple[str, str]:
    """Prefix and suffix of the file names in a folder."""
    from ase.io.formats import ioformats

    if name == "vasp":
        return "POSCAR", ""
    return "structure", "." + (ioformats[name].extensions or [name])[0]


@contextmanager
def _scratch(parent: Path, target: Path) -> Iterator[Path]:
    """A temporary folder on the same disk."""
    folder = parent / partial_path(target).name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
