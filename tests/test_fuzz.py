"""Damaged and made-up files: a result or a clear error for each; scripts/fuzz.py does many more."""

import collections
import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jentmax.config import load, to_toml
from jentmax.config._toml import toml_document
from jentmax.config.settings import KINDS, Settings
from jentmax.errors import JentmaxError
from jentmax.structures import read_structures

SCRIPT = Path(__file__).parents[1] / "scripts" / "fuzz.py"

# The folder is the same for all examples of a test, and each writes its own file anew.
MANY = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def fuzz():
    known = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    module = importlib.util.module_from_spec(known)
    sys.modules["fuzz"] = module  # dataclasses look there, and the worker's process
    known.loader.exec_module(module)
    sys.path.insert(0, str(SCRIPT.parent))  # which the worker gets too
    yield module
    sys.path.remove(str(SCRIPT.parent))
    del sys.modules["fuzz"]


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


def fields(section):
    """Names of the fields of all kinds of a section, and others."""
    models = KINDS.get(section, {"": Settings.model_fields[section].annotation}).values()
    names = sorted({name for model in models for name in model.model_fields})
    return st.sampled_from([*names, "no such field", "é"])


SECTIONS = st.sampled_from(sorted(Settings.model_fields)).flatmap(
    lambda section: st.tuples(
        st.just(section), st.dictionaries(fields(section), VALUES, max_size=4)
    )
)


@MANY
@given(sections=st.lists(SECTIONS, max_size=3, unique_by=lambda pair: pair[0]))
def test_made_up_settings(tmp_path, sections):
    path = tmp_path / "run.toml"
    path.write_text(toml_document(dict(sections)), encoding="utf-8")
    for element in (None, "Fe"):
        found = result_or_clear_error(lambda element=element: load(path, element=element))
        if found is not None:
            path.write_text(to_toml(found), encoding="utf-8")
            assert load(path) == found


@MANY
@given(text=st.text(max_size=200))
def test_any_text_as_settings(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    result_or_clear_error(lambda: load(path))


@MANY
@given(
    field=SECTIONS,
    value=st.text(max_size=30) | VALUES.map(str),
    key=st.text(max_size=10) | st.none(),
)
def test_any_text_as_override(field, value, key):
    section, values = field
    names = [*values, key] if key is not None else list(values)
    for name in names:
        result_or_clear_error(lambda name=name: load(None, [f"{section}.{name}={value}"]))


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
