"""Descent to a minimum of V by any optimiser of optax."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Gt
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from typing_extensions import Doc

from jentmax.errors import JentmaxError
from jentmax.fields import Allowed, AsArray, Frozen
from jentmax.potential import Potential
from jentmax.samplers import schedules
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    begun,
    forces_and_terms,
    moved,
    normal,
    replica_keys,
    taken,
    told,
)
from jentmax.samplers.schedules import Schedule, factor
from jentmax.system import System

_SHORT_MEMORY = Frozen({"b1": 0.5, "b2": 0.9})
"""For Adam: V's slopes change within a few steps, where a nearest neighbour switches."""


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
    field, known = f'optimizer = "{name}"', _optimizers()
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
            f"{field} with options = {dict(options)} cannot be used: {error}; "
            f"it takes {', '.join(_parameters(make))}"
        ) from None
    return optimizer


def _optimizers() -> list[str]:
    return [name for name in dir(optax) if "learning_rate" in _parameters(vars(optax)[name])]


def _parameters(make: Any) -> list[str]:
    """Names of a function's parameters; none if it is no function."""
    return list(inspect.signature(make).parameters) if inspect.isfunction(make) else []


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, str | optax.GradientTransformation)


class DescentState(State):
    """State of `Descent`.

    Attributes:
        optimizer: state of the optimiser, for each replica.
    """

    optimizer: Any


class Descent(Sampler):
    """Descent from wherever the atoms are, by steps whose length follows a schedule.

    V has ridges in its valleys (the nearest neighbour in descriptor space switches there), on
    which line searches and momentum methods that trust the energy's smoothness stall. Steps of
    optimisers such as Adam depend on the forces' history and not on their size, and shrink with
    the schedule. From random starts long first steps, or noise that fades away, carry the atoms
    over the ridges.

    An optimiser of optax is named, with its options beside the learning rate, or given with a
    learning rate of 1. Numbers are data: runs that differ in them share one compiled program.
    """

    optimizer: Annotated[
        Any,
        Allowed(
            "the name of an optimiser in optax, or one of its gradient transformations",
            _is_optimizer,
        ),
        Doc("its name in optax"),
    ] = eqx.field(static=True, default="adam")
    options: Annotated[
        Mapping[str, bool | int | float] | None,
        Allowed("a table of numbers, such as { b1 = 0.5, b2 = 0.9 }"),
        Doc("of the optimiser, beside its learning rate; adam's default is b1 = 0.5, b2 = 0.9"),
    ] = eqx.field(static=True, default=None)
    step_length: Annotated[
        ArrayLike, AsArray(), Gt(0), Doc("Å, what the optimiser's steps are multiplied by")
    ] = 0.2
    step_schedule: Annotated[Schedule, Doc("step length over a cycle")] = schedules.cosine_down
    entropy_schedule: Annotated[Schedule, Doc("K over a cycle")] = schedules.constant
    noise: Annotated[
        ArrayLike, AsArray(), Ge(0), Doc("Å, random displacement of a coordinate in each step")
    ] = 0.0
    noise_schedule: Annotated[Schedule, Doc("noise over a cycle")] = schedules.cosine_down

    def __check_init__(self) -> None:
        """Refuse what optax does not have."""
        _ = self.transformation

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimiser, with a learning rate of 1."""
        if not isinstance(self.optimizer, str):
            if self.options:
                raise JentmaxError(
                    "options belong to an optimiser that is given by its name; leave them out"
                )
            return self.optimizer
        options = self.options
        if options is None:
            options = _SHORT_MEMORY if self.optimizer == "adam" else Frozen({})
        return named_optimizer(self.optimizer, tuple(sorted(options.items())))

    def init(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        systems: System,
        entropy_weight: Float[ArrayLike, "*replicas"],
    ) -> DescentState:
        """The state at the start of the descent; the key is not used."""
        systems, weight, neighbors = begun(potential, systems, entropy_weight)
        return DescentState(systems, weight, neighbors, self.started(systems.positions))

    def step(
        self,
        potential: Potential,
        key: Key[Array, "*replicas"],
        state: DescentState,
        progress: Float[Array, ""],
    ) -> tuple[DescentState, Info]:
        """One displacement by the optimiser, and a random one."""
        system = state.system
        progress = jnp.asarray(progress, system.positions.dtype)
        neighbors = state.neighbors.updated(system.positions, system.cell)
        weight = state.entropy_weight * factor(self.entropy_schedule, progress)
        forces, terms = forces_and_terms(potential, system, weight, neighbors)
        key = replica_keys(key, system.replicas)
        positions, optimizer = self.displaced(
            key, system.positions, state.optimizer, forces, progress
        )
        after = DescentState(moved(system, positions), state.entropy_weight, neighbors, optimizer)
        return taken(state, after), told(terms, jnp.zeros_like(terms.energy), neighbors)

    def started(self, positions: Float[Array, "n_atoms 3 *replicas"]) -> Any:
        """The optimiser's state at the start."""
        return _for_each_replica(self.transformation.init, positions)(positions)

    def displaced(
        self,
        key: Key[Array, "*replicas"],
        positions: Float[Array, "n_atoms 3 *replicas"],
        optimizer: Any,
        forces: Float[Array, "n_atoms 3 *replicas"],
        progress: Float[Array, ""],
    ) -> tuple[Float[Array, "n_atoms 3 *replicas"], Any]:
        """Positions (Å) and the optimiser's state after a step with these forces (eV/Å)."""
        update = _for_each_replica(self.transformation.update, positions)
        direction, optimizer = update(-forces, optimizer, positions)
        length, noise = (
            jnp.asarray(scale, positions.dtype) * factor(schedule, progress)
            for scale, schedule in (
                (self.step_length, self.step_schedule),
                (self.noise, self.noise_schedule),
            )
        )
        positions = positions + length * direction
        return positions + noise * normal(key, positions.shape[:2], positions.dtype), optimizer


def _for_each_replica(function: Any, positions: Array) -> Any:
    """An optimiser's function for replicas as the last axis, none of which sees the others."""
    for _ in range(positions.ndim - 2):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function
