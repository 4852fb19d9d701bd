"""What a set holds: names, types, shapes and units. docs/file-format.md says the same."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

SCHEMA = 2
"""Number of the layout of sets, under way and finished; other numbers are not read."""

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
)
"""Attributes of the root of a finished file; one more, checksum, is the CRC-32 of these."""

Kind = Literal["generated", "described"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ACCEPTED, NOT_FINITE, TOO_CLOSE = range(3)
"""Values of the column status."""

HEAVIEST = 118
"""Number of the last element that has a name."""


class ChunkId(NamedTuple):
    """Which chunk of a set: one cycle of one batch of chains.

    Attributes:
        stream: number of the stream, from 0.
        batch: number of the batch in its stream, from 0.
        cycle: number of the cycle, from 0.
    """

    stream: int
    batch: int
    cycle: int

    @property
    def file_name(self) -> str:
        """Name of its file.

        >>> ChunkId(0, 12, 3).file_name
        '0-000012-0003.npz'
        """
        return f"{self.stream}-{self.batch:06d}-{self.cycle:04d}.npz"


class Column(NamedTuple):
    """One dataset of the file; its first axis counts structures or atoms."""

    dtype: str
    shape: tuple[int, ...]  # of one row
    units: str

    def fits(self, dtype: np.dtype, shape: tuple[int, ...]) -> bool:
        """Whether values of a type and shape may stand in it."""
        kinds = "f" if self.dtype.startswith("float") else "iub"
        # There are floating-point numbers of 2 bytes that nothing can be computed with.
        sizes = (4, 8) if kinds == "f" else (1, 2, 4, 8)
        return shape[1:] == self.shape and dtype.kind in kinds and dtype.itemsize in sizes


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

STORED = {"cells": "cell", "pbc": "periodic"}
"""Names in the file of columns that `Structures` call otherwise."""

CHUNK_COLUMNS = {
    "row": Column("int32", (), "1"),
    "status": Column("int8", (), "1"),
    **{name: column for name, column in STRUCTURE_COLUMNS.items() if name not in REQUIRED},
}
"""Columns that every chunk of a set has."""

POINTER, SCALING = Column("int64", (), "1"), Column("float64", (), "1")

CHUNK_TABLE = {
    "stream": Column("int32", (), "1"),
    "batch": Column("int64", (), "1"),
    "cycle": Column("int32", (), "1"),
    "pointer": Column("int64", (), "1"),
    "status": Column("int8", (), "1"),
}
"""One row per chunk of a generated file; of status one per row of the batch."""

ATOM_COLUMNS = ("positions", "numbers", "descriptors")


def columns(n_features: int, precision: str = "float32") -> dict[str, Column]:
    """All columns of structures and atoms, by their names in the file."""
    atoms = (
        Column("float64", (3,), "Å"),
        Column("int16", (), "1"),
        Column(precision, (n_features,), "1"),
    )
    return {f"structures/{name}": column for name, column in STRUCTURE_COLUMNS.items()} | {
        f"atoms/{name}": column for name, column in zip(ATOM_COLUMNS, atoms, strict=True)
    }


def required(name: str, kind: str) -> bool:
    """Whether a file of a kind must have a column."""
    group, column = name.split("/")
    return kind == "generated" or group == "atoms" or column in REQUIRED


def impossible(name: str, values: np.ndarray) -> str:
    """What values of a column cannot be, in words; "" if they can."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "there are numbers that are not finite"
    if name == "atoms/numbers" and len(wrong := values[(values < 0) | (values > HEAVIEST)]):
        return f"an atomic number is {wrong[0]}, must be from 0 to {HEAVIEST}"
    return ""
