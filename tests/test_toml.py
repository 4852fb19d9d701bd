"""The TOML writer against the standard library's reader."""

import datetime
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from jentmax.config._toml import toml_document, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10
)


@given(st.dictionaries(TEXT, VALUES))
def test_reads_back_to_the_same_values(fields):
    assert tomllib.loads(toml_document({"section": fields})) == {"section": fields}


def test_keeps_types_apart():
    document = tomllib.loads(toml_document({"s": {"a": 1, "b": 1.0, "c": True, "d": "1"}}))
    assert [type(value) for value in document["s"].values()] == [int, float, bool, str]


def test_shows_what_it_cannot_write():
    assert toml_value(datetime.date(2020, 1, 2)) == "2020-01-02"
