"""What a run can be told: sections, fields, defaults, ranges and units.

The defaults are the preset "tungsten". `jentmax.config` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from jentmax.config._conflicts import MOST_NEIGHBORS as MOST_NEIGHBORS
from jentmax.config._conflicts import conflicts
from jentmax.config._estimators import ESTIMATORS, Entropy, NearestNeighborEntropy
from jentmax.config._field_types import (
    Above0,
    Allowed,
    Count,
    CountOrZero,
    NotNegative,
    NotNegativeRangeOrAuto,
    Positive,
    PositiveRange,
    Seed,
    Switch,
    Text,
    distinct_elements,
)
from jentmax.config._field_types import as_range as as_range
from jentmax.config._samplers import SAMPLERS, LangevinSampler, Sampler
from jentmax.config._samplers import OptaxSampler as OptaxSampler
from jentmax.config._section import OWN, Section, kind_or
from jentmax.config._section import OwnCode as OwnCode


class RunSettings(Section):
    """How much to make, where to, and in which portions."""

    structures: Count = Field(default=64, description="structures to make")
    seed: Seed = Field(default=0, description="seed of all randomness")
    output: Text = Field(default="tungsten.h5", description="file to write")
    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["auto"],
        Allowed('a whole number of at least 1, or "auto"'),
    ] = Field(default="auto", description="structures side by side on each device")
    devices: Annotated[
        Annotated[int, Field(ge=1)] | Literal["all"],
        Allowed('a whole number of at least 1, or "all"'),
    ] = Field(default="all", description="CPU cores or GPUs to use")
    precision: Annotated[Literal["float32", "float64"], Allowed("float32 or float64")] = Field(
        default="float32", description="floating-point type"
    )
    cycles_per_chain: Count = Field(
        default=2, description="annealing cycles from one random start, one structure each"
    )


class SystemSettings(Section):
    """What is in the cell, and its size and shape."""

    species: Annotated[
        tuple[str, ...],
        Field(strict=False, min_length=1),
        AfterValidator(distinct_elements),
        Allowed('a list of different element symbols such as ["W"], at least one'),
    ] = Field(default=("W",), description="elements")
    fractions: Annotated[
        Annotated[
            tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(strict=False, min_length=1)
        ]
        | None,
        Allowed("a list of numbers from 0 to 1, one per species"),
    ] = Field(default=None, description="composition, one per species, sum 1; equal where absent")
    masses: Annotated[
        Annotated[tuple[Above0, ...], Field(strict=False, min_length=1)] | None,
        Allowed("a list of numbers above 0, one per species"),
    ] = Field(default=None, description="amu, one per species; standard atomic masses where absent")
    n_atoms: Annotated[
        Annotated[int, Field(ge=2)]
        | Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(strict=False, min_length=1)],
        Allowed("a whole number of at least 2, or a list of such"),
    ] = Field(default=39, description="atoms in a cell")
    density: PositiveRange = Field(default=39 / (9.54 * 9.54 * 14.31), description="atoms/Å^3")
    aspect_ratio: PositiveRange = Field(default=1.5, description="c/a of the a x a x c cell")
    start_distance: NotNegative = Field(
        default=2.0, description="Å, least distance between atoms of a random start"
    )

    def composition(self) -> tuple[float, ...]:
        """Fraction of each species, summing to 1; equal where none are given."""
        return self.fractions or (1 / len(self.species),) * len(self.species)

    def atomic_masses(self) -> tuple[float, ...]:
        """Mass of each species in amu; ASE's standard atomic masses where none are given."""
        if self.masses:
            return self.masses
        from ase.data import atomic_masses, atomic_numbers

        return tuple(float(atomic_masses[atomic_numbers[symbol]]) for symbol in self.species)

    def atom_counts(self) -> tuple[int, ...]:
        """The numbers of atoms asked for, one or several."""
        return (self.n_atoms,) if isinstance(self.n_atoms, int) else self.n_atoms


class DescriptorSettings(Section):
    """The SNAP bispectrum, in LAMMPS's conventions."""

    kind: Literal["snap"] = Field(default="snap", description="descriptor")
    cutoff: Positive = Field(default=4.0, description="Å, times the sum of a pair's two radii")
    twojmax: Annotated[int, Field(ge=1, le=14), Allowed("a whole number from 1 to 14")] = Field(
        default=3, description="twice the largest angular momentum"
    )
    components: Annotated[
        Annotated[int, Field(ge=1)] | Literal["all"],
        Allowed('a whole number of at least 1, or "all"'),
    ] = Field(default=6, description="how many bispectrum components, from the first on")
    rfac0: Annotated[float, Field(gt=0, le=1), Allowed("a number above 0, at most 1")] = Field(
        default=0.99363, description="share of the angle pi that distances up to the cutoff span"
    )
    rmin0: NotNegative = Field(default=0.0, description="Å, distance that maps to the pole")
    switching: Switch = Field(default=True, description="fade neighbours out towards the cutoff")
    self_weight: NotNegative = Field(default=1.0, description="weight of the central atom")
    bzero: Switch = Field(default=False, description="subtract the components of an isolated atom")
    weights: Annotated[
        dict[str, float], Allowed("a table of numbers by species, such as { W = 1.0 }")
    ] = Field(default_factory=dict, description="weight of each species as a neighbour, default 1")
    radii: Annotated[
        dict[str, Above0], Allowed("a table of numbers above 0 by species, such as { W = 0.5 }")
    ] = Field(default_factory=dict, description="radius of each species over cutoff, default 0.5")
    chemflag: Switch = Field(default=False, description="components for every triple of species")
    bnormflag: Switch = Field(default=False, description="divide each component by 2j + 1")
    wselfallflag: Switch = Field(
        default=False, description="self weight for all species' densities"
    )

    def n_available(self, n_species: int) -> int:
        """Number of components that there are to choose from."""
        return n_bispectrum_components(self.twojmax) * (n_species**3 if self.chemflag else 1)

    def pair_weights(self, species: Sequence[str]) -> tuple[float, ...]:
        """Weight of each species as a neighbour, in the order of ``species``."""
        return tuple(self.weights.get(symbol, 1.0) for symbol in species)

    def pair_radii(self, species: Sequence[str]) -> tuple[float, ...]:
        """Radius of each species, in the order of ``species``.

        The cutoff of a pair is ``cutoff`` times the sum of its two radii.
        """
        return tuple(self.radii.get(symbol, 0.5) for symbol in species)


class PreliminaryScaling(Section):
    """Divide each feature by its standard deviation in a short run without entropy."""

    kind: Literal["preliminary"] = Field(
        default="preliminary", description="where the scale comes from"
    )
    replicas: Count = Field(default=16, description="independent runs")
    steps: Count = Field(default=2000, description="steps of each run")
    snapshots: Count = Field(default=10, description="configurations taken from each run")
    temperature: Positive = Field(default=10000.0, description="K")
    timestep: Positive = Field(default=1.0, description="fs")
    friction: Positive = Field(default=10.0, description="1/ps")

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.snapshots > self.steps:
            raise ValueError(
                f"scaling.snapshots = {self.snapshots} is more than scaling.steps = {self.steps}; "
                "give fewer snapshots or more steps"
            )
        return self


class GivenScaling(Section):
    """Divide each feature by a given number."""

    kind: Literal["given"] = Field(default="given", description="where the scale comes from")
    scale: Annotated[
        tuple[Above0, ...],
        Field(strict=False, min_length=1),
        Allowed("a list of numbers above 0, one per feature"),
    ] = Field(description="typical value of each feature")


class RepulsionSettings(Section):
    """Clarke-Smith pair repulsion, doi:10.1063/5.0013059, Eq. 3."""

    kind: Literal["clarke-smith"] = Field(default="clarke-smith", description="repulsion")
    epsilon: NotNegative = Field(default=1.0, description="eV")
    n: Positive = Field(default=8.0, description="exponent of the repulsive term")
    m: Positive = Field(default=4.0, description="exponent of the attractive term")
    r0: Annotated[
        Above0 | Annotated[dict[str, Above0], Field(min_length=1)],
        Allowed("a number above 0, or a table of such by species, such as { W = 2.7 }"),
    ] = Field(default=2.7, description="Å, distance of the minimum")
    cutoff_ratio: Annotated[float, Field(ge=1), Allowed("a number of at least 1")] = Field(
        default=2.71 / 2.7, description="cutoff over r0; truncated and shifted to zero there"
    )

    def pair_r0(self, species: Sequence[str]) -> tuple[float, ...]:
        """Distance of the minimum of each species in Å, in the order of ``species``."""
        if isinstance(self.r0, dict):
            return tuple(self.r0[symbol] for symbol in species)
        return (self.r0,) * len(species)

    @model_validator(mode="after")
    def _exponents_differ(self) -> Self:
        if self.m >= self.n:
            raise ValueError(
                f"repulsion.m = {self.m:g} is not below repulsion.n = {self.n:g}; "
                "give exponents with n > m > 0"
            )
        return self


class PotentialSettings(Section):
    """V = E_rep - K S."""

    entropy_weight: NotNegativeRangeOrAuto = Field(
        default=1000.0,
        description='eV, K at its largest; "auto": the largest that keeps min_distance',
    )
    min_distance: NotNegative = Field(
        default=0.0, description="Å; structures with atoms closer are rejected and made anew"
    )


class QuenchSettings(Section):
    """The descent from a cycle's end into the minimum below it."""

    steps: CountOrZero = Field(default=300, description="steps; 0 leaves it out")
    step_length: Positive = Field(
        default=0.05, description="Å, move of a coordinate in the first step"
    )


def _scaling_kind(value: object) -> object:
    """The kind of a [scaling] section: as in the other sections, it may be left out."""
    if isinstance(value, Mapping):
        return value.get("kind", "given" if "scale" in value else "preliminary")
    return getattr(value, "kind", None)


Scaling = Annotated[
    Annotated[PreliminaryScaling, Tag("preliminary")] | Annotated[GivenScaling, Tag("given")],
    Discriminator(_scaling_kind),
]


Descriptor = Annotated[
    Annotated[DescriptorSettings, Tag("snap")] | Annotated[OwnCode, Tag(OWN)],
    Discriminator(kind_or("snap")),
]
Repulsion = Annotated[
    Annotated[RepulsionSettings, Tag("clarke-smith")] | Annotated[OwnCode, Tag(OWN)],
    Discriminator(kind_or("clarke-smith")),
]

KINDS: dict[str, dict[str, type[Section]]] = {
    "descriptor": {"snap": DescriptorSettings, OWN: OwnCode},
    "scaling": {"preliminary": PreliminaryScaling, "given": GivenScaling},
    "repulsion": {"clarke-smith": RepulsionSettings, OWN: OwnCode},
    "entropy": ESTIMATORS,
    "sampler": SAMPLERS,
}
"""The kinds of each section that comes in several."""


class Settings(Section):
    """All settings of a run; by default those of the preset "tungsten"."""

    run: RunSettings = Field(default_factory=RunSettings)
    system: SystemSettings = Field(default_factory=SystemSettings)
    descriptor: Descriptor = Field(default_factory=DescriptorSettings)
    scaling: Scaling = Field(default_factory=PreliminaryScaling)
    repulsion: Repulsion = Field(default_factory=RepulsionSettings)
    entropy: Entropy = Field(default_factory=NearestNeighborEntropy)
    potential: PotentialSettings = Field(default_factory=PotentialSettings)
    sampler: Sampler = Field(default_factory=LangevinSampler)
    quench: QuenchSettings = Field(default_factory=QuenchSettings)

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        problems = "\n".join(conflicts(self))
        if problems:
            raise ValueError(problems)
        return self


def n_bispectrum_components(twojmax: int) -> int:
    """Number of bispectrum components of one density: all j2 <= j1 <= j <= twojmax that couple.

    >>> [n_bispectrum_components(twojmax) for twojmax in (2, 4, 6, 8)]
    [5, 14, 30, 55]
    """
    return sum(
        j >= j1
        for j1 in range(twojmax + 1)
        for j2 in range(j1 + 1)
        for j in range(j1 - j2, min(twojmax, j1 + j2) + 1, 2)
    )
