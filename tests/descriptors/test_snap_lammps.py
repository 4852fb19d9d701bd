"""Snap equals LAMMPS: values and derivatives, stored ones always, fresh ones if LAMMPS runs."""

import functools

import jax
import jax.numpy as jnp
import lammps_snap
import numpy as np
import pytest
import vesin
from lammps_snap import Bispectrum, Case

from jentmax.neighbors import neighbor_finder
from jentmax.system import cell_heights

CASES, STORED = lammps_snap.load()
WHY_NOT = lammps_snap.why_not()

# Of the largest component. Measured: 1e-14 for values and 1e-13 for derivatives, the rounding of
# sums of some hundred products; the rest is room for other compilers and versions of LAMMPS. Any
# difference in convention shows at 1e-3 or more.
TOLERANCE = 1e-9

QUICK = ("paper", "chem-all-flags", "inside-rmin0-two-species", "small-cell", "twojmax-4")
SOME_QUICK = [
    *QUICK,
    *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(CASES.keys() - QUICK)),
]


@functools.cache
def computed(name: str) -> Bispectrum:
    """Snap's result for a case."""
    case = CASES[name]
    snap = lammps_snap.snap(case)
    finder = neighbor_finder(snap.largest_cutoff, len(case.species), case.cell)
    cell, numbers = jnp.asarray(case.cell), jnp.asarray(lammps_snap.atomic_numbers(case))

    def sums(positions):
        features = snap(finder(positions, cell, numbers, None))
        of_kind = jax.nn.one_hot(case.species, len(snap.elements), dtype=features.dtype)
        return of_kind.T @ features, features

    differentiated = jax.jit(jax.jacfwd(sums, has_aux=True))
    derivatives, values = differentiated(jnp.asarray(case.positions))
    return Bispectrum(np.asarray(values), np.moveaxis(np.asarray(derivatives), (2, 3), (0, 1)))


def assert_equal(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(
    "live",
    [False, pytest.param(True, marks=pytest.mark.skipif(bool(WHY_NOT), reason=str(WHY_NOT)))],
)
@pytest.mark.parametrize("name", SOME_QUICK)
def test_equals_lammps(name, live):
    expected = lammps_snap.run_lammps(CASES[name]) if live else STORED[name]
    assert_equal(computed(name).values, expected.values)
    assert_equal(computed(name).derivatives, expected.derivatives)


@pytest.mark.parametrize("components", [pytest.param(1, marks=pytest.mark.slow), 6, 20])
def test_first_components_are_those_of_lammps(components):
    case, expected = CASES["twojmax-8"], STORED["twojmax-8"].values[:, :components]
    snap = lammps_snap.snap(case, components=components)
    finder = neighbor_finder(snap.largest_cutoff, len(case.species), case.cell)
    numbers = jnp.asarray(lammps_snap.atomic_numbers(case))
    actual = jax.jit(snap)(
        finder(jnp.asarray(case.positions), jnp.asarray(case.cell), numbers, None)
    )
    assert_equal(np.asarray(actual), expected)


def neighbors(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of all pairs up to a little beyond their cutoffs, these, and the first atoms."""
    search = vesin.NeighborList(cutoff=1.1 * lammps_snap.snap(case).largest_cutoff, full_list=True)
    first, second, distances = search.compute(case.positions, case.cell, True, "ijd")
    radii = np.array(case.settings["radii"])[case.species]
    return distances, case.settings["cutoff"] * (radii[first] + radii[second]), first


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_what_its_name_says(name):
    """Otherwise a case that lost its point in a new reference file would go on passing."""
    case = CASES[name]
    distances, cutoffs, first = neighbors(case)
    counts = np.bincount(first[distances < cutoffs], minlength=len(case.species))
    within = distances[distances < cutoffs]
    assert np.any(within < case.settings["rmin0"]) == name.startswith("inside-rmin0")
    # A neighbour at the cutoff may count for the one and not for the other; with switching it
    # does not matter, as its weight is nil.
    if not case.settings["switching"]:
        assert np.abs(distances - cutoffs).min() > 1e-6
    off_triangle = np.abs(case.cell - np.tril(case.cell)).max()
    if name.startswith("small"):
        assert cell_heights(case.cell).max() < cutoffs.min()
    if name.startswith("small") or name == "triclinic":
        assert off_triangle > 0.5
    if name in ("paper", "dense", "dilute", "triclinic"):
        assert cell_heights(case.cell).min() > 2 * cutoffs.max()
    if name == "dense":
        assert counts.min() >= 8
        assert counts.mean() >= 15
    if name == "dilute":
        assert counts.min() == 0
        assert counts.max() <= 4
    assert (np.linalg.det(case.cell) < 0) == (name == "small-left-handed-cell")
    assert np.unique(case.species).tolist() == list(range(len(case.settings["weights"])))


def test_the_cases_cover_the_settings():
    settings = [case.settings for case in CASES.values()]
    flags = {
        tuple(each[flag] for flag in ("chemflag", "bnormflag", "wselfallflag", "bzero"))
        for each in settings
    }
    assert {
        (True, *more) for more in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    } <= flags
    assert {(False, 1, 0, 0), (False, 0, 0, 1)} <= flags
    assert {f"twojmax-{twojmax}" for twojmax in range(1, 9)} <= CASES.keys()
    assert any(len(set(each["radii"])) == 3 for each in settings)
    assert {each["rfac0"] for each in settings} == {0.7, 0.99363}
    assert {each["rmin0"] > 0 for each in settings if not each["switching"]} == {False, True}
