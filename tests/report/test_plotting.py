"""Figures: what is drawn for which set, and the files."""

import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from typing import Any

import ase.build
import matplotlib
import matplotlib.colors
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.typing import RcKeyType
from PIL import Image

from jentmax import report

NAMES = ["unbiased", "biased", "hand-crafted"]
EIGHT = [f"set {number}" for number in range(8)]
LONG = [
    f"{number}_radiation_damage_without_the_short_range_structures.extxyz" for number in range(4)
]
LABELS = ["000", "101", "112", "202", "213", "222"]


def features(names, n_features=6):
    random = np.random.default_rng(0)
    widths = dict(zip(names, np.geomspace(0.05, 20, len(names)), strict=True))
    return {name: random.normal(0, width, (300, n_features)) for name, width in widths.items()}


def distances(names):
    return {
        (train, test): np.abs(values[:, 0])
        for train in names
        for test, values in features(names).items()
    }


def seen(figure: Figure):
    return [axes for axes in figure.axes if axes.axison]


def hexes(artists):
    return [matplotlib.colors.to_hex(artist.get_edgecolor()).upper() for artist in artists]


def steps(axes):
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


def legend_names(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def every_figure(names):
    sets = features(names)
    colors = report.set_colors(names)
    radii = np.linspace(0, 6, 50)
    yield report.descriptor_histograms(sets, LABELS, "standard deviations")
    yield report.distance_distributions(distances(names))
    yield report.radial_distributions(dict.fromkeys(names, (radii, radii)))
    yield report.structure_distributions({"S (nats)": {n: v[:, 0] for n, v in sets.items()}})
    yield report.environment_map({n: v[:, :2] for n, v in sets.items()}, (0.6, 0.2))
    yield report.correlations(LABELS, {name: np.linspace(0, 1, 6) for name in names})
    yield report.group_coverage(["a", "b"], {n: np.ones(2) for n in names}, np.array([3, 4]))
    yield report.contact_sheet({name: [ase.build.bulk("W")] for name in names}, colors)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(NAMES[:1], id="one"),
        pytest.param(NAMES, id="three", marks=pytest.mark.slow),
        pytest.param(EIGHT, id="eight", marks=pytest.mark.slow),
        pytest.param(LONG, id="long"),
    ],
)
def test_every_figure_fits_a_page(names):
    for figure in every_figure(names):
        width, _ = figure.get_size_inches()
        assert width <= 7
        boxes = [box for axes in seen(figure) if (box := axes.get_tightbbox()) is not None]
        assert len(boxes) == len(seen(figure))
        boxes += [part.get_window_extent() for part in [*figure.texts, *figure.legends]]
        slack = 0.01 * figure.dpi  # a hundredth of an inch, which no one sees
        for box in boxes:
            assert box.x0 >= -slack
            assert box.y0 >= -slack
            assert box.x1 <= figure.bbox.width + slack
            assert box.y1 <= figure.bbox.height + slack


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(NAMES, id="three"),
        pytest.param(EIGHT, id="eight", marks=pytest.mark.slow),
    ],
)
def test_labels_can_be_read(names):
    for figure in every_figure(names):
        for axes in seen(figure):
            for text in [*axes.get_xticklabels(), axes.xaxis.label, axes.title]:
                assert 5.5 <= float(text.get_fontsize()) <= 9


def test_a_set_has_one_color_everywhere():
    colors = report.set_colors(NAMES)
    assert list(colors) == NAMES
    few = NAMES[1:]
    histograms = report.descriptor_histograms(features(few), LABELS, "", colors=colors)
    nearest = report.distance_distributions(distances(few), colors)
    for figure in (histograms, nearest):
        assert hexes(steps(figure.axes[0])) == [colors[name].upper() for name in few]
    lines = report.correlations(LABELS, {name: np.ones(6) for name in few}, colors).axes[0].lines
    assert [line.get_color() for line in lines] == [colors[name] for name in few]


def test_sets_beyond_the_colors_have_other_lines():
    many = [f"set {number}" for number in range(20)]
    colors = report.set_colors(many)
    axes = report.correlations(LABELS, {name: np.ones(6) for name in many}, colors).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == len(many)
    assert len(set(list(colors.values())[:12])) == 12


def test_histograms_hold_their_share():
    """The area under a histogram is the share of the values that its range holds."""
    sets = features(NAMES)
    figure = report.descriptor_histograms(sets, LABELS, "standard deviations")
    assert len(seen(figure)) == 6
    assert legend_names(figure) == NAMES
    for patch, values in zip(steps(figure.axes[2]), sets.values(), strict=True):
        density, edges, _ = patch.get_data()
        inside = np.mean((values[:, 2] >= edges[0]) & (values[:, 2] <= edges[-1]))
        assert np.sum(density * np.diff(edges)) == pytest.approx(inside)
        # the ends are quantiles: of 300 values at most one lies beyond each
        assert inside >= 1 - 2 / 300


def test_further_components_fill_one_page():
    labels = ["".join(map(str, (a, b, c))) for a in range(7) for b in range(7) for c in range(1)]
    figure = report.descriptor_histograms(features(NAMES, 49), labels, "standard deviations")
    assert len(seen(figure)) == 49
    assert figure.get_figheight() <= 9
    assert figure.axes[8].get_title() == "B(½, ½, 0)"


@pytest.mark.parametrize(
    ("label", "shown"),
    [("000", "B(0, 0, 0)"), ("312", "B(3/2, ½, 1)"), ("radial 3", "radial 3"), ("1101", "1101")],
)
def test_component_labels(label, shown):
    assert report.component_label(label) == shown


def test_equal_values_and_nan_among_features():
    sets = {"same": np.zeros((5, 2)), "gaps": np.array([[0.0, np.nan], [np.nan, np.nan]])}
    figure = report.descriptor_histograms(sets, ["000", "101"], "")
    density, edges, _ = steps(figure.axes[0])[1].get_data()
    assert np.sum(density * np.diff(edges)) == pytest.approx(1)


def test_distances_a_panel_for_each_training_set():
    given = distances(NAMES)
    del given["biased", "unbiased"]
    given["unbiased", "biased"] = np.array([0, 1e-9, 2, 2, np.nan, np.inf])
    figure = report.distance_distributions(given)
    assert [axes.get_title(loc="left") for axes in seen(figure)] == [
        f"training set: {name}" for name in NAMES
    ]
    assert [len(steps(axes)) for axes in seen(figure)] == [3, 2, 3]
    assert legend_names(figure) == NAMES
    density, edges, _ = steps(figure.axes[0])[1].get_data()
    share = np.nan_to_num(density) * np.diff(np.log10(edges))
    assert share[0] == pytest.approx(0.5)  # 0 and 1e-9, of four finite ones
    assert share.sum() == pytest.approx(1)
    axis = figure.axes[2].xaxis
    numbers = dict(zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True))
    assert numbers[0.001].get_text() == "≤0.001"
    assert numbers[0.01].get_text() == "0.01"


def test_structure_distributions_leave_out_nan():
    values = {"whole": np.array([1.0, 2, 2, 3]), "gaps": np.array([np.nan, 2]), "none": [np.nan]}
    values = {name: np.asarray(some, dtype=float) for name, some in values.items()}
    figure = report.structure_distributions({"neighbours": values, "S (nats)": values})
    assert [axes.get_xlabel() for axes in seen(figure)] == ["neighbours", "S (nats)"]
    whole, gaps = steps(figure.axes[0])
    ticks = figure.axes[0].xaxis.get_majorticklocs()
    assert np.array_equal(ticks, np.rint(ticks))
    heights, edges, baseline = whole.get_data()
    assert edges.tolist() == [0.5, 1.5, 2.5, 3.5]  # whole numbers: a bin each
    up = baseline - heights
    assert (up / up.max()).tolist() == [0.5, 1, 0.5]
    heights, _, baseline = gaps.get_data()
    assert np.count_nonzero(baseline - heights) == 1
    assert "no data" in [text.get_text() for text in figure.axes[0].texts]


def test_no_radial_distribution():
    """Of structures without periods there is none; the panel says so."""
    radii = np.linspace(0, 6, 50)
    sets = {"crystals": (radii, radii), "clusters": (radii, np.full(50, np.nan))}
    figure = report.radial_distributions(sets)
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [[], ["no data"]]


def test_dollars_are_no_formulas(tmp_path):
    """Two of them in a name: matplotlib would take what is between for a formula, and refuse it."""
    names = ["a $^$", "b $\\frac$"]
    for figure in every_figure(names):
        report.as_svg(figure)
    histograms = report.descriptor_histograms(features(names), LABELS, f"deviations of {names[0]}")
    report.as_svg(histograms)
    groups = report.group_coverage(names, {"train": np.ones(2)}, np.array([1, 2]))
    report.as_svg(groups)


def test_letters_that_the_font_lacks_are_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in every_figure(["漢字"]):
            report.as_svg(figure)


def test_map_counts_every_environment():
    points = {name: values[:, :2] for name, values in features(NAMES).items()}
    figure = report.environment_map(points, (0.613, 0.2))
    assert figure.get_supxlabel() == "first principal component (61% of the variance)"
    for axes, name in zip(seen(figure), NAMES, strict=True):
        union, own = axes.collections
        union, own = (np.ma.filled(one.get_array(), 0) for one in (union, own))
        assert 0.98 * 300 <= own.sum() <= 300
        assert (union > 0)[own > 0].all()
        assert axes.get_title(loc="left") == name


def test_groups_worst_first():
    far = {"train": np.array([0.1, np.nan, 3.0, 0.0]), "other": np.array([1.0, 2, 3, 4])}
    figure = report.group_coverage(list("abcd"), far, np.array([1, 20, 3000, 4]))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "a", "d", "b"]
    low, high = axes.get_ylim()
    assert low > high  # the first row stands at the top
    counts = [text.get_text() for text in axes.texts]
    assert counts[:4] == ["3,000", "1", "4", "20"]
    assert np.asarray(axes.lines[0].get_xdata())[:3].tolist() == [3.0, 0.1, 0.001]
    assert np.asarray(axes.lines[1].get_xdata()).tolist() == [3, 1, 4, 2]


def test_coverage_curve():
    sizes = np.array([1, 10, 100])
    curves = (1 / sizes, 2 / sizes, 3 / sizes)
    figure = report.coverage_curve(30 * sizes, "atoms", sizes, *curves, "farthest first")
    axes = figure.axes[0]
    mean, chosen = axes.lines
    assert np.array_equal(chosen.get_ydata(), 1 / sizes)
    assert np.array_equal(mean.get_ydata(), 2 / sizes)
    assert np.array_equal(chosen.get_xdata(), 30 * sizes)
    assert axes.get_xlabel() == "atoms"
    (above,) = axes.child_axes
    assert above.get_xticks().tolist() == [30, 300, 3000]
    assert [text.get_text() for text in above.get_xticklabels()] == ["1", "10", "100"]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "farthest first"
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_contact_sheet_has_one_scale_for_a_row():
    small, large = ase.build.bulk("W", cubic=True), ase.build.bulk("W", cubic=True) * (3, 3, 3)
    sets = {"mixed": [small, large], "small": [small]}
    figure = report.contact_sheet(sets, report.set_colors(sets))
    scale = [
        (axes.get_window_extent().width / np.ptp(axes.get_xlim())).round(3) for axes in figure.axes
    ]
    assert scale[0] == scale[1]
    assert scale[2] > scale[0]
    atoms = [
        sum(len(np.asarray(c.get_offsets())) for c in axes.collections[1:]) for axes in figure.axes
    ]
    assert atoms == [2, 54, 2, 0]
    # 0.6 of tungsten's covalent radius, 1.62 Å (doi:10.1039/b801115j)
    circles = figure.axes[0].collections[1]
    assert isinstance(circles, EllipseCollection)
    assert circles.get_widths() == pytest.approx(2 * 0.6 * 1.62)


def test_a_pair_of_files(tmp_path):
    figure = report.correlations(LABELS, {"a": np.ones(6)})
    png, svg = report.save_figure(figure, tmp_path / "new" / "folder", "name")
    assert sorted(path.name for path in png.parent.iterdir()) == ["name.png", "name.svg"]
    with Image.open(png) as image:
        assert image.size == (2100, round(figure.get_figheight() * 300))
    root = ElementTree.parse(svg).getroot()
    assert root.tag.endswith("svg")
    assert b"<text" not in svg.read_bytes()  # letters as outlines
    before = svg.read_bytes()
    assert report.save_figure(figure, tmp_path, "again")[1].read_bytes() == before


def test_no_jax_and_no_pyplot():
    code = (
        "import sys, numpy as np; import jentmax.report as p;"
        "p.correlations(['000'], {'a': np.ones(1)});"
        "print([m for m in ('jax', 'matplotlib.pyplot') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_callers_style_has_no_influence():
    values = {"a": np.ones(6)}
    expected = report.as_svg(report.correlations(LABELS, values))
    given: dict[RcKeyType, Any] = {
        "axes.facecolor": "black",
        "axes.grid": True,
        "font.family": "serif",
        "lines.linewidth": 5,
    }
    with matplotlib.rc_context(given):
        assert report.as_svg(report.correlations(LABELS, values)) == expected
        assert matplotlib.rcParams["axes.facecolor"] == "black"
