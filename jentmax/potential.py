"""The effective energy V = E_rep - K S as one pure function of positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jentmax.neighbors import Environments, Finder


class Terms(eqx.Module):
    """The effective energy and its parts.

    Attributes:
        energy: V, in eV.
        repulsion: E_rep, in eV.
        entropy: S, in nats.
        features: descriptors, not scaled.
        least_distance: between two atoms, in Å.
    """

    energy: Float[Array, "*replicas"]
    repulsion: Float[Array, "*replicas"]
    entropy: Float[Array, "*replicas"]
    features: Float[Array, "n_atoms n_features *replicas"]
    least_distance: Float[Array, "*replicas"]


class Potential(eqx.Module):
    """``V = E_rep - K S`` (doi:10.1063/5.0013059, Eq. 1), K being ``entropy_weight``.

    Attributes:
        descriptor: environments -> features.
        repulsion: environments -> energy in eV.
        estimator: scaled features -> entropy in nats.
        finder: positions and cell -> environments.
        scale: typical value of each feature, by which it is divided.

    >>> import jax, jax.numpy as jnp
    >>> from jentmax import AllPairs, ClarkeSmith, NearestNeighbor, Potential, Snap
    >>> potential = Potential(
    ...     Snap(cutoff=4.0, components=6), ClarkeSmith(), NearestNeighbor(),
    ...     AllPairs(4.0), jnp.ones(6),
    ... )
    >>> positions = jax.random.uniform(jax.random.key(0), (12, 3)) * 8.5
    >>> forces = -jax.grad(potential.energy)(positions, 8.5 * jnp.eye(3), entropy_weight=10.0)
    >>> forces.shape
    (12, 3)
    """

    descriptor: Callable[[Environments], Array]
    repulsion: Callable[[Environments], Array]
    estimator: Callable[[Array], Array]
    finder: Finder
    scale: Float[Array, " n_features"]

    def __hash__(self) -> int:
        """By identity, so that ``jax.jit(potential.energy)`` works though ``scale`` is an array."""
        return id(self)

    def energy(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        species: Int[Array, "n_atoms *replicas"] | None = None,
        entropy_weight: Float[Array, "*replicas"] | float = 1.0,
        neighbors: Any = None,
    ) -> Float[Array, "*replicas"]:
        """V in eV.

        Args:
            positions: in Å.
            cell: lattice vectors as rows, in Å.
            species: index of each atom's species; by default all are of the first.
            entropy_weight: K, in eV.
            neighbors: what ``finder.build`` gave; by default it is built here. If it overflowed,
                V is NaN.
        """
        return self.terms(positions, cell, species, entropy_weight, neighbors).energy

    def terms(
        self,
        positions: Float[Array, "n_atoms 3 *replicas"],
        cell: Float[Array, "3 3 *replicas"],
        species: Int[Array, "n_atoms *replicas"] | None = None,
        entropy_weight: Float[Array, "*replicas"] | float = 1.0,
        neighbors: Any = None,
    ) -> Terms:
        """V and its parts; arguments as for `energy`."""
        if neighbors is None:
            neighbors = self.finder.build(positions, cell)
        if species is None:
            species = jnp.zeros((len(positions), *positions.shape[2:]), jnp.int32)
        environments = self.finder(positions, cell, species, neighbors)
        features = self.descriptor(environments)
        scale = self.scale.astype(features.dtype).reshape(-1, *[1] * (features.ndim - 2))
        repulsion, entropy = self.repulsion(environments), self.estimator(features / scale)
        energy = repulsion - entropy_weight * entropy
        return Terms(
            # A list that lacks neighbours must not go unnoticed, in the forces neither.
            energy=energy * jnp.where(self.finder.overflowed(neighbors), jnp.nan, 1.0),
            repulsion=repulsion,
            entropy=entropy,
            features=features,
            least_distance=environments.least_distance(),
        )
