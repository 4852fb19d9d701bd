"""Snap: invariances, gradients, precision, tracing."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from snaps import (
    SNAPS,
    assert_close,
    compiled,
    compiling,
    environments_of,
    every_snap,
    features,
    numbers_of,
    one_neighbor,
    some_quick,
    structure,
)

from jentmax.descriptors import Snap
from jentmax.neighbors import AllPairs, neighbor_finder
from jentmax.system import random_positions

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


@pytest.mark.parametrize("name", [pytest.param("default", marks=pytest.mark.slow), "rmin0"])
def test_jit_equals_eager(name):
    snap = SNAPS[name]
    environments = environments_of(snap, *structure())
    eager = snap(environments)
    for optimised in (False, True):
        with compiling(optimised):
            # A new function each time, or the first one's compiled form would be taken again.
            assert_close(jax.jit(lambda given: snap(given))(environments), eager)


@some_quick
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


@some_quick
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


@some_quick
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


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.float64, marks=pytest.mark.slow)])
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
    apart, together = one_neighbor(2e-5, 4.0), one_neighbor(1e-9, 4.0)  # up to 1e-10 is left out
    assert_close(compiled(snap, together), 8 * np.array([[label[-1] + 1 for label in snap.labels]]))

    def total(displacements):
        return jnp.sum(snap(eqx.tree_at(lambda tree: tree.displacements, together, displacements)))

    # To first order in the distance the gradient is the curvature times it.
    gradient = jax.jit(jax.grad(total))
    slope = gradient(apart.displacements)[:, 0, 0]
    curvature = jax.jit(jax.hessian(total))(together.displacements)[:, 0, 0, :, 0, 0]
    # Sums of terms of a few hundred that cancel: 1e-12 beside a gradient of 1e-7 or so.
    slope_together = gradient(together.displacements)[:, 0, 0]
    assert_close(curvature @ together.displacements[:, 0, 0], slope_together, 1e-4)
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


@pytest.mark.parametrize(
    ("twojmax", "rmin0"),
    [
        pytest.param(3, 0.0, marks=pytest.mark.slow),
        (3, 1.0),
        pytest.param(8, 0.0, marks=pytest.mark.slow),
    ],
)
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
