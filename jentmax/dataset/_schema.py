"""Schema of a set: names, types, shapes and units, as in docs/file-format.md."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

SCHEMA = 3
"""Version of the layout of sets, finished or not; other versions are not read."""

FORMAT = "jentmax"

ENDING = ".parts"
"""Of the name of the folder that holds an unfinished set."""

Kind = Literal["generated", "described"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ACCEPTED, NOT_FINITE, TOO_CLOSE = range(3)
"""Values of the column status."""

HEAVIEST = 118
"""Largest atomic number of a named element."""


class ChunkId(NamedTuple):
    """Numbers of a chunk: one cycle of one batch of chains.

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
        """Name of the chunk's file.

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
        """Whether the column can hold values of a type and shape."""
        kinds = "f" if self.dtype.startswith("float") else "iub"
        # Some 2-byte floating-point types do not support arithmetic.
        sizes = (4, 8) if kinds == "f" else (1, 2, 4, 8)
        return shape[1:] == self.shape and dtype.kind in kinds and dtype.itemsize in sizes


COMPUTED_COLUMNS = {
    "chain": Column("int64", (), "1"),
    "cycle": Column("int32", (), "1"),
    "energy": Column("float64", (), "eV"),
    "repulsion": Column("float64", (), "eV"),
    "entropy": Column("float64", (), "nats"),
    "entropy_weight": Column("float64", (), "eV"),
    "least_distance": Column("float64", (), "Å"),
    "temperature": Column("float64", (), "K"),
}
"""Columns with one row per structure of a generated set; described files may lack them."""

PART_COLUMNS = {
    "row": Column("int32", (), "1"),
    "status": Column("int8", (), "1"),
    **COMPUTED_COLUMNS,
}
"""One row per structure of a chunk, accepted or not."""

SLAB = 128
"""Structures per HDF5 chunk of a column. Each chunk has a checksum, so a damaged bit loses one."""

POINTER = Column("int64", (), "1")

CHUNK_TABLE = {
    "stream": Column("int32", (), "1"),
    "batch": Column("int64", (), "1"),
    "cycle": Column("int32", (), "1"),
    "status": Column("int8", (), "1"),
}
"""Stream, batch and cycle of each chunk of a generated file, and the status of each row."""

ATOM_COLUMNS = ("positions", "numbers", "descriptors")

STORED = {
    "pointer": "structures/pointer",
    "cells": "structures/cell",
    "pbc": "structures/periodic",
    **{name: f"structures/{name}" for name in COMPUTED_COLUMNS},
    **{name: f"atoms/{name}" for name in ATOM_COLUMNS},
}
"""Paths in the file of the arrays of `Structures`."""


def columns(n_features: int, precision: str = "float32") -> dict[str, Column]:
    """All columns of structures and atoms except the pointer, by the names of `Structures`."""
    return {
        "cells": Column("float64", (3, 3), "Å"),
        "pbc": Column("int8", (3,), "1"),
        **COMPUTED_COLUMNS,
        "positions": Column("float64", (3,), "Å"),
        "numbers": Column("int16", (), "1"),
        "descriptors": Column(precision, (n_features,), "1"),
    }


def impossible(name: str, values: np.ndarray) -> str:
    """Why a column cannot have such values; "" if it can."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "there are numbers that are not finite"
    if name.endswith("numbers") and len(wrong := values[(values < 0) | (values > HEAVIEST)]):
        return f"an atomic number is {wrong[0]}, must be from 0 to {HEAVIEST}"
    return ""
