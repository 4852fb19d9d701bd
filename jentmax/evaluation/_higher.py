"""Components beyond those of the descriptor, and their correlation with the descriptor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jentmax.descriptors import Snap
from jentmax.evaluation._correlation import multiple_correlation
from jentmax.evaluation._describe import describe
from jentmax.evaluation._descriptor import Descriptor, component_labels
from jentmax.evaluation._sets import EnvironmentSet

TWOJMAX = 8
"""twojmax of the further components, from the paper (doi:10.1063/5.0013059)."""

_ENVIRONMENTS = 4000
"""Number of environments of each set, in whole structures."""


@dataclasses.dataclass(frozen=True)
class Higher:
    """Components that are not in the descriptor.

    Attributes:
        labels: 2 j1, 2 j2 and 2 j of each component.
        twojmax: the largest of these numbers.
        features: in standard deviations of the reference, by name of the set, shapes (n, q).
        correlation: multiple correlation of each component with the descriptor, by name of the
            set, shapes (q,).
    """

    labels: tuple[str, ...]
    twojmax: int
    features: Mapping[str, np.ndarray]
    correlation: Mapping[str, np.ndarray]


def higher_components(
    sets: Sequence[EnvironmentSet], descriptor: Descriptor, reference: str, seed: int
) -> Higher | None:
    """Describe a sample of each set with all components up to twojmax = 8.

    Args:
        sets: the sets to sample.
        descriptor: the descriptor to extend.
        reference: name of the set whose standard deviations scale the features.
        seed: random seed.

    Returns:
        None for descriptors that already have all components, that have components for triples of
        elements (hundreds), or that are not `Snap`.
    """
    if not isinstance(descriptor, Snap) or descriptor.chemflag:
        return None
    twojmax = max(descriptor.twojmax, TWOJMAX)
    extended = dataclasses.replace(descriptor, twojmax=twojmax, components=None)
    labels = np.array(component_labels(extended))
    first = np.isin(labels, component_labels(descriptor))
    if first.all():
        return None
    features = {}
    for one in sets:
        order = np.random.default_rng([seed, 3]).permutation(len(one.structures))
        enough = int(np.searchsorted(np.cumsum(one.structures.counts[order]), _ENVIRONMENTS)) + 1
        features[one.name] = describe(one.structures[np.sort(order[:enough])], extended).features
    deviations = features[reference].std(axis=0)
    shift, scale = features[reference].mean(axis=0), np.where(deviations > 0, deviations, 1)
    return Higher(
        labels=tuple(labels[~first].tolist()),
        twojmax=twojmax,
        features={name: ((v - shift) / scale)[:, ~first] for name, v in features.items()},
        correlation={
            name: multiple_correlation(values[:, first], values[:, ~first])
            for name, values in features.items()
        },
    )
