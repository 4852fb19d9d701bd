"""A recipe: how the structures of a set come about, as one object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import equinox as eqx
from annotated_types import Gt
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

if TYPE_CHECKING:
    from jentmax.generation._resolved import Resolved

MOST_NEIGHBORS = 2000
"""Neighbours that an atom may have: more take all memory, and no potential wants them."""


class Quench(Component):
    """The descent from a cycle's end into the minimum below it, by Adam."""

    steps: Annotated[Count, Doc("steps")] = eqx.field(static=True, default=300)
    step_length: Annotated[
        float, Gt(0), Doc("Å, move of a coordinate in the first step; a cosine shortens it")
    ] = eqx.field(static=True, default=0.05)

    @property
    def sampler(self) -> Descent:
        """What runs it."""
        return Descent(optimizer="adam", options={}, step_length=self.step_length)


class FitScale(Component):
    """How typical values of the features are found: a short run without entropy."""

    replicas: Annotated[Count, Doc("independent runs")] = eqx.field(static=True, default=16)
    steps: Annotated[Count, Doc("steps of each run")] = eqx.field(static=True, default=2000)
    snapshots: Annotated[Count, Doc("configurations taken from each run's second half")] = (
        eqx.field(static=True, default=10)
    )
    temperature: Annotated[Positive, Doc("K")] = eqx.field(static=True, default=10_000.0)
    timestep: Annotated[Positive, Doc("fs")] = eqx.field(static=True, default=1.0)
    friction: Annotated[Positive, Doc("1/ps")] = eqx.field(static=True, default=10.0)

    def __check_init__(self) -> None:
        """Refuse more snapshots than steps."""
        if self.snapshots > self.steps:
            raise JentmaxError(
                f"scale.snapshots = {self.snapshots} is more than scale.steps = {self.steps}; "
                "give fewer snapshots or more steps"
            )


class Recipe(Component):
    """How the structures of a set come about; it knows no files and no number of structures.

    A chain starts at random and runs ``cycles_per_chain`` cycles of the sampler, each from the end
    of the one before. Every cycle, with its quench, gives one structure. `generate` makes a set.

    >>> import jentmax as jm
    >>> potential = jm.Potential(
    ...     jm.Snap(cutoff=4.0, components=6), jm.ClarkeSmith(), jm.NearestNeighbor())
    >>> start = jm.RandomStart("W39", density=0.03)
    >>> recipe = jm.Recipe(potential, jm.Langevin(), start=start, steps=100, entropy_weight=300.0)
    """

    potential: Annotated[Potential, Doc("V; without a scale, the recipe fits one")]
    sampler: Annotated[Any, Doc("settings of a method, such as Langevin()")]
    start: Annotated[Any, Doc("where chains start, such as RandomStart(...)")]
    steps: Annotated[Count, Doc("steps of a cycle")] = eqx.field(static=True)
    entropy_weight: Annotated[
        NotNegativeRange | Literal["auto"],
        Allowed('a number of at least 0, a range [low, high] with 0 <= low <= high, or "auto"'),
        Doc('eV, K at its largest; "auto": the largest that keeps min_distance'),
    ] = eqx.field(static=True)
    quench: Annotated[Quench | None, Doc("the descent after each cycle, or none")] = None
    cycles_per_chain: Annotated[Count, Doc("cycles from one random start, a structure each")] = (
        eqx.field(static=True, default=1)
    )
    min_distance: Annotated[
        NotNegative, Doc("Å; structures with atoms closer than that are discarded")
    ] = eqx.field(static=True, default=0.0)
    scale: Annotated[FitScale, Doc("how the scale is found if the potential has none")] = eqx.field(
        default_factory=FitScale
    )
    precision: Annotated[Literal["float32", "float64"], Doc("floating-point type")] = eqx.field(
        static=True, default="float32"
    )
    batch_size: Annotated[
        Count | None,
        Allowed('a whole number of at least 1, or "auto" (None in Python)'),
        Doc("structures side by side on each device; by default what is fastest"),
    ] = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        """Refuse fields that do not go together."""
        if self.entropy_weight == "auto" and not self.min_distance:
            raise JentmaxError(
                'entropy_weight = "auto" is the largest at which atoms keep min_distance, which is '
                "0 Å; give a min_distance above 0, for tungsten about 2.0"
            )
        known = self.potential.elements
        for formula in getattr(self.start, "formulas", ()):
            from ase.data import chemical_symbols

            found = {chemical_symbols[number] for number in atomic_numbers_of(formula)}
            if known and (foreign := sorted(found - set(known))):
                raise JentmaxError(
                    f'formula = "{formula}" holds {", ".join(foreign)}, which the potential does '
                    f"not know; it knows {', '.join(known)}"
                )

    def resolve(
        self,
        seed: int = 0,
        *,
        structures: int | None = None,
        devices: int | None = None,
        cache: Path | None = None,
        report: Callable[[str, str], None] | None = None,
    ) -> Resolved:
        """All that is found before the first structure: scale, K, batch size.

        Args:
            seed: of all randomness, from 0 to 2^32 - 1.
            structures: about how many will be asked for; only the batch size depends on it.
            devices: CPU cores or GPUs to use; None for all.
            cache: folder that keeps which batch sizes were measured to be the fastest.
            report: called with what is being done, and a note or "".

        Returns:
            The resolved recipe, whose `Resolved.chunk` makes structures.

        Raises:
            JentmaxError: a feature does not vary, no K keeps the distance, or the atoms do not fit.
        """
        from jentmax.generation._resolve import resolve

        return resolve(self, seed, structures, devices, cache, report or (lambda phase, note: None))

    def to_plain(self) -> dict[str, Any]:
        """The recipe as nested plain data, as files hold it."""
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
