"""A map of the environments of several sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jentmax.report._style import DOUBLE, GREY, panels, set_colors, styled, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def environment_map(
    points: Mapping[str, np.ndarray],
    explained: tuple[float, float],
    colors: Mapping[str, str] | None = None,
    bins: int = 60,
) -> Figure:
    """Environments of each set in the plane of the first two principal components.

    Args:
        points: by name of the set, shapes (n_environments, 2).
        explained: fractions of the variance along the two components, from 0 to 1.
        colors: from `set_colors` for all sets.
        bins: number of bins along each axis; the range holds 99 % of each set along either axis.

    Returns:
        A panel for each set. Darker bins have more environments, on a logarithmic scale; grey
        bins have environments of any set. The title has the number of environments.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.ticker import MaxNLocator

    colors = colors or set_colors(points)
    ends = np.array([np.quantile(some, [5e-3, 0.995], axis=0) for some in points.values()])
    low, high = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
    margin = 0.03 * (high - low) + 1e-9
    edges = np.linspace(low - margin, high + margin, bins + 1).T
    counts = {
        name: np.histogram2d(some[:, 0], some[:, 1], (edges[0], edges[1]))[0]
        for name, some in points.items()
    }
    anywhere = np.ma.masked_equal(sum(counts.values()) > 0, 0)
    columns = 3 if len(points) == 3 or len(points) > 4 else 2
    figure, grid = panels(
        len(points), columns, (DOUBLE / columns, 2.0 + 0.3 * (columns == 2)), True, True
    )
    for (name, count), axes in zip(counts.items(), grid.flat, strict=False):
        pale_to_full = LinearSegmentedColormap.from_list(name, _shades(colors[name]))
        axes.pcolormesh(*edges, anywhere.T, cmap="Greys", vmin=0, vmax=6, rasterized=True)
        axes.pcolormesh(
            *edges,
            np.ma.masked_equal(count, 0).T,
            cmap=pale_to_full,
            norm=LogNorm(1, max(count.max(), 2)),
            rasterized=True,
        )
        axes.xaxis.set_major_locator(MaxNLocator(4))
        title(axes, name, pad=11)
        inside = count.sum() / max(len(points[name]), 1)
        outside = f", {1 - inside:.1%} outside" if inside < 1 else ""
        axes.annotate(
            f"{len(points[name]):,} environments{outside}",
            (0, 1),
            (0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=6.5,
            color=GREY,
        )
    figure.supxlabel(f"first principal component ({explained[0]:.0%} of the variance)", fontsize=8)
    figure.supylabel(f"second ({explained[1]:.0%})", fontsize=8)
    return figure


def _shades(color: str) -> list[tuple[float, ...]]:
    from matplotlib.colors import to_rgb

    full = np.array(to_rgb(color))
    return [tuple(0.55 * full + 0.45), tuple(full), tuple(0.45 * full)]
