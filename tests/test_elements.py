"""Nearest-neighbour distances against ASE's crystals; scaling in reduced units."""

import math

import ase.build
import ase.neighborlist
import numpy as np
import pytest

from jentmax.config import Settings, load, presets, scale_to_element
from jentmax.config.elements import nearest_neighbor_distance
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


def reduced(settings: Settings) -> list[float]:
    """What must not change: lengths, times and forces over the element's own."""
    length = nearest_neighbor_distance(settings.system.species[0])
    time = length * math.sqrt(settings.system.atomic_masses()[0])
    given, sampler = settings.scaling, settings.sampler
    if sampler.kind == "langevin":
        dynamics = [
            sampler.timestep / time,
            sampler.friction * time,
            sampler.force_cap * length,
        ]
    else:
        dynamics = [sampler.step_length / length, sampler.noise / length]
    return [
        *(np.atleast_1d(settings.system.density) * length**3),
        settings.system.start_distance / length,
        settings.descriptor.cutoff / length,
        settings.descriptor.rmin0 / length,
        settings.repulsion.pair_r0(settings.system.species)[0] / length,
        settings.potential.min_distance / length,
        settings.quench.step_length / length,
        given.timestep / time,
        given.friction * time,
        *dynamics,
    ]


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("symbol", ["Fe", "C", "Pb"])
def test_reduced_units_stay(preset, symbol):
    old = load(preset, ["descriptor.rmin0=0.5", "potential.min_distance=2"])
    new = scale_to_element(old, symbol)
    assert new.system.species == (symbol,)
    assert reduced(new) == pytest.approx(reduced(old), rel=1e-12)
    changed = {
        f"{section}.{key}"
        for section, fields in new.model_dump().items()
        for key, value in fields.items()
        if value != old.model_dump()[section][key]
    }
    assert changed <= {
        "run.output",
        "system.species",
        "system.density",
        "system.start_distance",
        "descriptor.cutoff",
        "descriptor.rmin0",
        "repulsion.r0",
        "potential.min_distance",
        "sampler.timestep",
        "sampler.friction",
        "scaling.timestep",
        "scaling.friction",
        "sampler.step_length",
        "sampler.noise",
        "sampler.force_cap",
        "quench.step_length",
    }


def test_iron_by_hand():
    iron = scale_to_element(load("tungsten"), "Fe")
    length = 2.87 / 3.16  # both are bcc
    time = length * math.sqrt(55.845 / 183.84)
    assert iron.descriptor.cutoff == pytest.approx(4.0 * length)
    assert iron.system.density == pytest.approx(39 / (9.54**2 * 14.31) / length**3)
    assert iron.sampler.timestep == pytest.approx(time)
    assert iron.sampler.friction == pytest.approx(100 / time)
    assert iron.sampler.force_cap == pytest.approx(20 / length)


def test_to_the_same_element_nothing_changes():
    assert scale_to_element(load("tungsten-diverse"), "W") == load("tungsten-diverse")


def test_tables_and_masses_follow_the_species():
    overrides = [
        "system.masses=[200.0]",
        "descriptor.weights.W=0.9",
        "descriptor.radii.W=0.4",
        "repulsion.r0={ W = 2.5 }",
    ]
    old = load(None, overrides)
    new = scale_to_element(old, "Fe")
    assert new.system.masses is None
    assert new.descriptor.weights == {"Fe": 0.9}
    assert new.descriptor.radii == {"Fe": 0.4}
    assert reduced(new) == pytest.approx(reduced(old), rel=1e-12)


def test_output_is_renamed_only_where_it_was_the_preset_s():
    assert load("tungsten", element="Fe").run.output == "iron.h5"
    assert load("tungsten-diverse", element="Al").run.output == "aluminium-diverse.h5"
    own = load("tungsten", ["run.output=my-tungsten.h5"])
    assert scale_to_element(own, "Fe").run.output == "my-tungsten.h5"


def test_overrides_are_for_the_new_element():
    overrides = ["descriptor.cutoff=3.5", "run.output=tungsten.h5", "descriptor.weights.Fe=0.9"]
    settings = load("tungsten", overrides, element="Fe")
    assert settings.descriptor.cutoff == 3.5
    assert settings.run.output == "tungsten.h5"
    assert settings.descriptor.weights == {"Fe": 0.9}


def test_several_species_cannot_be_scaled():
    with pytest.raises(JentmaxError, match=r"system\.species = W, Fe.*to Cu; give.*one species"):
        scale_to_element(load(None, ['system.species=["W", "Fe"]']), "Cu")
