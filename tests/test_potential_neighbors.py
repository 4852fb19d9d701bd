"""V finds its own neighbours, also of a traced cell, and gives no number from too few."""

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close
from potentials import (
    NUMBERS,
    OWN,
    SCALE,
    SMALL,
    TOY,
    assert_no_number,
    list_for,
    structure,
    using,
    value_and_gradient,
)

from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    NearestNeighbor,
)
from jentmax.errors import JentmaxError
from jentmax.neighbors import (
    AllPairs,
    NeighborList,
    Neighbors,
    host_environments,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import System, cell_heights, random_positions

# The potential's own neighbours


@pytest.mark.parametrize(
    ("seed", "n_atoms", "density"),
    [
        (0, 1, 0.08),
        (2, 110, 0.08),
        *(
            pytest.param(seed, *rest, marks=pytest.mark.slow)
            for seed, rest in enumerate(
                [(500, 0.06), (1, 0.03), (2, 0.01), (5, 0.02), (12, 0.07), (30, 0.04), (110, 0.01)],
                start=3,
            )
        ),
    ],
)
def test_own_neighbours_are_those_of_ase_and_of_the_host(seed, n_atoms, density):
    """From one atom in a triclinic cell to 500 atoms, wherever the atoms are."""
    rng = np.random.default_rng(seed)
    cell = contracts.random_cell(rng, 1.0)
    cell *= (n_atoms / density / abs(np.linalg.det(cell))) ** (1 / 3)
    numbers = rng.choice([13, 28, 74], size=n_atoms)
    positions = rng.uniform(-1, 2, size=(n_atoms, 3)) @ cell
    neighbors = TOY.neighbors(positions, cell)
    found = neighbors.environments(jnp.asarray(positions), jnp.asarray(cell), jnp.asarray(numbers))
    contracts.assert_same_environments(found, positions, cell, numbers, 3.0)
    here = TOY.terms(positions, cell, numbers, 30.0)
    host = jax.tree.map(jnp.asarray, host_environments(positions, cell, numbers, 3.0))
    assert_close(here.features, TOY.descriptor(host), "features", 1e-9)
    assert_close(here.repulsion, TOY.repulsion(host), "repulsion", 1e-9)
    assert_close(here.least_distance, host.least_distance(), "least distance", 1e-9)
    if n_atoms > 1:
        entropy = TOY.entropy(TOY.descriptor(host))
        assert_close(here.entropy, entropy, "entropy", 1e-8)
        assert_close(here.energy, TOY.repulsion(host) - 30 * entropy, "V", 1e-8)
    fixed = TOY.for_cells(contracts.system_of(positions, cell, numbers))
    compiled = eqx.filter_jit(fixed.energy)(positions, cell, numbers, 30.0)
    if n_atoms > 1:
        assert_close(compiled, here.energy, "V in jit", 1e-8)


def test_twelve_atoms_in_a_cube_of_62():
    """A cube smaller than twice the cutoff: the nearest image alone gives another entropy."""
    cell = 6.2 * np.eye(3)
    positions = random_positions(np.random.default_rng(0), 12, cell, 1.8)
    found = OWN.terms(positions, cell, NUMBERS)
    host = jax.tree.map(jnp.asarray, host_environments(positions, cell, np.asarray(NUMBERS), 4.0))
    features = OWN.descriptor(host)
    assert_close(found.features, features, "features")
    expected = float(OWN.entropy(features / SCALE))
    assert found.entropy == pytest.approx(expected, rel=1e-9)
    nearest = AllPairs(4.0)(jnp.asarray(positions), jnp.asarray(cell), NUMBERS)
    wrong = OWN.entropy(OWN.descriptor(nearest) / SCALE)
    assert abs(wrong - found.entropy) > 0.01
    with pytest.raises(JentmaxError, match="cell is smaller than the cells"):
        using(OWN, AllPairs(4.0)).energy(positions, cell)


def test_the_cutoff_is_the_largest_of_the_parts():
    assert OWN.cutoff == 4.0
    wide = Potential(OWN.descriptor, ClarkeSmith(r0=4.5), NearestNeighbor())
    assert wide.cutoff == pytest.approx(4.5 * 2.71 / 2.7)
    positions, cell = structure(8)
    # The descriptor sees no farther for it.
    assert_close(
        wide.terms(positions, cell).features, OWN.terms(positions, cell).features, "features"
    )
    plain = Potential(contracts.smooth, ClarkeSmith(r0=4.5), NearestNeighbor(), cutoff=3.0)
    assert_close(
        plain.terms(positions, cell).features, TOY.terms(positions, cell).features, "features"
    )


# Cells that are traced


def test_a_traced_cell_needs_for_cells():
    positions, cell = structure(0)
    message = r"cell is traced .* potential = potential\.for_cells\(systems\) first"
    for transformed in (
        jax.jit(lambda positions, cell: OWN.energy(positions, cell)),
        eqx.filter_jit(OWN.energy),
        jax.grad(OWN.energy, argnums=1),
        lambda positions, cell: jax.vmap(OWN.energy)(positions[None], cell[None]),
    ):
        with pytest.raises(JentmaxError, match=message):
            transformed(positions, cell)
    # Positions may be traced without it.
    gradient = jax.jit(jax.grad(lambda positions: OWN.energy(positions, cell)))(positions)
    assert_close(gradient, jax.grad(OWN.energy)(positions, cell), "gradient", 1e-9)


def systems_of(seeds, **given):
    made = (structure(seed, **given) for seed in seeds)
    return [contracts.system_of(positions, cell, NUMBERS) for positions, cell in made]


def test_for_cells():
    systems = systems_of(range(3))
    expected = [OWN.energy(system.positions, system.cell) for system in systems]
    for given in (systems, System.stack(systems), iter(systems)):
        fixed = OWN.for_cells(given)
        energy = eqx.filter_jit(fixed.energy)
        for system, value in zip(systems, expected, strict=True):
            assert_close(energy(system.positions, system.cell), value, "V", 1e-10)
    single = OWN.for_cells(systems[0])
    heights = tuple(cell_heights(np.asarray(systems[0].cell)))
    assert isinstance(single.finder, AllPairs)
    assert single.finder.least_heights <= heights
    # Strain, where the cell is what one differentiates by.
    strained = jax.jit(jax.grad(lambda cell: fixed.energy(systems[1].positions, cell)))
    assert jnp.all(jnp.isfinite(strained(systems[1].cell)))


@pytest.mark.slow
def test_for_cells_makes_room_in_a_list():
    """Atoms in a corner have more neighbours than the mean density says."""
    rng = np.random.default_rng(0)
    cell = 40 * np.eye(3)
    positions = 0.4 * random_positions(rng, 300, cell, 2.5)
    system = contracts.system_of(positions, cell, np.full(300, 74))
    assert isinstance(TOY.for_cells(system).finder, NeighborList)
    fixed = TOY.for_cells(system)
    assert fixed == TOY.for_cells(system), "two programs"
    compiled = eqx.filter_jit(fixed.energy)(positions, cell)
    assert jnp.isfinite(compiled)
    host = jax.tree.map(jnp.asarray, host_environments(positions, cell, np.full(300, 74), 3.0))
    expected = TOY.repulsion(host) - TOY.entropy(TOY.descriptor(host))
    assert_close(compiled, expected, "V", 1e-9)
    # Far more of them: no number.
    crowded = eqx.filter_jit(jax.value_and_grad(fixed.energy))(0.5 * positions, cell)
    assert all(jnp.all(jnp.isnan(array)) for array in crowded)
    # Outside jit the list grows.
    assert jnp.isfinite(fixed.energy(0.5 * positions, cell))


@pytest.mark.parametrize("kind", ["all pairs", "images", "list"])
def test_a_cell_smaller_than_planned(kind):
    volume = 25.0 if kind == "images" else 70.0
    positions, cell = structure(30, volume_per_atom=volume)
    fixed = OWN.for_cells(contracts.system_of(positions, cell, NUMBERS))
    if kind == "list":
        fixed = using(OWN, list_for(cell))
    smaller = (0.7 if kind != "images" else 0.3) * cell
    energy, gradient = value_and_gradient(fixed, positions, cell)
    assert jnp.isfinite(energy)
    assert jnp.all(jnp.isfinite(gradient))
    assert_no_number(fixed, positions, smaller)
    with pytest.raises(
        JentmaxError, match=r"cell is smaller than the cells given to potential\.for_cells"
    ):
        fixed.energy(positions, smaller)
    # Of replicas, only that one has no number.
    both = jnp.stack([positions, positions], -1), jnp.stack([smaller, cell], -1)
    energy, gradient = value_and_gradient(fixed, *both)
    assert jnp.isnan(energy).tolist() == [True, False]
    assert jnp.all(jnp.isnan(gradient[..., 0]))
    assert jnp.all(jnp.isfinite(gradient[..., 1]))
    with pytest.raises(JentmaxError, match="cell is smaller"):
        fixed.energy(*both)


def test_atoms_without_neighbours_have_no_number_either():
    """No displacement carries the NaN to them."""
    cell = 9 * jnp.eye(3)
    alone = contracts.system_of(np.zeros((1, 3)), cell, [74])
    pairs = Potential(Snap(4.0, twojmax=2), ClarkeSmith(), Gaussian()).for_cells(alone)
    energy, gradient = value_and_gradient(pairs, alone.positions, cell)
    assert jnp.isfinite(energy)
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
    assert_no_number(pairs, alone.positions, 0.5 * cell)
    strain = jax.jit(jax.grad(lambda cell: pairs.energy(alone.positions, cell)))
    assert jnp.all(jnp.isfinite(strain(cell)))
    assert jnp.all(jnp.isnan(strain(0.5 * cell)))


def test_a_list_too_short():
    positions, cell = structure(6)
    short = list_for(cell, 2)
    assert_no_number(using(SMALL, short), positions, cell)
    neighbors = Neighbors(short, short.build(positions, cell))
    assert_no_number(SMALL, positions, cell, neighbors=neighbors)
    with pytest.raises(JentmaxError, match=r"neighbors do not match .* the list has overflowed"):
        SMALL.energy(positions, cell, neighbors=neighbors)
    # Its own list grows outside jit.
    expected = OWN.energy(positions, cell)
    assert_close(using(SMALL, short).energy(positions, cell), expected, "V", 1e-10)


def test_an_outdated_list():
    positions, cell = structure(6)
    neighbors = using(OWN, list_for(cell)).neighbors(positions, cell)
    moved = positions.at[3].add(jnp.array([0.3, 0.0, 0.0]))
    assert_no_number(OWN, moved, cell, neighbors=neighbors)
    with pytest.raises(JentmaxError, match=r"an atom has moved too far, .*potential\.neighbors"):
        OWN.energy(moved, cell, neighbors=neighbors)
    updated = neighbors.updated(moved, cell)
    found, expected = OWN.energy(moved, cell, neighbors=updated), OWN.energy(moved, cell)
    assert_close(found, expected, "V", 1e-10)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_list_of_a_smaller_cutoff(compiled):
    positions, cell = structure(6)
    nearer = Potential(Snap(3.9, twojmax=2), ClarkeSmith(), NearestNeighbor())
    neighbors = nearer.neighbors(positions, cell)
    energy = eqx.filter_jit(OWN.energy) if compiled else OWN.energy
    with pytest.raises(JentmaxError, match=r"neighbors reach 3\.9 Å, less than .* cutoff of 4 Å"):
        energy(positions, cell, neighbors=neighbors)
    # One of a larger cutoff serves.
    found = nearer.energy(positions, cell, neighbors=OWN.neighbors(positions, cell))
    assert_close(found, nearer.energy(positions, cell), "V", 1e-10)


@pytest.mark.parametrize("kind", ["all pairs", "list"])
def test_positions_that_are_not_finite(kind):
    """Atoms without neighbours would have an energy too."""
    positions, cell = structure(6)
    potential = SMALL if kind == "all pairs" else using(OWN, list_for(cell))
    for broken in (jnp.full_like(positions, jnp.nan), positions.at[3, 1].set(jnp.inf)):
        assert_no_number(potential, broken, cell)
        assert jnp.isnan(OWN.energy(broken, cell))
    assert_no_number(potential, positions, cell.at[1, 1].set(jnp.nan))
