"""Sets from recipes: what is in them, going on, and what is refused."""

import json
import os
import shutil
import sys
import threading
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_runs import Stopped, assert_identical, columns, ended, left, made, started, tiny

import jentmax as jm
from jentmax.dataset import ChunkId, Dataset, Parts, reopen_set
from jentmax.devices import versions
from jentmax.errors import JentmaxError
from jentmax.generation import Process, Resolved, _identity, generate
from jentmax.generation._identity import fingerprint


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """11 structures: chains 0 to 3 in the first batch, 4 to 7 in the second."""
    return generate(tiny(), structures=11, output=tmp_path_factory.mktemp("run") / "set.h5")


@pytest.fixture(scope="module")
def whole(file):
    return columns(file)


@pytest.fixture
def computed(monkeypatch):
    """The chunks that are computed."""
    seen, chunk = [], Resolved.chunk

    def spied(self, batch, cycle, *more, stream=0, **options):
        seen.append(ChunkId(stream, batch, cycle))
        return chunk(self, batch, cycle, *more, stream=stream, **options)

    monkeypatch.setattr(Resolved, "chunk", spied)
    return seen


def stopping(after):
    """A callback that ends the run when so many structures are there."""

    def callback(progress):
        if progress.made >= after:
            raise Stopped

    return callback


def stopped(recipe, after, structures=11, **options):
    with pytest.raises(Stopped):
        generate(
            recipe, structures=structures, output="set.h5", callback=stopping(after), **options
        )


# What is in the file


def test_the_order_of_a_set(whole):
    """A batch's first cycle, its second one, and then the next batch."""
    assert whole["index"].tolist() == list(range(11))
    assert whole["chain"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6]
    assert whole["cycle"].tolist() == [0] * 4 + [1] * 4 + [0] * 3
    assert whole["pbc"].all()
    assert whole["pointer"].tolist() == list(range(0, 96, 8))
    assert (whole["numbers"] == 74).all()
    assert len({p.tobytes() for p in whole["positions"].reshape(11, 24)}) == 11


def test_header(file):
    with Dataset(file) as dataset:
        assert (dataset.kind, dataset.status, dataset.seed) == ("generated", "complete", 0)
        assert dataset.recipe == json.loads(json.dumps(tiny().to_plain()))
        assert dataset.versions == versions()
        assert "CPU" in dataset.device or "GPU" in dataset.device
        assert dataset.scale.tolist() == [2, 0.3, 0.5, 1, 0.6]
        assert dataset.shift.tolist() == [0] * 5
        assert dataset.discarded == {"not finite": 0, "too close": 0}
        assert dataset.header["sha256"] == ""  # no code of the user's
        assert dataset.header["streams"][0]["batch_size"] == 4
    assert left(file.parent) == ["set.h5"]


def test_structures_are_those_of_the_chunks(whole):
    resolved = tiny().resolve(0)
    first = resolved.chunk(0, 0)
    second = resolved.chunk(0, 1, first)
    third = resolved.chunk(1, 0)
    for name in ("positions", "descriptors"):
        found = np.concatenate([getattr(one, name) for one in (first, second, third[:3])])
        assert np.array_equal(found, whole[name])
    for name in ("energy", "entropy", "temperature", "least_distance", "chain", "cycle"):
        found = np.concatenate([one.columns[name] for one in (first, second, third[:3])])
        assert np.array_equal(found, whole[name])


def test_another_seed(whole):
    other = made(tiny(), seed=1)
    assert not np.any(other["positions"] == whole["positions"])


@pytest.mark.parametrize("devices", [1, None])
def test_one_device_or_all(whole, devices):
    assert_identical(made(tiny(), devices=devices), whole)


def test_precision_ends_with_the_run():
    recipe = tiny(precision="float64")
    with jax.enable_x64(False):
        found = made(recipe, 2)
        assert jnp.ones(1).dtype == jnp.float32
    assert found["entropy"][0] != float(np.float32(found["entropy"][0]))
    with jax.enable_x64(True):
        assert_identical(made(recipe, 2, output="again.h5"), found)


def test_the_atoms_cool_down():
    """The temperature recorded is that of the last tenth: 500 K in the mean of a linear ramp."""
    found = made(tiny(steps=200, cycles_per_chain=1), 8)
    # 24 degrees of freedom and 20 correlated steps scatter by a fourth; the velocities lag behind
    # by the friction's 10 fs, another 500 K, and the entropy's jumps heat.
    assert 200 < found["temperature"].mean() < 2500


# Going on


@pytest.mark.parametrize("after", [0, 1, 5])
def test_going_on_after_a_stop(whole, computed, after):
    """Chunks that are there are not made again."""
    if after:
        stopped(tiny(), after, devices=1)
    before = Parts("set.h5").chunks()
    computed.clear()
    assert_identical(made(tiny()), whole)
    assert not before & set(computed)
    assert len(computed) == len(set(computed))
    assert left() == ["set.h5"]


def test_a_set_under_way_can_be_read(whole):
    stopped(tiny(), 5, devices=1)
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
        n = len(dataset)
        assert n >= 5
    found, expected = columns("set.h5", 4), columns_of(whole, 4)
    for name in ("index", "positions", "descriptors", "energy", "cells", "temperature"):
        assert np.array_equal(found[name], expected[name]), name


def columns_of(found, n):
    atoms = ("positions", "numbers", "descriptors")
    return {k: v[: 8 * n] if k in atoms else v[: n + (k == "pointer")] for k, v in found.items()}


def test_the_same_command_again_does_nothing(file, whole, computed):
    shutil.copy(file, "set.h5")
    content, told = Path("set.h5").read_bytes(), []
    assert_identical(made(tiny(), callback=told.append), whole)
    assert Path("set.h5").read_bytes() == content
    assert not computed
    assert [(one.phase, one.done, one.before) for one in told] == [("complete", 11, 11)]


@pytest.mark.parametrize("structures", [12, 13, 16, 20])
def test_a_larger_set_only_appends(file, whole, computed, structures):
    """From a finished file, whose surplus counts too."""
    shutil.copy(file, "set.h5")
    larger = made(tiny(), structures)
    assert_identical(columns_of(larger, 11), whole)
    assert set(computed) <= {ChunkId(0, 1, 1), ChunkId(0, 2, 0), ChunkId(0, 2, 1)}
    assert_identical(larger, made(tiny(), structures, output="at-once.h5"))
    assert left() == ["at-once.h5", "set.h5"]


def test_a_larger_set_from_one_under_way(whole):
    stopped(tiny(), 4, devices=1)
    larger = made(tiny(), 14)
    assert_identical(columns_of(larger, 11), whole)


def test_a_smaller_set_from_one_under_way(whole):
    stopped(tiny(), 5, devices=1)
    assert_identical(made(tiny(), 3), columns_of(whole, 3))


def test_a_smaller_set_is_refused(file):
    shutil.copy(file, "set.h5")
    content = Path("set.h5").read_bytes()
    with pytest.raises(JentmaxError, match=r"structures = 10: set\.h5 has 11 already; ask for as"):
        generate(tiny(), structures=10, output="set.h5")
    assert Path("set.h5").read_bytes() == content
    assert len(made(tiny(), 10, overwrite=True)["index"]) == 10


@pytest.mark.parametrize("there", ["finished", "under way"])
@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        ({"steps": 21}, {}, ["steps is 21, was 20"]),
        ({}, {"seed": 3}, ["seed is 3, was 0"]),
        ({"density": 0.029}, {"seed": 1}, ["start.density is 0.029, was 0.03", "seed is 1, was 0"]),
        ({"batch_size": 8}, {}, ["batch_size is 8, was 4"]),
        ({"entropy": jm.Gaussian()}, {}, ['entropy.kind is "gaussian", was "nearest-neighbor"']),
        ({"scale": (2.0, 0.3, 0.5, 1.0, 0.7)}, {}, ["scale is [2.0, 0.3, 0.5, 1.0, 0.7], was"]),
        ({"sampler": jm.Langevin(friction=50.0)}, {}, ["sampler.friction is 50.0, was 100.0"]),
        ({"quench": jm.Quench(steps=3)}, {}, ["quench.steps is 3, was", "quench"]),
    ],
)
def test_another_recipe_or_seed_is_refused(file, there, change, options, told):
    if there == "finished":
        shutil.copy(file, "set.h5")
    else:
        Parts("set.h5").begin(header_of(file))
    before = contents()
    with pytest.raises(JentmaxError) as refused:
        generate(tiny(**change), structures=12, output="set.h5", **options)
    message, *lines = str(refused.value).split("\n")
    assert (
        "set.h5 was made with another recipe, seed or version; give the same recipe and seed"
        in message
    )
    assert "another output, or --overwrite" in message
    assert len(lines) >= len(told)
    for line in told:
        assert any(line in one for one in lines), lines
    assert contents() == before


def header_of(path):
    with Dataset(path) as dataset:
        return dict(dataset.header)


def contents():
    """All files below this folder."""
    return {
        os.path.join(folder, name): Path(folder, name).read_bytes()
        for folder, _, names in os.walk(".")
        for name in names
    }


def test_another_version_is_refused(file, monkeypatch):
    shutil.copy(file, "set.h5")
    changed = versions() | {"jentmax": "9.9"}
    monkeypatch.setattr(_identity, "versions", lambda: changed)
    with pytest.raises(JentmaxError, match=rf"jentmax is 9\.9, was {versions()['jentmax']}"):
        generate(tiny(), structures=12, output="set.h5")


def test_other_versions_of_jax_are_told(file, whole, monkeypatch):
    shutil.copy(file, "set.h5")
    changed = versions() | {"jaxlib": "9.9"}
    monkeypatch.setattr(_identity, "versions", lambda: changed)
    notes = []
    generate(tiny(), structures=17, output="set.h5", callback=lambda told: notes.append(told.note))
    [note] = filter(None, notes)
    assert f"jaxlib {versions()['jaxlib']} before, 9.9 now: last digits may differ" in note


def test_batch_sizes_that_fit_are_accepted(file, whole):
    """The stored one by its number, or none; whether it was given or found."""
    shutil.copy(file, "set.h5")
    assert_identical(made(tiny(batch_size=None)), whole)
    stored = header_of(file)
    assert stored["recipe"]["batch_size"] == 4
    stored["recipe"]["batch_size"] = None
    Parts("found.h5").begin(stored)
    assert_identical(made(tiny(batch_size=4), output="found.h5"), whole)
    with pytest.raises(JentmaxError, match="batch_size is 2, was 4"):
        generate(tiny(batch_size=2), structures=11, output="found.h5")


def test_a_folder_of_another_set_beside_a_file_is_removed(file, whole):
    """Of the same recipe and seed, but another batch size: the file counts."""
    shutil.copy(file, "set.h5")
    header = header_of(file)
    header["streams"][0]["batch_size"] = 2
    header["recipe"]["batch_size"] = None
    parts = Parts("set.h5")
    parts.begin(header)
    larger = made(tiny(batch_size=None), 14)
    assert_identical(columns_of(larger, 11), whole)
    assert left() == ["set.h5"]


def test_a_folder_in_which_another_goes_on_to_more_is_left_alone(file, whole):
    shutil.copy(file, "set.h5")
    stop = stopping(1)
    with pytest.raises(Stopped):
        generate(tiny(), structures=30, output="set.h5", callback=stop)
    chunks = Parts("set.h5").chunks()
    assert chunks
    assert_identical(made(tiny()), whole)
    assert Parts("set.h5").chunks() == chunks
    assert_identical(columns_of(made(tiny(), 30), 11), whole)
    assert left() == ["set.h5"]


def test_a_kill_between_the_file_and_the_folder(file, whole, computed):
    """The next command removes the folder."""
    shutil.copy(file, "set.h5")
    reopen_set(Parts("set.h5"))
    with Dataset("set.h5") as dataset:
        assert dataset.status == "complete"
    assert_identical(made(tiny()), whole)
    assert not computed
    assert left() == ["set.h5"]


# Overwriting


def test_overwriting(file, whole):
    other = made(tiny(steps=21))
    with pytest.raises(JentmaxError, match="steps is 20, was 21"):
        generate(tiny(), structures=11, output="set.h5")
    assert_identical(made(tiny(), overwrite=True), whole)
    assert not np.any(other["positions"] == whole["positions"])
    assert left() == ["set.h5"]


def test_overwriting_a_set_under_way(whole):
    stopped(tiny(steps=21), 4)
    assert_identical(made(tiny(), overwrite=True), whole)
    assert left() == ["set.h5"]


def test_the_same_overwriting_command_goes_on(whole, computed):
    made(tiny(steps=21), 2)
    stopped(tiny(), 5, overwrite=True, devices=1)
    before = Parts("set.h5").chunks()
    assert before
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
    computed.clear()
    assert_identical(made(tiny(), overwrite=True), whole)
    assert not before & set(computed)


def test_an_empty_file_counts_as_none(whole):
    """As mktemp makes it, or a kill on a file system without hard links."""
    Path("set.h5").touch()
    assert_identical(made(tiny()), whole)


@pytest.mark.parametrize("content", [b"something else", b"\x89HDF\r\n\x1a\n"])
def test_files_of_others(content, whole):
    """They are refused, and replaced if that is asked for."""
    Path("set.h5").write_bytes(content)
    with pytest.raises(JentmaxError, match=r"set\.h5"):
        generate(tiny(), structures=11, output="set.h5")
    assert Path("set.h5").read_bytes() == content
    assert left() == ["set.h5"]
    assert_identical(made(tiny(), overwrite=True), whole)


# Functions of the user's


def cubed(q):
    return jnp.sum(q**3) / 100


def doubled(q):
    return 2 * jnp.sum(q**3) / 100


@pytest.mark.slow
def test_an_edited_function_is_refused(monkeypatch):
    first = made(tiny(cubed), 4)
    assert first["entropy"].shape == (4,)
    edited = types.FunctionType(doubled.__code__, globals(), "cubed")
    edited.__module__, edited.__qualname__ = cubed.__module__, cubed.__qualname__
    assert tiny(edited).to_plain() == tiny(cubed).to_plain()
    with pytest.raises(JentmaxError, match="a function of the recipe has been edited since"):
        generate(tiny(edited), structures=8, output="set.h5")
    assert len(made(tiny(cubed), 8)["index"]) == 8


class Own(jm.Langevin):
    """A sampler of the user's."""

    def _temperature(self, progress):
        return super()._temperature(progress) * FACTOR


FACTOR = 1.0


class Start(jm.RandomStart):
    """A start of the user's."""

    def draw(self, seed, stream, chain, cycle):
        system = super().draw(seed, stream, chain, cycle)
        return jax.tree.map(lambda a: a * FACTOR if a.shape == (8, 3) else a, system)


@pytest.mark.slow
def test_fingerprints(monkeypatch):
    """The same for equal code, whatever was traced before; another one for each change."""
    assert fingerprint(tiny()) == ""
    recipes = {
        "entropy": tiny(cubed),
        "other entropy": tiny(doubled),
        "sampler": tiny(sampler=Own()),
        "start": tiny(start=Start("W8", density=0.03)),
        "parameter": tiny(cubed, sampler=jm.Langevin(entropy_schedule=lambda x: x**3)),
    }
    found = {name: fingerprint(recipe) for name, recipe in recipes.items()}
    assert len(set(found.values())) == len(found)
    jax.clear_caches()
    for name in reversed(recipes):
        assert fingerprint(recipes[name]) == found[name], name
    with jax.enable_x64(False), jax.default_matmul_precision("bfloat16"):
        assert fingerprint(recipes["entropy"]) == found["entropy"]
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 1.5)
    assert fingerprint(tiny(sampler=Own())) != found["sampler"]
    assert fingerprint(tiny(start=Start("W8", density=0.03))) != found["start"]


@pytest.mark.slow
def test_fingerprints_in_other_processes():
    """Also after other programs were traced."""
    script = """
    import jax.numpy as jnp
    from jentmax.generation._identity import fingerprint
    jax.config.update("jax_enable_x64", True)
    def cubed(q):
        return jnp.sum(q**3) / 100
    if sys.argv[1] == "late":
        tiny().resolve().chunk(0, 0)
        fingerprint(tiny(lambda q: jnp.sum(jnp.tanh(q))))
    print(fingerprint(tiny(cubed)))
    """
    running = [started(script, when) for when in ("early", "late")]
    assert {ended(process).strip() for process in running} == {fingerprint(tiny(cubed))}


# Bad input


@pytest.mark.parametrize("structures", [0, -1, True, 2.0, "3", None])
def test_numbers_of_structures(structures):
    with pytest.raises(JentmaxError, match=r"structures = .* whole number of at least 1"):
        generate(tiny(), structures=structures, output="set.h5")
    assert left() == []


def test_a_number_of_numpy():
    assert len(made(tiny(), np.int64(2))["index"]) == 2


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0", True, None])
@pytest.mark.parametrize("there", [False, True])
def test_seeds(file, seed, there):
    if there:
        shutil.copy(file, "set.h5")
    with pytest.raises(JentmaxError, match=r"seed = .* from 0 to 4294967295"):
        generate(tiny(), structures=11, output="set.h5", seed=seed)
    assert left() == ["set.h5"] * there


@pytest.mark.parametrize("devices", [0, -1, 1000, True, 1.5])
def test_devices(devices):
    with pytest.raises(JentmaxError, match=rf"devices = {devices}"):
        generate(tiny(), structures=3, output="set.h5", devices=devices)
    assert left() == []


@pytest.mark.parametrize(
    "process", [Process(2, 2), Process(-1, 2), Process(0, 0), (0, 1), 1, "0/2"]
)
def test_processes_that_do_not_fit(process):
    with pytest.raises(JentmaxError, match=r"process = .* process I of N, with I from 0 to N - 1"):
        generate(tiny(), structures=3, output="set.h5", process=process)
    assert left() == []


def test_several_processes_do_not_overwrite():
    with pytest.raises(JentmaxError, match=r"cannot agree .* remove it and set\.h5\.parts first"):
        generate(tiny(), structures=3, output="set.h5", overwrite=True, process=Process(0, 2))


@pytest.mark.parametrize("recipe", ["tungsten", {"steps": 3}, None])
def test_no_recipe(recipe):
    with pytest.raises(JentmaxError, match=r"recipe = .* give a Recipe"):
        generate(recipe, structures=3, output="set.h5")


@pytest.mark.parametrize(
    ("output", "told"),
    [("no/such/folder.h5", "there is no folder no/such; create it"), ("folder", "is a folder")],
)
def test_outputs(output, told, computed):
    os.mkdir("folder")
    with pytest.raises(JentmaxError, match=told):
        generate(tiny(), structures=3, output=output)
    assert not computed
    assert left() == ["folder"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, r"Recipe\.steps = 0 is not allowed; give a whole number"),
        ({"steps": 1.5}, r"Recipe\.steps = 1\.5"),
        ({"stepps": 3}, r"Recipe\.stepps = 3 is unknown; did you mean steps\?"),
        ({"entropy_weight": -1.0}, r"Recipe\.entropy_weight = -1\.0 .* at least 0, a range"),
        ({"entropy_weight": (3.0, 1.0)}, r"Recipe\.entropy_weight = \[3\.0, 1\.0\]"),
        ({"entropy_weight": "most"}, r'Recipe\.entropy_weight = "most" .* or "auto"'),
        ({"entropy_weight": "auto"}, r'entropy_weight = "auto" .* give a min_distance above 0'),
        ({"batch_size": 0}, r"Recipe\.batch_size = 0 .* at least 1"),
        ({"precision": "float16"}, r'Recipe\.precision = "float16"'),
        ({"min_distance": -0.1}, r"Recipe\.min_distance = -0\.1"),
        ({"quench": 300}, r"Recipe\.quench = 300"),
        ({"cycles_per_chain": 0}, r"Recipe\.cycles_per_chain = 0"),
    ],
)
def test_recipes(change, told):
    with pytest.raises(JentmaxError, match=told):
        tiny(**change)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"formula": "Xx8"}, r"formula = 'Xx8' is not allowed; give the elements"),
        ({"formula": "W1"}, r'formula = "W1" has one atom; the entropy needs at least 2'),
        ({"formula": ()}, r"RandomStart\.formula = \[\] is not allowed"),
        ({"formula": ("W8", "W8")}, r"repeats a formula; give each"),
        ({"density": 0.0}, r"RandomStart\.density = 0\.0 is not allowed; give a number above 0"),
        ({"density": (0.03, 0.02)}, r"RandomStart\.density = \[0\.03, 0\.02\]"),
        ({"density": 0.2}, r"density = 0\.2 leaves no room .* give a density of at most"),
        ({"density": float("nan")}, r"RandomStart\.density"),
        ({"aspect_ratio": 50.0}, r"least_distance = 2 Å exceeds the shortest side"),
        ({"masses": {"Xx": 1.0}}, r"RandomStart\.masses .* by element"),
        ({"densty": 0.03}, r"RandomStart\.densty = 0\.03 is unknown; did you mean density\?"),
    ],
)
def test_starts(arguments, told):
    with pytest.raises(JentmaxError, match=told):
        jm.RandomStart(**{"formula": "W8", "density": 0.03} | arguments)


def test_a_formula_that_the_potential_does_not_know():
    snap = jm.Snap(cutoff=3.6, chemflag=True, elements=("W", "Be"))
    potential = jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor())
    start = jm.RandomStart("W6Fe2", density=0.03)
    with pytest.raises(JentmaxError, match=r'formula = "W6Fe2" contains Fe, .* give only Be, W'):
        jm.Recipe(potential, jm.Langevin(), start=start, steps=20, entropy_weight=1.0)


def test_far_too_many_neighbors():
    snap = jm.Snap(cutoff=40.0, twojmax=2, components=5)
    potential = jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor(), scale=[1.0] * 5)
    start = jm.RandomStart("W8", density=0.03)
    with pytest.raises(JentmaxError, match=r"cutoff = 40 Å is too large .* at most 2000"):
        jm.Recipe(potential, jm.Langevin(), start=start, steps=20, entropy_weight=1.0)


def test_generating_in_a_thread(whole):
    found = {}
    thread = threading.Thread(target=lambda: found.update(made(tiny())))
    thread.start()
    thread.join()
    assert_identical(found, whole)
