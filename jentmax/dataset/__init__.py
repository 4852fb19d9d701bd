"""Structures on the host and in files: data sets, sets under way, and other programs' formats.

Nothing here imports JAX. The names load what they need when they are first used: ASE imports this
room with `ase.io`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.dataset._checking import Check as Check
    from jentmax.dataset._checking import check_file as check_file
    from jentmax.dataset._checking import ranges as ranges
    from jentmax.dataset._checking import whole_structures as whole_structures
    from jentmax.dataset._export import export as export
    from jentmax.dataset._export import refuse_output as refuse_output
    from jentmax.dataset._foreign import read_atoms as read_atoms
    from jentmax.dataset._foreign import read_structures as read_structures
    from jentmax.dataset._order import n_settled as n_settled
    from jentmax.dataset._order import set_order as set_order
    from jentmax.dataset._parts import ChunkId as ChunkId
    from jentmax.dataset._parts import DamagedPart as DamagedPart
    from jentmax.dataset._parts import Parts as Parts
    from jentmax.dataset._reader import Dataset as Dataset
    from jentmax.dataset._reader import finished_chunk as finished_chunk
    from jentmax.dataset._structures import Structures as Structures
    from jentmax.dataset._structures import repeats as repeats
    from jentmax.dataset._writer import write_dataset as write_dataset
    from jentmax.dataset._writer import write_set as write_set
    from jentmax.dataset.output import being_written as being_written
    from jentmax.dataset.output import printable as printable
    from jentmax.dataset.output import reason as reason
    from jentmax.dataset.output import refuse_existing as refuse_existing
    from jentmax.dataset.output import remove_partial as remove_partial
    from jentmax.dataset.output import writing as writing

_HOMES = {
    "_checking": ("Check", "check_file", "ranges", "whole_structures"),
    "_export": ("export", "refuse_output"),
    "_foreign": ("read_atoms", "read_structures"),
    "_order": ("n_settled", "set_order"),
    "_parts": ("ChunkId", "DamagedPart", "Parts"),
    "_reader": ("Dataset", "finished_chunk"),
    "_structures": ("Structures", "repeats"),
    "_writer": ("write_dataset", "write_set"),
    "output": (
        "being_written",
        "printable",
        "reason",
        "refuse_existing",
        "remove_partial",
        "writing",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jentmax.dataset' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.dataset.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
