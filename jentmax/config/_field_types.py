"""Types of settings fields: what each allows, for pydantic and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field


@dataclass(frozen=True)
class Allowed:
    """What an error message says a field may be; stands beside the field's type."""

    text: str


def _ordered(value: float | tuple[float, float] | str) -> float | tuple[float, float] | str:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError("low is above high")
    return value


def distinct_elements(symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what is no element, and elements listed twice."""
    from ase.data import chemical_symbols

    elements = chemical_symbols[1:]  # the first is a placeholder for no element
    if len(set(symbols)) < len(symbols) or not set(symbols) <= set(elements):
        raise ValueError("not different elements")
    return symbols


AtLeast0 = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]

Count = Annotated[int, Field(ge=1), Allowed("a whole number of at least 1")]
CountOrZero = Annotated[int, Field(ge=0), Allowed("a whole number of at least 0")]
# JAX keeps 32 bits of a seed unless told otherwise: larger seeds would repeat smaller ones' runs.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), Allowed(f"a whole number from 0 to {2**32 - 1}")]
Switch = Annotated[bool, Allowed("true or false")]
Text = Annotated[str, Field(min_length=1), Allowed("text in quotes")]
NotNegative = Annotated[AtLeast0, Allowed("a number of at least 0")]
Positive = Annotated[Above0, Allowed("a number above 0")]
PositiveOrInfinite = Annotated[
    float, Field(gt=0, allow_inf_nan=True), Allowed("a number above 0, or inf")
]
PositiveRange = Annotated[
    Above0 | Annotated[tuple[Above0, Above0], Field(strict=False)],
    AfterValidator(_ordered),
    Allowed("a number above 0, or a range [low, high] with 0 < low <= high"),
]
NotNegativeRangeOrAuto = Annotated[
    AtLeast0 | Annotated[tuple[AtLeast0, AtLeast0], Field(strict=False)] | Literal["auto"],
    AfterValidator(_ordered),
    Allowed('a number of at least 0, a range [low, high] with 0 <= low <= high, or "auto"'),
]
ScheduleName = Annotated[
    Literal[
        "constant",
        "linear-up",
        "linear-down",
        "quadratic-up",
        "quadratic-down",
        "cosine-up",
        "cosine-down",
    ],
    Allowed(
        "one of constant, linear-up, linear-down, quadratic-up, quadratic-down, cosine-up, "
        "cosine-down"
    ),
]


def as_range(value: float | tuple[float, float]) -> tuple[float, float]:
    """Low and high end of a number or a range.

    >>> as_range(1.5), as_range((1.0, 2.0))
    ((1.5, 1.5), (1.0, 2.0))
    """
    return value if isinstance(value, tuple) else (value, value)
