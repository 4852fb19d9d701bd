"""Read and write TOML (the standard library only reads it)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from jentmax.errors import JentmaxError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_ORDER = ("start", "descriptor", "repulsion", "entropy", "sampler", "scale", "quench", "run")
"""Order of the tables; the JSON in data files may have sorted them."""

NONE = {"components": "all", "batch_size": "auto", "devices": "all", "quench": False}
"""TOML spellings of None, by field; other fields are left out if they are None."""


def parsed(text: str, label: str) -> dict[str, Any]:
    """TOML as plain data.

    Args:
        text: the TOML text.
        label: name of the text in messages.

    Raises:
        JentmaxError: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a plain ValueError for very long numbers
        raise JentmaxError(f"{label}: not TOML: {error}; correct the file there") from None
    except RecursionError:
        raise JentmaxError(
            f"{label}: tables or lists are nested too deeply; correct the file there"
        ) from None


def to_toml(tree: Mapping[str, Any]) -> str:
    """A plain tree as TOML: plain keys first, then one section per table, starting with its kind.

    >>> print(to_toml({"sampler": {"timestep": 1.0}, "steps": 5, "batch_size": None}), end="")
    steps = 5
    batch_size = "auto"
    <BLANKLINE>
    [sampler]
    timestep = 1.0
    """
    tables = {key: table for key, table in tree.items() if isinstance(table, Mapping)}
    plain = {key: value for key, value in tree.items() if key not in tables}
    names = sorted(tables, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    sections = [f"[{_key(name)}]\n{_lines(_kind_first(tables[name]))}" for name in names]
    return "\n".join([_lines(plain), *sections] if plain else sections)


def _kind_first(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: table[key] for key in ("kind",) if key in table} | dict(table)


def _lines(fields: Mapping[str, Any]) -> str:
    lines = [toml_line(key, value) for key, value in fields.items()]
    return "".join(f"{line}\n" for line in lines if line)


def toml_line(key: str, value: Any) -> str:
    """``key = value``; an empty string for None, unless `NONE` has a spelling for it."""
    value = _without_none(key, value)
    return "" if value is None else f"{_key(key)} = {toml_value(value)}"


def _without_none(key: str, value: Any) -> Any:
    if value is None:
        return NONE.get(key)
    # Plain trees write infinity as text, because JSON has no infinity.
    return float(value) if value in ("inf", "-inf") and key != "output" else value


def toml_value(value: object) -> str:
    """Write one value as TOML.

    Args:
        value: text, a boolean, a number, a list or tuple, or a mapping (written inline, without
            None values). `str` converts other types, such as dates.

    Returns:
        One line of TOML; reading it returns floats with the same bits.

    >>> toml_value({"W": [1.0, float("inf")], "name": 'a "b"'})
    '{ W = [1.0, inf], name = "a \\\\"b\\\\"" }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML has the same escapes as JSON, but JSON does not escape the control character DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        entries = ", ".join(
            f"{_key(key)} = {toml_value(entry)}"
            for key, entry in value.items()
            if entry is not None
        )
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    try:
        return repr(value) if isinstance(value, float) else str(value)
    except ValueError:  # Python refuses to print integers with thousands of digits
        return hex(value) if isinstance(value, int) else repr(type(value))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)
