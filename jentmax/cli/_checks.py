"""What was found in data set files that were checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jentmax.dataset import Check, check_file, ranges
from jentmax.errors import JentmaxError


def print_checks(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Check data set files, and print what was found in the whole ones.

    Raises:
        JentmaxError: some are damaged; with all that is damaged, and how to get what is whole.
    """
    troubles = []
    for path in map(Path, paths):
        try:
            check = check_file(path)
        except JentmaxError as error:
            troubles.append(str(error))
            continue
        if check.damage:
            troubles.append(_trouble(check))
        else:
            print(
                f"{path} is whole: {check.n_structures} structures, {check.status}; "
                f"{check.n_columns} columns fit their checksums and each other, numbers are "
                "finite, atomic numbers those of elements"
            )
    if troubles:
        raise JentmaxError("\n".join(troubles))


def _trouble(check: Check) -> str:
    lines = [f"{check.path} is damaged:", *(f"  {damage}" for damage in check.damage)]
    if len(check.whole):
        lines.append(
            f"  {len(check.whole)} of {check.n_structures} structures are whole: "
            f"{ranges(check.whole)}\n"
            f"  jentmax export {check.path} whole.extxyz --whole writes them"
        )
    else:
        lines.append(f"  none of {check.n_structures} structures is whole; make it again")
    return "\n".join(lines)
