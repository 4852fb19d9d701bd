"""Descents one after another, each from near the best minimum so far."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jentmax.potential import Potential
from jentmax.samplers._descent import Descent
from jentmax.samplers._state import Sampler, State, fold_in, moved, normal
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
        return _remembering(
            state,
            _Memory(
                positions=system.positions,
                energy=jnp.full_like(entropy_weight, jnp.inf),
                number=jnp.zeros((), jnp.int32),
                descent=state.memory,
            ),
        )

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One step of the descent under way, after a hop where a new one begins."""
        share = progress * jnp.asarray(self.descents, progress.dtype)
        number = jnp.ceil(share).astype(jnp.int32) - 1
        state = jax.lax.cond(number > state.memory.number, self._hopped, _same, key, state, number)
        memory = state.memory
        descending = _remembering(state, memory.descent)
        after = self._descent().step(key, descending, share - number.astype(share.dtype))
        after = _remembering(after, memory._replace(descent=after.memory))
        return jax.lax.cond(progress >= 1, self._best, _same, key, after, number)

    def _descent(self) -> Descent:
        return Descent(self.potential, step_length=self.step_length)

    def _best(self, key: Key[Array, "*replicas"], state: State, number: Int[Array, ""]) -> State:
        """The better of the state and the best so far, which it becomes."""
        system, memory = state.system, state.memory
        energy = self.potential.energy(
            system.positions, system.cell, system.species, state.entropy_weight
        )
        better = energy < memory.energy
        positions = jnp.where(better, system.positions, memory.positions)
        memory = memory._replace(
            positions=positions, energy=jnp.where(better, energy, memory.energy), number=number
        )
        return dataclasses.replace(state, system=moved(state, positions), memory=memory)

    def _hopped(self, key: Key[Array, "*replicas"], state: State, number: Int[Array, ""]) -> State:
        """The start of a new descent, near the best minimum so far."""
        state = self._best(key, state, number)
        positions = state.system.positions
        random = normal(fold_in(key, 1), positions.shape[:2], positions.dtype)
        displaced = positions + jnp.asarray(self.displacement, positions.dtype) * random
        system = moved(state, displaced)
        begun = self._descent().init(key, system, state.entropy_weight)
        return dataclasses.replace(begun, memory=state.memory._replace(descent=begun.memory))


def _remembering(state: State, memory: Any) -> State:
    return dataclasses.replace(state, memory=memory)


def _same(key: Array, state: State, number: Array) -> State:
    return state
