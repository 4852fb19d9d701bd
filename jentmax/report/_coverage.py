"""Figures of coverage, the distances between the environments of two sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jentmax.report._style import (
    DOUBLE,
    GREY,
    SINGLE,
    fitting,
    legend,
    legend_columns,
    line,
    marker,
    panels,
    plain_logarithm,
    set_colors,
    styled,
    title,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CLOSEST = 1e-3
"""Lower limit of distances in figures; below it environments are equal up to rounding."""


def _at_most_closest(value: float, place: int | None = None) -> str:
    return f"≤{value:g}" if value <= _CLOSEST else f"{value:g}"


@styled
def distance_distributions(
    distances: Mapping[tuple[str, str], np.ndarray],
    colors: Mapping[str, str] | None = None,
    bins: int = 60,
) -> Figure:
    """Distributions of nearest distances, as in Fig. 8 of doi:10.1063/5.0013059.

    Args:
        distances: by (training set, test set), the distances from each environment of the test set
            to the nearest one of the training set, in scaled features, shape (n_environments,).
        colors: from `set_colors` for all sets.
        bins: number of logarithmic bins; the first one includes all distances below 0.001.

    Returns:
        A panel for each training set, with a line for each test set.
    """
    trains = list(dict.fromkeys(train for train, _ in distances))
    tests = list(dict.fromkeys(test for _, test in distances))
    colors = colors or set_colors([*trains, *tests])
    finite = {pair: values[np.isfinite(values)] for pair, values in distances.items()}
    largest = max((values.max() for values in finite.values() if len(values)), default=1.0)
    edges = np.geomspace(_CLOSEST, max(largest, 10 * _CLOSEST) * 1.001, bins + 1)
    decades = np.diff(np.log10(edges))
    columns = 1 if len(trains) == 1 else 2
    size = (SINGLE if columns == 1 else DOUBLE / 2, 1.9 if columns == 2 else 2.0)
    figure, grid = panels(len(trains), columns, size, share_x=True)
    for train, axes in zip(trains, grid.flat, strict=False):
        for test in tests:
            if (train, test) not in finite:
                continue
            values = np.maximum(finite[train, test], edges[0])
            density = np.histogram(values, edges)[0] / max(len(values), 1) / decades
            axes.stairs(np.where(density > 0, density, np.nan), edges, **line(test, colors))
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        plain_logarithm(axes.xaxis)
        axes.xaxis.set_major_formatter(_at_most_closest)
        axes.set_ylim(bottom=0)
        title(axes, f"training set: {train}")
    figure.supxlabel("distance to the nearest training environment (scaled)", fontsize=8)
    figure.supylabel("fraction of environments per decade", fontsize=8)
    legend(figure, tests, colors)
    return figure


@styled
def group_coverage(
    groups: Sequence[str],
    distances: Mapping[str, np.ndarray],
    counts: np.ndarray,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Coverage of the groups of a test set by training sets, with the worst group first.

    Args:
        groups: names of the groups.
        distances: by training set, the mean distance from the environments of each group to the
            nearest one of the training set, in scaled features, shape (n_groups,); NaN is skipped,
            values below 0.001 appear at 0.001. The first training set determines the order.
        counts: number of environments in each group, shape (n_groups,).
        colors: from `set_colors` for all sets.
    """
    colors = colors or set_colors(distances)
    first = np.asarray(next(iter(distances.values())), dtype=float)
    order = np.argsort(np.where(np.isfinite(first), -first, np.inf), kind="stable")
    places = np.arange(len(groups))
    figure, grid = panels(1, 1, (5.0, 0.8 + 0.155 * len(groups)))
    axes = grid[0, 0]
    for name, values in distances.items():
        axes.plot(
            np.maximum(np.asarray(values, dtype=float)[order], _CLOSEST),
            places,
            linestyle="none",
            markersize=4,
            label=fitting(name, 4.5),
            **marker(name, colors),
        )
    axes.set_xscale("log")
    plain_logarithm(axes.xaxis)
    axes.xaxis.set_major_formatter(_at_most_closest)
    axes.set_yticks(places, [fitting(groups[int(k)], 2.2) for k in order])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.grid(axis="y", lw=0.4, color="#dddddd")
    axes.set_xlabel("mean distance to the nearest training environment (scaled)")
    for place, k in enumerate(order):
        axes.annotate(
            f"{counts[k]:,}",
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
            color=GREY,
        )
    axes.annotate(
        "environments",
        (1.02, 1.01),
        xycoords="axes fraction",
        va="bottom",
        fontsize=7,
        color=GREY,
    )
    figure.legend(
        loc="outside upper left",
        ncols=legend_columns(figure, distances),
        frameon=False,
        title="training set",
        alignment="left",
    )
    return figure


@styled
def coverage_curve(
    spent: np.ndarray,
    spent_label: str,
    structures: np.ndarray,
    chosen: np.ndarray,
    random_mean: np.ndarray,
    random_spread: np.ndarray,
    label: str,
) -> Figure:
    """Coverage of a set by a selection from it, compared with random selections.

    Args:
        spent: what the selected structures cost, shape (n,).
        spent_label: label of the axis of costs.
        structures: number of selected structures, shape (n,), on a second axis.
        chosen: mean distance from an environment of the whole set to the nearest selected one, in
            scaled features, shape (n,); zeros are left out.
        random_mean: mean of the same over several random selections, shape (n,).
        random_spread: standard deviation over the random selections, shape (n,).
        label: label of the selection.
    """
    figure, grid = panels(1, 1, (SINGLE, 2.3))
    axes = grid[0, 0]
    low = np.maximum(random_mean - random_spread, 1e-3 * random_mean)
    band = axes.fill_between(spent, low, random_mean + random_spread, color=GREY, alpha=0.25, lw=0)
    (mean,) = axes.plot(spent, random_mean, color=GREY, linestyle="--")
    (line_chosen,) = axes.plot(spent, chosen, color="#0072B2", marker="o", markersize=2.5)
    axes.set_xscale("log")
    plain_logarithm(axes.xaxis)
    if np.any(random_mean > 0):
        axes.set_yscale("log")
        plain_logarithm(axes.yaxis)
    axes.set_xlabel(spent_label)
    above = axes.secondary_xaxis("top")
    places = np.log(np.maximum(spent, np.finfo(float).tiny))
    apart = [0]  # at least a fifth of the axis, so that numbers do not overlap
    for k in range(1, len(spent)):
        if places[k] - places[apart[-1]] >= 0.2 * np.ptp(places):
            apart.append(k)
    above.set_xticks(spent[apart], [f"{structures[k]:,}" for k in apart])
    above.tick_params(which="minor", top=False)
    above.set_xlabel("selected structures")
    axes.set_ylabel("mean distance to the nearest\nselected environment (scaled)")
    axes.legend(
        [line_chosen, (band, mean)], [label, "random (± standard deviation)"], frameon=False
    )
    return figure
