"""The description of the environments of structures, and its cache file."""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.dataset import Structures


@dataclasses.dataclass(frozen=True)
class Description:
    """The environments of structures, with one row per atom, sorted by structure.

    Attributes:
        features: unscaled features in float64, shape (n_atoms, n_features).
        neighbors: number of neighbours within the descriptor's largest cutoff, including images,
            shape (n_atoms,).
        nearest: distance to the nearest neighbour in Å, inf without neighbours, shape (n_atoms,).
        compilations: number of compiled programs, one for each capacity for neighbours.
    """

    features: np.ndarray
    neighbors: np.ndarray
    nearest: np.ndarray
    compilations: int = 0


_ARRAYS = ("positions", "numbers", "cells", "pbc", "pointer")


def save(path: Path, structures: Structures, description: Description) -> None:
    """Write structures and their description to a file; on failure, no file is left.

    Args:
        path: path of the file.
        structures: structures; of their columns, only config_type and duplicate are stored.
        description: description of their atoms.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {f"structures/{name}": getattr(structures, name) for name in _ARRAYS}
    arrays |= {"columns/config_type": structures.groups, "columns/duplicate": structures.duplicate}
    arrays |= {
        f"description/{name}": value
        for name, value in vars(description).items()
        if name != "compilations"  # 0 when read from a file
    }
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(partial, "xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def saved(path: Path) -> tuple[Structures, Description] | None:
    """Read a file from `save`; None if it does not exist or is damaged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        columns = _section(values, "columns")
        return (
            Structures(**_section(values, "structures"), columns=columns),
            Description(**_section(values, "description")),
        )
    except Exception:  # numpy and zipfile raise errors of many types for damaged files
        return None


def _section(values: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    return {
        key.partition("/")[2]: value
        for key, value in values.items()
        if key.partition("/")[0] == name
    }
