"""V: its parts, symmetries and forces; arguments that are not allowed."""

import ase.build
import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close, random_rotation
from potentials import (
    IMAGES,
    N_ATOMS,
    NUMBERS,
    OWN,
    PUBLISHED,
    SCALE,
    SMALL,
    TWO_ELEMENTS,
    assert_no_number,
    evaluate,
    list_for,
    structure,
    terms,
    using,
    value_and_gradient,
)

from jentmax.descriptors import Snap
from jentmax.entropy import (
    NearestNeighbor,
)
from jentmax.errors import JentmaxError
from jentmax.neighbors import (
    AllPairs,
    neighbor_finder,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith


def environment_distances(features):
    """Between the environments of one structure; infinite from one to itself."""
    features = np.asarray(features)
    return np.linalg.norm(features[:, None] - features, axis=2) + np.diag([np.inf] * len(features))


def test_parts():
    positions, cell = structure(0)
    found, _ = evaluate(PUBLISHED, positions, cell, NUMBERS, 30.0)
    environments = contracts.find(IMAGES, positions, cell, NUMBERS)
    # What is compiled apart is rounded otherwise.
    assert_close(found.features, eqx.filter_jit(PUBLISHED.descriptor)(environments), "features")
    assert_close(found.repulsion, PUBLISHED.repulsion(environments), "repulsion")
    nearest = environment_distances(found.features / PUBLISHED.scale).min(axis=1)
    entropy = np.mean(np.log(N_ATOMS * nearest))
    assert_close(found.entropy, entropy, "entropy")
    assert_close(found.energy, float(found.repulsion) - 30 * entropy, "V")
    displacements = contracts.ase_neighbors(positions, cell, NUMBERS, 4.0)[2]
    assert_close(found.least_distance, np.linalg.norm(displacements, axis=1).min(), "distance")


def test_numbers_and_neighbours_may_be_left_out():
    positions, cell = structure(0)
    given = terms(SMALL, positions, cell, NUMBERS, 1.0).energy
    assert_close(OWN.energy(positions, cell), given, "V outside jit")
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
    reference, push = evaluate(potential, positions, cell, NUMBERS, 30.0)
    for what, positions_there, cell_there, order_there, turned in (
        ("rotation", positions @ rotation, cell @ rotation, same, rotation),
        ("inversion", -positions, -cell, same, -upright),
        ("translation", positions + shift, cell, same, upright),
        ("permutation", positions[order], cell, order, upright),
        ("other periods", positions + periods @ cell, cell, same, upright),
        ("left-handed cell", positions, cell * mirror, same, upright),
    ):
        found, push_there = evaluate(potential, positions_there, cell_there, NUMBERS, 30.0)
        # Differences of features have fewer digits than the features.
        for name in ("energy", "entropy", "repulsion", "least_distance"):
            assert_close(getattr(found, name), getattr(reference, name), f"{what}: {name}", 1e-10)
        assert_close(found.features, reference.features[order_there], what)
        assert_close(push_there, (push @ turned)[order_there], f"{what}: forces", 1e-9)


def test_another_cell_of_the_same_lattice():
    positions, cell = structure(2)
    sheared = jnp.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]]) @ cell
    expected, _ = evaluate(SMALL, positions, cell, NUMBERS, 30.0)
    found = OWN.terms(positions, sheared, NUMBERS, 30.0)
    assert_close(found.features, expected.features, "features")
    assert_close(found.energy, expected.energy, "V", 1e-10)


def test_supercell():
    positions, cell = structure(3)
    one, _ = evaluate(SMALL, positions, cell, NUMBERS, 30.0)
    _, repelled = evaluate(SMALL, positions, cell, NUMBERS, 0.0)
    two, push = evaluate(
        SMALL,
        jnp.concatenate([positions, positions + cell[1]]),
        cell * jnp.array([[1], [2], [1]]),
        jnp.concatenate([NUMBERS, NUMBERS]),
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


@pytest.mark.parametrize(
    "case",
    ["published", "small cell", pytest.param("list", marks=pytest.mark.slow), "two elements"],
)
def test_forces_are_the_slope_of_the_energy(case):
    positions, cell = structure(30, volume_per_atom=16.0 if case == "small cell" else 45.0)
    potential = {"published": PUBLISHED, "two elements": TWO_ELEMENTS}.get(case, SMALL)
    if case == "list":
        potential = using(potential, list_for(cell, capacity=30))
    numbers = jnp.array([74, 13])[jnp.arange(N_ATOMS) % (2 if case == "two elements" else 1)]
    found, forces = evaluate(potential, positions, cell, numbers, 50.0)

    # No step of 1e-3 Å changes the nearest environment, or who is within the repulsion.
    nearest = np.sort(environment_distances(found.features / potential.scale), axis=1)
    assert np.min(nearest[:, 1] - nearest[:, 0]) > 5e-3
    atoms, _, displacements, kinds = contracts.ase_neighbors(positions, cell, numbers, 4.0)
    r0 = np.full(119, 2.7)
    r0[13] = 2.2
    edges = potential.repulsion.cutoff_ratio * (r0[np.asarray(numbers)[atoms]] + r0[kinds]) / 2
    assert np.min(np.abs(np.linalg.norm(displacements, axis=1) - edges)) > 3e-3

    def energies(moved):
        cells = jnp.broadcast_to(cell[..., None], (3, 3, moved.shape[-1]))
        return terms(potential, moved, cells, numbers, 50.0).energy

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


@pytest.mark.parametrize("dtype", [jnp.float64, pytest.param(jnp.float32, marks=pytest.mark.slow)])
def test_replicas_are_each_alone(dtype):
    positions, cells, weights = (array.astype(dtype) for array in several(5))
    numbers = jnp.stack([NUMBERS] * 5)
    alone = [evaluate(SMALL, *one) for one in zip(positions, cells, numbers, weights, strict=True)]
    mapped = jax.jit(jax.vmap(SMALL.energy))(positions, cells, numbers, weights)
    pushed = jax.jit(jax.vmap(jax.grad(SMALL.energy)))(positions, cells, numbers, weights)
    side_by_side = evaluate(SMALL, *replicas_last(positions, cells, numbers, weights))
    # float32: differences of features of 100 are known to 1e-5, where distances are some 0.1.
    tolerance = 1e-10 if dtype == jnp.float64 else 2e-3
    for replica, (expected, forces) in enumerate(alone):
        # One by one, or large forces of one replica would hide small ones of another.
        assert_close(mapped[replica], expected.energy, "vmap", tolerance)
        assert_close(-pushed[replica], forces, "vmap: forces", tolerance)
        found, push = contracts.replica_of(side_by_side, replica)
        for name in ("energy", "repulsion", "entropy", "least_distance", "features"):
            assert_close(getattr(found, name), getattr(expected, name), name, tolerance)
        assert_close(push, forces, "forces", tolerance)


@pytest.mark.optimised
@pytest.mark.parametrize("dtype", [pytest.param(jnp.float64, marks=pytest.mark.slow), jnp.float32])
def test_no_nearest_neighbour_loses_its_force(dtype):
    # The entropy's forces compiled at once, against those of the descriptors times the gradient of
    # Eq. 2 by hand. Compilers round the same expression in two ways when they compute it twice:
    # then a distance does not equal the minimum that it is.
    n_replicas, n_atoms = 6, 20
    positions, cells = (array.astype(dtype) for array in several(n_replicas, n_atoms)[:2])
    arrays = replicas_last(positions, cells)
    numbers = jnp.full((n_atoms, n_replicas), 74, jnp.int32)
    scale = SMALL.scale.astype(dtype)[:, None]

    @jax.jit
    def transposed(pull):
        def features(positions):
            return SMALL.descriptor(IMAGES(positions, arrays[1], numbers)) / scale

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
    entropic = eqx.tree_at(lambda p: p.repulsion, SMALL, lambda environments: 0.0)
    found = evaluate(entropic, *arrays, numbers, jnp.ones(n_replicas, dtype))[1]
    tolerance = 1e-10 if dtype == jnp.float64 else 2e-3
    for replica in range(n_replicas):
        assert_close(found[..., replica], expected[..., replica], "forces", tolerance)


def test_one_trace_per_shape():
    traces = []

    def counted(environments):
        traces.append(environments.mask.shape)
        return ClarkeSmith()(environments)

    potential = using(Potential(OWN.descriptor, counted, OWN.entropy, cutoff=2.8), IMAGES)
    traces.clear()
    positions, cells, weights = several(3)
    for replica in range(3):
        terms(potential, positions[replica], cells[replica], NUMBERS, weights[replica])
    assert len(traces) == 1
    for replica in range(2):
        terms(potential, positions[replica, :9], cells[replica], NUMBERS[:9], weights[replica])
    assert len(traces) == 2


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_perfect_crystal(dtype, repeats):
    atoms = ase.build.bulk("W", cubic=True) * (repeats, repeats, repeats)
    cell, n_atoms = atoms.cell.array, len(atoms)
    potential = using(PUBLISHED, neighbor_finder(4.0, n_atoms, cell))
    found, forces = evaluate(
        potential,
        jnp.asarray(atoms.positions, dtype),
        jnp.asarray(cell, dtype),
        jnp.full(n_atoms, 74, jnp.int32),
        1000.0,
    )
    # Rounding of a logarithm.
    assert float(found.entropy) == pytest.approx(np.log(n_atoms * 1e-4), rel=1e-6)
    assert jnp.isfinite(found.energy)
    # A force of the entropy's would be K / (n floor), 1e5 eV/Å and more.
    assert jnp.max(jnp.abs(forces)) < 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
def test_atoms_in_one_place(dtype):
    positions, cell = structure(5)
    positions = positions.at[3].set(positions[7])
    found, forces = evaluate(SMALL, positions.astype(dtype), cell.astype(dtype), NUMBERS, 100.0)
    assert all(jnp.all(jnp.isfinite(array)) for array in jax.tree.leaves((found, forces)))
    assert found.least_distance == 0


@pytest.mark.parametrize("finder", ["all pairs", "list"])
def test_atoms_without_neighbours(finder):
    # The first and the last have padding alone.
    positions = jnp.array([[0.0, 0, 0], [10, 0, 0], [10, 2, 0], [0, 10, 10]])
    cell, numbers = 20 * jnp.eye(3), jnp.full(4, 74, jnp.int32)
    potential = using(SMALL, AllPairs(4.0) if finder == "all pairs" else list_for(cell, 3))
    found, forces = evaluate(potential, positions, cell, numbers, 10.0)
    assert jnp.isfinite(found.energy)
    assert jnp.all(jnp.isfinite(forces))
    np.testing.assert_array_equal(forces[jnp.array([0, 3])], jnp.zeros((2, 3)))
    assert forces[2, 1] > 1


def test_types_stay():
    positions, cell = (array.astype(jnp.float32) for array in structure(7))
    assert SMALL.scale.dtype == jnp.float64
    found = evaluate(SMALL, positions, cell, NUMBERS, 10.0)
    assert {array.dtype for array in jax.tree.leaves(found)} == {np.dtype("float32")}


# Bad input


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cutoff": -1.0}, r"cutoff = -1\.0 is not allowed; give a number above 0, in Å"),
        ({"cutoff": "4"}, r"cutoff = '4' is not allowed"),
        ({"scale": [1.0, 2.0]}, r"scale = \[1\.0, 2\.0\] is not .* each of the 5 features"),
        ({"scale": [1.0, 2.0, 0.0, 1.0, 1.0]}, "scale = .* give one number above 0"),
        ({"scale": [1.0, 2.0, float("nan"), 1.0, 1.0]}, "scale = .* give one number above 0"),
    ],
)
def test_a_potential_that_cannot_be_made(given, message):
    with pytest.raises(JentmaxError, match=message):
        Potential(OWN.descriptor, OWN.repulsion, OWN.entropy, **given)


def test_a_scale():
    positions, cell = structure(0)
    plain = Potential(OWN.descriptor, OWN.repulsion, OWN.entropy)
    assert_close(plain.with_scale(SCALE).energy(positions, cell), OWN.energy(positions, cell), "V")
    # A common factor takes its logarithm from the entropy.
    factor = (
        OWN.terms(positions, cell).entropy
        - OWN.with_scale(2 * SCALE).terms(positions, cell).entropy
    )
    assert_close(factor, np.log(2), "entropy", 1e-9)
    with pytest.raises(JentmaxError, match="scale = "):
        plain.with_scale([1.0, 2.0])


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.zeros((2, 4))}, r"positions have shape \(2, 4\); give \(n_atoms, 3\)"),
        ({"positions": np.zeros(3)}, r"positions have shape \(3,\)"),
        ({"positions": np.zeros((2, 3), int)}, "positions are of type int64; give floating-point"),
        ({"cell": np.eye(2)}, r"cell has shape \(2, 2\)"),
        ({"cell": np.stack([9 * np.eye(3)] * 2, -1)}, r"cell has shape \(3, 3, 2\) for positions"),
        (
            {"numbers": np.full(3, 74)},
            r"numbers have shape \(3,\); give one atomic number for each of the 2 atoms",
        ),
    ],
)
def test_arrays_that_do_not_go_together(change, message):
    good = {"positions": np.array([[0.0, 0, 0], [2, 0, 0]]), "cell": 9 * np.eye(3)}
    with pytest.raises(JentmaxError, match=message):
        OWN.energy(**good | change)


@pytest.mark.wrong_types
def test_replicas_need_as_many_cells():
    with pytest.raises(JentmaxError, match=r"give the same number of replicas for both"):
        OWN.energy(np.zeros((2, 3, 3)), np.stack([9 * np.eye(3)] * 2, -1))


def test_elements_that_it_does_not_know():
    positions, cell = structure(0)
    potential = Potential(Snap(4.0, twojmax=2), ClarkeSmith(r0={"W": 2.7}), NearestNeighbor())
    assert potential.elements == ("W",)
    assert_close(potential.energy(positions, cell), potential.energy(positions, cell, NUMBERS), "V")
    foreign = NUMBERS.at[4].set(42)
    message = "numbers contain Mo, which the potential does not support; give only W"
    with pytest.raises(JentmaxError, match=message):
        potential.energy(positions, cell, foreign)
    system = contracts.system_of(positions, cell, foreign)
    with pytest.raises(JentmaxError, match=message):
        potential.check(system)
    # Traced numbers cannot be looked at.
    fixed = potential.for_cells(system)
    assert_no_number(fixed, positions, cell, numbers=foreign)
    energy, _ = value_and_gradient(fixed, positions, cell, numbers=NUMBERS)
    assert jnp.isfinite(energy)
    with pytest.raises(
        JentmaxError,
        match="numbers are missing, and a part of the potential depends on the elements",
    ):
        TWO_ELEMENTS.energy(positions, cell)
    narrow = Snap(4.0, twojmax=2, elements=("Ni", "Al"))
    both = Potential(narrow, ClarkeSmith(r0={"Al": 2.5, "W": 2.7}), NearestNeighbor())
    assert both.elements == ("Al",)


def test_systems_that_are_not_periodic():
    positions, cell = structure(0)
    system = contracts.system_of(positions, cell, NUMBERS)
    OWN.check(system)
    open_ = eqx.tree_at(lambda s: s.pbc, system, jnp.array([True, True, False]))
    with pytest.raises(JentmaxError, match=r"systems are not periodic in all directions \(pbc\)"):
        OWN.check(open_)
