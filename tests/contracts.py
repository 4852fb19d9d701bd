"""What every implementation of a part must do.

One function per kind of part, for the package's own and for anybody's: call it with yours in a
test, and it raises `AssertionError` if the contract is broken. They need float64
(``jax_enable_x64``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ase
import ase.neighborlist
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers
from jaxtyping import Array
from numpy.typing import ArrayLike

from jentmax.entropy import NearestNeighbor
from jentmax.neighbors import Environments, Finder, neighbor_finder
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import run
from jentmax.system import System, cell_heights

ROUNDING = 1e-11
"""Sums of some hundred float64 terms differ less than this between two orders, over the largest."""


def check_descriptor(
    descriptor: Callable[[Environments], Array],
    n_features: int,
    cutoff: float,
    elements: tuple[str, ...] = ("W",),
) -> None:
    """Environments -> features.

    Args:
        descriptor: to be checked; replicas are the last axis.
        n_features: how many features it gives.
        cutoff: of the environments that it wants, in Å.
        elements: that it knows.
    """
    here, there = (random_environments(seed, cutoff, elements) for seed in (0, 1))
    compiled = eqx.filter_jit(descriptor)
    features = compiled(here)
    assert features.shape == (len(here.numbers), n_features)
    assert compiled(in_float32(here)).dtype == jnp.float32
    assert_close(compiled(padded(here)), features, "more padding")
    assert_close(compiled(reordered(here)), features, "another order of the neighbours")
    assert_close(compiled(rotated(here)), features, "rotation")
    assert_close(compiled(side_by_side(here, there))[..., 0], features, "replicas")
    assert_close(compiled(side_by_side(there, here))[..., 1], features, "replicas")
    _check_gradient(lambda environments: jnp.sum(descriptor(environments)), here)


def check_estimator(estimator: Callable[[Array], Array]) -> None:
    """Scaled features -> nats."""
    features = jnp.asarray(np.random.default_rng(0).normal(size=(9, 4)))
    traces: list[int] = []

    @jax.jit
    def compiled(features: Array) -> Array:
        traces.append(1)
        return estimator(features)

    entropy = compiled(features)
    assert entropy.shape == ()
    assert_close(compiled(features[::-1]), entropy, "another order of the atoms")
    assert_close(compiled(features + 3), entropy, "a shift of all features")
    assert compiled(2 * features) > entropy, "environments further apart have more entropy"
    assert len(traces) == 1, "traced again for other numbers"
    assert compiled(features.astype(jnp.float32)).dtype == jnp.float32
    both = side_by_side(features, features**2)
    assert_close(compiled(both)[0], entropy, "replicas")
    assert_close(compiled(both[..., ::-1])[1], entropy, "replicas")
    assert_close(compiled(both), jax.jit(jax.vmap(estimator, -1))(both), "vmap")

    value_and_gradient = jax.jit(jax.value_and_grad(estimator))
    hessian = jax.jit(jax.hessian(estimator))
    summed = jax.jit(jax.grad(lambda both: jnp.sum(estimator(both))))
    assert_close(summed(both)[..., 0], value_and_gradient(features)[1], "gradient of replicas")
    change = jnp.asarray(np.random.default_rng(1).normal(size=features.shape))
    # Central differences are off by the step squared, 1e-10, and by rounding over the step, 1e-11.
    step, tolerance = 1e-5, 1e-7
    (more, after), (less, before) = (
        value_and_gradient(features + sign * step * change) for sign in (1, -1)
    )
    gradient = value_and_gradient(features)[1]
    largest = float(jnp.linalg.norm(gradient) * jnp.linalg.norm(change))
    slope = jnp.vdot(gradient, change)
    assert abs((more - less) / (2 * step) - slope) < tolerance * largest, "finite differences"
    curvature = jnp.tensordot(hessian(features), change, 2)
    assert_close((after - before) / (2 * step), curvature, "differences of the gradient", tolerance)

    for what, equal in {
        "all environments equal": jnp.ones((9, 4)),
        "two environments equal": features.at[3].set(features[5]),
        "all environments equal, float32": jnp.full((9, 4), 0.3, jnp.float32),
        "two environments equal, float32": features.at[3].set(features[5]).astype(jnp.float32),
    }.items():
        value, gradient = value_and_gradient(equal)
        assert jnp.isfinite(value), f"{what}: the entropy is {value}"
        assert jnp.all(jnp.isfinite(gradient)), f"{what}: the gradient is not finite"
        assert jnp.all(jnp.isfinite(hessian(equal))), f"{what}: the Hessian is not finite"


def check_repulsion(
    repulsion: Callable[[Environments], Array],
    cutoff: float,
    elements: tuple[str, ...] = ("W",),
) -> None:
    """Environments -> eV.

    Args:
        repulsion: to be checked; replicas are the last axis.
        cutoff: distance beyond which atoms do not repel each other, in Å.
        elements: that it knows.
    """
    here, there = (random_environments(seed, 1.5 * cutoff, elements) for seed in (0, 1))
    compiled = eqx.filter_jit(repulsion)
    energy = compiled(here)
    assert energy.shape == ()
    assert energy != 0
    assert compiled(in_float32(here)).dtype == jnp.float32
    assert_close(compiled(padded(here)), energy, "more padding")
    assert_close(compiled(reordered(here)), energy, "another order of the neighbours")
    assert_close(compiled(rotated(here)), energy, "rotation")
    assert_close(compiled(side_by_side(here, there))[0], energy, "replicas")
    assert_close(compiled(side_by_side(there, here))[1], energy, "replicas")
    _check_gradient(repulsion, here)

    def pair(distance: Array | float) -> Array:
        direction = jnp.array([0.6, 0.0, 0.8]).reshape(3, 1, 1)
        number = jnp.full((1, 1), atomic_numbers[elements[0]], jnp.int32)
        return repulsion(Environments(distance * direction, number > 0, number[0], number))

    assert pair(1.0001 * cutoff) == 0, "energy beyond the cutoff"
    assert jax.grad(pair)(0.5 * cutoff) < 0, "atoms that overlap are not pushed apart"


def check_finder(
    make_finder: Callable[[float, int, np.ndarray], Finder], least_height: float = 0.5
) -> None:
    """Positions and a cell -> environments, equal to those that ASE finds.

    Args:
        make_finder: from a cutoff (Å), a number of atoms and cells (shape (n, 3, 3), rows, Å).
        least_height: of the random cells to try, over the cutoff.
    """
    cutoff, n_atoms, n_cells = 2.5, 5, 4
    rng = np.random.default_rng(0)
    cells = np.stack([random_cell(rng, least_height * cutoff) for _ in range(n_cells)])
    unwrapped = rng.normal(scale=3 * cutoff, size=(n_cells, n_atoms, 3))
    numbers = np.array([74, 28, 28, 74, 13])
    finder = make_finder(cutoff, n_atoms, cells)
    assert finder.cutoff == cutoff

    positions, cell = unwrapped[-1], cells[-1]
    for positions, cell in zip(unwrapped, cells, strict=True):
        found = find(finder, positions, cell, numbers)
        assert_same_environments(found, positions, cell, numbers, cutoff)
        found = find(finder, positions, cell, numbers, jnp.float32)
        assert found.displacements.dtype == jnp.float32
        # float32 coordinates of 20 Å are rounded by 1e-6 Å.
        assert_same_environments(found, positions, cell, numbers, cutoff, tolerance=2e-5)

    # The distances to an atom's own images do not change as it moves.
    atoms, others, displacements, _ = ase_neighbors(positions, cell, numbers, cutoff)
    expected = -2 * displacements[(atoms == 0) & (others != 0)].sum(axis=0)
    assert_close(
        jax.grad(lambda here: jnp.sum(find(finder, here, cell, numbers).squared_distances()[0]))(
            jnp.asarray(positions)
        )[0],
        expected,
        "gradient with respect to an atom's position",
    )

    # Replicas of different cells, after a move, with more room and without.
    stacked, stacked_cells = (np.stack([*arrays], -1) for arrays in (unwrapped, cells))
    stacked_numbers = np.stack([numbers] * n_cells, -1)
    after = stacked + rng.normal(scale=0.3, size=stacked.shape)
    for roomy in (finder, finder.grown()):
        found, overflowed = _find_after_move(
            roomy, *map(jnp.asarray, (stacked, after, stacked_cells, stacked_numbers))
        )
        assert not overflowed
        found = jax.tree.map(np.asarray, found)
        for replica, cell in enumerate(cells):
            assert_same_environments(
                replica_of(found, replica), after[..., replica], cell, numbers, cutoff
            )


def check_sampler(sampler: Any) -> None:
    """``init`` and ``step``, for one structure and for replicas side by side; in `jentmax.run`.

    Args:
        sampler: any object with both.
    """
    traces: list[int] = []
    n_steps, repulsion = 10, ClarkeSmith()

    def counted(environments: Environments) -> Array:
        traces.append(1)
        return repulsion(environments)

    cell = np.diag([6.5, 6.0, 7.0])
    systems = System.stack([random_system(seed, 8, cell * (1 + 0.01 * seed)) for seed in range(3)])
    potential = Potential(smooth, counted, NearestNeighbor(), cutoff=3.0).for_cells(systems)
    keys, weights = jax.random.split(jax.random.key(0), 3), jnp.array([1.0, 2.0, 3.0])

    # In one compiled loop.
    traces.clear()
    end, info = run(potential, sampler, systems, key=keys, steps=n_steps, entropy_weight=weights)
    assert len(traces) == 2, "not one trace for all steps and one for the ends"
    assert all(jnp.all(jnp.isfinite(array)) for array in jax.tree.leaves((end, info)))
    assert jnp.all(end.positions != systems.positions)
    for fixed in ("cell", "numbers", "masses", "pbc"):
        np.testing.assert_array_equal(getattr(end, fixed), getattr(systems, fixed))
    terms = potential.terms(end.positions, end.cell, end.numbers, weights)
    for name in ("energy", "repulsion", "entropy", "least_distance"):
        assert_close(getattr(info, name), getattr(terms, name), f"info of the ends: {name}")
    assert info.temperature.shape == (3,)
    traces.clear()
    again = run(potential, sampler, systems, key=keys, steps=n_steps, entropy_weight=weights)
    _assert_same_bits(again, (end, info), "run again")
    run(potential, sampler, systems, key=keys, steps=4, entropy_weight=2 * weights)
    assert not traces, "traced again for other numbers"
    others = np.array([0, 2, 1])
    beside, _ = run(potential, sampler, systems[others], key=keys[others], steps=n_steps,
                    entropy_weight=weights[others].at[1:].add(1))  # fmt: skip
    _assert_same_bits(beside[0], end[0], "run beside other replicas")

    # By hand, with the keys of `run`.
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    init, step = eqx.filter_jit(sampler.init), eqx.filter_jit(sampler.step)
    state = init(potential, fold_in(keys, 0), systems, weights)
    traces.clear()
    for number in range(1, n_steps + 1):
        before = state.system
        progress = jnp.asarray(number / n_steps)
        state, info = step(potential, fold_in(keys, number), state, progress)
        terms = evaluate(potential, before, weights)
        for name in ("repulsion", "entropy", "least_distance"):
            assert_close(getattr(info, name), getattr(terms, name), f"info: {name}", 1e-9)
        np.testing.assert_array_equal(state.entropy_weight, weights)
        assert not jnp.any(info.overflow)
    assert len(traces) == 2, "not one trace for all steps and one for `evaluate`"
    # Other compile options round otherwise, and rounding errors grow over the steps.
    assert_close(state.system.positions, end.positions, "steps by hand", 1e-8)

    # One structure, and one key for all replicas.
    alone = init(potential, fold_in(keys, 0)[0], systems[0], weights[0])
    for number in range(1, n_steps + 1):
        progress = jnp.asarray(number / n_steps)
        alone, info = step(potential, fold_in(keys, number)[0], alone, progress)
    assert info.energy.shape == ()
    assert_close(alone.system.positions, end.positions[..., 0], "one structure", 1e-8)
    step(potential, keys[0], init(potential, keys[0], systems, 1.0), jnp.asarray(0.5))

    # Types stay.
    single = in_float32(systems)
    state = init(potential, keys, single, in_float32(weights))
    after, info = step(potential, keys, state, jnp.asarray(0.1))
    assert jax.tree.map(_type, after) == jax.tree.map(_type, state), "types change"
    floats = [
        x.dtype for x in jax.tree.leaves((after, info)) if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    assert set(floats) == {np.dtype("float32")}, "float32 does not stay"


def smooth(environments: Environments) -> Array:
    """Three features that are quick to compile; neighbours fade out at 3 Å."""
    squared = environments.squared_distances() / 3.0**2
    fading = jnp.where(environments.mask, (1 - squared) ** 2, 0)
    return jnp.stack([jnp.sum(fading * squared**n, axis=1) for n in range(3)], axis=1)


@eqx.filter_jit
def evaluate(potential: Potential, systems: System, weight: Any) -> Any:
    """V and its parts."""
    return potential.terms(systems.positions, systems.cell, systems.numbers, weight)


def find(
    finder: Finder, positions: Any, cell: Any, numbers: Any, dtype: Any = jnp.float64
) -> Environments:
    """The environments of one structure."""
    return _find(finder, jnp.asarray(positions, dtype), jnp.asarray(cell, dtype), numbers)


@eqx.filter_jit
def _find(finder: Finder, positions: Array, cell: Array, numbers: Any) -> Environments:
    return finder(positions, cell, jnp.asarray(numbers), finder.build(positions, cell))


@eqx.filter_jit
def _find_after_move(
    finder: Finder, before: Array, after: Array, cell: Array, numbers: Array
) -> tuple[Environments, Array]:
    table = finder.updated(finder.build(before, cell), after, cell)
    return finder(after, cell, numbers, table), finder.overflowed(table)


def ase_neighbors(
    positions: ArrayLike, cell: ArrayLike, numbers: ArrayLike, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atoms, neighbours, displacements (Å, shape (n, 3)) and neighbours' numbers, by ASE."""
    positions = np.asarray(positions)
    atoms = ase.Atoms(f"H{len(positions)}", positions, cell=np.asarray(cell), pbc=True)
    i, j, displacements = ase.neighborlist.neighbor_list("ijD", atoms, cutoff)
    return i, j, displacements, np.asarray(numbers)[j]


def assert_same_environments(
    found: Environments,
    positions: ArrayLike,
    cell: ArrayLike,
    numbers: ArrayLike,
    cutoff: float,
    tolerance: float = 1e-10,
) -> None:
    """Compares environments of one structure with ASE's, up to the order of the neighbours.

    The tolerance (Å) is that of displacements; pairs that near to the cutoff may be left out.
    """
    atoms, _, expected, kinds = ase_neighbors(positions, cell, numbers, cutoff + tolerance)
    displacements = np.moveaxis(np.asarray(found.displacements, float), 0, -1)
    mask, kinds_found = np.asarray(found.mask), np.asarray(found.neighbor_numbers)
    np.testing.assert_array_equal(found.numbers, numbers)
    assert np.all(displacements[~mask] == [np.float32(cutoff), 0, 0]) or np.all(
        displacements[~mask] == [cutoff, 0, 0]
    ), "padding is not at the cutoff along x"
    for atom in range(len(mask)):
        here, kinds_here = displacements[atom][mask[atom]], kinds_found[atom][mask[atom]]
        there, kinds_there = expected[atoms == atom], kinds[atoms == atom]
        apart = np.linalg.norm(here[:, None] - there, axis=-1)
        pairs = np.argwhere(apart < tolerance)
        assert len(pairs) == len(here) == len(set(pairs[:, 1])), f"atom {atom}: wrong neighbours"
        missed = np.setdiff1d(np.arange(len(there)), pairs[:, 1])
        assert np.all(np.linalg.norm(there[missed], axis=1) > cutoff - tolerance), (
            f"atom {atom}: {len(here)} neighbours of {len(there)}"
        )
        np.testing.assert_array_equal(kinds_here[pairs[:, 0]], kinds_there[pairs[:, 1]])


def random_rotation(seed: int) -> np.ndarray:
    """A rotation matrix, shape (3, 3)."""
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return matrix * np.sign(np.linalg.det(matrix))


def random_cell(rng: np.random.Generator, least_height: float) -> np.ndarray:
    """A triclinic cell of a given least height (Å), the others up to twice as large."""
    cell = rng.normal(size=(3, 3)) + 0.5 * np.eye(3)
    cell *= (rng.uniform(1, 2, 3) / cell_heights(cell))[:, None]
    return cell * least_height / cell_heights(cell).min()


def random_system(seed: int, n_atoms: int, cell: np.ndarray) -> System:
    """Atoms anywhere in a cell, of a tungsten-like mass."""
    fractional = np.random.default_rng(seed).random((n_atoms, 3))
    return system_of(fractional @ cell, cell, np.full(n_atoms, 74))


def system_of(positions: Any, cell: Any, numbers: Any) -> System:
    """A periodic system with tungsten's masses."""
    return System(
        positions=jnp.asarray(positions),
        cell=jnp.asarray(cell),
        numbers=jnp.asarray(numbers, jnp.int32),
        pbc=jnp.ones(3, bool),
        masses=jnp.full(len(positions), 183.84),
    )


def random_environments(
    seed: int, cutoff: float, elements: tuple[str, ...] = ("W",)
) -> Environments:
    """Environments of six atoms in a cell of the cutoff's size, with some padding."""
    rng = np.random.default_rng(seed)
    cell = random_cell(np.random.default_rng(0), cutoff)
    finder = neighbor_finder(cutoff, 6, cell)
    positions = rng.random((6, 3)) @ cell
    known = np.array([atomic_numbers[symbol] for symbol in elements])
    numbers = known[rng.permutation(np.arange(6) % len(known))]
    return find(finder, positions, cell, numbers)


def padded(environments: Environments) -> Environments:
    """The same environments with more padding."""
    cutoff = jnp.max(environments.displacements[0])
    room = [(0, 0), (0, 3)]
    corner = jnp.zeros((3, 1, 1)).at[0].set(cutoff)
    wider = jnp.broadcast_to(corner, (*environments.displacements.shape[:2], 3))
    return Environments(
        displacements=jnp.concatenate([environments.displacements, wider], axis=2),
        mask=jnp.pad(environments.mask, room),
        numbers=environments.numbers,
        neighbor_numbers=jnp.pad(environments.neighbor_numbers, room),
    )


def reordered(environments: Environments) -> Environments:
    """The same environments with the neighbours in the opposite order."""
    return Environments(
        displacements=environments.displacements[:, :, ::-1],
        mask=environments.mask[:, ::-1],
        numbers=environments.numbers,
        neighbor_numbers=environments.neighbor_numbers[:, ::-1],
    )


def rotated(environments: Environments) -> Environments:
    """The same environments from another side, the padding too."""
    turned = jnp.einsum("xy,yij->xij", random_rotation(0), environments.displacements)
    return eqx.tree_at(lambda e: e.displacements, environments, turned)


def in_float32(tree: Any) -> Any:
    """The same in single precision."""
    return jax.tree.map(
        lambda array: array.astype(jnp.float32) if array.dtype == jnp.float64 else array, tree
    )


def side_by_side(*trees: Any) -> Any:
    """Replicas as the last axis."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays, axis=-1), *trees)


def replica_of(tree: Any, replica: int) -> Any:
    """One of the replicas."""
    return jax.tree.map(lambda array: array[..., replica] if array.ndim else array, tree)


def assert_close(found: Any, expected: Any, what: str, tolerance: float = ROUNDING) -> None:
    """Compares arrays, to a tolerance over the largest expected."""
    largest = float(np.max(np.abs(expected)))
    np.testing.assert_allclose(found, expected, 0, tolerance * largest, err_msg=what)


def _check_gradient(function: Callable[[Environments], Array], here: Environments) -> None:
    """A gradient that is nothing at the padding, and finite wherever the neighbours are."""

    @eqx.filter_jit
    def value_and_slope(environments: Environments) -> tuple[Array, Array]:
        def of(displacements: Array) -> Array:
            return function(eqx.tree_at(lambda e: e.displacements, environments, displacements))

        return jax.value_and_grad(of)(environments.displacements)

    def gradient(environments: Environments) -> np.ndarray:
        value, slope = value_and_slope(environments)
        assert jnp.isfinite(value)
        assert jnp.all(jnp.isfinite(slope))
        return np.asarray(slope)

    assert not np.all(here.mask)
    assert not np.any(gradient(here)[:, ~here.mask]), "a force on the padding"
    assert np.any(gradient(here)), "no force"
    alone = eqx.tree_at(lambda e: e.mask, here, jnp.zeros_like(here.mask))
    assert not np.any(gradient(alone)), "a force without neighbours"
    at_once = eqx.tree_at(
        lambda e: e.displacements, here, jnp.where(here.mask, 0.0, here.displacements)
    )
    gradient(at_once)
    gradient(in_float32(at_once))


def _assert_same_bits(found: Any, expected: Any, what: str) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=what)


def _type(array: Array) -> tuple[Any, ...]:
    return array.dtype, array.shape
