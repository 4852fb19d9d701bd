"""The contract of each kind of part, for every implementation that the package exports."""

import contracts
import pytest

import jentmax.descriptors
import jentmax.entropy
import jentmax.neighbors
import jentmax.repulsion
import jentmax.samplers
from jentmax.component import Component
from jentmax.descriptors import Snap
from jentmax.entropy import (
    Gaussian,
    KernelDensity,
    KthNearestNeighbor,
    NearestNeighbor,
    SoftNearestNeighbor,
    Vendi,
)
from jentmax.neighbors import AllPairs, Finder, NeighborList, neighbor_finder
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import BasinHopping, Descent, Fire, Langevin
from jentmax.system import cell_heights

DESCRIPTORS = {
    "six components": (Snap(3.0, components=6), ("W",)),
    "two elements": (
        Snap(
            3.0,
            2,
            rmin0=0.4,
            weights={"Ni": 0.7, "Al": 1.2},
            radii={"Ni": 0.4},
            chemflag=True,
            elements=("Ni", "Al"),
            components=20,
        ),
        ("Ni", "Al"),
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
    "published": (ClarkeSmith(), ("W",)),
    "two elements": (
        ClarkeSmith(r0={"W": 2.7, "Al": 2.2}, n=9, m=6, epsilon=0.4, cutoff_ratio=1.1),
        ("W", "Al"),
    ),
}
SAMPLERS = {
    "langevin": Langevin(),
    "descent": Descent(noise=0.01),
    "fire": Fire(),
    "basin hopping": BasinHopping(),
}


def all_pairs(cutoff, n_atoms, cells):
    finder = neighbor_finder(cutoff, n_atoms, cells)
    assert isinstance(finder, AllPairs)
    return finder


def neighbor_list(cutoff, n_atoms, cells):
    a, b, c = map(float, cell_heights(cells).min(axis=0))
    return NeighborList(cutoff, (a, b, c), capacity=80, skin=0.4)


FINDERS = {
    "minimum image": (all_pairs, 2.0),
    "periodic images": (all_pairs, 0.5),
    "list in large cells": (neighbor_list, 2.5),
    "list in small cells": (neighbor_list, 0.8),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_descriptor(name):
    descriptor, elements = DESCRIPTORS[name]
    contracts.check_descriptor(
        descriptor, descriptor.n_features, descriptor.largest_cutoff, elements
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator(name):
    contracts.check_estimator(ESTIMATORS[name])


@pytest.mark.parametrize("name", REPULSIONS)
def test_repulsion(name):
    repulsion, elements = REPULSIONS[name]
    contracts.check_repulsion(repulsion, repulsion.cutoff, elements)


@pytest.mark.parametrize("name", FINDERS)
def test_finder(name):
    contracts.check_finder(*FINDERS[name])


@pytest.mark.optimised
@pytest.mark.parametrize(
    "name", ["langevin", *(pytest.param(name, marks=pytest.mark.slow) for name in [*SAMPLERS][1:])]
)
def test_sampler(name):
    contracts.check_sampler(SAMPLERS[name])


def components(room):
    """The components that a room exports."""
    return {
        value
        for value in vars(room).values()
        if isinstance(value, type)
        and issubclass(value, Component)
        and not getattr(value, "__abstractmethods__", None)
        and value is not Component
    }


def test_no_implementation_is_left_out():
    assert components(jentmax.descriptors) == {Snap}
    assert components(jentmax.entropy) == set(map(type, ESTIMATORS.values()))
    assert components(jentmax.repulsion) == {ClarkeSmith}
    assert components(jentmax.samplers) == set(map(type, SAMPLERS.values()))
    finders = {
        value
        for value in vars(jentmax.neighbors).values()
        if isinstance(value, type) and issubclass(value, Finder) and value is not Finder
    }
    assert finders == {AllPairs, NeighborList}


@pytest.mark.parametrize("role", ["descriptor", "entropy", "repulsion"])
def test_components_are_batched(role):
    """They take replicas as the last axis, so `Potential` does not map them."""
    parts = {"descriptor": DESCRIPTORS, "entropy": ESTIMATORS, "repulsion": REPULSIONS}[role]
    assert all((part[0] if isinstance(part, tuple) else part).batched for part in parts.values())
