"""No room uses what is private to another one."""

import ast
from pathlib import Path

import pytest

import jentmax

PACKAGE = Path(jentmax.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_of_another_room(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        package, *others = node.module.split(".")
        if package != "jentmax" or not others:
            continue
        other, *rest = others
        if other != room:
            names = [*rest, *(alias.name for alias in node.names)]
            private = [name for name in names if name.startswith("_")]
            assert not private, f"line {node.lineno} takes {private} of {other}"
