"""Structures on the host and in files: data sets, sets under way, and other programs' formats.

Nothing here imports JAX. The names load what they need when they are first used: ASE imports this
room with `ase.io`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.dataset._checking import Check, check_file, ranges, whole_structures
    from jentmax.dataset._export import export, refuse_output
    from jentmax.dataset._foreign import checked, is_dataset, read_structures, refuse_inputs
    from jentmax.dataset._order import set_order
    from jentmax.dataset._parts import DamagedPart, Parts
    from jentmax.dataset._reader import Dataset
    from jentmax.dataset._reading import read_atoms
    from jentmax.dataset._schema import ChunkId
    from jentmax.dataset._structures import Structures, repeats
    from jentmax.dataset._writer import write_dataset, write_set
    from jentmax.dataset.output import being_written, printable, reason, refuse_existing, writing

_HOMES = {
    "_checking": ("Check", "check_file", "ranges", "whole_structures"),
    "_export": ("export", "refuse_output"),
    "_foreign": ("checked", "is_dataset", "read_structures", "refuse_inputs"),
    "_order": ("set_order",),
    "_parts": ("DamagedPart", "Parts"),
    "_reader": ("Dataset",),
    "_reading": ("read_atoms",),
    "_schema": ("ChunkId",),
    "_structures": ("Structures", "repeats"),
    "_writer": ("write_dataset", "write_set"),
    "output": ("being_written", "printable", "reason", "refuse_existing", "writing"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Check",
    "ChunkId",
    "DamagedPart",
    "Dataset",
    "Parts",
    "Structures",
    "being_written",
    "check_file",
    "checked",
    "export",
    "is_dataset",
    "printable",
    "ranges",
    "read_atoms",
    "read_structures",
    "reason",
    "refuse_existing",
    "refuse_inputs",
    "refuse_output",
    "repeats",
    "set_order",
    "whole_structures",
    "write_dataset",
    "write_set",
    "writing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jentmax.dataset' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.dataset.{_HOME_OF[name]}"), name)
