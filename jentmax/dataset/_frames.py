"""Detect files with more structures than ASE read: its readers may stop early without an error."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_BEGINS = {
    "vasp-xml": rb"<calculation>",
    "vasp-xdatcar": rb"^\s*Direct configuration\s*=",
    "vasp-out": rb"^\s*POSITION\s+TOTAL-FORCE",
    "lammps-dump-text": rb"^ITEM: TIMESTEP",
    "lammps-data": rb"^\s*Atoms\b",
    "proteindatabank": rb"^MODEL\s",
    "cif": rb"^\s*_atom_site_fract_x\b",
    "sdf": rb"^\$\$\$\$",
    "mol": rb"^\$\$\$\$",
    "gen": rb"^\s*\d+\s+[CSFcsf]\s*$",
    "res": rb"^TITL\b",
    "turbomole": rb"^\$coord\b",
    "runnerdata": rb"^\s*begin\b",
}
"""Patterns that occur once per structure in a file, by ASE's name of the format."""

_ADVICE = "copy it again, or write what can be read to another file (ase convert) and give that one"


def refuse_unread(path: str, name: str, structures: Sequence[Atoms]) -> None:
    """Refuse a file with more structures than were read.

    Args:
        path: of the file.
        name: ASE's name of its format.
        structures: that were read.

    Raises:
        JentmaxError: it holds more structures or atoms, or its end is missing.
    """
    from ase.io.formats import open_with_compression

    n_read = len(structures)
    if name not in _BEGINS and name != "vasp":
        return
    with open_with_compression(path, "rb") as file:
        lines = file.read().splitlines()
    if name == "vasp-xml" and not any(b"</modeling>" in line for line in lines[-9:]):
        raise JentmaxError(
            f"{path}: its end is missing, and steps with it ({n_read} read); {_ADVICE}"
        )
    if name == "vasp":
        _refuse_second_poscar(path, lines, len(structures[0]))
        return
    begins = re.compile(_BEGINS[name])
    n_held = sum(len(begins.findall(line)) for line in lines)
    if n_held > n_read:
        raise JentmaxError(
            f"{path}: it holds {n_held} structures, and {n_read} of them can be read as {name!r}; "
            f"{_ADVICE}"
        )
    if name == "lammps-dump-text":
        claims = [
            int(count)
            for title, count in itertools.pairwise(lines)
            if title.startswith(b"ITEM: NUMBER OF ATOMS")
        ]
        for k, (claim, atoms) in enumerate(zip(claims, structures, strict=False)):
            if claim != len(atoms):
                raise JentmaxError(
                    f"{path}: structure {k} claims {claim} atoms and has {len(atoms)}; it is cut "
                    f"off or damaged: {_ADVICE}"
                )


def _refuse_second_poscar(path: str, lines: Sequence[bytes], n_atoms: int) -> None:
    """Refuse a second structure: only numbers, such as velocities, may follow the positions."""
    modes = [k for k, line in enumerate(lines) if re.match(rb"\s*[dDcCkK][A-Za-z]*\s*$", line)]
    first = next((k for k in modes if k >= 6), len(lines))
    for k, line in enumerate(lines[first + 1 + n_atoms :], first + 1 + n_atoms):
        if re.match(rb"\s*[A-Za-z]", line) and not re.match(rb"\s*(direct|cart|latt)", line, re.I):
            raise JentmaxError(
                f"{path}: something stands after its one structure, from line {k + 1} on; a POSCAR "
                "holds one: give each structure a file, or write an XDATCAR or extended XYZ"
            )
