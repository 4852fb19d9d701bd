"""Settings made for one element -> the same settings for another."""

from __future__ import annotations

import difflib
import math
from typing import Any

from jentmax.config._checking import checked
from jentmax.config._presets import presets
from jentmax.config._samplers import LENGTHS, LangevinSampler
from jentmax.config._section import OwnCode
from jentmax.config.settings import PreliminaryScaling, Settings, as_range
from jentmax.errors import JentmaxError

# ASE lists selenium and tellurium as hcp; they are chains, with bonds a third shorter.
_NOT_AS_LISTED = ("Se", "Te")


def nearest_neighbor_distance(symbol: str) -> float:
    """Distance of nearest neighbours in an element's reference structure, in Å.

    Lattice constants are those of ``ase.data.reference_states``.

    Args:
        symbol: of an element whose reference is bcc, fcc, hcp, sc, diamond or a diatomic molecule.

    Raises:
        JentmaxError: for any other.

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
            f'element "{symbol}" has no known nearest-neighbour distance to scale by; '
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


def scale_to_element(settings: Settings, symbol: str) -> Settings:
    """Settings for another element, with the same dynamics in reduced units.

    Every length is multiplied by the ratio of the nearest-neighbour distances (densities
    accordingly), the force cap divided by it; energies and temperatures stay. Times are multiplied
    by that ratio and by the square root of the ratio of the masses. The new mass is the standard
    one. An output that is a preset's own gets the new element's name.

    Args:
        settings: for one species.
        symbol: of the new element.

    Returns:
        The scaled settings.

    Raises:
        JentmaxError: if there are several species, or no reference structure for an element.
    """
    system, descriptor, repulsion = settings.system, settings.descriptor, settings.repulsion
    if len(system.species) != 1:
        raise JentmaxError(
            f"system.species = {', '.join(system.species)} cannot be scaled to {symbol}; "
            "give settings with one species, or set the lengths yourself"
        )
    for name, section in (("descriptor", descriptor), ("repulsion", repulsion)):
        if isinstance(section, OwnCode):
            raise JentmaxError(
                f'{name}.kind = "{section.kind}" has lengths that are not known, and cannot be '
                f"scaled to {symbol}; name the kind with --set, which comes after scaling"
            )
    assert not isinstance(descriptor, OwnCode)
    assert not isinstance(repulsion, OwnCode)
    (old,) = system.species
    length = nearest_neighbor_distance(symbol) / nearest_neighbor_distance(old)
    new_system = system.model_copy(update={"species": (symbol,), "masses": None})
    time = length * math.sqrt(new_system.atomic_masses()[0] / system.atomic_masses()[0])

    density = tuple(end / length**3 for end in as_range(system.density))
    data = settings.model_dump(exclude_none=True)
    data["run"]["output"] = _output(settings.run.output, old, symbol)
    data["system"].pop("masses", None)
    data["system"] |= {
        "species": [symbol],
        "density": density if isinstance(system.density, tuple) else density[0],
        "start_distance": system.start_distance * length,
    }
    data["descriptor"] |= {
        "cutoff": descriptor.cutoff * length,
        "rmin0": descriptor.rmin0 * length,
        **{
            name: {symbol: table[old]} if table else {}
            for name, table in (("weights", descriptor.weights), ("radii", descriptor.radii))
        },
    }
    (r0,) = repulsion.pair_r0([old])
    data["repulsion"]["r0"] = r0 * length
    if isinstance(settings.sampler, LangevinSampler):
        data["sampler"] |= {
            "timestep": settings.sampler.timestep * time,
            "friction": settings.sampler.friction / time,
            "force_cap": settings.sampler.force_cap / length,
        }
    else:
        data["sampler"] |= {
            name: value * length for name, value in data["sampler"].items() if name in LENGTHS
        }
    if isinstance(settings.scaling, PreliminaryScaling):
        data["scaling"]["timestep"] = settings.scaling.timestep * time
        data["scaling"]["friction"] = settings.scaling.friction / time
    data["potential"]["min_distance"] = settings.potential.min_distance * length
    data["quench"]["step_length"] = settings.quench.step_length * length
    return checked(data, f"settings scaled to {symbol}")


def _output(output: str, old: str, new: str) -> str:
    """A preset's own output, such as tungsten-diverse.h5, named after the new element."""
    from ase.data import atomic_names, atomic_numbers

    if output not in [f"{preset}.h5" for preset in presets()]:
        return output
    old_name, new_name = (atomic_names[atomic_numbers[symbol]].lower() for symbol in (old, new))
    return output.replace(old_name, new_name)
