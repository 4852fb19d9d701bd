"""Descents one after another, each from near the best minimum so far."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key
from typing_extensions import Doc

from jentmax.fields import AsArray
from jentmax.potential import Potential
from jentmax.samplers._descent import Descent
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    begun,
    fold_in,
    forces_and_terms,
    moved,
    normal,
    replica_keys,
    taken,
    told,
)
from jentmax.system import System


class BasinHoppingState(State):
    """State of `BasinHopping`.

    Attributes:
        best: positions of each replica's lowest minimum so far, in Å.
        best_energy: V there, in eV.
        number: of the descent under way.
        optimizer: state of the optimiser.
    """

    best: Float[Array, "n_atoms 3 *replicas"]
    best_energy: Float[Array, "*replicas"]
    number: Int[Array, ""]
    optimizer: Any


class BasinHopping(Sampler):
    """Basin hopping (Wales and Doye, doi:10.1021/jp970984n) without a temperature.

    The cycle is divided into descents. At the end of each the structure is kept if V is lower than
    ever, and the next descent begins from the lowest so far with all atoms displaced at random.
    """

    descents: Annotated[ArrayLike, AsArray(), Ge(1), Doc("descents in a cycle")] = 3
    displacement: Annotated[
        ArrayLike, AsArray(), Gt(0), Doc("Å, random, of a coordinate before each descent")
    ] = 0.3
    step_length: Annotated[ArrayLike, AsArray(), Gt(0), Doc("Å, first steps of a descent")] = 0.2

    def init(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        systems: System,
        entropy_weight: Float[ArrayLike, "*replicas"],
    ) -> BasinHoppingState:
        """The state at the start of the first descent; the key is not used."""
        systems, weight, neighbors = begun(potential, systems, entropy_weight)
        positions = jnp.asarray(systems.positions)
        return BasinHoppingState(
            systems,
            weight,
            neighbors,
            best=jnp.array(positions),  # a copy, since states are donated
            best_energy=jnp.full(weight.shape, jnp.inf, positions.dtype),
            number=jnp.zeros((), jnp.int32),
            optimizer=self._descent().started(positions),
        )

    def step(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        state: BasinHoppingState,
        progress: Float[Array, ""],
    ) -> tuple[BasinHoppingState, Info]:
        """One step of a descent, or the hop to the next one, or at the end back to the best."""
        system, positions = state.system, state.system.positions
        progress = jnp.asarray(progress, positions.dtype)
        key = replica_keys(key, system.replicas)
        neighbors = state.neighbors.updated(positions, system.cell)
        forces, terms = forces_and_terms(potential, system, state.entropy_weight, neighbors)
        share = progress * jnp.asarray(self.descents, progress.dtype)
        number = jnp.ceil(share).astype(jnp.int32) - 1
        hops, ends = number > state.number, progress >= 1
        lower = (hops | ends) & (terms.energy < state.best_energy)
        best = jnp.where(lower, positions, state.best)
        descent = self._descent()
        going, optimizer = descent.displaced(
            key, positions, state.optimizer, forces, share - number.astype(share.dtype)
        )
        random = normal(fold_in(key, 1), positions.shape[:2], positions.dtype)
        displaced = best + jnp.asarray(self.displacement, positions.dtype) * random
        after = BasinHoppingState(
            moved(system, jnp.where(ends, best, jnp.where(hops, displaced, going))),
            state.entropy_weight,
            neighbors,
            best=best,
            best_energy=jnp.where(lower, terms.energy, state.best_energy),
            number=number,
            optimizer=jax.tree.map(
                lambda begun, going: jnp.where(hops, begun, going),
                descent.started(positions),
                optimizer,
            ),
        )
        return taken(state, after), told(terms, jnp.zeros_like(terms.energy), neighbors)

    def _descent(self) -> Descent:
        return Descent(step_length=self.step_length)
