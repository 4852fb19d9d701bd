"""Estimators, descriptors and repulsions of the user's own, named in the settings."""

import json
import subprocess
import sys
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

import jentmax
from jentmax.build import build_descriptor, build_estimator, build_potential, build_repulsion
from jentmax.config import load, loads, to_toml
from jentmax.dataset import Dataset
from jentmax.describe import describe, described
from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments
from jentmax.repulsion import ClarkeSmith

MODULE = """
import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.repulsion import ClarkeSmith


class Module(eqx.Module):
    floor: float = 1e-4
    shape: tuple[int, ...] = (1, 2)
    form: Literal["hard", "soft"] = "hard"

    def __call__(self, features):
        assert features.ndim == 2
        return NearestNeighbor(self.floor)(features)


@dataclasses.dataclass  # which has no hash
class Plain:
    floor: "float"

    def __call__(self, features):
        return NearestNeighbor(self.floor)(features)


def function(features, floor: float = 1e-4, unannotated=None):
    return NearestNeighbor(floor)(features)


class Descriptor:
    cutoff = 3.6

    def __call__(self, environments):
        assert environments.species.ndim == 1
        return Snap(self.cutoff, 2)(environments)


def descriptor(environments, cutoff: float, twojmax: int = 2, components: int = 5):
    return Snap(cutoff, twojmax, components)(environments)


def repulsion(environments, cutoff: float = 2.71):
    return ClarkeSmith(cutoff_ratio=cutoff / 2.7)(environments)


def no_cutoff(environments):
    return ClarkeSmith()(environments)


def each_atom(features):
    return features[:, 0]


def whole(features):
    return jnp.sum(features).astype(int)


def pair(features):
    return jnp.sum(features), 1


def spread(features):
    return jnp.log(jnp.std(features))


def undifferentiable(features):
    return jnp.sqrt(jnp.sum((features - jnp.mean(features, axis=0)) ** 2))


def branch(features):
    return jnp.sum(features) if features[0, 0] > 0 else jnp.sum(-features)


def flat(environments, cutoff: float = 3.0):
    return jnp.sum(environments.squared_distances(), axis=1)


def padding(environments, cutoff: float = 3.0):
    return environments.squared_distances()[:, :3] @ jnp.ones((3, 2)) + jnp.sum(
        environments.squared_distances(), axis=1, keepdims=True
    )


def anything(features, **more):
    return jnp.sum(features)


class Uncallable:
    pass


class Picky:
    def __init__(self, order: int):
        if order < 1:
            raise ValueError("order is too small")

    def __call__(self, features):
        return jnp.sum(features**2)


number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The module, in the current folder under a name that no other test has; that name."""
    name = f"own_{tmp_path.name}".replace("-", "_").replace("[", "_").replace("]", "_")
    name = "".join(letter if letter.isalnum() else "_" for letter in name)
    Path(f"{name}.py").write_text(MODULE)
    return name


def random_features(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("name", ["Module", "Plain", "function"])
def test_an_estimator(own, name):
    settings = load(None, [f"entropy.kind={own}:{name}", "entropy.floor=2.5"])
    estimator = build_estimator(settings, 39)
    features = random_features(39, 6, 2)
    expected = NearestNeighbor(2.5)(features)
    np.testing.assert_allclose(estimator(features), expected, rtol=1e-12)
    np.testing.assert_allclose(estimator(features[..., 0]), expected[0], rtol=1e-12)
    assert estimator is build_estimator(settings, 39), "a program for each time it is built"


@pytest.mark.parametrize("kind", ["Descriptor", "descriptor"])
def test_a_descriptor(own, kind):
    overrides = ["descriptor.cutoff=3.6"] if kind == "descriptor" else []
    settings = load(None, [f"descriptor.kind={own}:{kind}", *overrides])
    built = build_descriptor(settings)
    assert (built.largest_cutoff, built.n_features) == (3.6, 5)
    assert built.labels == [(1,), (2,), (3,), (4,), (5,)]
    structures = [ase.build.bulk("W"), ase.build.bulk("W", "fcc", 4.0)]
    snap = load(None, ["descriptor.cutoff=3.6", "descriptor.twojmax=2", "descriptor.components=5"])
    np.testing.assert_allclose(
        describe(structures, settings).features, describe(structures, snap).features, rtol=1e-12
    )


def test_a_repulsion(own):
    built = build_repulsion(load(None, [f"repulsion.kind={own}:repulsion"]))
    assert built.cutoff == 2.71
    square = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (3, 4, 3, 2)))
    mask, kinds = jnp.ones((4, 3, 2), bool), jnp.zeros((4, 3, 2), jnp.int32)
    environments = Environments(square, mask, kinds[:, 0], kinds)
    expected = ClarkeSmith()(environments)
    np.testing.assert_allclose(built(environments), expected, rtol=1e-9)


def test_a_run_with_all_three(own):
    overrides = [
        f"entropy.kind={own}:Module",
        "entropy.floor=1e-4",
        f"descriptor.kind={own}:descriptor",
        "descriptor.cutoff=3.6",
        f"repulsion.kind={own}:repulsion",
        "run.structures=4",
    ]
    theirs = tiny_runs.run("run.structures=4", path="theirs.h5")
    ours = tiny_runs.run(*overrides, path="ours.h5")
    for one, other in zip(ours, theirs, strict=True):
        # The same forces but for rounding, in float32, over 20 steps.
        np.testing.assert_allclose(one["positions"], other["positions"], atol=1e-2)
    with Dataset("ours.h5") as data:
        stored = data.settings
    assert load(None, overrides).entropy == loads(stored, "x", overrides[:5]).entropy


def test_a_data_set_runs_no_code_unless_the_user_names_it(own, call):
    tiny_runs.run(f"entropy.kind={own}:Module", "run.structures=4", path="set.h5")
    ase.build.bulk("W").write("bulk.extxyz")
    sys.modules.pop(own)
    with Dataset("set.h5") as data:
        stored = data.settings
    for text in (stored, f'[descriptor]\nkind = "{own}:Descriptor"', '[repulsion]\nkind = "a:b"'):
        with pytest.raises(JentmaxError, match=r"is code outside jentmax, .* name it yourself"):
            loads(text, "settings of set.h5")
        with pytest.raises(JentmaxError, match="is code outside jentmax"):
            loads(text, "settings of set.h5", ["sampler.steps=3", "scaling.kind=preliminary"])
        with pytest.raises(JentmaxError, match="is code outside jentmax"):
            loads(text, "settings of set.h5", element="Fe")
    assert own not in sys.modules
    code, _, errors = call("select set.h5 --structures 2 --output best.extxyz --no-cache")
    assert code == 2
    assert f'entropy.kind = "{own}:Module" is code outside jentmax' in errors
    assert f"--set entropy.kind={own}:Module" in errors
    assert own not in sys.modules
    named = ["--set", f"entropy.kind={own}:Module"]
    words = ["select", "set.h5", "--structures", "2", "--output", "best.extxyz", "--no-cache"]
    assert call(*words, *named)[0] == 0
    # Any other kind will do as well.
    loads(stored, "settings of set.h5", ["entropy.kind=gaussian"])


def test_settings_are_stored_with_all_fields(own):
    overrides = [f"entropy.kind={own}:Module", "entropy.shape=[3, 4]", "entropy.form=soft"]
    settings = load(None, overrides)
    Path("run.toml").write_text(to_toml(settings))
    assert load("run.toml") == settings


def test_descriptions_are_not_kept(own, tmp_path):
    settings = load(None, [f"descriptor.kind={own}:Descriptor"])
    ase.build.bulk("W").write("bulk.extxyz")
    described("bulk.extxyz", settings, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def problem(*overrides):
    """What is said of settings whose potential cannot be built."""
    with pytest.raises(JentmaxError) as raised:
        build_potential(load(None, overrides), np.ones(6))
    return str(raised.value)


@pytest.mark.parametrize(
    ("kind", "overrides", "parts"),
    [
        ("Modul", [], ["has no class or function Modul; did you mean Module? give one of Module,"]),
        ("number", [], ["has no class or function number; "]),
        ("Uncallable", [], ["its instances cannot be called; give the class a __call__"]),
        ("Picky", [], ["entropy.order is missing;", "takes order (int)"]),
        ("Picky", ["order=0"], ["making it raised ValueError: order is too small; correct"]),
        ("Picky", ["order=1.5"], ["entropy.order = 1.5 is not allowed;", "takes int"]),
        ("Module", ["flor=1"], ["entropy.flor = 1 is unknown; did you mean entropy.floor? "]),
        ("Module", ["x=1"], ["takes floor (float), shape (tuple[int, ...]), form (Literal['h"]),
        ("Module", ["floor=true"], ["entropy.floor = true is not allowed;", "takes float"]),
        ("Module", ["shape=[1, 2.5]"], ["entropy.shape = [1, 2.5] is not allowed;"]),
        ("Module", ["form=round"], ['entropy.form = "round" is not allowed;', "'soft'"]),
        ("Plain", ["floor=much"], ['entropy.floor = "much" is not allowed;', "takes float"]),
        ("function", ["features=1"], ["entropy.features = 1 is unknown;"]),
        ("anything", [], ["takes any **keywords; name them"]),
        ("each_atom", [], ["features of shape (39, 6), gave float64 of shape (39,); give a num"]),
        ("whole", [], ["gave int64 of shape (); give a number, shape ()"]),
        ("pair", [], ["gave tuple; give a number, shape ()"]),
        ("branch", [], ["raised TracerBoolConversionError: "]),
        ("spread", [], ["called with equal scaled features of shape (39, 6), has a value that is"]),
        ("undifferentiable", [], ["equal scaled features", "has a gradient that is not finite"]),
    ],
)
def test_an_estimator_that_cannot_be_used(own, kind, overrides, parts):
    given = [f"entropy.{override}" for override in overrides]
    message = problem(f"entropy.kind={own}:{kind}", *given)
    assert message.startswith("entropy.")
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("section", "kind", "parts"),
    [
        ("repulsion", "no_cutoff", ["its cutoff is None; give the class an attribute, or the"]),
        ("repulsion", "flat", ["gave float64 of shape (5,); give an energy, shape ()"]),
        ("descriptor", "flat", ["gave float64 of shape (5,); give features, shape (n_atoms, n_f"]),
        ("descriptor", "padding", ["depends on padding, entries where environments.mask is false"]),
        ("descriptor", "descriptor", ["descriptor.cutoff is missing;", "takes cutoff (float)"]),
        ("descriptor", "repulsion", ["gave float64 of shape (); give features"]),
    ],
)
def test_a_descriptor_or_a_repulsion_that_cannot_be_used(own, section, kind, parts):
    message = problem(f"{section}.kind={own}:{kind}")
    assert message.startswith(f"{section}.")
    for part in parts:
        assert part in message


def test_a_module_that_cannot_be_imported(own):
    message = problem("entropy.kind=not_there.at_all:Module")
    assert "there is no module not_there; give one of the current folder, " in message
    Path("own_broken.py").write_text("import own_missing_dependency\n")
    message = problem("entropy.kind=own_broken:Module")
    assert "importing own_broken raised ModuleNotFoundError: No module" in message
    Path("own_wrong.py").write_text("1 / 0\n")
    message = problem("entropy.kind=own_wrong:Module")
    assert "importing own_wrong raised ZeroDivisionError: division by zero; correct" in message
    assert sys.path.count(str(Path.cwd())) == 0


def test_a_given_scale_of_another_length(own):
    given = ["scaling.kind=given", "scaling.scale=[1.0, 2.0]", "run.structures=1"]
    with pytest.raises(JentmaxError, match=r"has 2 entries for the 5 features of descriptor\.kind"):
        jentmax.generate(load(None, [f"descriptor.kind={own}:Descriptor", *given]), "set.h5")


def test_lengths_of_own_kinds_are_not_scaled(own):
    Path("run.toml").write_text(f'[descriptor]\nkind = "{own}:Descriptor"\n')
    with pytest.raises(JentmaxError, match="has lengths that are not known"):
        load("run.toml", element="Fe")
    settings = load(None, [f"descriptor.kind={own}:Descriptor"], element="Fe")
    assert settings.system.species == ("Fe",)


def test_config_check_tries_them(own, call):
    Path("run.toml").write_text(f'[entropy]\nkind = "{own}:each_atom"\n')
    code, _, errors = call("config check run.toml")
    assert code == 2
    assert "gave float32 of shape (39,)" in errors or "gave float64 of shape (39,)" in errors
    Path("run.toml").write_text(f'[entropy]\nkind = "{own}:function"\n')
    assert call("config check run.toml")[0] == 0


def test_from_the_command_line_and_from_pythonpath(tmp_path, monkeypatch):
    # In another process, whose path the console script sets, not the current folder.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own_elsewhere.py").write_text(MODULE)
    Path("run.toml").write_text('[entropy]\nkind = "own_elsewhere:function"\n')
    code = "import sys; sys.path.remove(''); sys.argv[1:] = ['config', 'check', 'run.toml'];"
    code += "from jentmax.cli import main; main()"

    def check():
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "there is no module own_elsewhere" in check().stderr
    path = [str(elsewhere), *sys.path]
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, path)))
    assert check().stdout == "run.toml: good\n"


def test_checking_settings_imports_nothing(own):
    code = f"""
import json, sys
from jentmax.config import load
load(None, ["entropy.kind={own}:Module"])
print(json.dumps([name for name in ("jax", {own!r}) if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_package_implementations_work_as_own_code():
    potential = build_potential(
        load(
            None,
            [
                "entropy.kind=jentmax.entropy:NearestNeighbor",
                "repulsion.kind=jentmax.repulsion:ClarkeSmith",
                "descriptor.kind=jentmax.descriptors:Snap",
                "descriptor.cutoff=4.0",
                "descriptor.components=6",
            ],
        ),
        np.ones(6),
    )
    expected = build_potential(load(), np.ones(6))
    positions = jax.random.uniform(jax.random.key(0), (39, 3)) * 9
    cell = jnp.diag(jnp.array([9.54, 9.54, 14.31]))
    assert isinstance(potential.descriptor.function, Snap)
    assert float(potential.energy(positions, cell)) == pytest.approx(
        float(expected.energy(positions, cell)), rel=1e-12
    )
