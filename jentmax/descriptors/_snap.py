"""The SNAP bispectrum, with LAMMPS's conventions.

A neighbour at distance r becomes a unit vector v = (cos t, sin t x/r, sin t y/r, sin t z/r) in four
dimensions. The neighbours' density on that sphere, resolved by spin j/2, is

    f_j(g) = sum_k w_k U_j(g . v_k)      (U_j the Chebyshev polynomials of the second kind),

because U_j is the character of SU(2). The usual sum over products of Clebsch-Gordan coefficients
is then a plain average over the sphere,

    B_{j1 j2 j} = (j + 1) < f_{j1} f_{j2} f_j >,

because that average of three rotation matrices is what Clebsch-Gordan coefficients are. Being a
polynomial, it is exact with a few points g: 32 for the first six components. The f_j at the points
come by one matrix product from the neighbours' moments, the sums of the monomials of v.

Bartók, Payne, Kondor, Csányi, doi:10.1103/PhysRevLett.104.136403; Thompson, Swiler, Trott, Foiles,
Tucker, doi:10.1016/j.jcp.2014.12.018; the element-wise form: Cusentino, Wood, Thompson,
doi:10.1021/acs.jpca.0c02450.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import Chebyshev, Polynomial

from jentmax._materialize import materialized
from jentmax.descriptors._sphere import densities_at, moments, triple_averages
from jentmax.neighbors import Environments


def bispectrum_indices(twojmax: int) -> list[tuple[int, int, int]]:
    """Doubled spins (j1, j2, j) of the components, in LAMMPS's order.

    >>> bispectrum_indices(2)
    [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 0, 2), (2, 2, 2)]
    """
    return [
        (j1, j2, j)
        for j1 in range(twojmax + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
        if j >= j1
    ]


class Snap(eqx.Module):
    """SNAP bispectrum components, equal to LAMMPS's ``compute sna/atom``.

    Attributes:
        cutoff: of a pair, in Å, times the sum of its two radii (LAMMPS's rcutfac).
        twojmax: twice the largest spin.
        components: how many of the first components to give; None for all of them.
        rfac0: share of the half circle that the distance 0 to cutoff is mapped to.
        rmin0: distance that is mapped to angle 0, in Å.
        switching: whether neighbours fade out smoothly towards the cutoff.
        self_weight: weight of the central atom (LAMMPS's wself).
        bzero: whether to subtract the components of an isolated atom (LAMMPS's bzeroflag).
        weights: of the neighbours' species.
        radii: of the species, dimensionless.
        chemflag: whether each species has a density of its own; gives n_species^3 times the
            components, for species (a, b, c) of j1, j2, j in this order, c fastest.
        bnormflag: whether to divide each component by j + 1.
        wselfallflag: with ``chemflag``, whether the central atom counts in all species' densities.
    """

    cutoff: float = eqx.field(static=True)
    twojmax: int = eqx.field(static=True, default=3)
    components: int | None = eqx.field(static=True, default=None)
    rfac0: float = eqx.field(static=True, default=0.99363)
    rmin0: float = eqx.field(static=True, default=0.0)
    switching: bool = eqx.field(static=True, default=True)
    self_weight: float = eqx.field(static=True, default=1.0)
    bzero: bool = eqx.field(static=True, default=False)
    weights: tuple[float, ...] = eqx.field(static=True, default=(1.0,))
    radii: tuple[float, ...] = eqx.field(static=True, default=(0.5,))
    chemflag: bool = eqx.field(static=True, default=False)
    bnormflag: bool = eqx.field(static=True, default=False)
    wselfallflag: bool = eqx.field(static=True, default=False)

    @property
    def largest_cutoff(self) -> float:
        """Distance beyond which no pair of species sees each other, in Å."""
        return self.cutoff * 2 * max(self.radii)

    @property
    def labels(self) -> list[tuple[int, ...]]:
        """Of each feature (j1, j2, j), behind its three species where ``chemflag`` is set."""
        densities = range(len(self.weights) if self.chemflag else 1)
        labels = [
            ((*species, *spins) if self.chemflag else spins)
            for species in itertools.product(densities, repeat=3)
            for spins in bispectrum_indices(self.twojmax)
        ]
        return labels[: self.components]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.labels)

    def __call__(self, environments: Environments) -> Float[Array, "n_atoms n_features *replicas"]:
        """The bispectrum components of every atom, dimensionless."""
        labels = [label if self.chemflag else (0, 0, 0, *label) for label in self.labels]
        grid = max(sum(label[3:]) for label in labels)
        spins = sorted({j for label in labels for j in label[3:]})
        species = environments.species.reshape(-1)
        densities = self._densities(environments, species, spins, grid)
        place = {name: number for number, name in enumerate(densities)}
        triples = tuple((place[a, j1], place[b, j2], place[c, j]) for a, b, c, j1, j2, j in labels)
        together = jnp.concatenate(materialized(list(densities.values())))
        values = together.reshape(len(densities), -1, species.size)
        averages = triple_averages(values, triples, grid)
        features = []
        for (a, b, c, _, _, j), [average] in zip(
            labels, jnp.split(averages, len(labels)), strict=True
        ):
            factor = 1.0 if self.bnormflag else j + 1.0
            if self.bzero:
                average -= jnp.asarray(self._isolated_atom(species, a, b, c), average.dtype)
            features.append(factor * average[None])
        together = jnp.concatenate(materialized(features))
        return jnp.swapaxes(together.reshape(-1, *environments.species.shape), 0, 1)

    def _densities(
        self, environments: Environments, species: Array, spins: list[int], grid: int
    ) -> dict[tuple[int, int], Float[Array, "n_points n_atoms_and_replicas"]]:
        """f_j at the points for every (species, j), or (0, j) where the species share one."""
        weights, vectors, kinds = self._on_sphere(environments)
        densities = {}
        for kind in range(len(self.weights) if self.chemflag else 1):
            counted = jnp.where(kinds == kind, weights, 0) if self.chemflag else weights
            # The central atom stands at v = (1, 0, 0, 0): it is in the first moment alone.
            central = jnp.broadcast_to(
                jnp.asarray(self._central_atom(species, kind), weights.dtype), species.shape
            )
            lower, upper = moments(counted, vectors, self.twojmax, central)
            of_degree = {self.twojmax - 1: lower, self.twojmax: upper}
            for j in spins:
                degree = self.twojmax - (self.twojmax - j) % 2
                densities[kind, j] = densities_at(of_degree[degree], j, degree, grid)
        return densities

    def _central_atom(self, species: Array, kind: int) -> Array | float:
        """Weight of the central atoms in the density of a species."""
        if not self.chemflag or self.wselfallflag:
            return self.self_weight
        return jnp.where(species == kind, self.self_weight, 0.0)

    def _isolated_atom(self, species: Array, a: int, b: int, c: int) -> Array | float:
        """Component of an atom without neighbours, over j + 1."""
        present = 1.0
        if self.chemflag and not self.wselfallflag:
            present = (species == a) & (species == b) & (species == c)
        return self.self_weight**3 * present

    def _on_sphere(self, environments: Environments) -> tuple[Array, list[Array], Array]:
        """Weights, coordinates of the unit 4-vectors, and species of the neighbours.

        All have shape (n_neighbors, n_atoms * n_replicas): a compiler vectorises over long last
        axes, and sums over neighbours add up whole rows.
        """

        def rows(array: Array) -> Array:
            turned = jnp.swapaxes(array, -2 - n_replica_axes, -1 - n_replica_axes)
            return turned.reshape(*turned.shape[: -1 - n_replica_axes], -1)

        n_replica_axes = environments.mask.ndim - 2
        kinds = rows(environments.neighbor_species)
        displacements = rows(environments.displacements)
        [x], [y], [z] = jax.lax.split(displacements, (1, 1, 1))
        squared = x * x + y * y + z * z
        dtype = squared.dtype
        displacements, [squared] = materialized([displacements, squared[None]])
        radii = np.asarray(self.radii)
        if np.ptp(radii) == 0:
            cutoffs = jnp.asarray(self.largest_cutoff, dtype)
        else:
            pair_cutoffs = jnp.asarray(self.cutoff * (radii[:, None] + radii), dtype)
            cutoffs = pair_cutoffs[environments.species.reshape(-1), kinds]
        within = rows(environments.mask) & (squared < cutoffs**2)
        if self.rmin0 == 0:
            cosine, sine_over_r, fade = self._polynomials(squared, cutoffs)
        else:
            cosine, sine_over_r, fade = self._trigonometry(squared, cutoffs)
        weight = jnp.asarray(self.weights, dtype)
        weight = weight[0] if np.ptp(self.weights) == 0 else weight[kinds]
        weights = jnp.where(within, weight * fade if self.switching else weight, 0)
        weights, *vectors = materialized(
            [weights[None], cosine[None], *jax.lax.split(sine_over_r * displacements, (1, 1, 1))]
        )
        return weights[0], [coordinate[0] for coordinate in vectors], kinds

    def _polynomials(self, squared: Array, cutoffs: Array) -> tuple[Array, Array, Array]:
        """cos t, sin t / r and the fading, as the polynomials of r^2 which they nearly are.

        Accurate to the last digits, and without a square root or a division their gradient is
        finite at r = 0.
        """
        angle = self.rfac0 * np.pi
        degree = 7 if squared.dtype == jnp.float32 else 10
        variable = 2 * jnp.minimum(squared / cutoffs**2, 1) - 1

        def evaluate(function: Callable[[np.ndarray], np.ndarray]) -> Array:
            series = Chebyshev.interpolate(lambda t: function(np.sqrt((t + 1) / 2)), degree)
            result = jnp.zeros_like(variable)
            for coefficient in series.convert(kind=Polynomial).coef[::-1]:
                result = result * variable + float(coefficient)
            return result

        return (
            evaluate(lambda x: np.cos(angle * x)),
            evaluate(lambda x: angle * np.sinc(angle * x / np.pi)) / cutoffs,
            evaluate(lambda x: (1 + np.cos(np.pi * x)) / 2),
        )

    def _trigonometry(self, squared: Array, cutoffs: Array) -> tuple[Array, Array, Array]:
        """cos t, sin t / r and the fading where the angle 0 lies at rmin0 > 0."""
        distance = jnp.sqrt(jnp.maximum(squared, 1e-20))
        share = (distance - self.rmin0) / (cutoffs - self.rmin0)
        angle = self.rfac0 * np.pi * share
        # Below rmin0 LAMMPS's vector is the opposite one.
        side = jnp.where(share < 0, -1.0, 1.0).astype(squared.dtype)
        fade = (1 + jnp.cos(np.pi * jnp.clip(share, 0, 1))) / 2
        return side * jnp.cos(angle), side * jnp.sin(angle) / distance, fade
