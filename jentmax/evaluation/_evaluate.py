"""Diversity and coverage of several sets of environments."""

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
from jentmax.evaluation._sets import EnvironmentSet, PhaseCallback, ignore, shared_structures

if TYPE_CHECKING:
    from ase import Atoms

Scaling = Literal["standard", "robust"]

_MAP = 5000
"""Number of environments of each set on the map."""

_RADIAL = 300
"""Number of structures of each set for the radial distribution function."""

_RADIAL_CUTOFF, _RADIAL_BINS = 8.0, 160
"""Å."""

_EXEMPLARS = 4
"""Number of example structures of each set."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`. Arrays over sets are in the order of ``names``.

    Attributes:
        sets: the evaluated sets.
        descriptor: their descriptor.
        reference: name of the set whose features have mean (or median) 0 and spread 1.
        scaling: "standard" or "robust".
        shift: subtracted from the features, shape (n_features,).
        scale: divisor of the shifted features, shape (n_features,).
        labels: labels of the features, 2 j1, 2 j2 and 2 j.
        features: scaled features by name of the set.
        decompositions: number and sizes of the decompositions for ``coverage``.
        coverage: distances to the nearest training environments.
        shared: ``[i, j]`` is the number of structures of set j that set i has too.
        entropies: S of each structure in nats, by name of the set; NaN for structures of one atom.
        kernels: kernel measures.
        log_determinant: of the covariance of all environments, in nats, shape (n_sets,).
        radial: r in Å and g(r), by name of the set.
        map_points: environments in the plane of the principal axes, by name of the set.
        map_fractions: fraction of the variance along each of the two axes.
        higher: components that are not in the descriptor; None if there are none.
        exemplars: numbers of the example structures, by name of the set.
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
    shared: np.ndarray
    entropies: Mapping[str, np.ndarray]
    kernels: Kernels
    log_determinant: np.ndarray
    radial: Mapping[str, tuple[np.ndarray, np.ndarray]]
    map_points: Mapping[str, np.ndarray]
    map_fractions: np.ndarray
    higher: Higher | None
    exemplars: Mapping[str, list[int]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sets."""
        return tuple(one.name for one in self.sets)

    @property
    def cutoff(self) -> float:
        """Cutoff of the descriptor, in Å."""
        cutoff = cutoff_of(self.descriptor)
        assert cutoff is not None  # `evaluate` ensures it
        return cutoff

    @property
    def unit(self) -> str:
        """Unit of the scaled features, in words."""
        if self.scaling == "robust":
            return f"interquartile ranges of {self.reference} / 1.349"
        return f"standard deviations of {self.reference}"

    def group_coverage(self, name: str) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
        """Groups of a set, and for each training set the mean distance of each group."""
        place = self.names.index(name)
        means = self.coverage.group_means[place]
        return self.coverage.group_names[place], dict(zip(self.names, means, strict=True))

    def group_sizes(self, name: str) -> np.ndarray:
        """Number of environments in each group of a set."""
        structures = self.sets[self.names.index(name)].structures
        groups, _ = self.group_coverage(name)
        places = np.searchsorted(groups, structures.groups)
        return np.bincount(places, structures.counts, len(groups)).astype(int)

    def atoms(self, name: str) -> list[Atoms]:
        """The example structures of a set."""
        structures = self.sets[self.names.index(name)].structures
        return [structures[k] for k in self.exemplars[name]]


def evaluate(
    sets: Sequence[EnvironmentSet],
    descriptor: Descriptor,
    decompositions: Decompositions,
    reference: str | None = None,
    scaling: Scaling = "standard",
    callback: PhaseCallback = ignore,
) -> Evaluation:
    """Measure the diversity of sets, and how well each set covers the others.

    Args:
        sets: from `open_sets`.
        descriptor: their descriptor.
        decompositions: number and sizes of random training and test parts (`sizes`).
        reference: name of the set whose features get mean 0 and variance 1; by default the first.
        scaling: "standard" uses mean and standard deviation; "robust" uses median and
            interquartile range / 1.349, which is the same for a normal distribution.
        callback: called with the progress.

    Raises:
        JentmaxError: there is no such reference, a component is constant in it, or the sets are
            too small for the decompositions.
    """
    names = [one.name for one in sets]
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise JentmaxError(
            f"--reference {reference} is not the name of a set; give one of {', '.join(names)}"
        )
    labels = tuple(component_labels(as_descriptor(descriptor, cutoff=None)))
    shift, scale = _shift_and_scale(sets[names.index(reference)], scaling, labels)
    features = {one.name: (one.description.features - shift) / scale for one in sets}
    number = decompositions.number
    callback("distances", 0, number)
    covered = coverage(
        features,
        {one.name: one.structures.pointer for one in sets},
        {one.name: one.structures.groups.tolist() for one in sets},
        decompositions,
        lambda done: callback("distances", done, number),
    )
    seed = decompositions.seed
    callback("information measures", 0, 1)
    kernels = compare_by_kernels(features, seed)
    own_entropies = {
        one.name: local_entropies(features[one.name], one.structures.pointer) for one in sets
    }
    callback("higher components", 0, 1)
    higher = higher_components(sets, descriptor, reference, seed)
    callback("radial distribution functions", 0, 1)
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
        shared=shared_structures(sets),
        entropies=own_entropies,
        kernels=kernels,
        log_determinant=np.array([log_determinant(values) for values in features.values()]),
        radial=radial,
        map_points={n: (values - axes.center) @ axes.axes.T for n, values in mapped.items()},
        map_fractions=axes.explained,
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
            f"{reference.name}: component {labels[int(np.argmax(constant))]} has the {measure} 0, "
            "so it cannot be the unit; give another set as --reference"
            + (", or --scaling standard" if scaling == "robust" else "")
        )
    return shift, scale


def _some_structures(one: EnvironmentSet, number: int, seed: int) -> Structures:
    """Random structures of a set."""
    n = len(one.structures)
    order = np.random.default_rng([seed, 2]).permutation(n)
    return one.structures[np.sort(order[:number])]


def _exemplars(one: EnvironmentSet, entropies: np.ndarray) -> list[int]:
    """Example structures: from each of the largest groups, the structure with the median S.

    For a set without groups, they are evenly spaced in the order of S.
    """
    groups, of_structure = np.unique(one.structures.groups, return_inverse=True)
    order = np.argsort(entropies, kind="stable")  # NaN, for single atoms, comes last
    if len(groups) > 1:
        sizes = np.bincount(of_structure, one.structures.counts)
        members = [order[of_structure[order] == group] for group in np.argsort(-sizes)]
        return [int(own[(len(own) - 1) // 2]) for own in members[:_EXEMPLARS]]
    places = np.linspace(0, len(order) - 1, min(_EXEMPLARS, len(order)) + 2)[1:-1]
    return [int(order[round(place)]) for place in places]
