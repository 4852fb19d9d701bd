"""Figures of structures: radial distribution functions and distributions of their properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jentmax.report._style import DOUBLE, GREY, SINGLE, fitting, legend, line, set_colors, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOTE: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5, "color": GREY}


@styled
def radial_distributions(
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]], colors: Mapping[str, str] | None = None
) -> Figure:
    """Radial distribution functions, one panel per set.

    Args:
        sets: by name of the set: distances r (Å) and g(r), shapes (n,).
        colors: of the sets, from `set_colors` of all there are.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    colors = colors or set_colors(sets)
    figure = Figure(figsize=(SINGLE, 0.5 + 0.75 * len(sets)), layout="constrained")
    grid = figure.subplots(len(sets), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, (distance, values)) in zip(grid, sets.items(), strict=True):
        axes.axhline(1, color=GREY, lw=0.5, linestyle=":")
        axes.plot(distance, values, **line(name, colors))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_xlim(0, np.max(distance))
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, **_NOTE)
    grid[-1].set_xlabel("distance r (Å)")
    figure.supylabel("g(r)", fontsize=8)
    legend(figure, sets, colors)
    return figure


@styled
def structure_distributions(
    quantities: Mapping[str, Mapping[str, np.ndarray]],
    colors: Mapping[str, str] | None = None,
    bins: int = 50,
) -> Figure:
    """Distributions of properties of structures or atoms: one panel per property, one row per set.

    Args:
        quantities: by label with unit, such as "S (nats)", "density (atoms/Å³)", "neighbours
            within 4 Å", "least distance (Å)": values by name of the set, shapes (n,), nan left out.
        colors: of the sets, from `set_colors` of all there are.
        bins: of each histogram; whole numbers get a bin each. The range holds 99.8 % of each
            set's values; each row is as high as its highest bin, and a tick marks the median.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for sets in quantities.values() for name in sets))
    colors = colors or set_colors(names)
    figure = Figure(figsize=(DOUBLE, 0.7 + 0.36 * len(names)), layout="constrained")
    grid = figure.subplots(1, len(quantities), squeeze=False, sharey=True)[0]
    for axes, (label, sets) in zip(grid, quantities.items(), strict=True):
        finite = {name: values[np.isfinite(values)] for name, values in sets.items()}
        given = [values for values in finite.values() if len(values)]
        whole = bool(given) and all(np.array_equal(some, np.rint(some)) for some in given)
        edges = _edges(given, bins, whole)
        for row, name in enumerate(names):
            values = finite.get(name, np.empty(0))
            axes.axhline(row, color=GREY, lw=0.4)
            if not len(values):
                axes.text(
                    0.5,
                    row - 0.3,
                    "no data",
                    transform=axes.get_yaxis_transform(),
                    **_NOTE,
                )
                continue
            heights = np.histogram(values, edges)[0]
            axes.stairs(
                row - 0.82 * heights / max(heights.max(), 1),
                edges,
                baseline=row,
                fill=True,
                color=colors[name],
                alpha=0.85,
            )
            axes.plot(np.median(values), row, marker="|", markersize=5, color="black", mew=1)
        axes.set_ylim(len(names) - 0.8, -1)
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper", integer=whole))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(np.arange(len(names)) - 0.3, [fitting(name, 1.5) for name in names])
    return figure


def _edges(values: list[np.ndarray], bins: int, whole: bool) -> np.ndarray:
    if not values:
        return np.linspace(0, 1, bins + 1)
    ends = np.array([np.quantile(some, [1e-3, 0.999]) for some in values])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if whole:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    margin = 0.02 * (high - low) or 0.01 * abs(high) or 1.0
    return np.linspace(low - margin, high + margin, bins + 1)
