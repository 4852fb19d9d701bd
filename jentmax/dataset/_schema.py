"""What a data set file holds: names, types, shapes and units. docs/file-format.md says the same."""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple, get_args

import h5py

from jentmax.dataset._contents import column_of as column_of

FORMAT = "jentmax"
SCHEMA = 1

FIXED_ATTRIBUTES = ("format", "schema", "kind", "created", "seed", "versions", "device", "settings")
ATTRIBUTES = (*FIXED_ATTRIBUTES, "checksum", "status", "quarantined", "rejected")

Kind = Literal["generated", "described"]
Status = Literal["running", "complete"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES: tuple[Status, ...] = get_args(Status)


class Column(NamedTuple):
    """One dataset of the file; its first axis counts structures or atoms."""

    dtype: str
    shape: tuple[int, ...]  # of one row
    units: str


STRUCTURE_COLUMNS = {
    "index": Column("int64", (), "1"),
    "chain": Column("int32", (), "1"),
    "cycle": Column("int32", (), "1"),
    "attempt": Column("int32", (), "1"),
    "cell": Column("float64", (3, 3), "Å"),
    "periodic": Column("int8", (3,), "1"),
    "energy": Column("float64", (), "eV"),
    "repulsion": Column("float64", (), "eV"),
    "entropy": Column("float64", (), "nats"),
    "entropy_weight": Column("float64", (), "eV"),
    "least_distance": Column("float64", (), "Å"),
    "temperature": Column("float64", (), "K"),
    "status": Column("int8", (), "1"),
}

# A described file has whatever was computed; a generated one has every column.
REQUIRED_STRUCTURE_COLUMNS = ("index", "cell", "periodic")

POINTER = Column("int64", (), "1")

SCALING = Column("float64", (), "1")


def atom_columns(n_features: int) -> dict[str, Column]:
    """Columns with one row per atom."""
    return {
        "positions": Column("float64", (3,), "Å"),
        "numbers": Column("int16", (), "1"),
        "descriptors": Column("float32", (n_features,), "1"),
    }


def required_columns(kind: str) -> tuple[str, ...]:
    """Per-structure columns that a file of this kind must have."""
    return tuple(STRUCTURE_COLUMNS) if kind == "generated" else REQUIRED_STRUCTURE_COLUMNS


def attributes_checksum(file: h5py.File) -> int:
    """CRC-32 of those attributes of the root that never change: HDF5 has none of long ones."""
    texts = [text(file.attrs[name]) for name in FIXED_ATTRIBUTES]
    return zlib.crc32("\0".join(texts).encode())


def text(value: object) -> str:
    """An attribute's value as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
