"""The command that compares sets, and all that it writes and refuses."""

import json
import os
from pathlib import Path

import ase
import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from cli_runs import FLAGS
from set_files import WRITTEN, liquid, table, write_crystals_and_liquid

from jentmax.evaluation import _describe_files, _evaluate
from jentmax.report import _write
from jentmax.report._evaluation_figures import calls_that_draw

COMMAND = "evaluate crystals.extxyz liquid.extxyz --decompositions 3"
FEW = "--set descriptor.twojmax=2 --set descriptor.components=5 --set descriptor.cutoff=3.4"


@pytest.fixture
def quick(monkeypatch):
    """Without what takes long and one test has looked at."""
    monkeypatch.setattr(_evaluate, "higher_components", lambda *given: None)
    monkeypatch.setattr(
        _write,
        "calls_that_draw",
        lambda found: {name: calls_that_draw(found)[name] for name in ("distances", "sheet")},
    )


@pytest.fixture
def files():
    write_crystals_and_liquid()


def refused(call, command, *parts):
    before = sorted(Path().rglob("*"))
    code, _, errors = call(command)
    assert code == 2, errors
    assert "Traceback" not in errors
    for part in parts:
        assert part in " ".join(errors.split()), errors
    assert sorted(Path().rglob("*")) == before


@pytest.mark.slow
def test_everything_is_written(good, files):
    output = good(f"{COMMAND} {FEW} --names crystals liquid --output out --train 12 --test 6")
    assert sorted(os.listdir("out")) == WRITTEN
    assert sorted(os.listdir()) == ["crystals.extxyz", "liquid.extxyz", "out"]
    assert "programs compiled" in output
    assert "open out/report.html" in output
    for text in ("crystals", "liquid", "coverage", "overlap", "groups of crystals"):
        assert text in output
        assert text in Path("out/tables.md").read_text().lower()


@pytest.mark.slow
def test_again_from_the_cache_and_over_an_old_report(good, call, files, monkeypatch, quick):
    good(f"{COMMAND} {FEW} --quiet")
    first = Path("report/tables.csv").read_text()
    refused(call, f"{COMMAND} {FEW}", "report exists", "--overwrite")

    def never(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(_describe_files, "read_structures", never)
    assert good(f"{COMMAND} {FEW} --quiet --overwrite") == ""
    assert Path("report/tables.csv").read_text() == first
    Path("report/thesis.tex").write_text("years of work")
    refused(call, f"{COMMAND} {FEW} --overwrite", "report contains thesis.tex")
    assert Path("report/thesis.tex").read_text() == "years of work"


def test_one_set_alone(good, files, quick):
    good(f"evaluate liquid.extxyz {FEW} --decompositions 2 --duplicates drop --scaling robust")
    coverage = table("report/tables.csv", "coverage")
    assert {row for row, _ in coverage} == {"liquid -> liquid"}


def test_fewer_environments_than_the_paper(good, files, quick):
    output = good(f"{COMMAND} {FEW} --by structure --names crystals liquid")
    assert "instead of 6000 and 3000" in " ".join(output.split())


@pytest.mark.slow
def test_whole_structures_of_few(good, call, files, quick):
    """Sizes that come out whole are taken; what cannot be divided is refused in its own words."""
    good("evaluate liquid.extxyz --decompositions 2 --by structure --train 27 --test 18 -q " + FEW)
    ase.io.write("lone.extxyz", liquid(7))
    refused(
        call,
        f"evaluate lone.extxyz --by structure --output other {FEW}",
        "its 1 structures cannot be divided",
        "--by environment",
    )
    nothing = liquid(7)
    nothing.info["duplicate"] = True
    ase.io.write("nothing.extxyz", nothing)
    refused(
        call,
        f"evaluate nothing.extxyz --by structure --duplicates drop --output other {FEW}",
        "nothing has 0 environments",
    )


def test_primitive_cells_are_not_the_same_for_standing_at_the_origin(good, quick):
    for name, least in (("narrow", 3.0), ("wide", 2.8)):
        lattices = np.linspace(least, 3.6, 6)
        ase.io.write(f"{name}.extxyz", [ase.build.bulk("W", a=lattice) for lattice in lattices])
    good(f"evaluate narrow.extxyz wide.extxyz --decompositions 2 -q {FEW}")
    assert len({row for row, _ in table("report/tables.csv", "coverage")}) == 4


def test_figures_of_others_are_kept(call, files, quick):
    Path("report/figures").mkdir(parents=True)
    Path("report/figures/mine.png").write_text("years of work")
    refused(call, f"{COMMAND} {FEW} --overwrite", "report contains figures")
    assert Path("report/figures/mine.png").exists()


def test_repeated_structures_can_be_left_out(good, files, quick):
    good(f"{COMMAND} {FEW} --duplicates drop --quiet")
    sets = table("report/tables.csv", "sets")
    assert sets["crystals", "environments"] == "25"
    assert sets["crystals", "repeated"] == "1"


@pytest.mark.slow
def test_a_data_set_brings_its_own_settings(good, files, quick):
    good(
        "generate", *FLAGS, "--structures", "2", "--set", "cycles_per_chain=1", "-q", "-o", "set.h5"
    )
    good("evaluate liquid.extxyz set.h5 --decompositions 2 --names a b --quiet")
    with h5py.File("report/evaluation.h5") as file:
        assert json.loads(str(file.attrs["descriptor"]))["cutoff"] == 3.6
        assert np.array(file.attrs["names"]).tolist() == ["a", "b"]
        assert file.attrs["reference"] == "a"


def test_bad_input(call, files):
    Path("empty.extxyz").write_text("")
    Path("text.txt").write_text("no structures")
    ase.io.write("alloy.extxyz", ase.build.bulk("NaCl", "rocksalt", a=5.6))
    broken = liquid(0)
    broken.positions[3, 1] = np.nan
    ase.io.write("nan.extxyz", broken)
    ase.io.write("one.extxyz", ase.build.bulk("W"))
    crystal = ase.build.bulk("W", cubic=True)
    ase.io.write("equal.extxyz", [crystal, crystal])
    ase.io.write("mostly.extxyz", [*4 * [crystal], liquid(1)[:1]])
    Path("copy.extxyz").write_bytes(Path("liquid.extxyz").read_bytes())
    Path("file").write_text("a file")
    for command, *parts in (
        ("evaluate missing.h5", "missing.h5", "no such file"),
        ("evaluate empty.extxyz", "empty.extxyz"),
        ("evaluate text.txt", "text.txt", "extended XYZ"),
        ("evaluate nan.extxyz", "nan.extxyz", "positions[3]", "finite"),
        ("evaluate one.extxyz", "one has 1 environments; at least 3"),
        ("evaluate equal.extxyz", "component 000", "deviation 0"),
        (
            "evaluate mostly.extxyz --scaling robust",
            "mostly: component",
            "interquartile range 0",
            "--scaling standard",
        ),
        ("evaluate liquid.extxyz ./liquid.extxyz", "given twice"),
        ("evaluate liquid.extxyz copy.extxyz", "the same structures as liquid.extxyz"),
        ("evaluate liquid.extxyz --output file", "file is not a folder"),
        ("evaluate liquid.extxyz --output no/where", "there is no folder", "create it"),
        (f"{COMMAND} --names a", "1 names (a) for 2 data sets", "after the files"),
        (f"{COMMAND} --names a a", "two sets have the name a"),
        (f"{COMMAND} --reference b", "--reference b", "crystals, liquid"),
        (f"{COMMAND} --train 40 --test 10", "50 environments", "crystals has 27"),
        (f"{COMMAND} --train 0", "--train", "equal to 1"),
        (f"{COMMAND} --by atom", "--by", "atom"),
        (f"{COMMAND} --seed -1", "--seed"),
        ("evaluate --names a liquid.extxyz", "files", "missing"),
    ):
        lowered = [part if part != "missing" else "Missing" for part in parts]
        refused(call, f"{command} {FEW}", *lowered)
