"""Cells, compositions, and random starts against ASE's distances."""

import ase
import ase.neighborlist
import contracts
import numpy as np
import pytest

from jentmax.errors import JentmaxError
from jentmax.system import cell_heights, composition, random_positions, tetragonal_cell


@pytest.mark.parametrize("aspect_ratio", [0.5, 1.0, 1.5])
def test_tetragonal_cell(aspect_ratio):
    cell = tetragonal_cell(20, 0.05, aspect_ratio)
    a, b, c = np.diagonal(cell)
    np.testing.assert_array_equal(cell, np.diag([a, b, c]))
    assert a == b
    assert c / a == pytest.approx(aspect_ratio)
    assert a * b * c == pytest.approx(20 / 0.05)


def test_the_published_cell():
    cell = tetragonal_cell(39, 39 / (9.54 * 9.54 * 14.31), 14.31 / 9.54)
    np.testing.assert_allclose(cell, np.diag([9.54, 9.54, 14.31]), rtol=1e-14)


def test_heights_are_volume_over_area():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(2, 5, 3, 3))
    heights = cell_heights(cells)
    assert heights.shape == (2, 5, 3)
    for cell, height in zip(cells.reshape(-1, 3, 3), heights.reshape(-1, 3), strict=True):
        areas = [np.linalg.norm(np.cross(cell[k - 2], cell[k - 1])) for k in range(3)]
        np.testing.assert_allclose(height, abs(np.linalg.det(cell)) / areas, rtol=1e-10)


def test_heights_of_a_sheared_cell():
    # Shear leaves the height above the face along which it shears.
    sheared = np.array([[4.0, 0, 0], [0, 5, 0], [30, 20, 6]])
    heights = cell_heights(sheared)
    assert heights[2] == pytest.approx(6)
    assert heights[0] < 4
    assert heights[1] < 5


@pytest.mark.parametrize(
    ("n_atoms", "fractions", "counts"),
    [
        (39, [1.0], [39]),
        (10, [0.3, 0.7], [3, 7]),
        (5, [0.5, 0.5], [3, 2]),
        (7, [0.2, 0.2, 0.6], [2, 1, 4]),  # ideal 1.4, 1.4, 4.2
        (2, [0.1, 0.1, 0.8], [0, 0, 2]),  # ideal 0.2, 0.2, 1.6
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
    ],
)
def test_composition(n_atoms, fractions, counts):
    np.testing.assert_array_equal(
        composition(n_atoms, fractions), np.repeat(np.arange(len(counts)), counts)
    )


def least_distance(positions, cell):
    atoms = ase.Atoms(f"H{len(positions)}", positions, cell=cell, pbc=True)
    return ase.neighborlist.neighbor_list("d", atoms, 6.0).min()


@pytest.mark.parametrize(
    ("n_atoms", "cell", "distance"),
    [
        (39, np.diag([9.54, 9.54, 14.31]), 2.0),
        (10, contracts.random_cell(np.random.default_rng(1), 4.0), 1.5),
        (3, np.array([[3.0, 0, 0], [8.0, 3.0, 0], [-7.0, 9.0, 3.0]]), 1.4),  # very skewed
        (1, np.diag([2.5, 3.0, 4.0]), 2.4),
    ],
)
def test_random_positions_do_not_overlap(n_atoms, cell, distance):
    for seed in range(3):
        positions = random_positions(np.random.default_rng(seed), n_atoms, cell, distance)
        assert positions.shape == (n_atoms, 3)
        fractional = positions @ np.linalg.inv(cell)
        # Rounding of fractional coordinates.
        assert np.all((fractional > -1e-12) & (fractional < 1 + 1e-12))
        assert least_distance(positions, cell) >= distance


def test_random_positions_come_from_the_generator_alone():
    cell = np.diag([6.0, 7.0, 8.0])
    first, again, other = (
        random_positions(np.random.default_rng(seed), 8, cell, 1.8) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


def test_random_positions_fill_the_cell():
    rng = np.random.default_rng(0)
    cell = np.diag([5.0, 10.0, 20.0])
    fractional = np.concatenate(
        [random_positions(rng, 8, cell, 1.0) / np.diagonal(cell) for _ in range(50)]
    )
    # 400 uniform numbers: a mean's standard error is 0.0144, a variance's 0.0037; four of them.
    np.testing.assert_allclose(fractional.mean(axis=0), 1 / 2, atol=0.058)
    np.testing.assert_allclose(fractional.var(axis=0), 1 / 12, atol=0.015)


def test_atoms_that_do_not_fit():
    with pytest.raises(JentmaxError, match=r"start_distance: 2.5 Å leaves room for \d+ of 39"):
        random_positions(np.random.default_rng(0), 39, 6 * np.eye(3), 2.5, tries_per_atom=500)


def test_an_atom_that_meets_its_own_image():
    with pytest.raises(JentmaxError, match=r"system.start_distance: 3 Å .* period of 2.5 Å"):
        random_positions(np.random.default_rng(0), 1, np.diag([2.5, 9.0, 9.0]), 3.0)
