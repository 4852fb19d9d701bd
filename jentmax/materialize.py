"""Telling XLA what to compute once."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array


def materialized(arrays: Sequence[Array]) -> list[Array]:
    """The arrays, each computed once and kept in memory, and so are their cotangents.

    XLA fuses cheap operations into everything that uses them, which computes them again in each.
    It does not do so with concatenations, and the barrier keeps it from looking through this one.
    The cotangents of its parts are concatenated in turn.

    Args:
        arrays: of shapes that agree but in their first axis.
    """
    together = jax.lax.optimization_barrier(jnp.concatenate(arrays))
    return list(jax.lax.split(together, [len(array) for array in arrays]))
