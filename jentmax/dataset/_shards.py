"""Sets of several files: one that they have in common, and one for each process beside it.

``set.h5`` holds the settings and the scaling, and structures if one process began the set; the
structures that process 2 of 8 made are in ``set.h5.shards/2-of-8.h5``. A set may have been made by
8 processes at first and by 3 later. All belong to the same settings.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jentmax._output import reason
from jentmax.dataset._part import Part
from jentmax.errors import JentmaxError

_NAME = re.compile(r"(\d+)-of-(\d+)\.h5", re.ASCII)
_LOCK = re.compile(r"\.(\d+)-of-(\d+)\.h5\.lock", re.ASCII)

_ATTEMPTS = 3
"""How often a set is opened whose files are put together meanwhile."""

_OTHER_FILES = 256
"""Files that a process has open beside those of a set, at most."""

_FREE = (("run", "output"), ("run", "devices"))
"""Settings on which no structure depends."""


class Header(Protocol):
    """What the files of a set have in common."""

    path: Path
    settings: str
    scale: np.ndarray
    shift: np.ndarray


def shards_folder(path: Path) -> Path:
    """The folder that holds the shards of a set."""
    return path.parent / f"{path.name}.shards"


def shard_path(path: Path, index: int, count: int) -> Path:
    """The file that process ``index`` of ``count`` writes."""
    return shards_folder(path) / f"{index}-of-{count}.h5"


def shard_paths(path: Path, begun: bool = False) -> dict[tuple[int, int], Path]:
    """The shards that there are, by the number of the process and how many there were.

    Args:
        path: of the set.
        begun: whether those count that have a lock and no structures yet.

    Raises:
        JentmaxError: if their folder cannot be read.
    """
    try:
        names = os.listdir(shards_folder(path))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return {}
        raise JentmaxError(f"{shards_folder(path)} cannot be read: {reason(error)}") from error
    patterns = (_NAME, _LOCK) if begun else (_NAME,)
    matches = [pattern.fullmatch(name) for name in names for pattern in patterns]
    numbers = sorted({(int(match[1]), int(match[2])) for match in matches if match})
    return {(index, count): shard_path(path, index, count) for index, count in numbers}


def set_paths(path: Path) -> list[Path]:
    """All files of a set: its own, then its shards."""
    return [path, *shard_paths(path).values()]


def open_parts(path: Path, shards: bool) -> list[Part]:
    """The files of a set: the one under its path, then its shards.

    Args:
        path: of the set.
        shards: whether these are wanted.

    Raises:
        JentmaxError: there is none, one is no data set or damaged, or they do not belong together.
    """
    for _ in range(_ATTEMPTS):
        before = _identity(path)
        try:
            parts = _opened(path, shards)
        except JentmaxError:
            if _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return parts
        for part in parts:
            part.close()
    return _opened(path, shards)


def _identity(path: Path) -> int | None:
    """Differs between a file and the one that takes its place, as when shards are merged."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _opened(path: Path, shards: bool) -> list[Part]:
    parts: list[Part] = []
    try:
        parts.append(Part(path))
        others = list(shard_paths(path).values()) if shards else []
        _allow_open(len(others))
        for shard in others:
            parts.append(Part(shard))
            check_sibling(parts[0], parts[-1])
    except BaseException:
        for part in parts:
            part.close()
        raise
    return parts


def _allow_open(n_files: int) -> None:
    """Let this process have so many files open, beside others, as far as the system allows."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = n_files + _OTHER_FILES
        if soft < wanted and soft != resource.RLIM_INFINITY:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def n_asked(settings: str) -> int:
    """How many structures settings, as TOML, ask for.

    Raises:
        JentmaxError: if they do not say.
    """
    asked = _fields(settings).get(("run", "structures"))
    if not isinstance(asked, int):
        raise JentmaxError(f"settings of the data set: run.structures is {asked!r}, no number")
    return asked


def differences(stored: str, given: str) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Settings on which structures depend and that differ in two texts.

    Args:
        stored: settings as TOML.
        given: likewise.

    Returns:
        Both values, None where there is none, by section and name.

    Raises:
        JentmaxError: if one of them is no TOML, or has fields outside of all sections.
    """
    if stored == given:
        return {}
    old, new = _fields(stored), _fields(given)
    names = sorted((old.keys() | new.keys()) - set(_FREE))
    values = {name: (old.get(name), new.get(name)) for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def _fields(settings: str) -> dict[tuple[str, str], Any]:
    """Values by section and name."""
    from jentmax.config import parsed

    fields = {}
    for section, table in parsed(settings, "settings of the data set").items():
        if not isinstance(table, dict):
            raise JentmaxError(
                f"settings of the data set: {section} is outside of all sections; generate it anew"
            )
        fields |= {(section, key): value for key, value in table.items()}
    return fields


def check_sibling(first: Header, other: Header) -> None:
    """Raise a JentmaxError if two files were not made with the same settings and scaling.

    The number of structures may differ: a set may have been extended.
    """
    differing = [
        f"{section}.{key}"
        for section, key in differences(first.settings, other.settings)
        if (section, key) != ("run", "structures")
    ]
    for name in ("scale", "shift"):
        if not np.array_equal(getattr(first, name), getattr(other, name)):
            differing.append(f"the {name} of the descriptors")
    if differing:
        raise JentmaxError(
            f"{other.path} does not belong to {first.path}: {', '.join(differing)} differ; remove "
            "it if it is left from another set; machines of different kinds need a given scale "
            '(scaling.kind = "given") and run.batch_size'
        )
