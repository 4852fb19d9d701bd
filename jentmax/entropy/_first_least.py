"""The least of many values, and where it is."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array


def first_least(values: Array, index: Array, axis: int) -> tuple[Array, Array]:
    """Least value along an axis, and the first index whose value is that within rounding.

    Two reductions are several times faster than argmin; the tolerance is for values that the
    compiler computes twice and rounds differently.
    """
    least = jnp.min(values, axis=axis, keepdims=True)
    alike = values <= least * (1 + 8 * jnp.finfo(values.dtype).eps)
    last = jnp.iinfo(index.dtype).max
    first = jnp.min(jnp.where(alike, index, last), axis=axis)
    # No match means that the numbers are not finite.
    return jnp.squeeze(least, axis), jnp.where(first == last, 0, first)
