"""Descriptors of published sets, against neighbours from ASE."""

import dataclasses

import ase
import ase.build
import ase.io
import ase.neighborlist
import numpy as np
import pytest
from describing import (
    PAPER,
    REAL,
    assert_close,
    by_ase,
)

from jentmax.dataset import read_structures
from jentmax.evaluation import describe


@pytest.fixture(scope="module", params=["tungsten_snap_gap", "tungsten_radiation_damage"])
def real(request):
    path = REAL / f"{request.param}.extxyz"
    if not path.exists():
        pytest.skip(f"no {path.name} in ../shared/data")
    return read_structures(path)


def assert_as_by_ase(structures, description, chosen, descriptor):
    """Features, numbers of neighbours and nearest distances of the chosen structures."""
    for k in chosen:
        atoms, own = structures[k], structures.rows(np.array([k]))
        assert_close(description.features[own], by_ase(atoms, descriptor))
        i, distances = ase.neighborlist.neighbor_list("id", atoms, 4.0)
        assert np.array_equal(description.neighbors[own], np.bincount(i, minlength=len(atoms)))
        nearest = np.full(len(atoms), np.inf)
        np.minimum.at(nearest, i, distances)
        assert np.allclose(description.nearest[own], nearest, rtol=1e-12)  # of lengths of some Å


@pytest.mark.slow
def test_real_structures(real):
    """Some of every group."""
    chosen = []
    for group in np.unique(real.groups):
        members = np.flatnonzero(real.groups == group)
        chosen += members[np.linspace(0, len(members) - 1, 3).astype(int)].tolist()
    structures = real[np.array(chosen)]
    assert len(set(structures.groups)) == len(set(real.groups)) >= 15
    assert_as_by_ase(structures, describe(structures, PAPER), range(len(structures)), PAPER)


def test_the_most_skewed_real_cells(real):
    one_atom = real[real.counts == 1]
    heights = np.min(1 / np.linalg.norm(np.linalg.inv(one_atom.cells), axis=1), axis=1)
    skewed = one_atom[np.argsort(heights)[:6]]
    assert min(heights) < 1.0
    assert_as_by_ase(skewed, describe(skewed, PAPER), range(6), PAPER)


@pytest.mark.parametrize("real", ["tungsten_radiation_damage"], indirect=True)
def test_real_atoms_without_neighbours(real):
    """They are counted: dimers further apart than the cutoff are no environments of others."""
    dimers = real[real.groups == "dimer"]
    distances = np.linalg.norm(dimers.positions[1::2] - dimers.positions[::2], axis=1)
    description = describe(dimers, dataclasses.replace(PAPER, cutoff=3.0))
    assert 0 < np.sum(distances > 3) < len(distances)
    assert np.array_equal(description.neighbors, np.repeat(distances < 3, 2))
    expected = np.where(distances < 3, distances, np.inf)
    assert np.allclose(description.nearest, np.repeat(expected, 2), rtol=1e-12)
