"""A user's function of one structure -> one that takes replicas as the last axis too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from jentmax.neighbors import Environments


class OwnFunction(eqx.Module):
    """An estimator or a repulsion.

    Attributes:
        function: of one structure's features or environments, to a number.
        cutoff: of a repulsion, in Å.
    """

    function: Callable[[Any], Array]
    cutoff: float = eqx.field(static=True, default=0.0)

    def __call__(self, given: Any) -> Array:
        """Of each replica."""
        return _of_each(self.function, given)


class OwnDescriptor(eqx.Module):
    """A descriptor.

    Attributes:
        function: of one structure's environments, to features (n_atoms, n_features).
        largest_cutoff: of the environments, in Å.
        n_features: number of features.
    """

    function: Callable[[Environments], Array]
    largest_cutoff: float = eqx.field(static=True)
    n_features: int = eqx.field(static=True)

    @property
    def labels(self) -> list[tuple[int, ...]]:
        """The features' numbers, from 1."""
        return [(number,) for number in range(1, self.n_features + 1)]

    def __call__(self, environments: Environments) -> Array:
        """Features, shape (n_atoms, n_features, *replicas)."""
        return _of_each(self.function, environments)


def _of_each(function: Callable[[Any], Array], given: Any) -> Array:
    ndim = given.species.ndim - 1 if isinstance(given, Environments) else given.ndim - 2
    for _ in range(ndim):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function(given)
