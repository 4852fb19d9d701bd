"""Systems: to and from ASE, side by side, at random; cells and heights."""

import ase
import ase.build
import ase.neighborlist
import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.errors import JentmaxError
from jentmax.system import (
    System,
    atomic_numbers_of,
    cell_heights,
    random_key,
    random_positions,
    tetragonal_cell,
)


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
    with pytest.raises(JentmaxError, match=r"least_distance = 2.5 Å leaves room for \d+ of 39"):
        random_positions(np.random.default_rng(0), 39, 6 * np.eye(3), 2.5, tries_per_atom=500)


def test_an_atom_that_meets_its_own_image():
    with pytest.raises(JentmaxError, match=r"least_distance = 3 Å .* shortest period, 2.5 Å"):
        random_positions(np.random.default_rng(0), 1, np.diag([2.5, 9.0, 9.0]), 3.0)


ALLOY = ase.build.bulk("NiAl", "cesiumchloride", a=2.9) * (2, 1, 1)


def test_from_and_to_ase():
    atoms = ALLOY.copy()
    atoms.pbc = [True, False, True]
    atoms.set_masses([60.0, 27.0, 58.0, 26.0])
    atoms.positions += 20.3
    system = System.from_ase(atoms)
    assert (system.n_atoms, system.replicas) == (4, ())
    assert system.numbers.tolist() == [28, 13, 28, 13]
    assert system.positions.dtype == jnp.float64
    again = system.to_ase()
    assert isinstance(again, ase.Atoms)
    for name in ("positions", "numbers", "pbc"):
        np.testing.assert_array_equal(getattr(again, name), getattr(atoms, name))
    np.testing.assert_array_equal(again.cell.array, atoms.cell.array)
    np.testing.assert_array_equal(again.get_masses(), atoms.get_masses())


def test_many_from_and_to_ase():
    several = [ALLOY.copy() for _ in range(3)]
    for number, atoms in enumerate(several):
        atoms.rattle(0.1, seed=number)
    systems = System.from_ase(several, dtype=jnp.float32)
    assert systems.positions.shape == (4, 3, 3)
    assert systems.positions.dtype == systems.masses.dtype == jnp.float32
    listed = systems.to_ase()
    assert isinstance(listed, list)
    for again, atoms in zip(listed, several, strict=True):
        np.testing.assert_array_equal(again.positions, atoms.positions.astype(np.float32))


def test_replicas():
    systems = System.random(jax.random.key(0), "W8", density=0.03, replicas=5)
    assert len(systems) == 5
    assert systems[-1].positions.shape == (8, 3)
    np.testing.assert_array_equal(systems[-1].positions, systems.positions[..., 4])
    assert len(systems[1:4]) == 3
    assert len(systems[np.array([4, 0])]) == 2
    assert len(systems[np.array([True, False, True, False, False])]) == 2
    listed = list(systems)
    assert len(listed) == 5
    same = System.stack(listed)
    assert all(map(np.array_equal, jax.tree.leaves(same), jax.tree.leaves(systems)))
    for outside in (5, -6):
        with pytest.raises(IndexError, match=f"replica {outside} is out of range for 5 replicas"):
            systems[outside]
    with pytest.raises(TypeError, match=r"a single structure has no length; .* system\.n_atoms"):
        len(systems[0])


def test_a_system_is_a_pytree():
    system = System.random(jax.random.key(0), "W8", density=0.03)
    assert len(jax.tree.leaves(system)) == 5
    moved = eqx.filter_jit(lambda given: jax.tree.map(lambda array: array, given))(system)
    np.testing.assert_array_equal(moved.positions, system.positions)


def test_systems_of_different_sizes_do_not_stack():
    key = jax.random.key(0)
    systems = [System.random(key, formula, density=0.03) for formula in ("W8", "W9")]
    with pytest.raises(
        JentmaxError, match="systems have 8, 9 atoms; give single systems with the same"
    ):
        System.stack(systems)
    with pytest.raises(JentmaxError, match="systems have 8, 9 atoms"):
        System.from_ase([ase.Atoms(formula, pbc=True, cell=[9] * 3) for formula in ("W8", "W9")])
    replicas = System.random(key, "W8", density=0.03, replicas=2)
    with pytest.raises(JentmaxError, match="some already have replicas"):
        System.stack([replicas, replicas])
    with pytest.raises(JentmaxError, match="systems is empty; give at least one"):
        System.stack([])


def test_random_systems():
    key = jax.random.key(3)
    systems = System.random(
        key, "Ni3Al5", density=0.04, aspect_ratio=1.5, replicas=3, least_distance=1.8
    )
    again = System.random(
        key, "Ni3Al5", density=0.04, aspect_ratio=1.5, replicas=3, least_distance=1.8
    )
    np.testing.assert_array_equal(systems.positions, again.positions)
    orders = set()
    for system in systems:
        atoms = system.to_ase()
        assert isinstance(atoms, ase.Atoms)
        assert atoms.get_chemical_formula() == "Al5Ni3"
        assert len(atoms) / atoms.get_volume() == pytest.approx(0.04)
        assert least_distance(atoms.positions, atoms.cell) >= 1.8
        assert atoms.pbc.all()
        np.testing.assert_array_equal(system.masses, atoms.get_masses())
        orders.add(tuple(atoms.numbers))
    assert len(orders) > 1, "all elements have the same order"
    assert len(np.unique(systems.positions)) == systems.positions.size
    # A replica does not depend on how many there are.
    fewer = System.random(
        key, "Ni3Al5", density=0.04, aspect_ratio=1.5, replicas=1, least_distance=1.8
    )
    np.testing.assert_array_equal(fewer[0].positions, systems[0].positions)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"formula": "W0"}, "formula = 'W0' is not allowed"),
        ({"formula": "16W"}, "formula = '16W' is not allowed"),
        ({"dtype": "float16"}, "dtype = float16 is not allowed; give float32 or float64"),
        ({"formula": "Qq3"}, "formula = 'Qq3' is not allowed; give the elements in the cell"),
        ({"formula": ""}, "formula = '' is not allowed"),
        ({"density": 0}, "density = 0 is not allowed; give a number above 0"),
        ({"density": float("nan")}, "density = nan is not allowed"),
        ({"aspect_ratio": -1}, "aspect_ratio = -1 is not allowed"),
        ({"replicas": 0}, "replicas = 0 is not allowed; give at least 1"),
        ({"density": 1.0}, r"least_distance = 2 Å"),
        ({"key": 0.5}, "key = float 0.5 is not a random key; give one such as jax.random.key(0)"),
        ({"key": 7}, "key = int 7 is not a random key"),
        ({"key": jnp.zeros(2)}, r"key = .* \(2,\) is not a random key"),
    ],
)
def test_random_systems_that_cannot_be_made(given, message):
    arguments = {"key": jax.random.key(0), "formula": "W8", "density": 0.03} | given
    key, formula = arguments.pop("key"), arguments.pop("formula")
    with pytest.raises(JentmaxError, match=message.replace("(0)", r"\(0\)")):
        System.random(key, formula, **arguments)


def test_a_formula_keeps_its_order():
    assert atomic_numbers_of("AlNi2Al").tolist() == [13, 28, 28, 13]


@pytest.mark.parametrize("which", ["positions", "cell"])
def test_atoms_that_are_not_finite(which):
    atoms = ALLOY.copy()
    if which == "cell":
        atoms.cell[1, 1] = np.inf
    else:
        atoms.positions[2, 0] = np.nan
    with pytest.raises(JentmaxError, match=rf"atoms\.{which} are not all finite"):
        System.from_ase(atoms)


def test_atoms_without_a_volume():
    with pytest.raises(JentmaxError, match=r"atoms\.cell = .* has no volume; .*center\(vacuum"):
        System.from_ase(ase.build.molecule("H2O"))


def test_float64_needs_x64():
    """One rule: asking for it without x64 is an error, in every way to make a system."""
    with jax.enable_x64(False):
        assert System.random(jax.random.key(0), "W8", density=0.03).positions.dtype == jnp.float32
        for make in (
            lambda: System.random(jax.random.key(0), "W8", density=0.03, dtype="float64"),
            lambda: System.from_ase(ALLOY, dtype=np.float64),
        ):
            with pytest.raises(JentmaxError, match=r"dtype = float64 needs .*jax_enable_x64"):
                make()


def test_any_key_becomes_one_of_the_package():
    plain = jax.random.key(5)
    for key in (plain, jax.random.PRNGKey(5), jax.random.key(5, impl="rbg")):
        found = random_key(key)
        assert str(jax.random.key_impl(found)) == "threefry2x32"
        np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(plain))
    assert random_key(jax.random.split(plain, 3)).shape == (3,)
