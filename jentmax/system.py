"""Atoms in periodic cells: one structure or many replicas; conversion to and from ASE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jentmax.arrays import AnyArray, AnyKey
from jentmax.errors import JentmaxError
from jentmax.fields import shown

if TYPE_CHECKING:
    from ase import Atoms


class System(eqx.Module):
    """Atoms in a cell, or many replicas of the same size; replicas are the last axis.

    ``len(systems)``, ``systems[i]``, ``systems[:10]`` and iteration work over replicas. A system is
    a pytree of arrays.

    Attributes:
        numbers: atomic numbers.
        positions: in Å; they may lie outside the cell.
        cell: lattice vectors as rows, in Å.
        pbc: whether the system is periodic along each lattice vector.
        masses: in amu.
    """

    numbers: Int[AnyArray, "n_atoms *replicas"]
    positions: Float[AnyArray, "n_atoms 3 *replicas"]
    cell: Float[AnyArray, "3 3 *replicas"]
    pbc: Bool[AnyArray, "3 *replicas"]
    masses: Float[AnyArray, "n_atoms *replicas"]

    @property
    def n_atoms(self) -> int:
        """Number of atoms of each replica."""
        return len(self.positions)

    @property
    def replicas(self) -> tuple[int, ...]:
        """Shape of the replica axes: ``()`` for a single structure."""
        return self.positions.shape[2:]

    def __len__(self) -> int:
        """Number of replicas.

        Raises:
            TypeError: this is a single structure.
        """
        if not self.replicas:
            raise TypeError("a single structure has no length; use system.n_atoms for its atoms")
        return self.replicas[-1]

    def __getitem__(self, which: int | slice | np.ndarray) -> System:
        """One replica, or several.

        Raises:
            IndexError: the index is out of range.
        """
        if isinstance(which, int | np.integer) and not -len(self) <= which < len(self):
            raise IndexError(f"replica {which} is out of range for {len(self)} replicas")
        return jax.tree.map(lambda array: array[..., which], self)

    def __iter__(self) -> Iterator[System]:
        """Iterate over the replicas."""
        return (self[k] for k in range(len(self)))

    @classmethod
    def stack(cls, systems: Sequence[System]) -> System:
        """Stack single systems with the same number of atoms into replicas.

        Raises:
            JentmaxError: the list is empty, or the numbers of atoms differ.
        """
        systems = list(systems)
        if not systems:
            raise JentmaxError("systems is empty; give at least one system to stack")
        counts = sorted({system.n_atoms for system in systems})
        if len(counts) > 1 or any(system.replicas for system in systems):
            raise JentmaxError(
                f"systems have {', '.join(map(str, counts))} atoms"
                + (", and some already have replicas" * any(s.replicas for s in systems))
                + "; give single systems with the same number of atoms"
            )
        return jax.tree.map(lambda *arrays: jnp.stack(arrays, axis=-1), *systems)

    @classmethod
    def from_ase(cls, atoms: Atoms | Sequence[Atoms], dtype: Any = None) -> System:
        """A system from an ASE ``Atoms`` object, or replicas from a list of them.

        Args:
            atoms: one object, or a list whose members have the same number of atoms.
            dtype: floating-point type; JAX's default if absent. float64 needs x64:
                ``jax.enable_x64(True)``.

        Raises:
            JentmaxError: the numbers of atoms differ, a coordinate is not finite, a cell has no
                volume, or the dtype is float64 without x64.
        """
        from ase import Atoms

        dtype = _float_type(dtype)
        if not isinstance(atoms, Atoms):
            if isinstance(atoms, str) or not all(isinstance(one, Atoms) for one in atoms):
                raise JentmaxError(
                    f"atoms = {shown(atoms)} is not allowed; give ASE Atoms or a list of them, "
                    "such as ase.io.read(path, ':')"
                )
            return cls.stack([cls.from_ase(one, dtype) for one in atoms])
        cell, positions = np.asarray(atoms.cell.array, float), np.asarray(atoms.positions, float)
        for name, values in (("positions", positions), ("cell", cell)):
            if not np.isfinite(values).all():
                raise JentmaxError(f"atoms.{name} are not all finite; correct them")
        if abs(np.linalg.det(cell)) < 1e-12:
            raise JentmaxError(
                f"atoms.cell = {cell.tolist()} has no volume; give three independent lattice "
                "vectors, for example with atoms.center(vacuum=...)"
            )
        return cls(
            numbers=jnp.asarray(atoms.numbers, jnp.int32),
            positions=jnp.asarray(positions, dtype),
            cell=jnp.asarray(cell, dtype),
            pbc=jnp.asarray(atoms.pbc, bool),
            masses=jnp.asarray(atoms.get_masses(), dtype),
        )

    def to_ase(self) -> Atoms | list[Atoms]:
        """ASE ``Atoms`` with unwrapped positions; a list of them for replicas."""
        from ase import Atoms

        if self.replicas:
            return [system.to_ase() for system in jax.tree.map(np.asarray, self)]
        atoms = Atoms(
            np.asarray(self.numbers),
            np.asarray(self.positions, float),
            cell=np.asarray(self.cell, float),
            pbc=np.asarray(self.pbc),
        )
        masses = np.asarray(self.masses, float)
        if not np.allclose(masses, atoms.get_masses(), rtol=1e-6):
            atoms.arrays["masses"] = masses
        return atoms

    @classmethod
    def random(
        cls,
        key: AnyKey,
        formula: str,
        *,
        density: float,
        aspect_ratio: float = 1.0,
        replicas: int | None = None,
        least_distance: float = 2.0,
        dtype: Any = None,
    ) -> System:
        """Random positions in an ``a x a x c`` cell, with a least distance between atoms.

        Args:
            key: random key.
            formula: contents of the cell, such as "W39" or "Ni20Al20".
            density: in atoms/Å^3.
            aspect_ratio: c/a.
            replicas: number of replicas; None for a single system.
            least_distance: between two atoms, in Å.
            dtype: floating-point type; JAX's default if absent. float64 needs x64.

        Raises:
            JentmaxError: an argument is not allowed, or the cell has no room for the atoms.

        >>> import jax
        >>> system = System.random(jax.random.key(0), "W39", density=0.03, aspect_ratio=1.5)
        >>> system.positions.shape
        (39, 3)
        """
        dtype = _float_type(dtype)
        for name, value in (("density", density), ("aspect_ratio", aspect_ratio)):
            if not value > 0 or not np.isfinite(value):
                raise JentmaxError(f"{name} = {value} is not allowed; give a number above 0")
        if replicas is not None and replicas < 1:
            raise JentmaxError(f"replicas = {replicas} is not allowed; give at least 1")
        numbers = atomic_numbers_of(formula)
        cell = tetragonal_cell(len(numbers), density, aspect_ratio)
        words = np.asarray(jax.random.key_data(random_key(key)))
        systems = []
        for replica in range(replicas or 1):
            rng = np.random.default_rng([*words.tolist(), replica])
            own = rng.permutation(numbers)
            positions = random_positions(rng, len(numbers), cell, least_distance)
            systems.append(host_system(own, positions, cell, dtype))
        together = systems[0] if replicas is None else stack_host(systems)
        return jax.tree.map(jnp.asarray, together)


def host_system(
    numbers: Int[np.ndarray, " n_atoms"],
    positions: Float[np.ndarray, "n_atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    dtype: Any,
    masses: dict[str, float] | None = None,
) -> System:
    """A periodic system of numpy arrays; ``masses`` (amu) overrides the standard atomic masses."""
    from ase.data import atomic_masses, atomic_numbers

    table = np.array(atomic_masses)
    for symbol, mass in (masses or {}).items():
        table[atomic_numbers[symbol]] = mass
    system: Any = System  # JAX moves the numpy arrays to the device later
    return system(
        numbers=np.asarray(numbers, np.int32),
        positions=np.asarray(positions, dtype),
        cell=np.asarray(cell, dtype),
        pbc=np.ones(3, bool),
        masses=np.asarray(table[numbers], dtype),
    )


def stack_host(systems: Sequence[System]) -> System:
    """Stack systems of numpy arrays into replicas, without compiling anything."""
    return jax.tree.map(lambda *arrays: np.stack(arrays, axis=-1), *systems)


def random_key(key: Any) -> Key[Array, "*shape"]:
    """Any JAX key as a key of threefry2x32, the generator that the package uses.

    Raises:
        JentmaxError: this is not a JAX key.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if str(jax.random.key_impl(key)) == "threefry2x32":
            return key
        key = jax.random.key_data(key)[..., -2:]
    elif dtype != np.uint32 or key.shape[-1:] != (2,):
        raise JentmaxError(
            f"key = {type(key).__name__} {np.shape(key) if dtype is not None else repr(key)} is "
            "not a random key; give one such as jax.random.key(0)"
        )
    return jax.random.wrap_key_data(jnp.asarray(key), impl="threefry2x32")


def atomic_numbers_of(formula: str) -> Int[np.ndarray, " n_atoms"]:
    """Atomic numbers of the atoms of a formula, in order.

    Raises:
        JentmaxError: the formula is invalid or empty.

    >>> atomic_numbers_of("Ni2Al").tolist()
    [28, 28, 13]
    """
    from ase.data import atomic_numbers
    from ase.symbols import string2symbols

    try:
        symbols = [] if formula[:1].isdigit() else string2symbols(formula)
        numbers = [atomic_numbers[symbol] for symbol in symbols]
    except Exception:  # ASE raises errors of many types
        numbers = []
    if not numbers or 0 in numbers:
        raise JentmaxError(
            f"formula = {formula!r} is not allowed; give the elements in the cell and their "
            "numbers of atoms, such as W39 or Ni20Al20"
        )
    return np.array(numbers)


def tetragonal_cell(n_atoms: int, density: float, aspect_ratio: float) -> Float[np.ndarray, "3 3"]:
    """An ``a x a x c`` cell for ``n_atoms`` at a density.

    Args:
        n_atoms: atoms in the cell.
        density: in atoms/Å^3.
        aspect_ratio: c/a.

    Returns:
        Lattice vectors as rows, in Å.

    >>> tetragonal_cell(39, 39 / (9.54**2 * 14.31), 1.5).diagonal().round(6).tolist()
    [9.54, 9.54, 14.31]
    """
    a = (n_atoms / (density * aspect_ratio)) ** (1 / 3)
    return np.diag([a, a, a * aspect_ratio])


def cell_heights(cells: Float[ArrayLike, "*shape 3 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Distances between opposite faces of cells.

    Args:
        cells: lattice vectors as rows, in Å.

    Returns:
        Heights along the three lattice vectors, in Å.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(cells, float)), axis=-2)


def random_positions(
    rng: np.random.Generator,
    n_atoms: int,
    cell: Float[np.ndarray, "3 3"],
    least_distance: float,
    tries_per_atom: int = 20_000,
) -> Float[np.ndarray, "n_atoms 3"]:
    """Random sequential addition: place atoms one by one, none closer than ``least_distance``.

    Distances include periodic images, and those of an atom to its own images.

    Args:
        rng: random generator.
        n_atoms: atoms to place.
        cell: lattice vectors as rows, in Å.
        least_distance: in Å.
        tries_per_atom: random positions to try for each atom.

    Returns:
        Positions in Å.

    Raises:
        JentmaxError: the cell has no room for the atoms.
    """
    reach = np.ceil(least_distance / cell_heights(cell)).astype(int)
    images = np.stack(
        np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    own = np.linalg.norm(images[np.any(images != 0, axis=1)] @ cell, axis=1)
    if own.size and own.min() < least_distance:
        raise JentmaxError(
            f"least_distance = {least_distance:g} Å exceeds the cell's shortest period, "
            f"{own.min():.3g} Å; give a smaller least_distance, a lower density (atoms/Å^3) "
            "or more atoms"
        )
    if np.all(cell_heights(cell) >= 2 * least_distance):
        images = np.zeros((1, 3))  # the nearest image suffices
    at_once = 10
    fractional = np.empty((n_atoms, 3))
    for atom in range(n_atoms):
        for _ in range(tries_per_atom // at_once):
            tries = rng.random((at_once, 3))
            offsets = tries[:, None] - fractional[None, :atom]
            offsets -= np.round(offsets)
            squared = np.sum(((offsets[:, :, None] + images) @ cell) ** 2, axis=-1)
            near = np.any(squared < least_distance**2, axis=(1, 2))
            free = np.flatnonzero(~near)
            if free.size:
                fractional[atom] = tries[free[0]]
                break
        else:
            raise JentmaxError(
                f"least_distance = {least_distance:g} Å leaves room for {atom} of "
                f"{n_atoms} atoms in a cell of {abs(np.linalg.det(cell)):.4g} Å^3; "
                "give a smaller least_distance or density"
            )
    return fractional @ cell


def _float_type(dtype: Any) -> np.dtype:
    """The floating-point type, JAX's default for None.

    Raises:
        JentmaxError: the type is neither float32 nor float64, or float64 and x64 is off.
    """
    wanted = np.dtype(jnp.result_type(float) if dtype is None else dtype)
    if wanted not in (np.float32, np.float64):
        raise JentmaxError(f"dtype = {wanted} is not allowed; give float32 or float64")
    if wanted == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise JentmaxError(
            "dtype = float64 needs 64-bit numbers in JAX; enable them with "
            'jax.config.update("jax_enable_x64", True), or use float32'
        )
    return wanted
