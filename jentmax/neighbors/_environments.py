"""Environments, the input of descriptors and repulsions, and the interface of neighbour finders."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jentmax.arrays import AnyArray
from jentmax.materialize import materialized
from jentmax.modes import in_any_mode


class Environments(eqx.Module):
    """The neighbours of every atom within a cutoff.

    Components are the first axis, so ``x, y, z = displacements``. Replicas are the last axis,
    because compilers vectorise over it.

    Padding entries (``mask`` false) are finite: their displacement is (cutoff, 0, 0).

    Attributes:
        displacements: from each atom to its neighbours, in Å.
        mask: whether an entry is a neighbour, not padding.
        numbers: atomic number of each atom.
        neighbor_numbers: atomic number of each neighbour.
    """

    displacements: Float[AnyArray, "3 n_atoms n_neighbors *replicas"]
    mask: Bool[AnyArray, "n_atoms n_neighbors *replicas"]
    numbers: Int[AnyArray, "n_atoms *replicas"]
    neighbor_numbers: Int[AnyArray, "n_atoms n_neighbors *replicas"]

    def squared_distances(self) -> Float[Array, "n_atoms n_neighbors *replicas"]:
        """Squared distances to the neighbours, in Å^2; for padding the cutoff squared."""
        [x], [y], [z] = jax.lax.split(self.displacements, (1, 1, 1))
        return x * x + y * y + z * z

    def least_distance(self) -> Float[Array, "*replicas"]:
        """Least distance between two atoms, in Å; the cutoff if there are no neighbours."""
        return jnp.sqrt(jnp.min(self.squared_distances(), axis=(0, 1)))

    def within(self, cutoff: float) -> Environments:
        """The neighbours within a smaller cutoff (Å); the others become padding."""
        mask = self.mask & (self.squared_distances() < cutoff**2)
        corner = jnp.asarray([cutoff, 0, 0], self.displacements.dtype)
        corner = corner.reshape(3, *[1] * (self.displacements.ndim - 1))
        displacements = jnp.where(mask, self.displacements, corner)
        return Environments(displacements, mask, self.numbers, self.neighbor_numbers)


class Finder(eqx.Module):
    """Finds the neighbours of every atom within ``cutoff`` (Å).

    A finder holds no arrays. `build` makes a neighbour list, which serves many steps, or returns
    None if the finder needs none. All methods are pure functions.

    Attributes:
        cutoff: in Å.
    """

    cutoff: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def least_heights(self) -> tuple[float, float, float]:
        """Smallest valid cell heights, in Å; in a smaller cell the finder misses neighbours."""

    @abc.abstractmethod
    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Any:
        """The neighbour list for these positions (Å) and cell (rows, Å)."""

    @abc.abstractmethod
    def updated(
        self,
        table: Any,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Any:
        """The list, rebuilt if an atom has moved too far."""

    @abc.abstractmethod
    def complete(
        self, table: Any, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        """Whether the list includes every neighbour at these positions (Å)."""

    @abc.abstractmethod
    def overflowed(self, table: Any) -> Bool[Array, ""]:
        """Whether the list of any replica had no room for a neighbour; `grown` has more room."""

    @abc.abstractmethod
    def grown(self) -> Finder:
        """The same finder with more room."""

    @abc.abstractmethod
    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
        table: Any,
    ) -> Environments:
        """The environments at these positions (Å), from a list that is up to date there."""

    def fits(self, cell: Float[Array, "3 3 *replicas"]) -> Bool[Array, "*replicas"]:
        """Whether cells are large enough for the finder, within rounding."""
        # The column lengths of the inverse are the inverse heights.
        inverse_squared = jnp.sum(inverse(cell) ** 2, axis=0)
        tolerance = 1e-5 if cell.dtype == jnp.float32 else 1e-9
        most = jnp.asarray(self.least_heights, cell.dtype) ** -2 * (1 + 2 * tolerance)
        return jnp.all(inverse_squared <= most.reshape(3, *[1] * (cell.ndim - 2)), axis=0)


class Neighbors(eqx.Module):
    """A finder with its neighbour list; samplers carry it from step to step.

    Attributes:
        finder: made the list.
        table: the list; None for finders without a list.
    """

    finder: Finder
    table: Any

    @in_any_mode
    def updated(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Neighbors:
        """Neighbours for these positions (Å); rebuilds the list if an atom has moved too far."""
        return Neighbors(self.finder, self.finder.updated(self.table, positions, cell))

    @property
    def overflowed(self) -> Bool[Array, ""]:
        """Whether the list of any replica had no room for a neighbour."""
        return self.finder.overflowed(self.table)

    @in_any_mode
    def grown(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Neighbors:
        """Neighbours built at these positions (Å) with more room."""
        finder = self.finder.grown()
        return Neighbors(finder, finder.build(positions, cell))

    @in_any_mode
    def complete(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
    ) -> Bool[Array, "*replicas"]:
        """Whether every neighbour is included at these positions (Å) in these cells."""
        return self.finder.fits(cell) & self.finder.complete(self.table, positions)

    @in_any_mode
    def environments(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *#replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
    ) -> Environments:
        """The environments at these positions (Å)."""
        return self.finder(positions, cell, numbers, self.table)


def combine(
    matrix: Float[Array, "3 3 *replicas"], vectors: Float[Array, "3 ..."]
) -> Float[Array, "3 ..."]:
    """Linear combinations of the rows of 3 x 3 matrices.

    Args:
        matrix: one for each replica.
        vectors: coefficients; components first, replicas last; they broadcast against the matrices.

    Returns:
        ``vectors[0] * matrix[0] + ...``.
    """
    between = (1,) * (vectors.ndim - matrix.ndim + 1)
    rows = matrix.reshape(3, 3, *between, *matrix.shape[2:])
    return rows[0] * vectors[0] + rows[1] * vectors[1] + rows[2] * vectors[2]


def inverse(cell: Float[Array, "3 3 *replicas"]) -> Float[Array, "3 3 *replicas"]:
    """Inverses of cells in closed form, far cheaper than a solver for many replicas."""
    columns = jnp.stack(
        [
            jnp.cross(cell[1], cell[2], axis=0),
            jnp.cross(cell[2], cell[0], axis=0),
            jnp.cross(cell[0], cell[1], axis=0),
        ],
        axis=1,
    )
    return columns / jnp.sum(cell[0] * columns[:, 0], axis=0)


def masked(
    displacements: Float[Array, "3 n_neighbors n_atoms *replicas"],
    candidates: Bool[Array, "n_neighbors n_atoms *#replicas"],
    cutoff: float,
    numbers: Int[Array, "n_atoms *replicas"],
    neighbors: Int[Array, "n_neighbors #n_atoms *replicas"],
) -> Environments:
    """Environments of the candidates within the cutoff; the other candidates become padding.

    The arguments have the neighbour axis before the atom axis, the order that the finders compute.
    """
    limit = jnp.asarray(cutoff, displacements.dtype) ** 2

    def within(displacements: Array) -> Array:
        [x], [y], [z] = jax.lax.split(displacements, (1, 1, 1))
        return x * x + y * y + z * z < limit

    near = candidates & within(displacements)
    x, y, z = jax.lax.split(displacements, (1, 1, 1))
    filled = [jnp.where(near, x, cutoff), jnp.where(near, y, 0), jnp.where(near, z, 0)]
    together = jnp.concatenate(materialized(filled))
    mask = within(together)  # equals `near`, but reads the materialised array
    return Environments(
        displacements=jnp.swapaxes(together, 1, 2),
        mask=jnp.swapaxes(mask, 0, 1),
        numbers=numbers,
        neighbor_numbers=jnp.swapaxes(jnp.broadcast_to(neighbors, mask.shape), 0, 1),
    )
