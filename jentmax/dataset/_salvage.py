"""What is whole of a set of several files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jentmax.dataset._checking import whole_structures
from jentmax.dataset._shards import set_paths
from jentmax.errors import JentmaxError

if TYPE_CHECKING:
    from ase import Atoms


def whole_structures_of_set(
    path: str | os.PathLike[str],
) -> tuple[list[Atoms], int, list[str]]:
    """The structures all of whose columns can be read, whatever file of a set they are in.

    Args:
        path: of the set.

    Returns:
        The structures in the order of their index, each once; how many are left out; and what is
        wrong with files of which nothing can be read.

    Raises:
        JentmaxError: if that is all of them.
    """
    found: dict[int, Atoms] = {}
    n_left_out, unreadable = 0, []
    files = set_paths(Path(path))
    for file in files:
        try:
            structures, n_damaged = whole_structures(file)
        except JentmaxError as error:
            if len(files) == 1:
                raise
            unreadable.append(str(error))
            continue
        n_left_out += n_damaged
        for atoms in structures:
            found.setdefault(atoms.info["jentmax_index"], atoms)
    if len(unreadable) == len(files):
        raise JentmaxError("\n".join(unreadable))
    return [found[index] for index in sorted(found)], n_left_out, unreadable
