"""Numbers of samplers are data: one program for all their values."""

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sampling import toys

from jentmax.entropy import NearestNeighbor
from jentmax.fields import fields_of
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import BasinHopping, Descent, Fire, Langevin, run

SAMPLERS = [Langevin, Descent, Fire, BasinHopping]
KINDS = [int, float, np.float64, np.float32, np.int64, np.asarray, jnp.asarray, jnp.float32]


def values():
    """Twenty numbers of all types that numbers may have."""
    return [KINDS[number % len(KINDS)](number + 1) for number in range(20)]


def numbers_of(make):
    return [name for name, field in fields_of(make).items() if field.is_array]


@pytest.fixture
def counted():
    """A potential, and its traces so far."""
    traces, pairs = [], ClarkeSmith()

    def repulsion(environments):
        traces.append(1)
        return pairs(environments)

    potential = Potential(contracts.smooth, repulsion, NearestNeighbor(), cutoff=3.0)
    traces.clear()
    return potential.for_cells(toys(2)), traces


@pytest.mark.parametrize("make", SAMPLERS)
def test_one_trace_for_twenty_values_of_each_number(make, counted):
    potential, traces = counted
    assert len(numbers_of(make)) >= 2
    begun = []

    def init(sampler, *arguments):
        begun.append(1)
        return sampler.init(*arguments)

    init = eqx.filter_jit(init)
    step = eqx.filter_jit(lambda sampler, *arguments: sampler.step(*arguments))
    key, systems = jax.random.key(0), toys(2)
    state = None
    for name in numbers_of(make):
        for value in values():
            sampler = make(**{name: value})
            state = init(sampler, potential, key, systems, 1.0)
            step(sampler, potential, key, state, jnp.asarray(0.5))
    step(make(), potential, key, state, jnp.asarray(0.5))
    assert (len(begun), len(traces)) == (1, 1)


@pytest.mark.parametrize("make", SAMPLERS)
def test_run_compiles_once(make, counted):
    potential, traces = counted
    arguments = {"key": jax.random.key(0), "entropy_weight": 1.0}
    run(potential, make(), toys(2), steps=3, **arguments)
    traces.clear()
    for number, name in enumerate(numbers_of(make)):
        run(potential, make(**{name: 1.5}), toys(2), steps=number + 1, **arguments)
    assert not traces


@pytest.mark.parametrize("make", SAMPLERS)
def test_numbers_are_those_that_were_given(make):
    for name in numbers_of(make):
        for value in values():
            assert float(getattr(make(**{name: value}), name)) == float(value)


def test_numbers_may_be_differentiated_by():
    potential, systems, key = Langevin, toys(1), jax.random.key(0)
    potential = Potential(contracts.smooth, ClarkeSmith(), NearestNeighbor(), cutoff=3.0)
    potential = potential.for_cells(systems)

    def end(timestep):
        sampler = Langevin(timestep=timestep)
        state = sampler.init(potential, key, systems, 1.0)
        return jnp.sum(sampler.step(potential, key, state, 0.5)[0].system.positions ** 2)

    slope, step = jax.grad(end)(1.0), 1e-5
    difference = (end(1 + step) - end(1 - step)) / (2 * step)
    assert slope == pytest.approx(float(difference), rel=1e-5)
