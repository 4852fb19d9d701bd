"""Clarke-Smith by brute force over ASE's distances, in closed form, and at its edges."""

import contracts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.data import atomic_numbers, chemical_symbols
from contracts import ase_neighbors, find, random_cell

from jentmax.errors import JentmaxError
from jentmax.neighbors import Environments, neighbor_finder
from jentmax.repulsion import ClarkeSmith

REPULSIONS = {
    "published": ClarkeSmith(),
    "steeper": ClarkeSmith(r0=2.2, epsilon=0.3, n=12, m=6, cutoff_ratio=1.6),
    "odd exponents": ClarkeSmith(r0=2.2, epsilon=2.0, n=7.5, m=3, cutoff_ratio=1.2),
    "two elements": ClarkeSmith(r0={"W": 2.7, "Al": 1.9}, cutoff_ratio=1.3),
}


def known(repulsion):
    """Atomic numbers of the elements that it knows; tungsten's if it knows any."""
    return np.array([atomic_numbers[symbol] for symbol in repulsion.elements or ("W",)])


def r0_of(repulsion, number):
    return repulsion.r0[chemical_symbols[number]] if repulsion.elements else repulsion.r0


def brute_force(repulsion, positions, cell, numbers):
    """Eq. 3, pair by pair; both (i, j) and (j, i) are among them."""
    atoms, _, displacements, kinds = ase_neighbors(positions, cell, numbers, repulsion.cutoff)
    n, m, energy = repulsion.n, repulsion.m, 0.0
    for atom, displacement, kind in zip(atoms, displacements, kinds, strict=True):
        r, r0 = (
            np.linalg.norm(displacement),
            0.5 * (r0_of(repulsion, numbers[atom]) + r0_of(repulsion, kind)),
        )

        def pair(r, r0=r0):
            return repulsion.epsilon / (n - m) * (m * (r0 / r) ** n - n * (r0 / r) ** m)

        if r < repulsion.cutoff_ratio * r0:
            energy += pair(r) - pair(repulsion.cutoff_ratio * r0)
    return energy


@pytest.mark.parametrize("name", REPULSIONS)
def test_brute_force(name):
    repulsion = REPULSIONS[name]
    rng = np.random.default_rng(0)
    # The second cell is small enough for atoms to meet their own images.
    for least_height in (4.0, 1.8):
        cell = random_cell(rng, least_height)
        positions = rng.random((12, 3)) @ cell
        numbers = rng.choice(known(repulsion), size=12)
        finder = neighbor_finder(4.0, 12, cell)
        found = repulsion(find(finder, positions, cell, numbers))
        expected = brute_force(repulsion, positions, cell, numbers)
        assert expected != 0
        assert found == pytest.approx(expected, rel=1e-11)


def dimer(repulsion, distance, kinds=(74, 74)):
    """Energy of two atoms (eV) at a distance (Å)."""
    direction = jnp.array([2.0, -1.0, 2.0]) / 3
    kinds = jnp.asarray(kinds)
    return repulsion(
        Environments(
            displacements=distance * jnp.stack([direction, -direction], axis=1)[:, :, None],
            mask=jnp.ones((2, 1), bool),
            numbers=kinds,
            neighbor_numbers=kinds[::-1, None],
        )
    )


def test_the_published_parameters():
    published = ClarkeSmith()
    assert published.cutoff == pytest.approx(2.71, rel=1e-15)
    # At r0 a pair has -1 eV before the shift by its energy at 2.71 Å, x^2 - 2 x.
    x = (2.7 / 2.71) ** 4
    assert dimer(published, 2.7) == pytest.approx(-2 * (1 - x) ** 2, rel=1e-10)
    # At half of r0, (256 - 2 * 16) eV.
    assert dimer(published, 1.35) == pytest.approx(2 * (256 - 32 - (x**2 - 2 * x)), rel=1e-12)


@pytest.mark.parametrize("name", REPULSIONS)
def test_slope(name):
    repulsion = REPULSIONS[name]
    r0, n, m = r0_of(repulsion, 74), repulsion.n, repulsion.m
    for distance in np.array([0.4, 0.7, 0.95, 1.002]) * r0:
        ratio = r0 / distance
        expected = 2 * repulsion.epsilon * n * m / (n - m) * (ratio**m - ratio**n) / distance
        slope = jax.grad(lambda r: dimer(repulsion, r))(distance)
        assert slope == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", REPULSIONS)
def test_continuous_at_the_cutoff(name):
    repulsion = REPULSIONS[name]
    cutoff = repulsion.cutoff_ratio * r0_of(repulsion, 74)
    step = 1e-6
    slope = abs(float(jax.grad(lambda r: dimer(repulsion, r))(cutoff - step)))
    # It goes to zero as its slope says, and stays there.
    assert abs(dimer(repulsion, cutoff - step)) == pytest.approx(slope * step, rel=1e-4)
    for beyond in (cutoff + 1e-12, cutoff + 0.1, 50.0):
        assert dimer(repulsion, beyond) == 0
        assert jax.grad(lambda r: dimer(repulsion, r))(beyond) == 0


def test_elements():
    both = ClarkeSmith(r0={"W": 3.0, "Al": 2.0}, cutoff_ratio=1.1)
    assert both.cutoff == pytest.approx(3.3)
    assert both.elements == ("W", "Al")
    for kinds, r0 in (((74, 74), 3.0), ((74, 13), 2.5), ((13, 74), 2.5), ((13, 13), 2.0)):
        alone = ClarkeSmith(r0=r0, cutoff_ratio=1.1)
        assert alone.elements == ()
        for distance in (1.8, 2.3, 2.6, 3.1):
            assert dimer(both, distance, kinds) == pytest.approx(
                float(dimer(alone, distance)), rel=1e-12, abs=1e-14
            )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_atoms_in_one_place(dtype):
    published = ClarkeSmith()
    energies = [dimer(published, jnp.asarray(r, dtype)) for r in (0.0, 1e-3, 2.7e-3)]
    assert all(jnp.isfinite(energy) and energy > 0 for energy in energies)
    # Nearer than a thousandth of r0, at 1e24 eV, it rises no more.
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-12
    assert energies[0] == energies[1] == pytest.approx(float(energies[2]), rel=tolerance)
    assert jax.grad(lambda r: dimer(published, r))(jnp.asarray(0.0, dtype)) == 0


def test_replicas_of_different_elements():
    repulsion = REPULSIONS["two elements"]
    rng = np.random.default_rng(2)
    cell = random_cell(rng, 4.0)
    finder = neighbor_finder(repulsion.cutoff, 6, cell)
    replicas = [
        find(finder, rng.random((6, 3)) @ cell, cell, rng.choice([74, 13], size=6))
        for _ in range(3)
    ]
    found = repulsion(contracts.side_by_side(*replicas))
    np.testing.assert_allclose(found, [repulsion(one) for one in replicas], rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"r0": 0}, "ClarkeSmith.r0 = 0 is not allowed; give a number above 0, or a table"),
        ({"r0": {"W": -1}}, 'ClarkeSmith.r0 = {"W": -1} is not allowed'),
        ({"r0": {}}, "ClarkeSmith.r0 = {} is not allowed"),
        ({"r0": {"Unobtainium": 2.7}}, "ClarkeSmith.r0 = "),
        ({"r0": "2.7"}, 'ClarkeSmith.r0 = "2.7" is not allowed'),
        ({"epsilon": -1}, "ClarkeSmith.epsilon = -1 is not allowed"),
        ({"n": 4, "m": 8}, "ClarkeSmith.m = 8 is not below n = 4"),
        ({"m": 0}, "ClarkeSmith.m = 0 is not allowed"),
        ({"cutoff_ratio": 0.9}, "ClarkeSmith.cutoff_ratio = 0.9 is not allowed"),
        ({"epsilom": 2.5}, "ClarkeSmith.epsilom = 2.5 is unknown; did you mean epsilon?"),
    ],
)
def test_fields_that_are_not_allowed(given, message):
    with pytest.raises(JentmaxError) as raised:
        ClarkeSmith(**given)
    assert message in str(raised.value)
