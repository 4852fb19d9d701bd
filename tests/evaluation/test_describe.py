"""Descriptors of given structures, of any size and cell."""

import itertools
import os
import threading
from pathlib import Path

import ase
import ase.build
import ase.io
import ase.neighborlist
import numpy as np
import pytest
from describing import (
    TINY,
    assert_close,
    by_ase,
    coordination,
    features_by_structure,
    first_component,
    random_structure,
)

from jentmax.dataset import Dataset
from jentmax.dataset import _foreign as foreign_room
from jentmax.descriptors import Snap
from jentmax.devices import workers
from jentmax.entropy import NearestNeighbor
from jentmax.errors import JentmaxError, LeftOut
from jentmax.evaluation import _describe as room
from jentmax.evaluation import describe, describe_file, plain_descriptor
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import System


def test_as_by_the_potential():
    """Sampling and `describe` have the same features."""
    potential = Potential(TINY, ClarkeSmith(), NearestNeighbor())
    for seed in range(3):
        rng = np.random.default_rng(seed)
        cell = np.diag([7.4, 7.4, 7.6])
        atoms = ase.Atoms("W12", rng.uniform(0, 7.4, (12, 3)), cell=cell, pbc=True)
        system = System.from_ase(atoms)
        expected = potential.terms(system.positions, system.cell).features
        [features] = features_by_structure([atoms], TINY)
        assert features.dtype == np.float64
        assert_close(features, np.asarray(expected))


def test_weights_and_radii_of_elements():
    descriptor = Snap(
        cutoff=3.6,
        twojmax=2,
        components=5,
        weights={"Be": -0.5, "H": 0.2},
        radii={"Be": 0.4, "H": 0.3},
    )
    structures = [random_structure(n, symbols=("H", "W", "Be")) for n in (6, 11)]
    for atoms, features in zip(
        structures, features_by_structure(structures, descriptor), strict=True
    ):
        assert len(set(atoms.symbols)) == 3
        assert_close(features, by_ase(atoms, descriptor))


def test_a_function_of_ones_own():
    structures = [random_structure(n, symbols=("W", "Be")) for n in (6, 11)]
    found = describe(structures, coordination)
    first = 0
    for atoms in structures:
        i, j, d = ase.neighborlist.neighbor_list("ijd", atoms, 3.0)
        for column, some in enumerate([np.ones(len(j)), atoms.numbers[j] > 10]):
            expected = np.bincount(i, some * (1 - d**2 / 9) ** 2, len(atoms))
            assert_close(found.features[first : first + len(atoms), column], expected)
        first += len(atoms)
    assert first == len(found.features)


def test_a_function_without_a_cutoff():
    with pytest.raises(JentmaxError, match="set the object's attribute cutoff to a number"):
        describe([random_structure(3)], lambda environments: environments.displacements[0])


@pytest.mark.optimised
def test_the_number_of_threads_changes_no_bit(monkeypatch):
    structures = [random_structure(n, n) for n in range(1, 60)]
    monkeypatch.setattr(room, "_WORK", 5000)
    found = []
    for count in (1, 4):
        monkeypatch.setattr(room, "workers", lambda count=count: workers()[:1] * count)
        found.append(describe(structures, TINY))
    assert np.array_equal(found[0].features, found[1].features)


def test_a_mistake_in_a_thread_is_raised():
    """And the threads end."""

    class Spoilt(Snap):
        def __call__(self, environments):
            raise RuntimeError("spoilt")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="spoilt"):
        describe([random_structure(3)], Spoilt(cutoff=3.0, components=2))
    assert threading.active_count() == before


def test_structures_of_all_sizes_in_pieces_and_blocks(monkeypatch):
    """Each as if alone, in their order, however the atoms are put together."""
    sizes = [1, 30, 1, 5, 27, 2, 33, 1, 64, 3]
    structures = [random_structure(n, seed) for seed, n in enumerate(sizes)]
    structures.append(ase.Atoms("W"))
    alone = [describe([atoms], TINY) for atoms in structures]
    for pairs_at_once, work in ((1, 500), (200, 1000), (2**20, 2**17)):
        monkeypatch.setattr(room, "_PAIRS_AT_ONCE", pairs_at_once)
        monkeypatch.setattr(room, "_WORK", work)
        found = describe(structures, TINY)
        assert_close(found.features, np.concatenate([one.features for one in alone]))
        assert np.array_equal(found.neighbors, np.concatenate([one.neighbors for one in alone]))
        assert np.array_equal(found.nearest, np.concatenate([one.nearest for one in alone]))
    for atoms, one in zip(structures, alone, strict=True):
        assert np.allclose(one.features[:, 0], first_component(atoms, 3.6), rtol=1e-10)
    assert_close(alone[4].features, by_ase(structures[4], TINY))


def test_neighbours_and_the_nearest_of_them():
    """As ASE finds them, images included; none and infinity where there are none."""
    structures = [random_structure(n, n, density) for n, density in ((7, 0.03), (9, 0.004))]
    found = describe(structures, TINY)
    first = 0
    for atoms in structures:
        i, distances = ase.neighborlist.neighbor_list("id", atoms, 3.6)
        own = slice(first, first + len(atoms))
        assert np.array_equal(found.neighbors[own], np.bincount(i, minlength=len(atoms)))
        for atom in range(len(atoms)):
            # A square root of the same sum in another order.
            expected = distances[i == atom].min(initial=np.inf)
            assert found.nearest[own][atom] == pytest.approx(expected, rel=1e-14)
        first += len(atoms)
    assert 0 in found.neighbors
    assert np.array_equal(np.isinf(found.nearest), found.neighbors == 0)


def test_few_programs_are_compiled(monkeypatch):
    """Little differences in the number of neighbours take none; a wasteful padding takes one."""
    rooms = []
    features = room._features

    def spied(descriptor, environments, device):
        rooms.append(environments.mask.shape[1])
        return features(descriptor, environments, device)

    monkeypatch.setattr(room, "_features", spied)
    monkeypatch.setattr(room, "_WORK", 5000)
    fcc, wide = (ase.build.bulk("W", "fcc", a) for a in (4.0, 5.0))
    simple = ase.build.bulk("W", "sc", 2.5)
    dense = ase.build.bulk("W", "fcc", 1.9)
    found = describe([fcc, simple, wide], TINY)
    assert found.neighbors.tolist() == [12, 18, 12]
    assert found.compilations == 1
    found = describe([dense] + 200 * [simple], TINY)
    assert found.neighbors[:2].tolist() == [12 + 6 + 24 + 12 + 24 + 8 + 48, 18]
    assert found.compilations == 2
    assert set(rooms) == {32, 256}


def test_progress_is_reported(monkeypatch):
    monkeypatch.setattr(room, "_PAIRS_AT_ONCE", 1)
    told = []
    structures = [random_structure(n) for n in (9, 8, 12)]
    describe(structures, TINY, lambda done, atoms: told.append((done, atoms)))
    assert told == [(9, 29), (17, 29), (29, 29)]


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)))
def test_any_periodicity(pbc):
    atoms = random_structure(7, pbc=pbc)
    [features] = features_by_structure([atoms], TINY)
    assert_close(features, by_ase(atoms, TINY))


def test_cells_that_are_missing_where_nothing_is_periodic():
    positions = [[0, 0, 0], [0, 0, 2.5], [1, 2, 0]]
    molecule = ase.Atoms("W3", positions)
    layer = ase.Atoms("W3", positions, cell=[4, 4, 0], pbc=[True, True, False])
    wire = ase.Atoms("W3", positions, cell=[0, 0, 5], pbc=[False, False, True])
    structures = [molecule, layer, wire]
    for atoms, features in zip(structures, features_by_structure(structures, TINY), strict=True):
        assert_close(features, by_ase(atoms, TINY))


def test_an_atom_without_neighbours():
    """An isolated atom's components are those of its own weight."""
    for cell, pbc in (([0, 0, 0], False), ([20, 20, 20], True)):
        [features] = features_by_structure([ase.Atoms("W", cell=cell, pbc=pbc)], TINY)
        # (j + 1) times the average of U_j1 U_j2 U_j at the pole: products of j + 1 there.
        assert_close(features, np.array([[1.0, 2, 3, 3, 3]]))
    lone = ase.Atoms("W3", [[0, 0, 0], [0, 0, 2.5], [10, 0, 0]])
    [features] = features_by_structure([lone], TINY)
    assert_close(features[2], np.array([1.0, 2, 3, 3, 3]))
    assert np.all(features[:2, 0] > 1)


def test_one_atom_cells():
    """An atom's neighbours are its own images, however the cell is written."""
    descriptor = Snap(cutoff=4.5, twojmax=2, components=5)
    bcc, fcc = ase.build.bulk("W"), ase.build.bulk("Cu", cubic=False)
    fcc.symbols[:] = "W"
    cubic = ase.build.bulk("W", cubic=True)
    skewed = bcc.copy()
    skewed.set_cell([[1, 0, 0], [5, 1, 0], [-3, 2, 1]] @ bcc.cell.array)
    found = features_by_structure([bcc, fcc, cubic, skewed], descriptor)
    for atoms, features in zip([bcc, fcc, cubic, skewed], found, strict=True):
        assert_close(features, by_ase(atoms, descriptor))
    assert_close(found[3], found[0])
    assert_close(found[2], np.repeat(found[0], 2, axis=0))
    assert not np.allclose(found[1], found[0], rtol=0.01)


def test_nothing_to_describe():
    found = describe([], TINY)
    assert (found.features.shape, found.neighbors.shape, found.compilations) == ((0, 5), (0,), 0)


def bad(change):
    atoms = random_structure(4)
    change(atoms)
    return [random_structure(3), atoms]


def nan_position(atoms):
    atoms.positions[2, 1] = np.nan


def infinite_cell(atoms):
    atoms.cell[1, 1] = np.inf


def small_cell(atoms):
    atoms.set_cell(0.3 * np.eye(3))


def tiny_cell(atoms):
    atoms.set_cell(0.1 * np.eye(3))


def flat_cell(atoms):
    atoms.set_cell([[4, 0, 0], [0, 4, 0], [4, 4, 0]])


def no_atoms(atoms):
    del atoms[:]


def foreign(atoms):
    atoms.symbols[:] = ["W", "Fe", "Be", "Fe"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (nan_position, ["positions[2] = [", "nan", "finite", "remove"]),
        (infinite_cell, ["cell[1] = [", "inf", "finite", "remove"]),
        (tiny_cell, ["is so thin that", "within descriptor.cutoff, 3.6 Å", "at most 100000"]),
        (small_cell, ["0.027 Å^3", "neighbours within descriptor.cutoff, 3.6 Å", "at most 2000"]),
        (flat_cell, ["is flat along a periodic direction", "set pbc false"]),
        (no_atoms, ["it has no atoms; remove it"]),
        (
            foreign,
            [
                "does not know the elements Be, Fe",
                'descriptor.elements = ["W"]',
                """--set 'descriptor.elements=["W", "Be", "Fe"]'""",
            ],
        ),
    ],
)
def test_structures_that_cannot_be_described(change, parts, tmp_path, monkeypatch):
    descriptor = Snap(cutoff=3.6, twojmax=2, components=5, elements=["W"])
    with pytest.raises(JentmaxError) as raised:
        describe(bad(change), descriptor)
    message = str(raised.value)
    assert message.startswith("structure 1: ")
    assert len(message.splitlines()) == 1
    for part in parts:
        assert part in message
    # Through a file: its name too, and nothing written.
    monkeypatch.setattr(foreign_room, "read_atoms", lambda path, format: bad(change))
    Path("bad.extxyz").touch()
    with pytest.raises(JentmaxError, match=r"^bad\.extxyz, structure 1: "):
        describe_file("bad.extxyz", "out.h5", descriptor)
    assert os.listdir(tmp_path) == ["bad.extxyz"]


# Files


def test_a_file_becomes_a_data_set():
    structures = [random_structure(n, pbc=pbc) for n, pbc in ((5, True), (1, False), (8, True))]
    structures[2].pbc = [True, False, True]
    ase.io.write("some.extxyz", structures)
    read = list(ase.io.iread("some.extxyz"))
    assert describe_file("some.extxyz", "set.h5", TINY) == Path("set.h5")
    expected = describe(read, TINY).features
    with Dataset("set.h5") as dataset:
        assert (dataset.kind, dataset.status, len(dataset)) == ("described", "complete", 3)
        assert dataset.recipe == {"descriptor": plain_descriptor(TINY)}
        assert dataset.index.tolist() == [0, 1, 2]
        # Stored in float32.
        assert np.allclose(dataset.descriptors, expected, rtol=1e-6)
        assert np.allclose(dataset.scale, expected.std(axis=0), rtol=1e-12)
        assert np.allclose(dataset.shift, expected.mean(axis=0), rtol=1e-12)
        for atoms, stored in zip(read, dataset, strict=True):
            assert np.array_equal(stored.positions, atoms.positions)
            assert np.array_equal(stored.numbers, atoms.numbers)
            assert np.array_equal(stored.cell, atoms.cell)
            assert np.array_equal(stored.pbc, atoms.pbc)


def test_a_described_file_can_be_described():
    ase.io.write("some.extxyz", [random_structure(5, pbc=False), ase.build.molecule("O2")])
    with pytest.warns(LeftOut, match=r"first\.h5 will not contain initial_magmoms"):
        describe_file("some.extxyz", "first.h5", TINY)
    describe_file("first.h5", "second.h5", TINY)
    with Dataset("first.h5") as first, Dataset("second.h5") as second:
        assert np.array_equal(first.descriptors, second.descriptors)


def test_an_existing_output_stays(tmp_path):
    ase.io.write("some.extxyz", random_structure(5))
    Path("set.h5").write_text("an older file")
    with pytest.raises(JentmaxError, match=r"set\.h5 exists"):
        describe_file("some.extxyz", "set.h5", TINY)
    assert Path("set.h5").read_text() == "an older file"
    describe_file("some.extxyz", "set.h5", TINY, overwrite=True)
    assert len(Dataset("set.h5")) == 1
    assert sorted(os.listdir(tmp_path)) == ["set.h5", "some.extxyz"]
