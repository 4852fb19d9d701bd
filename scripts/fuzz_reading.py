"""What is done with a file, and command lines in this process, for scripts/fuzz.py."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuzz_files import UNDER_WAY

SMALL = ("--set", "descriptor.twojmax=2", "--set", "descriptor.components=5", "--no-cache")
"""Words of a command line: few functions of the descriptor, which compile soon."""


def attempt(path: Path) -> str:
    """Read a file in every way; returns "result", or "error: ..." for a clear error.

    Raises:
        Exception: anything except a clear error.
    """
    from jentmax.errors import JentmaxError

    read = {
        ".h5": _data_set,
        ".npz": _part,
        ".json": _part,
        ".extxyz": _structures,
        ".toml": _recipe,
    }[path.suffix]
    try:
        read(path)
    except JentmaxError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error
        return f"error: {error}"
    return "result"


def _part(path: Path) -> None:
    """An unfinished set with the case as one of its files."""
    from jentmax.dataset import Parts

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "set.h5")
        parts = Parts(output).folder
        shutil.copytree(Parts(path.parents[1] / UNDER_WAY).folder, parts)
        name = "set.json" if path.suffix == ".json" else max(p.name for p in parts.glob("*.npz"))
        shutil.copy(path, parts / name)
        _data_set(output)


def _data_set(path: Path) -> None:
    from jentmax.dataset import Dataset, Parts, read_structures, reopen_set
    from jentmax.errors import JentmaxError

    errors = []

    def tried(action: Callable[[], object]) -> None:
        """Continue after a clear error."""
        try:
            action()
        except JentmaxError as error:
            errors.append(error)

    with Dataset(path) as dataset:
        names = ("positions", "numbers", "cells", "pbc", "descriptors", *dataset.columns)
        for name in names:
            tried(lambda name=name: getattr(dataset, name))
        tried(lambda: list(dataset))
        tried(lambda: dataset.structures(slice(0, 3)))
        tried(lambda: _no_control("".join(dataset.damage())))
        finished = dataset.status == "complete"
    if finished:
        tried(lambda: reopen_set(Parts(path)))
        Parts(path).remove_all()
    tried(lambda: read_structures(path))
    tried(lambda: _command("info", str(path)))
    if errors:
        raise errors[0]


def _command(*words: str) -> None:
    """Run a command line.

    Raises:
        JentmaxError: the command ended with an error.
    """
    from jentmax.errors import JentmaxError

    code, _, errors = command(*words)
    if code:
        raise JentmaxError(errors)


def command(*words: str) -> tuple[int, str, str]:
    """Run a command line in this process; exit code, output and errors.

    Raises:
        AssertionError: it shows what no user should see.
    """
    from jentmax.cli import main

    stdout, stderr, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["jentmax", *words]
    code: object = 0
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = before
    return refuse_unclear(code, stdout.getvalue(), stderr.getvalue())


def refuse_unclear(code: object, output: str, errors: str) -> tuple[int, str, str]:
    """The same, if it is how a command may end: with 0, or with 2 and one clear error.

    Raises:
        AssertionError: it is not.
    """
    text = f"exit code {code}\n{output[-2000:]}\n{errors[-4000:]}"
    _no_control(output + errors)
    found = re.search(
        r"Traceback|Exception ignored|\w+Warning|\.py:\d+|\.py\", line", output + errors
    )
    if found:
        raise AssertionError(f"{found.group()!r} shown to the user: {text}")
    if not isinstance(code, int) or code not in (0, 2):
        raise AssertionError(text)
    if code == 2 and errors.count("error:") != 1 and "Usage:" not in errors:
        raise AssertionError(f"no clear error: {text}")
    return code, output, errors


def _structures(path: Path) -> None:
    from jentmax.dataset import read_structures

    structures = read_structures(path)
    for group in structures.groups:
        _no_control(str(group))
    structures.to_ase()


def _recipe(path: Path) -> None:
    from jentmax.config import load, recipe_from, to_toml
    from jentmax.errors import JentmaxError

    with contextlib.suppress(JentmaxError):
        recipe_from(load(path, element="Fe")[0])
    plain = recipe_from(load(path)[0]).to_plain()
    path.write_text(to_toml(plain), encoding="utf-8")
    if recipe_from(load(path)[0]).to_plain() != plain:
        raise AssertionError("the recipe is not the one that was written")


def _no_control(text: str) -> None:
    if found := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text):
        raise AssertionError(f"control character {found.group()!r} for the terminal")
