"""The best subset of a file's structures for a budget of calculations."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from ase.data import chemical_symbols

from jentmax._output import refuse_existing, writing
from jentmax.config import Settings, parsed, to_toml
from jentmax.dataset import Dataset
from jentmax.describe import Report, described
from jentmax.errors import JentmaxError
from jentmax.evaluation import silverman_bandwidth
from jentmax.export import export, refuse_output
from jentmax.foreign import read_atoms
from jentmax.plotting import coverage_curve
from jentmax.selection._orders import (
    coverage,
    farthest_point,
    most_informative,
    nearest_distances,
    random_order,
)
from jentmax.structures import Structures

if TYPE_CHECKING:
    from ase import Atoms

Method = Literal["farthest-point", "entropy", "random"]
Duplicates = Literal["drop", "keep"]

_RANDOM_ORDERS = 10

_ENVIRONMENTS = 10_000
"""Environments, drawn at random, whose distances tell how well random orders cover."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """What was chosen, and how well it covers all candidates.

    Distances are those of all candidates' environments to the nearest chosen or given one, in
    standard deviations of the features.

    Attributes:
        chosen: numbers of the structures in their file, in the order of selection.
        candidates: how many structures there were to choose from.
        n_structures: numbers of structures that the following are for: 1, 2, 3, ..., with 0
            before them where structures were given.
        mean: distance with so many of the chosen structures, shape of ``n_structures``.
        maximum: likewise.
        random_mean: mean distance with so many structures in random order, the mean of ten orders.
        random_spread: standard deviation of the ten.
        figure: path of the drawing.
    """

    chosen: np.ndarray
    candidates: int
    n_structures: np.ndarray
    mean: np.ndarray
    maximum: np.ndarray
    random_mean: np.ndarray
    random_spread: np.ndarray
    figure: Path


def select(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    n_structures: int,
    method: Method = "farthest-point",
    *,
    given: str | os.PathLike[str] | None = None,
    seed: int = 0,
    bandwidth: float | None = None,
    duplicates: Duplicates = "drop",
    figure: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    cache: Path | None = None,
    report: Report | None = None,
) -> Selection:
    """Write the best structures of a file, best first, and draw how well they cover the others.

    The first 100 of 200 structures are what a choice of 100 gives. Structures are written as
    they stand in their file, with all that ASE reads of them, and ``selection_rank`` (0, 1, ...)
    in ``atoms.info``.

    Features are in standard deviations of the candidates' own environments, or, if the file is a
    data set and the settings describe environments as it does, in the data set's own scale.

    Args:
        path: of the candidates: any file that ASE reads, or a data set.
        output: path to write, as for `jentmax.export.export`.
        settings: whose descriptor and species count.
        n_structures: to choose.
        method: "farthest-point" or "entropy", see `jentmax.selection`, or "random".
        given: file of structures that one has already; what they cover needs no covering, and
            none of them is chosen.
        seed: of random orders.
        bandwidth: of method "entropy", in the unit of the scaled features; by default Silverman's
            for so many environments.
        duplicates: whether structures that repeat an earlier one of the file may be chosen.
        figure: path of the drawing; by default the output's with the ending .png.
        overwrite: whether output and figure may be replaced.
        cache: folder where descriptions are kept, or None.
        report: as for `jentmax.describe.describe`.

    Raises:
        JentmaxError: a file that cannot be read or described, more structures than there are, an
            unknown method, or an output that exists or cannot be written.
    """
    _check(n_structures, method, seed, bandwidth, duplicates)
    figure = Path(output).with_suffix(".png") if figure is None else Path(figure)
    refuse_output(output, overwrite=overwrite)
    _refuse_figure(figure, output, overwrite)

    structures, features = _described(path, settings, cache, report)
    scale = _stored_scale(path, settings)
    kept = np.flatnonzero(~structures.duplicate | (duplicates == "keep"))
    if n_structures > len(kept):
        dropped = len(structures) - len(kept)
        raise JentmaxError(
            f"--structures {n_structures}: {path} has {len(kept)}"
            + (f" that repeat no earlier one, and {dropped} that do" if dropped else "")
            + "; ask for fewer"
        )
    candidates, features = structures[kept], features[structures.rows(kept)]
    if scale is None:
        scale = features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # a feature that is the same everywhere
    features = features / scale
    covered = None
    if given is not None:
        others, covered = _described(given, settings, cache, report)
        _check_species(path, candidates, given, others)
        covered = covered / scale

    pointer = candidates.pointer
    order = _order(features, pointer, n_structures, method, seed, bandwidth, covered)
    distances = None if covered is None else nearest_distances(features, covered)
    mean, maximum = coverage(features, _steps(features, pointer, order), distances)
    random_means = _random_coverage(features, pointer, n_structures, seed, distances)
    selection = Selection(
        chosen=kept[order],
        candidates=len(candidates),
        n_structures=np.arange(n_structures + 1)[-len(mean) :],
        mean=mean,
        maximum=maximum,
        random_mean=random_means.mean(axis=0),
        random_spread=random_means.std(axis=0),
        figure=figure,
    )
    export(_chosen_atoms(path, selection.chosen), output, overwrite=overwrite)
    _draw(selection, method)
    return selection


def _refuse_figure(figure: Path, output: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise a JentmaxError if the drawing must not, or cannot, be written to this path."""
    from matplotlib.backend_bases import FigureCanvasBase

    if figure == Path(output):
        raise JentmaxError(f"--figure {figure}: is the output's path too; give another one")
    endings = sorted(FigureCanvasBase.get_supported_filetypes())
    if figure.suffix[1:].lower() not in endings:
        raise JentmaxError(f"--figure {figure}: its ending must be one of {', '.join(endings)}")
    refuse_existing(figure, overwrite)


def _draw(selection: Selection, method: Method) -> None:
    # As close as a logarithmic axis can show; it has no place for 0.
    numbers = np.unique(np.geomspace(1, selection.n_structures[-1], 60).round())
    some = np.isin(selection.n_structures, numbers)
    figure = coverage_curve(
        selection.n_structures[some],
        selection.mean[some],
        selection.random_mean[some],
        selection.random_spread[some],
        method,
    )
    with writing(selection.figure):
        figure.savefig(selection.figure, dpi=150)


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
    path: str | os.PathLike[str], settings: Settings, cache: Path | None, report: Report | None
) -> tuple[Structures, np.ndarray]:
    options = {} if report is None else {"report": report}
    structures, description = described(path, settings, cache, **options)
    return structures, description.features


def _stored_scale(path: str | os.PathLike[str], settings: Settings) -> np.ndarray | None:
    """The scale of a data set whose descriptors are those of the settings."""
    import h5py

    if not h5py.is_hdf5(os.fspath(path)):
        return None
    with Dataset(path) as dataset:
        stored = _environment_settings(dataset.settings)
        return dataset.scale if stored == _environment_settings(to_toml(settings)) else None


def _environment_settings(toml: str) -> tuple[object, object]:
    settings = parsed(toml, "settings of a data set")
    return settings.get("descriptor"), settings.get("system", {}).get("species")


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
        f"--given {given}: its species, {theirs}, are none of those of {path}, {ours}; "
        "give structures of the same material"
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
    """Mean distances of some environments with structures in random orders, one row an order."""
    generator = np.random.default_rng([seed, _RANDOM_ORDERS])
    drawn = generator.permutation(len(features))[:_ENVIRONMENTS]
    some, before = features[drawn], None if distances is None else distances[drawn]
    orders = (
        random_order(len(pointer) - 1, n_structures, [seed, number])
        for number in range(_RANDOM_ORDERS)
    )
    return np.array([coverage(some, _steps(features, pointer, k), before)[0] for k in orders])


def _steps(features: np.ndarray, pointer: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    return (features[pointer[k] : pointer[k + 1]] for k in order)


def _chosen_atoms(path: str | os.PathLike[str], chosen: np.ndarray) -> list[Atoms]:
    """Structures as they stand in their file, with energies and forces where it has them."""
    import h5py

    text = os.fspath(path)
    if h5py.is_hdf5(text):
        with Dataset(text) as dataset:
            structures = [dataset[int(k)] for k in chosen]
    else:
        everything = read_atoms(text)
        structures = [everything[k] for k in chosen]
    for rank, atoms in enumerate(structures):
        atoms.info["selection_rank"] = rank
    return structures
