"""The figure of a selection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jentmax.dataset import reason, refuse_existing, writing
from jentmax.errors import JentmaxError
from jentmax.report._coverage import coverage_curve
from jentmax.report._style import rendered

if TYPE_CHECKING:
    from jentmax.evaluation import Selection

_ENDINGS = ("eps", "jpeg", "jpg", "pdf", "png", "ps", "svg", "svgz", "tif", "tiff", "webp")
"""That matplotlib writes without other programs."""


def selection_figure(
    output: str | os.PathLike[str],
    figure: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """The path for the figure of a selection, checked before the selection starts.

    Args:
        output: path of the selection.
        figure: path of the figure; by default that of the output with .png added.
        overwrite: whether the figure may replace a file.

    Raises:
        JentmaxError: the figure must not, or cannot, be written there.
    """
    # The whole name, so that out.extxyz and out.traj have drawings of their own.
    path = Path(f"{Path(output)}.png") if figure is None else Path(figure)
    if path == Path(output):
        raise JentmaxError(f"--figure {path}: is the output's path too; give another one")
    if path.suffix[1:].lower() not in _ENDINGS:
        raise JentmaxError(f"--figure {path}: its ending must be one of {', '.join(_ENDINGS)}")
    refuse_existing(path, overwrite)
    return path


def draw_selection(selection: Selection, path: str | os.PathLike[str]) -> Path:
    """Draw the coverage of all candidates by a selection, compared with random selections.

    Args:
        selection: as `jentmax.evaluation.select` returns it.
        path: of the drawing; its ending is the format. A file there is replaced.

    Returns:
        The drawing's path.

    Raises:
        JentmaxError: it cannot be drawn or written.
    """
    path = Path(path)
    if selection.random_at == "cost":
        spent = 100 * selection.cost / selection.candidate_cost
        label = f"cost of selected structures, N^{selection.cost_exponent:g} (% of all)"
    else:
        spent, label = selection.n_environments, "environments of selected structures"
    # These are as close as a logarithmic axis can show; it has no place for 0.
    places = np.geomspace(spent[spent > 0][0], spent[-1], 60) * (1 - 1e-9)
    some = np.unique(np.searchsorted(spent, places))
    try:
        figure = coverage_curve(
            spent[some],
            label,
            selection.n_structures[some],
            selection.mean[some],
            selection.random_mean[some],
            selection.random_spread[some],
            selection.method,
        )
        content = rendered(figure, format=path.suffix[1:].lower(), dpi=150)
    except Exception as error:  # matplotlib raises many types
        raise JentmaxError(f"{path} cannot be drawn: {reason(error)}") from error
    with writing(path):
        path.write_bytes(content)
    return path
