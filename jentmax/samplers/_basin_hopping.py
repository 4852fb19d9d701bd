"""Descents one after another, each from near the best minimum so far."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jentmax.potential import Potential
from jentmax.samplers._descent import Descent
from jentmax.samplers._state import Sampler, State, energy_and_forces_at, fold_in, moved, normal
from jentmax.schedules import as_number
from jentmax.system import System


class _Memory(NamedTuple):
    """A replica's best minimum so far, and the descent under way."""

    positions: Array
    energy: Array
    number: Array  # of the descent
    descent: Any


class BasinHopping(Sampler):
    """Basin hopping (Wales and Doye, doi:10.1021/jp970984n) without a temperature.

    The cycle is divided into descents. At the end of each the structure is kept if V is lower than
    ever, and the next descent begins from the lowest so far with all atoms displaced at random.

    Attributes:
        potential: what to minimise.
        descents: how many.
        displacement: standard deviation of a coordinate's displacement between them, in Å.
        step_length: of the descents' Adam, at their start, in Å.
    """

    potential: Potential
    descents: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=3)
    displacement: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.3)
    step_length: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.2)

    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of the first descent."""
        state = self._descent().init(key, system, entropy_weight)
        memory = _Memory(
            positions=system.positions,
            energy=jnp.full_like(entropy_weight, jnp.inf),
            number=jnp.zeros((), jnp.int32),
            descent=state.memory,
        )
        return dataclasses.replace(state, memory=memory)

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One step of a descent, or the hop to the next one, or at the end back to the best."""
        system, memory, positions = state.system, state.memory, state.system.positions
        neighbors = self.potential.finder.refreshed(state.neighbors, positions, system.cell)
        energy, forces = energy_and_forces_at(
            self.potential, positions, system, state.entropy_weight, neighbors
        )
        share = progress * jnp.asarray(self.descents, progress.dtype)
        number = jnp.ceil(share).astype(jnp.int32) - 1
        hops, ends = number > memory.number, progress >= 1
        kept = (hops | ends) & (energy < memory.energy)
        best = jnp.where(kept, positions, memory.positions)
        descent = self._descent()
        after = descent.after(
            key,
            dataclasses.replace(state, memory=memory.descent),
            neighbors,
            forces,
            share - number.astype(share.dtype),
        )
        random = normal(fold_in(key, 1), positions.shape[:2], positions.dtype)
        displaced = best + jnp.asarray(self.displacement, positions.dtype) * random
        positions = jnp.where(hops, displaced, after.system.positions)
        return dataclasses.replace(
            after,
            system=moved(state, jnp.where(ends, best, positions)),
            memory=_Memory(
                positions=best,
                energy=jnp.where(kept, energy, memory.energy),
                number=number,
                descent=jax.tree.map(
                    lambda begun, going: jnp.where(hops, begun, going),
                    descent.start(system.positions),
                    after.memory,
                ),
            ),
        )

    def _descent(self) -> Descent:
        return Descent(self.potential, step_length=self.step_length)
