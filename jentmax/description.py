"""What is known of the environments of structures, and the file that keeps it."""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from jentmax.structures import Structures


@dataclasses.dataclass(frozen=True)
class Description:
    """The environments of structures, one row an atom, structure after structure.

    Attributes:
        features: descriptors in float64, not scaled, shape (n_atoms, n_features).
        neighbors: neighbours within the descriptor's largest cutoff, images included; 0 where an
            atom has none, shape (n_atoms,).
        nearest: distance of the nearest of them in Å, inf where there is none, shape (n_atoms,).
        compilations: programs that the features took, one for each room for neighbours.
    """

    features: np.ndarray
    neighbors: np.ndarray
    nearest: np.ndarray
    compilations: int = 0


def save(path: Path, structures: Structures, description: Description) -> None:
    """Write structures and their description to a file, all of it or nothing.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {
        f"{room}/{name}": value
        for room, values in (("structures", structures), ("description", description))
        for name, value in vars(values).items()
        if name != "compilations"  # of which there are none where it is read
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
    """What `save` wrote; None if there is no such file, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        return (
            Structures(**_section(values, "structures")),
            Description(**_section(values, "description")),
        )
    except Exception:  # numpy and zipfile raise whatever a damaged file makes them stumble over
        return None


def _section(values: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    return {
        key.partition("/")[2]: value
        for key, value in values.items()
        if key.partition("/")[0] == name
    }
