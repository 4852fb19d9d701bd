"""The page of promises names tests that there are."""

import pathlib
import re

TESTS = pathlib.Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_promise_has_a_test():
    tables = re.findall(
        r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE.read_text(), re.M
    )
    assert len(tables) >= 4
    for row in "".join(tables).splitlines():
        named = re.findall(r"`((?:test_|benchmarks/)\w+\.py)(?:::(\w+))?`", row)
        assert named, row
        for module, name in named:
            path = TESTS.parent / module if "/" in module else TESTS / module
            assert not name or f"\ndef {name}(" in path.read_text(), row
            assert path.exists(), row
