"""Distances between all pairs of environments of a structure."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def squared_distances(
    features: Float[Array, "n_atoms n_features *replicas"],
) -> Float[Array, "n_atoms n_atoms *replicas"]:
    """Squared distances between all pairs of environments.

    The sum over features is one expression of differences. It needs no array larger than the
    result, and has no cancellation error as ``|x|^2 - 2 xy + |y|^2`` has.
    """
    pairs = (features[:, None, k] - features[None, :, k] for k in range(features.shape[1]))
    return sum((pair**2 for pair in pairs), jnp.zeros((), features.dtype))


def is_itself(
    features: Float[Array, "n_atoms n_features *replicas"],
) -> Bool[Array, "n_atoms n_atoms *#replicas"]:
    """The diagonal of all pairs, in a shape that broadcasts over replicas."""
    n_atoms = len(features)
    return jnp.eye(n_atoms, dtype=bool).reshape(n_atoms, n_atoms, *[1] * (features.ndim - 2))
