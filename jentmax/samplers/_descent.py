"""Descent to a minimum of V with any optax optimiser."""

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
from jaxtyping import Array, Float, Key, Real
from typing_extensions import Doc

from jentmax.arrays import AnyKey
from jentmax.errors import JentmaxError
from jentmax.fields import Allowed, AsArray, Frozen
from jentmax.modes import in_any_mode
from jentmax.potential import Potential
from jentmax.samplers import schedules
from jentmax.samplers._state import (
    Info,
    Sampler,
    State,
    forces_and_terms,
    guard_overflow,
    info_of,
    normal,
    prepare,
    replica_keys,
    with_positions,
)
from jentmax.samplers.schedules import Schedule, factor
from jentmax.system import System

_ADAM_OPTIONS = Frozen({"b1": 0.5, "b2": 0.9})
"""For Adam: the slope of V changes within a few steps when a nearest neighbour switches."""


@functools.cache
@in_any_mode
def named_optimizer(
    name: str, options: tuple[tuple[str, float], ...] = ()
) -> optax.GradientTransformation:
    """An optax optimiser with a learning rate of 1; equal arguments return the same object.

    Args:
        name: its name in optax.
        options: names and values of its other parameters.

    Raises:
        JentmaxError: optax has no such optimiser, the optimiser has no such parameter, or it needs
            more than forces and positions.
    """
    field, known = f'optimizer = "{name}"', _optimizers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise JentmaxError(
            f"{field} is not an optax optimiser; {hint}give one of {', '.join(known)}"
        )
    make: Any = getattr(optax, name)
    try:
        optimizer = make(1.0, **dict(options))
        place = jax.ShapeDtypeStruct((2, 3), jnp.float32)
        state = jax.eval_shape(optimizer.init, place)
        jax.eval_shape(optimizer.update, place, state, place)
    except Exception as error:  # optax raises errors of many types
        raise JentmaxError(
            f"{field} with options = {dict(options)} fails: {error}; give options among "
            f"{', '.join(_parameters(make))}"
        ) from None
    return optimizer


def _optimizers() -> list[str]:
    return [name for name in dir(optax) if "learning_rate" in _parameters(vars(optax)[name])]


def _parameters(make: Any) -> list[str]:
    """Names of the parameters of a function; an empty list for anything else."""
    return list(inspect.signature(make).parameters) if inspect.isfunction(make) else []


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, str | optax.GradientTransformation)


class DescentState(State):
    """State of `Descent`.

    Attributes:
        optimizer: state of the optimiser of each replica.
    """

    optimizer: Any


class Descent(Sampler):
    """Descent from the current positions, with a scheduled step length.

    V has ridges in its valleys, where the nearest neighbour in descriptor space switches. Line
    searches and momentum methods assume a smooth energy and stall there. The steps of Adam and
    similar optimisers do not depend on the size of the forces, and they shrink with the schedule.
    From random starts, long initial steps or decaying noise carry the atoms over the ridges.

    ``optimizer`` is the name of an optax optimiser, with its ``options`` apart from the learning
    rate, or a gradient transformation with a learning rate of 1. The numerical parameters are
    arrays, so changing their values does not recompile.
    """

    optimizer: Annotated[
        Any,
        Allowed(
            "the name of an optax optimiser, or an optax gradient transformation",
            _is_optimizer,
        ),
        Doc("name in optax"),
    ] = eqx.field(static=True, default="adam")
    options: Annotated[
        Mapping[str, bool | int | float] | None,
        Allowed("a table of numbers, such as { b1 = 0.5, b2 = 0.9 }"),
        Doc("of the optimiser, without its learning rate; default for adam: b1 = 0.5, b2 = 0.9"),
    ] = eqx.field(static=True, default=None)
    step_length: Annotated[
        ArrayLike, AsArray(), Gt(0), Doc("Å, factor for the optimiser's steps")
    ] = 0.2
    step_schedule: Annotated[Schedule, Doc("step length over a cycle")] = schedules.cosine_down
    entropy_schedule: Annotated[Schedule, Doc("K over a cycle")] = schedules.constant
    noise: Annotated[
        ArrayLike, AsArray(), Ge(0), Doc("Å, random shift of each coordinate in every step")
    ] = 0.0
    noise_schedule: Annotated[Schedule, Doc("noise over a cycle")] = schedules.cosine_down

    def __check_init__(self) -> None:
        """Raise an error for an optimiser that optax does not have."""
        _ = self.transformation

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimiser, with a learning rate of 1."""
        if not isinstance(self.optimizer, str):
            if self.options:
                raise JentmaxError(
                    "options are for an optimiser given by name; leave them out, or give the name"
                )
            return self.optimizer
        options = self.options
        if options is None:
            options = _ADAM_OPTIONS if self.optimizer == "adam" else Frozen({})
        return named_optimizer(self.optimizer, tuple(sorted(options.items())))

    def init(
        self,
        potential: Potential,
        key: AnyKey,
        systems: System,
        entropy_weight: Real[ArrayLike, "*#replicas"] | float,
    ) -> DescentState:
        """The state at the start of the descent; the key is unused."""
        systems, weight, neighbors = prepare(potential, systems, entropy_weight)
        return DescentState(systems, weight, neighbors, self.init_optimizer(systems.positions))

    def step(
        self,
        potential: Potential,
        key: AnyKey,
        state: DescentState,
        progress: Float[ArrayLike, ""],
    ) -> tuple[DescentState, Info]:
        """One step of the optimiser, plus a random displacement."""
        system = state.system
        progress = jnp.asarray(progress, system.positions.dtype)
        neighbors = state.neighbors.updated(system.positions, system.cell)
        weight = state.entropy_weight * factor(self.entropy_schedule, progress)
        forces, terms = forces_and_terms(potential, system, weight, neighbors)
        key = replica_keys(key, system.replicas)
        positions, optimizer = self.displace(
            key, system.positions, state.optimizer, forces, progress
        )
        after = DescentState(
            with_positions(system, positions), state.entropy_weight, neighbors, optimizer
        )
        return guard_overflow(state, after), info_of(terms, jnp.zeros_like(terms.energy), neighbors)

    def init_optimizer(self, positions: Float[Array, "n_atoms 3 *replicas"]) -> Any:
        """The initial state of the optimiser."""
        return _for_each_replica(self.transformation.init, positions)(positions)

    def displace(
        self,
        key: Key[Array, "*replicas"],
        positions: Float[Array, "n_atoms 3 *replicas"],
        optimizer: Any,
        forces: Float[Array, "n_atoms 3 *replicas"],
        progress: Float[Array, ""],
    ) -> tuple[Float[Array, "n_atoms 3 *replicas"], Any]:
        """Positions (Å) and optimiser state after one step with these forces (eV/Å)."""
        update = _for_each_replica(self.transformation.update, positions)
        direction, optimizer = update(-forces, optimizer, positions)
        length, noise = (
            jnp.asarray(most, positions.dtype) * factor(schedule, progress)
            for most, schedule in (
                (self.step_length, self.step_schedule),
                (self.noise, self.noise_schedule),
            )
        )
        positions = positions + length * direction
        return positions + noise * normal(key, positions.shape[:2], positions.dtype), optimizer


def _for_each_replica(function: Any, positions: Array) -> Any:
    """A function of an optimiser, mapped over replicas, the last axes."""
    for _ in range(positions.ndim - 2):
        function = jax.vmap(function, in_axes=-1, out_axes=-1)
    return function
