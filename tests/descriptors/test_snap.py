"""Snap in closed forms, its labels and fields; test_snap_lammps.py compares it with LAMMPS."""

import numpy as np
import pytest
from snaps import (
    CHEM,
    ELEMENTS,
    ROUNDING,
    SNAPS,
    TWO,
    assert_close,
    compiled,
    features,
    one_neighbor,
    structure,
)

from jentmax.descriptors import Snap
from jentmax.errors import JentmaxError

# Closed forms


@pytest.mark.parametrize(
    ("distance", "rmin0", "self_weight"), [(2.3, 0.0, 1.0), (0.9, 0.0, 0.4), (2.3, 0.6, 1.7)]
)
def test_power_spectrum_of_one_neighbor(distance, rmin0, self_weight):
    """B_j0j = (s + w) (s^2 + w^2 + 2 s w U_j(cos t) / (j + 1)) (j + 1)."""
    snap = Snap(
        cutoff=4.0, twojmax=6, rfac0=0.9, rmin0=rmin0, weights={"Ni": 0.7}, self_weight=self_weight
    )
    share = (distance - rmin0) / (4.0 - rmin0)
    weight = 0.7 * (1 + np.cos(np.pi * share)) / 2
    angle = 0.9 * np.pi * share
    components = dict(zip(snap.labels, compiled(snap, one_neighbor(distance, 4.0))[0], strict=True))
    for j in range(7):
        character = np.sin((j + 1) * angle) / np.sin(angle)
        expected = (self_weight + weight) * (
            (j + 1) * (self_weight**2 + weight**2) + 2 * self_weight * weight * character
        )
        # Of a handful of terms that are a few units large.
        np.testing.assert_allclose(components[j, 0, j], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("chemflag", "wselfallflag", "bnormflag"),
    [(False, False, False), (False, False, True), (True, False, False), (True, True, True)],
)
def test_isolated_atoms(chemflag, wselfallflag, bnormflag):
    """Each atom alone has j + 1 in every component where it counts thrice; bzero removes that."""
    settings = {
        "cutoff": 2.0,
        "twojmax": 2,
        "chemflag": chemflag,
        "wselfallflag": wselfallflag,
        "bnormflag": bnormflag,
        "self_weight": 1.5,
        "weights": {"Al": 0.5},
        "elements": ELEMENTS,
    }
    snap = Snap(**settings)
    positions, cell, numbers = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), 9 * np.eye(3), [28, 13]
    expected = np.array(
        [
            [
                1.5**3 * (1 if bnormflag else label[-1] + 1)
                if not chemflag or wselfallflag or set(label[:3]) == {place}
                else 0
                for label in snap.labels
            ]
            for place in range(2)
        ]
    )
    assert_close(features(snap, positions, cell, numbers), expected)
    without = features(Snap(**settings, bzero=True), positions, cell, numbers)
    np.testing.assert_allclose(without, 0, atol=ROUNDING * expected.max())


def test_explicit_elements_add_up_to_the_common_density():
    arguments = structure()
    common = features(Snap(cutoff=4.0, twojmax=2, **TWO), *arguments)
    explicit = features(Snap(cutoff=4.0, twojmax=2, **CHEM), *arguments)
    assert_close(np.asarray(explicit).reshape(14, 8, 5).sum(axis=1), common)


def test_self_weight_is_relative_to_the_weights():
    arguments = structure()
    snap = Snap(cutoff=4.0, self_weight=0.6, **TWO)
    scaled = Snap(cutoff=4.0, **TWO | {"weights": {"Ni": 0.8 / 0.6, "Al": 1.3 / 0.6}})
    assert_close(features(snap, *arguments), 0.6**3 * features(scaled, *arguments))


def test_a_vanishing_rmin0_is_none():
    """The two ways to the points on the sphere, polynomials and trigonometry, agree."""
    arguments = structure()
    for settings in ({"rfac0": 1.0}, {"rfac0": 0.5, **TWO}):
        polynomials = features(Snap(cutoff=4.0, **settings), *arguments)
        # An rmin0 of 1e-13 Å shifts the angles by as little.
        trigonometry = features(Snap(cutoff=4.0, rmin0=1e-13, **settings), *arguments)
        assert_close(polynomials, trigonometry)


def test_switching_fades_neighbors_out():
    """No jump where a neighbour leaves: components differ by the weight there, about (1e-5)^2."""
    switched, abrupt = Snap(cutoff=4.0), Snap(cutoff=4.0, switching=False)
    inside, outside = one_neighbor(4.0 - 1e-5, 4.0), one_neighbor(4.0 + 1e-5, 4.0)
    assert_close(compiled(switched, inside), compiled(switched, outside), 1e-9)
    assert np.abs(compiled(abrupt, inside) - compiled(abrupt, outside)).max() > 0.5


# Labels


def test_labels_are_in_the_order_of_lammps():
    first = [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 0, 2), (2, 1, 3), (2, 2, 2)]
    assert Snap(cutoff=4.0, twojmax=3).labels == [*first, (3, 0, 3), (3, 2, 3)]
    assert Snap(cutoff=4.0, twojmax=4).labels[:10] == [
        *first,
        *[(2, 2, 4), (3, 0, 3), (3, 1, 4), (3, 2, 3)],
    ]
    assert Snap(cutoff=4.0, twojmax=8).labels[-1] == (8, 8, 8)
    assert Snap(cutoff=4.0, twojmax=8, components=6).labels == first


@pytest.mark.parametrize("twojmax", range(1, 15))
def test_number_of_components(twojmax):
    """The pyramidal numbers, or twice the tetrahedral ones (LAMMPS's manual)."""
    m = twojmax // 2 + 1
    expected = m * (m + 1) * (m + 2) // 3 if twojmax % 2 else m * (m + 1) * (2 * m + 1) // 6
    assert Snap(cutoff=4.0, twojmax=twojmax).n_features == expected


def test_labels_of_explicit_elements():
    snap = Snap(cutoff=4.0, twojmax=1, **CHEM)
    spins = [(0, 0, 0), (1, 0, 1)]
    triples = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    triples += [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
    assert snap.labels == [(*triple, *spin) for triple in triples for spin in spins]
    assert Snap(cutoff=4.0, twojmax=1, components=3, **CHEM).n_features == 3


@pytest.mark.parametrize("chemflag", [False, True])
def test_first_components_are_the_first_of_all(chemflag):
    arguments = structure()
    settings = CHEM if chemflag else TWO
    everything = features(Snap(cutoff=4.0, **settings), *arguments)
    for components in (1, 7):
        snap = Snap(cutoff=4.0, components=components, **settings)
        assert_close(features(snap, *arguments), everything[:, :components])


def test_largest_cutoff_is_that_of_the_largest_atoms():
    # Elements without a radius of their own have 0.5.
    assert Snap(cutoff=4.0, radii={"Al": 0.6}).largest_cutoff == pytest.approx(4.8)
    assert Snap(cutoff=4.0, radii={"Al": 0.4}).largest_cutoff == pytest.approx(4.0)
    small = Snap(cutoff=4.0, radii={"Al": 0.4, "Ni": 0.45}, elements=ELEMENTS)
    assert small.largest_cutoff == pytest.approx(3.6)


# Elements


def test_any_element_is_known_without_a_table():
    """Weight 1 and radius 0.5 are those of every element."""
    positions, cell, _ = structure()
    plain = Snap(cutoff=4.0, twojmax=2)
    expected = features(plain, positions, cell, np.full(14, 74))
    for numbers in (np.arange(1, 15), np.full(14, 118), np.zeros(14, int)):
        np.testing.assert_array_equal(features(plain, positions, cell, numbers), expected)
    told = Snap(cutoff=4.0, twojmax=2, weights={"W": 1.0}, radii={"W": 0.5})
    np.testing.assert_array_equal(features(told, positions, cell, np.arange(1, 15)), expected)


def test_the_order_of_elements_is_that_of_the_densities():
    arguments = structure()
    forward = np.asarray(features(SNAPS["chem"], *arguments)).reshape(14, 2, 2, 2, 5)
    turned = Snap(cutoff=4.0, twojmax=2, bzero=True, **CHEM | {"elements": ELEMENTS[::-1]})
    backward = np.asarray(features(turned, *arguments)).reshape(14, 2, 2, 2, 5)
    assert_close(backward[:, ::-1, ::-1, ::-1], forward)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, ["Snap.cutoff is missing", "a number above 0", "Å"]),
        ({"cutof": 5}, ["Snap.cutof = 5 is unknown", "did you mean cutoff?", "Snap.cutoff is mi"]),
        ({"rcutfac": 5}, ["Snap.rcutfac = 5 is unknown; did you mean cutoff?"]),
        ({"cutoff": -1}, ["Snap.cutoff = -1 is not allowed", "a number above 0"]),
        ({"cutoff": float("nan")}, ["Snap.cutoff = ", "is not allowed"]),
        ({"cutoff": "4"}, ['Snap.cutoff = "4" is not allowed']),
        ({"cutoff": True}, ["Snap.cutoff = true is not allowed"]),
        ({"twojmax": 0}, ["Snap.twojmax = 0 is not allowed", "of at least 1, at most 14"]),
        ({"twojmax": 15}, ["Snap.twojmax = 15 is not allowed"]),
        ({"twojmax": 2.5}, ["Snap.twojmax = 2.5 is not allowed", "a whole number"]),
        ({"components": 9}, ["Snap.components = 9 exceeds the 8 components of twojmax = 3"]),
        ({"components": 0}, ["Snap.components = 0 is not allowed"]),
        ({"rfac0": 1.01}, ["Snap.rfac0 = 1.01 is not allowed", "above 0, at most 1"]),
        ({"rmin0": 4.0}, ["Snap.rmin0 = 4 Å is not below the smallest pair cutoff, 4 Å"]),
        ({"rmin0": 3.5, "radii": {"W": 0.4}}, ["not below the smallest pair cutoff, 3.2 Å"]),
        ({"rmin0": -1}, ["Snap.rmin0 = -1 is not allowed"]),
        ({"switching": 1}, ["Snap.switching = 1 is not allowed", "true or false"]),
        ({"self_weight": -0.1}, ["Snap.self_weight = -0.1 is not allowed"]),
        ({"weights": {"Xx": 1}}, ["Snap.weights = ", "Xx", "by element, such as { W = 1.0 }"]),
        ({"radii": {"W": 0}}, ["Snap.radii = ", "numbers above 0 by element"]),
        ({"radii": 0.5}, ["Snap.radii = 0.5 is not allowed"]),
        ({"chemflag": True}, ["Snap.elements is empty, but chemflag"]),
        ({"chemflag": True, "elements": ["W", "W"]}, ["different element symbols"]),
    ],
)
def test_fields_that_are_not_allowed(settings, parts):
    given = settings if "cutof" in settings or not settings else {"cutoff": 4.0} | settings
    with pytest.raises(JentmaxError) as raised:
        Snap(**given)
    for part in parts:
        assert part in str(raised.value)


def test_too_many_arguments_and_one_twice():
    with pytest.raises(JentmaxError, match=r"Snap takes 14 arguments .*, not 15"):
        Snap(*range(15))
    with pytest.raises(JentmaxError, match=r"Snap\.cutoff is given twice"):
        Snap(4.0, cutoff=4.0)
