"""Pictures of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from jentmax.report._style import DOUBLE, GREY, SINGLE, fitting, styled

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR = 5.0
"""Length of the scale bar, Å."""

_WIDEST = 1.75
"""Width of a picture, inches."""

_ROOM = 1.0
"""Space for the scale bar at the left of the pictures, Å."""


@styled
def contact_sheet(sets: Mapping[str, Sequence[Atoms]], colors: Mapping[str, str]) -> Figure:
    """Pictures of structures, one row per set, without periodic images of atoms.

    All pictures of a row have the same scale; the bar at the left is 5 Å long. Atoms have 0.6 of
    their covalent radius and become paler with distance from the viewer.

    Args:
        sets: structures by name of the set.
        colors: color of each set's atoms.
    """
    from matplotlib.figure import Figure

    columns = max(map(len, sets.values()))
    views = {name: [_View(atoms) for atoms in structures] for name, structures in sets.items()}
    extents = {
        name: np.max([view.extent for view in row], axis=0) if row else np.ones(2)
        for name, row in views.items()
    }
    width = min(DOUBLE / columns, _WIDEST)
    heights = [min(width * high / wide, 1.5 * width) + 0.3 for wide, high in extents.values()]
    figure = Figure(figsize=(max(width * columns, SINGLE), sum(heights)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01)  # pyright: ignore
    grid = figure.subplots(
        len(sets), columns, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, shown) in zip(grid, views.items(), strict=True):
        half = extents[name] / 2
        for axes, view in zip(row, shown, strict=False):
            view.draw(axes, colors[name])
            axes.text(
                0.5,
                0,
                view.caption,
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=6.5,
                color=GREY,
            )
        for axes in row:
            axes.set_xlim(-half[0] - _ROOM, half[0])
            axes.set_ylim(-half[1], half[1])
            axes.set_aspect("equal")
        shown_name = fitting(name, figure.get_figwidth() - 1)
        row[0].set_title(f"{shown_name} (bar: {_BAR:g} Å)", loc="left", pad=2)
        left = 0.8 * _ROOM + half[0]
        row[0].plot([-left, -left], [-half[1], -half[1] + _BAR], color="black", lw=1.5)
    return figure


class _View:
    """A side view of a structure, centred at the origin; lengths in Å."""

    def __init__(self, atoms: Atoms) -> None:
        from ase.data import covalent_radii
        from ase.utils import rotate

        atoms = atoms.copy()
        atoms.wrap()  # only along periodic axes
        turn = rotate("-80x,25y,5z")
        corners = np.array(list(product((0, 1), repeat=3))) @ atoms.cell.array
        self.corners = corners @ turn
        self.positions = atoms.positions @ turn
        self.radii = 0.6 * covalent_radii[atoms.numbers]
        self.caption = f"{len(atoms)} atom" + "s" * (len(atoms) != 1)
        low, high = self._bounds()
        self.extent = (high - low)[:2] + 0.2
        self.corners -= (low + high) / 2
        self.positions -= (low + high) / 2

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        radii = self.radii[:, None]
        points = np.concatenate([self.corners, self.positions - radii, self.positions + radii])
        return points.min(axis=0), points.max(axis=0)

    def draw(self, axes: Axes, color: str) -> None:
        from matplotlib.collections import EllipseCollection, LineCollection
        from matplotlib.colors import to_rgb

        edges = [
            (self.corners[a, :2], self.corners[b, :2])
            for a, b in product(range(8), repeat=2)
            if a < b and (a ^ b).bit_count() == 1
        ]
        axes.add_collection(LineCollection(edges, colors=GREY, linewidths=0.5, zorder=1))
        order = np.argsort(self.positions[:, 2])
        depth = self.positions[order, 2]
        pale = 0.65 * (depth[-1] - depth)[:, None] / max(np.ptp(depth), 1e-9)
        axes.add_collection(
            EllipseCollection(
                2 * self.radii[order],
                2 * self.radii[order],
                np.zeros(len(order)),
                units="xy",
                offsets=self.positions[order, :2],
                offset_transform=axes.transData,
                facecolors=pale + (1 - pale) * np.array(to_rgb(color)),
                edgecolors="#333333",
                linewidths=0.4,
                zorder=2,
            )
        )
