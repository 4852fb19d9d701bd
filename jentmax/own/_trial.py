"""What the settings name, tried on something tiny before a run relies on it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from jentmax.config.settings import OwnCode
from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments
from jentmax.own._adapted import OwnDescriptor, OwnFunction
from jentmax.own._load import load_own

_N_ATOMS, _N_NEIGHBORS = 5, 7


def own_estimator(given: OwnCode, n_atoms: int, n_features: int) -> OwnFunction:
    """The estimator that the section [entropy] names.

    Args:
        given: the section.
        n_atoms: that it will be called with.
        n_features: likewise.

    Raises:
        JentmaxError: if it cannot be loaded, or is no function of scaled features, shape (n_atoms,
            n_features), to a number whose value and gradient are finite for different and for
            equal environments.
    """
    return _estimator(*_key(given), n_atoms, n_features)


def own_descriptor(given: OwnCode, n_species: int) -> OwnDescriptor:
    """The descriptor that the section [descriptor] names.

    Its cutoff is its attribute ``largest_cutoff`` or ``cutoff``, that of a plain function its
    parameter ``cutoff``.

    Args:
        given: the section.
        n_species: that there are.

    Raises:
        JentmaxError: if it cannot be loaded, has no cutoff, or is no function of environments to
            features, shape (n_atoms, n_features), with a finite gradient and none at the padding.
    """
    return _descriptor(*_key(given), n_species)


def own_repulsion(given: OwnCode, n_species: int) -> OwnFunction:
    """The repulsion that the section [repulsion] names; its cutoff as for a descriptor.

    Args:
        given: the section.
        n_species: that there are.

    Raises:
        JentmaxError: as for a descriptor, of which the energy is a number.
    """
    return _repulsion(*_key(given), n_species)


def _key(given: OwnCode) -> tuple[str, str]:
    """What tells whether it is the same again: programs are compiled once for each object."""
    return json.dumps(given.model_dump(), default=str), os.getcwd()


# The folder is there for the cache alone: the same name is another module elsewhere.
@functools.lru_cache
def _estimator(text: str, folder: str, n_atoms: int, n_features: int) -> OwnFunction:
    given = OwnCode.model_validate_json(text)
    own = OwnFunction(load_own("entropy", given).function)
    name = f'entropy.kind = "{given.kind}"'
    shape = (n_atoms, n_features)
    features = np.random.default_rng(0).normal(size=shape)
    for what, values in (("", features), ("equal ", np.full(shape, 0.5))):
        called = f"{name}, called with {what}scaled features of shape {shape},"
        _tried(called, own, jnp.asarray(values), (), "a number, shape ()")
    _tried_with_replicas(name, own, jnp.asarray(features))
    return own


@functools.lru_cache
def _descriptor(text: str, folder: str, n_species: int) -> OwnDescriptor:
    given = OwnCode.model_validate_json(text)
    function, cutoff = load_own("descriptor", given)
    name = f'descriptor.kind = "{given.kind}"'
    cutoff = _cutoff(name, cutoff)
    environments = _environments(cutoff, n_species)
    expected = f"features, shape (n_atoms, n_features) = ({_N_ATOMS}, ...)"
    features = _tried(_called(name), function, environments, None, expected)
    own = OwnDescriptor(function, cutoff, features.shape[1])
    _tried_with_replicas(name, own, environments)
    return own


@functools.lru_cache
def _repulsion(text: str, folder: str, n_species: int) -> OwnFunction:
    given = OwnCode.model_validate_json(text)
    function, cutoff = load_own("repulsion", given)
    name = f'repulsion.kind = "{given.kind}"'
    own = OwnFunction(function, _cutoff(name, cutoff))
    environments = _environments(own.cutoff, n_species)
    _tried(_called(name), own, environments, (), "an energy, shape ()")
    _tried_with_replicas(name, own, environments)
    return own


def _called(name: str) -> str:
    return f"{name}, called with environments of {_N_ATOMS} atoms and {_N_NEIGHBORS} neighbours,"


def _cutoff(name: str, found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < np.inf:
        raise JentmaxError(
            f"{name}: its cutoff is {found}; give the class an attribute, or the function a "
            "parameter, `cutoff`: a number above 0, in Å"
        )
    return float(found)


def _environments(cutoff: float, n_species: int) -> Environments:
    """Neighbours at all distances up to the cutoff, two of each atom's being padding."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, _N_ATOMS, _N_NEIGHBORS))
    directions /= np.linalg.norm(directions, axis=0)
    mask = np.broadcast_to(np.arange(_N_NEIGHBORS) < _N_NEIGHBORS - 2, directions.shape[1:])
    corner = np.array([cutoff, 0, 0]).reshape(3, 1, 1)
    distances = cutoff * rng.uniform(0.5, 1, mask.shape)
    species = np.arange(_N_ATOMS) % n_species
    return Environments(
        displacements=jnp.asarray(np.where(mask, distances * directions, corner)),
        mask=jnp.asarray(mask),
        species=jnp.asarray(species, jnp.int32),
        neighbor_species=jnp.asarray(rng.integers(n_species, size=mask.shape), jnp.int32),
    )


def _tried(
    called: str,
    function: Callable[[Any], Array],
    given: Any,
    shape: tuple[int, ...] | None,
    expected: str,
) -> jax.ShapeDtypeStruct:
    """Raise an error unless value and gradient are what they should be.

    Args:
        called: the beginning of the message.
        function: to try.
        given: features or environments.
        shape: of the value; None for features.
        expected: the shape in words.
    """
    found = _or_error(called, jax.eval_shape, function, given)
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise JentmaxError(f"{called} gave {type(found).__name__}; give {expected}")
    right = found.shape == shape
    if shape is None:
        right = len(found.shape) == 2 and found.shape[0] == _N_ATOMS and found.shape[1] > 0
    if not right or not jnp.issubdtype(found.dtype, jnp.floating):
        raise JentmaxError(f"{called} gave {found.dtype} of shape {found.shape}; give {expected}")

    is_environments = isinstance(given, Environments)

    @jax.jit
    def both(values: Array) -> tuple[Array, Array]:
        def total(values: Array) -> tuple[Array, Array]:
            here = values
            if is_environments:
                here = eqx.tree_at(lambda e: e.displacements, given, values)
            result = function(here)
            return jnp.sum(result), result

        (_, result), slope = jax.value_and_grad(total, has_aux=True)(values)
        return result, slope

    value, slope = _or_error(called, both, given.displacements if is_environments else given)
    for what, array in (("value", value), ("gradient", slope)):
        if not _finite(array):
            raise JentmaxError(
                f"{called} has a {what} that is not finite; keep roots and logarithms away from 0"
            )
    if is_environments and np.any(np.asarray(slope)[:, ~np.asarray(given.mask)]):
        raise JentmaxError(
            f"{called} depends on padding, entries where environments.mask is false; leave them "
            "out with jnp.where(environments.mask, ..., 0)"
        )
    return found


def _tried_with_replicas(name: str, function: Callable[[Any], Array], given: Any) -> None:
    """Raise an error unless several structures work side by side."""
    both = jax.tree.map(lambda array: jnp.stack([array, array], axis=-1), given)
    _or_error(f"{name}, called for two structures with jax.vmap,", jax.eval_shape, function, both)


def _or_error(called: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise JentmaxError(f"{called} raised {type(error).__name__}: {first}") from error


def _finite(array: ArrayLike) -> bool:
    return bool(np.all(np.isfinite(np.asarray(array))))
