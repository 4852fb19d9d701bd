"""Settings -> the objects that they describe."""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jentmax.config import Settings
from jentmax.config.settings import OptaxSampler, OwnCode, PreliminaryScaling, as_range
from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.neighbors import neighbor_finder
from jentmax.own import (
    OwnDescriptor,
    OwnFunction,
    own_descriptor,
    own_estimator,
    own_repulsion,
)
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import (
    ADAM,
    BasinHopping,
    Descent,
    Fire,
    Langevin,
    Sampler,
    named_optimizer,
)
from jentmax.system import tetragonal_cell

Estimator = (
    NearestNeighbor
    | KthNearestNeighbor
    | SoftNearestNeighbor
    | KernelDensity
    | Gaussian
    | Vendi
    | OwnFunction
)

_ESTIMATORS = {
    "nearest-neighbor": NearestNeighbor,
    "kth-nearest-neighbor": KthNearestNeighbor,
    "soft-nearest-neighbor": SoftNearestNeighbor,
    "kernel-density": KernelDensity,
    "gaussian": Gaussian,
    "vendi": Vendi,
}

_SAMPLERS: dict[str, Any] = {
    "langevin": Langevin,
    "fire": Fire,
    "basin-hopping": BasinHopping,
}


def build_descriptor(settings: Settings) -> Snap | OwnDescriptor:
    """The descriptor of the [descriptor] section.

    Raises:
        JentmaxError: if it is one of the user's that cannot be used.
    """
    given, species = settings.descriptor, settings.system.species
    if isinstance(given, OwnCode):
        return own_descriptor(given, len(species))
    return Snap(
        cutoff=given.cutoff,
        twojmax=given.twojmax,
        components=None if given.components == "all" else given.components,
        rfac0=given.rfac0,
        rmin0=given.rmin0,
        switching=given.switching,
        self_weight=given.self_weight,
        bzero=given.bzero,
        weights=given.pair_weights(species),
        radii=given.pair_radii(species),
        chemflag=given.chemflag,
        bnormflag=given.bnormflag,
        wselfallflag=given.wselfallflag,
    )


def n_features(settings: Settings) -> int:
    """Length of an atom's feature vector."""
    return build_descriptor(settings).n_features


def build_estimator(settings: Settings, n_atoms: int) -> Estimator:
    """The estimator of the [entropy] section.

    Args:
        settings: of the run.
        n_atoms: in the cell.

    Raises:
        JentmaxError: as `build_descriptor`.
    """
    given = settings.entropy
    if isinstance(given, OwnCode):
        return own_estimator(given, n_atoms, n_features(settings))
    return _ESTIMATORS[given.kind](**given.model_dump(exclude={"kind"}))


def build_repulsion(settings: Settings) -> ClarkeSmith | OwnFunction:
    """The repulsion of the [repulsion] section.

    Raises:
        JentmaxError: as `build_descriptor`.
    """
    given = settings.repulsion
    if isinstance(given, OwnCode):
        return own_repulsion(given, len(settings.system.species))
    return ClarkeSmith(
        r0=given.pair_r0(settings.system.species),
        epsilon=given.epsilon,
        n=given.n,
        m=given.m,
        cutoff_ratio=given.cutoff_ratio,
    )


def build_potential(settings: Settings, scale: ArrayLike, n_atoms: int | None = None) -> Potential:
    """V for every cell that the settings can draw.

    Args:
        settings: of the run.
        scale: typical value of each feature, shape (n_features,).
        n_atoms: atoms in the cell; by default the first number that the settings ask for.

    Raises:
        JentmaxError: as `build_descriptor`.
    """
    system = settings.system
    n_atoms = system.atom_counts()[0] if n_atoms is None else n_atoms
    descriptor, repulsion = build_descriptor(settings), build_repulsion(settings)
    extremes = itertools.product(as_range(system.density), as_range(system.aspect_ratio))
    cells = np.stack([tetragonal_cell(n_atoms, *extreme) for extreme in extremes])
    return Potential(
        descriptor=descriptor,
        repulsion=repulsion,
        estimator=build_estimator(settings, n_atoms),
        finder=neighbor_finder(max(descriptor.largest_cutoff, repulsion.cutoff), n_atoms, cells),
        scale=jnp.asarray(scale),
    )


def build_sampler(settings: Settings, potential: Potential) -> Sampler:
    """What the [sampler] section describes.

    Raises:
        JentmaxError: if optax has no such optimiser, or it cannot be used.
    """
    given = settings.sampler
    fields = given.model_dump(exclude={"kind", "steps"})
    if isinstance(given, OptaxSampler):
        name, options = fields.pop("optimizer"), fields.pop("options")
        optimizer = named_optimizer(name, tuple(sorted(options.items())))
        return Descent(potential, optimizer, **fields)
    return _SAMPLERS[given.kind](potential, **fields)


def build_quench(settings: Settings, potential: Potential) -> Descent:
    """The descent of the [quench] section."""
    return Descent(potential, ADAM, settings.quench.step_length)


def build_preliminary(given: PreliminaryScaling, potential: Potential) -> Langevin:
    """The dynamics of the [scaling] section's preliminary run."""
    return Langevin(
        potential,
        timestep=given.timestep,
        friction=given.friction,
        temperature=given.temperature,
        temperature_schedule="constant",
        entropy_schedule="constant",
        force_cap=float("inf"),
    )
