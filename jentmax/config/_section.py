"""What all sections of the settings have in common, and sections that come in several kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jentmax.config._field_types import Allowed


class Section(BaseModel):
    """One section of the settings: no unknown fields, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OwnCode(Section):
    """A class or function of the user's own; `jentmax.own` checks the fields that it takes."""

    model_config = ConfigDict(extra="allow")

    kind: Annotated[
        str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"), Allowed('"module:name"')
    ] = Field(description="a class or function of your own")

    @property
    def given(self) -> dict[str, object]:
        """The fields beside ``kind``."""
        return dict(self.model_extra or {})


OWN = "module:name"
"""Stands for all kinds that name a module of the user's."""


def is_own(kind: object) -> bool:
    """Whether a kind names a module of the user's."""
    return isinstance(kind, str) and ":" in kind


def kind_or(default: str) -> Callable[[object], object]:
    """What tells a section's kind; it may be left out."""

    def kind_of(value: object) -> object:
        known = isinstance(value, Mapping)
        kind = value.get("kind", default) if known else getattr(value, "kind", None)
        return OWN if is_own(kind) else kind

    return kind_of
