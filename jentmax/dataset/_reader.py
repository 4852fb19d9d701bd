"""Reading a data set file."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, overload

import numpy as np

from jentmax.dataset._atoms import INFO, as_atoms
from jentmax.dataset._part import Part
from jentmax.dataset._rows import Rows
from jentmax.dataset._schema import atom_columns
from jentmax.dataset._shards import n_asked, open_parts
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms


class Dataset:
    """The structures of a data set, in the order of their index.

    ``len(dataset)``, ``dataset[3]``, ``dataset[-1]``, ``dataset[:10]`` and iteration give ASE
    atoms: V, E_rep, S and the rest in ``atoms.info`` (``jentmax_index``, ``chain``, ``cycle``,
    ``energy_effective``, ``repulsion``, ``entropy``, ``entropy_weight``, ``least_distance``), the
    descriptors in ``atoms.arrays["descriptors"]``. Whole columns are arrays, read when first asked
    for and not to be written to.

    A file that is being written, or whose writer was killed, has the status "running" and shows
    the structures that were in it when it was opened. A set that several processes made, each in a
    file of its own, is read as one, by the path of the file that they have in common; it is
    "complete" when it has all structures.

    Attributes:
        path: of the file.
        paths: of all files of the set, its own first.
        kind: "generated", or "described": descriptors of given structures.
        status: "complete" or "running".
        quarantined: number of attempts discarded because they went non-finite.
        rejected: number of attempts discarded because atoms came too close.
        settings: the resolved settings as TOML.
        seed: of the random numbers.
        versions: of the packages that computed the structures.
        device: that computed the structures.
        created: date and time, UTC, in ISO 8601.
        columns: names of the per-structure columns that the file has.
        scale: standard deviation of each descriptor in the preliminary run, in the descriptors'
            unit, shape (n_features,); S is that of descriptors / scale.
        shift: mean of each descriptor there, shape (n_features,).
        pointer: atoms of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
    """

    def __init__(
        self, path: str | os.PathLike[str], *, shards: bool = True, may_be_empty: bool = False
    ) -> None:
        """Open a file.

        Args:
            path: of the file.
            shards: whether to read what several processes have written beside it too.
            may_be_empty: whether there may be no structures, as when processes begin a set.

        Raises:
            JentmaxError: there is none, or it is no data set, empty, truncated or damaged.
        """
        self.path = Path(path)
        self._cache: dict[str, np.ndarray] = {}
        self._parts: list[Part] = open_parts(self.path, shards)
        try:
            self._read_header()
            self._read_order()
            if not len(self) and not may_be_empty:
                raise JentmaxError(
                    f"{self.path} has no structures; if processes are at work on it, wait for the "
                    "first ones"
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; what was read stays."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Dataset:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def __repr__(self) -> str:
        """Path, number of structures, kind and status."""
        return f"<Dataset {self.path}: {len(self)} structures, {self.kind}, {self.status}>"

    def __len__(self) -> int:
        """Number of structures."""
        return len(self._order)

    @overload
    def __getitem__(self, which: int) -> Atoms: ...
    @overload
    def __getitem__(self, which: slice) -> list[Atoms]: ...
    def __getitem__(self, which: int | slice) -> Atoms | list[Atoms]:
        """One structure, or a list of them.

        Raises:
            IndexError: there is no such structure.
        """
        if isinstance(which, slice):
            return [self._atoms(k) for k in range(*which.indices(len(self)))]
        k = operator.index(which)
        if not -len(self) <= k < len(self):
            raise IndexError(
                f"structure {k} of {self.path}: there are {len(self)}, "
                f"so it must be from {-len(self)} to {len(self) - 1}"
            )
        return self._atoms(k % len(self))

    def __iter__(self) -> Iterator[Atoms]:
        """Structures one by one."""
        return (self._atoms(k) for k in range(len(self)))

    @property
    def index(self) -> np.ndarray:
        """Numbers of the structures, ascending, shape (n,)."""
        return self._structure_column("index")

    @property
    def chain(self) -> np.ndarray:
        """Chain that each structure was harvested from, shape (n,)."""
        return self._structure_column("chain")

    @property
    def cycle(self) -> np.ndarray:
        """Annealing cycle within the chain, shape (n,)."""
        return self._structure_column("cycle")

    @property
    def attempt(self) -> np.ndarray:
        """How often the chain had been started anew before the structure, shape (n,)."""
        return self._structure_column("attempt")

    @property
    def cells(self) -> np.ndarray:
        """Lattice vectors as rows, in Å, shape (n, 3, 3)."""
        return self._structure_column("cell")

    @property
    def periodic(self) -> np.ndarray:
        """1 where a structure is periodic along a lattice vector, 0 where not, shape (n, 3)."""
        return self._structure_column("periodic")

    @property
    def energy(self) -> np.ndarray:
        """Effective energy V = E_rep - K S, in eV, shape (n,)."""
        return self._structure_column("energy")

    @property
    def repulsion(self) -> np.ndarray:
        """E_rep in eV, shape (n,)."""
        return self._structure_column("repulsion")

    @property
    def entropy(self) -> np.ndarray:
        """S in nats, shape (n,)."""
        return self._structure_column("entropy")

    @property
    def entropy_weight(self) -> np.ndarray:
        """K at the end of the cycle, in eV, shape (n,)."""
        return self._structure_column("entropy_weight")

    @property
    def least_distance(self) -> np.ndarray:
        """Least distance of two atoms, in Å, shape (n,)."""
        return self._structure_column("least_distance")

    @property
    def temperature(self) -> np.ndarray:
        """Mean kinetic temperature of the last tenth of the ramp, in K, shape (n,)."""
        return self._structure_column("temperature")

    @property
    def structure_status(self) -> np.ndarray:
        """0 for ok, 1 if attempts at it were discarded before, shape (n,)."""
        return self._structure_column("status")

    @property
    def positions(self) -> np.ndarray:
        """Positions of all atoms, structure after structure, in Å, shape (N, 3)."""
        return self._atom_column("positions")

    @property
    def numbers(self) -> np.ndarray:
        """Atomic numbers of all atoms, shape (N,)."""
        return self._atom_column("numbers")

    @property
    def descriptors(self) -> np.ndarray:
        """Descriptors of all atoms, not scaled, shape (N, n_features)."""
        return self._atom_column("descriptors")

    def rows(self, which: slice = slice(None)) -> Rows:
        """Some structures with all that the file holds of them, as `DatasetWriter.append` takes it.

        Args:
            which: of the structures in the order of their index, without a step.
        """
        first, last, _ = which.indices(len(self))
        atoms = slice(self.pointer[first], self.pointer[max(first, last)])
        columns = {name: self._structure_column(name)[first:last] for name in self.columns}
        return Rows(
            counts=np.diff(self.pointer)[first:last],
            positions=self.positions[atoms],
            numbers=self.numbers[atoms],
            descriptors=self.descriptors[atoms],
            **columns,
        )

    def _read_header(self) -> None:
        first = self._parts[0]
        self.kind, self.seed, self.settings = first.kind, first.seed, first.settings
        self.versions, self.device, self.created = first.versions, first.device, first.created
        self.scale, self.shift, self.columns = first.scale, first.shift, first.columns
        self.paths = tuple(part.path for part in self._parts)

    def _read_order(self) -> None:
        """Which rows there are, in which order, and where their atoms are."""
        parts = self._parts
        self._first_row = np.cumsum([0, *(len(part) for part in parts)])
        self._first_atom = np.cumsum([0, *(part.pointer[-1] for part in parts)])
        firsts = zip(parts, self._first_atom, strict=False)
        self._starts = np.concatenate([part.pointer[:-1] + first for part, first in firsts])
        index = np.concatenate([part.structure_column("index") for part in parts])
        if len(parts) == 1:
            self._order = np.argsort(index, kind="stable")
            self.status = parts[0].status
        else:
            # A merge that was cut short has left structures twice.
            numbers, self._order = np.unique(index, return_index=True)
            self.status = "complete" if len(numbers) >= n_asked(self.settings) else "running"
        counts = np.concatenate([np.diff(part.pointer) for part in parts])
        self.pointer = np.concatenate([[0], np.cumsum(counts[self._order])])
        used = set(self._part_of(self._order).tolist()) if len(parts) > 1 else {0}
        self.quarantined = sum(parts[k].quarantined for k in used)
        self.rejected = sum(parts[k].rejected for k in used)

    def _part_of(self, row: np.ndarray) -> np.ndarray:
        """Numbers of the files that rows lie in."""
        return np.searchsorted(self._first_row, row, side="right") - 1

    def _structure_column(self, name: str) -> np.ndarray:
        if name not in self._cache:
            if name not in self.columns:
                raise JentmaxError(
                    f"{self.path} has no column {name!r}: it is a {self.kind} data set with "
                    f"{', '.join(self.columns)}"
                )
            values = np.concatenate([part.structure_column(name) for part in self._parts])
            self._keep(name, values[self._order])
        return self._cache[name]

    def _atom_column(self, name: str) -> np.ndarray:
        if name not in self._cache:
            values = np.concatenate([part.atom_column(name) for part in self._parts])
            counts = np.diff(self.pointer)
            # Atom a of the sorted structures lies where its structure starts, plus its place in it.
            places = np.arange(self.pointer[-1]) - np.repeat(self.pointer[:-1], counts)
            self._keep(name, values[places + np.repeat(self._starts[self._order], counts)])
        return self._cache[name]

    def _keep(self, name: str, values: np.ndarray) -> None:
        values.flags.writeable = False
        self._cache[name] = values

    def _atoms(self, k: int) -> Atoms:
        row = self._order[k]
        which = int(self._part_of(row))
        start = int(self._starts[row] - self._first_atom[which])
        own = slice(start, start + int(self.pointer[k + 1] - self.pointer[k]))
        atoms = {name: self._parts[which].atom_column(name, own) for name in atom_columns(0)}
        names = [name for name in self.columns if name in ("cell", "periodic", *INFO)]
        return as_atoms({name: self._structure_column(name)[k] for name in names}, atoms)
