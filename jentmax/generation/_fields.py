"""The fields of a recipe, and the checks of their combinations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import numpy as np
from annotated_types import Gt
from ase.data import chemical_symbols
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.errors import JentmaxError
from jentmax.fields import (
    Allowed,
    Count,
    NotNegative,
    NotNegativeRange,
    Positive,
    kind_of,
    to_plain,
)
from jentmax.potential import Potential
from jentmax.samplers import Descent
from jentmax.system import atomic_numbers_of

_SAMPLER = ("init", "step")

_EXAMPLES = {"start": 'RandomStart("W39", density=0.03)', "sampler": "Langevin()"}

MOST_NEIGHBORS = 2000
"""Limit for neighbours of an atom; more would exhaust the memory and are never useful."""


class Quench(Component):
    """The descent with Adam from the end of a cycle to the nearest minimum."""

    steps: Annotated[Count, Doc("steps; in settings 0 for no quench")] = eqx.field(
        static=True, default=300
    )
    step_length: Annotated[
        float, Gt(0), Doc("Å, step of a coordinate at the start; a cosine reduces it to 0")
    ] = eqx.field(static=True, default=0.05)

    @property
    def sampler(self) -> Descent:
        """The sampler of the descent."""
        return Descent(optimizer="adam", options={}, step_length=self.step_length)


class FitScale(Component):
    """Parameters of the short run without entropy that finds typical values of the features."""

    replicas: Annotated[Count, Doc("independent runs")] = eqx.field(static=True, default=16)
    steps: Annotated[Count, Doc("steps of each run")] = eqx.field(static=True, default=2000)
    snapshots: Annotated[Count, Doc("configurations from the second half of each run")] = eqx.field(
        static=True, default=10
    )
    temperature: Annotated[Positive, Doc("K")] = eqx.field(static=True, default=10_000.0)
    timestep: Annotated[Positive, Doc("fs")] = eqx.field(static=True, default=1.0)
    friction: Annotated[Positive, Doc("1/ps")] = eqx.field(static=True, default=10.0)

    def __check_init__(self) -> None:
        """Raise an error for more snapshots than steps."""
        if self.snapshots > self.steps:
            raise JentmaxError(
                f"scale.snapshots = {self.snapshots} exceeds scale.steps = {self.steps}; "
                "give fewer snapshots or more steps"
            )


class RecipeFields(Component):
    """The fields of `jentmax.Recipe`."""

    potential: Annotated[Potential, Doc("V; without a scale, the recipe fits one")]
    sampler: Annotated[Any, Doc("parameters of a method, such as Langevin()")]
    start: Annotated[Any, Doc("where chains start, such as RandomStart(...)")]
    steps: Annotated[Count, Doc("steps of a cycle")] = eqx.field(static=True)
    entropy_weight: Annotated[
        NotNegativeRange | Literal["auto"],
        Allowed('a number of at least 0, a range [low, high] with 0 <= low <= high, or "auto"'),
        Doc('eV, the largest K of a cycle; "auto": the largest K that keeps min_distance'),
    ] = eqx.field(static=True)
    quench: Annotated[Quench | None, Doc("the descent after each cycle, or none")] = None
    cycles_per_chain: Annotated[Count, Doc("cycles, and structures, per random start")] = eqx.field(
        static=True, default=1
    )
    min_distance: Annotated[NotNegative, Doc("Å; structures with closer atoms are discarded")] = (
        eqx.field(static=True, default=0.0)
    )
    scale: Annotated[FitScale, Doc("how to find the scale if the potential has none")] = eqx.field(
        default_factory=FitScale
    )
    precision: Annotated[Literal["float32", "float64"], Doc("floating-point type")] = eqx.field(
        static=True, default="float32"
    )
    batch_size: Annotated[
        Count | None,
        Allowed('a whole number of at least 1, or "auto" (None in Python)'),
        Doc("structures per batch on each device; by default the fastest number"),
    ] = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        """Raise an error for fields that contradict each other."""
        if self.entropy_weight == "auto" and not self.min_distance:
            raise JentmaxError(
                'entropy_weight = "auto" finds the largest K that keeps min_distance, but that is '
                "0 Å; give a min_distance above 0, for tungsten about 2.0"
            )
        for name, methods in (("start", ("formulas", "draw", "extremes")), ("sampler", _SAMPLER)):
            given = getattr(self, name)
            if isinstance(given, type) or not all(hasattr(given, method) for method in methods):
                shown = given.__name__ if isinstance(given, type) else type(given).__name__
                raise JentmaxError(
                    f"{name} = {shown} is not allowed; give an object with {', '.join(methods)}, "
                    f"such as {_EXAMPLES[name]}"
                )
        known = self.potential.elements
        for stream, formula in enumerate(self.start.formulas):
            self._check_size(stream, formula)
            found = {chemical_symbols[number] for number in atomic_numbers_of(formula)}
            if known and (foreign := sorted(found - set(known))):
                raise JentmaxError(
                    f'formula = "{formula}" contains {", ".join(foreign)}, which the potential '
                    f"does not support; give only {', '.join(known)}"
                )

    def _check_size(self, stream: int, formula: str) -> None:
        """Raise an error for too many neighbours, or too few atoms for the entropy."""
        potential, systems = self.potential, self.start.extremes(stream)
        n_atoms = len(atomic_numbers_of(formula))
        volumes = np.abs(np.linalg.det(np.moveaxis(np.asarray(systems.cell), -1, 0)))
        neighbors = n_atoms / volumes.min() * 4 / 3 * np.pi * potential.cutoff**3
        if neighbors > MOST_NEIGHBORS:
            most = potential.cutoff * (MOST_NEIGHBORS / neighbors) ** (1 / 3)
            raise JentmaxError(
                f"descriptor.cutoff = {potential.cutoff:g} Å is too large for start.density: an "
                f"atom would have about {neighbors:.3g} neighbours, but at most {MOST_NEIGHBORS} "
                f"are allowed; give at most {most:.3g} Å, or a lower density"
            )
        shape = jax.ShapeDtypeStruct((n_atoms, potential.descriptor.n_features), np.float32)
        try:
            jax.eval_shape(potential.entropy, shape)
        except ValueError as error:
            raise JentmaxError(f'entropy of formula "{formula}": {error}') from error

    def to_plain(self) -> dict[str, Any]:
        """The recipe as nested plain data, for files."""
        potential = self.potential
        tree: dict[str, Any] = {
            "start": to_plain_part(self.start),
            "descriptor": to_plain_part(potential.descriptor),
            "repulsion": to_plain_part(potential.repulsion),
            "entropy": to_plain_part(potential.entropy),
            "sampler": to_plain_part(self.sampler),
        }
        scale: Any = self.scale if potential.scale is None else potential.scale
        tree["scale"] = to_plain(scale)
        if isinstance(tree["scale"], dict):
            tree["scale"].pop("kind")
        tree["quench"] = None if self.quench is None else to_plain_part(self.quench, kind=False)
        for name in (
            "steps",
            "entropy_weight",
            "cycles_per_chain",
            "min_distance",
            "precision",
            "batch_size",
        ):
            tree[name] = to_plain(getattr(self, name))
        return tree


def to_plain_part(part: Any, kind: bool = True) -> Any:
    """A component as a table with its kind; a function as a table with its name."""
    plain = to_plain(part)
    if not isinstance(plain, dict):
        plain = {"kind": plain if isinstance(plain, str) else kind_of(part)}
    if not kind:
        plain.pop("kind", None)
    return plain
