"""All output is written through links, which stay: to files and folders, also to what is not there
yet."""

import os
from pathlib import Path

import ase.build
import ase.io
import pytest

from jentmax.evaluation import _evaluate
from jentmax.report import _write

FEW = "--set descriptor.twojmax=2 --set descriptor.components=5 --set descriptor.cutoff=3.4"
LINKED = {
    f"describe all.extxyz {FEW} --output": "set.h5",
    f"select all.extxyz {FEW} --structures 2 --figure curve.png --output": "best.extxyz",
    f"select all.extxyz {FEW} --structures 2 --output best.extxyz --figure": "curve.png",
    "export set.h5": "set.extxyz",
    "export set.h5 --format vasp": "poscars",
    "config init": "run.toml",
    f"evaluate all.extxyz {FEW} --decompositions 2 --quiet --output": "report",
}


@pytest.fixture(autouse=True)
def structures(monkeypatch, good):
    some = []
    for k in range(4):
        atoms = ase.build.bulk("W", cubic=True)
        atoms.rattle(0.05 + 0.02 * k, seed=k)
        some.append(atoms)
    ase.io.write("all.extxyz", some)
    good(f"describe all.extxyz {FEW} --output set.h5")
    monkeypatch.setattr(_evaluate, "higher_components", lambda *given: None)  # take long
    monkeypatch.setattr(_write, "calls_that_draw", lambda found: {})


@pytest.mark.parametrize(("command", "name"), LINKED.items())
def test_every_output_goes_through_links(good, call, command, name):
    Path("elsewhere").mkdir()
    link = Path(f"link{Path(name).suffix}")
    link.symlink_to(Path("elsewhere", name))
    good(f"{command} {link}")  # to what is not there yet
    assert link.is_symlink()
    assert os.listdir("elsewhere") == [name]
    before = Path("elsewhere", name).stat().st_mtime_ns
    code, _, errors = call(f"{command} {link}")
    assert code == 2
    assert "exists" in errors
    for left in ("curve.png", "best.extxyz"):
        Path(left).unlink(missing_ok=True)
    good(f"{command} {link} --overwrite")  # to what is there
    assert link.is_symlink()
    assert os.listdir("elsewhere") == [name]
    assert Path("elsewhere", name).is_dir() or Path("elsewhere", name).stat().st_mtime_ns != before


@pytest.mark.parametrize(("command", "name"), LINKED.items())
def test_a_link_into_a_folder_that_is_not_there(call, command, name):
    link = Path(f"link{Path(name).suffix}")
    link.symlink_to(Path("none", name))
    code, _, errors = call(f"{command} {link}")
    assert code == 2
    assert f"there is no folder {Path('none').absolute()}" in errors
    assert not Path("none").exists()


def test_an_empty_folder_behind_a_link_may_be_filled(good, call):
    Path("elsewhere").mkdir()
    Path("link").symlink_to("elsewhere")
    evaluate = f"evaluate all.extxyz {FEW} --decompositions 2 --quiet --output link --overwrite"
    good(evaluate)
    assert Path("elsewhere/report.html").exists()
    Path("elsewhere/mine.txt").touch()
    code, _, errors = call(evaluate)
    assert code == 2
    assert "link contains mine.txt" in errors
