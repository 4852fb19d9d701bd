"""Cases of scripts/fuzz.py, which does many more: a result or a clear error for each."""

import collections
import functools
import importlib.util
import sys
from pathlib import Path

import ase
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
    sys.path.insert(0, str(SCRIPT.parent))  # for its other modules; the worker gets it too
    known.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzz():
    return script()


def outcomes_of(fuzz, n, *kinds):
    """Counts of the outcomes of the first cases of some kinds; none fails."""
    outcomes = collections.Counter()
    assert list(fuzz.failures(fuzz.cases(0, n, 0, kinds), None, outcomes)) == []
    return outcomes


def test_damaged_and_made_up_files(fuzz):
    kinds = fuzz.fuzz_files.KINDS
    outcomes = outcomes_of(fuzz, 150, *kinds)
    for kind in kinds:
        assert outcomes[f"{kind}: error"] > 0, outcomes
    assert outcomes["complete.h5: result"] > 0


QUICK = ("labels", "frames", "database", "names", "launcher")


def test_labels_frames_databases_names_and_launchers(fuzz):
    outcomes = outcomes_of(fuzz, 60, *QUICK)
    for kind in QUICK:
        assert outcomes[f"{kind}: result"] > 0, outcomes
    for kind in ("labels", "frames", "names", "launcher"):
        assert outcomes[f"{kind}: error"] > 0, outcomes


@pytest.mark.slow  # compiles, and starts processes
@pytest.mark.parametrize(
    ("kind", "n"), [("labels", 200), ("degenerate", 12), ("terminal", 10), ("back-end", 4)]
)
def test_more_of_what_strangers_bring(fuzz, kind, n):
    outcomes = outcomes_of(fuzz, n, kind)
    assert outcomes[f"{kind}: result"] > 0
    assert outcomes[f"{kind}: error"] > 0


@pytest.mark.slow  # starts processes
def test_figures_whatever_the_settings(fuzz):
    assert outcomes_of(fuzz, 2, "drawing")["drawing: result"] == 2


def test_a_case_is_the_same_whatever_kinds_are_chosen(fuzz):
    every = list(fuzz.cases(0, 100, 3, fuzz.WEIGHTS))
    some = list(fuzz.cases(0, 5, 3, ["labels"]))
    assert [case for case in every if case.kind == "labels"][:5] == some
    assert some[0].rng.random() == fuzz.case_of(some[0].number, 3).rng.random()
    assert {case.kind for case in fuzz.cases(0, 500, 0, fuzz.WEIGHTS)} == set(fuzz.WEIGHTS)


def test_what_is_a_failure(fuzz, tmp_path):
    """A crash, a hang and a traceback are told apart, and the cases after them run."""
    (tmp_path / "case.toml").write_text("")
    good = fuzz.Case("run.toml", 0, 0)
    with fuzz.Worker(seconds=60.0) as worker:
        assert worker.run(fuzz.Case("run.unknown", 0, 0), tmp_path).startswith("traceback: ")
        assert worker.run(good, tmp_path) == "result"
        worker._process.kill()
        assert worker.run(good, tmp_path) == "crash: exit code -9"
        worker.seconds = 0.0
        assert worker.run(good, tmp_path).startswith("hang: ")


def test_what_is_lost_is_a_failure(fuzz):
    """What the judges of the cases say of a value, a frame and a message that are not right."""
    structures = fuzz.fuzz_structures
    atoms = ase.Atoms("W", info={"group": "a"})
    given = [{"group": ["a"], "REF_energy": [1.5]}]
    structures.refuse_dropped(given, [atoms], "note: no REF_energy")
    with pytest.raises(AssertionError, match=r"REF_energy = 1\.5 is lost"):
        structures.refuse_dropped(given, [atoms], "")
    with pytest.raises(AssertionError, match="1 structures went in, 2 came back"):
        structures.refuse_dropped(given, [atoms, atoms], "")
    for code, told in ((1, "error: a"), (2, ""), (0, "a/b.py:3: x"), (2, "error: \x1b[2J")):
        with pytest.raises(AssertionError):
            fuzz.fuzz_reading.refuse_unclear(code, "", told)
    assert fuzz.fuzz_reading.refuse_unclear(2, "", "error: a") == (2, "", "error: a")


def test_samples_are_good(fuzz, tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    for kind, content in fuzz.fuzz_files.samples(tmp_path).items():
        (folder / kind).write_bytes(content)
        assert fuzz.fuzz_reading.attempt(folder / kind) == "result"
        if kind.endswith(".h5"):  # the checksum is HDF5's
            assert fuzz.fuzz_files.with_checksums(content) == content


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
    known = script().fuzz_files.tables()
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
