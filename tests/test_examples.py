"""The examples in the documentation and in docstrings give what they say."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

import jentmax

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(jentmax.__path__, prefix="jentmax.")
)


def in_page(page: pathlib.Path) -> int:
    return page.read_text(encoding="utf-8").count(">>> ")


def write_files(page: pathlib.Path) -> None:
    """Write the files that a page shows: blocks that begin with a name as a comment."""
    text = page.read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, flags=re.DOTALL):
        pathlib.Path(name).write_text(code)


@pytest.mark.parametrize("page", list(filter(in_page, PAGES)), ids=lambda page: page.name)
def test_page(page):
    write_files(page)
    outcome = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_no_module_takes_the_place_of_a_public_name():
    for name in MODULES:
        importlib.import_module(name)
    for name in jentmax._HOMES:
        assert getattr(jentmax, name).__name__ == name
