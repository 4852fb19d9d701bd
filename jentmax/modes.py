"""JAX's strict modes, which some projects switch on for all code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def in_any_mode(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let a function promote types and ranks, in any mode of JAX.

    Replicas are the last axis and optax mixes types, so the package promotes everywhere. No number
    depends on these modes: strict ones raise.
    """

    @functools.wraps(function)
    def called(*arguments: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return function(*arguments, **named)

    return called
