"""The package's own code under JAX's strict modes, which some projects switch on for all code."""

import jax
import jax.numpy as jnp
import pytest

import jentmax as jm

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


SNAP = jm.Snap(3.6, twojmax=2, components=5)
ENTROPIES = [
    jm.NearestNeighbor(),
    jm.KthNearestNeighbor(),
    jm.SoftNearestNeighbor(),
    jm.KernelDensity(),
    jm.Gaussian(),
    jm.Vendi(),
]
SAMPLERS = [jm.Langevin, jm.Descent, jm.Fire, jm.BasinHopping]


def systems(dtype=jnp.float32, formula="W8", **options):
    return jm.System.random(jax.random.key(0), formula, density=0.03, dtype=dtype, **options)


@pytest.mark.parametrize(
    ("entropy", "dtype"),
    [*((one, jnp.float32) for one in ENTROPIES), (ENTROPIES[0], jnp.float64)],
    ids=lambda one: getattr(one, "__name__", type(one).__name__),
)
def test_energy_and_forces(entropy, dtype):
    potential = jm.Potential(SNAP, jm.ClarkeSmith(), entropy, scale=[2, 0.3, 0.5, 1, 0.6])
    system = systems(dtype)
    energy, gradient = jax.value_and_grad(potential.energy)(system.positions, system.cell)
    assert (energy.dtype, gradient.dtype) == (dtype, dtype)
    assert jnp.isfinite(gradient).all()


def test_parts_that_tell_elements_apart():
    snap = jm.Snap(3.5, twojmax=2, weights={"Al": 0.6}, elements=("W", "Al"), chemflag=True)
    repulsion = jm.ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6)
    system = systems(formula="W4Al4")
    potential = jm.Potential(snap, repulsion, jm.NearestNeighbor())
    arguments = system.positions, system.cell, system.numbers
    assert jnp.isfinite(jax.grad(potential.energy)(*arguments)).all()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.__name__)
def test_runs(sampler):
    potential = jm.fit_scale(
        jm.Potential(SNAP, jm.ClarkeSmith(), jm.NearestNeighbor()),
        systems(replicas=2),
        key=jax.random.key(1),
        fit=jm.FitScale(steps=20, replicas=2),
    )
    ends, info = jm.run(
        potential, sampler(), systems(replicas=2), key=jax.random.key(2), steps=10,
        entropy_weight=100.0,
    )  # fmt: skip
    assert jnp.isfinite(info.energy).all()
    assert jnp.isfinite(ends.positions).all()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.__name__)
def test_steps_by_hand(sampler):
    potential = jm.Potential(SNAP, jm.ClarkeSmith(), jm.NearestNeighbor())
    start, own = systems(replicas=2), sampler()
    state = own.init(potential, jax.random.key(1), start, 100.0)
    for k in (1, 2):
        key = jax.random.fold_in(jax.random.key(2), k)
        state, info = own.step(potential, key, state, jnp.asarray(k / 2, jnp.float32))
    assert jnp.isfinite(info.energy).all()


def test_a_list_of_neighbours():
    potential = jm.Potential(SNAP, jm.ClarkeSmith(), jm.NearestNeighbor())
    _, info = jm.run(
        potential, jm.Langevin(), systems(formula="W256", replicas=2), key=jax.random.key(2),
        steps=2, entropy_weight=100.0,
    )  # fmt: skip
    assert jnp.isfinite(info.energy).all()
