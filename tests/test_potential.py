"""V: its parts, symmetries and forces; its own neighbours; no number from too few neighbours."""

import ase.build
import contracts
import equinox as eqx
import hypothesis
import hypothesis.strategies as some
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close, random_rotation

from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.errors import JentmaxError
from jentmax.neighbors import (
    AllPairs,
    NeighborList,
    Neighbors,
    host_environments,
    neighbor_finder,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.system import System, cell_heights, random_positions

N_ATOMS = 12
NUMBERS = jnp.full(N_ATOMS, 74, jnp.int32)
IMAGES = AllPairs(4.0, (1, 1, 1))


def using(potential, finder):
    """The potential with a finder that the test chooses."""
    return eqx.tree_at(lambda p: p.finder, potential, finder, is_leaf=lambda x: x is None)


PUBLISHED = using(
    Potential(
        Snap(4.0, components=6),
        ClarkeSmith(),
        NearestNeighbor(),
        # Standard deviations in liquid-like tungsten.
        scale=[3.02, 0.41, 0.49, 1.38, 0.50, 1.14],
    ),
    IMAGES,
)
# Faster to compile.
OWN = Potential(
    Snap(4.0, twojmax=2), ClarkeSmith(), NearestNeighbor(), scale=[3.0, 0.5, 0.5, 1.5, 0.5]
)
SMALL = using(OWN, IMAGES)
TWO_ELEMENTS = using(
    Potential(
        Snap(3.5, twojmax=2, weights={"Al": 0.6}, radii={"Al": 0.45}),
        ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6, cutoff_ratio=1.05),
        NearestNeighbor(),
        scale=[2.0, 0.5, 0.5, 1.0, 0.5],
    ),
    AllPairs(3.5, (1, 1, 1)),
)
# Quickest of all.
TOY = Potential(contracts.smooth, ClarkeSmith(), NearestNeighbor(), cutoff=3.0)

terms = eqx.filter_jit(Potential.terms)


@eqx.filter_jit
def evaluate(potential, positions, *arguments):
    """Terms and forces of one structure, or of replicas, which are the last axis."""

    def total(positions):
        terms = potential.terms(positions, *arguments)
        return jnp.sum(terms.energy), terms

    gradient, terms = jax.grad(total, has_aux=True)(positions)
    return terms, -gradient


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


@pytest.mark.parametrize("case", ["published", "small cell", "list", "two elements"])
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


def test_jit_is_eager():
    arguments = *structure(4), NUMBERS, 20.0
    compiled, forces = evaluate(SMALL, *arguments)
    energy, gradient = jax.value_and_grad(SMALL.energy)(*arguments)
    assert_close(compiled.energy, energy, "V")
    assert_close(forces, -gradient, "forces", 1e-10)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
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
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
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
        jnp.full(n_atoms, 74, jnp.int32),
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


def test_a_list_without_room_gives_no_number():
    positions, cell = structure(6)
    found, forces = evaluate(using(SMALL, list_for(cell, 2)), positions, cell, NUMBERS, 10.0)
    assert jnp.isnan(found.energy)
    assert jnp.all(jnp.isnan(forces))


def test_types_stay():
    positions, cell = (array.astype(jnp.float32) for array in structure(7))
    assert SMALL.scale.dtype == jnp.float64
    found = evaluate(SMALL, positions, cell, NUMBERS, 10.0)
    assert {array.dtype for array in jax.tree.leaves(found)} == {np.dtype("float32")}


# Version 0.1


ENTROPIES = (
    NearestNeighbor,
    KthNearestNeighbor,
    SoftNearestNeighbor,
    KernelDensity,
    Gaussian,
    Vendi,
)


@pytest.mark.parametrize("entropy", ENTROPIES)
@pytest.mark.parametrize("case", ["published", "triclinic", "alloy"])
def test_equals_version_01(request, case, entropy):
    """V, its parts and forces; scripts/make_v01_reference.py says how the file was made."""
    snap, pairs = Snap(4.0, components=6), ClarkeSmith()
    if case == "alloy":
        snap = Snap(3.5, components=6, weights={"Al": 0.6}, radii={"Al": 0.45})
        pairs = ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6, cutoff_ratio=1.05)
    with np.load(request.path.parent / "data" / "v01.npz") as stored:
        positions, cell = (jnp.asarray(stored[f"{case}/{name}"]) for name in ("positions", "cell"))
        numbers = np.array([74, 13])[stored[f"{case}/species"]]
        weight, scale = float(stored["entropy_weight"]), stored["scale"]
        repulsion, features = stored[f"{case}/repulsion"], stored[f"{case}/features"]
        energy, nats, forces = (
            stored[f"{case}/{entropy.__name__}/{name}"] for name in ("energy", "entropy", "forces")
        )
    system = System.from_ase(ase.Atoms(numbers, positions, cell=cell, pbc=True))
    potential = Potential(snap, pairs, entropy(), scale=scale).for_cells(system)
    found, push = evaluate(potential, positions, cell, jnp.asarray(numbers), weight)
    for name, expected in (
        ("features", features),
        ("repulsion", repulsion),
        ("entropy", nats),
        ("energy", energy),
    ):
        assert_close(getattr(found, name), expected, name, 1e-12)
    assert_close(push, forces, "forces", 1e-12)


# The potential's own neighbours


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    seed=some.integers(0, 2**32 - 1),
    n_atoms=some.sampled_from([1, 1, 2, 5, 12, 30, 110, 500]),
    density=some.floats(0.01, 0.08),
)
@hypothesis.example(seed=0, n_atoms=1, density=0.08)
@hypothesis.example(seed=1, n_atoms=500, density=0.06)
@hypothesis.example(seed=2, n_atoms=110, density=0.08)
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
    host = jax.tree.map(jnp.asarray, host_environments(positions, cell, NUMBERS, 4.0))
    features = OWN.descriptor(host)
    assert_close(found.features, features, "features")
    expected = float(OWN.entropy(features / OWN.scale[:, None].T))
    assert found.entropy == pytest.approx(expected, rel=1e-9)
    nearest = AllPairs(4.0)(jnp.asarray(positions), jnp.asarray(cell), NUMBERS)
    wrong = OWN.entropy(OWN.descriptor(nearest) / OWN.scale[:, None].T)
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
    assert single.finder.least_heights <= tuple(cell_heights(systems[0].cell))
    # Strain, where the cell is what one differentiates by.
    strained = jax.jit(jax.grad(lambda cell: fixed.energy(systems[1].positions, cell)))
    assert jnp.all(jnp.isfinite(strained(systems[1].cell)))


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
    host = jax.tree.map(jnp.asarray, host_environments(positions, cell, system.numbers, 3.0))
    expected = TOY.repulsion(host) - TOY.entropy(TOY.descriptor(host))
    assert_close(compiled, expected, "V", 1e-9)
    # Far more of them: no number.
    crowded = eqx.filter_jit(jax.value_and_grad(fixed.energy))(0.5 * positions, cell)
    assert all(jnp.all(jnp.isnan(array)) for array in crowded)
    # Outside jit the list grows.
    assert jnp.isfinite(fixed.energy(0.5 * positions, cell))


@eqx.filter_jit
def value_and_gradient(potential, positions, cell, numbers=None, weight=1.0, neighbors=None):
    def total(positions):
        energy = potential.energy(positions, cell, numbers, weight, neighbors)
        return jnp.sum(energy), energy

    gradient, energy = jax.grad(total, has_aux=True)(positions)
    return energy, gradient


def assert_no_number(potential, positions, cell, **given):
    energy, gradient = value_and_gradient(potential, positions, cell, **given)
    assert jnp.all(jnp.isnan(energy))
    assert jnp.all(jnp.isnan(gradient))


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
    assert_close(
        plain.with_scale(OWN.scale).energy(positions, cell), OWN.energy(positions, cell), "V"
    )
    # A common factor takes its logarithm from the entropy.
    factor = (
        OWN.terms(positions, cell).entropy
        - OWN.with_scale(2 * OWN.scale).terms(positions, cell).entropy
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
