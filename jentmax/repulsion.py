"""Short-range repulsion: environments -> eV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Array, Float
from typing_extensions import Doc

from jentmax.component import Component
from jentmax.errors import JentmaxError
from jentmax.fields import Allowed, NotNegative, Positive, PositivePerElement
from jentmax.neighbors import Environments


class ClarkeSmith(Component):
    """Clarke-Smith pair repulsion, truncated and shifted to zero.

    ``E = sum_i sum_{j != i} E0/(n-m) [m (r0/r)^n - n (r0/r)^m]`` for ``r < cutoff_ratio * r0``,
    counting both (i, j) and (j, i); doi:10.1063/5.0013059, Eq. 3. If r0 is a table by element,
    a pair uses the mean of its two values.
    """

    r0: Annotated[
        Positive | PositivePerElement,
        Allowed(
            "a number above 0, or a table of numbers above 0 by element, such as { W = 2.7 }",
            lambda value: value != {},
        ),
        Doc("Å, distance of the minimum"),
    ] = eqx.field(static=True, default=2.7)
    epsilon: Annotated[NotNegative, Doc("eV, E0")] = eqx.field(static=True, default=1.0)
    n: Annotated[float, Gt(0), Doc("exponent of the repulsive term")] = eqx.field(
        static=True, default=8.0
    )
    m: Annotated[float, Gt(0), Doc("exponent of the attractive term, below n")] = eqx.field(
        static=True, default=4.0
    )
    cutoff_ratio: Annotated[
        float, Ge(1), Doc("cutoff over r0; the energy is truncated and shifted to zero there")
    ] = eqx.field(static=True, default=2.71 / 2.7)

    def __check_init__(self) -> None:
        """Refuse exponents in the wrong order."""
        if self.m >= self.n:
            raise JentmaxError(
                f"ClarkeSmith.m = {self.m:g} is not below n = {self.n:g}; give exponents with "
                "n > m > 0"
            )

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements with a known r0; empty if every element is allowed."""
        return tuple(self.r0) if isinstance(self.r0, Mapping) else ()

    @property
    def cutoff(self) -> float:
        """Distance beyond which atoms do not interact, in Å."""
        r0 = max(self.r0.values()) if isinstance(self.r0, Mapping) else self.r0
        return r0 * self.cutoff_ratio

    def __call__(self, environments: Environments) -> Float[Array, "*replicas"]:
        """Energy of all pairs, in eV."""
        squared = environments.squared_distances()
        if isinstance(self.r0, Mapping):
            table = np.zeros(len(chemical_symbols))
            for symbol, value in self.r0.items():
                table[atomic_numbers[symbol]] = value / 2
            half = jnp.asarray(table, squared.dtype)
            pairs = half[environments.numbers[:, None]] + half[environments.neighbor_numbers]
            r0_squared = jnp.maximum(pairs, 1e-3) ** 2  # 0 for padding and unknown elements
        else:
            r0_squared = jnp.asarray(self.r0**2, squared.dtype)
        edge = self.cutoff_ratio**2
        within = environments.mask & (squared < edge * r0_squared)
        ratio = jnp.where(within, squared / r0_squared, edge)
        shift = self._pair(jnp.asarray(edge, squared.dtype))
        return jnp.sum(self._pair(ratio) - shift, axis=(0, 1))

    def _pair(self, ratio: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Energy of a pair from (r/r0)^2, in eV; distances below 1e-3 r0 count as 1e-3 r0."""
        inverse = 1 / jnp.maximum(ratio, 1e-6)
        terms = self.m * _power(inverse, self.n / 2) - self.n * _power(inverse, self.m / 2)
        return self.epsilon / (self.n - self.m) * terms


def _power(base: Float[Array, "*shape"], exponent: float) -> Float[Array, "*shape"]:
    """A power; a few products if the exponent is an integer."""
    return base ** (int(exponent) if exponent.is_integer() else exponent)
