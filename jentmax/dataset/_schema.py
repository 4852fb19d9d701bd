"""What a data set file holds: names, types, shapes and units. docs/file-format.md says the same."""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple, get_args

import h5py

from jentmax.dataset._contents import attribute

FORMAT = "jentmax"

ATTRIBUTES = (
    "format",
    "schema",
    "kind",
    "created",
    "seed",
    "versions",
    "device",
    "recipe",
    "header",
    "structures",
    "checksum",
)

Kind = Literal["generated", "described"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Column(NamedTuple):
    """One dataset of the file; its first axis counts structures or atoms."""

    dtype: str
    shape: tuple[int, ...]  # of one row
    units: str

    @property
    def kinds(self) -> str:
        """Kinds of numpy's types that may stand in it."""
        return "f" if self.dtype.startswith("float") else "iub"


STRUCTURE_COLUMNS = {
    "cell": Column("float64", (3, 3), "Å"),
    "periodic": Column("int8", (3,), "1"),
    "chain": Column("int64", (), "1"),
    "cycle": Column("int32", (), "1"),
    "energy": Column("float64", (), "eV"),
    "repulsion": Column("float64", (), "eV"),
    "entropy": Column("float64", (), "nats"),
    "entropy_weight": Column("float64", (), "eV"),
    "least_distance": Column("float64", (), "Å"),
    "temperature": Column("float64", (), "K"),
}

REQUIRED = ("cell", "periodic")
"""Columns of a described file, which has those of the others that are known."""

CHUNK_COLUMNS = {
    "row": Column("int32", (), "1"),
    "status": Column("int8", (), "1"),
    **{name: column for name, column in STRUCTURE_COLUMNS.items() if name not in REQUIRED},
}
"""Columns that every chunk of a set has."""

POINTER = Column("int64", (), "1")

SCALING = Column("float64", (), "1")

CHUNK_TABLE = {
    "stream": Column("int32", (), "1"),
    "batch": Column("int64", (), "1"),
    "cycle": Column("int32", (), "1"),
    "pointer": Column("int64", (), "1"),
    "status": Column("int8", (), "1"),
}
"""One row per chunk of a generated file; of status one per row of the batch."""


def atom_columns(n_features: int, precision: str = "float32") -> dict[str, Column]:
    """Columns with one row per atom."""
    return {
        "positions": Column("float64", (3,), "Å"),
        "numbers": Column("int16", (), "1"),
        "descriptors": Column(precision, (n_features,), "1"),
    }


def required_columns(kind: str) -> tuple[str, ...]:
    """Per-structure columns that a file of this kind must have."""
    return tuple(STRUCTURE_COLUMNS) if kind == "generated" else REQUIRED


def attributes_checksum(file: h5py.File) -> int:
    """CRC-32 of the attributes of the root, whose length HDF5's own checksums may not cover."""
    texts = [text(attribute(file, name)) for name in ATTRIBUTES if name != "checksum"]
    return zlib.crc32("\0".join(texts).encode())


def text(value: object) -> str:
    """An attribute's value as text."""
    return value.decode() if isinstance(value, bytes) else str(value)

