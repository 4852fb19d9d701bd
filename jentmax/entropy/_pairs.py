"""Distances between all environments of a structure."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def squared_distances(
    features: Float[Array, "n_atoms n_features *replicas"],
) -> Float[Array, "n_atoms n_atoms *replicas"]:
    """Squared distances of every two environments, from differences.

    One expression, feature by feature: nothing larger than the result is kept in memory, and small
    distances between large features lose no digits as they do in ``|x|^2 - 2 xy + |y|^2``.
    """
    pairs = (features[:, None, k] - features[None, :, k] for k in range(features.shape[1]))
    return sum((pair**2 for pair in pairs), jnp.zeros((), features.dtype))


def is_itself(
    features: Float[Array, "n_atoms n_features *replicas"],
) -> Bool[Array, "n_atoms n_atoms ..."]:
    """Whether a pair is an environment and itself; broadcasts against all pairs of all replicas."""
    n_atoms = len(features)
    return jnp.eye(n_atoms, dtype=bool).reshape(n_atoms, n_atoms, *[1] * (features.ndim - 2))
