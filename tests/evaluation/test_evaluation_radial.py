"""Radial distribution functions of an ideal gas, of crystals, and against ASE's neighbours."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.neighborlist import neighbor_list
from contracts import random_cell

from jentmax.dataset import Structures
from jentmax.evaluation import radial_distribution


def structures(*atoms):
    return Structures.from_ase(atoms)


def random_gas(n_atoms, lattice, seed):
    rng = np.random.default_rng(seed)
    cell = random_cell(rng, lattice)
    return Atoms(f"W{n_atoms}", rng.random((n_atoms, 3)) @ cell, cell=cell, pbc=True)


def shells(cutoff, bins):
    return 4 / 3 * np.pi * np.diff(np.linspace(0, cutoff, bins + 1) ** 3)


def test_random_gas():
    n_atoms, cutoff, bins = 300, 5.0, 10
    gases = [random_gas(n_atoms, 12.0, seed) for seed in range(4)]
    _, found = radial_distribution(structures(*gases), cutoff, bins)
    for gas in gases:
        # No atom is its own neighbour, so that it sees the others only: n - 1 of n.
        assert not np.any(np.equal(*neighbor_list("ij", gas, cutoff)))
    density = np.mean([n_atoms / gas.get_volume() for gas in gases])
    pairs = len(gases) * n_atoms * density * shells(cutoff, bins) / 2
    # Distances of different pairs are independent: counts scatter as their square root.
    error = 1 / np.sqrt(pairs)
    np.testing.assert_array_less(np.abs(found - (1 - 1 / n_atoms)), 4 * error)


def test_bcc():
    a, cutoff, bins = 3.1652, 5.0, 100
    radii, found = radial_distribution(structures(bulk("W", a=a)), cutoff, bins)
    neighbors = found * 2 / a**3 * shells(cutoff, bins)
    expected = np.zeros(bins)
    for distance, number in [(np.sqrt(3) / 2 * a, 8), (a, 6), (np.sqrt(2) * a, 12)]:
        expected[int(distance / cutoff * bins)] += number
    # Rounding; the peaks lie where they should, and nothing lies between.
    np.testing.assert_allclose(neighbors, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(radii, 0.025 + 0.05 * np.arange(bins), rtol=1e-12)


def test_a_cell_and_its_supercell():
    one = Atoms("W", [[9.0, -4.0, 1.0]], cell=[[2.6, 0, 0], [12.1, 2.3, 0], [-9, 14.2, 2.9]])
    one.pbc = True
    many = make_supercell(one, [[2, 0, 0], [1, 3, 0], [0, -1, 2]])
    assert len(many) == 12
    _, expected = radial_distribution(structures(one), 7.0, 97)
    _, found = radial_distribution(structures(many), 7.0, 97)
    assert np.count_nonzero(expected) > 20
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # One after the other they still are the same crystal.
    _, both = radial_distribution(structures(one, many), 7.0, 97)
    np.testing.assert_allclose(both, expected, rtol=1e-12)


@pytest.mark.parametrize("lattice", [2.0, 5.0])
def test_ase(lattice):
    # Cells shorter and longer than the cutoff, of different densities, one of them left-handed.
    sets = [random_gas(n_atoms, lattice, n_atoms) for n_atoms in (1, 5, 9)]
    sets[1].set_cell(sets[1].cell.array[[1, 0, 2]])
    counts = sum(np.histogram(neighbor_list("d", one, 4.0), 30, (0, 4.0))[0] for one in sets)
    ideal = sum(len(one) ** 2 / one.get_volume() for one in sets) * shells(4.0, 30)
    _, found = radial_distribution(structures(*sets), 4.0, 30)
    np.testing.assert_allclose(found, counts / ideal, rtol=1e-12)


def test_structures_without_a_density_are_left_out():
    crystal, slab, cluster = bulk("W"), bulk("W", cubic=True), Atoms("W2", [[0, 0, 0], [1, 0, 0]])
    slab.pbc = (True, True, False)
    radii, expected = radial_distribution(structures(crystal), 4.0, 20)
    _, found = radial_distribution(structures(cluster, crystal, slab), 4.0, 20)
    np.testing.assert_array_equal(found, expected)
    same_radii, none = radial_distribution(structures(slab, cluster), 4.0, 20)
    np.testing.assert_array_equal(same_radii, radii)
    assert np.all(np.isnan(none))
