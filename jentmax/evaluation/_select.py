"""Select the best subset of a file's structures for a budget of calculations."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    refuse_existing,
    refuse_inputs,
    refuse_output,
)
from jentmax.devices import n_cores
from jentmax.errors import JentmaxError, LeftOut
from jentmax.evaluation._describe_files import described
from jentmax.evaluation._descriptor import Descriptor, plain_descriptor
from jentmax.evaluation._measures import silverman_bandwidth
from jentmax.evaluation._orders import (
    Cover,
    covering_curve,
    farthest_point,
    grow,
    least_distances,
    most_informative,
    random_order,
)
from jentmax.evaluation._selection import Method, Selection, sources_path, write_sources
from jentmax.evaluation._selection_budget import Budget, budget
from jentmax.evaluation._sets import PhaseCallback, ignore

if TYPE_CHECKING:
    from ase import Atoms

Duplicates = Literal["drop", "keep"]

_ORIGIN = ("selection_rank", "selection_file", "selection_frame")
"""Names in info of the order in which structures were chosen, and of where they come from."""

_RANDOM_ORDERS = 10

_ENVIRONMENTS = 10_000
"""Maximum number of environments, drawn at random, to measure the coverage of random orders."""


def select(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    descriptor: Descriptor,
    structures: int | str | None = None,
    method: Method = "coverage",
    *,
    atoms: int | str | None = None,
    cost: float | str | None = None,
    cost_exponent: float | None = None,
    max_distance: float | None = None,
    given: str | os.PathLike[str] | None = None,
    seed: int = 0,
    bandwidth: float | None = None,
    duplicates: Duplicates = "drop",
    format: str | None = None,
    given_format: str | None = None,
    output_format: str | None = None,
    overwrite: bool = False,
    cache: Path | None = None,
    callback: PhaseCallback = ignore,
) -> Selection:
    """Write the best structures of a file, best first.

    The budget is one of ``structures``, ``atoms`` and ``cost``: a number, or a percentage of the
    candidates such as "10%". A smaller budget of the same kind buys the beginning of what a larger
    one buys. Structures are written as they stand in their file, with all that ASE reads of them;
    ``atoms.info`` also holds ``selection_rank`` (0, 1, ...), ``selection_file`` and
    ``selection_frame``. A JSON file beside the output (its path and .json) lists the same.
    `jentmax.report.draw_selection` draws how well they cover the others.

    Features are scaled by the standard deviations of the candidates' environments or, for a data
    set with the same descriptor, by the data set's scale.

    Args:
        path: path of the candidates: a data set or any file that ASE reads.
        output: path to write, as for `jentmax.dataset.export`.
        descriptor: environments -> features.
        structures: to choose.
        method: "coverage", "farthest-point", "entropy" (`least_distances`, `farthest_point`,
            `most_informative`), or "random".
        atoms: of all chosen structures together.
        cost: sum of N^cost_exponent over chosen structures of N atoms.
        cost_exponent: by default 3, as for plane-wave calculations.
        max_distance: of method "coverage": no environment may be farther than this from the nearest
            chosen or given one, in standard deviations of the features.
        given: file of structures that one has already. Environments that they cover need no
            covering, and none of them is chosen.
        seed: of random orders, and of the environments that "coverage" looks at.
        bandwidth: of method "entropy", in the unit of the scaled features; by default Silverman's
            for so many environments.
        duplicates: whether structures that repeat an earlier one of the file may be chosen.
        format: ASE's name of the candidates' format; by default inferred from content or name.
        given_format: ASE's name of the format of ``given``; by default inferred.
        output_format: ASE's name of the output's format; by default inferred from the path.
        overwrite: whether the output may be replaced.
        cache: folder where descriptions are kept, or None.
        callback: called with the name of a phase, its finished and its total amount of work.

    Raises:
        JentmaxError: a file that cannot be read or described, a budget that no structure fits or
            that exceeds all of them, a largest distance that the budget cannot keep, an unknown
            method, or an output that exists, is an input, cannot be written or does not hold all
            that is in the file.
    """
    amount = budget(structures, atoms, cost, cost_exponent)
    _check(method, seed, bandwidth, max_distance, duplicates)
    sources = sources_path(output)
    for target in (output, sources):
        refuse_inputs(target, [path, given])
    refuse_output(output, output_format, overwrite=overwrite)
    refuse_existing(sources, overwrite)
    callback("reading", 0, 1)
    everything = _everything(path, format)
    refuse_output(output, output_format, overwrite=overwrite, structures=everything)
    if replaced := [name for name in _ORIGIN if any(name in atoms.info for atoms in everything)]:
        names = ", ".join(replaced)
        told = f"{os.fspath(output)} will have new values of {names}; the old ones stay in {path}"
        warnings.warn(told, LeftOut, stacklevel=2)

    read = None if is_dataset(path) else everything
    of_file, features = _described(path, descriptor, cache, callback, format, read)
    scale = _stored_scale(path, descriptor)
    kept = np.flatnonzero(~of_file.duplicate | (duplicates == "keep"))
    candidates, features = of_file[kept], features[of_file.rows(kept)]
    sizes = np.diff(candidates.pointer)
    costs = amount.costs(sizes)
    limit = amount.limit(costs, os.fspath(path), _advice(len(of_file) - len(kept)))
    if scale is None:
        scale = features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # constant features
    features = features / scale
    covered = None
    if given is not None:
        others, covered = _described(given, descriptor, cache, callback, given_format)
        _check_species(path, candidates, given, others)
        covered = covered / scale

    def start() -> tuple[Cover, Iterator[int]]:
        cover = Cover(features, candidates.pointer, covered)
        return cover, _order(cover, costs, method, seed, bandwidth, max_distance, covered)

    cover, order = start()
    distances = None if covered is None else np.sqrt(cover.squares)
    growth = grow(
        cover, order, costs, limit, lambda spent: callback("choosing", round(spent), round(limit))
    )
    if not len(growth.chosen):
        raise JentmaxError(
            f"--{amount.option} {amount.text}: {limit:g} does not pay for the first structure of "
            f"method {method!r}; give more, or another --method"
        )
    if max_distance is not None and growth.maximum[-1] > max_distance:
        raise _too_far(*start(), costs, amount, max_distance)
    callback("random orders", 0, _RANDOM_ORDERS)
    begins = np.zeros(len(growth.mean) - len(growth.chosen), int)
    spent = np.concatenate([begins, np.cumsum(sizes[growth.chosen] ** amount.of_random)])
    random_means = _random_coverage(
        features, candidates.pointer, sizes**amount.of_random, spent, seed, distances
    )
    powers = sizes.astype(float) ** amount.exponent
    selection = Selection(
        chosen=kept[growth.chosen],
        method=method,
        candidates=len(candidates),
        candidate_environments=len(features),
        candidate_cost=float(powers.sum()),
        cost_exponent=amount.exponent,
        n_structures=np.arange(len(growth.chosen) + 1)[-len(growth.mean) :],
        n_environments=np.concatenate([begins, np.cumsum(sizes[growth.chosen])]),
        cost=np.concatenate([begins, np.cumsum(powers[growth.chosen])]),
        mean=growth.mean,
        quantile=growth.quantile,
        maximum=growth.maximum,
        random_at="cost" if amount.option == "cost" else "environments",
        random_mean=random_means.mean(axis=0),
        random_spread=random_means.std(axis=0),
    )
    callback("writing", 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # `refuse_output` has warned already
        chosen = _chosen_atoms(path, everything, selection.chosen)
        export(chosen, output, output_format, overwrite=overwrite)
    write_sources(sources, path, selection.chosen)
    return selection


def _check(
    method: str,
    seed: int,
    bandwidth: float | None,
    max_distance: float | None,
    duplicates: str,
) -> None:
    for name, value, allowed in (
        ("--method", method, get_args(Method)),
        ("--duplicates", duplicates, get_args(Duplicates)),
    ):
        if value not in allowed:
            raise JentmaxError(f"{name} {value!r}: must be one of {', '.join(allowed)}")
    if seed < 0:
        raise JentmaxError(f"--seed {seed}: must be at least 0")
    for name, number, owner, example in (
        ("--bandwidth", bandwidth, "entropy", 0.3),
        ("--max-distance", max_distance, "coverage", 1.5),
    ):
        if number is None:
            continue
        if not 0 < number < np.inf:
            raise JentmaxError(
                f"{name} {number}: must be a positive number, in standard deviations of the "
                f"features, such as {example}"
            )
        if method != owner:
            raise JentmaxError(
                f"{name} {number}: method {method!r} has none; leave it out, or give "
                f"--method {owner}"
            )


def _advice(dropped: int) -> str:
    """What to do if there are too few candidates."""
    if not dropped:
        return "; ask for fewer"
    return (
        f" without {dropped} duplicates; ask for fewer, or keep the duplicates (--duplicates keep)"
    )


def _too_far(
    cover: Cover,
    order: Iterator[int],
    costs: np.ndarray,
    amount: Budget,
    max_distance: float,
) -> JentmaxError:
    """The error of a budget that cannot keep a largest distance, with one that can.

    Args:
        cover: with nothing chosen yet.
        order: of all structures.
        costs: of all structures.
        amount: the budget.
        max_distance: that it cannot keep.
    """
    spent = 0.0
    while cover.squares.max() > max_distance**2:
        structure = next(order)
        cover.add(structure)
        spent += costs[structure]
    return JentmaxError(
        f"--max-distance {max_distance:g}: it takes --{amount.option} {np.ceil(spent):.0f}, "
        f"above {amount.text}; give that, or a larger distance"
    )


def _described(
    path: str | os.PathLike[str],
    descriptor: Descriptor,
    cache: Path | None,
    callback: PhaseCallback,
    format: str | None,
    atoms: Sequence[Atoms] | None = None,
) -> tuple[Structures, np.ndarray]:
    phase = f"describing {os.fspath(path)}"
    structures, description = described(
        path, descriptor, cache, lambda done, total: callback(phase, done, total), format, atoms
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
    cover: Cover,
    costs: np.ndarray,
    method: Method,
    seed: int,
    bandwidth: float | None,
    max_distance: float | None,
    given: np.ndarray | None,
) -> Iterator[int]:
    if method == "random":
        return iter(random_order(len(costs), len(costs), seed))
    if method == "entropy":
        width = bandwidth or silverman_bandwidth(*cover.features.shape)
        return most_informative(cover, width, given)
    if method == "farthest-point":
        return farthest_point(cover)
    return least_distances(cover, costs, seed, max_distance or 0.0)


def _random_coverage(
    features: np.ndarray,
    pointer: np.ndarray,
    costs: np.ndarray,
    spent: np.ndarray,
    seed: int,
    distances: np.ndarray | None,
) -> np.ndarray:
    """Mean distances of some environments with structures in random orders, one row an order.

    Args:
        features: of all environments.
        pointer: of all structures.
        costs: of all structures.
        spent: costs at which to look; 0 is before the first structure. An order has at least one
            structure above 0, even if it costs more.
        seed: of the orders.
        distances: from all environments to the given ones.
    """
    generator = np.random.default_rng([seed, _RANDOM_ORDERS])
    drawn = generator.permutation(len(features))[:_ENVIRONMENTS]
    some, before = features[drawn], None if distances is None else distances[drawn]

    def means(number: int) -> np.ndarray:
        order = random_order(len(costs), len(costs), [seed, number])
        bought = np.searchsorted(np.cumsum(costs[order]), spent * (1 + 1e-12), side="right")
        bought = np.where(spent > 0, np.maximum(bought, 1), 0)
        curve = covering_curve(some, _steps(features, pointer, order[: bought[-1]]), before)[0]
        return curve[bought - (before is None)]

    with ThreadPoolExecutor(n_cores()) as pool:
        return np.array(list(pool.map(means, range(_RANDOM_ORDERS))))


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
    for rank, (atoms, frame) in enumerate(zip(structures, chosen, strict=True)):
        atoms.info |= dict(zip(_ORIGIN, (rank, os.fspath(path), int(frame)), strict=True))
    return structures
