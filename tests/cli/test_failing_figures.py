"""A figure that fails costs no result, and no setting of matplotlib's makes one fail."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import matplotlib
import pytest

from jentmax.evaluation import _evaluate
from jentmax.report import _evaluation_figures, _selection

SELECT = "select all.extxyz --structures 2 --output best.extxyz"
EVALUATE = (
    "evaluate all.extxyz --decompositions 3 --output out --quiet "
    "--set descriptor.twojmax=2 --set descriptor.components=5 --set descriptor.cutoff=3.4"
)

SETTINGS: dict[Any, Any] = {
    "text.usetex": True,
    "savefig.format": "pdf",
    "font.family": "no such font",
}


@pytest.fixture(autouse=True)
def structures(monkeypatch):
    some = []
    for k in range(6):
        atoms = ase.build.bulk("W", cubic=True) * (1, 1, 2)
        atoms.rattle(0.05 + 0.02 * k, seed=k)
        some.append(atoms)
    ase.io.write("all.extxyz", some)
    monkeypatch.setattr(_evaluate, "higher_components", lambda *given: None)  # take long


def broken(*given):
    raise RuntimeError("no renderer\nat all")


def test_a_selection_without_its_drawing(call, monkeypatch):
    monkeypatch.setattr(_selection, "coverage_curve", broken)
    code, output, errors = call(SELECT)
    assert (code, errors) == (0, "warning: best.extxyz.png cannot be drawn: no renderer\n")
    assert output.splitlines()[-1] == "best.extxyz: 2 of 6 structures"
    assert len(ase.io.read("best.extxyz", ":")) == 2


def test_an_evaluation_without_some_figures(call, monkeypatch):
    for name in ("contact_sheet", "distance_distributions"):
        monkeypatch.setattr(_evaluation_figures, name, broken)
    code, _, errors = call(EVALUATE)
    assert code == 0
    assert errors.splitlines() == [
        f"warning: the figure {name} was not drawn: no renderer" for name in ("distances", "sheet")
    ]
    drawn = sorted(path.stem for path in Path("out/figures").glob("*.png"))
    assert drawn == ["descriptors", "map", "radial", "structures"]
    assert Path("out/report.html").read_text(encoding="utf-8").count("<img ") == 4
    assert Path("out/tables.csv").stat().st_size > 500


def test_settings_of_the_user_have_no_say(good):
    with matplotlib.rc_context(SETTINGS):
        good(SELECT)
        good(EVALUATE)
    assert Path("best.extxyz.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(Path("out/figures").glob("*.png"))) == 6


@pytest.mark.slow  # a process
def test_files_and_variables_of_the_user_have_no_say():
    lines = [f"{name}: {value}" for name, value in SETTINGS.items()]
    Path("matplotlibrc").write_text("\n".join([*lines, "backend: TkAgg", "no: sense", "broken"]))
    done = subprocess.run(
        [sys.executable, "-m", "jentmax.cli", *SELECT.split()],
        env=os.environ
        | {"PATH": "", "MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/none", "HOME": "/proc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("best.extxyz.png").read_bytes().startswith(b"\x89PNG")
