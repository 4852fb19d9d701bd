"""Schedules: the fraction of a cycle that is done -> a factor, by which T or K is multiplied.

Any callable of the progress, from 0 to 1, serves, optax's schedules among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array

Schedule = Callable[[ArrayLike], ArrayLike]


def constant(progress: ArrayLike) -> Array:
    """1 throughout."""
    return jnp.ones_like(jnp.asarray(progress))


def linear_up(progress: ArrayLike) -> Array:
    """From 0 to 1; the published one for K (doi:10.1063/5.0013059)."""
    return jnp.asarray(progress)


def linear_down(progress: ArrayLike) -> Array:
    """From 1 to 0; the published one for T (doi:10.1063/5.0013059)."""
    return 1 - jnp.asarray(progress)


def quadratic_up(progress: ArrayLike) -> Array:
    """From 0 to 1 as the square of the progress."""
    return jnp.asarray(progress) ** 2


def quadratic_down(progress: ArrayLike) -> Array:
    """From 1 to 0 as the square of what is left."""
    return (1 - jnp.asarray(progress)) ** 2


def cosine_up(progress: ArrayLike) -> Array:
    """From 0 to 1 along half a cosine."""
    return (1 - jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


def cosine_down(progress: ArrayLike) -> Array:
    """From 1 to 0 along half a cosine."""
    return (1 + jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


def factor(schedule: Schedule, progress: Array, dtype: DTypeLike | None = None) -> Array:
    """A schedule's factor as a number of the progress's type."""
    value: Any = schedule(progress)
    return jnp.asarray(value, dtype or progress.dtype)
