"""Short-range repulsion: environments -> eV."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jentmax.neighbors import Environments


class ClarkeSmith(eqx.Module):
    """Clarke-Smith pair repulsion, truncated and shifted to zero.

    ``E = sum_i sum_{j != i} E0/(n-m) [m (r0/r)^n - n (r0/r)^m]`` for ``r < cutoff_ratio * r0``,
    counting both (i, j) and (j, i); doi:10.1063/5.0013059, Eq. 3.

    Attributes:
        r0: distance of the minimum per species, in Å; a pair's is the mean of its two.
        epsilon: E0, in eV.
        n: exponent of the repulsive term.
        m: exponent of the attractive term.
        cutoff_ratio: where the energy is cut, over r0.
    """

    r0: tuple[float, ...] = eqx.field(static=True, default=(2.7,))
    epsilon: float = eqx.field(static=True, default=1.0)
    n: float = eqx.field(static=True, default=8.0)
    m: float = eqx.field(static=True, default=4.0)
    cutoff_ratio: float = eqx.field(static=True, default=2.71 / 2.7)

    @property
    def cutoff(self) -> float:
        """Largest distance at which two atoms repel each other, in Å."""
        return max(self.r0) * self.cutoff_ratio

    def __call__(self, environments: Environments) -> Float[Array, "*replicas"]:
        """Energy of all pairs, in eV."""
        squared = environments.squared_distances()
        if len(self.r0) == 1:
            r0_squared = jnp.asarray(self.r0[0] ** 2, squared.dtype)
        else:
            r0 = jnp.asarray(self.r0, squared.dtype)
            r0_squared = (
                (r0[environments.species[:, None]] + r0[environments.neighbor_species]) / 2
            ) ** 2
        edge = self.cutoff_ratio**2
        within = environments.mask & (squared < edge * r0_squared)
        ratio = jnp.where(within, squared / r0_squared, edge)
        shift = self._pair(jnp.asarray(edge, squared.dtype))
        return jnp.sum(self._pair(ratio) - shift, axis=(0, 1))

    def _pair(self, ratio: Array) -> Array:
        """Energy of a pair from (r/r0)^2; a vanishing distance counts as 1e-3 r0."""
        inverse = 1 / jnp.maximum(ratio, 1e-6)
        terms = self.m * _power(inverse, self.n / 2) - self.n * _power(inverse, self.m / 2)
        return self.epsilon / (self.n - self.m) * terms


def _power(base: Array, exponent: float) -> Array:
    """A power; by a few products where the exponent is whole."""
    return base ** (int(exponent) if exponent.is_integer() else exponent)
