"""Every promise on the page of promises names a test that there is."""

import pathlib
import re

TESTS = pathlib.Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_promise_has_a_test():
    tables = re.findall(
        r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(tables) >= 4
    for row in "".join(tables).splitlines():
        named = re.findall(r"`((?:\w+/)*\w+\.py)(?:::(\w+))?`", row)
        assert named, row
        for module, name in named:
            folder = TESTS.parent if module.startswith("benchmarks/") else TESTS
            text = (folder / module).read_text(encoding="utf-8")
            assert not name or f"\ndef {name}(" in text, row
