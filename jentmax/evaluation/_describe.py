"""Compute the descriptors of given structures."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from jentmax.callables import as_descriptor, cutoff_of
from jentmax.dataset import Structures
from jentmax.devices import compiler_options, workers
from jentmax.errors import JentmaxError
from jentmax.evaluation._description import Description
from jentmax.evaluation._descriptor import Descriptor
from jentmax.neighbors import (
    Environments,
    HostSearch,
    compact_cells,
    many_environments,
    n_images,
)

if TYPE_CHECKING:
    from ase import Atoms

_WORK = 2**17
"""Number of neighbours, including padding, times number of features in one call on a device: small
enough for its caches and, with many features, for its memory."""

_PAIRS_AT_ONCE = 2**18
"""Number of neighbours in one piece of the search."""

_AHEAD = 4
"""Number of pieces to search in advance: finding them takes about as long as compiling."""

_FARTHEST = 1e6
"""Maximum distance of an atom from the origin in Å; far beyond it, the neighbour search crashes."""

_MOST_IMAGES = 100_000
"""Maximum number of periodic images to search for neighbours, some ms for each atom."""

_MOST_NEIGHBORS = 2000
"""Approximate maximum number of neighbours of an atom; structures with more are refused."""

_Item = TypeVar("_Item")

CountCallback = Callable[[int, int], None]
"""Called with the number of described atoms and the number of all atoms."""


def ignore(done: int, atoms: int) -> None:
    """Do nothing."""


def describe(
    structures: Structures | Sequence[Atoms],
    descriptor: Descriptor,
    callback: CountCallback = ignore,
) -> Description:
    """Describe structures with any cell, periodic or not, in float64, on all devices.

    Every CPU core or every GPU describes some of the atoms. The number of devices does not change
    the features.

    Args:
        structures: structures to describe.
        descriptor: environments -> features; a callable of one structure's environments needs an
            attribute ``cutoff`` in Å.
        callback: called with the number of described atoms and the number of all atoms.

    Returns:
        The description of all atoms, in their order.

    Raises:
        JentmaxError: the descriptor has no cutoff or fails its test, or a structure has no atoms,
            an element that the descriptor does not know, numbers that are not finite, or a cell
            that is flat or far too small. The message names the first bad structure.

    >>> import jentmax
    >>> from ase.build import bulk
    >>> description = describe([bulk("W")], jentmax.Snap(cutoff=4.0, components=6))
    >>> description.features.shape, description.neighbors
    ((1, 6), array([14]))
    """
    if not isinstance(structures, Structures):
        structures = Structures.from_ase(structures)
    batched = as_descriptor(descriptor, cutoff=None)
    cutoff = cutoff_of(batched)
    assert cutoff is not None  # `as_descriptor` ensures this
    structures = _checked(structures, getattr(batched, "elements", ()), cutoff)
    n_atoms = len(structures.numbers)
    features = np.empty((n_atoms, batched.n_features))
    neighbors, nearest = np.zeros(n_atoms, np.int64), np.full(n_atoms, np.inf)
    capacities: set[int] = set()
    devices, first_call = itertools.cycle(workers()), _FirstCall()

    def describe_block(piece: _Piece, atoms: np.ndarray, capacity: int, device: Any) -> None:
        environments = piece.environments(atoms, cutoff, capacity)
        with jax.enable_x64(True), first_call((device, capacity)):
            values = np.asarray(_features(batched, environments, device))
        real = atoms[atoms >= 0]
        features[piece.first + real] = values[0, :, : len(real)].T

    def begin(piece: _Piece) -> list[Future[None]]:
        own = slice(piece.first, piece.first + len(piece.counts))
        neighbors[own], nearest[own] = piece.counts, piece.nearest()
        return [
            threads.submit(describe_block, piece, atoms, capacity, next(devices))
            for atoms, capacity in _blocks(piece.counts, batched.n_features, capacities)
        ]

    with _threads(len(workers())) as threads:
        begun = ((piece, begin(piece)) for piece in _ahead(_pieces(structures, cutoff)))
        for piece, calls in _one_behind(begun):
            for call in calls:
                call.result()
            callback(piece.first + len(piece.counts), n_atoms)
    return Description(features, neighbors, nearest, len(capacities))


def _checked(structures: Structures, symbols: Sequence[str], cutoff: float) -> Structures:
    """The structures with compact cells, which have fewer images nearby; refuses bad structures."""
    from ase.data import atomic_numbers, chemical_symbols

    structures.check()
    foreign = np.zeros(len(structures.numbers), bool)
    if symbols:
        foreign = ~np.isin(structures.numbers, [atomic_numbers[symbol] for symbol in symbols])
    if foreign.any():
        k = int(np.searchsorted(structures.pointer, np.argmax(foreign), side="right")) - 1
        own = slice(structures.pointer[k], structures.pointer[k + 1])
        unknown = sorted({chemical_symbols[n] for n in structures.numbers[own][foreign[own]]})
        known = json.dumps(list(symbols))
        raise JentmaxError(
            f"structure {k}: the descriptor does not know the elements {', '.join(unknown)}, "
            f"descriptor.elements = {known}; name all elements, for example "
            f"--set 'descriptor.elements={json.dumps([*symbols, *unknown])}'"
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
    periods = structures.cells * structures.pbc[:, :, None]
    flat = np.linalg.matrix_rank(periods) < structures.pbc.sum(axis=1)
    if flat.any():
        k = int(np.argmax(flat))
        raise JentmaxError(
            f"structure {k}: cell = {structures.cells[k].tolist()} is flat along a periodic "
            "direction; give three independent lattice vectors, or set pbc false where there is "
            "no period"
        )
    cells = compact_cells(structures.cells, structures.pbc, cutoff)
    images = n_images(cells, structures.pbc, cutoff)
    if (images > _MOST_IMAGES).any():
        k = int(np.argmax(images > _MOST_IMAGES))
        raise JentmaxError(
            f"structure {k}: cell = {structures.cells[k].tolist()} is so thin that {images[k]:.3g} "
            f"images of it lie within descriptor.cutoff, {cutoff:g} Å; at most {_MOST_IMAGES} are "
            "allowed: correct the cell, or lower descriptor.cutoff"
        )
    bulk = structures.pbc.all(axis=1)
    volumes = np.where(bulk, np.abs(np.linalg.det(structures.cells)), np.inf)
    neighbors = 4 / 3 * math.pi * cutoff**3 * structures.counts / volumes
    if (neighbors > _MOST_NEIGHBORS).any():
        k = int(np.argmax(neighbors > _MOST_NEIGHBORS))
        raise JentmaxError(
            f"structure {k}: its cell of {volumes[k]:.3g} Å^3 gives an atom about "
            f"{neighbors[k]:.3g} neighbours within descriptor.cutoff, {cutoff:g} Å; at most "
            f"{_MOST_NEIGHBORS} are allowed: correct the cell, or lower descriptor.cutoff"
        )
    return dataclasses.replace(structures, cells=cells)


class _Piece(NamedTuple):
    """Atoms of some structures and their neighbours, sorted by atom."""

    first: int
    counts: np.ndarray
    displacements: np.ndarray
    numbers: np.ndarray
    neighbor_numbers: np.ndarray

    def starts(self) -> np.ndarray:
        """Row of each atom's first neighbour."""
        return np.cumsum(self.counts) - self.counts

    def nearest(self) -> np.ndarray:
        """Distance to each atom's nearest neighbour in Å, inf without neighbours."""
        nearest = np.full(len(self.counts), np.inf)
        some = np.flatnonzero(self.counts)
        distances = np.sqrt(np.einsum("pc,pc->p", self.displacements, self.displacements))
        nearest[some] = np.minimum.reduceat(distances, self.starts()[some])
        return nearest

    def environments(self, atoms: np.ndarray, cutoff: float, capacity: int) -> Environments:
        """Environments of some atoms; number -1 means an atom without neighbours."""
        own = np.maximum(atoms, 0)
        return many_environments(
            self.starts()[own],
            np.where(atoms < 0, 0, self.counts[own]),
            self.displacements,
            self.numbers[own],
            self.neighbor_numbers,
            cutoff,
            capacity,
        )


def _pieces(structures: Structures, cutoff: float) -> Iterator[_Piece]:
    """Split all structures into pieces with limited numbers of neighbours."""
    search = HostSearch(cutoff)
    numbers = structures.numbers
    pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    begin = n_pairs = 0
    pointer = structures.pointer.tolist()
    for k, (start, end) in enumerate(itertools.pairwise(pointer)):
        counts, indices, displacements = search(
            structures.positions[start:end], structures.cells[k], structures.pbc[k]
        )
        pending.append((counts, start + indices, displacements))
        n_pairs += len(indices)
        if n_pairs > _PAIRS_AT_ONCE or k + 1 == len(structures):
            counts, indices, displacements = map(np.concatenate, zip(*pending, strict=True))
            yield _Piece(begin, counts, displacements, numbers[begin:end], numbers[indices])
            pending, begin, n_pairs = [], end, 0


def _blocks(
    counts: np.ndarray, n_features: int, capacities: set[int]
) -> Iterator[tuple[np.ndarray, int]]:
    """Split atoms into blocks for one call, padded with -1, with their capacity for neighbours.

    The atoms of a block have similar numbers of neighbours. A new capacity is added to
    ``capacities`` only if the known ones are too small or waste much: compiling takes as long as
    describing some hundred thousand atoms.
    """
    order = np.argsort(-counts, kind="stable")
    while len(order):
        most = max(8, int(counts[order[0]]))
        fitting = [capacity for capacity in capacities if most <= capacity <= 4 * most]
        capacity = min(fitting, default=1 << (most - 1).bit_length())
        capacities.add(capacity)
        length = max(8, _WORK // (capacity * n_features) // 8 * 8)
        atoms, order = np.split(order, [length])
        yield np.pad(atoms, (0, length - len(atoms)), constant_values=-1), capacity


def _ahead(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Yield the same pieces, while a thread computes the next few."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, pieces, None) for _ in range(_AHEAD))
        while (piece := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, pieces, None))
            yield piece


@contextlib.contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that start no further calls after an exception."""
    with ThreadPoolExecutor(count) as threads:
        try:
            yield threads
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _one_behind(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the same items, each after taking the next one."""
    ended = itertools.chain(items, [None])
    return (before for before, _ in itertools.pairwise(ended))  # pyright: ignore[reportReturnType]


class _FirstCall:
    """Lets one thread make the first call of a program, which compiles it for the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._compiled: set[Hashable] = set()

    @contextlib.contextmanager
    def __call__(self, program: Hashable) -> Iterator[None]:
        if program in self._compiled:
            yield
            return
        with self._lock:
            yield
            self._compiled.add(program)


def _features(descriptor: Descriptor, environments: Environments, device: Any) -> Array:
    """Features of n atoms, each a replica with one atom, shape (1, n_features, n)."""
    return _program(device.platform)(descriptor, jax.device_put(environments, device))


@functools.cache
def _program(platform: str) -> Callable[[Descriptor, Environments], Array]:
    def features(descriptor: Descriptor, environments: Environments) -> Array:
        return descriptor(environments)

    options: dict[str, Any] = {"compiler_options": compiler_options(platform)}
    return eqx.filter_jit(features, **options)
