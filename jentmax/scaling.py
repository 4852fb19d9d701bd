"""Typical values of the features, from a short preliminary run without entropy."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from jentmax.build import build_descriptor, build_potential, build_preliminary
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.config.settings import GivenScaling
from jentmax.cycles import advance, begin
from jentmax.errors import JentmaxError
from jentmax.potential import Potential
from jentmax.system import System

_FIRST_CHAIN = 2**30
"""Preliminary chains are numbered from here, apart from those that give structures."""


class Scaling(NamedTuple):
    """Mean and standard deviation of each feature, shape (n_features,); S is that of
    features / scale."""

    shift: np.ndarray
    scale: np.ndarray


def feature_scaling(settings: Settings, dtype: DTypeLike) -> Scaling:
    """The scaling that the settings give, or that of a preliminary run at K = 0.

    Snapshots come from the second half of the run, when the random starts are forgotten. With
    several numbers of atoms the first one is taken; densities and aspect ratios are drawn as for
    any chain.

    Raises:
        JentmaxError: if a feature does not vary, so that it has no scale.
    """
    given = settings.scaling
    n_features = build_descriptor(settings).n_features
    if isinstance(given, GivenScaling):
        return Scaling(np.zeros(n_features), np.asarray(given.scale))
    numbers = len(settings.system.atom_counts())
    first = _FIRST_CHAIN - _FIRST_CHAIN % numbers
    chains = [first + numbers * replica for replica in range(given.replicas)]
    system, weights = stacked([random_start(settings, chain) for chain in chains], dtype)
    potential = build_potential(settings, np.ones(n_features))
    sampler = build_preliminary(settings, given, potential)
    start_keys, keys = chain_keys(settings.run.seed, chains, [0] * len(chains), 0)
    sampler, state = begin(sampler, start_keys, system, jnp.zeros_like(weights))
    stops = np.linspace(given.steps / 2, given.steps, given.snapshots + 1).astype(int)
    features = []
    step = 0
    for stop in stops:
        sampler, state, _ = advance(sampler, keys, state, step, int(stop), given.steps)
        step = int(stop)
        features.append(_features(sampler.potential, state.system))
    values = np.moveaxis(np.concatenate(features[1:], axis=-1), 1, -1).reshape(-1, n_features)
    values = values.astype(np.float64)
    # Features of atoms whose positions are not finite may be: nobody is their neighbour.
    if not np.all(np.isfinite(values)) or not np.all(np.isfinite(state.system.positions)):
        raise JentmaxError(
            "scaling: the preliminary run came to numbers that are not finite; lower "
            f"sampler.timestep = {settings.sampler.timestep:g} fs or scaling.temperature = "
            f'{given.temperature:g} K, or give the scale: scaling.kind = "given"'
        )
    shift, scale = values.mean(axis=0), values.std(axis=0)
    constant = np.flatnonzero(~(scale > 1e-6 * np.abs(shift)))
    if constant.size:
        raise JentmaxError(
            f"descriptor.components: component {constant[0] + 1} is {shift[constant[0]]:g} for "
            "every atom of the preliminary run and so has no scale; check that atoms have "
            f"neighbours within descriptor.cutoff = {settings.descriptor.cutoff:g} Å, or give the "
            'scale: scaling.kind = "given"'
        )
    return Scaling(shift, scale)


@eqx.filter_jit
def _features(potential: Potential, system: System) -> Array:
    return potential.terms(system.positions, system.cell, system.species).features
