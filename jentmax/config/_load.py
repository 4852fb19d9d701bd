"""TOML, presets and overrides -> checked settings, and back."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jentmax.config._checking import checked
from jentmax.config._presets import preset_hint, preset_text, presets
from jentmax.config._section import is_own
from jentmax.config._toml import toml_document
from jentmax.config.elements import scale_to_element
from jentmax.config.settings import Settings
from jentmax.errors import JentmaxError


def load(
    source: str | Path | None = None, overrides: Sequence[str] = (), element: str | None = None
) -> Settings:
    """Read and check settings.

    Args:
        source: name of a preset or path of a TOML file; the preset "tungsten" where absent.
        overrides: ``section.key=value`` each, the value in TOML; text may go without quotes.
            They come last, so that they are not scaled to ``element``.
        element: symbol of the element to scale the settings to; see `scale_to_element`.

    Returns:
        The settings, defaults filled in.

    Raises:
        JentmaxError: naming every field that is wrong, its value and what is allowed.

    >>> load("tungsten-unbiased", ["sampler.steps=1000"]).sampler.steps
    1000
    """
    if source is None:
        source = "tungsten"
    if isinstance(source, str) and source in presets():
        return loads(preset_text(source), f'preset "{source}"', overrides, element)
    return loads(_read(source), str(source), overrides, element, own_code=True)


def loads(
    text: str,
    label: str,
    overrides: Sequence[str] = (),
    element: str | None = None,
    *,
    own_code: bool = False,
) -> Settings:
    """Check settings that are at hand as TOML, such as those of a data set.

    Args:
        text: the settings.
        label: what to call them where something is wrong with them.
        overrides: as for `load`.
        element: as for `load`.
        own_code: whether the settings may name modules to be imported. A data set that somebody
            else has made is not to run code: by default only the overrides may.

    Raises:
        JentmaxError: as `load`, or for a kind that names a module where it may not.
    """
    data = parsed(text, label)
    # A new kind first, because it discards the fields of the old one.
    changes = sorted(map(_override, overrides), key=lambda override: override[0][1:] != ["kind"])
    if not own_code:
        _refuse_own_code(data, label, [path for path, _ in changes])
    if element is not None:
        data = scale_to_element(checked(data, label), element).model_dump(exclude_none=True)
    for path, value in changes:
        _set(data, path, value)
    return checked(data, label)


def _refuse_own_code(data: dict[str, Any], label: str, named: Sequence[list[str]]) -> None:
    """Refuse kinds that name modules, save where the user names a kind."""
    for section, fields in data.items():
        kind = fields.get("kind") if isinstance(fields, dict) else None
        if is_own(kind) and [section, "kind"] not in named:
            raise JentmaxError(
                f'{label}: {section}.kind = "{kind}" is code outside jentmax, which is not run '
                "because a file says so; if you have it and trust it, name it yourself: "
                f"--set {section}.kind={kind}"
            )


def parsed(text: str, label: str) -> dict[str, Any]:
    """Settings as TOML gives them, not checked.

    Args:
        text: the settings.
        label: what to call them where something is wrong with them.

    Raises:
        JentmaxError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except ValueError as error:  # of which TOML's own is one; another, for very long numbers
        raise JentmaxError(f"{label}: not TOML: {error}; correct the file there") from None
    except RecursionError:
        raise JentmaxError(
            f"{label}: tables or lists nested too deep; correct the file there"
        ) from None


def to_toml(settings: Settings) -> str:
    """All settings as TOML, defaults filled in; `load` reads the same settings from it."""
    return toml_document(settings.model_dump(exclude_none=True))


def _read(source: str | Path) -> str:
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise JentmaxError(
            f'settings "{source}": neither a preset nor a file; {preset_hint(path.stem)}, '
            "or the path of a TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise JentmaxError(
            f'settings "{source}": not UTF-8 text ({error}); give a TOML file'
        ) from None
    except OSError as error:
        raise JentmaxError(
            f'settings "{source}": cannot be read ({error.strerror}); give a TOML file that can'
        ) from None


def _override(text: str) -> tuple[list[str], Any]:
    """Split ``section.key=value`` into its path and its value."""
    name, equals, written = text.partition("=")
    path = [part.strip() for part in name.split(".")]
    if not equals or len(path) < 2 or not all(path):
        raise JentmaxError(
            f'override "{text}" is not of the form section.key=value; '
            "give for example sampler.steps=5000"
        )
    written = written.strip()
    try:
        document = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError) as error:
        if written[:1] in ("[", "{", '"', "'"):
            raise JentmaxError(
                f'override "{text}": the value is not TOML: {error}; give a number, true, false, '
                'text, or a list such as [0.03, 0.06] or ["W"]'
            ) from None
        return path, written
    # More keys than this one came from line breaks in the value.
    return path, document["value"] if len(document) == 1 else written


def _set(data: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value at a path of nested tables."""
    *sections, key = path
    table = data
    for depth, section in enumerate(sections, start=1):
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise JentmaxError(
                f'override "{".".join(path)}": {".".join(sections[:depth])} is no table; '
                f"give {'.'.join(sections[:depth])}={{ {key} = ... }} instead"
            )
    if key == "kind" and table.get("kind", value) != value:
        table.clear()
    table[key] = value
