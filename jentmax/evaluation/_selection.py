"""What was selected, and where it comes from: a JSON file beside the output."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Literal

import numpy as np

from jentmax.dataset import writing

Method = Literal["coverage", "farthest-point", "entropy", "random"]


@dataclasses.dataclass(frozen=True)
class Selection:
    """The chosen structures, and how well they cover all candidates.

    Distances are those of all candidates' environments to the nearest chosen or given one, in
    standard deviations of the features.

    Attributes:
        chosen: numbers of the structures in their file, in the order of selection.
        method: "coverage", "farthest-point", "entropy" or "random".
        candidates: number of structures to choose from.
        candidate_environments: number of their environments.
        candidate_cost: sum of N^cost_exponent over candidates of N atoms.
        cost_exponent: p of the cost N^p of a structure.
        n_structures: numbers of structures that the following are for: 1, 2, 3, ..., with 0
            before them if structures were given, shape (n,).
        n_environments: numbers of their environments, shape (n,).
        cost: sums of N^cost_exponent over them, shape (n,).
        mean: mean distance with so many of the chosen structures, shape (n,).
        quantile: the distance that 95 % of the environments do not exceed, shape (n,).
        maximum: largest distance with so many of the chosen structures, shape (n,).
        random_at: "cost" if random orders have equal cost, "environments" if they have equally
            many environments.
        random_mean: mean distance with structures in random order, the mean of ten orders, shape
            (n,).
        random_spread: standard deviation of the ten, shape (n,).
    """

    chosen: np.ndarray
    method: Method
    candidates: int
    candidate_environments: int
    candidate_cost: float
    cost_exponent: float
    n_structures: np.ndarray
    n_environments: np.ndarray
    cost: np.ndarray
    mean: np.ndarray
    quantile: np.ndarray
    maximum: np.ndarray
    random_at: Literal["cost", "environments"]
    random_mean: np.ndarray
    random_spread: np.ndarray


def sources_path(output: str | os.PathLike[str]) -> Path:
    """The path of the JSON file: the output's, and .json."""
    return Path(f"{Path(output)}.json")


def write_sources(path: Path, source: str | os.PathLike[str], frames: np.ndarray) -> None:
    """Write the file and the frame of each selected structure, in the order of selection.

    Args:
        path: of the JSON file; a file there is replaced.
        source: path of the file that the structures come from.
        frames: their numbers in that file, from 0, shape (m,).
    """
    structures = [
        {"rank": rank, "file": os.fspath(source), "frame": int(frame)}
        for rank, frame in enumerate(frames)
    ]
    with writing(path):
        path.write_text(json.dumps({"structures": structures}, indent=1) + "\n", encoding="utf-8")
