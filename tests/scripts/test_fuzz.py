"""Damaged and made-up files: a result or a clear error for each; scripts/fuzz.py does many more."""

import collections
import functools
import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jentmax.config import load, recipe_from, to_toml
from jentmax.dataset import read_structures
from jentmax.errors import JentmaxError
from jentmax.fields import fields_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"

# The folder is the same for all examples of a test, and each overwrites the file of the last one.
MANY = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@functools.cache
def script():
    known = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert known is not None
    assert known.loader is not None
    module = importlib.util.module_from_spec(known)
    sys.modules["fuzz"] = module  # dataclasses look there, and the worker's process
    known.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(SCRIPT.parent))  # which the worker gets too
    yield script()
    sys.path.remove(str(SCRIPT.parent))


def test_damaged_and_made_up_files(fuzz):
    outcomes = collections.Counter()
    failed = list(fuzz.failures(range(150), 0, None, outcomes))
    assert failed == []
    for kind in fuzz.KINDS:
        assert outcomes[f"{kind}: error"] > 0, outcomes
    assert outcomes["complete.h5: result"] > 0


def test_what_is_a_failure(fuzz, tmp_path):
    """A crash, a hang and a traceback are told apart, and the cases after them run."""
    path = tmp_path / "run.toml"
    path.write_text("")
    with fuzz.Worker(seconds=60.0) as worker:
        assert worker.run(tmp_path / "run.unknown").startswith("traceback: ")
        assert worker.run(path) == "result"
        worker._process.kill()
        assert worker.run(path) == "crash: exit code -9"
        worker.seconds = 0.0
        assert worker.run(path).startswith("hang: ")


def test_samples_are_good(fuzz, tmp_path):
    for kind, content in fuzz.samples(tmp_path).items():
        (tmp_path / kind).write_bytes(content)
        assert fuzz.attempt(tmp_path / kind) == "result"
        if kind.endswith(".h5"):  # the checksum is HDF5's
            assert fuzz.with_checksums(content) == content


def result_or_clear_error(action):
    try:
        return action()
    except JentmaxError as error:
        assert str(error).strip()  # noqa: PT017
        return None


SCALARS = (
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "all", "snap", "os:system", "W", "Xx", "\x1b[2J"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["W", "Fe", "a b", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)


TABLES = ("", "start", "descriptor", "repulsion", "entropy", "sampler", "scale", "quench", "run")


@st.composite
def made_up_tables(draw):
    """A recipe's own fields and tables, with values of all types."""
    known = script().tables()
    tree = {}
    for table in draw(st.lists(st.sampled_from(TABLES), max_size=3, unique=True)):
        names = {name for target in known[table].values() for name in fields_of(target)}
        names = st.sampled_from([*sorted(names), "kind", "no such field", "é"])
        values = draw(st.dictionaries(names, VALUES, max_size=4))
        tree |= {table: values} if table else values
    return tree


@MANY
@given(tree=made_up_tables())
def test_made_up_recipes(tmp_path, tree):
    path = tmp_path / "run.toml"
    path.write_text(to_toml(tree), encoding="utf-8")
    for element in (None, "Fe"):
        found = result_or_clear_error(
            lambda element=element: recipe_from(load(path, element=element)[0])
        )
        if found is not None:
            path.write_text(to_toml(found.to_plain()), encoding="utf-8")
            assert recipe_from(load(path)[0]).to_plain() == found.to_plain()


@MANY
@given(text=st.text(max_size=200))
def test_any_text_as_a_recipe(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    result_or_clear_error(lambda: load(path))


@MANY
@given(
    tree=made_up_tables(),
    value=st.text(max_size=30) | VALUES.map(str),
    key=st.text(max_size=10) | st.none(),
)
def test_any_text_as_override(tree, value, key):
    for table, values in tree.items():
        names = list(values) if isinstance(values, dict) else [""]
        for name in [*names, key] if key is not None else names:
            override = f"{table}.{name}={value}" if name else f"{table}={value}"
            result_or_clear_error(lambda override=override: load(None, [override]))


WORD = (
    st.sampled_from(["W", "Fe", "Xx", "0", "1.5", "-1", "nan", "inf", "T", "F", "1e999", "9" * 30])
    | st.floats().map(str)
    | st.integers().map(str)
    | st.text(max_size=6)
)
COUNT = st.sampled_from(["1", "1", "2", "0", "-1", "1000000000000", "", "x", "1_0"])
PAIR = st.tuples(
    st.sampled_from(["Lattice", "Properties", "pbc", "config_type", "energy", "stress", "a"]),
    st.sampled_from(['"', "'", ""]),
    st.lists(WORD, max_size=9)
    | st.sampled_from(
        [["5 0 0 0 5 0 0 0 5"], ["species:S:1:pos:R:3"], ["pos:R:999999999"], ["_JSON", "[[1], 2]"]]
    ),
).map(lambda pair: f"{pair[0]}={pair[1]}{' '.join(pair[2])}{pair[1]}")
FRAME = st.tuples(
    COUNT,
    st.lists(PAIR | WORD, max_size=4).map(" ".join),
    st.lists(st.lists(WORD, min_size=3, max_size=5).map(" ".join) | st.just("W 0 0 0"), max_size=3),
).map(lambda frame: "\n".join([frame[0], frame[1], *frame[2]]))


@MANY
@given(frames=st.lists(FRAME, max_size=3))
def test_made_up_extended_xyz(tmp_path, frames):
    path = tmp_path / "set.extxyz"
    path.write_text("\n".join(frames), encoding="utf-8", errors="replace")
    structures = result_or_clear_error(lambda: read_structures(path))
    if structures is not None:
        assert "\x1b" not in "".join(structures.groups)
        assert len(structures.numbers) == structures.pointer[-1]
