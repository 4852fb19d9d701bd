"""jentmax: training sets for machine-learned interatomic potentials by maximising entropy.

Names load on first use: importing the package does not import JAX and changes no JAX option.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.config import recipe as recipe
    from jentmax.dataset import Dataset as Dataset
    from jentmax.dataset import Structures as Structures
    from jentmax.descriptors import Snap as Snap
    from jentmax.entropy import Gaussian as Gaussian
    from jentmax.entropy import KernelDensity as KernelDensity
    from jentmax.entropy import KthNearestNeighbor as KthNearestNeighbor
    from jentmax.entropy import NearestNeighbor as NearestNeighbor
    from jentmax.entropy import SoftNearestNeighbor as SoftNearestNeighbor
    from jentmax.entropy import Vendi as Vendi
    from jentmax.errors import JentmaxError as JentmaxError
    from jentmax.evaluation import describe as describe
    from jentmax.evaluation import select as select
    from jentmax.generation import FitScale as FitScale
    from jentmax.generation import Quench as Quench
    from jentmax.generation import RandomStart as RandomStart
    from jentmax.generation import Recipe as Recipe
    from jentmax.generation import fit_scale as fit_scale
    from jentmax.generation import generate as generate
    from jentmax.neighbors import Environments as Environments
    from jentmax.potential import Potential as Potential
    from jentmax.potential import Terms as Terms
    from jentmax.repulsion import ClarkeSmith as ClarkeSmith
    from jentmax.samplers import BasinHopping as BasinHopping
    from jentmax.samplers import Descent as Descent
    from jentmax.samplers import Fire as Fire
    from jentmax.samplers import Info as Info
    from jentmax.samplers import Langevin as Langevin
    from jentmax.samplers import Sampler as Sampler
    from jentmax.samplers import State as State
    from jentmax.samplers import estimate_memory as estimate_memory
    from jentmax.samplers import run as run
    from jentmax.samplers import schedules as schedules
    from jentmax.system import System as System

__version__ = "0.2.0"  # the one place; pyproject.toml reads it here

# A module must not share a name with these: importing the module would shadow the name.
_HOMES = {
    "config": ["recipe"],
    "dataset": ["Dataset", "Structures"],
    "descriptors": ["Snap"],
    "entropy": [
        "Gaussian",
        "KernelDensity",
        "KthNearestNeighbor",
        "NearestNeighbor",
        "SoftNearestNeighbor",
        "Vendi",
    ],
    "errors": ["JentmaxError"],
    "evaluation": ["describe", "select"],
    "generation": ["FitScale", "Quench", "RandomStart", "Recipe", "fit_scale", "generate"],
    "neighbors": ["Environments"],
    "potential": ["Potential", "Terms"],
    "repulsion": ["ClarkeSmith"],
    "samplers": [
        "BasinHopping",
        "Descent",
        "Fire",
        "Info",
        "Langevin",
        "Sampler",
        "State",
        "estimate_memory",
        "run",
        "schedules",
    ],
    "system": ["System"],
}
_ROOMS = {name: room for room, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'jentmax' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
