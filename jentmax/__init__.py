"""jentmax: training sets for machine-learned interatomic potentials by maximising entropy.

The names below load what they need when they are first used, so that reading settings or showing
help does not wait for JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.config import Settings as Settings
    from jentmax.config import load as load
    from jentmax.dataset import Dataset as Dataset
    from jentmax.descriptors import Snap as Snap
    from jentmax.entropy import NearestNeighbor as NearestNeighbor
    from jentmax.errors import JentmaxError as JentmaxError
    from jentmax.generation import generate as generate
    from jentmax.neighbors import AllPairs as AllPairs
    from jentmax.neighbors import Environments as Environments
    from jentmax.neighbors import NeighborList as NeighborList
    from jentmax.neighbors import neighbor_finder as neighbor_finder
    from jentmax.potential import Potential as Potential
    from jentmax.repulsion import ClarkeSmith as ClarkeSmith
    from jentmax.samplers import Descent as Descent
    from jentmax.samplers import Langevin as Langevin
    from jentmax.selection import select as select
    from jentmax.system import System as System

__version__ = "0.1.0"

# No module may have the name of one of these: importing it would put it in their place.
_HOMES = {
    "select": "selection",
    "Settings": "config",
    "load": "config",
    "Dataset": "dataset",
    "Snap": "descriptors",
    "NearestNeighbor": "entropy",
    "JentmaxError": "errors",
    "generate": "generation",
    "AllPairs": "neighbors",
    "Environments": "neighbors",
    "NeighborList": "neighbors",
    "neighbor_finder": "neighbors",
    "Potential": "potential",
    "ClarkeSmith": "repulsion",
    "Langevin": "samplers",
    "Descent": "samplers",
    "System": "system",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jentmax' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
