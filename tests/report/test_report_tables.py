"""Tables for reading, and for programs."""

import csv
import io

import numpy as np
import pytest

from jentmax.report import Table, as_csv, as_markdown

TABLE = Table(
    "distances",
    "What they are.",
    ("train", "test", "mean", "mean s.e.", "n"),
    (("a", "b|c", 1.23456, 0.0123, 7), ("a", "d", 1234.5678, np.nan, 8)),
    n_keys=2,
    details=("n",),
    brief_rows=1,
)


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1.23456, 0.0123, "1.23 ± 0.01"),
        (15.8, 2.6, "16 ± 3"),
        (0.22841, 0.0003, "0.2284 ± 0.0003"),
        (1234.0, 250.0, "1234 ± 250"),
        (1.23456, np.nan, "1.235"),
        (0.01, 4e-19, "0.01000"),
        (12.0, 0.0, "12.00"),
        (0.0, 0.0, "0"),
        (1e-5, np.nan, "1e-05"),
        (123456.0, np.nan, "1.23e+05"),
        (np.nan, np.nan, "–"),
    ],
)
def test_numbers_are_rounded_to_their_errors(value, error, shown):
    table = Table("t", "", ("x", "x s.e."), ((value, error),), 0)
    assert table.display() == (["x"], [[shown]])


def test_brief():
    assert TABLE.display()[0] == ["train", "test", "mean", "n"]
    assert TABLE.display()[1] == [["a", "b|c", "1.23 ± 0.01", "7"], ["a", "d", "1235", "8"]]
    assert TABLE.display(brief=True) == (["train", "test", "mean"], [["a", "b|c", "1.23"]])


def test_markdown():
    assert as_markdown([TABLE]).splitlines() == [
        "## Distances",
        "",
        "What they are.",
        "",
        "| train | test | mean | n |",
        "| --- | --- | ---: | ---: |",
        "| a | b\\|c | 1.23 ± 0.01 | 7 |",
        "| a | d | 1235 | 8 |",
    ]


def test_csv_has_every_digit():
    rows = list(csv.DictReader(io.StringIO(as_csv([TABLE]))))
    assert [row["table"] for row in rows] == ["distances"] * 4
    assert rows[0] == {
        "table": "distances",
        "row": "a -> b|c",
        "column": "mean",
        "value": "1.23456",
        "standard error": "0.0123",
    }
    assert rows[1]["column"] == "n"
    assert rows[1]["standard error"] == ""
    assert float(rows[2]["value"]) == 1234.5678


def test_sets_may_be_called_as_columns_are():
    table = Table("Groups of Cu", "", ("group", "n", "group", "n"), (("bulk", 16, 0.5, 0.25),), 1)
    assert table.display() == (["group", "n", "group", "n"], [["bulk", "16", "0.5000", "0.2500"]])
    rows = list(csv.DictReader(io.StringIO(as_csv([table]))))
    assert [float(row["value"]) for row in rows] == [16, 0.5, 0.25]
    assert as_markdown([table]).startswith("## Groups of Cu\n")


def test_names_are_no_html():
    table = Table("groups of <i>", "of <i>", ("<i>",), (("a<b>",),), 1)
    text = as_markdown([table])
    assert "<" not in text
    assert text.count("&lt;") == 4


def test_numbers_that_are_not_defined_are_called_so():
    rows = (("a", np.nan, np.nan, 1.5), ("b", 2.0, np.inf, np.inf))
    table = Table("t", "What.", ("set", "x", "x s.e.", "y"), rows, 1, undefined="there is no b")
    assert table.caption == "What. – stands for a number that is not defined: there is no b."
    assert table.display()[1] == [["a", "–", "1.500"], ["b", "2.000", "–"]]
    rows = list(csv.reader(io.StringIO(as_csv([table]))))[1:]
    assert [row[3:] for row in rows] == [
        ["not defined", ""], ["1.5", ""], ["2.0", ""], ["not defined", ""]
    ]  # fmt: skip
    whole = Table("t", "What.", ("set", "x"), (("a", 1.0),), 1, undefined="there is no b")
    assert whole.caption == "What."
