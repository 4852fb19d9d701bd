"""Read extended XYZ strictly, and preserve texts when writing it.

ASE reads and writes the frames themselves. But it stops at a blank line and drops extra values on a
line, so this module splits and checks the file.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jentmax.dataset.output import printable
from jentmax.devices import memory_bytes
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?"
_ATOM = re.compile(rf"\s*([A-Z][a-z]?|\d+)(\s+{_NUMBER}){{3}}(\s|$)")
_SPECIAL = re.compile(r"(?<!\S)(stress|virial)(?=\s*=)")
_PLAIN = re.compile(r"[A-Za-z_][\w.:/+-]*")
_QUOTED = re.compile(r"""\"(?:\\.|[^"\\])*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]""")
_KEY = re.compile(r"([^\s=]+)\s*=")
_AGAIN = "_of_any_length"

_MOST_COLUMNS = 10_000
"""Of a frame without atoms, where no line shows how many there are; ASE's reader makes them."""


class _Frame(NamedTuple):
    number: int  # of the structure
    line: int  # of its first line in the file, from 1
    lines: list[str]  # without that one
    cell: list[str]  # lines of lattice vectors, after the atoms


def is_extended_xyz(head: bytes) -> bool:
    """Whether the start of a file is clearly that of an XYZ file, extended or not."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    while lines and not lines[0].strip():
        del lines[0]
    if len(lines) < 2 or not lines[0].strip().isdigit():
        return False
    named = "Properties=" in lines[1] or "Lattice=" in lines[1]
    return named or (len(lines) > 2 and _ATOM.match(lines[2]) is not None)


def read_extended_xyz(path: str, opened: Callable[[], Any]) -> Iterator[Atoms]:
    """Read all structures of a file, with any blank lines between and after them.

    Args:
        path: of the file, for messages.
        opened: opens it for reading bytes.

    Raises:
        JentmaxError: naming the structure and the line: something that is neither a frame nor
            blank, a frame that is cut off, or one that ASE cannot read.
    """
    from ase.io.extxyz import read_xyz

    with (
        opened() as file,
        io.TextIOWrapper(file, "utf-8-sig", "surrogateescape") as text,
    ):
        for frame in _frames(path, text):
            parser = _Parser(path, frame)
            if not frame.lines[0].strip() or frame.cell:  # then ASE does not call the parser
                named = parser.unnamed()
                parser.check(named)
                frame.lines[0] = frame.lines[0] if frame.cell else f"Properties={named}\n"
            content = "".join([f"{len(frame.lines) - 1}\n", *frame.lines, *frame.cell])
            content = _decoded(content)
            try:
                (atoms,) = read_xyz(io.StringIO(content), 0, properties_parser=parser)
            except JentmaxError:
                raise
            except Exception as error:  # ASE's readers raise many types
                why = printable(f"{type(error).__name__}: {error}")[:300]
                raise JentmaxError(
                    f"{path}: structure {frame.number}, which begins in line {frame.line}, cannot "
                    f"be read as extended XYZ ({why}); correct or remove it"
                ) from None
            yield atoms


def _frames(path: str, file: io.TextIOBase) -> Iterator[_Frame]:
    number, line = 0, 1
    first = file.readline()
    while first:
        if not first.strip():
            first, line = file.readline(), line + 1
            continue
        try:
            n_atoms = int(first)
        except ValueError:
            raise JentmaxError(
                f"{path}: line {line}, {printable(first.strip())[:60]!r}, is not the number of "
                f"atoms with which structure {number} must begin in extended XYZ; correct the "
                "file, or give its format (--format)"
            ) from None
        lines = list(itertools.islice(file, max(0, n_atoms) + 1))
        if n_atoms < 0 or len(lines) < n_atoms + 1:
            if n_atoms == 0 and not lines:
                lines = ["\n"]
            else:
                raise JentmaxError(
                    f"{path}: a structure claims {printable(first.strip())[:40]} atoms, and the "
                    f"file has {max(0, len(lines) - 1)} more: structure {number}, which begins in "
                    f"line {line}; it is cut off or damaged: copy the file again, or remove "
                    "the structure"
                )
        cell = []
        following = file.readline()
        while following.lstrip().startswith("VEC"):
            cell.append(following)
            following = file.readline()
        yield _Frame(number, line, lines, cell)
        number, line, first = number + 1, line + 1 + len(lines) + len(cell), following


def _decoded(text: str) -> str:
    """Decode UTF-8 or, if the bytes are invalid, Latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


class _Parser:
    """Makes a dictionary of a comment line, and refuses columns that the lines do not have."""

    def __init__(self, path: str, frame: _Frame) -> None:
        self._path, self._frame = path, frame

    def __call__(self, line: str) -> dict[str, Any]:
        from ase.io.extxyz import key_val_str_to_dict

        try:
            info = key_val_str_to_dict(line)
        except ValueError:  # stress and virial need not be 9 numbers, as ASE thinks
            info = key_val_str_to_dict(_SPECIAL.sub(rf"\1{_AGAIN}", line))
            info = {key.removesuffix(_AGAIN): value for key, value in info.items()}
        keys = _KEY.findall(_QUOTED.sub("", line))
        if len(set(keys)) < len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise JentmaxError(
                f"{self._path}: structure {self._frame.number} has {printable(repeated)[:60]} "
                f"twice in line {self._frame.line + 1}; remove one"
            )
        info.setdefault("Properties", self.unnamed())
        self.check(str(info["Properties"]))
        return info

    def unnamed(self) -> str:
        """Properties of a file that names none, but has more than symbols and positions."""
        rows = [line.split() for line in self._frame.lines[1:]]
        more = {len(row) for row in rows} - {4}
        first = "Z:I:1" if all(row[:1] and row[0].isdigit() for row in rows) else "species:S:1"
        if not rows or len(more) != 1 or any(len(row) not in more for row in rows):
            return "species:S:1:pos:R:3" if not rows else f"{first}:pos:R:3"
        kind = "R" if all(re.fullmatch(_NUMBER, word) for row in rows for word in row[4:]) else "S"
        width = len(rows[0]) - 4
        return f"{first}:pos:R:3:unnamed:{kind}:{width}" if width > 0 else f"{first}:pos:R:3"

    def check(self, properties: str) -> None:
        fields, frame = properties.split(":"), self._frame
        widths = [int(width) for width in fields[2::3]]
        n_columns = sum(max(0, width) for width in widths)
        longest = max(map(len, frame.lines))
        n_atoms = len(frame.lines) - 1
        room = (longest + 1) // 2 if n_atoms else _MOST_COLUMNS
        if n_columns > room or 8 * n_columns * n_atoms > memory_bytes():
            raise JentmaxError(
                f"{self._path}: a structure claims {n_columns} columns, more than the file has "
                "room for; correct its Properties"
            )
        names = [{"pos": "positions", "charge": "charges"}.get(name, name) for name in fields[::3]]
        where = f"{self._path}: structure {frame.number}"
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise JentmaxError(
                f"{where} has two columns {printable(repeated)[:60]}; correct its Properties"
            )
        for k, line in enumerate(frame.lines[1:]):
            if (n_words := len(line.split())) != n_columns:
                raise JentmaxError(
                    f"{where} has {n_words} values in line {frame.line + 2 + k}, must be "
                    f"{n_columns}, as its Properties say; correct it"
                )


def lasting(info: dict[str, Any]) -> dict[str, Any]:
    """The same values, with JSON for those that extended XYZ would change.

    Examples are texts that look like numbers or contain line breaks or backslashes, and numpy
    numbers in lists and tables. ASE reads the JSON.
    """
    from jentmax.dataset._same import same

    found = {}
    for key, value in info.items():
        found[key] = value
        if isinstance(value, bool | float | np.floating | np.integer) or (
            isinstance(value, str) and _PLAIN.fullmatch(value) and _read_back(key, value) == value
        ):
            continue
        if not same(value, _read_back(key, value)):
            try:
                plain = json.dumps(value, default=_plain)
            except (TypeError, ValueError):
                continue  # whoever asks what the format holds finds it
            found[key] = "_JSON " + plain.replace("\\", "\\\\")
    return found


def _read_back(key: str, value: Any) -> Any:
    from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            line = key_val_dict_to_str({key: value})
            return key_val_str_to_dict(line).get(key) if "\n" not in line else None
    except Exception:  # ASE's code raises many types
        return None


def _plain(value: Any) -> Any:
    """Numpy's values as Python's, for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")
