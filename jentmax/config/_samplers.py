"""The kinds of the section [sampler]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from jentmax.config._field_types import (
    Allowed,
    Count,
    NotNegative,
    Positive,
    PositiveOrInfinite,
    ScheduleName,
    Text,
)
from jentmax.config._section import Section, kind_or


class LangevinSampler(Section):
    """Annealing by Langevin dynamics, from the temperature and K of one cycle to the next."""

    kind: Literal["langevin"] = Field(default="langevin", description="sampler")
    steps: Count = Field(default=3000, description="steps of a cycle")
    timestep: Positive = Field(default=1.0, description="fs")
    friction: Positive = Field(default=100.0, description="1/ps")
    temperature: NotNegative = Field(default=10000.0, description="K, at its largest")
    temperature_schedule: ScheduleName = Field(default="linear-down", description="T over a cycle")
    entropy_schedule: ScheduleName = Field(default="linear-up", description="K over a cycle")
    force_cap: PositiveOrInfinite = Field(
        default=20.0, description="eV/Å, largest force on an atom"
    )


class OptaxSampler(Section):
    """Descent by an optimiser of optax."""

    kind: Literal["optax"] = Field(default="optax", description="sampler")
    steps: Count = Field(default=500, description="steps of a cycle")
    optimizer: Text = Field(default="adam", description="its name in optax")
    options: Annotated[
        dict[str, bool | int | float], Allowed("a table of numbers, such as { b1 = 0.5, b2 = 0.9 }")
    ] = Field(
        default_factory=lambda: {"b1": 0.5, "b2": 0.9},
        description="of the optimiser, beside its learning rate",
    )
    step_length: Positive = Field(default=0.2, description="Å, what its steps are multiplied by")
    step_schedule: ScheduleName = Field(default="cosine-down", description="step length over it")
    entropy_schedule: ScheduleName = Field(default="constant", description="K over a cycle")
    noise: NotNegative = Field(default=0.0, description="Å, random displacement in each step")
    noise_schedule: ScheduleName = Field(default="cosine-down", description="noise over a cycle")


class FireSampler(Section):
    """Descent by fast inertial relaxation."""

    kind: Literal["fire"] = Field(default="fire", description="sampler")
    steps: Count = Field(default=1000, description="steps of a cycle")
    timestep: Positive = Field(default=0.02, description="Å/sqrt(eV), the first")
    largest_timestep: Positive = Field(default=0.2, description="Å/sqrt(eV)")
    largest_step: Positive = Field(default=0.2, description="Å, of an atom in a step")


class BasinHoppingSampler(Section):
    """Descents one after another, each from near the best minimum so far."""

    kind: Literal["basin-hopping"] = Field(default="basin-hopping", description="sampler")
    steps: Count = Field(default=1500, description="steps of a cycle")
    descents: Count = Field(default=3, description="descents in a cycle")
    displacement: Positive = Field(default=0.3, description="Å, random, before each descent")
    step_length: Positive = Field(default=0.2, description="Å, first steps of a descent")


SAMPLERS: dict[str, type[Section]] = {
    "langevin": LangevinSampler,
    "optax": OptaxSampler,
    "fire": FireSampler,
    "basin-hopping": BasinHoppingSampler,
}

LENGTHS = ("step_length", "noise", "timestep", "largest_timestep", "largest_step", "displacement")
"""Fields of the descents that are, or are proportional to, lengths."""

Sampler = Annotated[
    Annotated[LangevinSampler, Tag("langevin")]
    | Annotated[OptaxSampler, Tag("optax")]
    | Annotated[FireSampler, Tag("fire")]
    | Annotated[BasinHoppingSampler, Tag("basin-hopping")],
    Discriminator(kind_or("langevin")),
]
