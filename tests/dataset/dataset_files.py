"""Made-up sets for the tests of files: every chunk is a function of its number."""

import contextlib
import os
from fractions import Fraction

import h5py
import numpy as np

from jentmax.dataset import ChunkId, Dataset, Parts, Structures, write_dataset, write_set


def stream(formula, n_atoms, share, batch_size):
    return {
        "formula": formula,
        "n_atoms": n_atoms,
        "share": share,
        "batch_size": batch_size,
        "entropy_weight": 100.0,
    }


HEADER = {
    "recipe": {"descriptor": {"kind": "snap", "cutoff": 4.0}, "steps": 3},
    "seed": 7,
    "precision": "float32",
    "streams": [stream("W3", 3, 1.0, 4)],
    "scale": [1.5, 2.5],
    "shift": [-1.0, 1.0],
    "versions": {"jentmax": "0.2.0", "jax": "0.10.1"},
    "device": "a device, 日本",
    "created": "2026-01-02T03:04:05+00:00",
}

TWO_STREAMS = HEADER | {"streams": [stream("W3", 3, 3.0, 4), stream("W5", 5, 1.0, 2)]}

CHUNK = ChunkId(0, 1, 1)

FLOATS = ("energy", "repulsion", "entropy", "entropy_weight", "least_distance", "temperature")

COLUMNS = ("index", "chain", "cycle", *FLOATS, "cells", "pbc", "positions", "numbers")
COLUMNS = (*COLUMNS, "descriptors")


def made(chunk, header=HEADER, seed=0):
    """A chunk: some of its rows are rejected, and hold NaN."""
    stream = header["streams"][chunk.stream]
    n, n_atoms = stream["batch_size"], stream["n_atoms"]
    rng = np.random.default_rng([seed, *chunk])
    status = rng.choice(3, n, p=[0.6, 0.2, 0.2]).astype("int8")
    columns = {name: rng.normal(size=n) for name in FLOATS}
    cells = rng.normal(size=(n, 3, 3)) + 9 * np.eye(3)
    positions = rng.normal(size=(n, n_atoms, 3))
    descriptors = rng.normal(size=(n, n_atoms, 2)).astype(header["precision"])
    for values in (*columns.values(), cells, positions, descriptors):
        values[status == 1] = np.nan
    return Structures(
        positions.reshape(-1, 3),
        np.tile(rng.integers(1, 80, n_atoms), n),
        cells,
        np.ones((n, 3), bool),
        n_atoms * np.arange(n + 1),
        columns
        | {
            "row": np.arange(n),
            "chain": chunk.batch * n + np.arange(n),
            "cycle": np.full(n, chunk.cycle),
            "status": status,
        },
        {"descriptors": descriptors.reshape(-1, 2)},
    )


def counted(chunk):
    """How many of its structures are accepted, not finite and too close."""
    return tuple(np.bincount(made(chunk).status, minlength=3))


def ids(n_batches=3, header=HEADER):
    """Chunks of the first batches of every stream."""
    return [
        ChunkId(stream, batch, cycle)
        for stream, cycles in zip(range(len(header["streams"])), (2, 1), strict=False)
        for batch in range(n_batches)
        for cycle in range(cycles)
    ]


def accepted(chunks, header=HEADER):
    """The set that these chunks make, structure by structure, sorted as the documents say."""
    found = []
    ranks = [0] * len(header["streams"])
    for chunk in sorted(chunks):
        rows = made(chunk, header)
        share = Fraction(header["streams"][chunk.stream]["share"])
        for row in np.flatnonzero(rows.columns["status"] == 0).tolist():
            key = (Fraction(2 * ranks[chunk.stream] + 1, 2) / share, chunk.stream)
            found.append((key, rows[[row]]))
            ranks[chunk.stream] += 1
    found.sort(key=lambda one: one[0])
    return Structures.concatenate([structure for _, structure in found])


def under_way(output, n_batches=3, header=HEADER):
    """A set under way."""
    parts = Parts(output)
    parts.begin(header)
    for chunk in ids(n_batches, header):
        parts.put(chunk, made(chunk, header))
    return parts


def finished(path, n_batches=3, header=HEADER, n=None):
    """A finished file, of all structures of its chunks by default."""
    parts = under_way(path, n_batches, header)
    write_set(parts, len(accepted(ids(n_batches, header), header)) if n is None else n)
    parts.remove_all()
    return path


def described(path, structures=None, **options):
    """A described file."""
    structures = accepted(ids()) if structures is None else structures
    header = {k: v for k, v in HEADER.items() if k not in ("streams", "precision", "created")}
    write_dataset(path, header, structures, **options)
    return path


def bits(atoms):
    """All that there is of a structure."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, *atoms.arrays.values())
    return (*(array.tobytes() for array in arrays), tuple(sorted(atoms.info.items())))


def assert_holds(path, expected, first=0):
    """A data set holds these structures, bit for bit."""
    with contextlib.closing(Dataset(path)) as dataset:
        assert len(dataset) == len(expected)
        for name in COLUMNS:
            there = getattr(dataset, name)
            wanted = np.arange(len(expected)) if name == "index" else getattr(expected, name)
            assert np.array_equal(there, wanted), name
        assert dataset.pointer.tolist() == expected.pointer.tolist()


def read_all(path):
    """Everything that is in a set, its structures as ASE's."""
    with Dataset(path) as dataset:
        for name in (*dataset.columns, "cells", "pbc", "positions", "numbers", "descriptors"):
            getattr(dataset, name)
        return [bits(atoms) for atoms in dataset], dataset.chunks, dataset.discarded


def table(structures):
    """All arrays of some structures."""
    fields = {name: getattr(structures, name) for name in ("positions", "numbers", "cells", "pbc")}
    return fields | dict(structures.columns) | dict(structures.atom_columns)


def assert_bits(one, other):
    """The same arrays of the same types, NaN too."""
    one, other = table(one), table(other)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].tobytes() == other[name].tobytes(), name


def flipped(content, place, bit=None):
    """A file with one bit that is not what it was."""
    content = bytearray(content)
    content[place] ^= 1 << (place % 8 if bit is None else bit)
    return bytes(content)


def no_links(*_):
    """Make a hard link, on a file system that has none."""
    raise OSError(95, "Operation not supported")


def leftovers(folder):
    return [name for name in os.listdir(folder) if "partial" in name]


def edit(path, change):
    """The file after a change with h5py."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path
