"""V: its parts, its symmetries, its forces, and that it is one function however it is called."""

import dataclasses

import ase.build
import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close, random_rotation

from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.neighbors import AllPairs, NeighborList, neighbor_finder
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import cell_heights, random_positions

N_ATOMS = 12
SPECIES = jnp.zeros(N_ATOMS, jnp.int32)
IMAGES = AllPairs(4.0, (1, 1, 1))

PUBLISHED = Potential(
    descriptor=Snap(4.0, components=6),
    repulsion=ClarkeSmith(),
    estimator=NearestNeighbor(),
    finder=IMAGES,
    # Standard deviations in liquid-like tungsten.
    scale=jnp.array([3.02, 0.41, 0.49, 1.38, 0.50, 1.14]),
)
# Faster to compile.
SMALL = dataclasses.replace(
    PUBLISHED, descriptor=Snap(4.0, twojmax=2), scale=jnp.array([3.0, 0.5, 0.5, 1.5, 0.5])
)
TWO_SPECIES = Potential(
    descriptor=Snap(3.5, twojmax=2, weights=(1.0, 0.6), radii=(0.5, 0.45)),
    repulsion=ClarkeSmith(r0=(2.7, 2.2), n=9, m=6, cutoff_ratio=1.05),
    estimator=NearestNeighbor(),
    finder=AllPairs(3.5, (1, 1, 1)),
    scale=jnp.array([2.0, 0.5, 0.5, 1.0, 0.5]),
)

terms = eqx.filter_jit(Potential.terms)


@eqx.filter_jit
def evaluate(potential, positions, *arguments):
    """Terms and forces of one structure, or of replicas, which are the last axis."""

    def total(positions):
        terms = potential.terms(positions, *arguments)
        return jnp.sum(terms.energy), terms

    gradient, terms = jax.grad(total, has_aux=True)(positions)
    return terms, -gradient


def using(potential, finder):
    return dataclasses.replace(potential, finder=finder)


def list_for(cell, capacity=60):
    return NeighborList(4.0, tuple(map(float, cell_heights(cell))), capacity)


def structure(seed, volume_per_atom=25.0, n_atoms=N_ATOMS):
    """Positions without overlap in a triclinic cell, and the cell."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + rng.uniform(-0.3, 0.3, size=(3, 3))
    cell *= (n_atoms * volume_per_atom / abs(np.linalg.det(cell))) ** (1 / 3)
    assert max(neighbor_finder(4.0, n_atoms, cell).images) <= 1
    return jnp.asarray(random_positions(rng, n_atoms, cell, 1.9)), jnp.asarray(cell)


def environment_distances(features):
    """Between the environments of one structure; infinite from one to itself."""
    features = np.asarray(features)
    return np.linalg.norm(features[:, None] - features, axis=2) + np.diag([np.inf] * len(features))


def test_parts():
    positions, cell = structure(0)
    found, _ = evaluate(PUBLISHED, positions, cell, SPECIES, 30.0)
    environments = contracts.find(IMAGES, positions, cell, SPECIES)
    # What is compiled apart is rounded otherwise.
    assert_close(found.features, eqx.filter_jit(PUBLISHED.descriptor)(environments), "features")
    assert_close(found.repulsion, PUBLISHED.repulsion(environments), "repulsion")
    nearest = environment_distances(found.features / PUBLISHED.scale).min(axis=1)
    entropy = np.mean(np.log(N_ATOMS * nearest))
    assert_close(found.entropy, entropy, "entropy")
    assert_close(found.energy, float(found.repulsion) - 30 * entropy, "V")
    displacements = contracts.ase_neighbors(positions, cell, SPECIES, 4.0)[2]
    assert_close(found.least_distance, np.linalg.norm(displacements, axis=1).min(), "distance")


def test_species_and_list_may_be_left_out():
    positions, cell = structure(0)
    given = terms(SMALL, positions, cell, SPECIES, 1.0).energy
    for potential in (SMALL, using(SMALL, list_for(cell))):
        energy = eqx.filter_jit(potential.energy)
        assert_close(energy(positions, cell), given, "V")
        assert_close(energy(positions[..., None], cell[..., None]), given[None], "V of replicas")


@pytest.mark.parametrize("way", ["all pairs", "list"])
def test_symmetries(way):
    positions, cell = structure(1)
    potential = using(SMALL, IMAGES if way == "all pairs" else list_for(cell))
    rng = np.random.default_rng(0)
    rotation, order = random_rotation(0), rng.permutation(N_ATOMS)
    shift = jnp.array([0.7, -20.0, 3.0])
    periods = rng.integers(-3, 4, size=(N_ATOMS, 3))
    mirror = jnp.array([[1.0], [1.0], [-1.0]])
    same, upright = slice(None), np.eye(3)
    reference, push = evaluate(potential, positions, cell, SPECIES, 30.0)
    for what, positions_there, cell_there, order_there, turned in (
        ("rotation", positions @ rotation, cell @ rotation, same, rotation),
        ("inversion", -positions, -cell, same, -upright),
        ("translation", positions + shift, cell, same, upright),
        ("permutation", positions[order], cell, order, upright),
        ("other periods", positions + periods @ cell, cell, same, upright),
        ("left-handed cell", positions, cell * mirror, same, upright),
    ):
        found, push_there = evaluate(potential, positions_there, cell_there, SPECIES, 30.0)
        # Differences of features have fewer digits than the features.
        for name in ("energy", "entropy", "repulsion", "least_distance"):
            assert_close(getattr(found, name), getattr(reference, name), f"{what}: {name}", 1e-10)
        assert_close(found.features, reference.features[order_there], what)
        assert_close(push_there, (push @ turned)[order_there], f"{what}: forces", 1e-9)


def test_another_cell_of_the_same_lattice():
    positions, cell = structure(2)
    sheared = jnp.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]]) @ cell
    there = using(SMALL, neighbor_finder(4.0, N_ATOMS, np.asarray(sheared)))
    expected, _ = evaluate(SMALL, positions, cell, SPECIES, 30.0)
    found = terms(there, positions, sheared, SPECIES, 30.0)
    assert_close(found.features, expected.features, "features")
    assert_close(found.energy, expected.energy, "V", 1e-10)


def test_supercell():
    positions, cell = structure(3)
    one, _ = evaluate(SMALL, positions, cell, SPECIES, 30.0)
    _, repelled = evaluate(SMALL, positions, cell, SPECIES, 0.0)
    two, push = evaluate(
        SMALL,
        jnp.concatenate([positions, positions + cell[1]]),
        cell * jnp.array([[1], [2], [1]]),
        jnp.concatenate([SPECIES, SPECIES]),
        30.0,
    )
    assert_close(two.repulsion, 2 * one.repulsion, "repulsion")
    assert_close(two.features, jnp.concatenate([one.features] * 2), "features")
    # Every environment is there twice: all distances are below the floor and exert no force.
    assert_close(two.entropy, np.log(2 * N_ATOMS * 1e-4), "entropy")
    assert_close(push, jnp.concatenate([repelled] * 2), "forces", 1e-9)


def central_differences(function, positions, step):
    """Gradient to fourth order in the step, of a function of replicas."""
    positions, size = np.asarray(positions), positions.size
    moves = step * np.concatenate([factor * np.eye(size) for factor in (1, -1, 2, -2)])
    moved = positions[..., None] + moves.T.reshape(*positions.shape, -1)
    values = np.asarray(function(jnp.asarray(moved))).reshape(4, size)
    gradient = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    return gradient.reshape(positions.shape)


@pytest.mark.parametrize("case", ["published", "small cell", "list", "two species"])
def test_forces_are_the_slope_of_the_energy(case):
    positions, cell = structure(30, volume_per_atom=16.0 if case == "small cell" else 45.0)
    potential = {"published": PUBLISHED, "two species": TWO_SPECIES}.get(case, SMALL)
    if case == "list":
        potential = using(potential, list_for(cell, capacity=30))
    species = jnp.arange(N_ATOMS) % (2 if case == "two species" else 1)
    found, forces = evaluate(potential, positions, cell, species, 50.0)

    # No step of 1e-3 Å changes the nearest environment, or who is within the repulsion.
    nearest = np.sort(environment_distances(found.features / potential.scale), axis=1)
    assert np.min(nearest[:, 1] - nearest[:, 0]) > 5e-3
    atoms, _, displacements, kinds = contracts.ase_neighbors(positions, cell, species, 4.0)
    r0 = np.asarray(potential.repulsion.r0)
    edges = potential.repulsion.cutoff_ratio * (r0[np.asarray(species)[atoms]] + r0[kinds]) / 2
    assert np.min(np.abs(np.linalg.norm(displacements, axis=1) - edges)) > 3e-3

    def energies(moved):
        cells = jnp.broadcast_to(cell[..., None], (3, 3, moved.shape[-1]))
        kinds = jnp.broadcast_to(species[:, None], (N_ATOMS, moved.shape[-1]))
        return terms(potential, moved, cells, kinds, 50.0).energy

    # Differences to fourth order in this step came within 3e-9 of the largest force.
    assert_close(forces, -central_differences(energies, positions, step=1e-4), "forces", 1e-6)
    largest = np.max(np.abs(forces))
    assert largest > 1
    assert np.max(np.abs(np.sum(forces, axis=0))) < contracts.ROUNDING * largest


def several(n_replicas, n_atoms=N_ATOMS):
    """Structures in cells of their own, replicas first, and the weight of each."""
    made = [structure(10 + seed, 20.0 + 5 * seed, n_atoms) for seed in range(n_replicas)]
    positions, cells = (jnp.stack(arrays) for arrays in zip(*made, strict=True))
    return positions, cells, 10.0 * jnp.arange(1.0, n_replicas + 1)


def replicas_last(*arrays):
    return [jnp.moveaxis(array, 0, -1) for array in arrays]


def test_jit_is_eager():
    arguments = *structure(4), SPECIES, 20.0
    compiled, forces = evaluate(SMALL, *arguments)
    energy, gradient = jax.value_and_grad(SMALL.energy)(*arguments)
    assert_close(compiled.energy, energy, "V")
    assert_close(forces, -gradient, "forces", 1e-10)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_replicas_are_each_alone(dtype):
    positions, cells, weights = (array.astype(dtype) for array in several(5))
    kinds = jnp.stack([SPECIES] * 5)
    alone = [evaluate(SMALL, *one) for one in zip(positions, cells, kinds, weights, strict=True)]
    mapped = jax.jit(jax.vmap(SMALL.energy))(positions, cells, kinds, weights)
    pushed = jax.jit(jax.vmap(jax.grad(SMALL.energy)))(positions, cells, kinds, weights)
    side_by_side = evaluate(SMALL, *replicas_last(positions, cells, kinds, weights))
    # float32: differences of features of 100 are known to 1e-5, where distances are some 0.1.
    tolerance = 1e-10 if dtype == jnp.float64 else 2e-3
    for replica, (expected, forces) in enumerate(alone):
        # One by one, lest large forces of one replica hide small ones of another.
        assert_close(mapped[replica], expected.energy, "vmap", tolerance)
        assert_close(-pushed[replica], forces, "vmap: forces", tolerance)
        found, push = contracts.replica_of(side_by_side, replica)
        for name in ("energy", "repulsion", "entropy", "least_distance", "features"):
            assert_close(getattr(found, name), getattr(expected, name), name, tolerance)
        assert_close(push, forces, "forces", tolerance)


@pytest.mark.optimised
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_no_nearest_neighbour_loses_its_force(dtype):
    # The entropy's forces compiled at once, against those of the descriptors times the gradient of
    # Eq. 2 by hand. Compilers round the same expression in two ways when they compute it twice:
    # then a distance does not equal the minimum that it is.
    n_replicas, n_atoms = 6, 20
    positions, cells = (array.astype(dtype) for array in several(n_replicas, n_atoms)[:2])
    arrays = replicas_last(positions, cells)
    kinds = jnp.zeros((n_atoms, n_replicas), jnp.int32)
    scale = SMALL.scale.astype(dtype)[:, None]

    @jax.jit
    def transposed(pull):
        def features(positions):
            return SMALL.descriptor(IMAGES(positions, arrays[1], kinds)) / scale

        values, back = jax.vjp(features, arrays[0])
        return values, back(pull)[0]

    features = np.asarray(transposed(jnp.zeros((n_atoms, 5, n_replicas), dtype))[0], float)
    pull = np.zeros_like(features)
    for replica in range(n_replicas):
        here = features[..., replica]
        for atom, distances in enumerate(environment_distances(here)):
            other = np.argmin(distances)
            push = (here[atom] - here[other]) / (n_atoms * distances[other] ** 2)
            pull[atom, :, replica] += push
            pull[other, :, replica] -= push
    expected = transposed(jnp.asarray(pull, dtype))[1]
    entropic = dataclasses.replace(SMALL, repulsion=lambda environments: 0.0)
    found = evaluate(entropic, *arrays, kinds, jnp.ones(n_replicas, dtype))[1]
    tolerance = 1e-10 if dtype == jnp.float64 else 2e-3
    for replica in range(n_replicas):
        assert_close(found[..., replica], expected[..., replica], "forces", tolerance)


def test_one_trace_per_shape():
    traces = []

    def counted(environments):
        traces.append(environments.mask.shape)
        return SMALL.repulsion(environments)

    potential = dataclasses.replace(SMALL, repulsion=counted)
    positions, cells, weights = several(3)
    for replica in range(3):
        terms(potential, positions[replica], cells[replica], SPECIES, weights[replica])
    assert len(traces) == 1
    for replica in range(2):
        terms(potential, positions[replica, :9], cells[replica], SPECIES[:9], weights[replica])
    assert len(traces) == 2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_perfect_crystal(dtype, repeats):
    atoms = ase.build.bulk("W", cubic=True) * (repeats, repeats, repeats)
    cell, n_atoms = atoms.cell.array, len(atoms)
    potential = using(PUBLISHED, neighbor_finder(4.0, n_atoms, cell))
    found, forces = evaluate(
        potential,
        jnp.asarray(atoms.positions, dtype),
        jnp.asarray(cell, dtype),
        jnp.zeros(n_atoms, jnp.int32),
        1000.0,
    )
    # Rounding of a logarithm.
    assert float(found.entropy) == pytest.approx(np.log(n_atoms * 1e-4), rel=1e-6)
    assert jnp.isfinite(found.energy)
    # A force of the entropy's would be K / (n floor), 1e5 eV/Å and more.
    assert jnp.max(jnp.abs(forces)) < 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_atoms_in_one_place(dtype):
    positions, cell = structure(5)
    positions = positions.at[3].set(positions[7])
    found, forces = evaluate(SMALL, positions.astype(dtype), cell.astype(dtype), SPECIES, 100.0)
    assert all(jnp.all(jnp.isfinite(array)) for array in jax.tree.leaves((found, forces)))
    assert found.least_distance == 0


@pytest.mark.parametrize("finder", ["all pairs", "list"])
def test_atoms_without_neighbours(finder):
    # The first and the last have padding alone.
    positions = jnp.array([[0.0, 0, 0], [10, 0, 0], [10, 2, 0], [0, 10, 10]])
    cell, kinds = 20 * jnp.eye(3), jnp.zeros(4, jnp.int32)
    potential = using(SMALL, AllPairs(4.0) if finder == "all pairs" else list_for(cell, 3))
    found, forces = evaluate(potential, positions, cell, kinds, 10.0)
    assert jnp.isfinite(found.energy)
    assert jnp.all(jnp.isfinite(forces))
    np.testing.assert_array_equal(forces[jnp.array([0, 3])], jnp.zeros((2, 3)))
    assert forces[2, 1] > 1


def test_a_list_without_room_gives_no_number():
    positions, cell = structure(6)
    found, forces = evaluate(using(SMALL, list_for(cell, 2)), positions, cell, SPECIES, 10.0)
    assert jnp.isnan(found.energy)
    assert jnp.all(jnp.isnan(forces))


def test_types_stay():
    positions, cell = (array.astype(jnp.float32) for array in structure(7))
    assert SMALL.scale.dtype == jnp.float64
    found = evaluate(SMALL, positions, cell, SPECIES, 10.0)
    assert {array.dtype for array in jax.tree.leaves(found)} == {np.dtype("float32")}
