"""What a descriptor or a repulsion sees, and the contract of a neighbour finder."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jentmax.materialize import materialized


class Environments(eqx.Module):
    """The neighbours of every atom within a cutoff.

    Components come first, so that ``x, y, z = displacements``. The arrays of many replicas side
    by side have the replicas as a last axis: compilers vectorise over it.

    Padding (``mask`` false) is finite and harmless: it lies at the cutoff along x.

    Attributes:
        displacements: from each atom to its neighbours, in Å.
        mask: whether an entry is a neighbour.
        numbers: atomic number of each atom.
        neighbor_numbers: atomic number of each neighbour.
    """

    displacements: Float[Array, "3 n_atoms n_neighbors *replicas"]
    mask: Bool[Array, "n_atoms n_neighbors *replicas"]
    numbers: Int[Array, "n_atoms *replicas"]
    neighbor_numbers: Int[Array, "n_atoms n_neighbors *replicas"]

    def squared_distances(self) -> Float[Array, "n_atoms n_neighbors *replicas"]:
        """Squared distances to the neighbours, in Å^2; the cutoff's square at the padding."""
        [x], [y], [z] = jax.lax.split(self.displacements, (1, 1, 1))
        return x * x + y * y + z * z

    def least_distance(self) -> Float[Array, "*replicas"]:
        """Least distance between two atoms, in Å; the cutoff where there are no neighbours."""
        return jnp.sqrt(jnp.min(self.squared_distances(), axis=(0, 1)))

    def within(self, cutoff: float) -> Environments:
        """The neighbours nearer than a smaller cutoff (Å); the others become padding there."""
        mask = self.mask & (self.squared_distances() < cutoff**2)
        corner = jnp.asarray([cutoff, 0, 0], self.displacements.dtype)
        corner = corner.reshape(3, *[1] * (self.displacements.ndim - 1))
        displacements = jnp.where(mask, self.displacements, corner)
        return Environments(displacements, mask, self.numbers, self.neighbor_numbers)


class Finder(eqx.Module):
    """Finds the neighbours of every atom within ``cutoff`` (Å).

    A finder holds no arrays. One that keeps a list builds it with `build`, once for many steps; for
    the others the list is None. Everything but `grown` is pure.

    Attributes:
        cutoff: in Å.
    """

    cutoff: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def least_heights(self) -> tuple[float, float, float]:
        """Heights, in Å, that a cell must have: in a smaller one neighbours would be missed."""

    @abc.abstractmethod
    def build(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> Any:
        """The neighbour list for these positions (Å) and cell (rows, Å)."""

    @abc.abstractmethod
    def updated(
        self,
        table: Any,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> Any:
        """The list, built again for all replicas if an atom of any has moved too far."""

    @abc.abstractmethod
    def complete(
        self, table: Any, positions: Float[Array, "n_atoms 3 *replicas"]
    ) -> Bool[Array, "*replicas"]:
        """Whether the list holds every neighbour at these positions (Å)."""

    @abc.abstractmethod
    def overflowed(self, table: Any) -> Bool[Array, ""]:
        """Whether the list of any replica lacked room for a neighbour; `grown` has more."""

    @abc.abstractmethod
    def grown(self) -> Finder:
        """The same finder with more room."""

    @abc.abstractmethod
    def __call__(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
        table: Any,
    ) -> Environments:
        """The environments at these positions (Å), from a list built or updated there."""

    def fits(self, cell: Float[Array, "3 3 *replicas"]) -> Bool[Array, "*replicas"]:
        """Whether cells are large enough for the finder, within rounding."""
        # The columns of the inverse are as long as the inverse heights.
        inverse_squared = jnp.sum(inverse(cell) ** 2, axis=0)
        tolerance = 1e-5 if cell.dtype == jnp.float32 else 1e-9
        most = jnp.asarray(self.least_heights, cell.dtype) ** -2 * (1 + 2 * tolerance)
        return jnp.all(inverse_squared <= most.reshape(3, *[1] * (cell.ndim - 2)), axis=0)


class Neighbors(eqx.Module):
    """A finder and the list that it keeps; what samplers carry from step to step.

    Attributes:
        finder: that made the list.
        table: the list; None for finders that keep none.
    """

    finder: Finder
    table: Any

    def updated(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> Neighbors:
        """For these positions (Å), built again if an atom has moved too far."""
        return Neighbors(self.finder, self.finder.updated(self.table, positions, cell))

    @property
    def overflowed(self) -> Bool[Array, ""]:
        """Whether the list of any replica lacked room for a neighbour."""
        return self.finder.overflowed(self.table)

    def grown(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> Neighbors:
        """Built at these positions (Å) with more room."""
        finder = self.finder.grown()
        return Neighbors(finder, finder.build(positions, cell))

    def complete(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
    ) -> Bool[Array, "*replicas"]:
        """Whether no neighbour is missing at these positions (Å) in these cells."""
        return self.finder.fits(cell) & self.finder.complete(self.table, positions)

    def environments(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        numbers: Int[Array, "n_atoms *replicas"],
    ) -> Environments:
        """The environments at these positions (Å)."""
        return self.finder(positions, cell, numbers, self.table)


def combine(matrix: Array, vectors: Array) -> Array:
    """Sums of the rows of 3 x 3 matrices weighted by vectors' components.

    Args:
        matrix: shape (3, 3, *replicas).
        vectors: components first, shape (3, ..., *replicas).

    Returns:
        ``vectors[0] * matrix[0] + ...``, components first, shape (3, ..., *replicas).
    """
    between = (1,) * (vectors.ndim - matrix.ndim + 1)
    rows = matrix.reshape(3, 3, *between, *matrix.shape[2:])
    return rows[0] * vectors[0] + rows[1] * vectors[1] + rows[2] * vectors[2]


def inverse(cell: Float[Array, "3 3 *replicas"]) -> Float[Array, "3 3 *replicas"]:
    """Inverses of cells in closed form, which is far cheaper than a solver's for many replicas."""
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
    displacements: Array, candidates: Array, cutoff: float, numbers: Array, neighbors: Array
) -> Environments:
    """Environments of the candidates nearer than the cutoff, the rest made padding.

    All arguments have the neighbours' axis before the atoms': in this order they are computed.
    """
    limit = jnp.asarray(cutoff, displacements.dtype) ** 2

    def within(displacements: Array) -> Array:
        [x], [y], [z] = jax.lax.split(displacements, (1, 1, 1))
        return x * x + y * y + z * z < limit

    near = candidates & within(displacements)
    x, y, z = jax.lax.split(displacements, (1, 1, 1))
    filled = [jnp.where(near, x, cutoff), jnp.where(near, y, 0), jnp.where(near, z, 0)]
    together = jnp.concatenate(materialized(filled))
    mask = within(together)  # the same as `near`, but from what is in memory
    return Environments(
        displacements=jnp.swapaxes(together, 1, 2),
        mask=jnp.swapaxes(mask, 0, 1),
        numbers=numbers,
        neighbor_numbers=jnp.swapaxes(jnp.broadcast_to(neighbors, mask.shape), 0, 1),
    )
