"""The search for the largest K that keeps a least distance between atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from jentmax.dataset import Structures
from jentmax.devices import in_threads
from jentmax.errors import JentmaxError
from jentmax.generation._resolved import NOT_FINITE, Resolved

KEPT = 0.985
"""Fraction of structures that should keep the least distance at the chosen K. The promise is 0.95;
the trials determine the fraction to about 0.015, and the small-sample quantile is biased high."""

TRIALS = 32
"""Trial chains per window, rounded up to a multiple of the batch size."""

_CYCLES = 2
"""Largest number of cycles per trial chain; later structures are less crowded."""

_FIRST_CHAIN = 2**29
"""Number of the first trial chain, far above those of the set."""

_EXTREMES = 0.1, 1e6
"""Smallest and largest trial K, in eV."""

_HALF_WIDTHS = 0.6, 0.3, *[0.15] * 6
"""Half widths of the later windows, in ln K. The search ends at the first narrow window whose
estimate lies in its middle half, because scatter and slope vary with K."""


def largest_entropy_weight(
    resolved: Resolved,
    stream: int,
    devices: int | None,
    show: Callable[[str], None] = lambda phase: None,
) -> float:
    """The largest K for which 95 % of the structures keep ``min_distance``, in eV.

    The search makes trial structures with the settings of the set, each at a different K: first
    over all orders of magnitude, then in narrowing windows around the K where atoms become too
    close. There the least distance falls linearly with ln K, with scatter. K is where the line,
    minus a quantile of the scatter, crosses ``min_distance``. It depends only on the recipe, the
    seed and the batch size.

    Args:
        resolved: the recipe; its K is ignored.
        stream: number of the formula; K depends on it.
        devices: number of CPU cores or GPUs to use; None for all.
        show: called with the current phase.

    Raises:
        JentmaxError: structures are too close at every K, or at none.
    """
    asked, own = resolved.recipe.min_distance, resolved.streams[stream]
    size = own.batch_size
    n_batches = -(-TRIALS // size)
    n_used = 0

    def trials(low: float, high: float, n_cycles: int) -> tuple[np.ndarray, np.ndarray]:
        """ln K of trials between two values, and the least distances of their structures."""
        nonlocal n_used
        logs = np.linspace(low, high, n_batches * size)
        first = _FIRST_CHAIN + n_used
        n_used += len(logs)

        def progress(fraction: float) -> None:
            show(f"finding K for {own.formula}, {n_used} structures")

        def batch(device: object, number: int) -> list[Structures]:
            rows = slice(number * size, (number + 1) * size)
            chains = first + np.arange(len(logs))[rows]
            made: list[Structures] = []
            for cycle in range(n_cycles):
                before = made[-1] if made else None
                weights = np.exp(logs[rows])
                made.append(
                    resolved.run(stream, chains, cycle, weights, before, device, progress)  # pyright: ignore[reportArgumentType]
                )
            return made

        batches = in_threads(batch, range(n_batches), devices)
        distances = [
            np.where(made.columns["status"] != NOT_FINITE, made.columns["least_distance"], 0.0)
            for cycle in zip(*batches, strict=True)
            for made in cycle
        ]
        return np.tile(logs, n_cycles), np.concatenate(distances)

    least, most = np.log(_EXTREMES)
    logs, distances = trials(least, most, 1)
    middle = _threshold(logs, distances >= asked)
    if middle is None:
        reach = "all structures are closer" if distances[0] < asked else "no structure is closer"
        do = "smaller" if distances[0] < asked else "larger"
        raise JentmaxError(
            f'min_distance = {asked:g} Å: {reach} at any entropy_weight ("auto" tries '
            f"{_EXTREMES[0]:g} to {_EXTREMES[1]:g} eV); give a {do} min_distance, or a number as "
            "the entropy_weight"
        )
    n_cycles = min(_CYCLES, resolved.recipe.cycles_per_chain)

    def trials_near(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        return trials(low, high, n_cycles)

    return float(np.exp(_refined(trials_near, middle, asked)))


def _threshold(logs: np.ndarray, kept: Bool[np.ndarray, " n"]) -> float | None:
    """ln K that best separates trials that keep the distance from others; None if all agree."""
    wrong = [np.sum(~kept[:n]) + np.sum(kept[n:]) for n in range(len(logs) + 1)]
    n = int(np.argmin(wrong))
    return None if n in (0, len(logs)) else (logs[n - 1] + logs[n]) / 2


def _refined(
    trials: Callable[[float, float], tuple[np.ndarray, np.ndarray]], middle: float, asked: float
) -> float:
    """ln K from narrowing windows, until the estimate lies well inside a window."""
    logs, distances = np.empty(0), np.empty(0)
    for half_width in _HALF_WIDTHS:
        found = trials(middle - half_width, middle + half_width)
        logs, distances = np.append(logs, found[0]), np.append(distances, found[1])
        near = np.abs(logs - middle) <= 2 * half_width
        estimate = crossing(logs[near], distances[near], asked)
        before, middle = middle, float(np.clip(estimate, middle - 0.6, middle + 0.6))
        if half_width == _HALF_WIDTHS[-1] and abs(middle - before) <= half_width / 2:
            break
    return middle


def crossing(
    logs: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"], asked: float
) -> float:
    """ln K at which a fraction `KEPT` of the structures keeps a least distance.

    Args:
        logs: ln K of the trials.
        distances: least distances of the trials, in Å.
        asked: the least distance to keep, in Å.

    >>> import numpy as np
    >>> logs = np.linspace(5, 6, 1000)
    >>> scatter = np.linspace(-0.05, 0.05, 1000).reshape(10, 100).T.ravel()  # by turns
    >>> round(crossing(logs, 2.0 - 0.2 * (logs - 5.7) + scatter, asked=2.0), 1)
    5.5
    """
    slope, level = np.polyfit(logs, distances, 1)
    scatter = distances - (slope * logs + level)
    if slope >= 0:  # no more than noise
        return float(np.mean(logs))
    return float((asked - level - np.quantile(scatter, 1 - KEPT)) / slope)
