"""Load a preset or a TOML file, with overrides, as a plain tree and run options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le, MinLen
from typing_extensions import Doc

from jentmax.config._build import places_of, problems_of, recipe_from, refuse
from jentmax.config._elements import scale_to_element, scaled_output
from jentmax.config._overrides import put, split
from jentmax.config._presets import preset_hint, preset_text, presets
from jentmax.config._tables import DEFAULT_KINDS, checked_values
from jentmax.config._toml import parsed
from jentmax.errors import JentmaxError
from jentmax.fields import Allowed, Count, fields_of, shown

if TYPE_CHECKING:
    from jentmax.generation import Recipe

_PRESET = "tungsten"
"""This preset supplies the values that a file does not give."""


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The [run] table: options of the command line."""

    structures: Annotated[Count, Doc("structures to make")] = 64
    seed: Annotated[
        int,
        Ge(0),
        Le(2**32 - 1),
        Allowed("a whole number from 0 to 4294967295"),
        Doc("random seed"),
    ] = 0
    output: Annotated[str, MinLen(1), Allowed("text in quotes"), Doc("HDF5 file to write")] = (
        "tungsten.h5"
    )
    devices: Annotated[
        Count | None,
        Allowed('a whole number of at least 1, or "all"'),
        Doc("CPU cores or GPUs to use"),
    ] = None


def recipe(
    source: str | Path | None = None, overrides: Sequence[str] = (), element: str | None = None
) -> Recipe:
    """The recipe of a preset or a TOML file.

    Args:
        source: name of a preset or path of a TOML file; the preset "tungsten" if absent.
        overrides: items of the form ``key=value`` or ``table.key=value`` with a TOML value; quotes
            around text are optional. They apply last, after scaling to ``element``.
        element: symbol of an element; scales lengths, times and the mass to it.

    Raises:
        JentmaxError: one line per wrong field, with its value and what is allowed.

    >>> recipe("tungsten-unbiased", ["steps=1000", "sampler.timestep=0.5"]).steps
    1000
    """
    tree, _ = load(source, overrides, element)
    return recipe_from(tree, own_code=True, label=label_of(source))


def load(
    source: str | Path | None = None, overrides: Sequence[str] = (), element: str | None = None
) -> tuple[dict[str, Any], RunOptions]:
    """The plain tree of a recipe, and the run options; arguments and errors as for `recipe`.

    The tree holds the values of the file and the preset; `recipe_from` checks it and adds the
    defaults of the classes. This function imports JAX only to scale to an element or to explain an
    error.
    """
    label = label_of(source)
    tree = _tree(source, label)
    changes = split(overrides)
    run = tree.pop("run", {})
    if element is not None:
        before = tree
        tree = scale_to_element(tree, element, label=label)
        if isinstance(run, Mapping):
            run = scaled_output(run, before, element)
    tree["run"] = run
    for path, value in changes:
        put(tree, path, value)
    run = tree.pop("run")
    options, problems = _options(run, tree)
    if options is None:
        refuse(label, [*problems, *problems_of(tree)])
    return tree, options


def label_of(source: str | Path | None) -> str:
    """The name of a source in messages."""
    source = _PRESET if source is None else source
    is_preset = isinstance(source, str) and source in presets()
    return f'preset "{source}"' if is_preset else str(source)


def _tree(source: str | Path | None, label: str) -> dict[str, Any]:
    source = _PRESET if source is None else source
    if isinstance(source, str) and source in presets():
        return parsed(preset_text(source), label)
    return _merged(parsed(preset_text(_PRESET), label), parsed(_read(source), label))


def _merged(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's values updated with the file's; a different kind discards the preset's table."""
    merged = dict(base)
    for name, value in given.items():
        table = base.get(name)
        if isinstance(value, dict) and isinstance(table, dict):
            kind = table.get("kind", DEFAULT_KINDS.get(name))
            if value.get("kind", kind) == kind:
                value = table | value
        merged[name] = value
    return merged


def _options(run: Any, tree: Mapping[str, Any]) -> tuple[RunOptions | None, list[str]]:
    """The options, or None and the problems."""
    if not isinstance(run, Mapping):
        return None, [f"run = {shown(run)} is not allowed; give a table [run] with its fields"]
    values, problems = checked_values(
        "run", run, fields_of(RunOptions), lambda field: False, places_of(tree)
    )
    return (None, problems) if problems else (RunOptions(**values), [])


def _read(source: str | Path) -> str:
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise JentmaxError(
            f'settings "{source}" is not a preset or a file; {preset_hint(path.stem)}, or the path '
            "of a TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise JentmaxError(
            f'settings "{source}" is not UTF-8 text ({error}); give a TOML file'
        ) from None
    except OSError as error:
        raise JentmaxError(
            f'settings "{source}" cannot be read ({error.strerror}); give a readable TOML file'
        ) from None
