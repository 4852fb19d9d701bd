"""Descriptors of structures, coverage and diversity of sets, and selection of the best subset.

`describe` computes descriptors of any structures, `evaluate` compares sets, and `select` chooses
the structures of a file that best cover the others. `jentmax.report` draws and writes the results.

Names load on first use; the measures do not import JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jentmax.evaluation._correlation import multiple_correlation as multiple_correlation
    from jentmax.evaluation._coverage import STATISTICS as STATISTICS
    from jentmax.evaluation._coverage import Coverage as Coverage
    from jentmax.evaluation._coverage import Decompositions as Decompositions
    from jentmax.evaluation._coverage import coverage as coverage
    from jentmax.evaluation._coverage import sizes as sizes
    from jentmax.evaluation._coverage import standard_error as standard_error
    from jentmax.evaluation._describe import describe as describe
    from jentmax.evaluation._describe_files import describe_file as describe_file
    from jentmax.evaluation._describe_files import described as described
    from jentmax.evaluation._description import Description as Description
    from jentmax.evaluation._descriptor import Descriptor as Descriptor
    from jentmax.evaluation._descriptor import plain_descriptor as plain_descriptor
    from jentmax.evaluation._evaluate import Evaluation as Evaluation
    from jentmax.evaluation._evaluate import evaluate as evaluate
    from jentmax.evaluation._higher import Higher as Higher
    from jentmax.evaluation._kernels import Kernels as Kernels
    from jentmax.evaluation._kernels import compare_by_kernels as compare_by_kernels
    from jentmax.evaluation._map import PrincipalAxes as PrincipalAxes
    from jentmax.evaluation._map import principal_axes as principal_axes
    from jentmax.evaluation._measures import delta_entropy as delta_entropy
    from jentmax.evaluation._measures import kernel_entropy as kernel_entropy
    from jentmax.evaluation._measures import local_entropies as local_entropies
    from jentmax.evaluation._measures import log_determinant as log_determinant
    from jentmax.evaluation._measures import overlap as overlap
    from jentmax.evaluation._measures import silverman_bandwidth as silverman_bandwidth
    from jentmax.evaluation._measures import vendi_score as vendi_score
    from jentmax.evaluation._orders import Cover as Cover
    from jentmax.evaluation._orders import Growth as Growth
    from jentmax.evaluation._orders import covering_curve as covering_curve
    from jentmax.evaluation._orders import farthest_point as farthest_point
    from jentmax.evaluation._orders import grow as grow
    from jentmax.evaluation._orders import least_distances as least_distances
    from jentmax.evaluation._orders import most_informative as most_informative
    from jentmax.evaluation._orders import nearest_distances as nearest_distances
    from jentmax.evaluation._orders import random_order as random_order
    from jentmax.evaluation._radial import radial_distribution as radial_distribution
    from jentmax.evaluation._select import select as select
    from jentmax.evaluation._selection import Selection as Selection
    from jentmax.evaluation._selection import sources_path as sources_path
    from jentmax.evaluation._sets import EnvironmentSet as EnvironmentSet
    from jentmax.evaluation._sets import open_sets as open_sets

_HOMES = {
    "_correlation": ("multiple_correlation",),
    "_coverage": (
        "STATISTICS",
        "Coverage",
        "Decompositions",
        "coverage",
        "sizes",
        "standard_error",
    ),
    "_describe": ("describe",),
    "_describe_files": ("describe_file", "described"),
    "_description": ("Description",),
    "_descriptor": ("Descriptor", "plain_descriptor"),
    "_evaluate": ("Evaluation", "evaluate"),
    "_higher": ("Higher",),
    "_kernels": ("Kernels", "compare_by_kernels"),
    "_map": ("PrincipalAxes", "principal_axes"),
    "_measures": (
        "delta_entropy",
        "kernel_entropy",
        "local_entropies",
        "log_determinant",
        "overlap",
        "silverman_bandwidth",
        "vendi_score",
    ),
    "_orders": (
        "Cover",
        "Growth",
        "covering_curve",
        "farthest_point",
        "grow",
        "least_distances",
        "most_informative",
        "nearest_distances",
        "random_order",
    ),
    "_radial": ("radial_distribution",),
    "_select": ("select",),
    "_selection": ("Selection", "sources_path"),
    "_sets": ("EnvironmentSet", "open_sets"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jentmax.evaluation' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jentmax.evaluation.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
