"""When a list of neighbours is built, lacks room and grows."""

import contracts
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_same_environments, find, random_cell
from finding import built, cluster, environments, list_for, updated

from jentmax.neighbors import (
    AllPairs,
    NeighborList,
    Neighbors,
    neighbor_finder,
)
from jentmax.system import cell_heights


def test_overflow_is_flagged_and_mended():
    positions, cells, numbers = cluster()
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    finder, grown = list_for(3.0, cells, capacity=4), 0
    while finder.overflowed(table := built(finder, positions, stacked)):
        finder, grown = finder.grown(), grown + 1
        assert finder.capacity > 4
        assert grown < 10
    assert grown > 1
    # One capacity for all replicas.
    assert table.indices.shape == (finder.capacity, 12, 2)
    found = environments(finder, positions, stacked, numbers, table)
    for replica, cell in enumerate(cells):
        assert_same_environments(
            contracts.replica_of(found, replica),
            positions[..., replica],
            cell,
            numbers[:, replica],
            3.0,
        )


def test_overflow_of_any_replica_counts():
    sparse = jnp.asarray(np.random.default_rng(0).random((6, 3)) * 30)
    dense = sparse / 20
    cells = np.stack([30 * np.eye(3)] * 2)
    finder = list_for(3.0, cells, capacity=4)
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    assert not finder.overflowed(built(finder, jnp.stack([sparse, sparse], -1), stacked))
    for pair in ([sparse, dense], [dense, sparse]):
        assert finder.overflowed(built(finder, jnp.stack(pair, -1), stacked))


def test_overflow_on_the_way_is_remembered():
    sparse = jnp.asarray(np.random.default_rng(0).random((6, 3)) * 30)
    cell = 30 * jnp.eye(3)
    finder = list_for(3.0, np.asarray(cell), capacity=4)
    table = built(finder, sparse, cell)
    assert not finder.overflowed(table)
    table = updated(finder, table, sparse / 20, cell)
    assert finder.overflowed(table)
    # Apart again, there is room; but what was computed in between is wrong.
    table = updated(finder, table, sparse, cell)
    assert finder.overflowed(table)


@pytest.mark.parametrize("finder", [AllPairs(3.0), AllPairs(3.0, (1, 2, 3)), "list"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_cells_that_fit(finder, dtype):
    """The heights count, not the lengths of the lattice vectors."""
    if finder == "list":
        finder = list_for(3.0, 7 * np.eye(3))
    least = np.array(finder.least_heights)
    skewed = np.array([[1.0, 0, 0], [7.0, 1.0, 0], [-4.0, 3.0, 1.0]])
    skewed *= (least / cell_heights(skewed))[:, None]
    for cell in (np.diag(least), skewed):
        assert finder.fits(jnp.asarray(cell, dtype))
        for along in range(3):
            smaller = cell.copy()
            smaller[along] *= 0.999
            assert not finder.fits(jnp.asarray(smaller, dtype))
    cells = jnp.asarray(np.stack([1.2 * skewed, 0.9 * skewed, skewed], axis=-1), dtype)
    assert finder.fits(cells).tolist() == [True, False, True]


def test_a_flat_cell_does_not_fit():
    assert not AllPairs(3.0).fits(jnp.diag(jnp.array([8.0, 8.0, 0.0])))
    assert not AllPairs(3.0).fits(jnp.full((3, 3), jnp.nan))


def test_a_cell_smaller_than_planned_overflows_the_list():
    finder = list_for(3.0, 7 * np.eye(3))
    assert finder.overflowed(built(finder, jnp.zeros((1, 3)), 1.2 * jnp.eye(3)))


def test_complete():
    positions, cells, _ = cluster()
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    finder = list_for(3.0, cells, skin=0.6)
    table = built(finder, positions, stacked)
    assert finder.complete(table, positions).tolist() == [True, True]
    for distance, complete in ((0.29, True), (0.31, False)):
        moved = positions.at[5, :, 1].add(distance * np.array([2.0, -1, 2]) / 3)
        assert finder.complete(table, moved).tolist() == [True, complete]
    lacking = built(list_for(3.0, cells, capacity=2), positions, stacked)
    assert finder.complete(lacking, positions).tolist() == [False, False]
    assert AllPairs(3.0).complete(None, positions).tolist() == [True, True]


def test_neighbours_carry_their_finder():
    positions, cells, numbers = cluster()
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    finder = list_for(3.0, cells, capacity=4)
    neighbors = Neighbors(finder, built(finder, positions, stacked))
    assert neighbors.overflowed
    assert neighbors.complete(positions, stacked).tolist() == [False, True]
    while neighbors.overflowed:
        neighbors = neighbors.grown(positions, stacked)
    assert isinstance(neighbors.finder, NeighborList)
    assert neighbors.finder.capacity > 4
    assert jnp.all(neighbors.complete(positions, stacked))
    assert not jnp.any(neighbors.complete(positions, 0.9 * stacked)), "of a smaller cell"
    found = neighbors.updated(positions + 0.4, stacked).environments(
        positions + 0.4, stacked, numbers
    )
    assert_same_environments(
        contracts.replica_of(found, 1), positions[..., 1], cells[1], numbers[:, 1], 3.0
    )


def test_nearer_neighbours():
    rng = np.random.default_rng(0)
    cell = random_cell(rng, 6.0)
    positions, numbers = rng.random((6, 3)) @ cell, rng.choice([13, 28], size=6)
    far = find(neighbor_finder(3.0, 6, cell), positions, cell, numbers)
    assert_same_environments(far.within(2.2), positions, cell, numbers, 2.2)
    both = contracts.side_by_side(far, far).within(2.2)
    assert_same_environments(contracts.replica_of(both, 1), positions, cell, numbers, 2.2)


def test_a_list_is_built_again_once_half_the_skin_is_crossed():
    positions, cells, numbers = cluster()
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    finder = list_for(3.0, cells, skin=0.6)
    table = built(finder, positions, stacked)
    assert not finder.overflowed(table)
    direction = np.array([2.0, -1, 2]) / 3
    for distance, again in ((0.29, False), (0.31, True)):
        moved = positions.at[5, :, 1].add(distance * direction)
        after = updated(finder, table, moved, stacked)
        assert bool(jnp.all(after.reference[..., 1] == moved[..., 1])) == again
        # A replica's list depends on its own atoms alone.
        np.testing.assert_array_equal(after.reference[..., 0], positions[..., 0])
        np.testing.assert_array_equal(after.indices[..., 0], table.indices[..., 0])
        found = environments(finder, moved, stacked, numbers, after)
        for replica, cell in enumerate(cells):
            assert_same_environments(
                contracts.replica_of(found, replica),
                moved[..., replica],
                cell,
                numbers[:, replica],
                3.0,
            )


def test_the_skin_is_wide_enough_for_two_atoms_that_approach():
    positions = jnp.array([[0.0, 0, 0], [3.55, 0, 0]])
    cell = 20 * jnp.eye(3)
    finder = list_for(3.0, np.asarray(cell), skin=0.6)
    table = built(finder, positions, cell)
    moved = jnp.array([[0.299, 0, 0], [3.251, 0, 0]])
    after = updated(finder, table, moved, cell)
    np.testing.assert_array_equal(after.reference, positions)
    found = environments(finder, moved, cell, jnp.zeros(2, jnp.int32), after)
    assert np.sum(found.mask) == 2


def test_a_list_follows_atoms_through_the_cell():
    # A walk of many steps, over several periods, as a simulation makes it.
    cell = random_cell(np.random.default_rng(5), 5.0)
    rng = np.random.default_rng(0)
    finder = list_for(3.0, cell)
    positions = jnp.asarray(rng.random((6, 3)) @ cell)
    velocities = 0.9 * rng.normal(size=(6, 3))
    table = built(finder, positions, jnp.asarray(cell))
    builds = 0
    for _ in range(40):
        positions = positions + jnp.asarray(0.1 * velocities)
        after = updated(finder, table, positions, jnp.asarray(cell))
        builds += int(jnp.any(after.reference != table.reference))
        table = after
        found = environments(finder, positions, jnp.asarray(cell), jnp.zeros(6, jnp.int32), table)
        assert_same_environments(found, positions, cell, np.zeros(6, int), 3.0)
    assert not finder.overflowed(table)
    assert 5 < builds < 35


def test_a_replica_that_is_not_finite_leaves_the_others_alone():
    positions, cells, numbers = cluster()
    stacked = jnp.asarray(np.moveaxis(cells, 0, -1))
    broken = positions.at[0, 0, 1].set(jnp.nan)
    finders = [list_for(3.0, cells), AllPairs(3.0, (1, 1, 1))]
    for finder in finders:
        table = built(finder, positions, stacked)
        table = updated(finder, table, broken, stacked)
        found = environments(finder, broken, stacked, numbers, table)
        assert_same_environments(
            contracts.replica_of(found, 0), positions[..., 0], cells[0], numbers[:, 0], 3.0
        )
