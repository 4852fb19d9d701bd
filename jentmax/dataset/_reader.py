"""Reading a data set file."""

from __future__ import annotations

import contextlib
import json
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, overload

import h5py
import numpy as np

from jentmax.dataset._contents import attribute, check_memory, check_sizes, has
from jentmax.dataset._opening import (
    check_column,
    check_format,
    check_numbers,
    open_file,
    reading,
    text,
)
from jentmax.dataset._rows import Rows
from jentmax.dataset._schema import (
    ATTRIBUTES,
    KINDS,
    POINTER,
    SCALING,
    STATUSES,
    STRUCTURE_COLUMNS,
    Column,
    atom_columns,
    column_of,
    required_columns,
)
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

# Columns that go into atoms.info, by the names they have there.
_INFO = {
    "index": "jentmax_index",
    "chain": "chain",
    "cycle": "cycle",
    "energy": "energy_effective",  # "energy" is what a DFT code is to fill in
    "repulsion": "repulsion",
    "entropy": "entropy",
    "entropy_weight": "entropy_weight",
    "least_distance": "least_distance",
}


class Dataset:
    """The structures of a data set file, in the order of their index.

    ``len(dataset)``, ``dataset[3]``, ``dataset[-1]``, ``dataset[:10]`` and iteration give ASE
    atoms: V, E_rep, S and the rest in ``atoms.info`` (``jentmax_index``, ``chain``, ``cycle``,
    ``energy_effective``, ``repulsion``, ``entropy``, ``entropy_weight``, ``least_distance``), the
    descriptors in ``atoms.arrays["descriptors"]``. Whole columns are arrays, read when first asked
    for and not to be written to.

    A file that is being written, or whose writer was killed, has the status "running" and shows
    the structures that were in it when it was opened.

    Attributes:
        path: of the file.
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

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file.

        Args:
            path: of the file.

        Raises:
            JentmaxError: there is none, or it is no data set, truncated or damaged.
        """
        self.path = Path(path)
        self._file: h5py.File | None = open_file(self.path)
        self._cache: dict[str, np.ndarray] = {}
        try:
            with self._reading() as file:
                self._read_header(file)
                # The writer extends the pointer last and it is read first: the structures it
                # counts are whole in all other columns, whatever is appended meanwhile.
                self._stored_pointer = self._whole(file, "structures/pointer", POINTER)
                self._check_columns(file)
                self._read_order(file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; what was read stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

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

    @contextlib.contextmanager
    def _reading(self) -> Iterator[h5py.File]:
        """The open file, for reading from."""
        if self._file is None:
            raise JentmaxError(f"{self.path} is closed; read from it before closing it")
        with reading(self.path):
            yield self._file

    def _read_header(self, file: h5py.File) -> None:
        check_format(self.path, file)
        told = {name: text(attribute(file, name)) for name in ATTRIBUTES}
        self.kind, self.status = told["kind"], told["status"]
        for name, allowed in (("kind", KINDS), ("status", STATUSES)):
            if told[name] not in allowed:
                raise ValueError(f"attribute {name} is {told[name]!r}")
        self.quarantined, self.rejected = int(told["quarantined"]), int(told["rejected"])
        self.settings = told["settings"]
        self.seed = int(told["seed"])
        self.versions: dict[str, str] = json.loads(told["versions"])
        if not isinstance(self.versions, dict):
            raise ValueError("attribute versions is no table")
        self.device, self.created = told["device"], told["created"]
        self.scale = self._whole(file, "scaling/scale", SCALING)
        self.shift = self._whole(file, "scaling/shift", SCALING)
        if len(self.scale) != len(self.shift):
            raise ValueError("scaling/scale and scaling/shift differ in length")

    def _whole(self, file: h5py.File, name: str, column: Column) -> np.ndarray:
        """All of a column that is read before the others are looked at."""
        dataset = column_of(file, name)
        check_column(self.path, name, dataset, column)
        check_sizes(file, [name])
        return dataset[:]

    def _check_columns(self, file: h5py.File) -> None:
        self.columns = tuple(name for name in STRUCTURE_COLUMNS if has(file, f"structures/{name}"))
        names = {*self.columns, *required_columns(self.kind)}
        needed = {f"structures/{name}": STRUCTURE_COLUMNS[name] for name in names}
        needed["structures/pointer"] = POINTER
        needed |= {f"atoms/{n}": column for n, column in atom_columns(len(self.scale)).items()}
        if missing := sorted(name for name in needed if not has(file, name)):
            raise JentmaxError(
                f"{self.path} lacks {', '.join(missing)}, which a {self.kind} data set must have; "
                "generate it anew"
            )
        for name, column in needed.items():
            check_column(self.path, name, column_of(file, name), column)
        check_sizes(file, needed)

    def _read_order(self, file: h5py.File) -> None:
        """How many structures there are, where their atoms are, and their order."""
        pointer = self._stored_pointer
        n = len(pointer) - 1
        lengths = [len(column_of(file, f"structures/{name}")) for name in self.columns]
        self._atom_datasets = {name: column_of(file, f"atoms/{name}") for name in atom_columns(0)}
        if (
            n < 1
            or pointer[0] != 0
            or (pointer[1:] <= pointer[:-1]).any()
            or min(lengths) < n
            or min(len(dataset) for dataset in self._atom_datasets.values()) < pointer[-1]
        ):
            raise JentmaxError(
                f"{self.path} is damaged: structures/pointer does not fit the other columns; "
                "copy it again or generate it anew"
            )
        index = column_of(file, "structures/index")[:n]
        self._order = np.argsort(index, kind="stable")
        self.pointer = np.concatenate([[0], np.cumsum(np.diff(pointer)[self._order])])

    def _structure_column(self, name: str) -> np.ndarray:
        if name not in self._cache:
            if name not in self.columns:
                raise JentmaxError(
                    f"{self.path} has no column {name!r}: it is a {self.kind} data set with "
                    f"{', '.join(self.columns)}"
                )
            with self._reading() as file:
                column = column_of(file, f"structures/{name}")
                check_memory(file, column, len(self))
                values = column[: len(self)]
            self._keep(name, values[self._order])
        return self._cache[name]

    def _atom_column(self, name: str) -> np.ndarray:
        if name not in self._cache:
            with self._reading() as file:
                check_memory(file, self._atom_datasets[name], self._stored_pointer[-1])
                values = self._atom_datasets[name][: self._stored_pointer[-1]]
                if name == "numbers":
                    check_numbers(self.path, values)
            starts = self._stored_pointer[:-1][self._order]
            # Atom a of the sorted structures lies where its structure starts, plus its place in it.
            places = np.arange(len(values)) - np.repeat(self.pointer[:-1], np.diff(self.pointer))
            self._keep(name, values[places + np.repeat(starts, np.diff(self.pointer))])
        return self._cache[name]

    def _keep(self, name: str, values: np.ndarray) -> None:
        values.flags.writeable = False
        self._cache[name] = values

    def _atoms(self, k: int) -> Atoms:
        from ase import Atoms

        start, end = self._stored_pointer[self._order[k] :][:2]
        with self._reading():
            values = {name: dataset[start:end] for name, dataset in self._atom_datasets.items()}
        check_numbers(self.path, values["numbers"])
        periodic = self.periodic[k].astype(bool)
        atoms = Atoms(values["numbers"], values["positions"], cell=self.cells[k], pbc=periodic)
        atoms.set_array("descriptors", values["descriptors"])
        for column, name in _INFO.items():
            if column in self.columns:
                atoms.info[name] = self._structure_column(column)[k].item()
        return atoms
