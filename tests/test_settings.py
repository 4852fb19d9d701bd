"""Fields, ranges and cross-checks; every message names field, value and what is allowed."""

import pytest
from pydantic import BaseModel, ValidationError

from jentmax.build import n_features
from jentmax.config import load
from jentmax.config._field_types import Allowed
from jentmax.config.settings import (
    KINDS,
    Settings,
    SystemSettings,
    as_range,
    n_bispectrum_components,
)
from jentmax.errors import JentmaxError

MODELS: list[type[BaseModel]] = [
    field.annotation
    for field in Settings.model_fields.values()
    if isinstance(field.annotation, type)
] + [*{model: None for kinds in KINDS.values() for model in kinds.values()}]


def problems(*overrides: str) -> list[str]:
    """The lines of the error that overrides of the default preset raise, without the heading."""
    with pytest.raises(JentmaxError) as raised:
        load(None, overrides)
    heading, *lines = str(raised.value).splitlines()
    expected = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert heading == f'preset "tungsten": {expected} in the settings'
    return [line.removeprefix("  ") for line in lines]


AT_LEAST_1 = "a whole number of at least 1"
AT_LEAST_0 = "a whole number of at least 0"
NUMBER_0 = "a number of at least 0"
ABOVE_0 = "a number above 0"
RANGE = "a number above 0, or a range [low, high] with 0 < low <= high"
RANGE_0 = 'a number of at least 0, a range [low, high] with 0 <= low <= high, or "auto"'
SCHEDULE = "one of constant, linear-up, linear-down, quadratic-up, quadratic-down, cosine-up"
SPECIES = 'a list of different element symbols such as ["W"], at least one'
ATOMS = "a whole number of at least 2, or a list of such"
BOOL = "true or false"
ESTIMATORS = (
    '"nearest-neighbor", "kth-nearest-neighbor", "soft-nearest-neighbor", "kernel-density", '
    '"gaussian", "vendi" or "module:name" of your own'
)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("run.structures", "0", AT_LEAST_1),
        ("run.structures", '"many"', AT_LEAST_1),
        ("run.structures", "2.0", AT_LEAST_1),
        ("run.structures", "true", AT_LEAST_1),
        ("run.seed", "-1", "a whole number from 0 to 4294967295"),
        ("run.seed", "4294967296", "a whole number from 0 to 4294967295"),
        ("run.output", "3", "text in quotes"),
        ("run.output", '""', "text in quotes"),
        ("run.batch_size", "0", f'{AT_LEAST_1}, or "auto"'),
        ("run.batch_size", '"large"', f'{AT_LEAST_1}, or "auto"'),
        ("run.devices", "0", f'{AT_LEAST_1}, or "all"'),
        ("run.devices", '"some"', f'{AT_LEAST_1}, or "all"'),
        ("run.precision", '"float16"', "float32 or float64"),
        ("run.cycles_per_chain", "0", AT_LEAST_1),
        ("system.species", '["Wo"]', SPECIES),
        ("system.species", '["X"]', SPECIES),
        ("system.species", '["W", "W"]', SPECIES),
        ("system.species", "[]", SPECIES),
        ("system.species", '"W"', SPECIES),
        ("system.fractions", "[1.5]", "a list of numbers from 0 to 1, one per species"),
        ("system.masses", "[0.0]", "a list of numbers above 0, one per species"),
        ("system.masses", "[]", "a list of numbers above 0, one per species"),
        ("system.n_atoms", "1", ATOMS),
        ("system.n_atoms", "[39, 1]", ATOMS),
        ("system.n_atoms", "[]", ATOMS),
        ("system.n_atoms", "39.5", ATOMS),
        ("system.density", "0.0", RANGE),
        ("system.density", "nan", RANGE),
        ("system.density", "[0.06, 0.03]", RANGE),
        ("system.density", "[0.0, 0.03]", RANGE),
        ("system.density", "[0.03]", RANGE),
        ("system.density", "[0.01, 0.02, 0.03]", RANGE),
        ("system.density", "[0.01, inf]", RANGE),
        ("system.aspect_ratio", "-1.5", RANGE),
        ("system.aspect_ratio", "[2.0, 1.0]", RANGE),
        ("system.start_distance", "-2.0", NUMBER_0),
        ("descriptor.kind", '"soap"', '"snap" or "module:name" of your own'),
        ("descriptor.kind", '"my module:Mine"', '"module:name" (a class'),
        ("descriptor.cutoff", "0.0", ABOVE_0),
        ("descriptor.cutoff", "inf", ABOVE_0),
        ("descriptor.twojmax", "0", "a whole number from 1 to 14"),
        ("descriptor.twojmax", "15", "a whole number from 1 to 14"),
        ("descriptor.components", "0", 'a whole number of at least 1, or "all"'),
        ("descriptor.components", '"some"', 'a whole number of at least 1, or "all"'),
        ("descriptor.rfac0", "0.0", "a number above 0, at most 1"),
        ("descriptor.rfac0", "1.1", "a number above 0, at most 1"),
        ("descriptor.rmin0", "-1.0", NUMBER_0),
        ("descriptor.switching", "1", BOOL),
        ("descriptor.self_weight", "-1.0", NUMBER_0),
        ("descriptor.bzero", '"yes"', BOOL),
        ("descriptor.weights", '{ W = "heavy" }', "a table of numbers by species"),
        ("descriptor.weights", "1.0", "a table of numbers by species"),
        ("descriptor.radii", "{ W = 0.0 }", "a table of numbers above 0 by species"),
        ("descriptor.chemflag", "0", BOOL),
        ("descriptor.bnormflag", "0", BOOL),
        ("descriptor.wselfallflag", "0", BOOL),
        ("scaling.kind", '"mean"', '"preliminary" or "given"'),
        ("scaling.kind", "[1]", '"preliminary" or "given"'),
        ("scaling.replicas", "0", AT_LEAST_1),
        ("scaling.steps", "0", AT_LEAST_1),
        ("scaling.snapshots", "0", AT_LEAST_1),
        ("scaling.temperature", "0.0", ABOVE_0),
        ("repulsion.kind", '"zbl"', '"clarke-smith" or "module:name" of your own'),
        ("repulsion.epsilon", "-1.0", NUMBER_0),
        ("repulsion.n", "0", ABOVE_0),
        ("repulsion.m", "0", ABOVE_0),
        ("repulsion.r0", "0.0", "a number above 0, or a table of such by species"),
        ("repulsion.r0", "{ W = -1.0 }", "a number above 0, or a table of such by species"),
        ("repulsion.r0", "{}", "a number above 0, or a table of such by species"),
        ("repulsion.cutoff_ratio", "0.9", "a number of at least 1"),
        ("entropy.kind", '"kernel"', ESTIMATORS),
        ("entropy.kind", "3", ESTIMATORS),
        ("entropy.kind", '":Mine"', '"module:name" (a class'),
        ("entropy.floor", "0.0", ABOVE_0),
        ("potential.entropy_weight", "-1.0", RANGE_0),
        ("potential.entropy_weight", "[300.0, 30.0]", RANGE_0),
        ("potential.entropy_weight", '"automatic"', RANGE_0),
        ("potential.min_distance", "-2.0", NUMBER_0),
        ("sampler.kind", '"mcmc"', '"langevin", "optax", "fire" or "basin-hopping"'),
        ("sampler.steps", "0", AT_LEAST_1),
        ("sampler.timestep", "0.0", ABOVE_0),
        ("sampler.friction", "0.0", ABOVE_0),
        ("sampler.temperature", "-1.0", NUMBER_0),
        ("sampler.temperature_schedule", '"linear"', SCHEDULE),
        ("sampler.entropy_schedule", '"up"', SCHEDULE),
        ("sampler.force_cap", "0.0", "a number above 0, or inf"),
        ("sampler.force_cap", "nan", "a number above 0, or inf"),
        ("quench.steps", "-1", AT_LEAST_0),
        ("quench.step_length", "0.0", ABOVE_0),
    ],
)
def test_a_value_out_of_range_is_refused(field, value, allowed):
    (problem,) = problems(f"{field}={value}")
    assert problem.startswith(f"{field} = {value} is not allowed; give {allowed}")


@pytest.mark.parametrize(
    ("kind", "field", "value", "allowed"),
    [
        ("kth-nearest-neighbor", "k", "0", AT_LEAST_1),
        ("kth-nearest-neighbor", "k", "1.5", AT_LEAST_1),
        ("soft-nearest-neighbor", "width", "0.0", ABOVE_0),
        ("soft-nearest-neighbor", "floor", "-1.0", ABOVE_0),
        ("kernel-density", "bandwidth", "0.0", f'{ABOVE_0}, "silverman" or "adaptive"'),
        ("kernel-density", "bandwidth", '"scott"', f'{ABOVE_0}, "silverman" or "adaptive"'),
        ("kernel-density", "convention", '"kde"', '"density" or "quests"'),
        ("gaussian", "ridge", "0.0", ABOVE_0),
        ("vendi", "order", "-1.0", ABOVE_0),
        ("vendi", "order", "inf", ABOVE_0),
        ("vendi", "bandwidth", "0.0", ABOVE_0),
    ],
)
def test_a_value_of_another_estimator_out_of_range_is_refused(kind, field, value, allowed):
    (problem,) = problems(f"entropy.kind={kind}", f"entropy.{field}={value}")
    assert problem.startswith(f"entropy.{field} = {value} is not allowed; give {allowed}")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_says_its_meaning_and_what_it_may_be(model):
    for name, field in model.model_fields.items():
        assert field.description, name
        if name != "kind":  # whose values `_checking` knows
            assert any(isinstance(entry, Allowed) for entry in field.metadata), name


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sampler.stpes=5", ["sampler.stpes = 5 is unknown", "did you mean sampler.steps?"]),
        ("sampler.density=5", ["sampler.density = 5", "did you mean system.density?"]),
        ("smapler.steps=5", ["smapler = { steps = 5 } is unknown", "did you mean sampler?"]),
        ("run.zzz=5", ["run.zzz = 5 is unknown; [run] may have structures, seed, output"]),
        ("scaling.scale=[1.0]", ["scaling.scale = [1.0]", '[scaling] of kind "preliminary" may']),
        ("entropy.k=3", ["entropy.k = 3", 'entropy.kind = "kth-nearest-neighbor" has it']),
        ("entropy.flor=3.0", ["entropy.flor = 3.0 is unknown; did you mean entropy.floor?"]),
    ],
)
def test_an_unknown_key_names_the_nearest(override, parts):
    (problem,) = problems(override)
    for part in parts:
        assert part in problem


def test_a_key_outside_its_section_is_sent_there(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("structures = 3\nsampler = 4\n")
    with pytest.raises(JentmaxError) as raised:
        load(file)
    message = str(raised.value)
    assert message.startswith(f"{file}: 2 problems in the settings")
    assert "structures = 3 is unknown; did you mean run.structures?" in message
    assert "sampler = 4 is not allowed; give a section [sampler]" in message


TWO = 'system.species=["W", "Fe"]'


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (
            ["entropy.kind=kth-nearest-neighbor", "entropy.k=12", "system.n_atoms=[39, 12]"],
            ["entropy.k = 12 is not below the smallest system.n_atoms, 12; give 1 to 11"],
        ),
        (
            ["descriptor.kind=mine:Mine", "descriptor.cutoff=400.0"],
            ["descriptor.cutoff = 400 Å is impossible for the cell"],
        ),
        (["repulsion.m=8"], ["repulsion.m = 8 is not below repulsion.n = 8", "n > m > 0"]),
        (
            ["scaling.snapshots=50", "scaling.steps=20"],
            ["scaling.snapshots = 50 is more than scaling.steps = 20", "give fewer"],
        ),
        (
            ["system.fractions=[0.5, 0.5]"],
            ["system.fractions = [0.5, 0.5] has 2 entries for 1 species", "one for each of W"],
        ),
        (
            [TWO, "system.fractions=[0.5, 0.4]"],
            ["system.fractions = [0.5, 0.4] sums to 0.9; give fractions that sum to 1"],
        ),
        (
            [TWO, "system.masses=[183.84]"],
            ["system.masses = [183.84] has 1 entries for 2 species", "one for each of W, Fe"],
        ),
        (
            ["descriptor.weights={ Fe = 1.0 }"],
            ["descriptor.weights.Fe = 1.0", "system.species does not have", "use only W"],
        ),
        (
            ["descriptor.radii={ w = 0.5 }"],
            ["descriptor.radii.w = 0.5", "system.species does not have", "use only W"],
        ),
        (
            ["repulsion.r0={ W = 2.7, Fe = 2.4 }"],
            ["repulsion.r0.Fe = 2.4", "system.species does not have", "use only W"],
        ),
        ([TWO, "repulsion.r0={ W = 2.7 }"], ["repulsion.r0 = { W = 2.7 } lacks Fe", "every"]),
        (
            ["system.density=[0.03, 0.12]"],
            [
                "system.density = [0.03, 0.12] has no room",
                "system.start_distance = 2 Å",
                "0.50 of the cell, at most 0.45",
                "at most 0.107 atoms/Å^3",
            ],
        ),
        (
            ["system.aspect_ratio=[1.0, 300.0]"],
            ["system.start_distance = 2 Å", "1.63 Å", "system.aspect_ratio = [1.0, 300.0]"],
        ),
        (
            ["system.aspect_ratio=[0.03, 1.0]"],
            ["system.start_distance = 2 Å", "1.05 Å", "system.aspect_ratio = [0.03, 1.0]"],
        ),
        (
            ["system.start_distance=1e200", "system.aspect_ratio=1e-20", "system.density=1e-320"],
            ["system.density = 1e-320 has no room", "system.start_distance = 1e+200 Å"],
        ),
        (
            ["descriptor.rmin0=4.0"],
            ["descriptor.rmin0 = 4 Å", "least pair cutoff, 4 Å", "a smaller rmin0"],
        ),
        (
            ["descriptor.rmin0=3.0", TWO, "descriptor.radii={ Fe = 0.3 }"],
            ["descriptor.rmin0 = 3 Å", "least pair cutoff, 2.4 Å"],
        ),
        (
            ["descriptor.components=9"],
            ["descriptor.components = 9", "the 8 that twojmax = 3 has", "give 1 to 8"],
        ),
        (
            ["descriptor.components=65", "descriptor.chemflag=true", TWO],
            ["descriptor.components = 65", "the 64 that twojmax = 3 and every triple of species"],
        ),
        (
            ["scaling.kind=given", "scaling.scale=[1.0, 2.0]"],
            ["scaling.scale = [1.0, 2.0] has 2 entries for 6 components", "above 0"],
        ),
        (
            ["scaling.kind=given", "scaling.scale=[1.0, 0.0]"],
            ["scaling.scale = [1.0, 0.0] is not allowed; give a list of numbers above 0"],
        ),
        (
            ["potential.entropy_weight=auto"],
            ['potential.entropy_weight = "auto"', "min_distance = 0 Å", "a min_distance above 0"],
        ),
        (["scaling.kind=given"], ["scaling.scale is missing; give a list of numbers above 0"]),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides, parts):
    (problem,) = problems(*overrides)
    for part in parts:
        assert part in problem


@pytest.mark.parametrize(
    "overrides",
    [
        ["descriptor.components=8"],
        ["descriptor.components=64", "descriptor.chemflag=true", TWO],
        ["descriptor.rmin0=3.99"],
        ["system.density=0.107"],
        ["system.fractions=[1]"],
        [TWO, "system.fractions=[0.3333333, 0.6666667]", "repulsion.r0={ W = 2.7, Fe = 2.4 }"],
        ["repulsion.m=7.9", "repulsion.cutoff_ratio=1", "repulsion.epsilon=0"],
        ["potential.entropy_weight=0", "sampler.force_cap=inf", "quench.steps=0"],
        ["potential.entropy_weight=[0, 0]", "sampler.temperature=0"],
        ["potential.entropy_weight=auto", "potential.min_distance=2"],
        ["run.seed=4294967295", "descriptor.twojmax=14", "descriptor.components=all"],
        ["system.n_atoms=[2, 39]", "system.density=[0.03, 0.03]", "system.start_distance=0"],
        ["scaling.kind=given", "scaling.scale=[1, 2, 3, 4, 5, 6]"],
        ["entropy.kind=kth-nearest-neighbor", "entropy.k=38"],
        ["entropy.kind=kernel-density", "entropy.bandwidth=adaptive"],
        ["entropy.kind=my.module:Mine", "entropy.anything=[1, 2]", "repulsion.kind=mine:Mine"],
    ],
)
def test_values_at_the_edge_are_accepted(overrides):
    load(None, overrides)


def test_all_problems_are_listed_at_once():
    lines = problems(
        "run.structures=0", "sampler.stpes=5", "repulsion.m=9", "system.density=[2, 1]"
    )
    assert [line.split(" ")[0] for line in lines] == [
        "run.structures",
        "system.density",
        "repulsion.m",
        "sampler.stpes",
    ]
    both = problems("descriptor.components=9", "system.fractions=[0.5]")
    assert [line.split(" ")[0] for line in both] == ["system.fractions", "descriptor.components"]


def test_long_values_are_cut():
    (problem,) = problems(f"system.masses=[0, {', '.join(['1'] * 100)}]")
    assert problem.startswith("system.masses = [0, 1, ")
    assert "1... is not allowed" in problem
    assert len(problem) < 250


def test_settings_do_not_change():
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.run.seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_derived_values():
    system = SystemSettings(species=("W", "Fe"), n_atoms=(20, 39))
    assert system.composition() == (0.5, 0.5)
    assert system.atomic_masses() == pytest.approx((183.84, 55.845))
    assert system.atom_counts() == (20, 39)
    given = SystemSettings(fractions=(1.0,), masses=(180.0,))
    assert (given.composition(), given.atomic_masses()) == ((1.0,), (180.0,))
    assert given.atom_counts() == (39,)
    descriptor = load(None, ["descriptor.weights.W=0.9", "descriptor.radii.W=0.4"]).descriptor
    assert descriptor.pair_weights(["Fe", "W"]) == (1.0, 0.9)
    assert descriptor.pair_radii(["Fe", "W"]) == (0.5, 0.4)
    assert Settings().repulsion.pair_r0(["W", "Fe"]) == (2.7, 2.7)
    table = load(None, [TWO, "repulsion.r0={ Fe = 2.4, W = 2.7 }"]).repulsion
    assert table.pair_r0(["W", "Fe"]) == (2.7, 2.4)
    assert as_range(3.0) == (3.0, 3.0)
    assert as_range((1.0, 2.0)) == (1.0, 2.0)


@pytest.mark.parametrize("twojmax", range(1, 15))
def test_number_of_bispectrum_components(twojmax):
    # The closed forms in LAMMPS's documentation of compute sna/atom.
    half = twojmax // 2
    if twojmax % 2 == 0:
        expected = (half + 1) * (half + 2) * (2 * half + 3) // 6
    else:
        expected = (half + 1) * (half + 2) * (half + 3) // 3
    assert n_bispectrum_components(twojmax) == expected


def test_number_of_features():
    assert n_features(Settings()) == 6
    assert n_features(load(None, ["descriptor.components=all"])) == 8
    two = [TWO, "descriptor.components=all", "descriptor.chemflag=true"]
    assert n_features(load(None, two)) == 64


def test_schedule_names_are_those_that_exist():
    from jentmax.schedules import SCHEDULES

    for name in SCHEDULES:
        load(None, [f"sampler.entropy_schedule={name}"])
    (problem,) = problems("sampler.entropy_schedule=none")
    names = problem.split("one of ")[1].split(" (")[0].split(", ")
    assert sorted(names) == sorted(SCHEDULES)


def test_every_estimator_has_a_kind_with_its_fields_and_defaults():
    from jentmax import entropy
    from jentmax.build import build_estimator
    from jentmax.config.settings import OwnCode

    made = set()
    for kind, model in KINDS["entropy"].items():
        if model is not OwnCode:
            estimator = build_estimator(load(None, [f"entropy.kind={kind}"]), 39)
            assert estimator == type(estimator)()
            made.add(type(estimator).__name__)
    assert made == {name for name in vars(entropy) if name[0].isupper()}
