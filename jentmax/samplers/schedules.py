"""Schedules: progress of a cycle, from 0 to 1 -> a factor for T, K or a step length.

Any callable of the progress works, including optax's schedules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float

Schedule = Callable[[ArrayLike], ArrayLike]


def constant(progress: ArrayLike) -> Array:
    """Always 1."""
    return jnp.ones_like(jnp.asarray(progress))


def linear_up(progress: ArrayLike) -> Array:
    """From 0 to 1; published for K (doi:10.1063/5.0013059)."""
    return jnp.asarray(progress)


def linear_down(progress: ArrayLike) -> Array:
    """From 1 to 0; published for T (doi:10.1063/5.0013059)."""
    return 1 - jnp.asarray(progress)


def quadratic_up(progress: ArrayLike) -> Array:
    """From 0 to 1 as the square of the progress."""
    return jnp.asarray(progress) ** 2


def quadratic_down(progress: ArrayLike) -> Array:
    """From 1 to 0 as the square of the remaining progress."""
    return (1 - jnp.asarray(progress)) ** 2


def cosine_up(progress: ArrayLike) -> Array:
    """From 0 to 1 along half a cosine."""
    return (1 - jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


def cosine_down(progress: ArrayLike) -> Array:
    """From 1 to 0 along half a cosine."""
    return (1 + jnp.cos(jnp.pi * jnp.asarray(progress))) / 2


def factor(
    schedule: Schedule, progress: Float[Array, ""], dtype: DTypeLike | None = None
) -> Float[Array, ""]:
    """A schedule's factor, in the dtype of the progress."""
    value: Any = schedule(progress)
    return jnp.asarray(value, dtype or progress.dtype)
