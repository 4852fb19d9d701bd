"""The TOML writer against the standard library's reader."""

import datetime
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jentmax.config._toml import parsed, to_toml, toml_value
from jentmax.errors import JentmaxError

TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda text: text not in ("inf", "-inf")  # plain trees write infinite numbers so
)
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10
)


@given(st.dictionaries(TEXT, VALUES))
def test_reads_back_to_the_same_values(tree):
    assert tomllib.loads(to_toml(tree)) == tree
    assert tomllib.loads(to_toml({"table": tree})) == {"table": tree}


def test_keeps_types_apart():
    document = tomllib.loads(to_toml({"s": {"a": 1, "b": 1.0, "c": True, "d": "1"}}))
    assert [type(value) for value in document["s"].values()] == [int, float, bool, str]


def test_none_and_infinity_as_files_write_them():
    tree = {
        "batch_size": None,
        "quench": None,
        "descriptor": {"components": None, "unknown": None},
        "sampler": {"force_cap": "inf"},
        "run": {"output": "inf"},
    }
    assert tomllib.loads(to_toml(tree)) == {
        "batch_size": "auto",
        "quench": False,
        "descriptor": {"components": "all"},
        "sampler": {"force_cap": float("inf")},
        "run": {"output": "inf"},
    }


def test_shows_what_it_cannot_write():
    assert toml_value(datetime.date(2020, 1, 2)) == "2020-01-02"


@pytest.mark.parametrize(
    ("text", "message"),
    [("a = = 3", "not TOML"), ("a = " + "[" * 10_000, "nested too deeply")],
)
def test_what_is_not_toml(text, message):
    with pytest.raises(JentmaxError, match=f"^run.toml: .*{message}"):
        parsed(text, "run.toml")
