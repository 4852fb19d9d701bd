"""All ways to find neighbours against ASE's; which way is chosen."""

import dataclasses

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_same_environments, find, random_cell
from finding import SKEWED, built, environments, list_for, listed

from jentmax.errors import JentmaxError
from jentmax.neighbors import (
    AllPairs,
    NeighborList,
    host_environments,
    neighbor_finder,
)
from jentmax.system import cell_heights


def all_ways(positions, cell, numbers, cutoff, capacity=60):
    """The environments that each way finds, which must be equal."""
    chosen = neighbor_finder(cutoff, len(positions), cell)
    assert isinstance(chosen, AllPairs)
    a, b, c = chosen.images
    table = list_for(cutoff, cell, capacity=capacity)
    return {
        "all pairs": find(chosen, positions, cell, numbers),
        "one image more": find(AllPairs(cutoff, (a + 1, b + 1, c + 1)), positions, cell, numbers),
        "list": find(table, positions, cell, numbers),
        "host": host_environments(positions, cell, numbers, cutoff),
    }


@pytest.mark.parametrize("seed", range(3))
def test_random_triclinic_cells(seed):
    rng = np.random.default_rng(seed)
    # From several images along every vector to none.
    cell = random_cell(rng, [1.4, 3.0, 6.0][seed])
    positions, numbers = rng.random((6, 3)) @ cell, rng.choice([13, 28, 74], size=6)
    for way, found in all_ways(positions, cell, numbers, 3.0, capacity=180).items():
        print(way)
        assert_same_environments(found, positions, cell, numbers, 3.0)


@pytest.mark.parametrize("images", [(0, 1, 2), (3, 0, 1), (2, 4, 5), (1, 1, 1)])
def test_as_many_images_as_the_heights_need(images):
    """Down to the heights at which one image more is needed, of atoms in pairs along the cell."""
    rng = np.random.default_rng(sum(images))
    cell = np.array([[1.0, 0, 0], [0.4, 1.0, 0], [-0.3, 0.2, 1.0]])
    cell *= (1.001 * 6 / (np.array(images) + 1) / cell_heights(cell))[:, None]
    finder = neighbor_finder(3.0, 6, cell)
    assert finder == AllPairs(3.0, images)
    first = rng.random((3, 3))
    # At the middle between two images either may be the nearest.
    fractional = np.concatenate([first, first + 0.5 + rng.uniform(-1e-3, 1e-3, (3, 3))])
    positions, numbers = (fractional + rng.integers(-2, 3, (6, 3))) @ cell, np.full(6, 74)
    assert_same_environments(find(finder, positions, cell, numbers), positions, cell, numbers, 3.0)


def test_one_atom_in_a_very_skewed_cell():
    finder = neighbor_finder(5.0, 1, SKEWED)
    assert isinstance(finder, AllPairs)
    assert min(finder.images) >= 2
    position = np.array([[1.0, -40.0, 7.0]])
    for way, found in all_ways(position, SKEWED, np.zeros(1, int), 5.0, capacity=80).items():
        print(way)
        assert_same_environments(found, position, SKEWED, np.zeros(1, int), 5.0)
        assert np.sum(found.mask) > 20


def test_cells_of_exactly_twice_the_cutoff():
    rng = np.random.default_rng(0)
    skewed = np.array([[6.0, 0, 0], [2.5, 6.0, 0], [-2.0, 1.5, 6.0]])
    skewed *= (6 / cell_heights(skewed))[:, None]
    for cell in (6 * np.eye(3), skewed):
        finder = neighbor_finder(3.0, 8, cell)
        assert finder == AllPairs(3.0, (0, 0, 0))
        several = rng.random((5, 8, 3)) @ cell
        for positions in several:
            found = find(finder, positions, cell, np.zeros(8, int))
            assert_same_environments(found, positions, cell, np.zeros(8, int), 3.0)
        found = find(list_for(3.0, cell), several[-1], cell, np.zeros(8, int))
        assert_same_environments(found, several[-1], cell, np.zeros(8, int), 3.0)


def test_a_cell_whose_list_reaches_just_to_the_next_image():
    # cutoff + skin is a whole number of heights: rounding must not ask for one image more.
    for dtype in (jnp.float32, jnp.float64):
        for height in (3.5, 1.75, 3.5 / 3):
            cell = jnp.asarray(height * np.eye(3), dtype)
            finder = listed(3.0, (height,) * 3, capacity=300)
            assert not finder.overflowed(finder.build(jnp.zeros((1, 3), dtype), cell))


@pytest.mark.parametrize("height", [2.0, 6.5])
def test_unwrapped_positions(height):
    rng = np.random.default_rng(3)
    cell = random_cell(rng, height)
    positions, numbers = rng.random((6, 3)) @ cell, 13 + np.arange(6) % 2
    expected = host_environments(positions, cell, numbers, 3.0)
    unwrapped = positions + rng.integers(-4, 5, size=(6, 3)) @ cell
    for way, found in all_ways(unwrapped, cell, numbers, 3.0, capacity=120).items():
        print(way)
        # Positions of 50 Å are rounded by 1e-14 Å.
        assert_same_environments(found, positions, cell, numbers, 3.0)
        # The order of a list's neighbours is its own.
        assert found.least_distance() == pytest.approx(
            np.sqrt(np.min(expected.squared_distances())), rel=1e-12
        )


@pytest.mark.parametrize("way", ["all pairs", "list", "host"])
def test_padding(way):
    rng = np.random.default_rng(0)
    cell = random_cell(rng, 7.0)
    positions = rng.random((5, 3)) @ cell
    found = all_ways(positions, cell, 13 + np.arange(5) % 2, 2.5)[way]
    padding = ~np.asarray(found.mask)
    assert padding.any()
    x, y, z = (np.asarray(component)[padding] for component in found.displacements)
    assert np.all(x == 2.5)
    assert not y.any()
    assert not z.any()
    squared = np.asarray(found.squared_distances())
    assert np.all(squared[padding] == 2.5**2)
    assert np.all(squared[~padding] < 2.5**2)


def test_no_neighbours_at_all():
    positions, cell = np.array([[0.0, 0, 0], [5, 5, 5]]), 12 * np.eye(3)
    for way, found in all_ways(positions, cell, np.zeros(2, int), 3.0).items():
        print(way)
        assert not np.any(found.mask)
        assert float(np.sqrt(np.min(found.squared_distances()))) == 3.0


def test_neighbours_exactly_at_the_cutoff_do_not_count():
    positions, cell = np.array([[0.0, 0, 0], [3, 0, 0]]), 16 * np.eye(3)
    for way, found in all_ways(positions, cell, np.zeros(2, int), 3.0).items():
        print(way)
        assert not np.any(found.mask)


def test_the_choice():
    cells = {height: height * np.eye(3) for height in (9.54, 8.0, 7.9, 4.0, 3.9, 2.6)}
    images = {9.54: 0, 8.0: 0, 7.9: 1, 4.0: 1, 3.9: 2, 2.6: 3}
    for height, cell in cells.items():
        n = images[height]
        assert neighbor_finder(4.0, 4, cell) == AllPairs(4.0, (n, n, n))
    assert neighbor_finder(4.0, 39, np.diag([7.0, 9.0, 2.6])) == AllPairs(4.0, (1, 0, 3))
    # Of several cells, what each needs along each vector.
    both = np.stack([np.diag([7.0, 9.0, 9.0]), np.diag([9.0, 9.0, 2.6])])
    assert neighbor_finder(4.0, 39, both) == AllPairs(4.0, (1, 0, 3))


def test_large_systems_keep_a_list():
    edge = (2000 / 0.06) ** (1 / 3)
    finder = neighbor_finder(4.0, 2000, np.stack([edge * np.eye(3), 1.1 * edge * np.eye(3)]))
    assert isinstance(finder, NeighborList)
    np.testing.assert_allclose(finder.heights, edge)
    # 23 neighbours within the cutoff and the skin, in the densest cell, and room for fluctuations.
    expected = 0.06 * 4 / 3 * np.pi * 4.5**3
    assert 1.3 * expected < finder.capacity < 3 * expected


@pytest.mark.parametrize("n_replicas", [1, 3])
def test_a_list_in_cells_that_a_grid_divides(n_replicas):
    """Triclinic cells of several sizes, and atoms outside of them."""
    rng = np.random.default_rng(4)
    cells = np.stack([random_cell(rng, 7.0 + replica) for replica in range(n_replicas)])
    fractional = rng.uniform(-1, 2, size=(n_replicas, 150, 3))
    positions = jnp.asarray(np.moveaxis(fractional @ cells, 0, -1))
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    numbers = jnp.asarray(rng.integers(13, 15, size=(150, n_replicas)), jnp.int32)
    finder = list_for(1.9, cells, capacity=30, skin=0.3)
    assert min(finder.heights) > 3.01 * (1.9 + 0.3), "too small for the grid"
    table = built(finder, positions, stacked)
    assert not finder.overflowed(table)
    found = environments(finder, positions, stacked, numbers, table)
    for replica, cell in enumerate(cells):
        assert_same_environments(
            contracts.replica_of(found, replica),
            positions[..., replica],
            cell,
            numbers[:, replica],
            1.9,
        )
    # One gas in a corner: more atoms in a grid cell than it has room for.
    crowded = 0.05 * positions
    assert finder.overflowed(built(finder, crowded, stacked))


def test_the_largest_system_without_a_list():
    cell = 100 * np.eye(3)
    kinds = [type(neighbor_finder(4.0, n, cell)) for n in range(50, 2000, 50)]
    assert kinds == sorted(kinds, key=lambda kind: kind is NeighborList), "not one border"
    assert 1 < kinds.index(NeighborList) < 10
    # Where no grid fits a list is worth less, and images count.
    thin, small = 12 * np.eye(3), np.diag([5.0, 12, 12])
    border = 50 + 50 * kinds.index(NeighborList)
    assert isinstance(neighbor_finder(4.0, border, thin), AllPairs)
    assert isinstance(neighbor_finder(4.0, 400, thin), AllPairs)
    assert isinstance(neighbor_finder(4.0, 400, small), NeighborList)


def test_the_host_may_have_open_boundaries():
    positions = np.array([[0.2, 3.0, 3.0], [5.8, 3.0, 3.0], [0.2, 5.9, 3.0], [0.2, 0.1, 3.0]])
    cell = 6 * np.eye(3)
    kinds = np.zeros(4, int)

    def pairs(periodic):
        return int(host_environments(positions, cell, kinds, 1.0, periodic).mask.sum())

    assert [pairs(True), pairs((True, False, False)), pairs((False, True, True))] == [4, 2, 2]
    assert pairs(False) == 0


def test_the_host_has_room_for_more():
    positions, cell, kinds = np.zeros((1, 3)), 2 * np.eye(3), np.zeros(1, int)
    fits = host_environments(positions, cell, kinds, 2.5)
    roomy = host_environments(positions, cell, kinds, 2.5, capacity=9)
    assert fits.mask.shape == (1, 6)
    assert roomy.mask.shape == (1, 9)
    assert roomy.mask.sum() == 6
    with pytest.raises(JentmaxError, match="capacity = 5 is less than the 6 neighbours"):
        host_environments(positions, cell, kinds, 2.5, capacity=5)


def test_finders_are_equal_when_they_say_the_same():
    # A program compiled for one serves the other.
    for cell in (9 * np.eye(3), 30 * np.eye(3)):
        assert list_for(3.0, cell) == list_for(3.0, cell)
        assert list_for(3.0, cell).grown() == list_for(3.0, cell).grown()
    assert AllPairs(3.0, (1, 0, 2)) == dataclasses.replace(AllPairs(3.0), images=(1, 0, 2))
    assert hash(AllPairs(3.0)) == hash(AllPairs(3.0))
    assert jax.tree.leaves(list_for(3.0, 9 * np.eye(3))) == []
