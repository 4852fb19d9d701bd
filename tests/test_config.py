"""Presets, files, overrides, round trips."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jentmax.config import Settings, load, preset_text, presets, to_toml
from jentmax.errors import JentmaxError

HEAVY = ["jax", "jaxlib", "jax_md", "equinox", "ase", "h5py", "scipy", "matplotlib"]


def run_python(code: str) -> dict:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_is_light():
    code = f"""
import json, sys
import jentmax.config
print(json.dumps({{"loaded": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""
    assert run_python(code)["loaded"] == []


def test_checking_a_file_needs_no_jax(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(preset_text("tungsten-diverse"))
    code = f"""
import json, sys
from jentmax.config import load
load({str(file)!r}, ["sampler.steps=5000"], element="Fe")
loaded = [name for name in {HEAVY!r} if name in sys.modules and name != "ase"]
print(json.dumps({{"loaded": loaded}}))
"""
    assert run_python(code)["loaded"] == []


def test_the_default_is_the_preset_tungsten():
    assert load() == load("tungsten") == Settings()


def test_an_empty_file_is_the_default(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("")
    assert load(file) == load(str(file)) == Settings()


@pytest.mark.parametrize("name", ["tungsten", "tungsten-diverse", "tungsten-unbiased"])
def test_presets_are_complete_and_commented(name):
    text = preset_text(name)
    settings = load(name)
    assert settings.run.output == f"{name}.h5"
    assert name in presets()
    written = tomllib.loads(re.sub(r"^# (fractions|masses) =", r"\1 =", text, flags=re.MULTILINE))
    for section, fields in settings.model_dump().items():
        assert list(written[section]) == list(fields)
    # A comment stands above every field, save for one that shares its neighbour's.
    lines = text.splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"(# (fractions|masses)|\w+) = ", line):
            assert above.startswith("# ") or line.startswith("entropy_schedule"), line


def test_tungsten_is_the_published_protocol():
    settings = load("tungsten")
    a = (39 / settings.system.density / 1.5) ** (1 / 3)  # type: ignore[operator]
    assert (a, settings.system.aspect_ratio) == (pytest.approx(9.54, abs=1e-9), 1.5)
    assert settings.system.n_atoms == 39
    assert settings.potential.entropy_weight == 1000
    assert settings.sampler.temperature == 10_000
    repulsion = settings.repulsion
    assert (repulsion.epsilon, repulsion.n, repulsion.m, repulsion.r0) == (1, 8, 4, 2.7)
    assert repulsion.cutoff_ratio * 2.7 == pytest.approx(2.71, abs=1e-12)
    assert (settings.descriptor.components, settings.descriptor.cutoff) == (6, 4.0)


def differences(name: str) -> dict:
    """The fields in which a preset differs from "tungsten"."""
    default = load("tungsten").model_dump()
    return {
        f"{section}.{key}": value
        for section, fields in load(name).model_dump().items()
        for key, value in fields.items()
        if value != default[section].get(key)
    }


def test_what_the_other_presets_change():
    assert differences("tungsten-unbiased") == {
        "run.output": "tungsten-unbiased.h5",
        "potential.entropy_weight": 0.0,
        "sampler.temperature_schedule": "constant",
        "sampler.entropy_schedule": "constant",
        "sampler.friction": 10.0,
        "sampler.force_cap": float("inf"),
        "sampler.steps": 500,
        "quench.steps": 0,
    }
    assert differences("tungsten-diverse") == {
        "run.output": "tungsten-diverse.h5",
        "run.cycles_per_chain": 1,
        "system.density": (0.055, 0.07),
        "system.aspect_ratio": 1.0,
        "potential.entropy_weight": (20.0, 200.0),
    }
    fast = differences("tungsten-fast")
    sampler = {key: fast.pop(key) for key in list(fast) if key.startswith("sampler.")}
    assert fast == {
        "run.output": "tungsten-fast.h5",
        "run.cycles_per_chain": 1,
        "quench.steps": 0,
    }
    assert sampler["sampler.kind"] == "optax"
    assert sampler["sampler.steps"] == 600


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("sampler.steps=5000", "sampler", "steps", 5000),
        (" sampler.timestep = 0.5 ", "sampler", "timestep", 0.5),
        ("sampler.timestep=2", "sampler", "timestep", 2.0),
        ("descriptor.switching=false", "descriptor", "switching", False),
        ("run.output=iron.h5", "run", "output", "iron.h5"),
        ("run.output=a=b.h5", "run", "output", "a=b.h5"),
        ('run.output="5"', "run", "output", "5"),
        ("run.output=C:\\runs\\1.h5", "run", "output", "C:\\runs\\1.h5"),
        ("run.output=1\nseed=2", "run", "output", "1\nseed=2"),
        ("sampler.entropy_schedule=cosine-up", "sampler", "entropy_schedule", "cosine-up"),
        ('system.species=["Fe"]', "system", "species", ("Fe",)),
        ("system.density=[0.03, 0.06]", "system", "density", (0.03, 0.06)),
        ("descriptor.components=all", "descriptor", "components", "all"),
        ("repulsion.r0={W=2.5}", "repulsion", "r0", {"W": 2.5}),
        ("descriptor.weights.W=0.9", "descriptor", "weights", {"W": 0.9}),
    ],
)
def test_overrides(override, section, field, value):
    changed = load("tungsten-unbiased", [override]).model_dump()
    assert changed[section][field] == value
    default = load("tungsten-unbiased").model_dump()
    default[section][field] = value
    assert changed == default


def test_the_last_override_counts():
    assert load(None, ["run.seed=1", "run.seed=2"]).run.seed == 2


def test_an_override_of_the_kind_replaces_the_section():
    scale = "scaling.scale=[1, 2, 3, 4, 5, 6]"
    for overrides in (["scaling.kind=given", scale], [scale, "scaling.kind=given"]):
        scaling = load(None, overrides).scaling
        assert scaling.model_dump() == {"kind": "given", "scale": (1, 2, 3, 4, 5, 6)}
    kept = load(None, ["scaling.steps=100", "scaling.kind=preliminary"]).scaling
    assert kept.model_dump()["steps"] == 100


def test_the_kind_of_a_scaling_may_be_left_out(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[scaling]\nreplicas = 3\n")
    assert load(file).scaling.model_dump()["replicas"] == 3
    file.write_text("[scaling]\nscale = [1, 2, 3, 4, 5, 6]\n")
    assert load(file).scaling.kind == "given"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("steps=5", ['"steps=5"', "section.key=value", "sampler.steps=5000"]),
        ("sampler.steps", ['"sampler.steps"', "section.key=value"]),
        ("sampler.=5", ['"sampler.=5"', "section.key=value"]),
        ("system.density=[1", ['"system.density=[1"', "not TOML", "[0.03, 0.06]"]),
        ("repulsion.r0.W=2", ["repulsion.r0 is no table", "give repulsion.r0={ W = ... }"]),
        ("run.output=", ['run.output = ""', "text in quotes"]),
        ("sampler.steps=many", ['sampler.steps = "many"', "a whole number of at least 1"]),
    ],
)
def test_bad_overrides(override, parts):
    with pytest.raises(JentmaxError) as raised:
        load(None, [override])
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize("function", [load, preset_text])
def test_an_unknown_preset_names_the_nearest(function):
    with pytest.raises(JentmaxError, match=r'"tungstn".*did you mean "tungsten"') as raised:
        function("tungstn")
    for name in presets():
        assert name in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(JentmaxError, match=r"missing\.toml.*neither a preset nor a file"):
        load(tmp_path / "missing.toml")


def test_a_folder_is_no_file(tmp_path):
    start = f'settings "{tmp_path}": cannot be read'
    with pytest.raises(JentmaxError, match=f"^{re.escape(start)}"):
        load(tmp_path)


def test_a_file_that_is_not_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[run]\nseed = = 3\n")
    with pytest.raises(JentmaxError, match=r"run\.toml: not TOML: .*line 2.*correct"):
        load(file)
    file.write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(JentmaxError, match=r'run\.toml": not UTF-8 text.*give a TOML file$'):
        load(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("\ufeff[run]\nseed = 3\n", encoding="utf-8")
    assert load(file).run.seed == 3


def through_file(settings: Settings, folder: Path) -> Settings:
    file = folder / "resolved.toml"
    file.write_text(to_toml(settings), encoding="utf-8")
    return load(file)


@pytest.mark.parametrize("name", ["tungsten", "tungsten-diverse", "tungsten-unbiased"])
@pytest.mark.parametrize("element", [None, "Fe", "Ti"])
def test_presets_make_the_round_trip(name, element, tmp_path):
    settings = load(name, element=element)
    assert through_file(settings, tmp_path) == settings


def test_every_kind_of_value_makes_the_round_trip(tmp_path):
    settings = load(
        None,
        [
            'system.species=["W", "Fe"]',
            "system.fractions=[0.25, 0.75]",
            "system.masses=[1, 2.5]",
            "system.n_atoms=[10, 20]",
            "repulsion.r0={W=2.7, Fe=2.4}",
            "descriptor.weights.Fe=-0.5",
            "descriptor.components=all",
            "scaling.kind=given",
            "scaling.scale=[1, 2, 3, 4, 5, 6, 7, 1e-30]",
        ],
    )
    assert through_file(settings, tmp_path) == settings
    assert "[system]\nspecies = [" in to_toml(settings)


@given(
    output=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    timestep=st.floats(min_value=1e-300, allow_infinity=False),
)
def test_any_text_and_number_make_the_round_trip(output, timestep):
    settings = Settings.model_validate(
        {"run": {"output": output}, "sampler": {"timestep": timestep}}
    )
    assert Settings.model_validate(tomllib.loads(to_toml(settings))) == settings
