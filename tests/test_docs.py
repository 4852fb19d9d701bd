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

SMALLER = {
    "replicas=256": "replicas=3",
    '"steps=3000", ': '"steps=20", "scale.steps=20", "quench.steps=10", ',
    "steps=3000": "steps=20",
    "steps = 3000": "steps = 20\nscale = [3.0, 0.4, 0.5, 1.4, 0.5, 1.1]",
    "structures=1000": "structures=6",
    "(256, (256,))": "(3, (3,))",
    "jm.Langevin(timestep=1.0), 100": "jm.Langevin(timestep=1.0), 5",
    "systems, key=k2)": "systems, key=k2, fit=jm.FitScale(steps=20))",
}
"""Sizes for a test; the pages have those of real use."""


def smaller(page: pathlib.Path) -> str:
    """The text of a page in small sizes."""
    text = page.read_text(encoding="utf-8")
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    return text


def examples(page: pathlib.Path) -> list[doctest.Example]:
    """The examples in a page's Python blocks."""
    parser, found = doctest.DocTestParser(), []
    for block in re.finditer(r"```python\n(.*?)```", text := smaller(page), flags=re.DOTALL):
        for example in parser.get_examples(block[1], page.name):
            example.lineno += text[: block.start(1)].count("\n")
            found.append(example)
    return found


def write_files(page: pathlib.Path) -> None:
    """Write the files that a page shows: blocks that begin with a name as a comment."""
    files = re.findall(r"```\w+\n# (\w+\.\w+)\n(.*?)```", smaller(page), flags=re.DOTALL)
    for name, content in files:
        pathlib.Path(name).write_text(content)


def marked(page: pathlib.Path):
    """The page as a parameter; the longest ones run in the slow lane."""
    slow = page.name in ("library.md", "scaling-out.md")
    return pytest.param(page, id=page.name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if examples(page)])
def test_page(page):
    write_files(page)
    test = doctest.DocTest(examples(page), {}, page.name, str(page), 0, smaller(page))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    outcome = runner.run(test)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_no_module_takes_the_place_of_a_public_name():
    for name in MODULES:
        importlib.import_module(name)
    for name, room in jentmax._ROOMS.items():
        assert getattr(jentmax, name) is getattr(importlib.import_module(f"jentmax.{room}"), name)
