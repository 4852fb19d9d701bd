"""Make a recipe or a descriptor from a plain tree; one error lists all problems of the tree."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from jentmax.config._load_code import load_code
from jentmax.config._overrides import put, split
from jentmax.config._tables import (
    DEFAULT_KINDS,
    FIXED,
    Part,
    Places,
    Problems,
    Trust,
    checked_part,
    missing,
    of_kind,
    unknown,
    value_of,
)
from jentmax.errors import JentmaxError
from jentmax.fields import KINDS, REQUIRED, Field, Positive, coerced, fields_of, shown, to_plain

if TYPE_CHECKING:
    from jentmax.generation import Recipe

RUN = ("structures", "seed", "output", "devices")
"""Fields of the [run] table."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """A tree whose parts are valid on their own; conflicts between parts are not checked yet.

    Attributes:
        values: values of the recipe's plain fields.
        fields: definitions of the recipe's plain fields.
        parts: tables by name; None for no quench, a tuple of numbers for an explicit scale.
    """

    values: dict[str, Any]
    fields: dict[str, Field]
    parts: dict[str, Any]


def recipe_from(tree: Mapping[str, Any], own_code: bool = False, label: str = "settings") -> Recipe:
    """The recipe of a plain tree.

    Args:
        tree: from `load` or `Recipe.to_plain`.
        own_code: whether the tree may name classes and functions outside the package. Use False
            for data sets from other people, which must not run code.
        label: name of the tree in messages.

    Raises:
        JentmaxError: one line per wrong field, with its value and what is allowed.
    """
    checked = check_tree(tree, lambda field: own_code, label)
    try:
        return _recipe(checked)
    except JentmaxError as error:
        refuse(label, [_placed(line, checked) for line in str(error).splitlines()])


def descriptor_from(
    tree: Mapping[str, Any],
    overrides: Sequence[str] = (),
    own_code: bool = False,
    label: str = "settings",
) -> Any:
    """The descriptor (environments -> features) of a plain tree, such as that of a data set.

    Args:
        tree: has a table "descriptor"; this function ignores other tables.
        overrides: as for `load`; this function ignores those of other tables.
        own_code: as for `recipe_from`; an override may always name code outside the package.
        label: name of the tree in messages.

    Raises:
        JentmaxError: as `recipe_from`.
    """
    changed = {"descriptor": dict(tree.get("descriptor") or {})}
    changes = [(path, value) for path, value in split(overrides) if path[0] == "descriptor"]
    for path, value in changes:
        put(changed, path, value)
    named = {".".join(path) for path, _ in changes}
    problems = Problems()
    part = _checked_or_none(
        "descriptor", changed, lambda field: own_code or field in named, problems
    )
    if part is None:
        refuse(label, problems)
    from jentmax.callables import as_descriptor

    try:
        return as_descriptor(part.made, None)
    except JentmaxError as error:
        refuse(label, [_of_kind(str(error), "descriptor", part)])


def complete(tree: Mapping[str, Any], label: str = "settings") -> dict[str, Any]:
    """A user's tree with all defaults, as plain data.

    Raises:
        JentmaxError: as `recipe_from`, except for conflicts between tables.
    """
    return plain_of(check_tree(tree, lambda field: True, label))


def plain_of(checked: Checked) -> dict[str, Any]:
    """All fields of a checked tree as plain data."""
    values = {name: field.default for name, field in checked.fields.items()} | checked.values
    parts = {
        name: part.plain if isinstance(part, Part) else to_plain(part)
        for name, part in checked.parts.items()
    }
    return to_plain(values) | parts


def problems_of(tree: Mapping[str, Any]) -> list[str]:
    """One line for each problem of a user's tree."""
    return _check(tree, lambda field: True)[1]


def refuse(label: str, problems: Sequence[str]) -> NoReturn:
    """Raise one error with all problems."""
    lines = list(dict.fromkeys(problems))
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    raise JentmaxError("\n  ".join([f"{label}: {count} in the settings", *lines])) from None


def check_tree(tree: Mapping[str, Any], trust: Trust, label: str) -> Checked:
    """Check every table of a tree.

    Raises:
        JentmaxError: as `recipe_from`.
    """
    checked, problems = _check(tree, trust)
    if problems:
        refuse(label, problems)
    return checked


def recipe_fields() -> dict[str, Field]:
    """The recipe's plain fields: the keys at the top of a file."""
    recipe = load_code("jentmax.generation:Recipe", "recipe")
    parts = {*DEFAULT_KINDS, *FIXED, "potential"}
    return {name: field for name, field in fields_of(recipe).items() if name not in parts}


def _check(tree: Mapping[str, Any], trust: Trust) -> tuple[Checked, Problems]:
    fields, problems = recipe_fields(), Problems()
    values: dict[str, Any] = {}
    tables = [*DEFAULT_KINDS, *FIXED]
    for name, value in tree.items():
        if name in fields:
            try:
                values[name] = value_of(name, value, fields[name])
            except JentmaxError as error:
                problems.note(error)
        elif name not in tables:
            problems.append(
                unknown(
                    name,
                    value,
                    "a file",
                    fields | dict.fromkeys(tables, Field(Any, REQUIRED, "")),
                    places_of(tree),
                )
            )
    for name, field in fields.items():
        if field.default is REQUIRED and name not in tree:
            problems.append(missing(name, field))
    parts: dict[str, Any] = {
        name: _checked_or_none(name, tree, trust, problems) for name in DEFAULT_KINDS
    }
    parts["scale"] = _scale(tree, trust, problems)
    parts["quench"] = _quench(tree, trust, problems)
    return Checked(values, fields, parts), problems


def _checked_or_none(
    name: str, tree: Mapping[str, Any], trust: Trust, problems: Problems
) -> Part | None:
    try:
        return checked_part(name, tree.get(name, {}), trust, places_of(tree))
    except JentmaxError as error:
        problems.note(error)
    return None


def _scale(tree: Mapping[str, Any], trust: Trust, problems: Problems) -> Any:
    given = tree.get("scale", {})
    if isinstance(given, Mapping):
        return _checked_or_none("scale", tree, trust, problems)
    try:
        return coerced(given, tuple[Positive, ...])
    except ValueError:
        problems.append(
            f"scale = {shown(given)} is not allowed; give a list of numbers above 0, one for each "
            "feature, or a table [scale] with the parameters of its fit"
        )
    return None


def _quench(tree: Mapping[str, Any], trust: Trust, problems: Problems) -> Part | None:
    """The quench; None if it is false or has 0 steps."""
    given = tree.get("quench", {})
    if given is None or given is False:
        return None
    steps = given.get("steps") if isinstance(given, Mapping) else None
    if type(steps) is int and steps == 0:
        without = {key: value for key, value in given.items() if key != "steps"}
        _checked_or_none("quench", {**tree, "quench": without}, trust, problems)
        return None
    return _checked_or_none("quench", tree, trust, problems)


def places_of(tree: Mapping[str, Any]) -> Places:
    """A function that finds the places of a tree with a field; `checked_part` explains its use."""

    def places(table: str, key: str, similar: bool) -> list[str]:
        known = {"": recipe_fields(), "run": RUN}
        known |= {name: _known_fields(name, tree) for name in [*DEFAULT_KINDS, *FIXED]}
        known.pop(table, None)
        dotted = {f"{name}.{own}".lstrip("."): own for name, owns in known.items() for own in owns}
        wanted = difflib.get_close_matches(key, dotted.values(), n=1) if similar else [key]
        places = [place for place, own in dotted.items() if own in wanted]
        return places[:1] if similar else places

    return places


def _known_fields(name: str, tree: Mapping[str, Any]) -> Mapping[str, Any]:
    if name in FIXED:
        return fields_of(load_code(FIXED[name], name))
    table = tree.get(name)
    kind = table.get("kind") if isinstance(table, Mapping) else None
    return of_kind(kind if isinstance(kind, str) and kind in KINDS else DEFAULT_KINDS[name])


def _recipe(checked: Checked) -> Recipe:
    import jax

    from jentmax.generation import Recipe
    from jentmax.potential import Potential

    parts = checked.parts
    roles = ("descriptor", "repulsion", "entropy")
    given = isinstance(parts["scale"], tuple)
    try:
        # With x64, the scale keeps all digits.
        with jax.enable_x64(True) if given else contextlib.nullcontext():
            potential = Potential(
                *(parts[role].made for role in roles), scale=parts["scale"] if given else None
            )
    except JentmaxError as error:
        text = str(error)
        role = text.partition(" ")[0]
        raise JentmaxError(_of_kind(text, role, parts[role]) if role in roles else text) from None
    fitted = {} if given else {"scale": parts["scale"].made}
    return Recipe(
        potential,
        parts["sampler"].made,
        start=parts["start"].made,
        quench=parts["quench"].made if parts["quench"] else None,
        **fitted,
        **checked.values,
    )


def _of_kind(message: str, role: str, part: Part) -> str:
    """The message with ``role.kind = "..."``, as in a file, instead of the callable's name."""
    kind = part.plain["kind"]
    return re.sub(rf"^{role} = \S+?(?=[ ,:])", lambda _: f'{role}.kind = "{kind}"', message)


def _placed(line: str, checked: Checked) -> str:
    """A message of `Recipe`, with the table's name before the field of a part."""
    first = line.partition(" ")[0].removeprefix("Recipe.")
    line = line.removeprefix("Recipe.")
    if first in checked.fields:
        return line
    for name, part in checked.parts.items():
        if isinstance(part, Part) and first in part.fields:
            return f"{name}.{line}"
    return line
