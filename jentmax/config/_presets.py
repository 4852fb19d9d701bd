"""The presets: commented settings files in the package."""

from __future__ import annotations

import difflib
from pathlib import Path

from jentmax.errors import JentmaxError

_FOLDER = Path(__file__).parent / "presets"


def presets() -> list[str]:
    """Names of the presets.

    >>> presets()
    ['tungsten', 'tungsten-diverse', 'tungsten-fast', 'tungsten-unbiased']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def preset_text(name: str) -> str:
    """A preset as commented TOML: each field with its meaning, unit and source.

    Raises:
        JentmaxError: there is no such preset.
    """
    if name not in presets():
        raise JentmaxError(f'preset "{name}" is unknown; {preset_hint(name)}')
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def preset_hint(name: str) -> str:
    """The advice for an unknown preset name."""
    nearest = difflib.get_close_matches(name.lower(), presets(), n=1)
    hint = f'did you mean "{nearest[0]}"? ' if nearest else ""
    return f"{hint}give one of {', '.join(presets())}"
