"""Typical values of the features, from a short run without entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from jaxtyping import Array, Key

from jentmax.errors import JentmaxError
from jentmax.generation._fields import FitScale
from jentmax.potential import Potential
from jentmax.samplers import Cycle, Langevin, is_out_of_memory, pinned, schedules
from jentmax.system import System, random_key


def fit_scale(
    potential: Potential, systems: System, *, key: Key[Array, ""], fit: FitScale | None = None
) -> Potential:
    """A copy of the potential that divides each feature by its typical value.

    The typical value is the standard deviation over all atoms in a run at K = 0 and 10,000 K.

    Args:
        potential: the potential.
        systems: starts of the run; it uses at most the first 16 replicas by default.
        key: random key.
        fit: parameters of the run, such as its length, temperature and number of replicas.

    Raises:
        JentmaxError: a feature is constant, or the run needs more memory than the device has.

    >>> import jax, jentmax as jm
    >>> snap = jm.Snap(cutoff=4.0, components=6)
    >>> systems = jm.System.random(jax.random.key(0), "W8", density=0.03, replicas=2)
    >>> potential = jm.fit_scale(
    ...     jm.Potential(snap, jm.ClarkeSmith(), jm.NearestNeighbor()), systems,
    ...     key=jax.random.key(1), fit=jm.FitScale(steps=20))
    >>> potential.scale.shape
    (6,)
    """
    chosen = FitScale() if fit is None else fit
    if not systems.replicas:
        systems = jax.tree.map(lambda array: jnp.asarray(array)[..., None], systems)
    _, scale = typical_features(potential, systems[: chosen.replicas], random_key(key), chosen)
    return potential.with_scale(jnp.asarray(scale, jnp.asarray(systems.positions).dtype))


def typical_features(
    potential: Potential,
    systems: System,
    key: Any,
    fit: FitScale,
    callback: Callable[[float], None] = lambda fraction: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature over a run at K = 0, shape (n_features,).

    Snapshots come from the second half of the run, which no longer depends on the starts. The
    callback receives the completed fraction of the run.
    """
    potential.check(systems)
    try:
        values, finite = _features(potential, systems, key, fit, callback)
    except JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise JentmaxError(
            f"scale.replicas = {len(systems)} structures of {systems.n_atoms} atoms need more "
            "memory than the device has; give fewer replicas or atoms, or give the scale"
        ) from None
    if not finite:
        raise JentmaxError(
            "scale: the run without entropy became non-finite; lower "
            f"scale.timestep = {fit.timestep:g} fs or scale.temperature = {fit.temperature:g} K, "
            "or give the scale"
        )
    shift, scale = values.mean(axis=0), values.std(axis=0)
    constant = np.flatnonzero(~(scale > 1e-6 * np.abs(shift)))
    if constant.size:
        raise JentmaxError(
            f"descriptor: feature {constant[0] + 1} is {shift[constant[0]]:g} for every atom of "
            "the run without entropy, so it has no scale; make sure that atoms have neighbours "
            f"within the cutoff of {potential.cutoff:g} Å, or give the scale"
        )
    return shift, scale


def _features(
    potential: Potential,
    systems: System,
    key: Any,
    fit: FitScale,
    callback: Callable[[float], None],
) -> tuple[np.ndarray, bool]:
    """Features of all atoms of all snapshots, shape (..., n_features); whether all are finite."""
    sampler = Langevin(
        timestep=fit.timestep,
        friction=fit.friction,
        temperature=fit.temperature,
        temperature_schedule=schedules.constant,
        entropy_schedule=schedules.constant,
        force_cap=float("inf"),
    )
    with pinned():
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(systems)))
        known = potential if potential.finder else potential.for_cells(systems)
        cycle = Cycle(known, sampler)
        dtype = jnp.asarray(systems.positions).dtype
        state = cycle.start(keys, systems, jnp.zeros(len(systems), dtype))
        half = np.linspace(0, fit.steps / 2, fit.snapshots + 1).astype(int)[:-1]
        stops = np.linspace(fit.steps / 2, fit.steps, fit.snapshots + 1).astype(int)
        features, step = [], 0
        for stop in [*half.tolist(), *stops.tolist()]:
            if stop > step:
                state, _ = cycle.advance(keys, state, step, stop, fit.steps)
            step = stop
            if stop >= stops[0]:
                _, terms = cycle.ends(state)
                features.append(np.asarray(terms.features, float))
            callback(step / fit.steps)
        # Atoms at non-finite positions have no neighbours, so their features can be finite.
        positions = np.asarray(state.system.positions)
    values = np.moveaxis(np.concatenate(features[1:], axis=-1), 1, -1)
    values = values.reshape(-1, values.shape[-1])
    return values, bool(np.isfinite(values).all() and np.isfinite(positions).all())
