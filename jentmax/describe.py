"""Descriptors of given structures, from any file that ASE reads."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jentmax.build import build_descriptor
from jentmax.config import Settings, to_toml
from jentmax.config.settings import MOST_NEIGHBORS
from jentmax.dataset import Dataset, DatasetWriter, Rows
from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments, host_environments
from jentmax.versions import device_name, versions

if TYPE_CHECKING:
    from ase import Atoms

_ATOMS = 1024
"""Atoms described in one compiled call."""

_NEIGHBORS = 8
"""Room for neighbours is rounded up to a multiple of this, so that few shapes are compiled."""


def read_structures(path: str | os.PathLike[str]) -> list[Atoms]:
    """All structures of a file: jentmax's own, or any that ASE reads.

    Raises:
        JentmaxError: if the file is missing, empty or cannot be read.
    """
    import ase.io
    import h5py

    text = os.fspath(path)
    if not os.path.exists(text):
        raise JentmaxError(f"{text}: no such file; give one that ASE reads, or a data set")
    if h5py.is_hdf5(text):
        with Dataset(text) as dataset:
            return list(dataset)
    try:
        structures = ase.io.read(text, index=":")
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise JentmaxError(
            f"{text}: ASE cannot read it ({type(error).__name__}: {error}); give a file of a "
            "format that ASE knows, such as extended XYZ"
        ) from None
    if not isinstance(structures, list) or not structures:
        raise JentmaxError(f"{text}: no structures in it; give a file with at least one")
    return structures


def describe(
    structures: Sequence[Atoms], settings: Settings
) -> Iterator[Float[np.ndarray, "n_atoms n_features"]]:
    """Descriptors of structures of any cell, periodic or not, in float64.

    Args:
        structures: to describe.
        settings: whose descriptor and species count.

    Yields:
        The features of each structure's atoms, not scaled.

    Raises:
        JentmaxError: naming the structure: no atoms, a species without settings, numbers that are
            not finite, or a cell that is flat or far too small.

    >>> import jentmax
    >>> from ase.build import bulk
    >>> [features] = describe([bulk("W")], jentmax.load("tungsten"))
    >>> features.shape
    (1, 6)
    """
    descriptor = build_descriptor(settings)
    for packed, counts in _packed(_environments(structures, settings, descriptor)):
        with jax.enable_x64(True):
            features = np.asarray(_features(descriptor, jax.tree.map(jnp.asarray, packed)))
        yield from np.split(features[: sum(counts)], np.cumsum(counts)[:-1])


def describe_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    overwrite: bool = False,
) -> Path:
    """Write a file's structures with their descriptors as a data set.

    The set's scale and shift are the standard deviation and the mean over its own atoms.

    Args:
        path: of any file that ASE reads, or a data set.
        output: path of the data set file to make.
        settings: whose descriptor and species count.
        overwrite: whether an existing output may be replaced.

    Returns:
        The output's path.

    Raises:
        JentmaxError: as `read_structures` and `describe`, or if the output cannot be written.
    """
    structures = read_structures(path)
    try:
        features = list(describe(structures, settings))
    except JentmaxError as error:
        raise JentmaxError(f"{path}, {error}") from None
    values = np.concatenate(features)
    with DatasetWriter.create(
        output,
        settings_toml=to_toml(settings),
        seed=settings.run.seed,
        device=device_name(1),
        scale=values.std(axis=0),
        shift=values.mean(axis=0),
        versions=versions(),
        overwrite=overwrite,
        kind="described",
    ) as writer:
        writer.append(
            Rows(
                index=np.arange(len(structures)),
                counts=[len(atoms) for atoms in structures],
                cell=np.array([atoms.cell.array for atoms in structures]),
                periodic=np.array([atoms.pbc for atoms in structures]),
                positions=np.concatenate([atoms.positions for atoms in structures]),
                numbers=np.concatenate([atoms.numbers for atoms in structures]),
                descriptors=values,
            )
        )
    return Path(output)


def _environments(
    structures: Sequence[Atoms], settings: Settings, descriptor: Snap
) -> Iterator[Environments]:
    symbols, cutoff = settings.system.species, descriptor.largest_cutoff
    for number, atoms in enumerate(structures):
        if problem := _problem(atoms, symbols, cutoff):
            raise JentmaxError(f"structure {number}: {problem}")
        species = np.array([symbols.index(symbol) for symbol in atoms.get_chemical_symbols()])
        yield host_environments(
            atoms.positions,
            atoms.cell.array,
            species,
            cutoff,
            (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        )


def _problem(atoms: Atoms, symbols: Sequence[str], cutoff: float) -> str:
    """Why a structure cannot be described, and what to do; empty if it can."""
    if len(atoms) == 0:
        return "it has no atoms; remove it"
    for name, values in (("positions", atoms.positions), ("cell", atoms.cell.array)):
        if not np.all(np.isfinite(values)):
            row = int(np.argmin(np.all(np.isfinite(values), axis=1)))
            return (
                f"{name}[{row}] = {values[row].tolist()}, must be three finite numbers in Å; "
                "correct or remove the structure"
            )
    if unknown := sorted(set(atoms.get_chemical_symbols()) - set(symbols)):
        return (
            f"species {', '.join(unknown)} without settings, system.species = "
            f"{json.dumps(symbols)}; name all species, for example "
            f"--set 'system.species={json.dumps([*symbols, *unknown])}'"
        )
    periods = atoms.cell.array[atoms.pbc]
    if len(periods) and np.linalg.matrix_rank(periods) < len(periods):
        return (
            f"cell = {atoms.cell.array.tolist()} is flat along a periodic direction; give three "
            "independent lattice vectors, or set pbc false where there is no period"
        )
    if atoms.pbc.all():
        neighbors = 4 / 3 * math.pi * cutoff**3 * len(atoms) / atoms.cell.volume
        if neighbors > MOST_NEIGHBORS:
            return (
                f"its cell of {atoms.cell.volume:.3g} Å^3 gives an atom about {neighbors:.3g} "
                f"neighbours within descriptor.cutoff, {cutoff:g} Å; at most {MOST_NEIGHBORS} are "
                "allowed: correct the cell, or lower descriptor.cutoff"
            )
    return ""


def _packed(
    environments: Iterable[Environments],
) -> Iterator[tuple[Environments, list[int]]]:
    """Structures packed together up to a fixed number of atoms, with their numbers of atoms."""
    pending: list[Environments] = []
    for one in environments:
        if pending and sum(len(other.species) for other in [*pending, one]) > _ATOMS:
            yield _pack(pending)
            pending = []
        pending.append(one)
    if pending:
        yield _pack(pending)


def _pack(pending: Sequence[Environments]) -> tuple[Environments, list[int]]:
    counts = [len(one.species) for one in pending]
    n_atoms = -(-sum(counts) // _ATOMS) * _ATOMS
    most = max(one.mask.shape[1] for one in pending)
    n_neighbors = -(-most // _NEIGHBORS) * _NEIGHBORS
    # The padding's distance is far from 0, and nothing else about it matters.
    displacements = np.ones((3, n_atoms, n_neighbors))
    mask = np.zeros((n_atoms, n_neighbors), bool)
    species = np.zeros(n_atoms, np.int32)
    neighbor_species = np.zeros((n_atoms, n_neighbors), np.int32)
    first = 0
    for one, count in zip(pending, counts, strict=True):
        atoms, slots = slice(first, first + count), slice(one.mask.shape[1])
        displacements[:, atoms, slots] = one.displacements
        mask[atoms, slots] = one.mask
        species[atoms] = one.species
        neighbor_species[atoms, slots] = one.neighbor_species
        first += count
    packed = Environments(displacements, mask, species, neighbor_species)  # pyright: ignore[reportArgumentType]
    return packed, counts


@eqx.filter_jit
def _features(descriptor: Snap, environments: Environments) -> Array:
    return descriptor(environments)
