"""Starts of chains: random structures that depend only on the seed and the chain's number."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any

import equinox as eqx
import numpy as np
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.errors import JentmaxError
from jentmax.fields import Allowed, Frozen, NotNegative, PositivePerElement, PositiveRange, shown
from jentmax.system import (
    System,
    atomic_numbers_of,
    host_system,
    random_positions,
    stack_host,
    tetragonal_cell,
)

# Random sequential addition reaches 0.38 in large cells; two or three atoms can reach more.
_LARGEST_PACKING = 0.45

_CELL, _ATOMS = 1, 2
"""Last words of the seeds of a chain, for independent draws of cells and atoms."""


def as_range(value: float | tuple[float, float]) -> tuple[float, float]:
    """Lower and upper end of a number or a range.

    >>> as_range(1.5), as_range((1.0, 2.0))
    ((1.5, 1.5), (1.0, 2.0))
    """
    return value if isinstance(value, tuple) else (value, value)


def chain_rng(seed: int, stream: int, chain: int, cycle: int, purpose: int) -> np.random.Generator:
    """Random generator of a chain for one cycle and one purpose."""
    return np.random.default_rng([seed, stream, chain, cycle, purpose])


def _has_formulas(value: Any) -> bool:
    return len(value) > 0


class RandomStart(Component):
    """Random positions in ``a x a x c`` cells, with a least distance between atoms.

    Each chain draws a density and an aspect ratio from the ranges. Each formula is a separate
    stream, and a set takes equal shares of all streams.

    >>> RandomStart("W39", density=0.03).formulas
    ('W39',)
    """

    formula: Annotated[
        str | tuple[str, ...],
        Allowed('a formula such as "W39", or a list of formulas', _has_formulas),
        Doc("elements and numbers of the atoms in a cell"),
    ] = eqx.field(static=True)
    density: Annotated[PositiveRange, Doc("atoms/Å^3")] = eqx.field(static=True)
    aspect_ratio: Annotated[PositiveRange, Doc("c/a")] = eqx.field(static=True, default=1.0)
    least_distance: Annotated[NotNegative, Doc("Å, between two atoms")] = eqx.field(
        static=True, default=2.0
    )
    masses: Annotated[
        PositivePerElement, Doc("amu, of elements; standard atomic masses by default")
    ] = eqx.field(static=True, default_factory=lambda: Frozen({}))

    def __check_init__(self) -> None:
        """Raise an error for cells without room for random atoms."""
        if len(set(self.formulas)) < len(self.formulas):
            raise JentmaxError(
                f"formula = {shown(self.formula)} repeats a formula; give each formula once"
            )
        for formula in self.formulas:
            n_atoms = len(atomic_numbers_of(formula))
            if n_atoms < 2:
                raise JentmaxError(
                    f'formula = "{formula}" has one atom; the entropy needs at least 2'
                )
            self._check_room(n_atoms)

    @property
    def formulas(self) -> tuple[str, ...]:
        """The formulas, at least one."""
        return (self.formula,) if isinstance(self.formula, str) else self.formula

    def draw(self, seed: int, stream: int, chain: int, cycle: int) -> System:
        """The start of a cycle of a chain, in float64 on the host.

        All starts of a chain have the same cell.

        Args:
            seed: seed of the run.
            stream: number of the formula.
            chain: number of the chain.
            cycle: number of the cycle.

        Raises:
            JentmaxError: the cell has no room for the atoms.
        """
        numbers = atomic_numbers_of(self.formulas[stream])
        cell_rng = chain_rng(seed, stream, chain, 0, _CELL)
        density, ratio = (
            float(cell_rng.uniform(*as_range(value))) for value in (self.density, self.aspect_ratio)
        )
        cell = tetragonal_cell(len(numbers), density, ratio)
        rng = chain_rng(seed, stream, chain, cycle, _ATOMS)
        numbers = rng.permutation(numbers)
        positions = random_positions(rng, len(numbers), cell, self.least_distance)
        return host_system(numbers, positions, cell, np.float64, dict(self.masses))

    def extremes(self, stream: int) -> System:
        """Systems in the cells with the smallest and largest densities and aspect ratios."""
        numbers = atomic_numbers_of(self.formulas[stream])
        systems = []
        for number, ends in enumerate(
            itertools.product(as_range(self.density), as_range(self.aspect_ratio))
        ):
            cell = tetragonal_cell(len(numbers), *ends)
            positions = _even_positions(np.random.default_rng(number), len(numbers)) @ cell
            systems.append(host_system(numbers, positions, cell, np.float64))
        return stack_host(systems)

    def _check_room(self, n_atoms: int) -> None:
        distance, density = self.least_distance, as_range(self.density)[1]
        sphere = math.pi / 6 * distance * distance * distance  # a power would raise OverflowError
        packing = density * sphere
        if packing > _LARGEST_PACKING:
            most = (_LARGEST_PACKING * 6 / (math.pi * density)) ** (1 / 3)
            raise JentmaxError(
                f"density = {shown(self.density)} leaves no room for atoms with least_distance = "
                f"{distance:g} Å: spheres of that diameter would fill {packing:.2f} of the "
                f"cell, at most {_LARGEST_PACKING} is allowed; give a density of at most "
                f"{_LARGEST_PACKING / sphere:.3g} atoms/Å^3 or a least_distance of at most "
                f"{most:.3g} Å"
            )
        volume = n_atoms / density
        flattest, tallest = as_range(self.aspect_ratio)
        shortest = min((volume / tallest) ** (1 / 3), (volume * flattest * flattest) ** (1 / 3))
        if distance > shortest:
            raise JentmaxError(
                f"least_distance = {distance:g} Å exceeds the shortest side of the cell, "
                f"{shortest:.3g} Å at aspect_ratio = {shown(self.aspect_ratio)} and {n_atoms} "
                "atoms; give a smaller least_distance, an aspect_ratio closer to 1, or more atoms"
            )


def _even_positions(rng: np.random.Generator, n_atoms: int) -> np.ndarray:
    """Fractional positions on random points of a grid, with displacements of up to a tenth.

    Atoms have about as many neighbours as in a dense liquid. Independent random positions would
    form clusters, and neighbour lists would reserve a third more room than chains need.
    """
    per_side = 1
    while per_side**3 < n_atoms:
        per_side += 1
    points = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1)
    chosen = rng.permutation(points.reshape(-1, 3))[:n_atoms]
    return (chosen + rng.uniform(-0.1, 0.1, chosen.shape)) / per_side
