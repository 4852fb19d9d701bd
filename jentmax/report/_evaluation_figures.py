"""The figures of an evaluation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from jentmax.report._components import correlations, descriptor_histograms
from jentmax.report._coverage import distance_distributions, group_coverage
from jentmax.report._map import environment_map
from jentmax.report._pictures import contact_sheet
from jentmax.report._structures import radial_distributions, structure_distributions
from jentmax.report._style import set_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jentmax.evaluation import Evaluation


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure with the name of its files and its caption."""

    stem: str
    caption: str
    figure: Figure


def figures(evaluation: Evaluation) -> list[Drawing]:
    """All figures of an evaluation; each set has the same colour in all of them."""
    return [drawing for draw in calls_that_draw(evaluation).values() for drawing in draw()]


def calls_that_draw(evaluation: Evaluation) -> dict[str, Callable[[], Iterable[Drawing]]]:
    """Functions that draw the figures, by name: one may fail without the others."""
    colors = set_colors(evaluation.names)
    makers = (_distances, _groups, _descriptors, _structures, _radial, _map, _higher, _sheet)
    return {
        make.__name__.lstrip("_"): functools.partial(make, evaluation, colors) for make in makers
    }


def _distances(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    found = evaluation.coverage.distances
    names = evaluation.names
    distances = {
        (train, test): found[i, j] for i, train in enumerate(names) for j, test in enumerate(names)
    }
    yield Drawing(
        "distances",
        "Distances from test environments to the nearest training environment, in units of the "
        "scaled features. One panel for each training set, one line for each test set.",
        distance_distributions(distances, colors),
    )


def _groups(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    for place, one in enumerate(evaluation.sets):
        groups, means = evaluation.group_coverage(one.name)
        if len(groups) < 2:
            continue
        others = {name: mean for name, mean in means.items() if name != one.name} or means
        yield Drawing(
            f"groups-{place + 1}",
            f"Mean distance of the groups (config_type) of {one.name} to the nearest training "
            f"environment, sorted by the distance to {next(iter(others))}, largest first. The "
            "numbers beside the groups are their numbers of environments.",
            group_coverage(groups, others, evaluation.group_sizes(one.name), colors),
        )


def _descriptors(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    yield Drawing(
        "descriptors",
        f"Histograms of the descriptor's components, in {evaluation.unit}.",
        descriptor_histograms(
            evaluation.features, evaluation.labels, evaluation.unit, colors=colors
        ),
    )


def _structures(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    quantities = {
        "S (nats)": evaluation.entropies,
        "density (atoms/Å³)": {one.name: one.densities for one in evaluation.sets},
        f"neighbours within {evaluation.cutoff:g} Å": {
            one.name: one.description.neighbors for one in evaluation.sets
        },
        "least distance (Å)": {one.name: one.least_distances for one in evaluation.sets},
    }
    yield Drawing(
        "structures",
        "Entropy S, density and least distance of the structures, and the number of neighbours of "
        "their atoms. A tick marks the median.",
        structure_distributions(quantities, colors),
    )


def _radial(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    yield Drawing(
        "radial",
        "Radial distribution functions of up to 300 periodic structures of each set, relative to "
        "an ideal gas with the density of each structure, including vacuum.",
        radial_distributions(evaluation.radial, colors),
    )


def _map(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    first, second = map(float, evaluation.map_fractions)
    yield Drawing(
        "map",
        "Environments of each set, the same number of each, in the plane of the first two "
        "principal components of all of them. Grey shows the environments of all sets.",
        environment_map(evaluation.map_points, (first, second), colors),
    )


def _higher(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    higher = evaluation.higher
    if higher is None:
        return
    first = len(evaluation.labels)
    yield Drawing(
        "correlations",
        f"Multiple correlation of each further component with the first {first}.",
        correlations(higher.labels, higher.correlation, colors),
    )
    yield Drawing(
        "further-descriptors",
        "Histograms of the components that are not in the descriptor.",
        descriptor_histograms(
            higher.features,
            higher.labels,
            f"standard deviations of {evaluation.reference}",
            colors=colors,
        ),
    )


def _sheet(evaluation: Evaluation, colors: dict[str, str]) -> Iterator[Drawing]:
    yield Drawing(
        "exemplars",
        "Example structures of each set: the structure with the median S from each of its four "
        "largest groups, or, without groups, from low to high S. The bar is 5 Å long.",
        contact_sheet({name: evaluation.atoms(name) for name in evaluation.names}, colors),
    )
