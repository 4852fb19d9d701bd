"""Snap and the sphere beneath it: closed forms, invariances, gradients, precision, tracing.

That Snap equals LAMMPS is in test_snap_lammps.py.
"""

import contextlib
import itertools
from math import comb, prod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jentmax.descriptors import Snap
from jentmax.descriptors._sphere import character_matrix, chebyshev, moments, quadrature
from jentmax.errors import JentmaxError
from jentmax.neighbors import AllPairs, Environments, neighbor_finder
from jentmax.system import random_positions

ELEMENTS = ("Ni", "Al")
TWO = {"weights": {"Ni": 0.8, "Al": 1.3}, "radii": {"Al": 0.42}}
CHEM = {**TWO, "chemflag": True, "elements": ELEMENTS}
SNAPS = {
    "default": Snap(cutoff=4.0),
    "two-elements": Snap(cutoff=4.0, **TWO),
    "chem": Snap(cutoff=4.0, twojmax=2, bzero=True, **CHEM),
    "rmin0": Snap(cutoff=4.0, rmin0=2.2),
    "no-switching": Snap(cutoff=4.0, switching=False),
}
every_snap = pytest.mark.parametrize("snap", SNAPS.values(), ids=SNAPS.keys())

# Of the largest component: rounding of sums taken in another order. Measured below 2e-14.
ROUNDING = 1e-12


@contextlib.contextmanager
def compiling(optimised):
    """Compiles with or, several times faster, without optimisation."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", not optimised)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def assert_close(actual, expected, tolerance=ROUNDING):
    """Within the tolerance times the largest expected component."""
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=tolerance * np.abs(np.asarray(expected)).max()
    )


def numbers_of(places):
    """Atomic numbers of nickel (0) and aluminium (1)."""
    return np.array([28, 13])[np.asarray(places)]


def structure(seed=0, n_atoms=14):
    """Random positions, a triclinic cell whose atoms see some images twice, two elements."""
    rng = np.random.default_rng(seed)
    cell = np.array([[6.1, 0.3, -0.2], [1.1, 6.6, 0.4], [-0.9, 0.8, 7.0]])
    positions = random_positions(rng, n_atoms, cell, 1.7)
    return positions, cell, numbers_of(np.arange(n_atoms) % 2)


@eqx.filter_jit
def find(finder, positions, cell, numbers):
    return finder(positions, cell, numbers, None)


@eqx.filter_jit
def compiled(snap, environments):
    return snap(environments)


def environments_of(snap, positions, cell, numbers):
    finder = neighbor_finder(snap.largest_cutoff, len(positions), cell)
    return find(finder, jnp.asarray(positions), jnp.asarray(cell), jnp.asarray(numbers, jnp.int32))


def features(snap, *structure):
    return compiled(snap, environments_of(snap, *structure))


def one_neighbor(distance, cutoff):
    """An atom with one neighbour, which itself sees nothing, and three slots of padding."""
    displacements = np.zeros((3, 1, 4))
    displacements[:, 0, 0] = distance * np.array([2.0, -1.0, 2.0]) / 3
    displacements[0, 0, 1:] = cutoff
    return Environments(
        displacements=jnp.asarray(displacements),
        mask=jnp.asarray([[True, False, False, False]]),
        numbers=jnp.full(1, 28, jnp.int32),
        neighbor_numbers=jnp.full((1, 4), 28, jnp.int32),
    )


# Closed forms


@pytest.mark.parametrize(
    ("distance", "rmin0", "self_weight"), [(2.3, 0.0, 1.0), (0.9, 0.0, 0.4), (2.3, 0.6, 1.7)]
)
def test_power_spectrum_of_one_neighbor(distance, rmin0, self_weight):
    """B_j0j = (s + w) (s^2 + w^2 + 2 s w U_j(cos t) / (j + 1)) (j + 1)."""
    snap = Snap(
        cutoff=4.0, twojmax=6, rfac0=0.9, rmin0=rmin0, weights={"Ni": 0.7}, self_weight=self_weight
    )
    share = (distance - rmin0) / (4.0 - rmin0)
    weight = 0.7 * (1 + np.cos(np.pi * share)) / 2
    angle = 0.9 * np.pi * share
    components = dict(zip(snap.labels, compiled(snap, one_neighbor(distance, 4.0))[0], strict=True))
    for j in range(7):
        character = np.sin((j + 1) * angle) / np.sin(angle)
        expected = (self_weight + weight) * (
            (j + 1) * (self_weight**2 + weight**2) + 2 * self_weight * weight * character
        )
        # Of a handful of terms that are a few units large.
        np.testing.assert_allclose(components[j, 0, j], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("chemflag", "wselfallflag", "bnormflag"),
    [(False, False, False), (False, False, True), (True, False, False), (True, True, True)],
)
def test_isolated_atoms(chemflag, wselfallflag, bnormflag):
    """Each atom alone has j + 1 in every component where it counts thrice; bzero removes that."""
    settings = {
        "cutoff": 2.0,
        "twojmax": 2,
        "chemflag": chemflag,
        "wselfallflag": wselfallflag,
        "bnormflag": bnormflag,
        "self_weight": 1.5,
        "weights": {"Al": 0.5},
        "elements": ELEMENTS,
    }
    snap = Snap(**settings)
    positions, cell, numbers = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), 9 * np.eye(3), [28, 13]
    expected = np.array(
        [
            [
                1.5**3 * (1 if bnormflag else label[-1] + 1)
                if not chemflag or wselfallflag or set(label[:3]) == {place}
                else 0
                for label in snap.labels
            ]
            for place in range(2)
        ]
    )
    assert_close(features(snap, positions, cell, numbers), expected)
    without = features(Snap(**settings, bzero=True), positions, cell, numbers)
    np.testing.assert_allclose(without, 0, atol=ROUNDING * expected.max())


def test_explicit_elements_add_up_to_the_common_density():
    arguments = structure()
    common = features(Snap(cutoff=4.0, twojmax=2, **TWO), *arguments)
    explicit = features(Snap(cutoff=4.0, twojmax=2, **CHEM), *arguments)
    assert_close(np.asarray(explicit).reshape(14, 8, 5).sum(axis=1), common)


def test_self_weight_is_relative_to_the_weights():
    arguments = structure()
    snap = Snap(cutoff=4.0, self_weight=0.6, **TWO)
    scaled = Snap(cutoff=4.0, **TWO | {"weights": {"Ni": 0.8 / 0.6, "Al": 1.3 / 0.6}})
    assert_close(features(snap, *arguments), 0.6**3 * features(scaled, *arguments))


def test_a_vanishing_rmin0_is_none():
    """The two ways to the points on the sphere, polynomials and trigonometry, agree."""
    arguments = structure()
    for settings in ({"rfac0": 1.0}, {"rfac0": 0.5, **TWO}):
        polynomials = features(Snap(cutoff=4.0, **settings), *arguments)
        # An rmin0 of 1e-13 Å shifts the angles by as little.
        trigonometry = features(Snap(cutoff=4.0, rmin0=1e-13, **settings), *arguments)
        assert_close(polynomials, trigonometry)


def test_switching_fades_neighbors_out():
    """No jump where a neighbour leaves: components differ by the weight there, about (1e-5)^2."""
    switched, abrupt = Snap(cutoff=4.0), Snap(cutoff=4.0, switching=False)
    inside, outside = one_neighbor(4.0 - 1e-5, 4.0), one_neighbor(4.0 + 1e-5, 4.0)
    assert_close(compiled(switched, inside), compiled(switched, outside), 1e-9)
    assert np.abs(compiled(abrupt, inside) - compiled(abrupt, outside)).max() > 0.5


# Labels


def test_labels_are_in_the_order_of_lammps():
    first = [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 0, 2), (2, 1, 3), (2, 2, 2)]
    assert Snap(cutoff=4.0, twojmax=3).labels == [*first, (3, 0, 3), (3, 2, 3)]
    assert Snap(cutoff=4.0, twojmax=4).labels[:10] == [
        *first,
        *[(2, 2, 4), (3, 0, 3), (3, 1, 4), (3, 2, 3)],
    ]
    assert Snap(cutoff=4.0, twojmax=8).labels[-1] == (8, 8, 8)
    assert Snap(cutoff=4.0, twojmax=8, components=6).labels == first


@pytest.mark.parametrize("twojmax", range(1, 15))
def test_number_of_components(twojmax):
    """The pyramidal numbers, or twice the tetrahedral ones (LAMMPS's manual)."""
    m = twojmax // 2 + 1
    expected = m * (m + 1) * (m + 2) // 3 if twojmax % 2 else m * (m + 1) * (2 * m + 1) // 6
    assert Snap(cutoff=4.0, twojmax=twojmax).n_features == expected


def test_labels_of_explicit_elements():
    snap = Snap(cutoff=4.0, twojmax=1, **CHEM)
    spins = [(0, 0, 0), (1, 0, 1)]
    triples = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    triples += [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
    assert snap.labels == [(*triple, *spin) for triple in triples for spin in spins]
    assert Snap(cutoff=4.0, twojmax=1, components=3, **CHEM).n_features == 3


@pytest.mark.parametrize("chemflag", [False, True])
def test_first_components_are_the_first_of_all(chemflag):
    arguments = structure()
    settings = CHEM if chemflag else TWO
    everything = features(Snap(cutoff=4.0, **settings), *arguments)
    for components in (1, 7):
        snap = Snap(cutoff=4.0, components=components, **settings)
        assert_close(features(snap, *arguments), everything[:, :components])


def test_largest_cutoff_is_that_of_the_largest_atoms():
    # Elements without a radius of their own have 0.5.
    assert Snap(cutoff=4.0, radii={"Al": 0.6}).largest_cutoff == pytest.approx(4.8)
    assert Snap(cutoff=4.0, radii={"Al": 0.4}).largest_cutoff == pytest.approx(4.0)
    small = Snap(cutoff=4.0, radii={"Al": 0.4, "Ni": 0.45}, elements=ELEMENTS)
    assert small.largest_cutoff == pytest.approx(3.6)


# Elements


def test_any_element_is_known_without_a_table():
    """Weight 1 and radius 0.5 are those of every element."""
    positions, cell, _ = structure()
    plain = Snap(cutoff=4.0, twojmax=2)
    expected = features(plain, positions, cell, np.full(14, 74))
    for numbers in (np.arange(1, 15), np.full(14, 118), np.zeros(14, int)):
        np.testing.assert_array_equal(features(plain, positions, cell, numbers), expected)
    told = Snap(cutoff=4.0, twojmax=2, weights={"W": 1.0}, radii={"W": 0.5})
    np.testing.assert_array_equal(features(told, positions, cell, np.arange(1, 15)), expected)


def test_the_order_of_elements_is_that_of_the_densities():
    arguments = structure()
    forward = np.asarray(features(SNAPS["chem"], *arguments)).reshape(14, 2, 2, 2, 5)
    turned = Snap(cutoff=4.0, twojmax=2, bzero=True, **CHEM | {"elements": ELEMENTS[::-1]})
    backward = np.asarray(features(turned, *arguments)).reshape(14, 2, 2, 2, 5)
    assert_close(backward[:, ::-1, ::-1, ::-1], forward)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, ["Snap.cutoff is missing", "a number above 0", "Å"]),
        ({"cutof": 5}, ["Snap.cutof = 5 is unknown", "did you mean cutoff?", "Snap.cutoff is mi"]),
        ({"cutoff": -1}, ["Snap.cutoff = -1 is not allowed", "a number above 0"]),
        ({"cutoff": float("nan")}, ["Snap.cutoff = ", "is not allowed"]),
        ({"cutoff": "4"}, ['Snap.cutoff = "4" is not allowed']),
        ({"cutoff": True}, ["Snap.cutoff = true is not allowed"]),
        ({"twojmax": 0}, ["Snap.twojmax = 0 is not allowed", "of at least 1, at most 14"]),
        ({"twojmax": 15}, ["Snap.twojmax = 15 is not allowed"]),
        ({"twojmax": 2.5}, ["Snap.twojmax = 2.5 is not allowed", "a whole number"]),
        ({"components": 9}, ["Snap.components = 9 exceeds the 8 components of twojmax = 3"]),
        ({"components": 0}, ["Snap.components = 0 is not allowed"]),
        ({"rfac0": 1.01}, ["Snap.rfac0 = 1.01 is not allowed", "above 0, at most 1"]),
        ({"rmin0": 4.0}, ["Snap.rmin0 = 4 Å is not below the smallest pair cutoff, 4 Å"]),
        ({"rmin0": 3.5, "radii": {"W": 0.4}}, ["not below the least pair cutoff, 3.2 Å"]),
        ({"rmin0": -1}, ["Snap.rmin0 = -1 is not allowed"]),
        ({"switching": 1}, ["Snap.switching = 1 is not allowed", "true or false"]),
        ({"self_weight": -0.1}, ["Snap.self_weight = -0.1 is not allowed"]),
        ({"weights": {"Xx": 1}}, ["Snap.weights = ", "Xx", "by element, such as { W = 1.0 }"]),
        ({"radii": {"W": 0}}, ["Snap.radii = ", "numbers above 0 by element"]),
        ({"radii": 0.5}, ["Snap.radii = 0.5 is not allowed"]),
        ({"chemflag": True}, ["Snap.elements is empty, but chemflag"]),
        ({"chemflag": True, "elements": ["W", "W"]}, ["different element symbols"]),
    ],
)
def test_fields_that_are_not_allowed(settings, parts):
    given = settings if "cutof" in settings or not settings else {"cutoff": 4.0} | settings
    with pytest.raises(JentmaxError) as raised:
        Snap(**given)
    for part in parts:
        assert part in str(raised.value)


def test_too_many_arguments_and_one_twice():
    with pytest.raises(JentmaxError, match=r"Snap takes 14 arguments .*, not 15"):
        Snap(*range(15))
    with pytest.raises(JentmaxError, match=r"Snap\.cutoff is given twice"):
        Snap(4.0, cutoff=4.0)


# Invariances


@every_snap
def test_rotation_and_reflection(snap):
    positions, cell, numbers = structure()
    turn = Rotation.from_rotvec([0.3, 2.0, -0.8]).as_matrix()
    expected = features(snap, positions, cell, numbers)
    assert_close(features(snap, positions @ turn, cell @ turn, numbers), expected)
    assert_close(features(snap, -positions, -cell, numbers), expected)


@every_snap
def test_translation(snap):
    positions, cell, numbers = structure()
    shifts = np.random.default_rng(1).integers(-3, 4, positions.shape)
    moved = positions + [0.3, -7.7, 2.9] + shifts @ cell
    expected = features(snap, positions, cell, numbers)
    assert_close(features(snap, moved, cell, numbers), expected)


@every_snap
def test_permutation(snap):
    positions, cell, numbers = structure()
    order = np.random.default_rng(1).permutation(len(positions))
    expected = features(snap, positions, cell, numbers)[order]
    assert_close(features(snap, positions[order], cell, numbers[order]), expected)


@pytest.mark.parametrize(
    ("name", "n_atoms"), [("default", 1), ("two-elements", 2), ("chem", 2), ("rmin0", 1)]
)
def test_supercell(name, n_atoms):
    """Every atom of a small cell's supercell sees what the cell's own atom sees."""
    snap = SNAPS[name]
    rng = np.random.default_rng(2)
    cell = np.array([[2.6, 0.2, -0.3], [0.9, 3.1, 0.4], [-0.8, 1.0, 3.3]]) * n_atoms ** (1 / 3)
    positions = random_positions(rng, n_atoms, cell, 1.5)
    numbers = numbers_of(np.arange(n_atoms) % 2)
    repeats = np.array(list(itertools.product(range(2), range(1), range(3))))
    many = (positions + (repeats @ cell)[:, None]).reshape(-1, 3)
    expected = np.tile(features(snap, positions, cell, numbers), (len(repeats), 1))
    larger = np.diag([2, 1, 3]) @ cell
    assert_close(features(snap, many, larger, np.tile(numbers, len(repeats))), expected)


# Transformations of JAX


@pytest.mark.parametrize("name", ["default", "rmin0"])
def test_jit_equals_eager(name):
    snap = SNAPS[name]
    environments = environments_of(snap, *structure())
    eager = snap(environments)
    for optimised in (False, True):
        with compiling(optimised):
            # A new function each time, or the first one's compiled form would be taken again.
            assert_close(jax.jit(lambda given: snap(given))(environments), eager)


@every_snap
def test_vmap_equals_loop_equals_replica_axis(snap):
    structures = [structure(seed, n_atoms=8) for seed in range(3)]
    # Cells differ between replicas, too.
    each = [
        environments_of(snap, scale * positions, scale * cell, numbers)
        for scale, (positions, cell, numbers) in zip((1.0, 1.04, 1.1), structures, strict=True)
    ]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=-1), *each)
    loop = np.stack([compiled(snap, environments) for environments in each], axis=-1)
    assert loop.shape == (8, snap.n_features, 3)
    assert_close(compiled(snap, together), loop)
    assert_close(jax.jit(jax.vmap(snap, in_axes=-1, out_axes=-1))(together), loop)


@every_snap
def test_gradient_is_the_central_difference(snap):
    positions, cell, numbers = structure(n_atoms=6)
    weights = np.random.default_rng(3).normal(size=(6, snap.n_features))
    finder = neighbor_finder(snap.largest_cutoff, len(positions), cell)
    numbers = jnp.asarray(numbers, jnp.int32)

    @jax.jit
    def weighted(positions):
        return jnp.sum(weights * snap(finder(positions, jnp.asarray(cell), numbers, None)))

    gradient = jax.grad(weighted)(jnp.asarray(positions))
    direction = np.random.default_rng(4).normal(size=positions.shape)
    # The step's error of 1e-10 and the rounding's of 1e-16 / 1e-5 are both well below 1e-8.
    step = 1e-5 * direction
    difference = (weighted(positions + step) - weighted(positions - step)) / 2e-5
    np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-6)


def test_one_trace_per_shape():
    traces = []

    @eqx.filter_jit
    def counted(snap, environments):
        traces.append(environments.mask.shape)
        return snap(environments)

    small = Snap(cutoff=4.0)
    for seed in range(3):
        counted(small, environments_of(small, *structure(seed)))
    # An equal descriptor is the same one.
    counted(Snap(cutoff=4.0), environments_of(small, *structure(3)))
    assert len(traces) == 1
    counted(small, environments_of(small, *structure(0, n_atoms=13)))
    assert len(traces) == 2
    counted(Snap(cutoff=4.0, rfac0=0.9), environments_of(small, *structure(0)))
    assert len(traces) == 3


# Padding and coincident atoms


@every_snap
def test_padding_has_no_effect_and_no_gradient(snap):
    environments = environments_of(snap, *structure())
    mask = np.asarray(environments.mask)
    assert not mask.all()

    def total(displacements):
        moved = eqx.tree_at(lambda tree: tree.displacements, environments, displacements)
        return jnp.sum(jnp.sin(snap(moved)))

    expected, gradient = jax.jit(jax.value_and_grad(total))(environments.displacements)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.asarray(gradient)[:, ~mask] == 0)
    assert np.any(np.asarray(gradient)[:, mask] != 0)
    elsewhere = np.random.default_rng(5).normal(size=mask.shape)
    elsewhere = jnp.where(mask, environments.displacements, elsewhere)
    assert jax.jit(total)(elsewhere) == jax.jit(total)(environments.displacements)
    assert_close(jax.jit(total)(elsewhere), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", ["default", "chem", "rmin0"])
def test_atoms_on_top_of_one_another_have_finite_gradients(name, dtype):
    snap = SNAPS[name]
    positions, cell, numbers = structure(n_atoms=6)
    positions[1] = positions[0]
    positions[3] = positions[2] + cell[0]
    cell, numbers = jnp.asarray(cell, dtype), jnp.asarray(numbers, jnp.int32)
    finder = neighbor_finder(snap.largest_cutoff, 6, np.asarray(cell))

    def total(positions):
        return jnp.sum(snap(finder(positions, cell, numbers, None)))

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.asarray(positions, dtype))
    assert gradient.dtype == value.dtype == dtype
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_an_atom_on_top_counts_like_the_central_one():
    """Without rmin0 the components are smooth there: so is their gradient, and nothing is lost."""
    snap = Snap(cutoff=4.0)
    apart, together = one_neighbor(2e-5, 4.0), one_neighbor(0.0, 4.0)
    assert_close(compiled(snap, together), 8 * np.array([[label[-1] + 1 for label in snap.labels]]))

    def total(displacements):
        return jnp.sum(snap(eqx.tree_at(lambda tree: tree.displacements, together, displacements)))

    # To first order in the distance the gradient is the curvature times it.
    gradient = jax.jit(jax.grad(total))
    slope = gradient(apart.displacements)[:, 0, 0]
    curvature = jax.jit(jax.hessian(total))(together.displacements)[:, 0, 0, :, 0, 0]
    # Sums of terms of a few hundred that cancel.
    np.testing.assert_allclose(gradient(together.displacements), 0, atol=1e-12)
    # The next order is (2e-5)^2 smaller; that rounding is 1e-10 of the gradient.
    assert_close(curvature @ apart.displacements[:, 0, 0], slope, 1e-8)


def test_hessian_is_finite_at_padding():
    positions, cell, numbers = structure(n_atoms=3)
    positions[1] = positions[0]
    snap = Snap(cutoff=4.0, components=6)
    finder = AllPairs(4.0, (1, 1, 1))

    def total(positions):
        return jnp.sum(snap(finder(positions, jnp.asarray(cell), jnp.asarray(numbers), None)))

    assert np.all(np.isfinite(jax.jit(jax.hessian(total))(jnp.asarray(positions))))


# Precision


@pytest.mark.parametrize(("twojmax", "rmin0"), [(3, 0.0), (3, 1.0), (8, 0.0)])
def test_float32(twojmax, rmin0):
    """Against float64 at the same positions, which float32 represents exactly."""
    snap = Snap(cutoff=4.0, twojmax=twojmax, rmin0=rmin0)
    cell = np.diag([9.54, 9.54, 14.31]).astype(np.float32)
    positions = random_positions(np.random.default_rng(6), 39, cell, 2.0).astype(np.float32)
    weights = np.random.default_rng(7).normal(size=(39, snap.n_features)).astype(np.float32)
    numbers, finder = jnp.full(39, 74, jnp.int32), AllPairs(4.0)

    def weighted(positions, cell):
        values = snap(finder(positions, cell, numbers, None))
        return jnp.sum(weights.astype(positions.dtype) * values), values

    compute = jax.jit(jax.value_and_grad(weighted, has_aux=True))
    with compiling(optimised=True):
        (_, values32), gradient32 = compute(jnp.asarray(positions), jnp.asarray(cell))
    (_, values64), gradient64 = compute(jnp.asarray(positions, float), jnp.asarray(cell, float))
    assert values32.dtype == gradient32.dtype == jnp.float32
    assert values64.dtype == gradient64.dtype == jnp.float64
    # Displacements are differences of positions rounded at 6e-8 of the cell; the monomials multiply
    # up to eight such numbers, and the characters' coefficients cancel. Measured over structures:
    # at most 2e-6 of the largest component at twojmax 8 and 1e-6 at 3, values and gradients alike.
    assert_close(values32, values64, 1e-5)
    assert_close(gradient32, gradient64, 1e-5)


# The sphere


def exact_average(exponents):
    """Of a monomial over the unit sphere in four dimensions."""
    if any(exponent % 2 for exponent in exponents):
        return 0.0
    odd = prod(prod(range(1, exponent, 2)) for exponent in exponents)
    return odd / prod(range(4, 4 + sum(exponents), 2))


def exponents_of(total):
    return [e for e in itertools.product(range(total + 1), repeat=4) if sum(e) == total]


@pytest.mark.parametrize("degree", [0, 2, 4, 6, 8, 12, 18, 24])
def test_quadrature_is_exact(degree):
    points, weights = quadrature(degree)
    # Weights between 0 and 1 and values below 1: nothing but rounding.
    np.testing.assert_allclose(np.sum(points**2, axis=1), 1, rtol=0, atol=1e-14)
    assert np.all(weights > 0)
    # Even polynomials only; those of lower degree are among these times powers of |v|^2 = 1.
    for exponents in exponents_of(degree):
        average = weights @ np.prod(points ** np.array(exponents), axis=1)
        assert abs(average - exact_average(exponents)) < 1e-14, exponents


def test_quadrature_needs_few_points():
    assert len(quadrature(6)[0]) == 32


def test_quadrature_knows_that_characters_are_orthonormal():
    points, weights = quadrature(16)
    for j, k in itertools.product(range(9), repeat=2):
        if (j + k) % 2 == 0:
            average = weights @ (chebyshev(j, points[:, 0]) * chebyshev(k, points[:, 0]))
            # Characters are up to 9 large at a point.
            assert abs(average - (j == k)) < 1e-12


def test_chebyshev_is_the_character():
    angle = np.linspace(0.1, 3.0, 30)
    for degree in range(9):
        expected = np.sin((degree + 1) * angle) / np.sin(angle)
        # 1 / sin(angle) is up to 10 and multiplies the rounding.
        np.testing.assert_allclose(chebyshev(degree, np.cos(angle)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3, 8])
def test_moments_are_all_in_lexicographic_order(degree):
    rng = np.random.default_rng(8)
    vectors, weights = rng.uniform(0.5, 1, size=(4, 6, 5)), rng.uniform(0.5, 1, size=(6, 5))
    computed = jax.jit(moments, static_argnums=2)(weights, list(vectors), degree)
    for total, values in zip((degree - 1, degree), computed, strict=True):
        expected = [
            np.sum(weights * np.prod(vectors ** np.array(e)[:, None, None], axis=0), axis=0)
            for e in sorted(exponents_of(total), reverse=True)
        ]
        assert values.shape == (comb(total + 3, 3), 5)
        # The same products and sums in another order.
        np.testing.assert_allclose(values, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("degree", "total"), [(0, 0), (0, 4), (1, 1), (2, 2), (1, 7), (5, 7), (8, 8)]
)
def test_character_matrix_gives_characters(degree, total):
    rng = np.random.default_rng(9)
    points, vectors = rng.normal(size=(6, 4)), rng.normal(size=(7, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # One neighbour: its moments are its monomials.
    coordinates = list(jnp.asarray(vectors.T)[:, None])
    lower, upper = jax.jit(moments, static_argnums=2)(jnp.ones((1, 7)), coordinates, max(total, 1))
    values = upper if total else lower
    computed = character_matrix(degree, total, points) @ np.asarray(values)
    # Coefficients of degree 8 are some hundreds and cancel.
    np.testing.assert_allclose(computed, chebyshev(degree, points @ vectors.T), rtol=0, atol=1e-12)
