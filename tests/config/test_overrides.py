"""Settings on top of a preset or a file, by their names."""

import dataclasses

import pytest

from jentmax.config import (
    complete,
    load,
    recipe,
)
from jentmax.errors import JentmaxError


def plain(source=None, overrides=(), element=None):
    return complete(load(source, overrides, element)[0])


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("steps=5000", ["steps"], 5000),
        (" sampler.timestep = 0.5 ", ["sampler", "timestep"], 0.5),
        ("sampler.timestep=2", ["sampler", "timestep"], 2.0),
        ("descriptor.switching=false", ["descriptor", "switching"], False),
        ("sampler.entropy_schedule=cosine-up", ["sampler", "entropy_schedule"], "cosine-up"),
        ("start.formula=Fe64", ["start", "formula"], "Fe64"),
        ('start.formula=["W4", "W8"]', ["start", "formula"], ["W4", "W8"]),
        ("start.density=[0.03, 0.06]", ["start", "density"], [0.03, 0.06]),
        ("descriptor.components=all", ["descriptor", "components"], None),
        ("batch_size=16", ["batch_size"], 16),
        ("repulsion.r0={W=2.5}", ["repulsion", "r0"], {"W": 2.5}),
        ("descriptor.weights.W=0.9", ["descriptor", "weights"], {"W": 0.9}),
        ("scale=[1, 2, 3, 4, 5, 6]", ["scale"], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("quench=false", ["quench"], None),
        ("quench.steps=0", ["quench"], None),
        ("quench.steps=7", ["quench"], {"steps": 7, "step_length": 0.05}),
    ],
)
def test_overrides(override, path, value):
    expected = plain("tungsten-unbiased")
    changed = plain("tungsten-unbiased", [override])
    place = expected
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert changed == expected


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("run.output=iron.h5", "output", "iron.h5"),
        ("run.output=a=b.h5", "output", "a=b.h5"),
        ('run.output="5"', "output", "5"),
        ("run.output=C:\\runs\\1.h5", "output", "C:\\runs\\1.h5"),
        ("run.output=1\nseed=2", "output", "1\nseed=2"),
        ("run.seed=4294967295", "seed", 4294967295),
        ("run.devices=2", "devices", 2),
        ("run.devices=all", "devices", None),
    ],
)
def test_overrides_of_the_run(override, field, value):
    assert load(None, [override]) == (
        load()[0],
        dataclasses.replace(load()[1], **{field: value}),
    )


def test_the_last_override_counts():
    assert load(None, ["run.seed=1", "run.seed=2"])[1].seed == 2


def test_another_kind_replaces_the_table(tmp_path):
    for overrides in (
        ["sampler.kind=fire", "sampler.largest_step=0.1"],
        ["sampler.largest_step=0.1", "sampler.kind=fire"],
    ):
        assert plain("tungsten-unbiased", overrides)["sampler"] == {
            "kind": "fire",
            "timestep": 0.02,
            "largest_timestep": 0.2,
            "largest_step": 0.1,
        }
    kept = plain("tungsten-unbiased", ["sampler.kind=langevin"])["sampler"]
    assert kept["friction"] == 10.0
    file = tmp_path / "run.toml"
    file.write_text('[sampler]\nkind = "fire"\n[descriptor]\ncutoff = 3.5\n')
    tree = plain(file)
    assert tree["sampler"]["kind"] == "fire"
    assert (tree["descriptor"]["cutoff"], tree["descriptor"]["components"]) == (3.5, 6)


def test_a_file_gives_the_scale_or_how_it_is_found(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[scale]\nreplicas = 3\n")
    assert recipe(file).scale.replicas == 3
    file.write_text("scale = [1, 2, 3, 4, 5, 0.1]\n")
    made = recipe(file)
    assert made.potential.scale is not None
    assert made.potential.scale.tolist() == [1, 2, 3, 4, 5, 0.1], "rounded to float32"
    assert made.to_plain()["scale"] == [1, 2, 3, 4, 5, 0.1]
    with pytest.raises(
        JentmaxError, match=r"scale is not a table; give scale=\{ steps = \.\.\. \}"
    ):
        load(file, ["scale.steps=3"])


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("sampler.steps", ['"sampler.steps"', "key=value", "sampler.timestep=0.5"]),
        ("sampler.=5", ['"sampler.=5"', "key=value"]),
        ("start.density=[1", ['"start.density=[1"', "not TOML", "[0.03, 0.06]"]),
        ("repulsion.r0.W.x=2", ["repulsion.r0", "is not allowed"]),
        ("steps.x=2", ["steps is not a table", "give steps={ x = ... }"]),
        ("run.output=", ['run.output = ""', "text in quotes"]),
        ("steps=many", ['steps = "many"', "a whole number of at least 1"]),
    ],
)
def test_bad_overrides(override, parts):
    with pytest.raises(JentmaxError) as raised:
        recipe(None, [override])
    for part in parts:
        assert part in str(raised.value)
