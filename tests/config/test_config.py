"""Presets, files, overrides, round trips."""

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jentmax
from jentmax.config import (
    RunOptions,
    commented,
    complete,
    descriptor_from,
    load,
    preset_text,
    presets,
    recipe,
    recipe_from,
    to_toml,
)
from jentmax.errors import JentmaxError

HEAVY = ["jax", "jaxlib", "jax_md", "equinox", "optax", "ase", "h5py", "scipy", "matplotlib"]


def plain(source=None, overrides=(), element=None):
    return complete(load(source, overrides, element)[0])


def test_reading_a_file_is_light(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(preset_text("tungsten-diverse"))
    code = f"""
import json, sys
import jentmax
from jentmax.config import load, presets, to_toml
to_toml(load({str(file)!r}, ["steps=5000", "run.seed=3"])[0])
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_checking_a_file_starts_no_back_end(tmp_path):
    code = """
from jentmax.config import complete, load
from jax._src import xla_bridge
complete(load(None, ["entropy.kind=vendi"], "Fe")[0])
assert not xla_bridge._backends
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_exported():
    assert jentmax.recipe is recipe
    assert isinstance(recipe(), jentmax.Recipe)


def test_the_default_is_the_preset_tungsten(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("")
    assert load() == load("tungsten") == load(file) == load(str(file))


# Presets


def test_tungsten_is_the_published_protocol():
    made = recipe("tungsten")
    start = made.start
    a = (39 / start.density / 1.5) ** (1 / 3)
    assert (a, start.aspect_ratio, start.formula) == (pytest.approx(9.54, abs=1e-9), 1.5, "W39")
    assert made.entropy_weight == 1000
    assert made.sampler.temperature == 10_000
    repulsion = made.potential.repulsion
    assert (repulsion.epsilon, repulsion.n, repulsion.m, repulsion.r0) == (1, 8, 4, 2.7)
    assert repulsion.cutoff_ratio * 2.7 == pytest.approx(2.71, abs=1e-12)
    descriptor = made.potential.descriptor
    assert (descriptor.components, descriptor.cutoff) == (6, 4.0)


# What version 0.1 had, by the names of this version.
OLD = {
    "steps": 3000,
    "entropy_weight": 1000.0,
    "cycles_per_chain": 2,
    "min_distance": 0.0,
    "precision": "float32",
    "batch_size": None,
    "start": {
        "kind": "random",
        "formula": "W39",
        "density": 0.029945269353689782,
        "aspect_ratio": 1.5,
        "least_distance": 2.0,
        "masses": {},
    },
    "descriptor": {
        "kind": "snap",
        "cutoff": 4.0,
        "twojmax": 3,
        "components": 6,
        "rfac0": 0.99363,
        "rmin0": 0.0,
        "switching": True,
        "self_weight": 1.0,
        "bzero": False,
        "weights": {},
        "radii": {},
        "chemflag": False,
        "elements": [],
        "bnormflag": False,
        "wselfallflag": False,
    },
    "repulsion": {
        "kind": "clarke-smith",
        "epsilon": 1.0,
        "n": 8.0,
        "m": 4.0,
        "r0": 2.7,
        "cutoff_ratio": 2.71 / 2.7,
    },
    "entropy": {"kind": "nearest-neighbor", "floor": 1e-4},
    "sampler": {
        "kind": "langevin",
        "timestep": 1.0,
        "friction": 100.0,
        "temperature": 10_000.0,
        "temperature_schedule": "linear-down",
        "entropy_schedule": "linear-up",
        "force_cap": 20.0,
    },
    "scale": {
        "replicas": 16,
        "steps": 2000,
        "snapshots": 10,
        "temperature": 10_000.0,
        "timestep": 1.0,
        "friction": 10.0,
    },
    "quench": {"steps": 300, "step_length": 0.05},
}


def test_the_preset_is_that_of_version_0_1():
    assert plain("tungsten") == OLD == recipe("tungsten").to_plain()


def test_what_the_other_presets_change():
    assert plain("tungsten-unbiased") == OLD | {
        "entropy_weight": 0.0,
        "steps": 500,
        "quench": None,
        "sampler": OLD["sampler"]
        | {
            "temperature_schedule": "constant",
            "entropy_schedule": "constant",
            "friction": 10.0,
            "force_cap": "inf",
        },
    }
    assert plain("tungsten-diverse") == OLD | {
        "cycles_per_chain": 1,
        "entropy_weight": [20.0, 200.0],
        "start": OLD["start"] | {"density": [0.055, 0.07], "aspect_ratio": 1.0},
    }
    assert plain("tungsten-fast") == OLD | {
        "steps": 600,
        "cycles_per_chain": 1,
        "quench": None,
        "sampler": {
            "kind": "descent",
            "optimizer": "adam",
            "options": None,
            "step_length": 0.2,
            "step_schedule": "cosine-down",
            "entropy_schedule": "constant",
            "noise": 0.08,
            "noise_schedule": "cosine-down",
        },
    }


@pytest.mark.parametrize("name", presets())
def test_presets_name_their_output(name):
    assert load(name)[1] == RunOptions(64, 0, f"{name}.h5", None)


@pytest.mark.parametrize("name", presets())
def test_a_commented_file_has_every_field_and_reads_back(name, tmp_path):
    text = commented(name)
    file = tmp_path / "run.toml"
    file.write_text(text)
    assert load(file)[1] == load(name)[1]
    assert recipe(file).to_plain() == recipe(name).to_plain()
    assert text.startswith(preset_text(name).partition("\n\n")[0])
    assert max(map(len, text.splitlines())) <= 105
    written = tomllib.loads(re.sub(r"^# (\w+) = \.\.\.", r"\1 = 0", text, flags=re.MULTILINE))
    tree = plain(name) | {"run": dataclasses.asdict(RunOptions())}
    tree["quench"] = {"steps", "step_length"}
    for key, fields in tree.items():
        if isinstance(fields, dict | set):
            assert set(written[key]) == set(fields)
        else:
            assert key in written
    above = ""
    for line in text.splitlines():
        if re.match(r"(# )?\w+ = ", line):
            assert above.startswith("# "), line
        above = line


def test_a_commented_file_keeps_the_preset_s_remarks():
    text = commented("tungsten")
    assert '\n# elements and numbers of the atoms in a cell; a formula such as "W39"' in text
    assert '\nformula = "W39"  # from the paper\n' in text
    assert '# T over a cycle; "constant", "linear-up",' in text
    assert "# quench" not in commented("tungsten-fast")


# Files


@pytest.mark.parametrize("function", [load, recipe, preset_text, commented])
def test_an_unknown_preset_names_the_nearest(function):
    with pytest.raises(JentmaxError, match=r'"tungstn".*did you mean "tungsten"') as raised:
        function("tungstn")
    for name in presets():
        assert name in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(JentmaxError, match=r"missing\.toml.*is not a preset or a file"):
        load(tmp_path / "missing.toml")


def test_a_folder_is_no_file(tmp_path):
    start = f'settings "{tmp_path}" cannot be read'
    with pytest.raises(JentmaxError, match=f"^{re.escape(start)}"):
        load(tmp_path)


def test_a_file_that_is_not_toml(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[run]\nseed = = 3\n")
    with pytest.raises(JentmaxError, match=r"run\.toml: not TOML: .*line 2.*correct"):
        load(file)
    file.write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    with pytest.raises(JentmaxError, match=r'run\.toml" is not UTF-8 text.*give a TOML file$'):
        load(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("\ufeff[run]\nseed = 3\n", encoding="utf-8")
    assert load(file)[1].seed == 3


# Round trips


def through_file(made, folder: Path):
    file = folder / "resolved.toml"
    file.write_text(to_toml(made.to_plain()), encoding="utf-8")
    return recipe(file)


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("element", [None, "Fe"])
def test_presets_make_the_round_trip(name, element, tmp_path):
    made = recipe(name, element=element)
    assert through_file(made, tmp_path).to_plain() == made.to_plain()
    stored = json.loads(json.dumps(made.to_plain()))
    assert recipe_from(stored).to_plain() == stored


def test_every_kind_of_value_makes_the_round_trip(tmp_path):
    made = recipe(
        None,
        [
            'start.formula=["W2Fe6", "W20"]',
            "start.masses={ W = 1, Fe = 2.5 }",
            "repulsion.r0={W=2.7, Fe=2.4}",
            "descriptor.weights.Fe=-0.5",
            "descriptor.components=all",
            "scale=[1, 2, 3, 4, 5, 6, 7, 1e-30]",
            "sampler.force_cap=inf",
            "quench=false",
            "entropy_weight=[1, 2]",
        ],
    )
    assert through_file(made, tmp_path).to_plain() == made.to_plain()
    assert '[start]\nkind = "random"\nformula = ["W2Fe6", "W20"]' in to_toml(made.to_plain())


@given(timestep=st.floats(min_value=1e-300, allow_infinity=False))
def test_any_number_makes_the_round_trip(timestep):
    tree = load(None, [f"sampler.timestep={timestep!r}"])[0]
    assert tomllib.loads(to_toml(complete(tree)))["sampler"]["timestep"] == timestep


def test_the_descriptor_of_a_data_set():
    tree = {"descriptor": recipe().to_plain()["descriptor"]}
    snap = jentmax.Snap(cutoff=4.0, components=6)
    assert descriptor_from(tree) == descriptor_from(recipe().to_plain()) == snap
    changed = descriptor_from(tree, ["descriptor.cutoff=3.5", "steps=0", "sampler.kind=x"])
    assert changed == jentmax.Snap(cutoff=3.5, components=6)
    with pytest.raises(JentmaxError, match=r"set.h5: 1 problem.*\n  descriptor.cutof "):
        descriptor_from({"descriptor": {"cutof": 3.0, "cutoff": 3.0}}, label="settings of set.h5")
    with pytest.raises(JentmaxError, match=r"descriptor\.cutoff is missing"):
        descriptor_from({})
