"""Descriptors of given structures, from any file that ASE reads."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from jentmax.build import build_descriptor
from jentmax.config import Settings, to_toml
from jentmax.config.settings import MOST_NEIGHBORS, OwnCode
from jentmax.dataset import DatasetWriter, Rows, set_paths
from jentmax.description import Description, save, saved
from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments, HostSearch, many_environments
from jentmax.sharding import Devices, first_devices, n_available
from jentmax.structures import Structures, read_structures
from jentmax.versions import device_name, versions

if TYPE_CHECKING:
    from ase import Atoms

_WORK = 2**17
"""Neighbours, padding included, times features that a device describes in one call: few enough
for its caches and, where there are many features, for its memory."""

_PAIRS_AT_ONCE = 2**18
"""Neighbours that are found before they are described."""

_AHEAD = 4
"""How many times as many are found meanwhile: about as long as a program compiles."""

_FARTHEST = 1e6
"""Å from the origin that an atom may be; at some more the search for neighbours crashes."""

_MOST_IMAGES = 100_000
"""Periodic images of a cell that are searched for neighbours, some ms for each atom."""

_FORMAT = 1
"""Of cached descriptions; to be raised whenever the same input gives something else."""

Report = Callable[[int, int], None]
"""Called with the number of atoms described so far, and of all."""


def _ignore(done: int, atoms: int) -> None:
    """Report nothing."""


def describe(
    structures: Structures | Sequence[Atoms], settings: Settings, report: Report = _ignore
) -> Description:
    """Descriptors of structures of any cell, periodic or not, in float64, on all devices.

    Args:
        structures: to describe.
        settings: whose descriptor and species count.
        report: called with the atoms described so far, and their number in all.

    Returns:
        The description of all atoms, in their order.

    Raises:
        JentmaxError: naming the structure: no atoms, a species without settings, numbers that are
            not finite, or a cell that is flat or far too small.

    >>> import jentmax
    >>> from ase.build import bulk
    >>> description = describe([bulk("W")], jentmax.load("tungsten"))
    >>> description.features.shape, description.neighbors
    ((1, 6), array([14]))
    """
    if not isinstance(structures, Structures):
        structures = Structures.from_atoms(structures)
    descriptor = build_descriptor(settings)
    _check(structures, settings.system.species, descriptor.largest_cutoff)
    devices = first_devices(jax.local_device_count())
    n_atoms = len(structures.numbers)
    features = np.empty((n_atoms, descriptor.n_features))
    neighbors = np.zeros(n_atoms, np.int64)
    nearest = np.full(n_atoms, np.inf)
    capacities: set[int] = set()
    under_way: list[tuple[np.ndarray, Array]] = []

    def collect() -> None:
        for atoms, values in under_way:
            features[atoms] = np.asarray(values)[0, :, : len(atoms)].T
        under_way.clear()

    pieces = _pieces(structures, settings, descriptor.largest_cutoff)
    for first, counts, displacements, species, neighbor_species in _ahead(pieces):
        starts = np.cumsum(counts) - counts
        some = np.flatnonzero(counts)
        distances = np.sqrt(np.einsum("pc,pc->p", displacements, displacements))
        neighbors[first : first + len(counts)] = counts
        nearest[first + some] = np.minimum.reduceat(distances, starts[some])
        collect()
        for atoms, capacity in _blocks(counts, descriptor.n_features, devices, capacities):
            own = np.maximum(atoms, 0)
            environments = many_environments(
                starts[own],
                np.where(atoms < 0, 0, counts[own]),
                displacements,
                species[own],
                neighbor_species,
                descriptor.largest_cutoff,
                capacity,
            )
            with jax.enable_x64(True):
                values = _features(devices, descriptor, devices.split(environments))
            under_way.append((first + atoms[atoms >= 0], values))
        report(first + len(counts), n_atoms)
    collect()
    return Description(features, neighbors, nearest, len(capacities))


def described(
    path: str | os.PathLike[str],
    settings: Settings,
    cache: Path | None = None,
    report: Report = _ignore,
) -> tuple[Structures, Description]:
    """The structures of a file and their description.

    Both are kept in ``cache``; they are computed anew if the file's content or name, the
    descriptor's settings or the species change. Where nothing can be written there is no cache.

    Args:
        path: of any file that ASE reads, or a data set.
        settings: whose descriptor and species count.
        cache: `jentmax.devices.cache_folder`, or None.
        report: as for `describe`; not called if nothing needs to be computed.

    Raises:
        JentmaxError: as `read_structures` and `describe`.
    """
    kept = cache and _kept(Path(path), settings, cache)
    if kept and (known := saved(kept)):
        return known
    structures = read_structures(path)
    with _naming(path):
        description = describe(structures, settings, report)
    if kept:
        with contextlib.suppress(OSError):
            save(kept, structures, description)
    return structures, description


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
    structures, description = described(path, settings)
    values = description.features
    with DatasetWriter.create(
        output,
        settings_toml=to_toml(settings),
        seed=settings.run.seed,
        device=device_name(n_available()),
        scale=values.std(axis=0),
        shift=values.mean(axis=0),
        versions=versions(),
        overwrite=overwrite,
        kind="described",
    ) as writer:
        writer.append(
            Rows(
                index=np.arange(len(structures)),
                counts=structures.counts,
                cell=structures.cells,
                periodic=structures.periodic,
                positions=structures.positions,
                numbers=structures.numbers,
                descriptors=values,
            )
        )
    return Path(output)


def _check(structures: Structures, symbols: Sequence[str], cutoff: float) -> None:
    """Refuse what cannot be described, naming the first such structure."""
    from ase.data import atomic_numbers, chemical_symbols

    known = [atomic_numbers[symbol] for symbol in symbols]
    foreign = ~np.isin(structures.numbers, known)
    if foreign.any():
        k = int(np.searchsorted(structures.pointer, np.argmax(foreign), side="right")) - 1
        own = slice(structures.pointer[k], structures.pointer[k + 1])
        unknown = sorted({chemical_symbols[n] for n in structures.numbers[own][foreign[own]]})
        raise JentmaxError(
            f"structure {k}: species {', '.join(unknown)} without settings, system.species = "
            f"{json.dumps(symbols)}; name all species, for example "
            f"--set 'system.species={json.dumps([*symbols, *unknown])}'"
        )
    far = np.abs(structures.positions).max(axis=1, initial=0) > _FARTHEST
    wide = np.abs(structures.cells).max(axis=(1, 2), initial=0) > _FARTHEST
    if far.any() or wide.any():
        k = int(np.searchsorted(structures.pointer, np.argmax(far), side="right")) - 1
        k = k if far.any() else int(np.argmax(wide))
        raise JentmaxError(
            f"structure {k}: a position or a lattice vector is longer than {_FARTHEST:g} Å; "
            "correct or remove the structure"
        )
    periods = structures.cells * structures.periodic[:, :, None]
    flat = np.linalg.matrix_rank(periods) < structures.periodic.sum(axis=1)
    if flat.any():
        k = int(np.argmax(flat))
        raise JentmaxError(
            f"structure {k}: cell = {structures.cells[k].tolist()} is flat along a periodic "
            "direction; give three independent lattice vectors, or set pbc false where there is "
            "no period"
        )
    # Distances of the lattice planes; 0 in their inverse where there is no period.
    inverse_heights = np.linalg.norm(np.linalg.pinv(periods), axis=1)
    images = np.prod(2 * np.ceil(cutoff * inverse_heights) + 1, axis=1)
    if (images > _MOST_IMAGES).any():
        k = int(np.argmax(images > _MOST_IMAGES))
        raise JentmaxError(
            f"structure {k}: cell = {structures.cells[k].tolist()} is so thin that {images[k]:.3g} "
            f"images of it lie within descriptor.cutoff, {cutoff:g} Å; at most {_MOST_IMAGES} are "
            "allowed: correct the cell, or lower descriptor.cutoff"
        )
    bulk = structures.periodic.all(axis=1)
    volumes = np.where(bulk, np.abs(np.linalg.det(structures.cells)), np.inf)
    neighbors = 4 / 3 * math.pi * cutoff**3 * structures.counts / volumes
    if (neighbors > MOST_NEIGHBORS).any():
        k = int(np.argmax(neighbors > MOST_NEIGHBORS))
        raise JentmaxError(
            f"structure {k}: its cell of {volumes[k]:.3g} Å^3 gives an atom about "
            f"{neighbors[k]:.3g} neighbours within descriptor.cutoff, {cutoff:g} Å; at most "
            f"{MOST_NEIGHBORS} are allowed: correct the cell, or lower descriptor.cutoff"
        )


class _Piece(NamedTuple):
    """Some structures' atoms and their neighbours, as `many_environments` wants them."""

    first: int
    counts: np.ndarray
    displacements: np.ndarray
    species: np.ndarray
    neighbor_species: np.ndarray


def _pieces(structures: Structures, settings: Settings, cutoff: float) -> Iterator[_Piece]:
    """All structures, as many at once as have some number of neighbours."""
    from ase.data import atomic_numbers

    search = HostSearch(cutoff)
    kinds = np.zeros(len(atomic_numbers), np.int32)
    for kind, symbol in enumerate(settings.system.species):
        kinds[atomic_numbers[symbol]] = kind
    species = kinds[structures.numbers]
    pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    begin = n_pairs = 0
    pointer = structures.pointer.tolist()
    for k, (start, end) in enumerate(itertools.pairwise(pointer)):
        counts, indices, displacements = search(
            structures.positions[start:end], structures.cells[k], structures.periodic[k]
        )
        pending.append((counts, start + indices, displacements))
        n_pairs += len(indices)
        if n_pairs > _PAIRS_AT_ONCE or k + 1 == len(structures):
            counts, indices, displacements = map(np.concatenate, zip(*pending, strict=True))
            yield _Piece(begin, counts, displacements, species[begin:end], species[indices])
            pending, begin, n_pairs = [], end, 0


def _blocks(
    counts: np.ndarray, n_features: int, devices: Devices, capacities: set[int]
) -> Iterator[tuple[np.ndarray, int]]:
    """Atoms to be described in one call, padded with -1, and room for neighbours.

    Atoms with like numbers of neighbours stand together. Another room for neighbours is added to
    ``capacities`` only where the known ones are too small or waste much: compiling takes as long
    as describing some hundred thousand atoms.
    """
    order = np.argsort(-counts, kind="stable")
    while len(order):
        most = max(8, int(counts[order[0]]))
        fitting = [capacity for capacity in capacities if most <= capacity <= 4 * most]
        capacity = min(fitting, default=1 << (most - 1).bit_length())
        capacities.add(capacity)
        on_each = max(8, _WORK // (capacity * n_features) // 8 * 8)
        atoms, order = np.split(order, [on_each * devices.mesh.size])
        yield (
            np.pad(atoms, (0, on_each * devices.mesh.size - len(atoms)), constant_values=-1),
            capacity,
        )


def _ahead(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """The same; the next few are made while one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, pieces, None) for _ in range(_AHEAD))
        while (piece := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, pieces, None))
            yield piece


@eqx.filter_jit
def _features(
    devices: Devices, descriptor: Callable[[Environments], Array], environments: Environments
) -> Array:
    return devices.each(lambda shared, own: shared(own), descriptor, environments)


def _kept(path: Path, settings: Settings, cache: Path) -> Path | None:
    """Where the description of a file is kept; None if the file cannot be read.

    None too for descriptors of the user's: nothing tells when their code has changed.
    """
    if isinstance(settings.descriptor, OwnCode):
        return None
    content = []
    try:
        for name in set_paths(path):
            with open(name, "rb") as file:
                content.append(hashlib.file_digest(file, "sha256").hexdigest())
    except OSError:
        return None
    given = {
        "format": _FORMAT,
        "versions": versions(),
        "content": content,
        "name": path.name,  # ASE looks at it to know the format
        "descriptor": settings.descriptor.model_dump(mode="json"),
        "species": settings.system.species,
    }
    key = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
    return cache / "descriptors" / f"{key[:32]}.npz"


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in what is said of a structure."""
    try:
        yield
    except JentmaxError as error:
        raise JentmaxError(f"{path}, {error}") from None
