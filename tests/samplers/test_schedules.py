"""Schedules: their ends, their middles, and that they go one way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.config import Settings
from jentmax.schedules import SCHEDULES, evaluate, number_of

MIDDLES = {"linear": 0.5, "quadratic": 0.25, "cosine": 0.5}
QUARTERS = {"linear": 0.25, "quadratic": 0.0625, "cosine": (1 - np.sqrt(0.5)) / 2}


@pytest.mark.parametrize("name", MIDDLES)
def test_up(name):
    rising = SCHEDULES[f"{name}-up"]
    values = rising(jnp.array([0, 0.25, 0.5, 1.0]))
    # Rounding of a cosine.
    np.testing.assert_allclose(values, [0, QUARTERS[name], MIDDLES[name], 1], atol=1e-15)
    assert jnp.all(jnp.diff(rising(jnp.linspace(0, 1, 101))) > 0)


@pytest.mark.parametrize("name", MIDDLES)
def test_down_is_up_backwards(name):
    progress = jnp.linspace(0, 1, 101)
    np.testing.assert_allclose(
        SCHEDULES[f"{name}-down"](progress), SCHEDULES[f"{name}-up"](1 - progress), atol=1e-15
    )


def test_constant():
    np.testing.assert_array_equal(SCHEDULES["constant"](jnp.linspace(0, 1, 5)), jnp.ones(5))


@pytest.mark.parametrize("name", SCHEDULES)
def test_numbers_arrays_and_types(name):
    schedule = SCHEDULES[name]
    assert schedule(0.5).shape == ()
    assert schedule(jnp.float32(0.5)).dtype == jnp.float32
    assert schedule(jnp.zeros((2, 3))).shape == (2, 3)
    np.testing.assert_allclose(jax.jit(schedule)(0.3), schedule(0.3), rtol=1e-15)
    # A number takes the type of what it is multiplied with.
    assert (schedule(0.5) * jnp.ones(2, jnp.float32)).dtype == jnp.float32


def test_settings_allow_these_schedules_and_no_others():
    for field in ("temperature_schedule", "entropy_schedule"):
        annotation = type(Settings().sampler).model_fields[field].annotation
        assert set(annotation.__args__) == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_by_number(name):
    progress = jnp.asarray(0.3)
    assert jax.jit(evaluate)(number_of(name), progress) == SCHEDULES[name](progress)
