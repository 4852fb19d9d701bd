"""Typical values of the features, from a short preliminary run without entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.errors import JaxRuntimeError
from jax.typing import DTypeLike

from jentmax.build import build_descriptor, build_potential, build_preliminary, n_features
from jentmax.chains import chain_keys, random_start, stacked
from jentmax.config import Settings
from jentmax.config.settings import GivenScaling, PreliminaryScaling
from jentmax.cycles import advance, begin, terms
from jentmax.errors import JentmaxError
from jentmax.memory import is_out_of_memory
from jentmax.sharding import first_devices

_FIRST_CHAIN = 2**30
"""Preliminary chains are numbered from here, apart from those that give structures."""


class Scaling(NamedTuple):
    """Mean and standard deviation of each feature, shape (n_features,); S is that of
    features / scale."""

    shift: np.ndarray
    scale: np.ndarray


def feature_scaling(
    settings: Settings, dtype: DTypeLike, running: Callable[[], None] = lambda: None
) -> Scaling:
    """The scaling that the settings give, or that of a preliminary run at K = 0.

    Snapshots come from the second half of the run, when the random starts are forgotten. With
    several numbers of atoms the first one is taken; densities and aspect ratios are drawn as for
    any chain.

    Args:
        settings: of the run.
        dtype: floating-point type of the run.
        running: called once the preliminary run is compiled and under way.

    Raises:
        JentmaxError: if a feature does not vary, so that it has no scale, or if the run takes more
            memory than the device has.
    """
    given = settings.scaling
    if isinstance(given, GivenScaling):
        expected = n_features(settings)  # known without JAX for the package's own descriptors alone
        if len(given.scale) != expected:
            raise JentmaxError(
                f"scaling.scale has {len(given.scale)} entries for the {expected} features of "
                f'descriptor.kind = "{settings.descriptor.kind}"; give one number above 0 for each'
            )
        return Scaling(np.zeros(len(given.scale)), np.asarray(given.scale))
    try:
        values = _preliminary_features(settings, given, dtype, running)
    except JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise JentmaxError(
            f"scaling.replicas = {given.replicas} structures of system.n_atoms = "
            f"{settings.system.atom_counts()[0]} take more memory than the device has; give fewer "
            'replicas or atoms, or give the scale: scaling.kind = "given"'
        ) from None
    shift, scale = values.mean(axis=0), values.std(axis=0)
    cutoff = build_descriptor(settings).largest_cutoff
    constant = np.flatnonzero(~(scale > 1e-6 * np.abs(shift)))
    if constant.size:
        raise JentmaxError(
            f"descriptor.components: component {constant[0] + 1} is {shift[constant[0]]:g} for "
            "every atom of the preliminary run and so has no scale; check that atoms have "
            f"neighbours within its cutoff = {cutoff:g} Å, or give the "
            'scale: scaling.kind = "given"'
        )
    return Scaling(shift, scale)


def _preliminary_features(
    settings: Settings,
    given: PreliminaryScaling,
    dtype: DTypeLike,
    running: Callable[[], None],
) -> np.ndarray:
    """Features of all atoms of all snapshots, shape (..., n_features)."""
    numbers = len(settings.system.atom_counts())
    first = _FIRST_CHAIN - _FIRST_CHAIN % numbers
    chains = [first + numbers * replica for replica in range(given.replicas)]
    # One device, however many there are: the scale must not depend on them.
    devices = first_devices(1)
    system, weights = stacked([random_start(settings, chain) for chain in chains], dtype)
    potential = build_potential(settings, np.ones(n_features(settings)))
    sampler = build_preliminary(given, potential)
    start_keys, keys = chain_keys(settings.run.seed, chains, [0] * len(chains), 0)
    start_keys, keys, system, weights = devices.split(
        (start_keys, keys, system, np.zeros_like(weights))
    )
    sampler, state = begin(devices, sampler, start_keys, system, weights)
    sampler, state, _ = advance(devices, sampler, keys, state, 0, 0, given.steps)
    running()
    stops = np.linspace(given.steps / 2, given.steps, given.snapshots + 1).astype(int)
    features = []
    step = 0
    for stop in stops:
        sampler, state, _ = advance(devices, sampler, keys, state, step, int(stop), given.steps)
        step = int(stop)
        found = terms(devices, sampler.potential, state).features
        features.append(np.asarray(found)[..., : given.replicas])
    values = np.moveaxis(np.concatenate(features[1:], axis=-1), 1, -1)
    values = values.reshape(-1, values.shape[-1]).astype(np.float64)
    # Features of atoms whose positions are not finite may be: nobody is their neighbour.
    positions = np.asarray(state.system.positions)[..., : given.replicas]
    if not np.all(np.isfinite(values)) or not np.all(np.isfinite(positions)):
        raise JentmaxError(
            "scaling: the preliminary run came to numbers that are not finite; lower "
            f"scaling.timestep = {given.timestep:g} fs or scaling.temperature = "
            f'{given.temperature:g} K, or give the scale: scaling.kind = "given"'
        )
    return values
