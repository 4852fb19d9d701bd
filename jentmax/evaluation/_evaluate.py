"""Diversity and coverage of several sets of environments, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from jentmax.callables import as_descriptor, cutoff_of
from jentmax.dataset import Structures
from jentmax.errors import JentmaxError
from jentmax.evaluation._coverage import Coverage, Decompositions, coverage
from jentmax.evaluation._descriptor import Descriptor, component_labels
from jentmax.evaluation._higher import Higher, higher_components
from jentmax.evaluation._kernels import Kernels, compare_by_kernels
from jentmax.evaluation._map import principal_axes
from jentmax.evaluation._measures import local_entropies, log_determinant
from jentmax.evaluation._radial import radial_distribution
from jentmax.evaluation._sets import EnvironmentSet, Report, ignore

if TYPE_CHECKING:
    from ase import Atoms

Scaling = Literal["standard", "robust"]

_MAP = 5000
"""Environments of each set on the map."""

_RADIAL = 300
"""Structures of each set for the radial distribution function."""

_RADIAL_CUTOFF, _RADIAL_BINS = 8.0, 160
"""Å."""

_EXEMPLARS = 4
"""Structures of each set to look at."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`. Arrays over sets are in the order of ``names``.

    Attributes:
        sets: the sets that were evaluated.
        descriptor: that described them.
        reference: name of the set whose features have mean (or median) 0 and spread 1.
        scaling: "standard" or "robust".
        shift: subtracted from the features, shape (n_features,).
        scale: by which they were then divided, shape (n_features,).
        labels: of the features, twice j1, j2 and j.
        features: scaled, by name of the set.
        decompositions: how the sets were divided for ``coverage``.
        coverage: distances to the nearest training environments.
        entropies: S of each structure in nats, by name of the set; nan for one atom alone.
        kernels: measures by kernels.
        log_determinant: of the covariance of all environments, in nats, shape (n_sets,).
        radial: r in Å and g(r), by name of the set.
        map_points: of environments on the plane of the principal axes, by name of the set.
        map_shares: share of the variance along each of the two axes.
        higher: components that are not among the descriptor's; None if there are none.
        exemplars: numbers of structures to look at, by name of the set.
    """

    sets: tuple[EnvironmentSet, ...]
    descriptor: Descriptor
    reference: str
    scaling: Scaling
    shift: np.ndarray
    scale: np.ndarray
    labels: tuple[str, ...]
    features: Mapping[str, np.ndarray]
    decompositions: Decompositions
    coverage: Coverage
    entropies: Mapping[str, np.ndarray]
    kernels: Kernels
    log_determinant: np.ndarray
    radial: Mapping[str, tuple[np.ndarray, np.ndarray]]
    map_points: Mapping[str, np.ndarray]
    map_shares: np.ndarray
    higher: Higher | None
    exemplars: Mapping[str, list[int]]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sets."""
        return tuple(one.name for one in self.sets)

    @property
    def cutoff(self) -> float:
        """Largest distance at which the descriptor sees a neighbour, in Å."""
        cutoff = cutoff_of(self.descriptor)
        assert cutoff is not None  # `evaluate` sees to it
        return cutoff

    @property
    def unit(self) -> str:
        """Of the scaled features, in words."""
        if self.scaling == "robust":
            return f"interquartile ranges of {self.reference} / 1.349"
        return f"standard deviations of {self.reference}"

    def group_coverage(self, name: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Groups of a set, and by training set the mean distance of each one's environments."""
        place = self.names.index(name)
        means = self.coverage.group_means[place]
        return self.coverage.group_names[place], dict(zip(self.names, means, strict=True))

    def group_sizes(self, name: str) -> np.ndarray:
        """Number of environments in each of a set's groups."""
        structures = self.sets[self.names.index(name)].structures
        groups, _ = self.group_coverage(name)
        places = np.searchsorted(groups, structures.groups)
        return np.bincount(places, structures.counts, len(groups)).astype(int)

    def atoms(self, name: str) -> list[Atoms]:
        """The structures of a set to look at."""
        structures = self.sets[self.names.index(name)].structures
        return [structures[k] for k in self.exemplars[name]]


def evaluate(
    sets: Sequence[EnvironmentSet],
    descriptor: Descriptor,
    decompositions: Decompositions,
    reference: str | None = None,
    scaling: Scaling = "standard",
    report: Report = ignore,
) -> Evaluation:
    """Measure how diverse sets are, and how well each covers the others.

    Args:
        sets: as `open_sets` gives them.
        descriptor: that described them.
        decompositions: how to divide them into training and test environments (`sizes`).
        reference: name of the set whose features are to have mean 0 and variance 1; by default
            the first.
        scaling: by mean and standard deviation, or "robust": by median and interquartile range
            over 1.349. Both scale a normal distribution alike.
        report: called as parts are done.

    Raises:
        JentmaxError: if there is no such reference, a component does not vary in it, or the sets
            cannot be divided in this way.
    """
    names = [one.name for one in sets]
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise JentmaxError(
            f"--reference {reference} is no set's name; give one of {', '.join(names)}"
        )
    labels = tuple(component_labels(as_descriptor(descriptor, cutoff=None)))
    shift, scale = _shift_and_scale(sets[names.index(reference)], scaling, labels)
    features = {one.name: (one.description.features - shift) / scale for one in sets}
    number = decompositions.number
    report("distances", 0, number)
    covered = coverage(
        features,
        {one.name: one.structures.pointer for one in sets},
        {one.name: one.structures.groups.tolist() for one in sets},
        decompositions,
        lambda done: report("distances", done, number),
    )
    seed = decompositions.seed
    report("information measures", 0, 1)
    kernels = compare_by_kernels(features, seed)
    own_entropies = {
        one.name: local_entropies(features[one.name], one.structures.pointer) for one in sets
    }
    report("higher components", 0, 1)
    higher = higher_components(sets, descriptor, reference, seed)
    report("radial distribution functions", 0, 1)
    radial = {
        one.name: radial_distribution(
            _some_structures(one, _RADIAL, seed), _RADIAL_CUTOFF, _RADIAL_BINS
        )
        for one in sets
    }
    n_map = min(_MAP, *map(len, features.values()))
    mapped = {
        name: np.random.default_rng([seed, 4]).choice(values, n_map, replace=False)
        for name, values in features.items()
    }
    axes = principal_axes(np.concatenate(list(mapped.values())))
    return Evaluation(
        sets=tuple(sets),
        descriptor=descriptor,
        reference=reference,
        scaling=scaling,
        shift=shift,
        scale=scale,
        labels=labels,
        features=features,
        decompositions=decompositions,
        coverage=covered,
        entropies=own_entropies,
        kernels=kernels,
        log_determinant=np.array([log_determinant(values) for values in features.values()]),
        radial=radial,
        map_points={n: (values - axes.center) @ axes.axes.T for n, values in mapped.items()},
        map_shares=axes.explained,
        higher=higher,
        exemplars={one.name: _exemplars(one, own_entropies[one.name]) for one in sets},
    )


def _shift_and_scale(
    reference: EnvironmentSet, scaling: Scaling, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    values = reference.description.features
    if scaling == "robust":
        low, shift, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        scale, measure = (high - low) / 1.349, "interquartile range"
    else:
        shift, scale, measure = values.mean(axis=0), values.std(axis=0), "standard deviation"
    constant = scale <= 1e-12 * np.abs(values).max(axis=0)
    if constant.any():
        raise JentmaxError(
            f"{reference.name}: component {labels[int(np.argmax(constant))]} has the {measure} 0 "
            "there, and nothing can be scaled by it; give a set that varies as --reference"
            + (", or --scaling standard" if scaling == "robust" else "")
        )
    return shift, scale


def _some_structures(one: EnvironmentSet, number: int, seed: int) -> Structures:
    """Structures of a set, at random."""
    n = len(one.structures)
    order = np.random.default_rng([seed, 2]).permutation(n)
    return one.structures[np.sort(order[:number])]


def _exemplars(one: EnvironmentSet, entropies: np.ndarray) -> list[int]:
    """Structures to look at: of each of the largest groups the one whose S is the median.

    Of a set without groups, evenly over the order of S, from the least to the greatest.
    """
    groups, of_structure = np.unique(one.structures.groups, return_inverse=True)
    order = np.argsort(entropies, kind="stable")  # single atoms, which have none, at the end
    if len(groups) > 1:
        sizes = np.bincount(of_structure, one.structures.counts)
        members = [order[of_structure[order] == group] for group in np.argsort(-sizes)]
        return [int(own[(len(own) - 1) // 2]) for own in members[:_EXEMPLARS]]
    places = np.linspace(0, len(order) - 1, min(_EXEMPLARS, len(order)) + 2)[1:-1]
    return [int(order[round(place)]) for place in places]
