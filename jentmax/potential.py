"""The effective energy V = E_rep - K S as one pure function of positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Real

from jentmax.arrays import AnyArray
from jentmax.callables import OneStructure, as_descriptor, as_entropy, as_repulsion, cutoff_of
from jentmax.errors import JentmaxError
from jentmax.fields import shown
from jentmax.modes import in_any_mode
from jentmax.neighbors import (
    SKIN,
    Environments,
    Finder,
    HostSearch,
    Neighbors,
    compact_cells,
    neighbor_finder,
)
from jentmax.system import System


class Terms(eqx.Module):
    """The effective energy and its parts.

    Attributes:
        energy: V, in eV.
        repulsion: E_rep, in eV.
        entropy: S, in nats.
        features: unscaled features.
        least_distance: between two atoms, in Å; the potential's cutoff if no pair is closer.
    """

    energy: Float[Array, "*replicas"]
    repulsion: Float[Array, "*replicas"]
    entropy: Float[Array, "*replicas"]
    features: Float[Array, "n_atoms n_features *replicas"]
    least_distance: Float[Array, "*replicas"]


class Potential(eqx.Module):
    """``V = E_rep - K S`` (doi:10.1063/5.0013059, Eq. 1); the argument ``entropy_weight`` is K.

    Descriptor, repulsion and entropy are components of the package or callables for one structure:
    ``environments -> features (n_atoms, n_features)``, ``environments -> eV`` and ``scaled features
    -> nats``. The constructor tests each callable once; the potential maps it over replicas.

    The potential chooses how to find neighbours from its cutoff, the cell and the number of atoms.
    Under ``jit`` the cell is traced, so its size is unknown. `for_cells` makes the choice
    beforehand: compile ``eqx.filter_jit(potential.for_cells(system).energy)``.

    Attributes:
        descriptor: environments -> features.
        repulsion: environments -> energy in eV.
        entropy: scaled features -> entropy in nats.
        scale: typical value of each feature, the divisor of that feature; None for 1.
        cutoff: in Å.
        finder: the neighbour finder that `for_cells` chose, or None.

    >>> import jax, jentmax as jm
    >>> snap = jm.Snap(cutoff=4.0, components=6)
    >>> potential = jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor())
    >>> system = jm.System.random(jax.random.key(0), "W39", density=0.03)
    >>> forces = -jax.grad(potential.energy)(system.positions, system.cell, entropy_weight=300.0)
    >>> forces.shape
    (39, 3)
    """

    descriptor: Any
    repulsion: Any
    entropy: Any
    scale: Float[Array, " n_features"] | None
    cutoff: float = eqx.field(static=True)
    finder: Finder | None = None

    @in_any_mode
    def __init__(
        self,
        descriptor: Callable[[Environments], Array],
        repulsion: Callable[[Environments], Array],
        entropy: Callable[[Array], Array],
        *,
        cutoff: float | None = None,
        scale: ArrayLike | Sequence[float] | None = None,
    ) -> None:
        """Combine the three parts.

        Args:
            descriptor: environments -> features.
            repulsion: environments -> energy in eV.
            entropy: scaled features -> entropy in nats.
            cutoff: cutoff for plain functions of environments, in Å.
            scale: typical value of each feature, shape (n_features,), for example from `fit_scale`.

        Raises:
            JentmaxError: a part is not callable, has no cutoff, or fails its test; the message
                names the part.
        """
        if cutoff is not None and not (isinstance(cutoff, int | float) and 0 < cutoff < np.inf):
            raise JentmaxError(f"cutoff = {cutoff!r} is not allowed; give a number above 0, in Å")
        self.descriptor = as_descriptor(descriptor, cutoff)
        self.repulsion = as_repulsion(repulsion, cutoff)
        self.entropy = as_entropy(entropy, self.descriptor.n_features)
        plain = [
            part for part in (self.descriptor, self.repulsion) if isinstance(part, OneStructure)
        ]
        if cutoff is not None and not plain:
            raise JentmaxError(
                f"cutoff = {cutoff:g} applies to plain functions of environments only; leave it "
                "out, because the descriptor and the repulsion define their own cutoffs"
            )
        self.cutoff = max(cutoff_of(part) or 0.0 for part in (self.descriptor, self.repulsion))
        self.scale = None
        if scale is not None:
            self.scale = _checked_scale(scale, self.descriptor.n_features)
        self.finder = None

    def with_scale(self, scale: ArrayLike | Sequence[float]) -> Potential:
        """A copy with another scale, shape (n_features,)."""
        return self._changed(scale=_checked_scale(scale, self.descriptor.n_features))

    @in_any_mode
    def for_cells(self, systems: System | Iterable[System]) -> Potential:
        """A copy that finds neighbours in traced cells, for use under ``jit``.

        The copy works for every cell whose heights are at least the smallest heights of these
        systems. V and its gradient are NaN for a smaller cell, or if an atom has many more
        neighbours than any atom of these systems.

        Args:
            systems: one system, replicas, or a list; all with the same number of atoms.
        """
        several = [systems] if isinstance(systems, System) else list(systems)
        for one in several:
            if not isinstance(one, System):
                raise JentmaxError(
                    f"systems = {type(one).__name__} is not allowed; give a System or a list of "
                    "them, such as System.from_ase(atoms)"
                )
            if _is_traced(one.cell):
                raise JentmaxError(
                    "systems are traced; call for_cells outside of jit, vmap and grad"
                )
        cells = np.concatenate([_last_first(system.cell, 2) for system in several])
        n_atoms = max(system.n_atoms for system in several)
        finder = neighbor_finder(self.cutoff, n_atoms, cells)
        if hasattr(finder, "capacity"):
            most = max(_most_neighbors(system, self.cutoff + SKIN) for system in several)
            finder = neighbor_finder(self.cutoff, n_atoms, cells, most)
            with jax.ensure_compile_time_eval():
                while any(bool(_lacks_room(finder, s.positions, s.cell)) for s in several):
                    finder = finder.grown()
        return self._changed(finder=finder)

    @in_any_mode
    def neighbors(
        self,
        positions: Float[ArrayLike, "n_atoms 3 *replicas"],
        cell: Float[ArrayLike, "3 3 *#replicas"],
    ) -> Neighbors:
        """Neighbours at positions (Å) in cells (rows, Å); update them as the atoms move.

        Raises:
            JentmaxError: the cell is traced and the potential is not from `for_cells`, or the cell
                is smaller than the cells given to `for_cells`.
        """
        positions, cell = jnp.asarray(positions), jnp.asarray(cell)
        _check_shapes(positions, cell)
        finder = self._finder(positions, cell)
        if _is_traced(positions, cell):
            return Neighbors(finder, finder.build(positions, cell))
        with jax.ensure_compile_time_eval():  # for programs that close over the arrays
            neighbors = Neighbors(finder, finder.build(positions, cell))
            while bool(neighbors.overflowed):
                neighbors = neighbors.grown(positions, cell)
        return neighbors

    def energy(
        self,
        positions: Float[ArrayLike, "n_atoms 3 *replicas"],
        cell: Float[ArrayLike, "3 3 *#replicas"],
        numbers: Int[ArrayLike, "n_atoms *#replicas"] | None = None,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float = 1.0,
        neighbors: Neighbors | None = None,
    ) -> Float[Array, "*replicas"]:
        """V in eV.

        Args:
            positions: in Å.
            cell: lattice vectors as rows, in Å.
            numbers: atomic numbers; required if a part depends on the elements.
            entropy_weight: K, in eV.
            neighbors: from `neighbors`, updated at these positions; computed here if absent.

        Raises:
            JentmaxError: as `neighbors`. Outside ``jit`` also if ``neighbors`` misses a neighbour
                or a part does not support an element; under ``jit``, V and its gradient are NaN.
        """
        return self.terms(positions, cell, numbers, entropy_weight, neighbors).energy

    @in_any_mode
    def terms(
        self,
        positions: Float[ArrayLike, "n_atoms 3 *replicas"],
        cell: Float[ArrayLike, "3 3 *#replicas"],
        numbers: Int[ArrayLike, "n_atoms *#replicas"] | None = None,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float = 1.0,
        neighbors: Neighbors | None = None,
    ) -> Terms:
        """V and its parts; arguments and errors as for `energy`."""
        positions, cell = jnp.asarray(positions), jnp.asarray(cell)
        _check_shapes(positions, cell)
        if neighbors is None:
            neighbors = self.neighbors(positions, cell)
        elif neighbors.finder.cutoff < self.cutoff:
            raise JentmaxError(
                f"neighbors reach {neighbors.finder.cutoff:g} Å, less than the potential's cutoff "
                f"of {self.cutoff:g} Å; make them with potential.neighbors(positions, cell)"
            )
        numbers, known = self._known(numbers, positions)
        complete = neighbors.complete(positions, cell)
        if not _is_traced(complete) and not bool(jnp.all(complete)):
            raise JentmaxError(
                "neighbors do not match these positions and cells: an atom has moved too far, the "
                "list has overflowed, or the cell is too small; make new ones with "
                "potential.neighbors(positions, cell)"
            )
        environments = neighbors.environments(positions, cell, numbers)
        # With missing neighbours, V would be finite but wrong; atoms at NaN positions have no
        # neighbours at all. Return NaN instead. Multiplying by the sum of all coordinates also
        # makes the gradient of every atom NaN, including atoms without neighbours.
        total = jnp.sum(positions, axis=(0, 1)) + jnp.sum(cell, axis=(0, 1))
        usable = complete & known & jnp.isfinite(total)
        valid = jnp.where(usable, 1.0, jnp.nan).astype(positions.dtype)
        nothing = jnp.where(usable, 0.0, jnp.nan).astype(positions.dtype) * total
        features = self.descriptor(self._within_cutoff(self.descriptor, environments))
        scaled = features
        if self.scale is not None:
            scaled = features / self.scale.astype(features.dtype).reshape(
                -1, *[1] * (features.ndim - 2)
            )
        repulsion = self.repulsion(self._within_cutoff(self.repulsion, environments)) + nothing
        entropy = self.entropy(scaled) + nothing
        weight = _checked_weight(entropy_weight, positions)
        return Terms(
            energy=repulsion - weight * entropy,
            repulsion=repulsion,
            entropy=entropy,
            features=features * valid,
            least_distance=environments.least_distance() * valid,
        )

    @in_any_mode
    def check(self, systems: System) -> None:
        """Raise an error for systems without a defined V; traced arrays are not checked.

        Raises:
            JentmaxError: the systems are not periodic, contain an element that a part does not
                support, or have smaller cells than those given to `for_cells`.
        """
        if not _is_traced(systems.pbc) and not bool(np.all(np.asarray(systems.pbc))):
            raise JentmaxError(
                "systems are not periodic in all directions (pbc), and V needs a periodic cell; "
                "set pbc to true, and add vacuum to the cell for directions without a period"
            )
        self._known(systems.numbers, systems.positions)
        if self.finder is not None:
            self._finder(systems.positions, jnp.asarray(systems.cell))

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that all parts support; empty if every element is supported."""
        parts = (self.descriptor, self.repulsion)
        supported = [set(own) for part in parts if (own := getattr(part, "elements", ()))]
        return tuple(sorted(set.intersection(*supported))) if supported else ()

    def _changed(self, **changes: Any) -> Potential:
        """A copy with changed fields; it does not test the parts again."""
        copy = object.__new__(type(self))
        for name in ("descriptor", "repulsion", "entropy", "scale", "cutoff", "finder"):
            object.__setattr__(copy, name, changes.get(name, getattr(self, name)))
        return copy

    def _finder(
        self,
        positions: Float[AnyArray, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Finder:
        if self.finder is None:
            if _is_traced(cell):
                raise JentmaxError(
                    "cell is traced (by jit, vmap or grad), so its size is unknown; call "
                    "potential = potential.for_cells(systems) first, with the smallest cells that "
                    "you will use"
                )
            return neighbor_finder(self.cutoff, len(positions), _last_first(cell, 2))
        if not _is_traced(cell) and not self._fits(cell):
            raise JentmaxError(
                "cell is smaller than the cells given to potential.for_cells, whose heights are "
                f"at least {', '.join(f'{h:.4g}' for h in self.finder.least_heights)} Å; call "
                "for_cells with this cell too"
            )
        return self.finder

    def _fits(self, cell: Float[Array, "3 3 *replicas"]) -> bool:
        """Whether the finder finds all neighbours in these cells; they must not be traced."""
        assert self.finder is not None
        with jax.ensure_compile_time_eval():  # for programs that close over the cells
            return bool(jnp.all(self.finder.fits(cell)))

    def _known(
        self, numbers: Any, positions: Float[AnyArray, "n_atoms 3 *replicas"]
    ) -> tuple[Int[Array, "n_atoms *replicas"], Bool[Array, "*#replicas"]]:
        """Atomic numbers, and whether all parts support them."""
        from ase.data import atomic_numbers, chemical_symbols

        shape = (len(positions), *positions.shape[2:])
        elements = self.elements
        if numbers is None:
            parts = (self.descriptor, self.repulsion)
            if len(elements) > 1 or any(getattr(part, "uses_elements", False) for part in parts):
                raise JentmaxError(
                    "numbers are missing, and a part of the potential depends on the elements; "
                    "give atomic numbers, such as system.numbers"
                )
            number = atomic_numbers[elements[0]] if elements else 0
            return jnp.full(shape, number, jnp.int32), jnp.asarray(True)
        numbers = jnp.asarray(numbers, jnp.int32)
        if numbers.shape[:1] != shape[:1]:
            raise JentmaxError(
                f"numbers have shape {numbers.shape}; give one atomic number for each of the "
                f"{shape[0]} atoms (for K use the keyword entropy_weight)"
            )
        numbers = jnp.broadcast_to(
            numbers.reshape(*numbers.shape, *[1] * (len(shape) - numbers.ndim)), shape
        )
        if not elements:
            return numbers, jnp.asarray(True)
        of_elements = np.array([atomic_numbers[symbol] for symbol in elements])
        if not _is_traced(numbers):
            foreign = sorted(set(np.unique(np.asarray(numbers))) - set(of_elements))
            if foreign:
                raise JentmaxError(
                    f"numbers contain {', '.join(chemical_symbols[n] for n in foreign)}, which the "
                    f"potential does not support; give only {', '.join(elements)}"
                )
        return numbers, jnp.all(jnp.isin(numbers, of_elements), axis=0)

    def _within_cutoff(self, part: Any, environments: Environments) -> Environments:
        """The environments, reduced to the cutoff of a plain function."""
        if isinstance(part, OneStructure) and part.cutoff is not None and part.cutoff < self.cutoff:
            return environments.within(part.cutoff)
        return environments


def _is_traced(*arrays: Any) -> bool:
    """Whether an array is a tracer of ``jit``, ``vmap`` or ``grad``."""
    return any(isinstance(array, Tracer) for array in arrays)


def _last_first(array: Any, ndim: int) -> Float[np.ndarray, "n ..."]:
    """An array with the replicas moved from the last axis to the first, shape (n, ...)."""
    array = np.asarray(array, float)
    return np.moveaxis(array.reshape(*array.shape[:ndim], -1), -1, 0)


def _most_neighbors(system: System, reach: float) -> int:
    """Largest number of neighbours of an atom within a distance (Å)."""
    search = HostSearch(reach)
    positions, cells = _last_first(system.positions, 2), _last_first(system.cell, 2)
    periodic = np.ones((len(cells), 3), bool)
    return max(
        int(search(own, cell, periodic[0])[0].max(initial=0))
        for own, cell in zip(positions, compact_cells(cells, periodic, reach), strict=True)
    )


@eqx.filter_jit
def _lacks_room(
    finder: Finder,
    positions: Float[AnyArray, "n_atoms 3 *replicas"],
    cell: Float[AnyArray, "3 3 *#replicas"],
) -> Bool[Array, ""]:
    """Whether the list overflows; its grid can overflow before any atom's neighbours do."""
    return finder.overflowed(finder.build(jnp.asarray(positions), jnp.asarray(cell)))


def _checked_scale(scale: ArrayLike | Sequence[float], n_features: int) -> Any:
    if isinstance(scale, jax.Array):
        values: Any = scale
    else:
        try:
            values = np.asarray(scale, float)  # in float64, even without x64
        except (TypeError, ValueError):
            values = np.empty(0)
    if not _is_traced(values) and (
        values.shape != (n_features,) or not np.all(np.asarray(values) > 0)
    ):
        raise JentmaxError(
            f"scale = {shown(scale)} is not allowed; give one number above 0 for each of the "
            f"{n_features} features"
        )
    return values


def _checked_weight(
    entropy_weight: Any, positions: Float[Array, "n_atoms 3 *replicas"]
) -> Float[Array, "*#replicas"]:
    try:
        weight = jnp.asarray(entropy_weight, positions.dtype)
    except (TypeError, ValueError):
        raise JentmaxError(
            f"entropy_weight = {entropy_weight!r} is not allowed; give K in eV, a number"
        ) from None
    if weight.shape not in ((), positions.shape[2:]):
        raise JentmaxError(
            f"entropy_weight has shape {weight.shape} for replicas of shape "
            f"{positions.shape[2:]}; give one number, or one per replica"
        )
    return weight


def _check_shapes(positions: Array, cell: Array) -> None:
    if positions.ndim < 2 or positions.shape[1] != 3:
        raise JentmaxError(
            f"positions have shape {positions.shape}; give (n_atoms, 3), or (n_atoms, 3, replicas)"
        )
    if cell.shape[:2] != (3, 3) or cell.ndim not in (2, positions.ndim):
        raise JentmaxError(
            f"cell has shape {cell.shape} for positions of shape {positions.shape}; give (3, 3), "
            "or (3, 3, replicas)"
        )
    if cell.ndim == positions.ndim and cell.shape[2:] != positions.shape[2:]:
        raise JentmaxError(
            f"cell has shape {cell.shape} for positions of shape {positions.shape}; give the same "
            "number of replicas for both"
        )
    if not jnp.issubdtype(positions.dtype, jnp.floating):
        raise JentmaxError(f"positions are of type {positions.dtype}; give floating-point numbers")
