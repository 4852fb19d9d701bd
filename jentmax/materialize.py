"""Make XLA compute intermediate arrays only once."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def materialized(arrays: Sequence[Shaped[Array, "_ *shape"]]) -> list[Shaped[Array, "_ *shape"]]:
    """The same arrays; XLA computes each of them, and each cotangent, once and stores it.

    XLA fuses cheap operations into every operation that uses them, and so computes them several
    times. It does not fuse concatenations, and the barrier keeps it from optimising this one away.
    The backward pass concatenates the cotangents in the same way.

    Args:
        arrays: their shapes may differ in the first axis only.
    """
    together = jax.lax.optimization_barrier(jnp.concatenate(arrays))
    return list(jax.lax.split(together, [len(array) for array in arrays]))
