"""The command that chooses structures, and all that it keeps, draws and refuses."""

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from dataset_files import edit
from jentmax.describe import described
from jentmax.selection import farthest_point, random_order
from jentmax.selection import select as chosen_by

import jentmax

N = 14


@pytest.fixture
def candidates():
    """Crystals that hardly differ, among them two of another kind, and one of them again."""
    rng = np.random.default_rng(0)
    structures = []
    for k in range(N):
        lattice = {3: 3.6, 8: 2.9}.get(k, 3.165)
        atoms = ase.build.bulk("W", a=lattice, cubic=True)
        if k % 2:
            atoms *= (1, 1, 2)
        atoms.rattle(0.02, seed=k)
        atoms.info |= {"config_type": f"kind {k}", "duplicate": False}
        energy, forces = float(rng.normal()), rng.normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        structures.append(atoms)
    again = structures[3].copy()
    again.info["duplicate"] = True
    ase.io.write("all.extxyz", [*structures, again])
    return ase.io.read("all.extxyz", ":")


def written(path="best.extxyz"):
    return ase.io.read(path, ":")


def kinds(path="best.extxyz"):
    return [int(atoms.info["config_type"].split()[1]) for atoms in written(path)]


def test_the_odd_ones_come_first_and_nothing_is_lost(good, candidates):
    output = good("select all.extxyz --structures 5 --output best.extxyz")
    assert {3, 8} <= set(kinds()[:3])
    assert len(set(kinds())) == 5
    for rank, (atoms, kind) in enumerate(zip(written(), kinds(), strict=True)):
        source = candidates[kind]
        assert atoms.info == source.info | {"selection_rank": rank}
        # Eight decimals in text.
        assert np.allclose(atoms.positions, source.positions, atol=1e-7)
        assert atoms.get_potential_energy() == pytest.approx(source.get_potential_energy())
        assert np.allclose(atoms.get_forces(), source.get_forces(), atol=1e-7)
    rows = [line.split() for line in output.splitlines() if line.startswith("│")]
    assert [row[1] for row in rows] == ["1", "2", "5"]
    assert output.splitlines()[-1] == ("best.extxyz: 5 of 14 structures; their coverage: best.png")
    with open("best.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.parametrize("method", ["farthest-point", "entropy", "random"])
def test_fewer_are_the_first_of_more(good, candidates, method):
    good(f"select all.extxyz --structures 9 --method {method} -o best.extxyz")
    nine = kinds()
    good(f"select all.extxyz --structures 4 --method {method} -o best.extxyz --overwrite")
    assert kinds() == nine[:4]


def test_random_orders_by_seed(good, candidates):
    for seed in (0, 1):
        good(f"select all.extxyz --structures 14 --method random --seed {seed} -o {seed}.extxyz")
        assert kinds(f"{seed}.extxyz") == random_order(N, N, seed).tolist()
    assert kinds("0.extxyz") != kinds("1.extxyz")


def test_what_is_given_needs_no_covering(good, candidates):
    ase.io.write("old.extxyz", [candidates[8]])
    good("select all.extxyz --structures 14 --given old.extxyz -o best.extxyz")
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
    good("select all.extxyz --structures 15 --duplicates keep -o more.extxyz")
    assert sorted(kinds("more.extxyz")) == sorted([*range(14), 3])
    assert kinds("more.extxyz")[-1] == 3
    code, _, errors = call("select all.extxyz --structures 15 -o third.extxyz")
    assert code == 2
    assert "all.extxyz has 14 that repeat no earlier one, and 1 that do" in errors


def test_a_folder_in_the_order_of_choice(good, candidates):
    good("select all.extxyz --structures 3 -o best.extxyz")
    good("select all.extxyz --structures 3 -o poscars/ --figure curve.pdf")
    for rank, atoms in enumerate(written()):
        read = ase.io.read(f"poscars/POSCAR_{rank:05d}")
        assert np.allclose(read.positions, atoms.positions, atol=1e-7)
    with open("curve.pdf", "rb") as file:
        assert file.read(4) == b"%PDF"


# Scale


def test_features_count_in_the_candidates_own_deviations(good, candidates):
    good("select all.extxyz --structures 6 -o best.extxyz")
    structures, description = described("all.extxyz", jentmax.load("tungsten"))
    features = description.features[: structures.pointer[N]]
    expected = farthest_point(features / features.std(axis=0), structures.pointer[: N + 1], 6)
    assert kinds() == expected.tolist()


def test_a_data_set_has_its_own_scale(good, candidates):
    """Only where the settings describe environments as it does."""
    good("describe all.extxyz -o all.h5")
    scale = [1e6, 1e6, 1e6, 1e6, 1e-3, 1e6]

    def change(file):
        file["scaling/scale"][:] = scale

    edit("all.h5", change)
    good("select all.h5 --structures 6 -o best.extxyz")
    structures, description = described("all.h5", jentmax.load("tungsten"))
    kept, features = structures.pointer[: N + 1], description.features[: structures.pointer[N]]
    chosen = [atoms.info["jentmax_index"] for atoms in written()]
    assert chosen == farthest_point(features / scale, kept, 6).tolist()
    assert chosen != farthest_point(features / features.std(axis=0), kept, 6).tolist()

    good("select all.h5 --structures 6 --set descriptor.cutoff=4.2 -o other.extxyz")
    good("select all.extxyz --structures 6 --set descriptor.cutoff=4.2 -o same.extxyz")
    chosen = [atoms.info["jentmax_index"] for atoms in written("other.extxyz")]
    assert chosen == kinds("same.extxyz")


def test_environments_that_are_all_the_same(good):
    """No feature varies, and nothing is left to cover after the first."""
    ase.io.write("all.extxyz", [ase.build.bulk("W")] * 3)
    for method in ("farthest-point", "entropy"):
        good(
            f"select all.extxyz --structures 3 --duplicates keep --method {method} "
            "-o best.extxyz --overwrite"
        )
        assert len(written()) == 3


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
        ("all.extxyz --structures 2 --bandwidth 0.3", "method 'farthest-point' has none"),
        ("none.extxyz --structures 2", "none.extxyz: no such file"),
        ("empty.extxyz --structures 2", "empty.extxyz"),
        ("all.extxyz --structures 2 --given none.extxyz", "none.extxyz: no such file"),
        ("all.extxyz --structures 2 --given iron.extxyz", "species Fe without settings"),
        (
            """all.extxyz --structures 2 --given iron.extxyz --set 'system.species=["W", "Fe"]'""",
            "--given iron.extxyz: its species, Fe, are none of those of all.extxyz, W",
        ),
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


# From Python


def test_from_python(candidates):
    assert jentmax.select is chosen_by
    selection = jentmax.select("all.extxyz", "best.traj", jentmax.load("tungsten"), 6)
    assert [atoms.info["selection_rank"] for atoms in written("best.traj")] == list(range(6))
    assert selection.chosen.tolist() == kinds("best.traj")
    assert (selection.candidates, selection.n_structures.tolist()) == (14, [1, 2, 3, 4, 5, 6])
    assert np.all(np.diff(selection.maximum) <= 0)
    assert np.all(np.diff(selection.random_mean) < 0)
    assert selection.random_spread.shape == (6,)


def test_all_structures_leave_nothing_to_cover(candidates):
    """The chosen and the random curve both end at 0, where everything is chosen."""
    selection = jentmax.select("all.extxyz", "best.traj", jentmax.load("tungsten"), N)
    assert (selection.mean[-1], selection.random_mean[-1]) == (0, 0)
