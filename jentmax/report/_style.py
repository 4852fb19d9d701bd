"""Common parts of all figures: colours, fonts, widths, legends, files."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy import ndarray

COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"),
    *("#000000", "#332288", "#999933", "#882255", "#117733", "#AA4499"),
)
"""Colours of the sets, which colour-blind readers can distinguish.

They are six of Wong's colours (doi:10.1038/nmeth.1618), then black and five of Paul Tol's "muted"
scheme (SRON/EPS/TN/09-002, sronpersonalpages.nl/~pault)."""

LINES = ("-", "--", ":", "-.")
"""Line styles; they change after every six sets."""

MARKERS = ("o", "s", "^", "D", "v", "P")

SINGLE, DOUBLE = 3.4, 7.0
"""Widths of one and two journal columns, inches."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.1,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "jentmax",
}

GREY = "#666666"

_LETTER = 0.06
"""Upper estimate of the width of a letter in a legend or title, inches."""

_Parameters = ParamSpec("_Parameters")


def set_colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each set, the same in all figures.

    The thirteenth set repeats the first colour, with another line and marker.

    Args:
        names: names of all sets, in a fixed order.
    """
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(dict.fromkeys(names))}


def line(name: str, colors: Mapping[str, str]) -> dict[str, Any]:
    """Colour and line style of a set."""
    return {"color": colors[name], "linestyle": LINES[list(colors).index(name) // 6 % len(LINES)]}


def marker(name: str, colors: Mapping[str, str]) -> dict[str, Any]:
    """Colour and marker of a set."""
    return {"color": colors[name], "marker": MARKERS[list(colors).index(name) % len(MARKERS)]}


def styled(draw: Callable[_Parameters, Figure]) -> Callable[_Parameters, Figure]:
    """Decorator: draw with this module's fonts and lines, independent of the caller's settings."""

    @functools.wraps(draw)
    def drawn(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Figure:
        with _style():
            figure = draw(*args, **kwargs)
            # A second pass is needed if the tick labels change the width of an axis. This also
            # creates the ticks while the style is active.
            layout = figure.get_layout_engine()
            assert layout is not None
            for _ in range(2):
                layout.execute(figure)
            figure.set_layout_engine("none")  # so that equal figures give equal files
        return figure

    return drawn


def panels(
    count: int,
    columns: int,
    panel: tuple[float, float],
    share_x: bool = False,
    share_y: bool = False,
) -> tuple[Figure, ndarray]:
    """A figure of so many panels in rows.

    Args:
        count: of panels.
        columns: largest number of panels side by side.
        panel: width and height of each, inches.
        share_x, share_y: one scale for all panels, with numbers at the outer ones alone.

    Returns:
        The figure, and its axes, shape (rows, columns); axes without a panel are invisible.
    """
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(panel[0] * columns, panel[1] * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes in grid.flat[max(count - columns, 0) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, grid


def legend(figure: Figure, names: Iterable[str], colors: Mapping[str, str]) -> None:
    """One legend for all sets, in reserved space above the panels."""
    from matplotlib.lines import Line2D

    names = list(names)
    figure.legend(
        [Line2D([], [], **line(name, colors)) for name in names],
        [fitting(name, figure.get_figwidth() - 0.45) for name in names],
        loc="outside upper center",
        ncols=legend_columns(figure, names),
        frameon=False,
        handlelength=1.8,
        columnspacing=1.4,
    )


def plain_logarithm(axis: Axis) -> None:
    """Numbers such as 0.01 instead of powers along a logarithmic axis whose limits are set."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    within = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=within))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_columns(figure: Figure, names: Collection[str]) -> int:
    """Largest number of legend columns that fits; the figure grows by the height of the legend."""
    entry = 0.45 + _LETTER * max(map(len, names))
    columns = max(1, min(len(names), int(figure.get_figwidth() / entry)))
    figure.set_figheight(figure.get_figheight() + 0.16 * -(-len(names) // columns))
    return columns


def fitting(text: str, width: float) -> str:
    """The text, without its middle if it is wider than this many inches."""
    letters = int(width / _LETTER)
    if len(text) > letters:
        text = f"{text[: letters // 2]}…{text[-((letters - 1) // 2) :]}"
    return text.replace("$", r"\$")  # matplotlib reads text between two $ as a formula


def title(axes: Axes, text: str, pad: float = 3) -> None:
    """Set a left-aligned title of a panel."""
    room = axes.get_position().width * axes.figure.get_figwidth()  # pyright: ignore
    axes.set_title(fitting(text, room), loc="left", pad=pad)


def save_figure(figure: Figure, folder: str | os.PathLike[str], stem: str) -> tuple[Path, Path]:
    """Write a figure as .png (300 dpi) and .svg (with letters as outlines, for any machine).

    Args:
        figure: of this package, or any other.
        folder: made if it is not there.
        stem: of both files' names.

    Returns:
        The paths of the .png and of the .svg.
    """
    return write_figure((as_png(figure, 300), as_svg(figure)), folder, stem)


def write_figure(
    contents: tuple[bytes, bytes], folder: str | os.PathLike[str], stem: str
) -> tuple[Path, Path]:
    """Write the contents of a .png and of an .svg file; otherwise as `save_figure`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    png, svg = (Path(folder) / f"{stem}.{ending}" for ending in ("png", "svg"))
    for path, content in zip((png, svg), contents, strict=True):
        path.write_bytes(content)
    return png, svg


def as_png(figure: Figure, dpi: float) -> bytes:
    """The content of a figure's .png file."""
    return rendered(figure, format="png", dpi=dpi)


def as_svg(figure: Figure) -> bytes:
    """The content of a figure's .svg file; equal figures give equal bytes."""
    return rendered(figure, format="svg", dpi=300, metadata={"Date": None})


def rendered(figure: Figure, **options: Any) -> bytes:
    """The content of a figure's file; the options are those of matplotlib's ``savefig``."""
    content = io.BytesIO()
    with _style():
        figure.savefig(content, **options)
    return content.getvalue()


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Use matplotlib's defaults with this module's style, ignoring the caller's settings."""
    _load()
    from matplotlib import style

    with style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # The figure shows a box for each missing letter, so no warning is necessary.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _load() -> None:
    """Import matplotlib; the import would fail for an unknown MPLBACKEND, which no figure needs."""
    if "matplotlib" in sys.modules or (backend := os.environ.pop("MPLBACKEND", None)) is None:
        return
    try:
        import matplotlib

        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # for figures of the user's own
    finally:
        os.environ["MPLBACKEND"] = backend
