"""Structures to the files of other programs, through ASE."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jentmax.dataset.output import partial_path, printable, refuse_existing, writing
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms


def export(
    structures: Iterable[Atoms],
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write structures in any format that ASE writes.

    The columns (V, E_rep, S and so on) are written too if the format has a place for them, as
    .extxyz, .traj and .db have. The path appears when everything is written.

    Args:
        structures: to write: a `Dataset`, `Structures`, or a list of ASE atoms.
        path: of the file, whose ending tells the format. If it ends with "/" or is a folder, each
            structure becomes a file in this folder: ``POSCAR_00000`` and so on, by its
            selection_rank or else its jentmax_index. The same holds for a format that has one
            structure per file.
        format: ASE's name of the format, if the path does not tell it. The default for folders is
            "vasp".
        overwrite: whether existing files may be replaced; in a folder only those of such names.

    Raises:
        JentmaxError: the format is unknown, the path exists, or it cannot be written.
    """
    name, into_folder = _way(path, format)
    listed = list(structures)
    if not listed:
        raise JentmaxError(f"there are no structures to write to {os.fspath(path)}")
    target = Path(os.path.realpath(path))
    if into_folder:
        _write_folder(target, listed, name, overwrite)
        return
    refuse_existing(target, overwrite)
    with writing(target), _scratch(target.parent, target) as scratch:
        _write(scratch / target.name, listed, name)
        refuse_existing(target, overwrite)
        os.replace(scratch / target.name, target)


def refuse_output(
    path: str | os.PathLike[str], format: str | None = None, *, overwrite: bool = False
) -> None:
    """Raise the JentmaxError that `export` would raise for this path, before any work is done."""
    name, into_folder = _way(path, format)
    target = Path(os.path.realpath(path))
    if into_folder:
        _present(target, name, overwrite)
    else:
        refuse_existing(target, overwrite)


def _way(path: str | os.PathLike[str], format: str | None) -> tuple[str, bool]:
    """ASE's name of the format, and whether each structure gets a file of its own in a folder."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    text = os.fspath(path)
    into_folder = text.endswith(("/", os.sep)) or os.path.isdir(text)
    try:
        name = format or ("vasp" if into_folder else filetype(text, read=False))
    except UnknownFileTypeError:
        raise JentmaxError(
            f"{text} has no ending that tells the format; end it with .extxyz, .traj, .db, "
            'with "/" for a folder of POSCAR files, or name the format'
        ) from None
    writable = [name for name, one in ioformats.items() if one.can_write]
    if name not in writable:
        near = difflib.get_close_matches(name, writable) or ["extxyz", "traj", "db", "vasp"]
        raise JentmaxError(
            f"{text}: ASE writes no format {name!r}; choose one such as {', '.join(near)} "
            "(ase info --formats lists them)"
        )
    return name, into_folder or ioformats[name].single


def _write_folder(target: Path, structures: list[Atoms], name: str, overwrite: bool) -> None:
    """One file per structure; the folder may exist and have other files in it."""
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
    present = _present(target, name, overwrite)
    parent = target if os.path.isdir(target) else target.parent
    with writing(target), _scratch(parent, target) as scratch:
        for file, atoms in files.items():
            _write(scratch / file, [atoms], name)
        if parent is not target:
            scratch.rename(target)
            return
        for file in files:
            os.replace(scratch / file, target / file)
        for file in set(present) - set(files):  # of a larger set; it would mix with this one
            (target / file).unlink()


def _present(target: Path, name: str, overwrite: bool) -> list[str]:
    """Files of structures that stand in a folder."""
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
    """Beginning and ending of the names of files in a folder."""
    from ase.io.formats import ioformats

    if name == "vasp":
        return "POSCAR", ""
    return "structure", "." + (ioformats[name].extensions or [name])[0]


@contextmanager
def _scratch(parent: Path, target: Path) -> Iterator[Path]:
    """A folder on the same disk to write in, gone at the end."""
    folder = parent / partial_path(target).name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, structures: list[Atoms], name: str) -> None:
    import ase.db
    import ase.io

    try:
        if name in ("db", "json"):  # ase.io.write would drop atoms.info
            with ase.db.connect(path, type=name, serial=True) as database:  # pyright: ignore[reportGeneralTypeIssues]
                for atoms in structures:
                    data = {k: v for k, v in atoms.arrays.items() if k == "descriptors"}
                    database.write(atoms, key_value_pairs=atoms.info, data=data)
        else:
            options = {"sort": True} if name == "vasp" else {}
            ase.io.write(path, structures, format=name, **options)
    except OSError:
        raise
    except Exception as error:  # whatever some hundred writers may raise
        raise JentmaxError(f"{path.name}: ASE cannot write it as {name!r}: {error}") from error
