"""The command that chooses structures: what it prints, draws and refuses.

How structures are chosen is tested in tests/evaluation.
"""

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from set_files import kinds, write_candidates, written


@pytest.fixture
def candidates():
    return write_candidates()


def test_a_choice_its_table_and_its_drawing(good, candidates):
    output = good("select all.extxyz --structures 5 --method farthest-point --output best.extxyz")
    assert {3, 8} <= set(kinds()[:3])
    assert len(set(kinds())) == 5
    assert [atoms.info["selection_rank"] for atoms in written()] == list(range(5))
    rows = [line.split() for line in output.splitlines() if line.startswith("│")]
    assert [row[1] for row in rows] == ["1", "2", "5"]
    sizes = [len(atoms) for atoms in written()]
    assert [row[3] for row in rows] == [str(sum(sizes[:n])) for n in (1, 2, 5)]
    costs = [sum(size**3 for size in sizes[:n]) / (7 * 72) for n in (1, 2, 5)]
    assert [row[5] for row in rows] == [f"{cost:.2%}" for cost in costs]
    assert "file and frame of each structure: best.extxyz.json" in output
    assert output.splitlines()[-1] == (
        "best.extxyz: 5 of 14 structures; their coverage: best.extxyz.png"
    )
    with open("best.extxyz.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize("method", ["coverage", "farthest-point", "entropy", "random"])
def test_fewer_are_the_first_of_more(good, candidates, method):
    good(f"select all.extxyz --structures 9 --method {method} -o best.extxyz")
    nine = kinds()
    good(f"select all.extxyz --structures 4 --method {method} -o best.extxyz --overwrite")
    assert kinds() == nine[:4]


def test_what_is_given_needs_no_covering(good, candidates):
    ase.io.write("old.extxyz", [candidates[8]])
    good(
        "select all.extxyz --structures 14 --method farthest-point --given old.extxyz "
        "-o best.extxyz"
    )
    # What is given is at distance 0: last of all.
    assert kinds()[0] == 3
    assert kinds()[-1] == 8
    output = good(
        "select all.extxyz --structures 2 --method entropy --given old.extxyz -o two.extxyz"
    )
    assert kinds("two.extxyz")[0] == 3
    rows = [line.split() for line in output.splitlines() if line.startswith("│")]
    assert [row[1] for row in rows] == ["0", "1", "2"]


def test_duplicates(good, candidates, call):
    good("select all.extxyz --structures 14 -o best.extxyz")
    assert sorted(kinds()) == list(range(14))
    good(
        "select all.extxyz --structures 15 --method farthest-point --duplicates keep -o more.extxyz"
    )
    assert sorted(kinds("more.extxyz")) == sorted([*range(14), 3])
    assert kinds("more.extxyz")[-1] == 3
    code, _, errors = call("select all.extxyz --structures 15 -o third.extxyz")
    assert code == 2
    assert "all.extxyz has 14 without 1 duplicates" in errors


def test_a_budget_of_atoms_or_cost(good, candidates):
    good("select all.extxyz --atoms 50% --method farthest-point -o best.extxyz")
    assert 18 <= sum(len(atoms) for atoms in written()) <= 21
    output = good("select all.extxyz --cost 30% --cost-exponent 2 --max-distance 2 -o c.extxyz")
    assert sum(len(atoms) ** 2 for atoms in written("c.extxyz")) <= 0.3 * 7 * 20
    assert "cost: sum of N^2 over structures of N atoms" in output
    assert "ten orders with equal cost" in output


def test_a_folder_in_the_order_of_choice(good, candidates):
    good("select all.extxyz --structures 3 -o best.extxyz")
    good("select all.extxyz --structures 3 -o poscars/ --figure curve.pdf")
    for rank, atoms in enumerate(written()):
        [read] = written(f"poscars/POSCAR_{rank:05d}")
        assert np.allclose(read.positions, atoms.positions, atol=1e-7)
    with open("curve.pdf", "rb") as file:
        assert file.read(4) == b"%PDF"


def test_settings_of_a_data_set(good, candidates):
    """A set's own descriptor, unless the user gives another one."""
    good(
        "describe all.extxyz -o all.h5 --set descriptor.cutoff=3.4 --set descriptor.twojmax=2 "
        "--set descriptor.components=5"
    )
    good("select all.h5 --structures 6 -o best.extxyz")
    good(
        "select all.extxyz --structures 6 -o same.extxyz --set descriptor.cutoff=3.4 "
        "--set descriptor.twojmax=2 --set descriptor.components=5"
    )
    chosen = [atoms.info["jentmax_index"] for atoms in written("best.extxyz")]
    assert chosen == kinds("same.extxyz")
    good("select all.h5 --structures 6 --set descriptor.cutoff=4.2 -o other.extxyz")


# What is refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("all.extxyz --structures 15", "--structures 15: all.extxyz has 14"),
        ("all.extxyz --structures 0", "--structures 0: must be at least 1"),
        ("all.extxyz --structures 2 --method best", "'best' is not one of"),
        ("all.extxyz --structures 2 --seed -1", "--seed -1: must be at least 0"),
        (
            "all.extxyz --structures 2 --method entropy --bandwidth 0",
            "--bandwidth 0.0: must be a positive number",
        ),
        ("all.extxyz --structures 2 --bandwidth 0.3", "method 'coverage' has none"),
        ("all.extxyz", "budget: none given; give one of --structures, --atoms and --cost"),
        ("all.extxyz --atoms 9 --cost 9", "budget: --atoms and --cost given"),
        ("all.extxyz --atoms 1", "--atoms 1: the smallest structure of all.extxyz costs 2"),
        ("all.extxyz --cost 120%", "--cost 120%: must be above 0% and at most 100%"),
        ("all.extxyz --cost 9% --cost-exponent -1", "--cost-exponent -1: must be between 0 and"),
        ("all.extxyz --atoms 4 --max-distance 0.1", "--max-distance 0.1: it takes --atoms"),
        ("none.extxyz --structures 2", "none.extxyz: no such file"),
        ("empty.extxyz --structures 2", "empty.extxyz"),
        ("all.extxyz --structures 2 --given none.extxyz", "none.extxyz: no such file"),
        ("all.extxyz --structures 2 --given iron.extxyz", "--given iron.extxyz: its "),
        ("all.extxyz --structures 2 -o old.extxyz", "old.extxyz exists"),
        ("all.extxyz --structures 2 -o old/", "POSCAR_00007 exists"),
        ("all.extxyz --structures 2 -o none/best.extxyz", "there is no folder"),
        ("all.extxyz --structures 2 -o none/best/", "there is no folder"),
        ("all.extxyz --structures 2 -o best.what", "ASE writes no format 'what'"),
        ("all.extxyz --structures 2 --figure old.png", "old.png exists"),
        ("all.extxyz --structures 2 --figure best.what", "--figure best.what: its ending"),
        ("all.extxyz --structures 2 --figure best.extxyz", "is the output's path too"),
    ],
)
def test_refused(call, candidates, tmp_path, line, message):
    for name in ("old.extxyz", "old.png", "empty.extxyz"):
        (tmp_path / name).touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "POSCAR_00007").touch()
    ase.io.write("iron.extxyz", ase.build.bulk("Fe"))
    before = sorted(tmp_path.rglob("*"))
    output = "" if "-o " in line else " -o best.extxyz"
    code, _, errors = call(f"select {line}{output}")
    assert code == 2
    assert message in " ".join(errors.replace("│", " ").split())
    assert sorted(tmp_path.rglob("*")) == before
