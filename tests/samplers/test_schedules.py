"""Schedules: their ends, their middles, and that they go one way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jentmax.fields import KINDS, to_plain
from jentmax.samplers import schedules

MIDDLES = {"linear": 0.5, "quadratic": 0.25, "cosine": 0.5}
QUARTERS = {"linear": 0.25, "quadratic": 0.0625, "cosine": (1 - np.sqrt(0.5)) / 2}
NAMES = ["constant", *(f"{name}_{way}" for name in MIDDLES for way in ("up", "down"))]


@pytest.mark.parametrize("name", MIDDLES)
def test_up(name):
    rising = getattr(schedules, f"{name}_up")
    values = rising(jnp.array([0, 0.25, 0.5, 1.0]))
    # Rounding of a cosine.
    np.testing.assert_allclose(values, [0, QUARTERS[name], MIDDLES[name], 1], atol=1e-15)
    assert jnp.all(jnp.diff(rising(jnp.linspace(0, 1, 101))) > 0)


@pytest.mark.parametrize("name", MIDDLES)
def test_down_is_up_backwards(name):
    progress = jnp.linspace(0, 1, 101)
    rising, falling = (getattr(schedules, f"{name}_{way}") for way in ("up", "down"))
    np.testing.assert_allclose(falling(progress), rising(1 - progress), atol=1e-15)


def test_constant():
    np.testing.assert_array_equal(schedules.constant(jnp.linspace(0, 1, 5)), jnp.ones(5))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_arrays_and_types(name):
    schedule = getattr(schedules, name)
    assert schedule(0.5).shape == ()
    assert schedule(jnp.float32(0.5)).dtype == jnp.float32
    assert schedule(jnp.zeros((2, 3))).shape == (2, 3)
    np.testing.assert_allclose(jax.jit(schedule)(0.3), schedule(0.3), rtol=1e-15)
    # A number takes the type of what it is multiplied with.
    assert (schedule(0.5) * jnp.ones(2, jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_short_name_for_files(name):
    kind = name.replace("_", "-")
    assert KINDS[kind] == f"jentmax.samplers.schedules:{name}"
    assert to_plain(getattr(schedules, name)) == kind


@pytest.mark.parametrize("given", [lambda progress: 2, lambda progress: np.float64(2)])
def test_a_factor_has_the_type_of_the_progress(given):
    found = schedules.factor(given, jnp.asarray(0.5, jnp.float32))
    assert (found.dtype, float(found)) == (jnp.float32, 2.0)
