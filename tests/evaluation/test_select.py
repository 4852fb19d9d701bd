"""The choice of a file's best structures, and all that it keeps and refuses."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from set_files import N_CANDIDATES, kinds, write_candidates, written

from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.evaluation import (
    Cover,
    describe_file,
    described,
    farthest_point,
    grow,
    random_order,
    select,
)

# Descriptors, which a .traj does not hold, are left out.
pytestmark = pytest.mark.filterwarnings("ignore::jentmax.errors.LeftOut")

SNAP = Snap(cutoff=4.0, components=6)
ATOMS, COST = {"structures": None}, {"structures": None}  # with another budget


def farthest(features, pointer, n):
    cover = Cover(features, pointer)
    return grow(cover, farthest_point(cover), np.ones(len(pointer) - 1), n).chosen


@pytest.fixture
def candidates():
    return write_candidates()


def test_the_odd_ones_come_first_and_nothing_is_lost(candidates):
    selection = select("all.extxyz", "best.extxyz", SNAP, 5, "farthest-point")
    assert {3, 8} <= set(kinds()[:3])
    assert selection.chosen.tolist() == kinds()
    assert (selection.method, selection.candidates) == ("farthest-point", N_CANDIDATES)
    for rank, (atoms, kind) in enumerate(zip(written(), kinds(), strict=True)):
        source = candidates[kind]
        origin = {"selection_file": "all.extxyz", "selection_frame": kind}
        assert atoms.info == source.info | {"selection_rank": rank} | origin
        # Eight decimals in text.
        assert np.allclose(atoms.positions, source.positions, atol=1e-7)
        assert atoms.get_potential_energy() == pytest.approx(source.get_potential_energy())
        assert np.allclose(atoms.get_forces(), source.get_forces(), atol=1e-7)


@pytest.mark.parametrize("method", ["coverage", "farthest-point", "entropy", "random"])
def test_fewer_are_the_first_of_more(candidates, method):
    select("all.extxyz", "best.extxyz", SNAP, 9, method)
    nine = kinds()
    select("all.extxyz", "best.extxyz", SNAP, 4, method, overwrite=True)
    assert kinds() == nine[:4]


def test_random_orders_by_seed(candidates):
    for seed in (0, 1):
        selection = select("all.extxyz", f"{seed}.traj", SNAP, N_CANDIDATES, "random", seed=seed)
        assert selection.chosen.tolist() == random_order(N_CANDIDATES, N_CANDIDATES, seed).tolist()


def test_given_structures_need_no_covering(candidates):
    ase.io.write("old.extxyz", [candidates[8]])
    selection = select(
        "all.extxyz", "best.extxyz", SNAP, N_CANDIDATES, "farthest-point", given="old.extxyz"
    )
    # What is given is at distance 0: last of all.
    assert (kinds()[0], kinds()[-1]) == (3, 8)
    assert selection.n_structures.tolist() == list(range(N_CANDIDATES + 1))
    select("all.extxyz", "two.extxyz", SNAP, 2, "entropy", given="old.extxyz")
    assert kinds("two.extxyz")[0] == 3


def test_duplicates(candidates):
    assert sorted(select("all.extxyz", "best.traj", SNAP, N_CANDIDATES).chosen) == list(
        range(N_CANDIDATES)
    )
    more = select(
        "all.extxyz", "more.traj", SNAP, N_CANDIDATES + 1, "farthest-point", duplicates="keep"
    )
    assert more.chosen[-1] == N_CANDIDATES
    with pytest.raises(JentmaxError, match="14 without 1 duplicates"):
        select("all.extxyz", "third.traj", SNAP, N_CANDIDATES + 1)


def test_features_count_in_the_candidates_own_deviations(candidates):
    select("all.extxyz", "best.extxyz", SNAP, 6, "farthest-point")
    structures, description = described("all.extxyz", SNAP)
    features = description.features[: structures.pointer[N_CANDIDATES]]
    expected = farthest(features / features.std(axis=0), structures.pointer[: N_CANDIDATES + 1], 6)
    assert kinds() == expected.tolist()


def test_a_data_set_has_its_own_scale(candidates):
    """If its descriptor is the same: the deviations of all its atoms, duplicates too."""
    again = candidates[8].copy()
    again.info["duplicate"] = True
    ase.io.write("ends.extxyz", [*candidates, *200 * [again]])
    describe_file("ends.extxyz", "all.h5", SNAP)
    chosen = select("all.h5", "best.traj", SNAP, 6, "farthest-point").chosen
    structures, description = described("ends.extxyz", SNAP)
    features, kept = description.features, structures.pointer[: N_CANDIDATES + 1]
    some = features[: kept[-1]]
    assert chosen.tolist() == farthest(some / features.std(axis=0), kept, 6).tolist()
    other = dataclasses.replace(SNAP, cutoff=4.2)
    chosen = select("all.h5", "other.traj", other, 6).chosen
    assert chosen.tolist() == select("ends.extxyz", "same.traj", other, 6).chosen.tolist()


def test_environments_that_are_all_the_same():
    """No feature varies, and nothing is left to cover after the first."""
    ase.io.write("all.extxyz", [ase.build.bulk("W")] * 3)
    for method in ("coverage", "farthest-point", "entropy"):
        selection = select("all.extxyz", f"{method}.traj", SNAP, 3, method, duplicates="keep")
        assert sorted(selection.chosen) == [0, 1, 2]


def test_all_structures_leave_nothing_to_cover(candidates):
    """The chosen and the random curve both end at 0, where everything is chosen."""
    selection = select("all.extxyz", "best.traj", SNAP, N_CANDIDATES)
    assert (selection.mean[-1], selection.random_mean[-1]) == (0, 0)
    assert selection.n_structures.tolist() == list(range(1, N_CANDIDATES + 1))
    assert np.all(np.diff(selection.maximum) <= 0)
    assert np.all(np.diff(selection.random_mean) <= 0)
    assert selection.random_mean[0] > selection.random_mean[5] > 0
    assert selection.random_spread.shape == (N_CANDIDATES,)


def test_budgets(candidates):
    """Seven structures of two atoms and seven of four."""
    sizes = np.array([2, 4] * 7)
    budgets: list[tuple[dict[str, Any], float, int]] = [
        ({"atoms": 15}, 15, 1),
        ({"atoms": "50%"}, 21, 1),
        ({"structures": "50%"}, 7, 0),
        ({"cost": "20%"}, 0.2 * 7 * 72, 3),
        ({"cost": 100.0, "cost_exponent": 2.0}, 100, 2),
    ]
    for budget, limit, exponent in budgets:
        selection = select("all.extxyz", "best.traj", SNAP, **budget, overwrite=True)
        chosen, left = sizes[selection.chosen], limit - (sizes[selection.chosen] ** exponent).sum()
        assert 0 <= left < 4**exponent
        assert selection.n_environments.tolist() == np.cumsum(chosen).tolist()
        power = budget.get("cost_exponent", 3)
        assert np.allclose(selection.cost, np.cumsum(chosen**power), rtol=1e-12)
        assert selection.candidate_cost == (sizes**power).sum()
        assert selection.candidate_environments == 42
        assert selection.random_at == ("cost" if "cost" in budget else "environments")


def test_random_orders_have_equal_cost(candidates):
    """Single orders by hand: as many structures as the same atoms buy, and at least one."""
    selection = select("all.extxyz", "best.traj", SNAP, atoms=20)
    structures, description = described("all.extxyz", SNAP)
    pointer = structures.pointer[: N_CANDIDATES + 1]
    features = description.features[: pointer[-1]]
    features = features / features.std(axis=0)
    sizes = np.diff(pointer)
    for step, atoms in enumerate(selection.n_environments):
        means = []
        for number in range(10):
            order = random_order(N_CANDIDATES, N_CANDIDATES, [0, number])
            some = order[: max(1, (np.cumsum(sizes[order]) <= atoms).sum())]
            rows = np.concatenate([features[pointer[k] : pointer[k + 1]] for k in some])
            means.append(cdist(features, rows).min(axis=1).mean())
        assert selection.random_mean[step] == pytest.approx(np.mean(means), rel=1e-12)
        assert selection.random_spread[step] == pytest.approx(np.std(means), rel=1e-9)


def test_the_largest_distance_is_kept(candidates):
    selection = select("all.extxyz", "best.traj", SNAP, 10, max_distance=1.0)
    assert selection.maximum[-1] <= 1.0
    with pytest.raises(JentmaxError) as raised:
        select("all.extxyz", "third.traj", SNAP, 1, max_distance=1.0)
    needed = int(str(raised.value).split("--structures ")[1].split(",")[0])
    assert selection.maximum[needed - 1] <= 1.0 < selection.maximum[needed - 2]
    select("all.extxyz", "third.traj", SNAP, needed, max_distance=1.0)


def test_where_they_come_from(candidates):
    selection = select("all.extxyz", "best.extxyz", SNAP, 4)
    with open("best.extxyz.json") as file:
        listed = json.load(file)["structures"]
    assert listed == [
        {"rank": rank, "file": "all.extxyz", "frame": frame}
        for rank, frame in enumerate(selection.chosen.tolist())
    ]
    read = [(atoms.info["selection_file"], atoms.info["selection_frame"]) for atoms in written()]
    assert read == [("all.extxyz", kind) for kind in kinds()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structures": 15}, "--structures 15: all.extxyz has 14"),
        ({"structures": 0}, "--structures 0: must be at least 1"),
        ({"structures": "many"}, "--structures many: must be at least 1, a whole number, or"),
        ({"structures": "2.5"}, "--structures 2.5: must be at least 1, a whole number, or"),
        ({"structures": "1%"}, "--structures 1%: is 0.14; one structure of all.extxyz costs 1"),
        ({"structures": "101%"}, "--structures 101%: must be above 0% and at most 100%"),
        ({"structures": None}, "budget: none given; give one of --structures, --atoms and --cost"),
        ({"atoms": 9}, "budget: --structures and --atoms given; give one of"),
        (ATOMS | {"atoms": 43}, "--atoms 43: all.extxyz has 42 atoms without 1 duplicates"),
        (ATOMS | {"atoms": 1}, "--atoms 1: the smallest structure of all.extxyz costs 2; give at"),
        (ATOMS | {"atoms": "inf"}, "--atoms inf: must be at least 1, a whole number"),
        (COST | {"cost": 1e4}, "--cost 10000.0: all.extxyz has a cost of 504 (N^3) without"),
        (COST | {"cost": 7.0}, "--cost 7.0: the smallest structure of all.extxyz costs 8"),
        (COST | {"cost": -1.0}, "--cost -1.0: must be a positive number, or a percentage"),
        (COST | {"cost": "9%", "cost_exponent": -1.0}, "--cost-exponent -1: must be between 0"),
        (COST | {"cost": "9%", "cost_exponent": np.nan}, "--cost-exponent nan: must be between 0"),
        ({"max_distance": 0.0}, "--max-distance 0.0: must be a positive number"),
        ({"max_distance": 0.1}, "--max-distance 0.1: it takes --structures "),
        ({"max_distance": 1.0, "method": "random"}, "method 'random' has none; leave it out"),
        ({"output": "listed.extxyz"}, "listed.extxyz.json exists"),
        (
            {"method": "best"},
            "--method 'best': must be one of coverage, farthest-point, entropy, random",
        ),
        ({"duplicates": "most"}, "--duplicates 'most': must be one of drop, keep"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"method": "entropy", "bandwidth": 0.0}, "--bandwidth 0.0: must be a positive number"),
        ({"bandwidth": 0.3}, "method 'coverage' has none"),
        ({"path": "none.extxyz"}, "none.extxyz: no such file"),
        ({"path": "empty.extxyz"}, "empty.extxyz"),
        ({"given": "none.extxyz"}, "none.extxyz: no such file"),
        (
            {"given": "iron.extxyz"},
            "its species (Fe) and those of all.extxyz (W) have none",
        ),
        ({"output": "old.extxyz"}, "old.extxyz exists"),
        ({"output": "old/"}, "POSCAR_00007 exists"),
        ({"output": "none/best.extxyz"}, "there is no folder"),
        ({"output": "best.what"}, "ASE writes no format 'what'"),
    ],
)
def test_refused(candidates, tmp_path, options, message):
    for name in ("old.extxyz", "empty.extxyz"):
        (tmp_path / name).touch()
    (tmp_path / "listed.extxyz.json").touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "POSCAR_00007").touch()
    ase.io.write("iron.extxyz", ase.build.bulk("Fe"))
    before = sorted(tmp_path.rglob("*"))
    all_options = {"path": "all.extxyz", "output": "best.extxyz", "structures": 2} | options
    with pytest.raises(JentmaxError) as raised:
        select(descriptor=SNAP, **all_options)
    assert message in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_room_loads_neither_jax_nor_matplotlib():
    code = (
        "import sys, jentmax.evaluation as e; e.sizes; e.farthest_point; e.Selection;"
        "print([m for m in ('jax', 'matplotlib') if m in sys.modules]);"
        "e.select; e.evaluate; print('matplotlib' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[]", "False"]
