"""Entropy of a Gaussian kernel density estimate in descriptor space."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.entropy._pairs import is_itself, squared_distances
from jentmax.fields import Positive


class KernelDensity(Component):
    """``H = -(1/n) sum_j ln p_j``, where p_j is a sum of Gaussian kernels at the environments.

    Convention "density" estimates the differential entropy. The density at each environment comes
    from the other ones (leave-one-out; Ahmad and Lin, doi:10.1109/TIT.1976.1055550):
    ``p_j = 1/(n - 1) sum_{l != j} (2 pi h_l^2)^(-d/2) exp(-|q_j - q_l|^2 / (2 h_l^2))`` in
    d = n_features dimensions. Multiplying all features by a adds about ``d ln a``. Forces are up to
    d times those of `NearestNeighbor`, Eq. 2 of doi:10.1063/5.0013059, so choose a smaller K.

    Convention "quests" is that of QUESTS, doi:10.1038/s41467-025-59232-0, and of
    `jentmax.evaluate`: ``p_j = (1/n) sum_l exp(-|q_j - q_l|^2 / (2 h_l^2))``, which includes l = j
    and uses kernels of height 1. H lies between 0, if all environments are equal, and ln n, if all
    are many bandwidths apart; at ln n the forces vanish. H does not change if all features and the
    bandwidth are multiplied by the same number, so with a bandwidth proportional to the spread it
    only measures the shape of the distribution.

    Bandwidth "silverman" is ``h = s (4 / ((d + 2) n))^(1/(d + 4))`` for all kernels, where s^2 is
    the mean variance of the features in the structure: Silverman, doi:10.1201/9781315140919,
    section 4.3.2. Bandwidth "adaptive" widens kernels where environments are rare,
    ``h_l = h (p_l / g)^(-1/2)``, where p is the density with Silverman's h, including l = j, and g
    its geometric mean: Abramson, doi:10.1214/aos/1176345986. Gradients include the dependence of
    these bandwidths on the features.
    """

    bandwidth: Annotated[
        Positive | Literal["silverman", "adaptive"],
        Doc("in units of the scaled features, or a rule"),
    ] = eqx.field(static=True, default="silverman")
    convention: Annotated[
        Literal["density", "quests"], Doc("differential entropy, or that of QUESTS, 0 to ln n")
    ] = eqx.field(static=True, default="density")
    floor: Annotated[
        Positive, Doc("added in quadrature to a rule's spread, in units of the scaled features")
    ] = eqx.field(static=True, default=1e-4)

    def __call__(
        self, features: Float[Array, "n_atoms n_features *replicas"]
    ) -> Float[Array, "*replicas"]:
        """Entropy in nats."""
        n_atoms, n_features = features.shape[:2]
        squared = squared_distances(features)
        log_bandwidths = self._log_bandwidths(features, squared)
        exponents = -squared * jnp.exp(-2 * log_bandwidths) / 2
        if self.convention == "quests":
            return math.log(n_atoms) - jnp.mean(logsumexp(exponents, axis=1), axis=0)
        heights = exponents - n_features * (log_bandwidths + math.log(2 * math.pi) / 2)
        others = jnp.where(is_itself(features), -jnp.inf, heights)
        return math.log(n_atoms - 1) - jnp.mean(logsumexp(others, axis=1), axis=0)

    def _log_bandwidths(
        self,
        features: Float[Array, "n_atoms n_features *replicas"],
        squared: Float[Array, "n_atoms n_atoms *replicas"],
    ) -> Float[Array, "*#kernels_and_replicas"]:
        """Logarithm of each kernel's bandwidth; it broadcasts to shape (n, n, *replicas)."""
        if not isinstance(self.bandwidth, str):
            return jnp.log(jnp.asarray(self.bandwidth, features.dtype))
        n_atoms, n_features = features.shape[:2]
        variance = jnp.mean(jnp.var(features, axis=0), axis=0) + self.floor**2
        factor = (4 / ((n_features + 2) * n_atoms)) ** (1 / (n_features + 4))
        log_bandwidth = jnp.log(variance) / 2 + math.log(factor)
        if self.bandwidth == "silverman":
            return log_bandwidth
        pilot = logsumexp(-squared * jnp.exp(-2 * log_bandwidth) / 2, axis=1)
        return (log_bandwidth - (pilot - jnp.mean(pilot, axis=0)) / 2)[None]
