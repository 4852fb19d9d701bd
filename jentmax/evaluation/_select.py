"""Select the best subset of a file's structures for a budget of calculations."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from ase.data import chemical_symbols

from jentmax.dataset import (
    Dataset,
    Structures,
    export,
    is_dataset,
    read_atoms,
    refuse_inputs,
    refuse_output,
)
from jentmax.errors import JentmaxError, LeftOut
from jentmax.evaluation._describe import CountCallback
from jentmax.evaluation._describe_files import described
from jentmax.evaluation._descriptor import Descriptor, plain_descriptor
from jentmax.evaluation._measures import silverman_bandwidth
from jentmax.evaluation._orders import (
    covering_curve,
    farthest_point,
    most_informative,
    nearest_distances,
    random_order,
)

if TYPE_CHECKING:
    from ase import Atoms

Method = Literal["farthest-point", "entropy", "random"]
Duplicates = Literal["drop", "keep"]

_RANK = "selection_rank"
"""Name in info of the order in which structures were chosen."""

_RANDOM_ORDERS = 10

_ENVIRONMENTS = 10_000
"""Maximum number of environments, drawn at random, to measure the coverage of random orders."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """The chosen structures and their coverage of all candidates.

    Distances run from each environment of the candidates to the nearest chosen or given
    environment, in standard deviations of the features.

    Attributes:
        chosen: numbers of the structures in their file, in the order of selection.
        method: "farthest-point", "entropy" or "random".
        candidates: number of structures to choose from.
        n_structures: numbers of chosen structures for the arrays below: 1, 2, 3, ..., starting with
            0 if structures were given, shape (n,).
        mean: mean distance for each number of chosen structures, shape (n,).
        maximum: largest distance for each number of chosen structures, shape (n,).
        random_mean: mean distance for the same numbers of structures in random order, averaged over
            ten orders, shape (n,).
        random_spread: standard deviation over the ten orders, shape (n,).
    """

    chosen: np.ndarray
    method: Method
    candidates: int
    n_structures: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray
    random_mean: np.ndarray
    random_spread: np.ndarray


def select(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    descriptor: Descriptor,
    n_structures: int,
    method: Method = "farthest-point",
    *,
    given: str | os.PathLike[str] | None = None,
    seed: int = 0,
    bandwidth: float | None = None,
    duplicates: Duplicates = "drop",
    format: str | None = None,
    given_format: str | None = None,
    output_format: str | None = None,
    overwrite: bool = False,
    cache: Path | None = None,
    callback: CountCallback | None = None,
) -> Selection:
    """Write the best structures of a file, best first.

    The first 100 of 200 structures equal a selection of 100. Each structure is written with
    everything that ASE reads from its file, plus ``selection_rank`` (0, 1, ...) in ``atoms.info``.
    `jentmax.report.draw_selection` plots the coverage.

    Features are scaled by the standard deviations of the candidates' environments or, for a data
    set with the same descriptor, by the data set's scale.

    Args:
        path: path of the candidates: a data set or any file that ASE reads.
        output: path to write, as for `jentmax.dataset.export`.
        descriptor: environments -> features.
        n_structures: number of structures to choose.
        method: "farthest-point" or "entropy" (`farthest_point`, `most_informative`), or "random".
        given: file of structures that you already have. Their environments count as covered, and
            none of them is chosen.
        seed: seed of random orders.
        bandwidth: bandwidth of method "entropy", in the unit of the scaled features; by default
            from Silverman's rule.
        duplicates: whether structures that repeat an earlier one of the file may be chosen.
        format: ASE's name of the candidates' format; by default inferred from content or name.
        given_format: ASE's name of the format of ``given``; by default inferred.
        output_format: ASE's name of the output's format; by default inferred from the path.
        overwrite: whether the output may be replaced.
        cache: folder for cached descriptions, or None.
        callback: as for `describe`.

    Raises:
        JentmaxError: a file cannot be read or described, it has too few structures, the method is
            unknown, or the output exists, is an input, cannot be written or cannot hold everything
            in the file.
    """
    _check(n_structures, method, seed, bandwidth, duplicates)
    refuse_inputs(output, [path, given])
    refuse_output(output, output_format, overwrite=overwrite)
    everything = _everything(path, format)
    refuse_output(output, output_format, overwrite=overwrite, structures=everything)
    if any(_RANK in atoms.info for atoms in everything):
        told = f"{os.fspath(output)} will have new values of {_RANK}; the old ones stay in {path}"
        warnings.warn(told, LeftOut, stacklevel=2)

    read = None if is_dataset(path) else everything
    structures, features = _described(path, descriptor, cache, callback, format, read)
    scale = _stored_scale(path, descriptor)
    kept = np.flatnonzero(~structures.duplicate | (duplicates == "keep"))
    if n_structures > len(kept):
        dropped = len(structures) - len(kept)
        raise JentmaxError(
            f"--structures {n_structures}: {path} has {len(kept)}"
            + (f" different structures, and {dropped} duplicates" if dropped else "")
            + "; ask for fewer"
            + (", or keep the duplicates (--duplicates keep)" if dropped else "")
        )
    candidates, features = structures[kept], features[structures.rows(kept)]
    if scale is None:
        scale = features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # constant features
    features = features / scale
    covered = None
    if given is not None:
        others, covered = _described(given, descriptor, cache, callback, given_format)
        _check_species(path, candidates, given, others)
        covered = covered / scale

    pointer = candidates.pointer
    order = _order(features, pointer, n_structures, method, seed, bandwidth, covered)
    distances = None if covered is None else nearest_distances(features, covered)
    mean, maximum = covering_curve(features, _steps(features, pointer, order), distances)
    random_means = _random_coverage(features, pointer, n_structures, seed, distances)
    selection = Selection(
        chosen=kept[order],
        method=method,
        candidates=len(candidates),
        n_structures=np.arange(n_structures + 1)[-len(mean) :],
        mean=mean,
        maximum=maximum,
        random_mean=random_means.mean(axis=0),
        random_spread=random_means.std(axis=0),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # `refuse_output` has warned already
        chosen = _chosen_atoms(path, everything, selection.chosen)
        export(chosen, output, output_format, overwrite=overwrite)
    return selection


def _check(
    n_structures: int, method: str, seed: int, bandwidth: float | None, duplicates: str
) -> None:
    for name, value, allowed in (
        ("--method", method, get_args(Method)),
        ("--duplicates", duplicates, get_args(Duplicates)),
    ):
        if value not in allowed:
            raise JentmaxError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
    if n_structures < 1:
        raise JentmaxError(f"--structures {n_structures}: must be at least 1")
    if seed < 0:
        raise JentmaxError(f"--seed {seed}: must be at least 0")
    if bandwidth is not None and not 0 < bandwidth < np.inf:
        raise JentmaxError(
            f"--bandwidth {bandwidth}: must be a positive number, in standard deviations of the "
            "features, such as 0.3"
        )
    if bandwidth is not None and method != "entropy":
        raise JentmaxError(
            f"--bandwidth {bandwidth}: method {method!r} has none; leave it out, or give "
            "--method entropy"
        )


def _described(
    path: str | os.PathLike[str],
    descriptor: Descriptor,
    cache: Path | None,
    callback: CountCallback | None,
    format: str | None,
    atoms: Sequence[Atoms] | None = None,
) -> tuple[Structures, np.ndarray]:
    options = {} if callback is None else {"callback": callback}
    structures, description = described(
        path, descriptor, cache, format=format, atoms=atoms, **options
    )
    return structures, description.features


def _stored_scale(path: str | os.PathLike[str], descriptor: Descriptor) -> np.ndarray | None:
    """The scale of a data set with the same descriptor; None for any other file."""
    if not is_dataset(path):
        return None
    with Dataset(path) as dataset:
        same = dataset.recipe.get("descriptor") == plain_descriptor(descriptor)
        return np.asarray(dataset.scale) if same else None


def _check_species(
    path: str | os.PathLike[str],
    candidates: Structures,
    given: str | os.PathLike[str],
    others: Structures,
) -> None:
    if set(candidates.numbers) & set(others.numbers):
        return
    ours, theirs = (
        ", ".join(chemical_symbols[number] for number in np.unique(structures.numbers))
        for structures in (candidates, others)
    )
    raise JentmaxError(
        f"--given {given}: its species ({theirs}) and those of {path} ({ours}) have none in "
        "common; give structures of the same material"
    )


def _order(
    features: np.ndarray,
    pointer: np.ndarray,
    n_structures: int,
    method: Method,
    seed: int,
    bandwidth: float | None,
    covered: np.ndarray | None,
) -> np.ndarray:
    if method == "random":
        return random_order(len(pointer) - 1, n_structures, seed)
    if method == "entropy":
        width = bandwidth or silverman_bandwidth(*features.shape)
        return most_informative(features, pointer, n_structures, width, covered)
    return farthest_point(features, pointer, n_structures, covered)


def _random_coverage(
    features: np.ndarray,
    pointer: np.ndarray,
    n_structures: int,
    seed: int,
    distances: np.ndarray | None,
) -> np.ndarray:
    """Mean distances of some environments for random orders of structures, one row per order."""
    generator = np.random.default_rng([seed, _RANDOM_ORDERS])
    drawn = generator.permutation(len(features))[:_ENVIRONMENTS]
    some, before = features[drawn], None if distances is None else distances[drawn]
    orders = (
        random_order(len(pointer) - 1, n_structures, [seed, number])
        for number in range(_RANDOM_ORDERS)
    )
    return np.array([covering_curve(some, _steps(features, pointer, k), before)[0] for k in orders])


def _steps(features: np.ndarray, pointer: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    return (features[pointer[k] : pointer[k + 1]] for k in order)


def _everything(path: str | os.PathLike[str], format: str | None) -> list[Atoms]:
    """All structures of a file; only the first one of a data set, since all have the same form."""
    if not is_dataset(path):
        return read_atoms(path, format)
    with Dataset(path) as dataset:
        return list(dataset[:1])


def _chosen_atoms(
    path: str | os.PathLike[str], everything: Sequence[Atoms], chosen: np.ndarray
) -> list[Atoms]:
    """The chosen structures with all their labels, such as energies and forces."""
    if is_dataset(path):
        with Dataset(path) as dataset:
            structures = [dataset[int(k)] for k in chosen]
    else:
        structures = [everything[k] for k in chosen]
    for rank, atoms in enumerate(structures):
        atoms.info[_RANK] = rank
    return structures
