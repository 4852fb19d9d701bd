"""Figures from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""One per set, told apart by colour-blind readers (doi:10.1038/nmeth.1618)."""


def descriptor_histograms(
    sets: Mapping[str, np.ndarray], labels: Sequence[str], unit: str, bins: int = 60
) -> Figure:
    """Histograms of every feature for several sets.

    Args:
        sets: features by name of the set, shapes (n_environments, n_features), scaled alike.
        labels: of the features.
        unit: of the scaled features, in words.
        bins: of each histogram; the range holds 99.8 % of all values.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(2.4 * columns, 1.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(labels) :]:
        axes.set_visible(False)
    for feature, (label, axes) in enumerate(zip(labels, grid.flat, strict=False)):
        values = {name: features[:, feature] for name, features in sets.items()}
        low, high = np.quantile(np.concatenate(list(values.values())), [1e-3, 0.999])
        edges = np.linspace(float(low), float(high), bins)
        for color, (name, column) in zip(COLORS, values.items(), strict=False):
            axes.hist(column, edges, density=True, histtype="stepfilled", alpha=0.35, color=color)
            axes.hist(column, edges, density=True, histtype="step", label=name, color=color)
        axes.set_xlabel(label)
        axes.set_yticks([])
    for axes in grid[:, 0]:
        axes.set_ylabel("density of atoms")
    figure.supxlabel(unit, fontsize="medium")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(sets), frameon=False)
    return figure


def contact_sheet(sets: Mapping[str, Sequence[Atoms]], colors: Mapping[str, str]) -> Figure:
    """Pictures of structures, one row for each set, periodic images of atoms left out.

    Args:
        sets: structures by name of the set, as many of each.
        colors: of each set's atoms.
    """
    from ase.visualize.plot import plot_atoms
    from matplotlib.figure import Figure

    columns = max(map(len, sets.values()))
    figure = Figure(figsize=(1.9 * columns, 2.6 * len(sets)), layout="constrained")
    grid = figure.subplots(len(sets), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, structures) in zip(grid, sets.items(), strict=True):
        for axes, atoms in zip(row, structures, strict=False):
            plot_atoms(
                atoms,
                axes,
                rotation="-80x,25y,5z",
                radii=0.55,
                colors=[colors[name]] * len(atoms),
                show_unit_cell=2,
            )
        row[0].set_title(name, loc="left", fontsize=11)
    return figure


def coverage_curve(
    n_structures: np.ndarray,
    chosen: np.ndarray,
    random_mean: np.ndarray,
    random_spread: np.ndarray,
    label: str,
) -> Figure:
    """Mean distance to the nearest chosen environment against the number of structures.

    Args:
        n_structures: numbers of structures, shape (n,).
        chosen: mean distances of the chosen structures, in standard deviations, shape (n,).
        random_mean: of structures in random order, the mean of several orders, shape (n,).
        random_spread: their standard deviation, shape (n,).
        label: of the chosen.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.subplots()
    low, high = random_mean - random_spread, random_mean + random_spread
    axes.fill_between(n_structures, low, high, color=COLORS[1], alpha=0.3, linewidth=0)
    axes.plot(n_structures, random_mean, color=COLORS[1], label="random")
    axes.plot(n_structures, chosen, color=COLORS[0], label=label)
    axes.set_xscale("log")
    axes.set_xlabel("structures")
    axes.set_ylabel("mean distance to the nearest chosen\nenvironment (standard deviations)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure
