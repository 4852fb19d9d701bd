"""The page of promises names tests that there are."""

import pathlib
import re

TESTS = pathlib.Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_promise_has_a_test():
    tables = re.findall(r"^\| promise \| test \|\n.*\n((?:\|.*\n)+)", PAGE.read_text(), re.M)
    promises = [row for table in tables for row in table.splitlines()]
    assert promises
    for row in promises:
        named = re.findall(r"`(test_\w+\.py)::(\w+)`", row)
        assert named, row
        for module, name in named:
            assert f"\ndef {name}(" in (TESTS / module).read_text(), row
