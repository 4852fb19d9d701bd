"""Descriptors of given structures, of any size and cell."""

import dataclasses
import itertools
import os
import threading
from pathlib import Path

import ase
import ase.build
import ase.io
import ase.neighborlist
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.dataset import Dataset, read_structures
from jentmax.dataset import _foreign as foreign_room
from jentmax.descriptors import Snap
from jentmax.devices import workers
from jentmax.entropy import NearestNeighbor
from jentmax.errors import JentmaxError
from jentmax.evaluation import _describe as room
from jentmax.evaluation import _describe_files as file_room
from jentmax.evaluation import describe, describe_file, described, plain_descriptor
from jentmax.neighbors import Environments
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import System

REAL = Path(__file__).parents[3] / "shared" / "data"

TINY = Snap(cutoff=3.6, twojmax=2, components=5)
PAPER = Snap(cutoff=4.0, components=6)


def random_structure(n_atoms, seed=0, density=0.03, symbols=("W",), pbc=True):
    """Atoms anywhere in a skewed cell, some outside."""
    rng = np.random.default_rng([seed, n_atoms])
    side = (n_atoms / density) ** (1 / 3)
    cell = side * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    positions = rng.uniform(-0.5, 1.5, (n_atoms, 3)) @ cell
    return ase.Atoms(rng.permutation(np.resize(symbols, n_atoms)), positions, cell=cell, pbc=pbc)


def by_ase(atoms, descriptor):
    """Features from the neighbours that ASE finds."""
    i, j, displacements = ase.neighborlist.neighbor_list("ijD", atoms, descriptor.largest_cutoff)
    numbers = np.full(256, 74, np.int32)  # more than there are, to compile once
    numbers[: len(atoms)] = atoms.numbers
    room_for_neighbors = 128
    vectors = np.full((256, room_for_neighbors, 3), 9.0)
    mask = np.zeros((256, room_for_neighbors), bool)
    neighbor_numbers = np.full((256, room_for_neighbors), 74, np.int32)
    for atom in range(len(atoms)):
        mine = i == atom
        vectors[atom, : mine.sum()] = displacements[mine]
        mask[atom, : mine.sum()] = True
        neighbor_numbers[atom, : mine.sum()] = numbers[j[mine]]
    arrays = (np.moveaxis(vectors, -1, 0), mask, numbers, neighbor_numbers)
    return np.asarray(features_of(descriptor, *map(jnp.asarray, arrays)))[: len(atoms)]


@eqx.filter_jit
def features_of(descriptor, *arrays):
    return descriptor(Environments(*arrays))


def features_by_structure(structures, descriptor):
    """Features of each structure's atoms."""
    ends = np.cumsum([len(atoms) for atoms in structures])
    return np.split(describe(structures, descriptor).features, ends[:-1])


def assert_close(features, expected):
    """Equal to rounding: float64 sums of some ten neighbours in another order."""
    assert features.shape == expected.shape
    assert np.allclose(features, expected, rtol=1e-10, atol=1e-10)


def first_component(atoms, cutoff):
    """(1 + sum of the switching function over the neighbours)^3, the component 000."""
    i, distances = ase.neighborlist.neighbor_list("id", atoms, cutoff)
    switched = (np.cos(np.pi * distances / cutoff) + 1) / 2
    return (1 + np.bincount(i, switched, len(atoms))) ** 3


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


def coordination(environments):
    """Smooth numbers of neighbours of one structure, and of the heavy ones among them."""
    x, y, z = environments.displacements
    near = jnp.where(environments.mask, (1 - (x * x + y * y + z * z) / 9) ** 2, 0)
    heavy = environments.neighbor_numbers > 10
    return jnp.stack([near.sum(axis=1), (near * heavy).sum(axis=1)], axis=1)


coordination.cutoff = 3.0


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
    with pytest.raises(JentmaxError, match="give the object an attribute cutoff"):
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
    read = ase.io.read("some.extxyz", ":")
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


# The cache


def forbidden(path, format=None):
    raise AssertionError(f"{path} is read")


@pytest.fixture
def known(monkeypatch):
    """What is known of a file, in a cache; nothing is read from now on."""
    atoms = [random_structure(5), random_structure(7), ase.Atoms("W")]
    atoms[1].info["config_type"] = "random"
    ase.io.write("some.extxyz", atoms)
    found = described("some.extxyz", TINY, Path("cache"))
    assert [file.suffix for file in Path("cache", "descriptors").iterdir()] == [".npz"]
    monkeypatch.setattr(file_room, "read_structures", forbidden)
    return found


def assert_same(found, expected):
    """Structures and description are equal bit for bit."""
    for one, other in zip(found, expected, strict=True):
        one, other = (dict(vars(some)) for some in (one, other))
        for some in (one, other):
            some.update(some.pop("columns", {}))
            for name in ("compilations", "atom_columns"):
                some.pop(name, None)
        for name, value in one.items():
            assert np.array_equal(value, other[name]), name
            assert value.dtype == other[name].dtype


def test_a_file_is_described_once(known):
    structures, description = known
    assert structures.groups.tolist() == ["", "random", ""]
    assert np.array_equal(description.features, describe(structures, TINY).features)
    assert (description.compilations, description.neighbors[-1]) == (1, 0)
    assert_same(described(Path("some.extxyz"), TINY, Path("cache")), known)


def test_without_a_cache_files_are_read(known):
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", TINY)


@pytest.mark.parametrize(
    "change", [{"cutoff": 3.5}, {"self_weight": 0.9}, {"elements": ("W", "Be")}]
)
def test_another_descriptor_describes_again(known, change):
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", dataclasses.replace(TINY, **change), Path("cache"))


def test_descriptions_by_ones_own_function_are_not_kept(tmp_path):
    ase.io.write("some.extxyz", random_structure(5))
    _, description = described("some.extxyz", coordination, Path("cache"))
    assert description.features.shape == (5, 2)
    assert os.listdir(tmp_path) == ["some.extxyz"]


def test_another_content_or_name_is_described_again(known):
    content = Path("some.extxyz").read_text()
    Path("some.extxyz").write_text(content.replace("random", "others"))
    Path("other.extxyz").write_text(content)  # ASE may know its format by its name
    for name in ("some.extxyz", "other.extxyz"):
        with pytest.raises(AssertionError, match=rf"{name} is read"):
            described(name, TINY, Path("cache"))


def test_another_version_describes_again(known, monkeypatch):
    monkeypatch.setattr(file_room, "_FORMAT", file_room._FORMAT + 1)
    with pytest.raises(AssertionError, match=r"some\.extxyz is read"):
        described("some.extxyz", TINY, Path("cache"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def foreign_arrays(path):
    np.savez(path, positions=np.zeros(3))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, emptied, flipped, foreign_arrays, a_folder])
def test_a_damaged_cache_is_made_again(known, monkeypatch, damage):
    [path] = Path("cache", "descriptors").iterdir()
    damage(path)
    monkeypatch.setattr(file_room, "read_structures", read_structures)
    assert_same(described("some.extxyz", TINY, Path("cache")), known)
    monkeypatch.setattr(file_room, "read_structures", forbidden)
    if damage is not a_folder:
        assert_same(described("some.extxyz", TINY, Path("cache")), known)
    assert len(list(Path("cache", "descriptors").iterdir())) == 1


def test_a_cache_that_cannot_be_written(known, monkeypatch):
    Path("no-folder").touch()
    monkeypatch.setattr(file_room, "read_structures", read_structures)
    assert_same(described("some.extxyz", TINY, Path("no-folder")), known)


def test_what_cannot_be_described_is_named_and_not_kept():
    Path("bad.extxyz").write_text("1\n\nW 0 0 0\n1\n\nFe 0 0 0\n")
    tungsten = dataclasses.replace(TINY, elements=("W",))
    with pytest.raises(JentmaxError, match=r"^bad\.extxyz, structure 1: .* the elements Fe"):
        described("bad.extxyz", tungsten, Path("cache"))
    with pytest.raises(JentmaxError, match=r"none\.extxyz: no such file"):
        described("none.extxyz", TINY, Path("cache"))
    assert not Path("cache").exists()


# The real sets


@pytest.fixture(scope="module", params=["tungsten_snap_gap", "tungsten_radiation_damage"])
def real(request):
    path = REAL / f"{request.param}.extxyz"
    if not path.exists():
        pytest.skip(f"no {path.name} in ../shared/data")
    return read_structures(path)


def assert_as_by_ase(structures, description, chosen, descriptor):
    """Features, numbers of neighbours and nearest distances of the chosen structures."""
    for k in chosen:
        atoms, own = structures[k], structures.rows(np.array([k]))
        assert_close(description.features[own], by_ase(atoms, descriptor))
        i, distances = ase.neighborlist.neighbor_list("id", atoms, 4.0)
        assert np.array_equal(description.neighbors[own], np.bincount(i, minlength=len(atoms)))
        nearest = np.full(len(atoms), np.inf)
        np.minimum.at(nearest, i, distances)
        assert np.allclose(description.nearest[own], nearest, rtol=1e-12)  # of lengths of some Å


def test_real_structures(real):
    """Some of every group."""
    chosen = []
    for group in np.unique(real.groups):
        members = np.flatnonzero(real.groups == group)
        chosen += members[np.linspace(0, len(members) - 1, 3).astype(int)].tolist()
    structures = real[np.array(chosen)]
    assert len(set(structures.groups)) == len(set(real.groups)) >= 15
    assert_as_by_ase(structures, describe(structures, PAPER), range(len(structures)), PAPER)


def test_the_most_skewed_real_cells(real):
    one_atom = real[real.counts == 1]
    heights = np.min(1 / np.linalg.norm(np.linalg.inv(one_atom.cells), axis=1), axis=1)
    skewed = one_atom[np.argsort(heights)[:6]]
    assert min(heights) < 1.0
    assert_as_by_ase(skewed, describe(skewed, PAPER), range(6), PAPER)


@pytest.mark.parametrize("real", ["tungsten_radiation_damage"], indirect=True)
def test_real_atoms_without_neighbours(real):
    """They are counted: dimers further apart than the cutoff are no environments of others."""
    dimers = real[real.groups == "dimer"]
    distances = np.linalg.norm(dimers.positions[1::2] - dimers.positions[::2], axis=1)
    description = describe(dimers, dataclasses.replace(PAPER, cutoff=3.0))
    assert 0 < np.sum(distances > 3) < len(distances)
    assert np.array_equal(description.neighbors, np.repeat(distances < 3, 2))
    expected = np.where(distances < 3, distances, np.inf)
    assert np.allclose(description.nearest, np.repeat(expected, 2), rtol=1e-12)
