"""Problems of a file: each names the field, its value and what is allowed; all come at once."""

import dataclasses

import pytest

from jentmax.config import RunOptions, recipe
from jentmax.config._build import recipe_fields
from jentmax.config._tables import DEFAULT_KINDS, FIXED, kinds_of, of_kind
from jentmax.errors import JentmaxError
from jentmax.fields import KINDS, fields_of


def problems(*overrides: str) -> list[str]:
    """The lines of the error that overrides of the default preset raise, without the heading."""
    with pytest.raises(JentmaxError) as raised:
        recipe(None, overrides)
    heading, *lines = str(raised.value).splitlines()
    expected = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert heading == f'preset "tungsten": {expected} in the settings'
    return [line.removeprefix("  ") for line in lines]


AT_LEAST_1 = "a whole number of at least 1"
NUMBER_0 = "a number of at least 0"
ABOVE_0 = "a number above 0"
RANGE = "a number above 0, or a range [low, high] with 0 < low <= high"
RANGE_0 = 'a number of at least 0, a range [low, high] with 0 <= low <= high, or "auto"'
SCHEDULE = '"constant", "linear-up", "linear-down", "quadratic-up", "quadratic-down", "cosine-up", '
BOOL = "true or false"
ESTIMATORS = (
    '"nearest-neighbor", "kth-nearest-neighbor", "soft-nearest-neighbor", "kernel-density", '
    '"gaussian", "vendi", or "module:Class" of your own'
)
FORMULA = "a formula such as"
SCALE = "a list of numbers above 0, one for each feature"


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
        ("run.devices", "0", f'{AT_LEAST_1}, or "all"'),
        ("run.devices", '"some"', f'{AT_LEAST_1}, or "all"'),
        ("batch_size", "0", f'{AT_LEAST_1}, or "auto"'),
        ("batch_size", '"large"', f'{AT_LEAST_1}, or "auto"'),
        ("precision", '"float16"', '"float32" or "float64"'),
        ("cycles_per_chain", "0", AT_LEAST_1),
        ("steps", "0", AT_LEAST_1),
        ("steps", "1.5", AT_LEAST_1),
        ("entropy_weight", "-1.0", RANGE_0),
        ("entropy_weight", "[300.0, 30.0]", RANGE_0),
        ("entropy_weight", '"automatic"', RANGE_0),
        ("min_distance", "-2.0", NUMBER_0),
        ("start.kind", '"lattice"', '"random", or "module:Class" of your own'),
        ("start.formula", "[]", FORMULA),
        ("start.formula", "3", FORMULA),
        ("start.masses", "{ W = 0.0 }", "a table of numbers above 0 by element"),
        ("start.masses", "{ Wo = 1.0 }", "a table of numbers above 0 by element"),
        ("start.density", "0.0", RANGE),
        ("start.density", "nan", RANGE),
        ("start.density", "[0.06, 0.03]", RANGE),
        ("start.density", "[0.0, 0.03]", RANGE),
        ("start.density", "[0.03]", RANGE),
        ("start.density", "[0.01, 0.02, 0.03]", RANGE),
        ("start.density", "[0.01, inf]", RANGE),
        ("start.aspect_ratio", "-1.5", RANGE),
        ("start.aspect_ratio", "[2.0, 1.0]", RANGE),
        ("start.least_distance", "-2.0", NUMBER_0),
        ("descriptor.kind", '"soap"', '"snap", or "module:Class" of your own'),
        ("descriptor.kind", '"my module:Mine"', '"snap", or "module:Class" of your own'),
        ("descriptor.kind", '"langevin"', '"snap", or "module:Class" of your own'),
        ("descriptor.cutoff", "0.0", ABOVE_0),
        ("descriptor.cutoff", "inf", ABOVE_0),
        ("descriptor.twojmax", "0", f"{AT_LEAST_1}, at most 14"),
        ("descriptor.twojmax", "15", f"{AT_LEAST_1}, at most 14"),
        ("descriptor.components", "0", f'{AT_LEAST_1}, or "all"'),
        ("descriptor.components", '"some"', f'{AT_LEAST_1}, or "all"'),
        ("descriptor.rfac0", "0.0", "a number above 0, at most 1"),
        ("descriptor.rfac0", "1.1", "a number above 0, at most 1"),
        ("descriptor.rmin0", "-1.0", NUMBER_0),
        ("descriptor.switching", "1", BOOL),
        ("descriptor.self_weight", "-1.0", NUMBER_0),
        ("descriptor.bzero", '"yes"', BOOL),
        ("descriptor.weights", '{"W": "heavy"}', "a table of numbers by element"),
        ("descriptor.weights", "1.0", "a table of numbers by element"),
        ("descriptor.radii", '{"W": 0.0}', "a table of numbers above 0 by element"),
        ("descriptor.chemflag", "0", BOOL),
        ("descriptor.bnormflag", "0", BOOL),
        ("descriptor.wselfallflag", "0", BOOL),
        ("descriptor.elements", '["W", "W"]', "a list of different element symbols"),
        ("scale.replicas", "0", AT_LEAST_1),
        ("scale.steps", "0", AT_LEAST_1),
        ("scale.snapshots", "0", AT_LEAST_1),
        ("scale.temperature", "0.0", ABOVE_0),
        ("scale", "[1.0, 0.0]", SCALE),
        ("scale", '"given"', SCALE),
        ("repulsion.kind", '"zbl"', '"clarke-smith", or "module:Class" of your own'),
        ("repulsion.epsilon", "-1.0", NUMBER_0),
        ("repulsion.n", "0", ABOVE_0),
        ("repulsion.m", "0", ABOVE_0),
        ("repulsion.r0", "0.0", "a number above 0, or a table of numbers above 0 by element"),
        (
            "repulsion.r0",
            '{"W": -1.0}',
            "a number above 0, or a table of numbers above 0 by element",
        ),
        ("repulsion.r0", "{}", "a number above 0, or a table of numbers above 0 by element"),
        ("repulsion.cutoff_ratio", "0.9", "a number of at least 1"),
        ("entropy.kind", '"kernel"', ESTIMATORS),
        ("entropy.kind", "3", ESTIMATORS),
        ("entropy.kind", '":Mine"', ESTIMATORS),
        ("entropy.floor", "0.0", ABOVE_0),
        ("sampler.kind", '"mcmc"', '"langevin", "descent", "fire", "basin-hopping", or "module'),
        ("sampler.timestep", "0.0", ABOVE_0),
        ("sampler.timestep", "true", ABOVE_0),
        ("sampler.friction", "0.0", ABOVE_0),
        ("sampler.temperature", "-1.0", NUMBER_0),
        ("sampler.temperature_schedule", '"linear"', SCHEDULE),
        ("sampler.entropy_schedule", '"up"', SCHEDULE),
        ("sampler.entropy_schedule", "3", "a function"),
        ("sampler.force_cap", "0.0", "a number above 0, or inf"),
        ("quench.steps", "-1", AT_LEAST_1),
        ("quench.step_length", "0.0", ABOVE_0),
    ],
)
def test_a_value_out_of_range_is_refused(field, value, allowed):
    toml = value.replace('":', '" =') if value.startswith('{"') else value
    (problem,) = problems(f"{field}={toml}")
    assert problem.startswith(f"{field} = ")
    assert f" is not allowed; give {allowed}" in problem
    if "nan" not in value and "inf" not in value and "W = " not in value and "Wo" not in value:
        assert problem.startswith(f"{field} = {value} is not allowed")


@pytest.mark.parametrize(
    ("kind", "field", "value", "allowed"),
    [
        ("kth-nearest-neighbor", "k", "0", AT_LEAST_1),
        ("kth-nearest-neighbor", "k", "1.5", AT_LEAST_1),
        ("soft-nearest-neighbor", "width", "0.0", ABOVE_0),
        ("soft-nearest-neighbor", "floor", "-1.0", ABOVE_0),
        ("kernel-density", "bandwidth", "0.0", f'{ABOVE_0} or "silverman" or "adaptive"'),
        ("kernel-density", "bandwidth", '"scott"', f'{ABOVE_0} or "silverman" or "adaptive"'),
        ("kernel-density", "convention", '"kde"', '"density" or "quests"'),
        ("gaussian", "ridge", "0.0", ABOVE_0),
        ("vendi", "order", "-1.0", ABOVE_0),
        ("vendi", "order", "inf", ABOVE_0),
        ("vendi", "bandwidth", "0.0", ABOVE_0),
    ],
)
def test_a_value_of_another_estimator_out_of_range_is_refused(kind, field, value, allowed):
    (problem,) = problems(f"entropy.kind={kind}", f"entropy.{field}={value}")
    assert problem.startswith(f"entropy.{field} = ")
    assert f"is not allowed; give {allowed}" in problem


def test_every_field_says_its_meaning_and_what_it_may_be():
    targets = {kind: of_kind(kind) for table in DEFAULT_KINDS for kind in kinds_of(table)}
    targets |= {"run": fields_of(RunOptions), "": recipe_fields()}
    for kind, fields in targets.items():
        for name, field in fields.items():
            assert field.meaning, (kind, name)
            assert field.allowed, (kind, name)


def test_every_kind_belongs_to_a_table():
    found = [kind for table in (*DEFAULT_KINDS, "schedule") for kind in kinds_of(table)]
    assert sorted(found) == sorted(KINDS)


def test_tables_are_the_recipe_s_parts():
    import jentmax

    names = {*DEFAULT_KINDS, *FIXED} - {"descriptor", "repulsion", "entropy"} | {"potential"}
    assert names | recipe_fields().keys() == fields_of(jentmax.Recipe).keys()


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sampler.timstep=5", ["sampler.timstep = 5 is unknown; did you mean sampler.timestep?"]),
        ("sampler.stpes=5", ["sampler.stpes = 5 is unknown", "did you mean steps?"]),
        ("sampler.density=5", ["sampler.density = 5", "did you mean start.density?"]),
        ("smapler.timestep=5", ["smapler = ", "is unknown; did you mean sampler?"]),
        ("descriptor.rcutfac=5", ["descriptor.rcutfac = 5", "did you mean descriptor.cutoff?"]),
        ("descriptor.wself=5", ["descriptor.wself = 5", "did you mean descriptor.self_weight?"]),
        ("timestep=5", ["timestep = 5", "did you mean sampler.timestep or scale.timestep?"]),
        ("structures=5", ["structures = 5", "did you mean run.structures?"]),
        ("run.batch_size=5", ["run.batch_size = 5", "did you mean batch_size?"]),
        ("run.zzz=5", ["run.zzz = 5 is unknown; [run] takes structures, seed, output, devices"]),
        ("potential.entropy_weight=5", ["potential = ", "did you mean entropy_weight?"]),
        ("entropy.k=3", ["entropy.k = 3", 'entropy.kind = "kth-nearest-neighbor" has it']),
        ("entropy.flor=3.0", ["entropy.flor = 3.0 is unknown; did you mean entropy.floor?"]),
        ("zzz=3", ["zzz = 3 is unknown; a file takes steps, entropy_weight, "]),
    ],
)
def test_an_unknown_key_names_the_nearest(override, parts):
    (problem,) = problems(override)
    for part in parts:
        assert part in problem


def test_what_should_be_a_table(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("sampler = 4\nrun = 3\nquench = true\n")
    with pytest.raises(JentmaxError) as raised:
        recipe(file)
    message = str(raised.value)
    assert message.startswith(f"{file}: 3 problems in the settings")
    assert "sampler = 4 is not allowed; give a table [sampler]" in message
    assert "run = 3 is not allowed; give a table [run]" in message
    assert "quench = true is not allowed; give a table [quench]" in message


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["repulsion.m=8"], ["repulsion.m = 8 is not below n = 8", "n > m > 0"]),
        (
            ["scale.snapshots=50", "scale.steps=20"],
            ["scale.snapshots = 50 exceeds scale.steps = 20", "give fewer"],
        ),
        (["repulsion.r0={ Fe = 2.7 }"], ['start.formula = "W39" contains W', "give only Fe"]),
        (
            ["start.density=[0.03, 0.12]"],
            [
                "start.density = [0.03, 0.12] leaves no room",
                "least_distance = 2 Å",
                "0.50 of the cell, at most 0.45",
                "at most 0.107 atoms/Å^3",
            ],
        ),
        (
            ["start.aspect_ratio=[1.0, 300.0]"],
            ["start.least_distance = 2 Å", "1.63 Å", "aspect_ratio = [1.0, 300.0]"],
        ),
        (
            ["start.aspect_ratio=[0.03, 1.0]"],
            ["start.least_distance = 2 Å", "1.05 Å", "aspect_ratio = [0.03, 1.0]"],
        ),
        (
            ["start.least_distance=1e200", "start.aspect_ratio=1e-20", "start.density=1e-320"],
            ["start.density = 1e-320 leaves no room", "least_distance = 1e+200 Å"],
        ),
        (["start.formula=W"], ['start.formula = "W" has one atom', "at least 2"]),
        (['start.formula=["W4", "W4"]'], ["start.formula = ", "repeats a formula"]),
        (["start.formula=Xx3"], ["start.formula = 'Xx3'", "such as W39"]),
        (
            ["descriptor.rmin0=4.0"],
            ["descriptor.rmin0 = 4 Å", "smallest pair cutoff, 4 Å", "a smaller rmin0"],
        ),
        (
            ["descriptor.components=9"],
            ["descriptor.components = 9", "the 8 components of twojmax = 3", "give 1 to 8"],
        ),
        (["descriptor.chemflag=true"], ["descriptor.elements is empty, but chemflag"]),
        (["scale=[1.0, 2.0]"], ["scale = [1.0, 2.0]", "each of the 6 features"]),
        (
            ["entropy_weight=auto"],
            ['entropy_weight = "auto"', "0 Å", "a min_distance above 0"],
        ),
        (
            ["sampler.kind=descent", "sampler.optimizer=adm"],
            ['sampler.optimizer = "adm" is not an optax optimiser', "did you mean adam?"],
        ),
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
        ["descriptor.components=64", "descriptor.chemflag=true", 'descriptor.elements=["W", "Fe"]'],
        ["descriptor.rmin0=3.99"],
        ["start.density=0.107"],
        ["start.formula=W20Fe19", "repulsion.r0={ W = 2.7, Fe = 2.4 }"],
        ["repulsion.m=7.9", "repulsion.cutoff_ratio=1", "repulsion.epsilon=0"],
        ["entropy_weight=0", "sampler.force_cap=inf", "quench.steps=0"],
        ["entropy_weight=[0, 0]", "sampler.temperature=0"],
        ["entropy_weight=auto", "min_distance=2"],
        ["run.seed=4294967295", "descriptor.twojmax=14", "descriptor.components=all"],
        ['start.formula=["W2", "W39"]', "start.density=[0.03, 0.03]", "start.least_distance=0"],
        ["scale=[1, 2, 3, 4, 5, 6]"],
        ["entropy.kind=kth-nearest-neighbor", "entropy.k=38"],
        ["entropy.kind=kernel-density", "entropy.bandwidth=adaptive"],
        ["entropy.kind=jentmax.entropy:Vendi", "entropy.order=2"],
    ],
)
def test_values_at_the_edge_are_accepted(overrides):
    recipe(None, overrides)


def test_all_problems_are_listed_at_once():
    lines = problems(
        "run.structures=0", "sampler.stpes=5", "repulsion.m=9", "start.density=[2, 1]", "steps=0"
    )
    assert [line.split(" ")[0] for line in lines] == [
        "run.structures",
        "steps",
        "start.density",
        "repulsion.m",
        "sampler.stpes",
    ]


def test_long_values_are_cut():
    (problem,) = problems(f"scale=[0, {', '.join(['1'] * 100)}]")
    assert problem.startswith("scale = [0, 1, ")
    assert "1... is not allowed" in problem
    assert len(problem) < 300


def test_options_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunOptions().__setattr__("seed", 1)


@pytest.mark.parametrize("name", kinds_of("schedule"))
def test_schedules_by_name(name):
    from jentmax.samplers import schedules

    made = recipe(None, [f"sampler.entropy_schedule={name}"])
    assert made.sampler.entropy_schedule is getattr(schedules, name.replace("-", "_"))


@pytest.mark.parametrize("kind", kinds_of("entropy"))
def test_every_estimator_has_its_defaults(kind):
    made = recipe(None, [f"entropy.kind={kind}"]).potential.entropy
    assert made == type(made)()
