"""Plain values -> TOML text (the standard library reads TOML but does not write it)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: object) -> str:
    """Write one value as TOML.

    Args:
        value: text, a boolean, a number, a list or tuple, or a mapping (written inline); of any
            other type, such as a date, what `str` makes of it.

    Returns:
        One line of TOML; floats read back to the same bits.

    >>> toml_value({"W": [1.0, float("inf")], "name": 'a "b"'})
    '{ W = [1.0, inf], name = "a \\\\"b\\\\"" }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but JSON leaves the control character DEL as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(key)} = {toml_value(entry)}" for key, entry in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    try:
        return repr(value) if isinstance(value, float) else str(value)
    except ValueError:  # Python writes no number of thousands of digits
        return hex(value) if isinstance(value, int) else repr(type(value))


def toml_document(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Write a TOML document of sections, one field a line."""
    return "\n".join(
        f"[{section}]\n"
        + "".join(f"{_key(key)} = {toml_value(value)}\n" for key, value in fields.items())
        for section, fields in sections.items()
    )


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)
