"""Schedules: the fraction of a cycle that is done -> a factor between 0 and 1."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

Schedule = Callable[[ArrayLike], Array]


def _rising(shape: Callable[[Array], Array]) -> Schedule:
    return lambda progress: shape(jnp.asarray(progress))


def _falling(shape: Callable[[Array], Array]) -> Schedule:
    return lambda progress: shape(1 - jnp.asarray(progress))


def _cosine(progress: Array) -> Array:
    return (1 - jnp.cos(jnp.pi * progress)) / 2


SCHEDULES: dict[str, Schedule] = {
    "constant": _rising(jnp.ones_like),
    "linear-up": _rising(lambda progress: progress),
    "linear-down": _falling(lambda progress: progress),
    "quadratic-up": _rising(jnp.square),
    "quadratic-down": _falling(jnp.square),
    "cosine-up": _rising(_cosine),
    "cosine-down": _falling(_cosine),
}
"""Schedules by name; "linear-down" for T and "linear-up" for K are the published ones
(doi:10.1063/5.0013059)."""


def number_of(name: str) -> np.ndarray:
    """Number of a schedule, by which `evaluate` knows it."""
    return np.asarray(list(SCHEDULES).index(name), np.int32)


def as_schedule(name: ArrayLike | str) -> ArrayLike:
    """A schedule's number, from its name or itself: for fields that are data."""
    return number_of(name) if isinstance(name, str) else name


def as_number(value: ArrayLike) -> ArrayLike:
    """A number as an array: for fields that are data, which compiled programs do not depend on."""
    return np.asarray(value, float) if isinstance(value, int | float) else value


def evaluate(number: ArrayLike, progress: ArrayLike) -> Array:
    """A schedule whose number is data, so that one compiled program follows them all."""
    return jnp.stack([schedule(progress) for schedule in SCHEDULES.values()])[number]
