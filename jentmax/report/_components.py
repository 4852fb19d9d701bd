"""Figures of descriptor components: histograms and correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jentmax.report._style import DOUBLE, fitting, legend, line, panels, set_colors, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def component_label(label: str) -> str:
    """The name of a bispectrum component in figures.

    Args:
        label: three digits, 2 j1, 2 j2 and 2 j; other labels do not change.

    >>> component_label("101")
    'B(½, 0, ½)'
    >>> component_label("532")
    'B(5/2, 3/2, 1)'
    """
    if not (len(label) == 3 and label.isascii() and label.isdigit()):
        return label
    spins = (_half(int(twice)) for twice in label)
    return f"B({', '.join(spins)})"


def _half(twice: int) -> str:
    if twice % 2 == 0:
        return str(twice // 2)
    return "½" if twice == 1 else f"{twice}/2"


@styled
def descriptor_histograms(
    sets: Mapping[str, np.ndarray],
    labels: Sequence[str],
    unit: str,
    bins: int = 50,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Histograms of every feature for several sets, with densities on a logarithmic scale.

    Hand-made sets have sharp peaks with long thin tails, biased sets are broad and low; a
    logarithmic scale shows both.

    Args:
        sets: features by name of the set, shapes (n_environments, n_features), with one scale.
        labels: labels of the features; see `component_label`.
        unit: unit of the scaled features, in words.
        bins: number of bins; the range holds 99.8 % of each set's values.
        colors: from `set_colors` for all sets.
    """
    from matplotlib.ticker import MaxNLocator

    colors = colors or set_colors(sets)
    few = len(labels) <= 6
    columns, height = (min(3, len(labels)), 1.75) if few else (7, 1.15)
    figure, grid = panels(len(labels), columns, (DOUBLE / columns, height), share_y=True)
    for feature, (label, axes) in enumerate(zip(labels, grid.flat, strict=False)):
        values = {name: _finite(features[:, feature]) for name, features in sets.items()}
        ends = np.array([np.quantile(v, [1e-3, 0.999]) for v in values.values() if len(v)])
        low, high = (ends.min(), ends.max()) if len(ends) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, (bins if few else bins // 2) + 1)
        for name, column in values.items():
            density = np.histogram(column, edges)[0] / max(len(column), 1) / np.diff(edges)
            axes.stairs(density, edges, label=name, **line(name, colors))
        axes.xaxis.set_major_locator(MaxNLocator(5 if few else 3))
        axes.set_title(component_label(label), pad=2, fontsize=8 if few else 6)
        if not few:
            axes.tick_params(labelsize=5.5, pad=1.5)
    _decades(grid[0, 0], min(axes.dataLim.minposy for axes in grid.flat[: len(labels)]))
    figure.supxlabel(fitting(unit, figure.get_figwidth()), fontsize=8)
    figure.supylabel("density of atomic environments", fontsize=8)
    legend(figure, sets, colors)
    return figure


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _decades(axes: Axes, least: float) -> None:
    """Ticks at decades only on a logarithmic y axis, from the least density or 1e-4 on."""
    from matplotlib.ticker import NullLocator

    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom=max(0.7 * least, 1e-4))
    axes.yaxis.set_minor_locator(NullLocator())


@styled
def correlations(
    labels: Sequence[str],
    sets: Mapping[str, np.ndarray],
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Multiple correlation of each further component with the first ones, for several sets.

    Args:
        labels: labels of the components; see `component_label`.
        sets: multiple correlation R by name of the set, shapes (n_components,); NaN is skipped.
        colors: from `set_colors` for all sets.
    """
    colors = colors or set_colors(sets)
    figure, grid = panels(1, 1, (DOUBLE, 2.4))
    axes = grid[0, 0]
    places = np.arange(len(labels))
    for name, values in sets.items():
        axes.plot(places, values, marker="o", markersize=2.4, lw=0.6, **line(name, colors))
    axes.set_xticks(
        places,
        [component_label(label) for label in labels],
        rotation=90,
        fontsize=7 if len(labels) <= 30 else 5.5,
    )
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.set_ylim(top=1.01)
    axes.set_ylabel("multiple correlation R")
    axes.set_xlabel("bispectrum component")
    axes.grid(axis="y", lw=0.4, color="#dddddd")
    legend(figure, sets, colors)
    return figure
