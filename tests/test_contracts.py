"""The contract of each seam, for every implementation that the package exports."""

import contracts
import equinox as eqx
import pytest

import jentmax.descriptors
import jentmax.entropy
import jentmax.neighbors
import jentmax.repulsion
import jentmax.samplers
from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.neighbors import AllPairs, NeighborList, neighbor_finder
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import BasinHopping, Descent, Fire, Langevin
from jentmax.system import cell_heights

DESCRIPTORS = {
    "six components": (Snap(3.0, components=6), 1),
    "two species": (
        Snap(3.0, 2, rmin0=0.4, weights=(0.7, 1.2), radii=(0.4, 0.5), chemflag=True, components=20),
        2,
    ),
}
ESTIMATORS = {
    "nearest neighbour": NearestNeighbor(),
    "fourth nearest neighbour": KthNearestNeighbor(),
    "last neighbour": KthNearestNeighbor(k=8),
    "soft nearest neighbour": SoftNearestNeighbor(),
    "kernel density": KernelDensity(),
    "kernel density of given bandwidth": KernelDensity(0.7),
    "adaptive kernel density": KernelDensity("adaptive"),
    "kernel density of QUESTS": KernelDensity(0.7, "quests"),
    "Gaussian": Gaussian(),
    "Vendi": Vendi(),
    "Vendi of order 2": Vendi(order=2.0),
    "Vendi of order 0.5": Vendi(order=0.5),
    "Vendi of order 12": Vendi(order=12.0),
}
REPULSIONS = {
    "published": (ClarkeSmith(), 1),
    "two species": (ClarkeSmith(r0=(2.7, 2.2), n=9, m=6, epsilon=0.4, cutoff_ratio=1.1), 2),
}
SAMPLERS = {
    "langevin": Langevin,
    "descent": Descent,
    "fire": Fire,
    "basin hopping": BasinHopping,
}


def all_pairs(cutoff, n_atoms, cells):
    finder = neighbor_finder(cutoff, n_atoms, cells)
    assert isinstance(finder, AllPairs)
    return finder


def neighbor_list(cutoff, n_atoms, cells):
    heights = cell_heights(cells).min(axis=0)
    return NeighborList(cutoff, tuple(map(float, heights)), capacity=80, skin=0.4)


FINDERS = {
    "minimum image": (all_pairs, 2.0),
    "periodic images": (all_pairs, 0.5),
    "list in large cells": (neighbor_list, 2.5),
    "list in small cells": (neighbor_list, 0.8),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_descriptor(name):
    descriptor, n_species = DESCRIPTORS[name]
    contracts.check_descriptor(
        descriptor, descriptor.n_features, descriptor.largest_cutoff, n_species
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator(name):
    contracts.check_estimator(ESTIMATORS[name])


@pytest.mark.parametrize("name", REPULSIONS)
def test_repulsion(name):
    repulsion, n_species = REPULSIONS[name]
    contracts.check_repulsion(repulsion, repulsion.cutoff, n_species)


@pytest.mark.parametrize("name", FINDERS)
def test_finder(name):
    contracts.check_finder(*FINDERS[name])


@pytest.mark.optimised
@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler(name):
    contracts.check_sampler(SAMPLERS[name])


def exported(room):
    """The modules that can be made which a room exports."""
    return {
        value
        for value in vars(room).values()
        if isinstance(value, type)
        and issubclass(value, eqx.Module)
        and not getattr(value, "__abstractmethods__", None)
    }


def test_no_implementation_is_left_out():
    assert exported(jentmax.descriptors) == {Snap}
    assert exported(jentmax.entropy) == set(map(type, ESTIMATORS.values()))
    assert exported(jentmax.neighbors) == {AllPairs, NeighborList, jentmax.neighbors.Environments}
    assert exported(jentmax.repulsion) == {ClarkeSmith, jentmax.repulsion.Environments}
    assert exported(jentmax.samplers) == {*SAMPLERS.values(), jentmax.samplers.State}
