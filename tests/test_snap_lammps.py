"""Snap equals LAMMPS: values and derivatives, stored ones always, fresh ones where LAMMPS runs."""

import functools

import jax
import jax.numpy as jnp
import lammps_snap
import numpy as np
import pytest
from lammps_snap import Bispectrum, Case

from jentmax.descriptors import Snap
from jentmax.neighbors import AllPairs, neighbor_finder
from jentmax.system import cell_heights

CASES, STORED = lammps_snap.load()
WHY_NOT = lammps_snap.why_not()

# Both sum some hundred products of numbers rounded at 1e-16; measured: 1e-14 to 2e-12.
TOLERANCE = 1e-9


def descriptor(case: Case, **changes) -> Snap:
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in (case.settings | changes).items()
    }
    return Snap(**settings)


@functools.cache
def computed(name: str) -> Bispectrum:
    """What Snap makes of a case."""
    case = CASES[name]
    snap = descriptor(case)
    finder = neighbor_finder(snap.largest_cutoff, len(case.species), case.cell)
    cell, species = jnp.asarray(case.cell), jnp.asarray(case.species, jnp.int32)
    n_species = len(snap.weights)

    def sums(positions):
        features = snap(finder(positions, cell, species, None))
        of_kind = jax.nn.one_hot(species, n_species, dtype=features.dtype)
        return of_kind.T @ features, features

    derivatives, values = jax.jit(jax.jacfwd(sums, has_aux=True))(jnp.asarray(case.positions))
    return Bispectrum(np.asarray(values), np.moveaxis(np.asarray(derivatives), (2, 3), (0, 1)))


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_values_equal_stored_ones(name):
    assert_equal(computed(name).values, STORED[name].values)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_equal_stored_ones(name):
    assert_equal(computed(name).derivatives, STORED[name].derivatives)


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("name", CASES)
def test_equals_lammps_as_it_runs_here(name):
    fresh = lammps_snap.run_lammps(CASES[name])
    assert_equal(computed(name).values, fresh.values)
    assert_equal(computed(name).derivatives, fresh.derivatives)


@pytest.mark.parametrize("components", [1, 6, 20])
def test_first_components_are_those_of_lammps(components):
    case, expected = CASES["twojmax-8"], STORED["twojmax-8"].values[:, :components]
    snap = descriptor(case, components=components)
    finder = neighbor_finder(snap.largest_cutoff, len(case.species), case.cell)
    species = jnp.asarray(case.species, jnp.int32)
    actual = jax.jit(snap)(finder(jnp.asarray(case.positions), jnp.asarray(case.cell), species, None))
    assert_equal(np.asarray(actual), expected)


def pairs(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of all neighbours, their pair cutoffs, and how many neighbours each atom has."""
    snap = descriptor(case)
    finder = neighbor_finder(1.1 * snap.largest_cutoff, len(case.species), case.cell)
    species = jnp.asarray(case.species, jnp.int32)
    environments = finder(jnp.asarray(case.positions), jnp.asarray(case.cell), species, None)
    mask = np.asarray(environments.mask)
    distances = np.sqrt(np.asarray(environments.squared_distances()))
    radii = np.array(snap.radii)
    cutoffs = snap.cutoff * (
        radii[np.asarray(environments.species)][:, None]
        + radii[np.asarray(environments.neighbor_species)]
    )
    return distances[mask], cutoffs[mask], np.sum(mask & (distances < cutoffs), axis=1)


def test_the_cases_are_what_their_names_say():
    """Otherwise a case that lost its point in a new reference file would go on passing."""
    counts = {name: pairs(case)[2] for name, case in CASES.items()}
    assert counts["dense"].min() >= 12
    assert counts["dilute"].min() == 0 and counts["dilute"].max() <= 4
    for name, case in CASES.items():
        distances, cutoffs, _ = pairs(case)
        rmin0 = case.settings["rmin0"]
        assert np.any(distances < rmin0) == name.startswith("inside-rmin0"), name
        if not case.settings["switching"]:
            # A neighbour at the cutoff may count for the one and not for the other.
            assert np.abs(distances - cutoffs).min() > 1e-6
        finder = neighbor_finder(descriptor(case).largest_cutoff, len(case.species), case.cell)
        assert isinstance(finder, AllPairs)
        # A second image of a neighbour, or an atom's own, within the cutoff.
        if name.startswith("small"):
            assert cell_heights(case.cell).max() < descriptor(case).largest_cutoff
            assert np.abs(np.triu(case.cell, 1)).min() > 0.1
        if name in ("paper", "dense", "dilute", "triclinic"):
            assert finder.images == (0, 0, 0)
    assert np.linalg.det(CASES["small-left-handed-cell"].cell) < 0
    assert np.abs(np.triu(CASES["triclinic"].cell, 1)).min() > 0.1
    assert {f"twojmax-{twojmax}" for twojmax in range(1, 9)} <= CASES.keys()


def test_the_cases_cover_the_settings():
    chem = {
        tuple(case.settings[flag] for flag in ("bnormflag", "wselfallflag", "bzero"))
        for case in CASES.values()
        if case.settings["chemflag"]
    }
    assert {(False,) * 3, (True, False, False), (False, True, False), (True,) * 3} <= chem
    assert any(len(set(case.settings["radii"])) == 3 for case in CASES.values())
    assert {case.settings["rfac0"] for case in CASES.values()} == {0.7, 0.99363}
