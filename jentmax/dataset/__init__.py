"""Structures on the host and in files: data sets, unfinished sets, and formats of other programs.

Nothing here imports JAX. Each name loads its module on first use, because ASE imports this room
with `ase.io`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.dataset._ase import name_in_ase
    from jentmax.dataset._export import export, refuse_output
    from jentmax.dataset._foreign import checked, is_dataset, read_structures
    from jentmax.dataset._header import Stream
    from jentmax.dataset._order import set_order
    from jentmax.dataset._parts import DamagedPart, MissingPart, Parts
    from jentmax.dataset._reader import Dataset
    from jentmax.dataset._reading import read_atoms
    from jentmax.dataset._schema import ChunkId
    from jentmax.dataset._structures import Structures, repeats, structure_keys
    from jentmax.dataset._writer import reopen_set, write_dataset, write_set
    from jentmax.dataset.output import (
        printable,
        reason,
        refuse_existing,
        refuse_inputs,
        through_links,
        writing,
    )

_HOMES = {
    "_ase": ("name_in_ase",),
    "_export": ("export", "refuse_output"),
    "_foreign": ("checked", "is_dataset", "read_structures"),
    "_header": ("Stream",),
    "_order": ("set_order",),
    "_parts": ("DamagedPart", "MissingPart", "Parts"),
    "_reader": ("Dataset",),
    "_reading": ("read_atoms",),
    "_schema": ("ChunkId",),
    "_structures": ("Structures", "repeats", "structure_keys"),
    "_writer": ("reopen_set", "write_dataset", "write_set"),
    "output": (
        "printable",
        "reason",
        "refuse_existing",
        "refuse_inputs",
        "through_links",
        "writing",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ChunkId",
    "DamagedPart",
    "Dataset",
    "MissingPart",
    "Parts",
    "Stream",
    "Structures",
    "checked",
    "export",
    "is_dataset",
    "name_in_ase",
    "printable",
    "read_atoms",
    "read_structures",
    "reason",
    "refuse_existing",
    "refuse_inputs",
    "refuse_output",
    "reopen_set",
    "repeats",
    "set_order",
    "structure_keys",
    "through_links",
    "write_dataset",
    "write_set",
    "writing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jentmax.dataset' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.dataset.{_HOME_OF[name]}"), name)
