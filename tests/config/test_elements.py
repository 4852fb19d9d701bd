"""Nearest-neighbour distances against ASE's crystals; scaling in reduced units."""

import math

import ase.build
import ase.neighborlist
import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers

from jentmax.config import complete, load, presets, recipe, scale_to_element
from jentmax.config._elements import nearest_neighbor_distance
from jentmax.errors import JentmaxError


@pytest.mark.parametrize("symbol", ["W", "Fe", "Cu", "Al", "Ti", "Mg", "Zn", "Si", "C", "Po"])
def test_distance_is_that_in_the_crystal(symbol):
    distances = ase.neighborlist.neighbor_list("d", ase.build.bulk(symbol), 6.0)
    # The same constants, another way: rounding alone differs.
    assert nearest_neighbor_distance(symbol) == pytest.approx(distances.min(), rel=1e-12)


def test_distance_of_a_molecule():
    assert nearest_neighbor_distance("N") == pytest.approx(1.10)


@pytest.mark.parametrize("symbol", ["Hg", "He", "Mn", "Pm", "Se", "X", "Xx", "fe"])
def test_an_element_without_a_distance_lists_those_that_have_one(symbol):
    with pytest.raises(JentmaxError, match=f'element "{symbol}"') as raised:
        load(element=symbol)
    listed = str(raised.value).split("give one of ")[1].split(", or ")[0].split(", ")
    assert {"W", "Fe", "Si", "Ti", "Po", "N"} <= set(listed)
    assert symbol not in listed
    for name in listed:
        assert nearest_neighbor_distance(name) > 0
    assert ("did you mean Fe?" in str(raised.value)) == (symbol == "fe")


def tree(source=None, overrides=(), element=None):
    return complete(load(source, overrides, element)[0])


def element_of(tree):
    return tree["start"]["formula"].rstrip("0123456789")


def reduced(tree) -> list[float]:
    """What must not change: lengths, times and forces over the element's own."""
    symbol = element_of(tree)
    length = nearest_neighbor_distance(symbol)
    mass = tree["start"]["masses"].get(symbol, atomic_masses[atomic_numbers[symbol]])
    time = length * math.sqrt(mass)
    sampler, fit, quench = tree["sampler"], tree["scale"], tree["quench"]
    if sampler["kind"] == "langevin":
        dynamics = [
            sampler["timestep"] / time,
            sampler["friction"] * time,
            float(sampler["force_cap"]) * length,
        ]
    else:
        dynamics = [sampler["step_length"] / length, sampler["noise"] / length]
    r0 = tree["repulsion"]["r0"]
    return [
        *(np.atleast_1d(tree["start"]["density"]) * length**3),
        tree["start"]["least_distance"] / length,
        tree["descriptor"]["cutoff"] / length,
        tree["descriptor"]["rmin0"] / length,
        (r0[symbol] if isinstance(r0, dict) else r0) / length,
        tree["min_distance"] / length,
        fit["timestep"] / time,
        fit["friction"] * time,
        *dynamics,
        *([quench["step_length"] / length] if quench else []),
    ]


def changes(one, other, prefix=""):
    for key in one:
        if isinstance(one[key], dict):
            yield from changes(one[key], other[key], f"{prefix}{key}.")
        elif one[key] != other[key]:
            yield f"{prefix}{key}"


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("symbol", ["Fe", "C", "Pb"])
def test_reduced_units_stay(preset, symbol):
    old = tree(preset, ["descriptor.rmin0=0.5", "min_distance=2"])
    new = scale_to_element(old, symbol)
    assert new["start"]["formula"] == f"{symbol}39"
    assert reduced(new) == pytest.approx(reduced(old), rel=1e-12)
    assert set(changes(old, new)) <= {
        "start.formula",
        "start.density",
        "start.least_distance",
        "descriptor.cutoff",
        "descriptor.rmin0",
        "repulsion.r0",
        "min_distance",
        "sampler.timestep",
        "sampler.friction",
        "scale.timestep",
        "scale.friction",
        "sampler.step_length",
        "sampler.noise",
        "sampler.force_cap",
        "quench.step_length",
    }


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [
        ("fire", ["timestep", "largest_timestep", "largest_step"]),
        ("basin-hopping", ["displacement", "step_length"]),
    ],
)
def test_other_descents(kind, lengths):
    old = tree(None, [f"sampler.kind={kind}"])
    new = scale_to_element(old, "Fe")
    assert set(changes(old["sampler"], new["sampler"])) == set(lengths)
    for name in lengths:
        assert new["sampler"][name] == pytest.approx(old["sampler"][name] * 2.87 / 3.16)


def test_iron_by_hand():
    iron = recipe("tungsten", element="Fe")
    length = 2.87 / 3.16  # both are bcc
    time = length * math.sqrt(55.845 / 183.84)
    assert iron.potential.descriptor.cutoff == pytest.approx(4.0 * length)
    assert iron.start.density == pytest.approx(39 / (9.54**2 * 14.31) / length**3)
    assert iron.sampler.timestep == pytest.approx(time)
    assert iron.sampler.friction == pytest.approx(100 / time)
    assert iron.sampler.force_cap == pytest.approx(20 / length)


def test_to_the_same_element_nothing_changes():
    assert scale_to_element(tree("tungsten-diverse"), "W") == tree("tungsten-diverse")


def test_tables_and_masses_follow_the_element():
    overrides = [
        "start.masses={ W = 200.0 }",
        "descriptor.weights.W=0.9",
        "descriptor.radii.W=0.4",
        'descriptor.elements=["W"]',
        "repulsion.r0={ W = 2.5 }",
        'start.formula=["W4", "W8"]',
    ]
    old = tree(None, overrides)
    new = scale_to_element(old, "Fe")
    assert new["start"]["masses"] == {}
    assert new["start"]["formula"] == ["Fe4", "Fe8"]
    assert new["descriptor"]["weights"] == {"Fe": 0.9}
    assert new["descriptor"]["radii"] == {"Fe": 0.4}
    assert new["descriptor"]["elements"] == ["Fe"]
    old["start"]["formula"], new["start"]["formula"] = "W4", "Fe4"
    assert reduced(new) == pytest.approx(reduced(old), rel=1e-12)


def test_output_is_renamed_only_if_it_is_the_preset_s(tmp_path):
    assert load("tungsten", element="Fe")[1].output == "iron.h5"
    assert load("tungsten-diverse", element="Al")[1].output == "aluminium-diverse.h5"
    file = tmp_path / "run.toml"
    file.write_text('[run]\noutput = "my-tungsten.h5"\n')
    assert load(file, element="Fe")[1].output == "my-tungsten.h5"


def test_overrides_are_for_the_new_element():
    overrides = ["descriptor.cutoff=3.5", "run.output=tungsten.h5", "descriptor.weights.Fe=0.9"]
    scaled, options = load("tungsten", overrides, element="Fe")
    assert scaled["descriptor"]["cutoff"] == 3.5
    assert options.output == "tungsten.h5"
    assert scaled["descriptor"]["weights"] == {"Fe": 0.9}


@pytest.mark.parametrize("formula", ['"W4Fe4"', '["W4", "Fe4"]'])
def test_several_elements_cannot_be_scaled(formula, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(f"[start]\nformula = {formula}\n")
    with pytest.raises(JentmaxError, match=r"start\.formula = .*to Cu; give formulas with a"):
        load(file, element="Cu")


def test_problems_come_before_scaling(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[start]\nformula = 3\n[sampler]\ntimestep = 'x'\n")
    with pytest.raises(JentmaxError, match=r"2 problems"):
        load(file, element="Cu")
