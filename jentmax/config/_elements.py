"""Scale settings for one element to another element."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

from jentmax.config._build import check_tree, plain_of
from jentmax.config._load_code import is_own
from jentmax.config._presets import presets
from jentmax.config._tables import Part
from jentmax.errors import JentmaxError
from jentmax.fields import Field, shown

# ASE lists selenium and tellurium as hcp; in fact they form chains with bonds a third shorter.
_NOT_AS_LISTED = ("Se", "Te")


def nearest_neighbor_distance(symbol: str) -> float:
    """Nearest-neighbour distance in an element's reference structure, in Å.

    The lattice constants are from ``ase.data.reference_states``.

    Args:
        symbol: an element whose reference is bcc, fcc, hcp, sc, diamond or a diatomic molecule.

    Raises:
        JentmaxError: the element has another reference structure, or none.

    >>> round(nearest_neighbor_distance("W"), 3)
    2.737
    """
    from ase.data import chemical_symbols, reference_states

    states = dict(zip(chemical_symbols, reference_states, strict=False))
    distances = {name: _distance(states[name] or {}) for name in states}
    for name in _NOT_AS_LISTED:
        distances[name] = None
    distance = distances.get(symbol)
    if distance is None:
        known = [name for name, known_distance in distances.items() if known_distance is not None]
        nearest = difflib.get_close_matches(symbol.capitalize(), known, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest and symbol not in states else ""
        raise JentmaxError(
            f'element "{symbol}" has no known nearest-neighbour distance for scaling; '
            f"{hint}give one of {', '.join(known)}, or set the lengths yourself"
        )
    return distance


def _distance(state: dict[str, Any]) -> float | None:
    match state.get("symmetry"):
        case "bcc":
            return math.sqrt(3) / 2 * state["a"]
        case "fcc":
            return state["a"] / math.sqrt(2)
        case "hcp":
            a = state["a"]
            return min(a, math.sqrt(a**2 / 3 + (a * state["c/a"]) ** 2 / 4))
        case "diamond":
            return math.sqrt(3) / 4 * state["a"]
        case "sc":
            return state["a"]
        case "diatom":
            return state["d"]
    return None


def scale_to_element(
    tree: Mapping[str, Any], symbol: str, label: str = "settings"
) -> dict[str, Any]:
    """A complete tree for another element, with the same dynamics in reduced units.

    The unit of a field, the first word of its meaning, determines its factor. Lengths scale with
    the ratio of the nearest-neighbour distances (densities and the force cap accordingly), times
    with that ratio and the square root of the mass ratio. Energies and temperatures do not change.
    The new mass is the standard atomic mass.

    Args:
        tree: a user's tree for one element.
        symbol: the new element.
        label: name of the tree in messages.

    Raises:
        JentmaxError: the tree has problems, has several elements, or uses a user's descriptor or
            repulsion; or an element has no reference structure.
    """
    checked = check_tree(tree, lambda field: True, label)
    plain = plain_of(checked)
    old = _element_of(plain["start"], symbol)
    for name in ("descriptor", "repulsion"):
        if is_own(kind := plain[name]["kind"]):
            raise JentmaxError(
                f'{name}.kind = "{kind}" cannot be scaled to {symbol}, because its lengths are '
                "unknown; set the kind with --set, which applies after scaling"
            )
    length = nearest_neighbor_distance(symbol) / nearest_neighbor_distance(old)
    time = length * math.sqrt(_mass(symbol) / plain["start"]["masses"].get(old, _mass(old)))
    factors = {
        "Å": length,
        "Å/sqrt(eV)": length,
        "atoms/Å^3": 1 / length**3,
        "eV/Å": 1 / length,
        "fs": time,
        "1/ps": 1 / time,
    }
    plain["start"]["masses"] = {}
    scaled = _scaled(plain, checked.fields, factors)
    for name, part in checked.parts.items():
        if isinstance(part, Part):
            table = _scaled(plain[name], part.fields, factors)
            scaled[name] = {key: _renamed(value, old, symbol) for key, value in table.items()}
    formulas = scaled["start"]["formula"]
    scaled["start"]["formula"] = (
        _formula(formulas, symbol)
        if isinstance(formulas, str)
        else [_formula(formula, symbol) for formula in formulas]
    )
    return scaled


def scaled_output(run: Mapping[str, Any], tree: Mapping[str, Any], symbol: str) -> dict[str, Any]:
    """The [run] table; a preset's default output file gets the name of the new element.

    Args:
        run: the table.
        tree: the tree before scaling.
        symbol: the new element.
    """
    from ase.data import atomic_names, atomic_numbers

    output = run.get("output")
    if output not in [f"{preset}.h5" for preset in presets()]:
        return dict(run)
    old = _element_of(tree["start"], symbol)
    old_name, new_name = (atomic_names[atomic_numbers[name]].lower() for name in (old, symbol))
    return {**run, "output": output.replace(old_name, new_name)}


def _element_of(start: Mapping[str, Any], symbol: str) -> str:
    """The element of the formulas, which must have only one."""
    from ase.formula import Formula

    formulas = start.get("formula", [])
    formulas = [formulas] if isinstance(formulas, str) else formulas
    found = sorted({name for formula in formulas for name in Formula(formula).count()})
    if len(found) != 1:
        raise JentmaxError(
            f"start.formula = {shown(start.get('formula'))} cannot be scaled to {symbol}; give "
            "formulas with a single element, or set the lengths yourself"
        )
    return found[0]


def _formula(formula: str, symbol: str) -> str:
    from ase.formula import Formula

    return f"{symbol}{sum(Formula(formula).count().values())}"


def _mass(symbol: str) -> float:
    from ase.data import atomic_masses, atomic_numbers

    return float(atomic_masses[atomic_numbers[symbol]])


def _scaled(
    table: Mapping[str, Any], fields: Mapping[str, Field], factors: Mapping[str, float]
) -> dict[str, Any]:
    """A table with its numbers scaled according to their units."""
    return {
        key: _times(value, factors[unit])
        if key in fields and (unit := re.split("[,; ]", fields[key].meaning)[0]) in factors
        else value
        for key, value in table.items()
    }


def _times(value: Any, factor: float) -> Any:
    """A number, or all numbers in lists and tables, times a factor."""
    if isinstance(value, Mapping):
        return {key: _times(entry, factor) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_times(entry, factor) for entry in value]
    return value * factor if isinstance(value, int | float) else value


def _renamed(value: Any, old: str, new: str) -> Any:
    """A table or list by element, with the old element renamed."""
    if isinstance(value, Mapping):
        return {new if key == old else key: entry for key, entry in value.items()}
    return [new] if value == [old] else value
