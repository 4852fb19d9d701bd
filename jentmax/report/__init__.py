"""Figures, tables, and reports in one HTML file.

Figures take plain arrays, have the size of journal figures, and do not depend on matplotlib's
settings. `write_evaluation` writes a whole `jentmax.evaluation.Evaluation`.
"""

from jentmax.report._components import component_label, correlations, descriptor_histograms
from jentmax.report._coverage import coverage_curve, distance_distributions, group_coverage
from jentmax.report._evaluation_figures import Drawing, figures
from jentmax.report._html import Exemplar, Picture, Section, TextTable, write_report
from jentmax.report._map import environment_map
from jentmax.report._pictures import contact_sheet
from jentmax.report._selection import draw_selection, selection_figure
from jentmax.report._structures import radial_distributions, structure_distributions
from jentmax.report._style import (
    COLORS,
    DOUBLE,
    SINGLE,
    as_png,
    as_svg,
    legend,
    line,
    marker,
    plain_logarithm,
    save_figure,
    set_colors,
    styled,
)
from jentmax.report._tables import Table, as_csv, as_markdown, tables
from jentmax.report._write import refuse_folder, write_evaluation

__all__ = [
    "COLORS",
    "DOUBLE",
    "SINGLE",
    "Drawing",
    "Exemplar",
    "Picture",
    "Section",
    "Table",
    "TextTable",
    "as_csv",
    "as_markdown",
    "as_png",
    "as_svg",
    "component_label",
    "contact_sheet",
    "correlations",
    "coverage_curve",
    "descriptor_histograms",
    "distance_distributions",
    "draw_selection",
    "environment_map",
    "figures",
    "group_coverage",
    "legend",
    "line",
    "marker",
    "plain_logarithm",
    "radial_distributions",
    "refuse_folder",
    "save_figure",
    "selection_figure",
    "set_colors",
    "structure_distributions",
    "styled",
    "tables",
    "write_evaluation",
    "write_report",
]
