"""What a sampler of a user's must do, checked before it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jentmax.errors import JentmaxError
from jentmax.potential import Potential
from jentmax.samplers._state import Info
from jentmax.system import System

_INIT = (
    "init(potential, key, systems, entropy_weight) gives a state with system, entropy_weight and "
    "neighbors, such as jentmax.State"
)
_STEP = (
    "step(potential, key, state, progress) gives the next state, of the same shapes and types, and "
    "a jentmax.Info"
)


def refuse_no_sampler(sampler: Any) -> None:
    """Raise a JentmaxError for what has no methods of a sampler."""
    if isinstance(sampler, type) or not (hasattr(sampler, "init") and hasattr(sampler, "step")):
        name = sampler.__name__ if isinstance(sampler, type) else type(sampler).__name__
        raise JentmaxError(
            f"sampler = {name} is not allowed; give an object with init and step, such as "
            "Langevin()"
        )


def check_sampler(
    potential: Potential, sampler: Any, keys: Array, systems: System, entropy_weight: Any
) -> None:
    """Refuse a sampler that breaks the contract; nothing is compiled, no step is taken.

    The package's own samplers are not looked at.

    Raises:
        JentmaxError: with what is wrong, and what the contract asks for.
    """
    if type(sampler).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return
    state = _traced(sampler, "init", _INIT, potential, keys, systems, entropy_weight)
    for name in ("system", "entropy_weight", "neighbors"):
        if not hasattr(state, name):
            raise _broken(sampler, f"the state of init has no {name}", _INIT)
    progress = jax.ShapeDtypeStruct((), state.system.positions.dtype)
    result = _traced(sampler, "step", _STEP, potential, keys, state, progress)
    if not isinstance(result, tuple) or len(result) != 2:
        raise _broken(sampler, f"step gives a {type(result).__name__}, not two things", _STEP)
    after, info = result
    for name in Info.__dataclass_fields__:
        if not hasattr(info, name):
            raise _broken(sampler, f"the info of step has no {name}", _STEP)
    before, after = _leaves(state), _leaves(after)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            was, is_now = (some.get(name, "nothing") for some in (before, after))
            raise _broken(sampler, f"state{name} is {was} before step and {is_now} after", _STEP)


def _traced(sampler: Any, method: str, asked: str, *arguments: Any) -> Any:
    """What a method gives, as shapes and types alone."""
    function: Callable[..., Any] = getattr(sampler, method)
    try:
        return eqx.filter_eval_shape(function, *arguments)
    except JentmaxError:
        raise
    except Exception as error:  # the user's code may raise any type
        message = str(error).strip().partition("\n")[0]
        raise _broken(sampler, f"{method}: {type(error).__name__}: {message}", asked) from error


def _broken(sampler: Any, what: str, asked: str) -> JentmaxError:
    return JentmaxError(f"sampler = {type(sampler).__name__}: {what}; {asked}")


def _leaves(state: Any) -> dict[str, str]:
    """Types and shapes of all arrays of a state, by their places."""
    found = jax.tree_util.tree_flatten_with_path(state)[0]
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in found
        if isinstance(leaf, jax.ShapeDtypeStruct | jnp.ndarray)
    }
