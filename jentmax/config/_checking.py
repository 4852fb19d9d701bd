"""Plain data -> checked settings, or one error that lists every problem."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from jentmax.config._field_types import Allowed
from jentmax.config._section import OWN, Section
from jentmax.config._toml import toml_value
from jentmax.config.settings import KINDS, Settings
from jentmax.errors import JentmaxError


def checked(data: Mapping[str, Any], source: str) -> Settings:
    """Check settings.

    Args:
        data: sections of plain values, as TOML gives them.
        source: where they come from, for the message.

    Returns:
        The settings, defaults filled in.

    Raises:
        JentmaxError: naming the field, the value and what is allowed, a line for every problem.
            What concerns several sections is looked at when each for itself is right.
    """
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        lines = [_line(details, data) for details in error.errors(include_url=False)]
    # A number or a range, say, fails once as each; it is one problem.
    problems = "\n".join(dict.fromkeys(lines)).splitlines()
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise JentmaxError("\n  ".join([f"{source}: {count} in the settings", *problems]))


def _line(details: ErrorDetails, data: Mapping[str, Any]) -> str:
    """One problem as ``section.field = value is not allowed; give ...``."""
    location = [str(part) for part in details["loc"]]
    if not location:
        return _own_message(details)
    section, *rest = location
    if section not in Settings.model_fields:
        return _unknown(section, data[section], "the settings", list(Settings.model_fields))
    if details["type"] == "union_tag_invalid":
        value = _shown(data[section]["kind"])
        return f"{section}.kind = {value} is not allowed; give {_kinds(section)}"
    model, place = _models(section)[0], f"[{section}]"
    if section in KINDS and rest:
        kind = rest.pop(0)
        model, place = KINDS[section][kind], f'[{section}] of kind "{kind}"'
    if not rest:
        if details["type"] == "value_error":
            return _own_message(details)
        return (
            f"{section} = {_shown(data[section])} is not allowed; "
            f"give a section [{section}] with its fields below"
        )
    key = rest[0]
    name = f"{section}.{key}"
    if key not in model.model_fields:
        return _unknown(name, data[section][key], place, list(model.model_fields))
    field = model.model_fields[key]
    if key not in data.get(section, {}):
        return f"{name} is missing; give {_allowed(field)} ({field.description})"
    value = _shown(data[section][key])
    return f"{name} = {value} is not allowed; give {_allowed(field)} ({field.description})"


def _own_message(details: ErrorDetails) -> str:
    """What a check of several fields said."""
    return details["msg"].removeprefix("Value error, ")


def _models(section: str) -> list[type[Section]]:
    annotation = Settings.model_fields[section].annotation
    return [annotation] if isinstance(annotation, type) else list(KINDS[section].values())


def _kinds(section: str) -> str:
    """What a section's kind may be."""
    *most, last = [f'"{kind}"' + (" of your own" * (kind == OWN)) for kind in KINDS[section]]
    return f"{', '.join(most)} or {last}"


def _allowed(field: FieldInfo) -> str:
    return next(entry.text for entry in field.metadata if isinstance(entry, Allowed))


def _shown(value: object) -> str:
    text = toml_value(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _unknown(name: str, value: object, place: str, known: list[str]) -> str:
    """The message for a name that nothing has, with the nearest names that there are."""
    section, _, key = name.rpartition(".")
    elsewhere = [
        f"{other}.{key}"
        for other in Settings.model_fields
        if other != section and any(key in model.model_fields for model in _models(other))
    ]
    near = [
        f"{section}.{field}".lstrip(".")
        for field in difflib.get_close_matches(key.lower(), known, n=1)
    ]
    kinds = [
        f'"{kind}"' for kind, model in KINDS.get(section, {}).items() if key in model.model_fields
    ]
    guesses = elsewhere or near
    hint = f"did you mean {' or '.join(guesses)}? " if guesses else ""
    if kinds:
        hint = f"{section}.kind = {' or '.join(kinds)} has it; "
    return f"{name} = {_shown(value)} is unknown; {hint}{place} may have {', '.join(known)}"
