"""Classes and functions of a user's own, named in files."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jentmax
from jentmax.config import descriptor_from, load, recipe, recipe_from, to_toml
from jentmax.entropy import NearestNeighbor
from jentmax.errors import JentmaxError

MODULE = """
import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import Langevin


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
        assert environments.numbers.ndim == 1
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


def ramp(progress, power: float, low: float = 0.0):
    return low + (1 - low) * progress**power


class Mine(Langevin):
    extra: float = 1.0


class Listed:
    def __init__(self, orders: list[int]):
        self.orders = orders

    def __call__(self, features):
        return sum(jnp.sum(features**order) for order in self.orders) / 100


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
def own(tmp_path):
    """The module, in the current folder under a name that no other test has; that name."""
    name = "own_" + "".join(letter if letter.isalnum() else "_" for letter in tmp_path.name)
    Path(f"{name}.py").write_text(MODULE)
    return name


def random_features(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("name", ["Module", "Plain", "function"])
def test_an_estimator(own, name):
    made = recipe(None, [f"entropy.kind={own}:{name}", "entropy.floor=2.5"])
    estimator = made.potential.entropy
    features = random_features(39, 6, 2)
    expected = NearestNeighbor(2.5)(features)
    np.testing.assert_allclose(estimator(features), expected, rtol=1e-12)
    np.testing.assert_allclose(estimator(features[..., 0]), expected[0], rtol=1e-12)
    assert isinstance(hash(estimator), int)
    plain = made.to_plain()["entropy"]
    assert (plain["kind"], plain["floor"]) == (f"{own}:{name}", 2.5)


@pytest.mark.parametrize("kind", ["Descriptor", "descriptor"])
def test_a_descriptor(own, kind):
    from jentmax.evaluation import describe

    overrides = ["descriptor.cutoff=3.6"] if kind == "descriptor" else []
    made = recipe(None, [f"descriptor.kind={own}:{kind}", *overrides]).potential
    assert (made.descriptor.cutoff, made.descriptor.n_features, made.cutoff) == (3.6, 5, 3.6)
    structures = [ase.build.bulk("W"), ase.build.bulk("W", "fcc", 4.0)]
    snap = jentmax.Snap(cutoff=3.6, twojmax=2, components=5)
    np.testing.assert_allclose(
        describe(structures, made.descriptor).features,
        describe(structures, snap).features,
        rtol=1e-12,
    )


def test_a_repulsion_with_a_cutoff_of_its_own(own):
    overrides = [f"repulsion.kind={own}:repulsion", f"descriptor.kind={own}:Descriptor"]
    made = recipe(None, overrides).potential
    assert (made.repulsion.cutoff, made.cutoff) == (2.71, 3.6)
    system = jentmax.System.random(jax.random.key(0), "W12", density=0.03)
    theirs = recipe(None).potential.terms(system.positions, system.cell)
    ours = made.terms(system.positions, system.cell, system.numbers)
    np.testing.assert_allclose(ours.repulsion, theirs.repulsion, rtol=1e-9)


def test_a_sampler_and_schedules(own):
    made = recipe(
        None,
        [
            f"sampler.kind={own}:Mine",
            "sampler.extra=2",
            f"sampler.entropy_schedule={own}:ramp",
            f'sampler.temperature_schedule={{ kind = "{own}:ramp", power = 2, low = 0.5 }}',
        ],
    )
    assert type(made.sampler).__name__ == "Mine"
    assert made.sampler.temperature_schedule(0.5) == 0.625
    plain = made.to_plain()["sampler"]
    assert (plain["kind"], plain["extra"]) == (f"{own}:Mine", 2.0)
    assert plain["entropy_schedule"] == f"{own}:ramp"
    assert plain["temperature_schedule"] == {"kind": f"{own}:ramp", "power": 2.0, "low": 0.5}
    assert recipe_from(json.loads(json.dumps(made.to_plain())), own_code=True).to_plain() == (
        made.to_plain()
    )


@pytest.mark.slow
def test_plain_objects_are_pickled(own):
    made = recipe(None, [f"entropy.kind={own}:Plain", "entropy.floor=2.5"]).potential.entropy
    again = pickle.loads(pickle.dumps(made))
    features = random_features(8, 6)
    assert again(features) == made(features)


@pytest.mark.slow
def test_a_file_of_data_runs_no_code_unless_the_user_names_it(own):
    stored = recipe(None, [f"descriptor.kind={own}:Descriptor"]).to_plain()
    sys.modules.pop(own)
    for function in (descriptor_from, recipe_from):
        with pytest.raises(
            JentmaxError, match=r"is code outside jentmax, .* name it yourself"
        ) as e:
            function(stored)
        assert f"--set descriptor.kind={own}:Descriptor" in str(e.value)
    with pytest.raises(JentmaxError, match="is code outside jentmax"):
        descriptor_from(stored, ["descriptor.cutoff=3"])
    assert own not in sys.modules
    for kind, field in (
        ("entropy", {"kind": "os:abort"}),
        ("entropy", {"kind": "jentmax.dataset.output:os.abort"}),
        ("sampler", {"entropy_schedule": "os:abort"}),
        ("sampler", {"entropy_schedule": {"kind": "os:abort"}}),
    ):
        tree = recipe().to_plain()
        tree[kind] |= field
        with pytest.raises(JentmaxError, match="is code outside jentmax"):
            recipe_from(tree)
    assert descriptor_from(stored, [f"descriptor.kind={own}:Descriptor"]).n_features == 5
    assert descriptor_from(stored, own_code=True).n_features == 5
    # Any other kind serves too.
    snap = descriptor_from(stored, ["descriptor.kind=snap", "descriptor.cutoff=3"])
    assert snap == jentmax.Snap(cutoff=3.0)


def test_files_hold_all_fields(own):
    overrides = [f"entropy.kind={own}:Module", "entropy.shape=[3, 4]", "entropy.form=soft"]
    made = recipe(None, overrides)
    Path("run.toml").write_text(to_toml(made.to_plain()))
    assert recipe("run.toml").to_plain() == made.to_plain()


def problem(*overrides):
    """What is said of settings whose recipe cannot be made."""
    with pytest.raises(JentmaxError) as raised:
        recipe(None, overrides)
    heading, *lines = str(raised.value).splitlines()
    assert heading.endswith("1 problem in the settings")
    [line] = lines
    return line.strip()


@pytest.mark.parametrize(
    ("kind", "overrides", "parts"),
    [
        ("Modul", [], ["has no class or function Modul; did you mean Module? give one of Module,"]),
        ("number", [], ["has no class or function number; "]),
        ("Uncallable", [], ["its instances are not callable; add __call__ to the class"]),
        ("Picky", [], ["entropy.order is missing;", "give a whole number"]),
        ("Picky", ["order=0"], ["its constructor raised ValueError: order is too small; correct"]),
        ("Picky", ["order=1.5"], ["entropy.order = 1.5 is not allowed; give a whole number"]),
        ("Module", ["flor=1"], ["entropy.flor = 1 is unknown; did you mean entropy.floor? "]),
        ("Module", ["x=1"], ["[entropy] takes floor, shape, form"]),
        ("Module", ["floor=true"], ["entropy.floor = true is not allowed; give a number"]),
        ("Module", ["shape=[1, 2.5]"], ["entropy.shape = [1, 2.5] is not allowed;"]),
        ("Module", ["form=round"], ['entropy.form = "round" is not allowed;', '"soft"']),
        ("Plain", ["floor=much"], ['entropy.floor = "much" is not allowed; give a number']),
        ("function", ["features=1"], ["entropy.features = 1 is unknown;"]),
        ("each_atom", [], ["features of shape (12, 6), returned float64 of shape (12,); return a"]),
        ("whole", [], ["returned int64 of shape (); return a number, shape ()"]),
        ("pair", [], ["returned tuple; return a number, shape ()"]),
        ("branch", [], ["raised TracerBoolConversionError: "]),
        ("spread", [], ["called with equal scaled features of shape (12, 6), has a value that is"]),
        ("undifferentiable", [], ["equal scaled features", "has a gradient that is not finite"]),
    ],
)
def test_an_estimator_that_cannot_be_used(own, kind, overrides, parts):
    given = [f"entropy.{override}" for override in overrides]
    message = problem(f"entropy.kind={own}:{kind}", *given)
    assert message.startswith("entropy.")
    for part in parts:
        assert part in message
    if not overrides and kind != "Picky":
        assert message.startswith(f'entropy.kind = "{own}:{kind}"')


def test_lists_are_taken(own):
    made = recipe(None, [f"entropy.kind={own}:Listed", "entropy.orders=[2, 4]"])
    assert made.to_plain()["entropy"] == {"kind": f"{own}:Listed", "orders": [2, 4]}


@pytest.mark.parametrize(
    ("section", "kind", "parts"),
    [
        ("repulsion", "no_cutoff", ["its cutoff is None; pass"]),
        ("repulsion", "flat", ["returned float64 of shape (12,); return an energy, shape ()"]),
        (
            "descriptor",
            "flat",
            ["returned float64 of shape (12,); return features, shape (n_atoms"],
        ),
        ("descriptor", "padding", ["depends on padding, where environments.mask is false"]),
        ("descriptor", "descriptor", ["descriptor.cutoff is missing;", "give a number"]),
        ("descriptor", "repulsion", ["returned float64 of shape (); return features"]),
        ("sampler", "Plain", ["sampler.floor is missing"]),
        ("sampler", "Descriptor", ["its instances have no init and no step"]),
        ("start", "Descriptor", ["its instances have no draw and no extremes"]),
    ],
)
def test_another_part_that_cannot_be_used(own, section, kind, parts):
    discarded = ["start.kind=random"] if section != "start" else []
    message = problem(f"{section}.kind={own}:{kind}", *discarded)
    assert message.startswith(f"{section}.")
    for part in parts:
        assert part in message


def test_a_module_that_cannot_be_imported(own):
    message = problem("entropy.kind=not_there.at_all:Module")
    assert "there is no module not_there; give a module in the current folder, " in message
    Path("own_broken.py").write_text("import own_missing_dependency\n")
    message = problem("entropy.kind=own_broken:Module")
    assert "importing own_broken raised ModuleNotFoundError: No module" in message
    Path("own_wrong.py").write_text("1 / 0\n")
    message = problem("entropy.kind=own_wrong:Module")
    assert "importing own_wrong raised ZeroDivisionError: division by zero; correct" in message
    assert sys.path.count(str(Path.cwd())) == 0


def test_a_given_scale_of_another_length(own):
    message = problem(f"descriptor.kind={own}:Descriptor", "scale=[1.0, 2.0]")
    assert "each of the 5 features" in message


def test_lengths_of_own_kinds_are_not_scaled(own):
    Path("run.toml").write_text(f'[descriptor]\nkind = "{own}:Descriptor"\n')
    with pytest.raises(JentmaxError, match="its lengths are unknown"):
        load("run.toml", element="Fe")
    made = recipe(None, [f"descriptor.kind={own}:Descriptor"], element="Fe")
    assert made.start.formula == "Fe39"


@pytest.mark.slow
def test_from_the_command_line_and_from_pythonpath(tmp_path):
    # In another process, whose path the console script sets, not the current folder.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "own_elsewhere.py").write_text(MODULE)
    Path("run.toml").write_text('[entropy]\nkind = "own_elsewhere:function"\n')
    code = "import sys; sys.path.remove(''); sys.argv[1:] = ['config', 'check', 'run.toml'];"
    code += "from jentmax.cli import main; main()"

    def check(**environment):
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )

    assert "there is no module own_elsewhere" in check().stderr
    path = os.pathsep.join([str(elsewhere), *sys.path])
    assert check(PYTHONPATH=path).stdout == "run.toml: good\n"
    (elsewhere / "own_elsewhere.py").rename("own_elsewhere.py")
    assert check().stdout == "run.toml: good\n"
