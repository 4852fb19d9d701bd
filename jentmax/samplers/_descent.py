"""Descent to a minimum of V by any optimiser of optax."""

from __future__ import annotations

import difflib
import functools
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jentmax.errors import JentmaxError
from jentmax.potential import Potential
from jentmax.samplers._state import Sampler, State, forces_at, moved, normal
from jentmax.schedules import as_number, as_schedule, evaluate
from jentmax.system import System

ADAM = optax.adam(1.0)
"""With optax's own settings."""

FAST_ADAM = optax.adam(1.0, b1=0.5, b2=0.9)
"""With a short memory: V's slopes change within a few steps, where a nearest neighbour switches."""


@functools.cache
def named_optimizer(
    name: str, options: tuple[tuple[str, float], ...] = ()
) -> optax.GradientTransformation:
    """An optimiser of optax with a learning rate of 1; the same one whenever it is asked for.

    Args:
        name: in optax.
        options: its other parameters and their values.

    Raises:
        JentmaxError: if there is no such optimiser, it has no such parameters, or it wants more
            than forces and positions.
    """
    field, known = f'sampler.optimizer = "{name}"', _optimizers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise JentmaxError(
            f"{field} is no optimiser of optax; {hint}give one of {', '.join(known)}"
        )
    make: Any = getattr(optax, name)
    try:
        optimizer = make(1.0, **dict(options))
        place = jax.ShapeDtypeStruct((2, 3), jnp.float32)
        memory = jax.eval_shape(optimizer.init, place)
        jax.eval_shape(optimizer.update, place, memory, place)
    except Exception as error:  # whatever optax makes of them
        raise JentmaxError(
            f"{field} with sampler.options = {dict(options)} cannot be used: {error}; "
            f"it takes {', '.join(_parameters(make))}"
        ) from None
    return optimizer


def _optimizers() -> list[str]:
    return [name for name in dir(optax) if "learning_rate" in _parameters(vars(optax)[name])]


def _parameters(make: Any) -> list[str]:
    """Names of a function's parameters; none where it is no function."""
    return list(inspect.signature(make).parameters) if inspect.isfunction(make) else []


class Descent(Sampler):
    """Descent from wherever the atoms are, by steps whose length follows a schedule.

    V has ridges in its valleys (the nearest neighbour in descriptor space switches there), on
    which line searches and momentum methods that trust the energy's smoothness stall. Steps of
    optimisers such as Adam depend on the forces' history and not on their size, and shrink with
    the schedule. From random starts long first steps, or noise that fades away, carry the atoms
    over the ridges.

    Numbers are data: runs that differ in them share one compiled program.

    Attributes:
        potential: what to minimise.
        optimizer: of optax, with a learning rate of 1; each replica has its own state.
        step_length: what the optimiser's steps are multiplied by: of one whose steps are of order
            1, such as Adam, the displacement of a coordinate, in Å.
        step_schedule: of the step length; a name in `jentmax.schedules.SCHEDULES`; kept as its
            number.
        entropy_schedule: likewise, for K.
        noise: standard deviation of each coordinate's random displacement in a step, in Å.
        noise_schedule: by which it is multiplied.
    """

    potential: Potential
    optimizer: optax.GradientTransformation = eqx.field(static=True, default=FAST_ADAM)
    step_length: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.2)
    step_schedule: Int[ArrayLike, ""] = eqx.field(converter=as_schedule, default="cosine-down")
    entropy_schedule: Int[ArrayLike, ""] = eqx.field(converter=as_schedule, default="constant")
    noise: Float[ArrayLike, ""] = eqx.field(converter=as_number, default=0.0)
    noise_schedule: Int[ArrayLike, ""] = eqx.field(converter=as_schedule, default="cosine-down")

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
            memory=self.start(positions),
        )

    def start(self, positions: Float[Array, "n_atoms 3 *replicas"]) -> Any:
        """The optimiser's state at the start."""
        return _for_each_replica(self.optimizer.init, positions)(positions)

    def step(self, key: Key[Array, "*replicas"], state: State, progress: Float[Array, ""]) -> State:
        """One displacement by the optimiser, and a random one."""
        system, positions = state.system, state.system.positions
        neighbors = self.potential.finder.refreshed(state.neighbors, positions, system.cell)
        weight = state.entropy_weight * evaluate(self.entropy_schedule, progress)
        forces = forces_at(self.potential, positions, system, weight, neighbors)
        return self.after(key, state, neighbors, forces, progress)

    def after(
        self,
        key: Key[Array, "*replicas"],
        state: State,
        neighbors: Any,
        forces: Float[Array, "n_atoms 3 *replicas"],
        progress: Float[Array, ""],
    ) -> State:
        """The state after a step with these forces (eV/Å)."""
        positions = state.system.positions
        update = _for_each_replica(self.optimizer.update, positions)
        direction, memory = update(-forces, state.memory, positions)
        length, noise = (
            jnp.asarray(scale, positions.dtype) * evaluate(schedule, progress)
            for scale, schedule in (
                (self.step_length, self.step_schedule),
                (self.noise, self.noise_schedule),
            )
        )
        positions = positions + length * direction
        positions = positions + noise * normal(key, positions.shape[:2], positions.dtype)
        return State(
            system=moved(state, positions),
            entropy_weight=state.entropy_weight,
            neighbors=neighbors,
            velocities=state.velocities,
            memory=memory,
        )


def _for_each_replica(function: Any, positions: Array) -> Any:
    """An optimiser's function for replicas as the last axis, none of which sees the others."""
    for _ in range(positions.ndim - 2):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function
