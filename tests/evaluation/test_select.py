"""The choice of a file's best structures, and all that it keeps and refuses."""

import dataclasses
import subprocess
import sys

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from set_files import N_CANDIDATES, kinds, write_candidates, written

from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError
from jentmax.evaluation import describe_file, described, farthest_point, random_order, select

# Descriptors, which a .traj does not hold, are left out.
pytestmark = pytest.mark.filterwarnings("ignore::jentmax.errors.LeftOut")

SNAP = Snap(cutoff=4.0, components=6)


@pytest.fixture
def candidates():
    return write_candidates()


def test_the_odd_ones_come_first_and_nothing_is_lost(candidates):
    selection = select("all.extxyz", "best.extxyz", SNAP, 5)
    assert {3, 8} <= set(kinds()[:3])
    assert selection.chosen.tolist() == kinds()
    assert (selection.method, selection.candidates) == ("farthest-point", N_CANDIDATES)
    for rank, (atoms, kind) in enumerate(zip(written(), kinds(), strict=True)):
        source = candidates[kind]
        assert atoms.info == source.info | {"selection_rank": rank}
        # Eight decimals in text.
        assert np.allclose(atoms.positions, source.positions, atol=1e-7)
        assert atoms.get_potential_energy() == pytest.approx(source.get_potential_energy())
        assert np.allclose(atoms.get_forces(), source.get_forces(), atol=1e-7)


@pytest.mark.parametrize("method", ["farthest-point", "entropy", "random"])
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
    selection = select("all.extxyz", "best.extxyz", SNAP, N_CANDIDATES, given="old.extxyz")
    # What is given is at distance 0: last of all.
    assert (kinds()[0], kinds()[-1]) == (3, 8)
    assert selection.n_structures.tolist() == list(range(N_CANDIDATES + 1))
    select("all.extxyz", "two.extxyz", SNAP, 2, "entropy", given="old.extxyz")
    assert kinds("two.extxyz")[0] == 3


def test_duplicates(candidates):
    assert sorted(select("all.extxyz", "best.traj", SNAP, N_CANDIDATES).chosen) == list(
        range(N_CANDIDATES)
    )
    more = select("all.extxyz", "more.traj", SNAP, N_CANDIDATES + 1, duplicates="keep")
    assert more.chosen[-1] == N_CANDIDATES
    with pytest.raises(JentmaxError, match="14 different structures, and 1 duplicates"):
        select("all.extxyz", "third.traj", SNAP, N_CANDIDATES + 1)


def test_features_count_in_the_candidates_own_deviations(candidates):
    select("all.extxyz", "best.extxyz", SNAP, 6)
    structures, description = described("all.extxyz", SNAP)
    features = description.features[: structures.pointer[N_CANDIDATES]]
    expected = farthest_point(
        features / features.std(axis=0), structures.pointer[: N_CANDIDATES + 1], 6
    )
    assert kinds() == expected.tolist()


def test_a_data_set_has_its_own_scale(candidates):
    """If its descriptor is the same: the deviations of all its atoms, duplicates too."""
    again = candidates[8].copy()
    again.info["duplicate"] = True
    ase.io.write("ends.extxyz", [*candidates, *200 * [again]])
    describe_file("ends.extxyz", "all.h5", SNAP)
    chosen = select("all.h5", "best.traj", SNAP, 6).chosen
    structures, description = described("ends.extxyz", SNAP)
    features, kept = description.features, structures.pointer[: N_CANDIDATES + 1]
    some = features[: kept[-1]]
    assert chosen.tolist() == farthest_point(some / features.std(axis=0), kept, 6).tolist()
    other = dataclasses.replace(SNAP, cutoff=4.2)
    chosen = select("all.h5", "other.traj", other, 6).chosen
    assert chosen.tolist() == select("ends.extxyz", "same.traj", other, 6).chosen.tolist()


def test_environments_that_are_all_the_same():
    """No feature varies, and nothing is left to cover after the first."""
    ase.io.write("all.extxyz", [ase.build.bulk("W")] * 3)
    for method in ("farthest-point", "entropy"):
        selection = select("all.extxyz", f"{method}.traj", SNAP, 3, method, duplicates="keep")
        assert sorted(selection.chosen) == [0, 1, 2]


def test_all_structures_leave_nothing_to_cover(candidates):
    """The chosen and the random curve both end at 0, where everything is chosen."""
    selection = select("all.extxyz", "best.traj", SNAP, N_CANDIDATES)
    assert (selection.mean[-1], selection.random_mean[-1]) == (0, 0)
    assert selection.n_structures.tolist() == list(range(1, N_CANDIDATES + 1))
    assert np.all(np.diff(selection.maximum) <= 0)
    assert np.all(np.diff(selection.random_mean) < 0)
    assert selection.random_spread.shape == (N_CANDIDATES,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_structures": 15}, "--structures 15: all.extxyz has 14"),
        ({"n_structures": 0}, "--structures 0: must be at least 1"),
        ({"method": "best"}, "--method 'best': must be one of farthest-point, entropy, random"),
        ({"duplicates": "most"}, "--duplicates 'most': must be one of drop, keep"),
        ({"seed": -1}, "--seed -1: must be at least 0"),
        ({"method": "entropy", "bandwidth": 0.0}, "--bandwidth 0.0: must be a positive number"),
        ({"bandwidth": 0.3}, "method 'farthest-point' has none"),
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
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "POSCAR_00007").touch()
    ase.io.write("iron.extxyz", ase.build.bulk("Fe"))
    before = sorted(tmp_path.rglob("*"))
    all_options = {"path": "all.extxyz", "output": "best.extxyz", "n_structures": 2} | options
    with pytest.raises(JentmaxError) as raised:
        select(descriptor=SNAP, **all_options)
    assert message in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_room_loads_neither_jax_nor_matplotlib():
    code = (
        "import sys, jentmax.evaluation as e; e.sizes; e.farthest_point;"
        "print([m for m in ('jax', 'matplotlib') if m in sys.modules]);"
        "e.select; e.evaluate; print('matplotlib' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[]", "False"]
