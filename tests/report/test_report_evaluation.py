"""Sets that are compared, and the folder that tells of it."""

import json
import os
import re
import warnings
from pathlib import Path

import ase
import ase.build
import ase.io
import h5py
import numpy as np
import pytest
from set_files import WRITTEN, liquid, table, write_crystals_and_liquid

from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.evaluation import Decompositions, evaluate, open_sets, plain_descriptor
from jentmax.report import figures, tables, write_evaluation

SNAP = Snap(cutoff=3.4, twojmax=2, components=5)
FILES = ["crystals.extxyz", "liquid.extxyz"]
NAMES = ["crystals", "liquid"]


@pytest.fixture
def files():
    write_crystals_and_liquid()


def test_everything_is_written(files):
    told = []
    sets = open_sets(FILES, NAMES, SNAP, callback=lambda *some: told.append(some))
    found = evaluate(sets, SNAP, Decompositions(12, 6, 3), callback=lambda *some: told.append(some))
    assert write_evaluation(found, "out", callback=lambda *some: told.append(some)) == Path("out")
    assert ("reading and describing crystals", 0, 1) in told
    assert ("distances", 3, 3) in told
    assert told[-1][0] == "tables and figures"
    assert sorted(os.listdir("out")) == WRITTEN
    assert sorted(os.listdir()) == [*FILES, "out"]
    rows = table("out/tables.csv", "sets")
    assert [rows["crystals", name] for name in ("structures", "environments")] == ["14", "27"]
    assert [rows["crystals", name] for name in ("isolated", "repeated")] == ["1", "1"]
    coverage = table("out/tables.csv", "coverage")
    assert len({row for row, _ in coverage}) == 4
    groups = table("out/tables.csv", "groups of crystals")
    assert groups["atom", "environments"] == "1"
    assert groups["dense", "environments"] == "10"
    # The same numbers in every place.
    with h5py.File("out/evaluation.h5") as file:
        assert json.loads(str(file.attrs["descriptor"])) == plain_descriptor(SNAP)
        statistics = np.array(file["coverage/statistics"])
        assert statistics.shape == (3, 2, 2, 4)
        mean = statistics.mean(axis=0)[0, 1, 0]
        assert float(coverage["crystals -> liquid", "mean"]) == pytest.approx(mean, rel=1e-12)
        reference = np.array(file["sets/0/features"])
        # Stored in float32.
        assert np.allclose(reference.mean(axis=0), 0, atol=1e-6)
        assert np.allclose(reference.std(axis=0), 1, rtol=1e-6)
        assert np.array(file.attrs["components"]).tolist() == ["000", "101", "112", "202", "222"]
        assert "303" in np.array(file.attrs["higher_components"]).tolist()
    report = Path("out/report.html").read_text()
    for text in ("crystals", "liquid", "Coverage", "dense", "structure 0", "3Dmol"):
        assert text in report
    assert "snap, 5 components of twojmax = 2, cutoff 3.4 Å" in report
    drawn = os.listdir("out/figures")
    assert {Path(name).suffix for name in drawn} == {".png", ".svg"}
    stems = {"distances.png", "descriptors.svg", "map.png", "groups-1.png", "correlations.png"}
    assert stems <= set(drawn)
    assert "groups-2.png" not in drawn  # the liquid has none
    # Once more: only an evaluation is replaced.
    with pytest.raises(JentmaxError, match="out exists"):
        write_evaluation(found, "out")
    Path("out/thesis.tex").write_text("years of work")
    with pytest.raises(JentmaxError, match=r"out contains thesis\.tex"):
        write_evaluation(found, "out", overwrite=True)
    assert Path("out/thesis.tex").read_text() == "years of work"


def distance_to_the_nearest(environments):
    """A descriptor of one's own, of one structure."""
    return environments.squared_distances().min(axis=1, keepdims=True)


setattr(distance_to_the_nearest, "cutoff", 3.4)  # noqa: B010  functions have no such attribute in types


def test_a_descriptor_of_ones_own(files):
    sets = open_sets(FILES, NAMES, distance_to_the_nearest, "drop")
    assert sets[0].n_dropped == 1
    found = evaluate(sets, distance_to_the_nearest, Decompositions(12, 6, 3), scaling="robust")
    assert (found.labels, found.higher, found.cutoff) == (("1",), None, 3.4)
    assert {one.stem for one in figures(found)} >= {"distances", "descriptors"}
    assert [one.name for one in tables(found)][:2] == ["sets", "coverage"]
    write_evaluation(found, "out")
    assert (
        "distance_to_the_nearest, 1 components, cutoff 3.4" in Path("out/report.html").read_text()
    )


def test_refused(files):
    sets = open_sets(FILES, NAMES, SNAP)
    how = Decompositions(12, 6, 2)
    with pytest.raises(
        JentmaxError, match="--reference b is not the name of a set; give one of crystals"
    ):
        evaluate(sets, SNAP, how, reference="b")
    Path("copy.extxyz").write_bytes(Path("liquid.extxyz").read_bytes())
    with pytest.raises(JentmaxError, match="holds the same structures as liquid"):
        open_sets(["liquid.extxyz", "copy.extxyz"], ["a", "b"], SNAP)
    crystal = ase.build.bulk("W", cubic=True)
    ase.io.write("equal.extxyz", [crystal, crystal])
    with pytest.raises(JentmaxError, match="equal: component 000 has the standard deviation 0"):
        evaluate(open_sets(["equal.extxyz"], ["equal"], SNAP), SNAP, how)
    ase.io.write("mostly.extxyz", [*4 * [crystal], liquid(1)[:1]])
    mostly = open_sets(["mostly.extxyz"], ["mostly"], SNAP)
    with pytest.raises(JentmaxError, match=r"interquartile range 0.* or --scaling standard"):
        evaluate(mostly, SNAP, how, scaling="robust")


def test_degenerate_sets(monkeypatch):
    """Crystals that are all the same, beside one set that holds them and one that is open."""
    equal = [ase.build.bulk("W", cubic=True) for _ in range(6)]
    rattled = [one.copy() for one in equal]
    for k, atoms in enumerate(rattled):
        atoms.rattle(0.05 + 0.02 * k, seed=k)
    pairs = [ase.Atoms("W2", [[0, 0, 0], [2.2 + 0.1 * k, 0, 0]]) for k in range(6)]
    names = ["rattled", "equal", "open"]
    for name, some in zip(names, (rattled + equal, equal, pairs), strict=True):
        ase.io.write(f"{name}.extxyz", some)
    sets = open_sets([f"{name}.extxyz" for name in names], names, SNAP)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(sets, SNAP, Decompositions(4, 2, 1))
        write_evaluation(found, "out")
    # A crystal of equal environments has the least distance that counts.
    assert found.entropies["equal"] == pytest.approx(np.full(6, np.log(2e-4)))
    assert found.shared.tolist() == [[12, 6, 0], [6, 6, 0], [0, 0, 6]]
    text = Path("out/tables.csv").read_text(encoding="utf-8")
    assert not re.search(r"\b(nan|inf)\b", text)
    assert table("out/tables.csv", "correlation")["equal", "mean"] == "not defined"
    assert table("out/tables.csv", "sets")["open", "least density"] == "not defined"
    page = Path("out/tables.md").read_text(encoding="utf-8")
    assert "not defined: no further component differs between the set's environments." in page
    assert "rattled has 6 of 6 structures of equal" in page
