"""Settings that are right each for itself, and do not go together."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jentmax.config._estimators import KthNearestNeighborEntropy
from jentmax.config._field_types import as_range
from jentmax.config._section import OwnCode
from jentmax.config._toml import toml_value

if TYPE_CHECKING:  # whose own check calls this
    from jentmax.config.settings import Settings


def conflicts(settings: Settings) -> Iterator[str]:
    """One line for each conflict: field, value, what is allowed, what to do."""
    yield from _species_conflicts(settings)
    yield from _cell_conflicts(settings)
    yield from _cutoff_conflicts(settings)
    yield from _feature_conflicts(settings)
    yield from _entropy_conflicts(settings)
    yield from _potential_conflicts(settings)


def _species_conflicts(settings: Settings) -> Iterator[str]:
    """Lists and tables that do not fit the species."""
    system, species = settings.system, list(settings.system.species)
    for field in ("fractions", "masses"):
        values = getattr(system, field)
        if values is not None and len(values) != len(species):
            yield (
                f"system.{field} = {toml_value(values)} has {len(values)} entries for "
                f"{len(species)} species; give one for each of {', '.join(species)}"
            )
    if system.fractions is not None and abs(sum(system.fractions) - 1) > 1e-6:
        yield (
            f"system.fractions = {toml_value(system.fractions)} sums to "
            f"{sum(system.fractions):.8g}; give fractions that sum to 1"
        )
    tables: dict[str, object] = {}
    if not isinstance(settings.descriptor, OwnCode):
        tables["descriptor.weights"] = settings.descriptor.weights
        tables["descriptor.radii"] = settings.descriptor.radii
    if not isinstance(settings.repulsion, OwnCode):
        tables["repulsion.r0"] = settings.repulsion.r0
    for name, table in tables.items():
        if not isinstance(table, dict):
            continue
        for symbol in sorted(table.keys() - set(species)):
            nearest = difflib.get_close_matches(symbol, species, n=1, cutoff=0.3)
            hint = f"; did you mean {nearest[0]}?" if nearest else ";"
            yield (
                f"{name}.{symbol} = {toml_value(table[symbol])} is for a species that "
                f"system.species does not have{hint} "
                f"remove it, or use only {', '.join(species)}"
            )
        missing = [symbol for symbol in species if symbol not in table]
        if name == "repulsion.r0" and missing:
            yield (
                f"{name} = {toml_value(table)} lacks {', '.join(missing)}; "
                "give one number above 0 for all, or a table with every species"
            )


# Random sequential addition ends at 0.38 in large cells; two or three atoms can come higher.
_LARGEST_PACKING = 0.45


def _cell_conflicts(settings: Settings) -> Iterator[str]:
    """Cells in which no random start has room."""
    system = settings.system
    distance = system.start_distance
    density = as_range(system.density)[1]
    sphere = math.pi / 6 * distance * distance * distance  # a power would raise where this is inf
    packing = density * sphere
    if packing > _LARGEST_PACKING:
        least_distance = (_LARGEST_PACKING * 6 / (math.pi * density)) ** (1 / 3)
        yield (
            f"system.density = {toml_value(system.density)} has no room for atoms "
            f"system.start_distance = {distance:g} Å apart: spheres of that diameter would fill "
            f"{packing:.2f} of the cell, at most {_LARGEST_PACKING} is allowed; give a density of "
            f"at most {_LARGEST_PACKING / sphere:.3g} atoms/Å^3 or a "
            f"start_distance of at most {least_distance:.3g} Å"
        )
    volume = min(system.atom_counts()) / density
    flattest, tallest = as_range(system.aspect_ratio)
    shortest = min((volume / tallest) ** (1 / 3), (volume * flattest * flattest) ** (1 / 3))
    if distance > shortest:
        yield (
            f"system.start_distance = {distance:g} Å is more than the shortest side of the cell, "
            f"{shortest:.3g} Å at system.aspect_ratio = {toml_value(system.aspect_ratio)} and "
            f"system.n_atoms = {toml_value(system.n_atoms)}; give a smaller start_distance, an "
            "aspect_ratio nearer to 1 or more atoms"
        )


MOST_NEIGHBORS = 2000
"""Neighbours that an atom may have: more take all memory, and no potential wants them."""


def _cutoff_conflicts(settings: Settings) -> Iterator[str]:
    """Cutoffs that take in far too many of the cell's atoms and their periodic images."""
    density = as_range(settings.system.density)[1]
    descriptor, repulsion = settings.descriptor, settings.repulsion
    factors: dict[str, tuple[float, float]] = {}
    if isinstance(descriptor, OwnCode):
        factors |= _own_cutoff("descriptor", descriptor)
    else:
        radii = descriptor.pair_radii(settings.system.species)
        factors["descriptor.cutoff"] = descriptor.cutoff, 2 * max(radii)
    if isinstance(repulsion, OwnCode):
        factors |= _own_cutoff("repulsion", repulsion)
    else:
        r0 = repulsion.r0
        length = max(r0.values()) if isinstance(r0, dict) else r0
        factors["repulsion.r0"] = length, repulsion.cutoff_ratio
    for name, (length, factor) in factors.items():
        reach = length * factor
        neighbors = density * 4 / 3 * math.pi * reach * reach * reach  # a power would raise
        if neighbors > MOST_NEIGHBORS:
            allowed = (MOST_NEIGHBORS / (density * 4 / 3 * math.pi)) ** (1 / 3) / factor
            yield (
                f"{name} = {length:g} Å is impossible for the cell: within {reach:g} Å an atom "
                f"would have about {neighbors:.3g} neighbours at system.density = "
                f"{toml_value(settings.system.density)}, at most {MOST_NEIGHBORS} are allowed; "
                f"give at most {allowed:.3g} Å, or a lower density"
            )


def _own_cutoff(section: str, own: OwnCode) -> dict[str, tuple[float, float]]:
    cutoff = own.given.get("cutoff")
    return {f"{section}.cutoff": (cutoff, 1)} if isinstance(cutoff, int | float) else {}


def _feature_conflicts(settings: Settings) -> Iterator[str]:
    """Descriptor settings that do not fit each other or the scaling."""
    descriptor, species = settings.descriptor, settings.system.species
    if isinstance(descriptor, OwnCode):
        return
    available = descriptor.n_available(len(species))
    pair_cutoff = 2 * descriptor.cutoff * min(descriptor.pair_radii(species))
    if descriptor.rmin0 >= pair_cutoff:
        yield (
            f"descriptor.rmin0 = {descriptor.rmin0:g} Å is not below the least pair cutoff, "
            f"{pair_cutoff:g} Å; give a smaller rmin0 or a larger cutoff"
        )
    if descriptor.components != "all" and descriptor.components > available:
        triples = " and every triple of species" if descriptor.chemflag else ""
        yield (
            f"descriptor.components = {descriptor.components} is more than the {available} that "
            f"twojmax = {descriptor.twojmax}{triples} has; give 1 to {available}, or a larger "
            "twojmax"
        )
        return
    n_features = available if descriptor.components == "all" else descriptor.components
    if settings.scaling.kind == "given" and len(settings.scaling.scale) != n_features:
        yield (
            f"scaling.scale = {toml_value(settings.scaling.scale)} has "
            f"{len(settings.scaling.scale)} entries for {n_features} components; "
            "give one number above 0 per component"
        )


def _entropy_conflicts(settings: Settings) -> Iterator[str]:
    """A neighbour that the smallest cell does not have."""
    entropy, fewest = settings.entropy, min(settings.system.atom_counts())
    if isinstance(entropy, KthNearestNeighborEntropy) and entropy.k >= fewest:
        yield (
            f"entropy.k = {entropy.k} is not below the smallest system.n_atoms, {fewest}; "
            f"give 1 to {fewest - 1}, or more atoms"
        )


def _potential_conflicts(settings: Settings) -> Iterator[str]:
    """A K to be found without what it is to be found by."""
    potential = settings.potential
    if potential.entropy_weight == "auto" and not potential.min_distance:
        yield (
            'potential.entropy_weight = "auto" is the largest at which atoms keep '
            "potential.min_distance = 0 Å, and that is none; give a min_distance above 0, for "
            "tungsten about 2.0"
        )
