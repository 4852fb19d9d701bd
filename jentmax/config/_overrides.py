"""Overrides of the form ``table.key=value``, which a user gives in addition to a file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from jentmax.config._tables import DEFAULT_KINDS
from jentmax.errors import JentmaxError


def split(overrides: Sequence[str]) -> list[tuple[list[str], Any]]:
    """Overrides as paths and values, kinds first, because a new kind discards other fields."""
    return sorted(map(_override, overrides), key=lambda change: change[0][1:] != ["kind"])


def put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Put a value at a path of nested tables."""
    *tables, key = path
    table = tree
    for depth, name in enumerate(tables, start=1):
        if table.get(name) in (None, False):  # for example quench = false
            table[name] = {}
        table = table[name]
        if not isinstance(table, dict):
            place = ".".join(tables[:depth])
            raise JentmaxError(
                f'override "{".".join(path)}": {place} is not a table; '
                f"give {place}={{ {key} = ... }} instead"
            )
    if key == "kind" and table.get("kind", DEFAULT_KINDS.get(path[0], value)) != value:
        table.clear()
    table[key] = value


def _override(text: str) -> tuple[list[str], Any]:
    """Split ``table.key=value`` into its path and its value."""
    name, equals, written = text.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not equals or not all(path):
        raise JentmaxError(
            f'override "{text}" is not of the form key=value or table.key=value; '
            "give for example steps=5000 or sampler.timestep=0.5"
        )
    written = written.strip()
    try:
        document = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError) as error:
        if written[:1] in ("[", "{", '"', "'"):
            raise JentmaxError(
                f'override "{text}": the value is not TOML: {error}; give a number, true, false, '
                'text, or a list such as [0.03, 0.06] or ["W39"]'
            ) from None
        return path, written
    # Several keys mean that the value contains line breaks; treat it as text.
    return path, document["value"] if len(document) == 1 else written
