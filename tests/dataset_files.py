"""Made-up structures for the tests of data set files."""

import dataclasses
import os

import h5py
import numpy as np

from jentmax.dataset import DatasetWriter, Rows
from jentmax.dataset._schema import STRUCTURE_COLUMNS

# what Dataset calls columns whose names in the file would not do there
PROPERTIES = {"cell": "cells", "status": "structure_status"}

HEADER = {
    "settings_toml": "[run]\nseed = 7\n",
    "seed": 7,
    "device": "a device, 日本",
    "scale": [1.5, 2.5],
    "shift": [-1.0, 1.0],
    "versions": {"jentmax": "0.1.0", "jax": "0.10.1"},
}


def make_rows(index, *, seed=0):
    """Random structures of 1 to 5 atoms; a function of index and seed."""
    rng = np.random.default_rng([seed, *index])
    k = len(index)
    counts = rng.integers(1, 6, k)
    n_atoms = int(counts.sum())
    return Rows(
        index=np.asarray(index),
        counts=counts,
        cell=rng.normal(size=(k, 3, 3)) + 9 * np.eye(3),
        periodic=np.ones((k, 3), int),
        positions=rng.normal(size=(n_atoms, 3)),
        numbers=rng.integers(1, 80, n_atoms),
        descriptors=rng.normal(size=(n_atoms, 2)).astype("float32"),
        chain=np.asarray(index) // 4,
        cycle=np.asarray(index) % 4,
        attempt=rng.integers(0, 3, k),
        status=rng.integers(0, 2, k),
        **{
            name: rng.normal(size=k)
            for name in (
                "energy",
                "repulsion",
                "entropy",
                "entropy_weight",
                "least_distance",
                "temperature",
            )
        },
    )


# neither the batches nor the structures in them come in the order of their index
BATCHES = (make_rows([7, 2, 5]), make_rows([0, 9]), make_rows([1]))


def write(path, *batches, status="complete", **options):
    with DatasetWriter.create(path, **HEADER, **options) as writer:
        for rows in batches:
            writer.append(rows)
        writer.close(status)
    return path


def rows_of(atoms_per_structure, index):
    """Structures with so many atoms each."""
    counts = np.full(len(index), atoms_per_structure)
    rng = np.random.default_rng(index[0])
    n_atoms = int(counts.sum())
    return dataclasses.replace(
        make_rows(index),
        counts=counts,
        positions=rng.random((n_atoms, 3)),
        numbers=np.full(n_atoms, 74),
        descriptors=rng.random((n_atoms, 2)).astype("float32"),
    )


def split(rows, values):
    return np.split(np.asarray(values), np.cumsum(rows.counts)[:-1])


def assert_holds(dataset, *batches):
    """The data set holds the structures of these rows, sorted by index."""
    order = np.argsort(np.concatenate([rows.index for rows in batches]))
    for name in STRUCTURE_COLUMNS:
        values = np.concatenate([getattr(rows, name) for rows in batches])
        assert np.array_equal(getattr(dataset, PROPERTIES.get(name, name)), values[order]), name
    for name in ("positions", "numbers", "descriptors"):
        pieces = [piece for rows in batches for piece in split(rows, getattr(rows, name))]
        pieces = [pieces[k] for k in order]
        assert np.array_equal(getattr(dataset, name), np.concatenate(pieces)), name
        assert dataset.pointer.tolist() == [0, *np.cumsum([len(piece) for piece in pieces])]


def leftovers(folder):
    return [name for name in os.listdir(folder) if "partial" in name]


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path
