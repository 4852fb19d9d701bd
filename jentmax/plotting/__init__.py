"""Figures from plain arrays, at the size in which a journal prints them."""

from jentmax.plotting._components import component_label, correlations, descriptor_histograms
from jentmax.plotting._coverage import coverage_curve, distance_distributions, group_coverage
from jentmax.plotting._map import environment_map
from jentmax.plotting._pictures import contact_sheet
from jentmax.plotting._structures import radial_distributions, structure_distributions
from jentmax.plotting._style import COLORS, as_png, as_svg, save, set_colors

__all__ = [
    "COLORS",
    "as_png",
    "as_svg",
    "component_label",
    "contact_sheet",
    "correlations",
    "coverage_curve",
    "descriptor_histograms",
    "distance_distributions",
    "environment_map",
    "group_coverage",
    "radial_distributions",
    "save",
    "set_colors",
    "structure_distributions",
]
