"""Repeated descents, each starting near the best minimum so far."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Real
from typing_extensions import Doc

from jentmax.arrays import AnyKey
from jentmax.fields import AsArray
from jentmax.potential import Potential
from jentmax.samplers._descent import Descent
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    fold_in,
    forces_and_terms,
    guard_overflow,
    info_of,
    normal,
    prepare,
    replica_keys,
    with_positions,
)
from jentmax.system import System


class BasinHoppingState(State):
    """State of `BasinHopping`.

    Attributes:
        best: positions of the lowest minimum of each replica so far, in Å.
        best_energy: V there, in eV.
        number: index of the current descent.
        optimizer: state of the optimiser.
    """

    best: Float[Array, "n_atoms 3 *replicas"]
    best_energy: Float[Array, "*replicas"]
    number: Int[Array, ""]
    optimizer: Any


class BasinHopping(Sampler):
    """Basin hopping (Wales and Doye, doi:10.1021/jp970984n) at zero temperature.

    A cycle consists of several descents. After each descent, the sampler keeps the structure if its
    V is the lowest so far. The next descent starts from the lowest structure, with random
    displacements of all atoms.
    """

    descents: Annotated[ArrayLike, AsArray(), Ge(1), Doc("descents in a cycle")] = 3
    displacement: Annotated[
        ArrayLike, AsArray(), Gt(0), Doc("Å, random shift of each coordinate before a descent")
    ] = 0.3
    step_length: Annotated[
        ArrayLike, AsArray(), Gt(0), Doc("Å, length of the first steps of a descent")
    ] = 0.2

    def init(
        self,
        potential: Potential,
        key: AnyKey,
        systems: System,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    ) -> BasinHoppingState:
        """The state at the start of the first descent; the key is unused."""
        systems, weight, neighbors = prepare(potential, systems, entropy_weight)
        positions = jnp.asarray(systems.positions)
        return BasinHoppingState(
            systems,
            weight,
            neighbors,
            best=jnp.array(positions),  # a copy, since states are donated
            best_energy=jnp.full(weight.shape, jnp.inf, positions.dtype),
            number=jnp.zeros((), jnp.int32),
            optimizer=self._descent().init_optimizer(positions),
        )

    def step(
        self,
        potential: Potential,
        key: AnyKey,
        state: BasinHoppingState,
        progress: Float[ArrayLike, ""],
    ) -> tuple[BasinHoppingState, Info]:
        """A step of a descent, or the hop to the next one; the last step returns to the best."""
        system, positions = state.system, state.system.positions
        progress = jnp.asarray(progress, positions.dtype)
        key = replica_keys(key, system.replicas)
        neighbors = state.neighbors.updated(positions, system.cell)
        forces, terms = forces_and_terms(potential, system, state.entropy_weight, neighbors)
        elapsed = progress * jnp.asarray(self.descents, progress.dtype)  # in descents
        number = jnp.ceil(elapsed).astype(jnp.int32) - 1
        hops, ends = number > state.number, progress >= 1
        lower = (hops | ends) & (terms.energy < state.best_energy)
        best = jnp.where(lower, positions, state.best)
        descent = self._descent()
        going, optimizer = descent.displace(
            key, positions, state.optimizer, forces, elapsed - number.astype(elapsed.dtype)
        )
        random = normal(fold_in(key, 1), positions.shape[:2], positions.dtype)
        displaced = best + jnp.asarray(self.displacement, positions.dtype) * random
        after = BasinHoppingState(
            with_positions(system, jnp.where(ends, best, jnp.where(hops, displaced, going))),
            state.entropy_weight,
            neighbors,
            best=best,
            best_energy=jnp.where(lower, terms.energy, state.best_energy),
            number=number,
            optimizer=jax.tree.map(
                lambda new, going: jnp.where(hops, new, going),
                descent.init_optimizer(positions),
                optimizer,
            ),
        )
        return guard_overflow(state, after), info_of(terms, jnp.zeros_like(terms.energy), neighbors)

    def _descent(self) -> Descent:
        return Descent(step_length=self.step_length)
