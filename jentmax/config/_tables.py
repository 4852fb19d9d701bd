"""The tables of a settings file, their kinds, and the checks of a single table."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from jentmax.config._load_code import Made, is_code, is_own, load_code, with_fields
from jentmax.config._toml import NONE
from jentmax.errors import JentmaxError
from jentmax.fields import (
    KINDS,
    REQUIRED,
    Field,
    coerced,
    fields_of,
    near_fields,
    not_allowed,
    shown,
    to_plain,
)

DEFAULT_KINDS = {
    "start": "random",
    "descriptor": "snap",
    "repulsion": "clarke-smith",
    "entropy": "nearest-neighbor",
    "sampler": "langevin",
}
"""The tables that have kinds, with their default kinds."""

FIXED = {"scale": "jentmax.generation:FitScale", "quench": "jentmax.generation:Quench"}
"""The tables without kinds, with their classes."""

_ROOMS = {
    "start": "jentmax.generation:",
    "descriptor": "jentmax.descriptors:",
    "repulsion": "jentmax.repulsion:",
    "entropy": "jentmax.entropy:",
    "sampler": "jentmax.samplers:",
    "schedule": "jentmax.samplers.schedules:",
}
"""The rooms that contain the kinds of each table, and the schedules."""

_METHODS = {"start": ("draw", "extremes"), "sampler": ("init", "step")}
"""Methods that an instance must have; instances for other tables must be callable."""

Places = Callable[[str, str, bool], list[str]]
"""(table, field, similar) -> dotted names of the field in other tables, or, if ``similar``, of the
field with the closest name."""

Trust = Callable[[str], bool]
"""Dotted name of a field -> whether the field may name code outside the package."""


def kinds_of(role: str) -> list[str]:
    """The package's kinds for a table or for "schedule".

    >>> kinds_of("descriptor")
    ['snap']
    """
    return [kind for kind, place in KINDS.items() if place.startswith(_ROOMS[role])]


@dataclasses.dataclass(frozen=True)
class Part:
    """A checked table.

    Attributes:
        target: class or function.
        fields: fields of the target.
        values: the given values, converted to the fields' types.
        made: the instance, or the function with its values.
        plain: kind and all fields as plain data, including defaults.
    """

    target: Any
    fields: dict[str, Field]
    values: dict[str, Any]
    made: Any
    plain: dict[str, Any]


class Problems(list[str]):
    """A list with one line for each problem."""

    def note(self, error: JentmaxError) -> None:
        """Add the lines of an error."""
        self.extend(str(error).splitlines())


def checked_part(name: str, table: Any, trust: Trust, elsewhere: Places) -> Part:
    """Check a table and make its object.

    Args:
        name: name of the table.
        table: its fields.
        trust: says which fields may name code outside the package.
        elsewhere: finds fields in other tables, for hints.

    Raises:
        JentmaxError: one line for each problem.
    """
    if not isinstance(table, Mapping):
        raise JentmaxError(
            f"{name} = {shown(table)} is not allowed; give a table [{name}] with its fields"
        )
    given = dict(table)
    if name in FIXED:
        kind, target = None, load_code(FIXED[name], name)
    else:
        kind = given.pop("kind", DEFAULT_KINDS[name])
        target = _target(f"{name}.kind", kind, name, trust)
    fields = readable_fields(f"{name}.kind", kind, target)
    values, problems = checked_values(name, given, fields, trust, elsewhere)
    if problems:
        raise JentmaxError("\n".join(problems))
    return _part(name, kind, target, fields, values)


def checked_values(
    name: str,
    given: Mapping[str, Any],
    fields: Mapping[str, Field],
    trust: Trust,
    elsewhere: Places,
) -> tuple[dict[str, Any], Problems]:
    """The values of a table, converted to the fields' types, and the problems."""
    values, problems = {}, Problems()
    for key, value in given.items():
        if key not in fields:
            problems.append(unknown(f"{name}.{key}", value, f"[{name}]", fields, elsewhere))
            continue
        try:
            values[key] = _value(f"{name}.{key}", value, fields[key], trust)
        except JentmaxError as error:
            problems.note(error)
    for key, field in fields.items():
        if field.default is REQUIRED and key not in given:
            problems.append(missing(f"{name}.{key}", field))
    return values, problems


def value_of(name: str, value: Any, field: Field) -> Any:
    """A value converted to a field's type; the TOML spelling of None becomes None.

    Raises:
        JentmaxError: the field does not allow it.
    """
    key = name.rpartition(".")[2]
    if key in NONE and type(value) is type(NONE[key]) and value == NONE[key]:
        try:
            return coerced(None, field.annotation)
        except ValueError:
            pass
    try:
        return coerced(value, field.annotation)
    except ValueError:
        raise JentmaxError(not_allowed(name, value, field)) from None


def missing(name: str, field: Field) -> str:
    """The message for a missing required field."""
    meaning = f" ({field.meaning})" if field.meaning else ""
    return f"{name} is missing; give {field.allowed}{meaning}"


def unknown(
    name: str,
    value: Any,
    place: str,
    fields: Mapping[str, Field],
    elsewhere: Places,
) -> str:
    """The message for an unknown name; it suggests the closest known names.

    Args:
        name: dotted name.
        value: its value.
        place: name of the table in the message.
        fields: fields of the table.
        elsewhere: as for `checked_part`.
    """
    table, _, key = name.rpartition(".")
    own = [f"{table}.{field}".lstrip(".") for field in near_fields(key, fields)]
    hints = elsewhere(table, key, False) or own or elsewhere(table, key, True)
    if isinstance(value, Mapping) and not hints:
        hints = [place for inner in value for place in elsewhere(key, inner, False)][:3]
    kinds = [kind for kind in kinds_of(table) if key in of_kind(kind)] if table in _ROOMS else []
    hint = f"did you mean {' or '.join(hints)}? " if hints else ""
    if kinds:
        named = " or ".join(f'"{kind}"' for kind in kinds)
        hint = f"{table}.kind = {named} has it; "
    takes = f"takes {', '.join(fields)}" if fields else "takes no fields"
    return f"{name} = {shown(value)} is unknown; {hint}{place} {takes}"


def of_kind(kind: str) -> dict[str, Field]:
    """The fields of one of the package's kinds."""
    return fields_of(load_code(KINDS[kind], "kind"))


def readable_fields(field: str, kind: Any, target: Any) -> dict[str, Field]:
    """The parameters of a class or function.

    Raises:
        JentmaxError: Python cannot read its signature.
    """
    try:
        return fields_of(target)
    except (TypeError, ValueError):
        raise JentmaxError(
            f'{field} = "{kind}" has no readable signature; give a function or class written in '
            "Python"
        ) from None


def _target(field: str, kind: Any, role: str, trust: Trust) -> Any:
    """The class or function for a kind or for the name of a schedule."""
    kinds = kinds_of(role)
    if isinstance(kind, str) and kind in kinds:
        return load_code(KINDS[kind], field)
    if not is_code(kind):
        own = "module:function" if role == "schedule" else "module:Class"
        names = ", ".join(f'"{name}"' for name in kinds)
        raise JentmaxError(
            f'{field} = {shown(kind)} is not allowed; give {names}, or "{own}" of your own'
        )
    if is_own(kind) and not trust(field):
        raise JentmaxError(
            f'{field} = "{kind}" is code outside jentmax, and files must not run such code; if you '
            f"trust it, name it yourself: --set {field}={kind}"
        )
    return load_code(kind, field)


def _value(name: str, value: Any, field: Field, trust: Trust) -> Any:
    if is_function(field.annotation) and isinstance(value, str | Mapping):
        return _schedule(name, value, trust)
    return value_of(name, value, field)


def is_function(annotation: Any) -> bool:
    """Whether a field takes a function; files give its name."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation) is collections.abc.Callable


def _schedule(name: str, value: str | Mapping[str, Any], trust: Trust) -> Any:
    """A function, from its name or from a table with its name as kind and its parameters."""
    if isinstance(value, str):
        return _target(name, value, "schedule", trust)
    given = dict(value)
    target = _target(name, given.pop("kind", None), "schedule", trust)
    fields = readable_fields(name, value.get("kind"), target)
    if foreign := [key for key in given if key not in fields]:
        key = foreign[0]
        raise JentmaxError(unknown(f"{name}.{key}", given[key], name, fields, lambda *_: []))
    own = {key: value_of(f"{name}.{key}", entry, fields[key]) for key, entry in given.items()}
    return with_fields(target, own)


def _part(
    name: str, kind: Any, target: Any, fields: dict[str, Field], values: dict[str, Any]
) -> Part:
    defaults = {
        key: field.default for key, field in fields.items() if field.default is not REQUIRED
    }
    if not inspect.isclass(target):
        complete = defaults | values
        plain = {"kind": kind} | to_plain(complete)
        return Part(target, fields, values, with_fields(target, complete), plain)
    try:
        made = target(**values)
    except JentmaxError as error:
        lines = [_placed(line, name, target, fields) for line in str(error).splitlines()]
        raise JentmaxError("\n".join(lines)) from None
    except Exception as error:
        raise JentmaxError(
            f'{name}.kind = "{kind}": its constructor raised {type(error).__name__}: {error}; '
            f"correct the class, or its fields in [{name}]"
        ) from error
    _refuse_unusable(name, kind, made)
    plain = to_plain(made)
    if not isinstance(plain, dict):  # an instance of an ordinary class has no plain form
        plain = to_plain(defaults | values)
    plain = {"kind": kind} | plain | {"kind": kind}
    if name in FIXED:
        del plain["kind"]
    elif is_own(kind) and not _is_module(made):
        made = Made(made, plain)
    return Part(target, fields, values, made, plain)


def _refuse_unusable(name: str, kind: Any, made: Any) -> None:
    lacking = [method for method in _METHODS.get(name, ()) if not hasattr(made, method)]
    if lacking:
        raise JentmaxError(
            f'{name}.kind = "{kind}": its instances have no {" and no ".join(lacking)}; add '
            f"{'it' if len(lacking) == 1 else 'them'} to the class"
        )
    if name not in _METHODS and name not in FIXED and not callable(made):
        raise JentmaxError(
            f'{name}.kind = "{kind}": its instances are not callable; add __call__ to the class'
        )


def _is_module(made: Any) -> bool:
    import equinox as eqx

    return isinstance(made, eqx.Module)


def _placed(line: str, table: str, target: Any, fields: Mapping[str, Field]) -> str:
    """A message of the class, with the table's name before the field."""
    first = line.partition(" ")[0]
    own = first.removeprefix(f"{target.__name__}.")
    if own != first or own in fields:
        return f"{table}.{own}{line[len(first) :]}"
    return line if line.startswith(f"{table}.") else f"{table}: {line}"
