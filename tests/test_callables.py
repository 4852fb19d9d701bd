"""Callables of users: for one structure, mapped over replicas, and tried before use."""

import dataclasses
import functools

import contracts
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import assert_close

from jentmax.callables import as_descriptor, as_entropy, as_repulsion
from jentmax.descriptors import Snap
from jentmax.entropy import NearestNeighbor
from jentmax.errors import JentmaxError
from jentmax.fields import to_plain
from jentmax.potential import Potential
from jentmax.repulsion import ClarkeSmith
from jentmax.samplers import Langevin, run
from jentmax.system import System

SNAP, PAIRS, NEAREST = Snap(3.6, 2), ClarkeSmith(), NearestNeighbor()


def descriptor(environments):
    assert environments.numbers.ndim == 1
    return SNAP(environments)


def repulsion(environments):
    assert environments.mask.ndim == 2
    return PAIRS(environments)


def entropy(features):
    assert features.ndim == 2
    return NEAREST(features)


class Module(eqx.Module):
    """An equinox module with an array, as a learned function would be."""

    floor: jax.Array

    def __call__(self, features):
        distances = jnp.sum((features[:, None] - features) ** 2, axis=-1)
        distances = jnp.where(jnp.eye(len(features), dtype=bool), jnp.inf, distances)
        least = jnp.maximum(jnp.min(distances, axis=1), self.floor**2)
        return jnp.mean(jnp.log(least)) / 2 + jnp.log(len(features))


@dataclasses.dataclass  # which has no hash
class Plain:
    floor: float = 1e-4

    def __call__(self, features):
        assert features.ndim == 2
        return NearestNeighbor(self.floor)(features)


class WithCutoff:
    """A class whose instances say themselves how far they see."""

    cutoff = 3.6

    def __call__(self, environments):
        assert environments.numbers.ndim == 1
        return SNAP(environments)


def systems(n_replicas=3, n_atoms=9):
    return System.stack(
        [contracts.random_system(seed, n_atoms, np.diag([7.0, 7.5, 8.0])) for seed in range(3)]
    )


BUILT_IN = Potential(SNAP, PAIRS, NEAREST)
POTENTIALS = {
    "functions": Potential(descriptor, repulsion, entropy, cutoff=3.6),
    "objects": Potential(WithCutoff(), PAIRS, Plain()),
    "an equinox module": Potential(SNAP, PAIRS, Module(jnp.asarray(1e-4))),
    "partial functions": Potential(
        functools.partial(descriptor),
        PAIRS,
        functools.partial(NearestNeighbor.__call__, NEAREST),
        cutoff=3.6,
    ),
    "lambdas": Potential(lambda e: SNAP(e), lambda e: PAIRS(e), lambda q: NEAREST(q), cutoff=3.6),
}


SOME_QUICK = [
    pytest.param(name, marks=() if name == "functions" else pytest.mark.slow) for name in POTENTIALS
]


@pytest.mark.parametrize("name", SOME_QUICK)
def test_replicas_equal_single_structures(name):
    potential, together = POTENTIALS[name], systems()
    weights = jnp.array([1.0, 2.0, 3.0])
    fixed = potential.for_cells(together)
    found = contracts.evaluate(fixed, together, weights)
    expected = contracts.evaluate(BUILT_IN.for_cells(together), together, weights)
    for part in ("energy", "repulsion", "entropy", "features", "least_distance"):
        assert_close(getattr(found, part), getattr(expected, part), part, 1e-10)
    for replica, system in enumerate(together):
        alone = contracts.evaluate(fixed, system, weights[replica])
        for part in ("energy", "repulsion", "entropy", "features"):
            there = getattr(found, part)[..., replica]
            assert_close(getattr(alone, part), there, f"{part} of one structure", 1e-10)


@pytest.mark.parametrize("name", SOME_QUICK)
def test_they_run(name):
    together = systems()
    arguments = {"key": jax.random.key(0), "steps": 3, "entropy_weight": 5.0}
    ends, info = run(POTENTIALS[name], Langevin(), together, **arguments)
    expected, _ = run(BUILT_IN, Langevin(), together, **arguments)
    assert_close(ends.positions, expected.positions, "positions", 1e-8)
    assert jnp.all(jnp.isfinite(info.energy))


def test_components_of_the_package_pass_through():
    for make, part in ((as_descriptor, SNAP), (as_repulsion, PAIRS)):
        assert make(part, None) is part
    assert as_entropy(NEAREST, 6) is NEAREST


def test_what_says_batched_passes_through():
    """It takes replicas as the last axis itself, and is not tried."""

    class Batched:
        batched = True
        cutoff = 3.6
        n_features = 5

        def __call__(self, environments):
            assert environments.mask.ndim == 3
            return SNAP(environments)

    potential, together = Potential(Batched(), PAIRS, NEAREST), systems()
    found = contracts.evaluate(potential.for_cells(together), together, 1.0)
    expected = contracts.evaluate(BUILT_IN.for_cells(together), together, 1.0)
    assert_close(found.energy, expected.energy, "V")


def test_a_descriptor_of_ones_own_has_numbered_labels():
    made = as_descriptor(descriptor, 3.6)
    assert (made.cutoff, made.n_features) == (3.6, 5)
    assert made.labels == [(1,), (2,), (3,), (4,), (5,)]
    assert as_descriptor(WithCutoff(), None).cutoff == 3.6
    # Its own cutoff counts, not that of the others.
    assert as_descriptor(WithCutoff(), 5.0).cutoff == 3.6


def test_elements_of_ones_own():
    class Picky(WithCutoff):
        elements = ("Ni", "Al")

        def __call__(self, environments):
            assert environments.numbers.ndim == 1
            return Snap(3.6, 1, chemflag=True, elements=self.elements)(environments)

    potential = Potential(Picky(), PAIRS, NEAREST)
    assert potential.elements == ("Al", "Ni")
    system = systems()[0]
    with pytest.raises(
        JentmaxError, match="numbers contain W, which the potential does not support"
    ):
        potential.energy(system.positions, system.cell, system.numbers)


def test_as_plain_data():
    assert to_plain(POTENTIALS["functions"].entropy) == f"{__name__}:entropy"
    assert to_plain(POTENTIALS["objects"].entropy) == {"kind": f"{__name__}:Plain", "floor": 1e-4}
    assert to_plain(POTENTIALS["objects"].descriptor) == f"{__name__}:WithCutoff"
    assert to_plain(SNAP)["kind"] == "snap"


# Refusals


def each_atom(features):
    return features[:, 0]


def whole(features):
    return jnp.sum(features).astype(int)


def pair(features):
    return jnp.sum(features), 1


def spread(features):
    return jnp.log(jnp.std(features))


def slope(features):
    return jnp.sqrt(jnp.sum((features - jnp.mean(features, axis=0)) ** 2))


def branch(features):
    return jnp.sum(features) if features[0, 0] > 0 else jnp.sum(-features)


def first(features):
    return features[0, 0] ** 2


def neighbors_order(environments):
    mean = jnp.sum(jnp.where(environments.mask, environments.displacements[0], 0), axis=1)
    return mean[:, None] + jnp.where(environments.mask, environments.displacements[1], 0)[:, :1]


def atoms_order(environments):
    return contracts.smooth(environments) * jnp.arange(len(environments.numbers))[:, None]


def flat(environments):
    return jnp.sum(environments.squared_distances(), axis=1)


def padding_in_value(environments):
    return jnp.sum(environments.squared_distances(), axis=1, keepdims=True)


def padding_in_gradient(environments):
    # The value of the padding is 0 wherever it lies at the cutoff; its slope is not.
    return jnp.sum(environments.squared_distances() - 9.0, axis=1, keepdims=True)


def batch_only(environments):
    return jnp.sum(environments.mask, axis=(0, 1, 2)).astype(float)


def unmappable(features):
    return jnp.asarray(np.asarray(features).sum())


class Uncallable:
    """Has no __call__."""


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (
            each_atom,
            ["features of shape (12, 6), returned float64 of shape (12,); return a number"],
        ),
        (whole, ["returned int64 of shape (); return a number, shape ()"]),
        (pair, ["returned tuple; return a number, shape ()"]),
        (branch, ["raised TracerBoolConversionError: "]),
        (spread, ["called with equal scaled features of shape (12, 6), has a value that is not"]),
        (slope, ["equal scaled features", "has a gradient that is not finite"]),
        (first, ["depends on the order of the atoms"]),
        (unmappable, ["raised TracerArrayConversionError"]),
        (Uncallable(), ["is not callable; give a function or an object with __call__"]),
        (3, ["entropy = 3 is not callable"]),
        (None, ["entropy = None is not callable"]),
        (Plain, ["entropy = Plain is a class; give an instance, such as Plain()"]),
        (NearestNeighbor, ["is a class; give an instance, such as NearestNeighbor()"]),
        (lambda: 1.0, ["raised TypeError"]),
    ],
)
def test_an_entropy_that_cannot_be_used(given, parts):
    with pytest.raises(JentmaxError) as raised:
        Potential(Snap(4.0, components=6), PAIRS, given)
    message = str(raised.value)
    assert message.startswith("entropy = ")
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (flat, ["returned float64 of shape (12,); return features, shape (n_atoms, n_features)"]),
        (repulsion, ["returned float64 of shape (); return features"]),
        (padding_in_value, ["depends on padding, where environments.mask is false"]),
        (padding_in_gradient, ["depends on padding"]),
        (neighbors_order, ["depends on the order of the atoms or of their neighbours"]),
        (atoms_order, ["depends on the order of the atoms or of their neighbours"]),
        (Uncallable(), ["is not callable"]),
        (WithCutoff, ["descriptor = WithCutoff is a class; give an instance"]),
    ],
)
def test_a_descriptor_that_cannot_be_used(given, parts):
    with pytest.raises(JentmaxError) as raised:
        Potential(given, PAIRS, NEAREST, cutoff=3.0)
    assert str(raised.value).startswith("descriptor = ")
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (descriptor, ["returned float64 of shape (12, 5); return an energy, shape ()"]),
        (flat, ["returned float64 of shape (12,); return an energy, shape ()"]),
        (lambda e: jnp.sum(e.squared_distances()), ["depends on padding"]),
        (lambda e: 0 * jnp.sum(1 / (e.squared_distances() - 9)), ["not finite"]),
        (lambda e: PAIRS(e) + e.displacements[0, 0, 0], ["depends on the order"]),
        (batch_only, ["raised ValueError"]),
    ],
)
def test_a_repulsion_that_cannot_be_used(given, parts):
    with pytest.raises(JentmaxError) as raised:
        Potential(SNAP, given, NEAREST, cutoff=3.0)
    assert str(raised.value).startswith("repulsion = ")
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.wrong_types
@pytest.mark.parametrize("cutoff", [None, "far", -1.0, True, float("inf")])
def test_functions_of_neighbours_need_a_cutoff(cutoff):
    message = (
        r"descriptor = descriptor takes environments, but its cutoff is .*Potential\(..., cutoff="
    )
    with pytest.raises(JentmaxError, match=message):
        as_descriptor(descriptor, cutoff)
    with pytest.raises(JentmaxError, match="repulsion = repulsion takes environments"):
        Potential(SNAP, repulsion, NEAREST)


def test_the_trial_takes_no_part_in_later_calls():
    """It is one trial for each potential, not one for each copy or call."""
    calls = []

    def counted(features):
        calls.append(1)
        return NEAREST(features)

    potential = Potential(SNAP, PAIRS, counted)
    tried = len(calls)
    assert tried > 0
    potential.for_cells(systems()).with_scale(jnp.ones(5))
    assert len(calls) == tried
