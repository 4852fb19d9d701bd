"""Descent to a minimum of V."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jentmax.potential import Potential
from jentmax.samplers._state import Sampler, State, forces_at, moved
from jentmax.system import System


class Quench(Sampler):
    """Descent by Adam with a rate that falls to zero along a cosine.

    V has ridges in its valleys (the nearest neighbour in descriptor space switches there), on
    which line searches and momentum methods that trust the energy's smoothness stall. Adam's steps
    depend on the forces' history and not on their size, and shrink with the rate.

    Attributes:
        potential: what to minimise.
        step_length: displacement of a coordinate in the first step, in Å.
    """

    potential: Potential
    step_length: float = eqx.field(static=True, default=0.05)

    def init(
        self,
        key: Key[Array, "*replicas"],
        system: System,
        entropy_weight: Float[Array, "*replicas"],
    ) -> State:
        """The state at the start of the descent, at rest."""
        positions = system.positions
        return State(
            system=system,
            entropy_weight=entropy_weight,
            neighbors=self.potential.finder.build(positions, system.cell),
            velocities=jnp.zeros_like(positions),
            memory=optax.scale_by_adam().init(positions),
        )

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One displacement along the forces."""
        system = state.system
        neighbors = self.potential.finder.refreshed(state.neighbors, system.positions, system.cell)
        forces = forces_at(
            self.potential, system.positions, system, state.entropy_weight, neighbors
        )
        direction, memory = optax.scale_by_adam().update(forces, state.memory)
        rate = self.step_length * (1 + jnp.cos(jnp.pi * progress)) / 2
        return State(
            system=moved(state, system.positions + rate * jnp.asarray(direction)),
            entropy_weight=state.entropy_weight,
            neighbors=neighbors,
            velocities=state.velocities,
            memory=memory,
        )
