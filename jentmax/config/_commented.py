"""Write a settings file with every field and its meaning, as a template for users."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from jentmax.config._build import check_tree, plain_of
from jentmax.config._load import RunOptions, label_of, load
from jentmax.config._load_code import load_code
from jentmax.config._presets import preset_text
from jentmax.config._tables import DEFAULT_KINDS, FIXED, Part, is_function, kinds_of
from jentmax.config._toml import NONE, toml_line
from jentmax.fields import Field, fields_of, to_plain

_WIDTH = 100
_SECTION = re.compile(r"\[(\w+)\]")
_NOTED = re.compile(r"(\w+) = [^#]*?  # (.*)")


def commented(preset: str) -> str:
    """A preset as TOML with all fields, each below its meaning and its allowed values.

    Comments of the preset, such as the source of a value, follow the values.

    Args:
        preset: its name.

    Raises:
        JentmaxError: there is no such preset.
    """
    text = preset_text(preset)
    notes = _notes(text)
    head = "\n".join(_until_blank(text.splitlines()))
    tree, run = load(preset)
    checked = check_tree(tree, lambda field: True, label_of(preset))
    plain = plain_of(checked)
    blocks = [head, _fields(checked.fields, plain, notes, "")]
    for name, part in checked.parts.items():
        if name == "quench" and part is None:
            quench = load_code(FIXED[name], name)
            without = to_plain(quench()) | {"steps": 0}
            blocks.append(f"[{name}]\n{_fields(fields_of(quench), without, notes, name)}")
            continue
        assert isinstance(part, Part)
        kind = _kind(name, plain[name]["kind"], notes) if name in DEFAULT_KINDS else ""
        blocks.append(f"[{name}]\n{kind}{_fields(part.fields, plain[name], notes, name)}")
    options = fields_of(RunOptions)
    blocks.append(f"[run]\n{_fields(options, to_plain(run), notes, 'run')}")
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


_MORE = {
    "quench.steps": "0 skips the descent",
    "scale": "to set the scale, give a list of numbers at the top of the file, scale = [...]",
}


def _fields(fields: dict[str, Field], plain: Any, notes: dict[str, str], table: str) -> str:
    more = f"# {_MORE[table]}\n" if table in _MORE else ""
    return more + "".join(
        _field(key, field, plain[key], f"{table}.{key}".lstrip("."), notes)
        for key, field in fields.items()
    )


def _field(key: str, field: Field, value: Any, name: str, notes: dict[str, str]) -> str:
    allowed = field.allowed.replace(" (None in Python)", "")
    if is_function(field.annotation):
        allowed = _kinds("schedule", "module:function")
    comment = _comment([field.meaning, _MORE.get(name, allowed)])
    if value is None and key not in NONE:
        return f"{comment}# {key} = ...\n"
    return f"{comment}{_line(key, NONE[key] if value is None else value, name, notes)}"


def _kind(table: str, kind: str, notes: dict[str, str]) -> str:
    kinds = _kinds(table, "module:Class")
    comment = _comment([kinds, "each kind has its own fields"])
    return f"{comment}{_line('kind', kind, f'{table}.kind', notes)}"


def _kinds(role: str, own: str) -> str:
    named = ", ".join(f'"{name}"' for name in kinds_of(role))
    return f'{named}, or "{own}" of your own'


def _comment(parts: list[str]) -> str:
    """Comment lines, without line breaks inside braces and brackets."""
    text = "; ".join(filter(None, parts))
    whole = re.sub(r"{.*?}|\[.*?\]", lambda found: found[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(whole, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines).replace("\0", " ")


def _line(key: str, value: Any, name: str, notes: dict[str, str]) -> str:
    note = f"  # {notes[name]}" if name in notes else ""
    return f"{toml_line(key, value)}{note}\n"


def _notes(text: str) -> dict[str, str]:
    """The comments after the values of a preset, by dotted name."""
    table, found = "", {}
    for line in text.splitlines():
        if section := _SECTION.fullmatch(line):
            table = section.group(1)
        elif noted := _NOTED.fullmatch(line):
            found[f"{table}.{noted.group(1)}".lstrip(".")] = noted.group(2)
    if "quench" in found:
        found["quench.steps"] = found.pop("quench")
    return found


def _until_blank(lines: list[str]) -> list[str]:
    return lines[: lines.index("")]
