"""The SNAP bispectrum, with LAMMPS's conventions.

A neighbour at distance r maps to the unit vector v = (cos t, sin t x/r, sin t y/r, sin t z/r) in
four dimensions. The density of the neighbours on the unit sphere, resolved by spin j/2, is

    f_j(g) = sum_k w_k U_j(g . v_k)      (U_j the Chebyshev polynomials of the second kind),

because U_j is the character of SU(2). The usual sum over products of Clebsch-Gordan coefficients
then becomes an average over the sphere,

    B_{j1 j2 j} = (j + 1) < f_{j1} f_{j2} f_j >,

because Clebsch-Gordan coefficients give the average of a product of three rotation matrices. The
integrand is a polynomial, so a quadrature with a few points g is exact: 32 points for the first six
components. One matrix product turns the neighbours' moments, the sums of the monomials of v, into
the values of f_j at these points.

Bartók, Payne, Kondor, Csányi, doi:10.1103/PhysRevLett.104.136403; Thompson, Swiler, Trott, Foiles,
Tucker, doi:10.1016/j.jcp.2014.12.018; the element-wise form: Cusentino, Wood, Thompson,
doi:10.1021/acs.jpca.0c02450.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Array, Float, Int
from numpy.polynomial import Chebyshev, Polynomial
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.descriptors._sphere import densities_at, moments, triple_averages
from jentmax.errors import JentmaxError
from jentmax.fields import (
    Allowed,
    Count,
    Elements,
    Frozen,
    NotNegative,
    PerElement,
    PositivePerElement,
)
from jentmax.materialize import materialized
from jentmax.neighbors import Environments

_ONE_PLACE = 1e-20
"""Å^2: squared distance up to which LAMMPS takes two atoms to be at one place."""


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


class Snap(Component):
    """SNAP bispectrum components, equal to those of LAMMPS's ``compute sna/atom``.

    Radii are dimensionless: the cutoff of a pair is ``cutoff`` times the sum of its two radii.
    As in LAMMPS, atoms at one place, up to 1e-10 Å apart, do not see each other.

    ``chemflag`` multiplies the number of components by n_elements^3: one set for each triple of
    elements (a, b, c) of (j1, j2, j), with c varying fastest.

    >>> Snap(cutoff=4.0, components=6).n_features
    6
    """

    cutoff: Annotated[float, Gt(0), Doc("Å, times the sum of a pair's two radii (rcutfac)")] = (
        eqx.field(static=True)
    )
    twojmax: Annotated[int, Ge(1), Le(14), Doc("twice the largest angular momentum, 1 to 14")] = (
        eqx.field(static=True, default=3)
    )
    components: Annotated[
        Count | None,
        Allowed('a whole number of at least 1, or "all" (None in Python)'),
        Doc("number of components to keep, from the first on"),
    ] = eqx.field(static=True, default=None)
    rfac0: Annotated[float, Gt(0), Le(1), Doc("angle at the cutoff, as a fraction of pi")] = (
        eqx.field(static=True, default=0.99363)
    )
    rmin0: Annotated[NotNegative, Doc("Å, distance for the angle 0")] = eqx.field(
        static=True, default=0.0
    )
    switching: Annotated[bool, Doc("fade neighbours out towards the cutoff")] = eqx.field(
        static=True, default=True
    )
    self_weight: Annotated[NotNegative, Doc("weight of the central atom (wself)")] = eqx.field(
        static=True, default=1.0
    )
    bzero: Annotated[bool, Doc("subtract the components of an isolated atom (bzeroflag)")] = (
        eqx.field(static=True, default=False)
    )
    weights: Annotated[PerElement, Doc("weight of each element as a neighbour, default 1")] = (
        eqx.field(static=True, default_factory=lambda: Frozen({}))
    )
    radii: Annotated[PositivePerElement, Doc("radius of each element over cutoff, default 0.5")] = (
        eqx.field(static=True, default_factory=lambda: Frozen({}))
    )
    chemflag: Annotated[bool, Doc("components for every triple of elements")] = eqx.field(
        static=True, default=False
    )
    elements: Annotated[
        Elements, Doc("all elements, in the order of their densities; for chemflag")
    ] = eqx.field(static=True, default=())
    bnormflag: Annotated[bool, Doc("divide each component by 2j + 1")] = eqx.field(
        static=True, default=False
    )
    wselfallflag: Annotated[bool, Doc("with chemflag: add the self weight to all densities")] = (
        eqx.field(static=True, default=False)
    )

    def __check_init__(self) -> None:
        """Raise an error for fields that contradict each other."""
        if self.chemflag and not self.elements:
            raise JentmaxError(
                "Snap.elements is empty, but chemflag needs it; give the elements in the order of "
                'their densities, such as ["Ni", "Al"]'
            )
        least = self.cutoff * (self._least_radius + self._least_radius)
        if self.rmin0 >= least:
            raise JentmaxError(
                f"Snap.rmin0 = {self.rmin0:g} Å is not below the smallest pair cutoff, {least:g} "
                "Å; give a smaller rmin0 or a larger cutoff"
            )
        available = len(bispectrum_indices(self.twojmax)) * self._n_densities**3
        if self.components is not None and self.components > available:
            triples = " and every triple of elements" if self.chemflag else ""
            raise JentmaxError(
                f"Snap.components = {self.components} exceeds the {available} components of "
                f"twojmax = {self.twojmax}{triples}; give 1 to {available}, or a larger twojmax"
            )

    @property
    def largest_cutoff(self) -> float:
        """Largest cutoff of any pair of elements, in Å."""
        others = [] if self.elements and set(self.elements) <= set(self.radii) else [0.5]
        return self.cutoff * 2 * max([*self.radii.values(), *others])

    @property
    def uses_elements(self) -> bool:
        """Whether features depend on the elements of the atoms."""
        same = set(self.weights.values()) <= {1.0} and set(self.radii.values()) <= {0.5}
        return self.chemflag or not same

    @property
    def _least_radius(self) -> float:
        return min([*self.radii.values(), 0.5])

    @property
    def _n_densities(self) -> int:
        return len(self.elements) if self.chemflag else 1

    @property
    def labels(self) -> list[tuple[int, ...]]:
        """(j1, j2, j) of each feature, with ``chemflag`` after the indices of three elements."""
        labels = [
            ((*elements, *spins) if self.chemflag else spins)
            for elements in itertools.product(range(self._n_densities), repeat=3)
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
        elements = self._places(environments.numbers.reshape(-1))
        densities = self._densities(environments, elements, spins, grid)
        place = {name: number for number, name in enumerate(densities)}
        triples = tuple((place[a, j1], place[b, j2], place[c, j]) for a, b, c, j1, j2, j in labels)
        together = jnp.concatenate(materialized(list(densities.values())))
        values = together.reshape(len(densities), -1, elements.size)
        averages = triple_averages(values, triples, grid)
        features = []
        for (a, b, c, _, _, j), [average] in zip(
            labels, jnp.split(averages, len(labels)), strict=True
        ):
            factor = 1.0 if self.bnormflag else j + 1.0
            if self.bzero:
                average -= jnp.asarray(self._isolated_atom(elements, a, b, c), average.dtype)
            features.append(factor * average[None])
        together = jnp.concatenate(materialized(features))
        return jnp.swapaxes(together.reshape(-1, *environments.numbers.shape), 0, 1)

    def _densities(
        self,
        environments: Environments,
        elements: Int[Array, " n_atoms_replicas"],
        spins: list[int],
        grid: int,
    ) -> dict[tuple[int, int], Float[Array, "n_points n_atoms_replicas"]]:
        """f_j at the quadrature points by (element, j); element is 0 without ``chemflag``."""
        weights, vectors, neighbors = self._on_sphere(environments)
        densities = {}
        for place in range(self._n_densities):
            counted = jnp.where(neighbors == place, weights, 0) if self.chemflag else weights
            # The central atom is at v = (1, 0, 0, 0), so it contributes to the first moment only.
            central = jnp.broadcast_to(
                jnp.asarray(self._central_atom(elements, place), weights.dtype), elements.shape
            )
            lower, upper = moments(counted, vectors, self.twojmax, central)
            of_degree = {self.twojmax - 1: lower, self.twojmax: upper}
            for j in spins:
                degree = self.twojmax - (self.twojmax - j) % 2
                densities[place, j] = densities_at(of_degree[degree], j, degree, grid)
        return densities

    def _places(self, numbers: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Index in ``elements`` of each atom's element; -1 for other elements."""
        if not self.chemflag:
            return numbers
        table = np.full(len(chemical_symbols), -1, np.int32)
        for place, symbol in enumerate(self.elements):
            table[atomic_numbers[symbol]] = place
        return jnp.asarray(table)[numbers]

    def _table(
        self, values: Mapping[str, float], default: float
    ) -> Float[np.ndarray, " n_elements"]:
        """Values by atomic number."""
        table = np.full(len(chemical_symbols), default)
        for symbol, value in values.items():
            table[atomic_numbers[symbol]] = value
        return table

    def _central_atom(
        self, elements: Int[Array, " n_atoms_replicas"], place: int
    ) -> Float[Array, " n_atoms_replicas"] | float:
        """Weight of each central atom in the density of an element."""
        if not self.chemflag or self.wselfallflag:
            return self.self_weight
        return jnp.where(elements == place, self.self_weight, 0.0)

    def _isolated_atom(
        self, elements: Int[Array, " n_atoms_replicas"], a: int, b: int, c: int
    ) -> Float[Array, " n_atoms_replicas"] | float:
        """Component of an isolated atom, divided by j + 1."""
        present = 1.0
        if self.chemflag and not self.wselfallflag:
            present = (elements == a) & (elements == b) & (elements == c)
        return self.self_weight**3 * present

    def _on_sphere(
        self, environments: Environments
    ) -> tuple[
        Float[Array, "n_neighbors n_atoms_replicas"],
        list[Float[Array, "n_neighbors n_atoms_replicas"]],
        Int[Array, "n_neighbors n_atoms_replicas"],
    ]:
        """Weights, coordinates of the unit 4-vectors, and elements of the neighbours.

        In the shape (n_neighbors, n_atoms * n_replicas), XLA vectorises over the long last axis,
        and a sum over neighbours adds whole rows.
        """

        def rows(array: Array) -> Array:
            turned = jnp.swapaxes(array, -2 - n_replica_axes, -1 - n_replica_axes)
            return turned.reshape(*turned.shape[: -1 - n_replica_axes], -1)

        n_replica_axes = environments.mask.ndim - 2
        numbers = rows(environments.neighbor_numbers)
        displacements = rows(environments.displacements)
        [x], [y], [z] = jax.lax.split(displacements, (1, 1, 1))
        squared = x * x + y * y + z * z
        dtype = squared.dtype
        displacements, [squared] = materialized([displacements, squared[None]])
        if not self.radii or set(self.radii.values()) == {0.5}:
            cutoffs = jnp.asarray(self.largest_cutoff, dtype)
        else:
            radii = jnp.asarray(self._table(self.radii, 0.5) * self.cutoff, dtype)
            cutoffs = radii[environments.numbers.reshape(-1)] + radii[numbers]
        # LAMMPS leaves out atoms at one place, too.
        within = rows(environments.mask) & (squared < cutoffs**2) & (squared > _ONE_PLACE)
        if self.rmin0 == 0:
            cosine, sine_over_r, fade = self._polynomials(squared, cutoffs)
        else:
            cosine, sine_over_r, fade = self._trigonometry(squared, cutoffs)
        weight = jnp.asarray(1.0, dtype)
        if any(value != 1.0 for value in self.weights.values()):
            weight = jnp.asarray(self._table(self.weights, 1.0), dtype)[numbers]
        weights = jnp.where(within, weight * fade if self.switching else weight, 0)
        weights, *vectors = materialized(
            [weights[None], cosine[None], *jax.lax.split(sine_over_r * displacements, (1, 1, 1))]
        )
        neighbors = self._places(numbers)
        return weights[0], [coordinate[0] for coordinate in vectors], neighbors

    def _polynomials(
        self,
        squared: Float[Array, "n_neighbors n_atoms_replicas"],
        cutoffs: Float[Array, "*#pairs"],
    ) -> tuple[
        Float[Array, "n_neighbors n_atoms_replicas"],
        Float[Array, "n_neighbors n_atoms_replicas"],
        Float[Array, "n_neighbors n_atoms_replicas"],
    ]:
        """cos t, sin t / r and the switching function, as polynomials of r^2.

        They are accurate to rounding. Without a square root or a division, the gradient is finite
        at r = 0.
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

    def _trigonometry(
        self,
        squared: Float[Array, "n_neighbors n_atoms_replicas"],
        cutoffs: Float[Array, "*#pairs"],
    ) -> tuple[
        Float[Array, "n_neighbors n_atoms_replicas"],
        Float[Array, "n_neighbors n_atoms_replicas"],
        Float[Array, "n_neighbors n_atoms_replicas"],
    ]:
        """cos t, sin t / r and the switching function, for rmin0 > 0."""
        distance = jnp.sqrt(jnp.maximum(squared, 1e-20))
        reduced = (distance - self.rmin0) / (cutoffs - self.rmin0)
        angle = self.rfac0 * np.pi * reduced
        # Below rmin0, LAMMPS uses the opposite vector.
        side = jnp.where(reduced < 0, -1.0, 1.0).astype(squared.dtype)
        fade = (1 + jnp.cos(np.pi * jnp.clip(reduced, 0, 1))) / 2
        return side * jnp.cos(angle), side * jnp.sin(angle) / distance, fade
