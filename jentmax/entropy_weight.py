"""The K that suits a cell: the largest at which atoms keep their distance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from jentmax.batch import Runner
from jentmax.chains import first_chain
from jentmax.config import Settings
from jentmax.errors import JentmaxError
from jentmax.potential import Potential

KEPT = 0.985
"""Share of the structures that should keep the least distance at the K that is found. What is asked
for is 0.95; from so many trials the share is known to about 0.015, and the lowest ones, of which
there are few, look farther apart than they are."""

TRIALS = 32
"""Chains that are tried at a time; more where the batch size is no divisor of it."""

_CYCLES = 2
"""Cycles of each, if the chains of the set have as many: later structures are less crowded."""

_FIRST_CHAIN = 2**29
"""Trial chains are numbered from here, apart from those that give structures."""

_EXTREMES = 0.1, 1e6
"""Least and largest K that are tried, in eV."""

_HALF_WIDTHS = 0.6, 0.3, *[0.15] * 6
"""Of the later windows, in ln K. They end with the first of the narrow ones that has its estimate
in its middle half: the scatter is not the same everywhere, nor is the slope."""


def largest_entropy_weight(
    settings: Settings,
    n_atoms: int,
    runner: Runner,
    potential: Potential,
) -> float:
    """The largest K at which 95 % of the structures keep ``potential.min_distance``, in eV.

    Structures are made as those of the set will be, each at a K of its own: first over all orders
    of magnitude, then ever nearer to where they begin to come too close. There the least distance
    falls linearly with ln K, and scatters; K is where the line, less the scatter's quantile,
    crosses the distance that is asked for. It depends on the seed, the settings and the batch size
    alone.

    Args:
        settings: of the run, with a number as the batch size.
        n_atoms: in the cell; K depends on it.
        runner: that will make the structures.
        potential: in which they will anneal.

    Raises:
        JentmaxError: if structures come too close at any K, or at none.
    """
    asked = settings.potential.min_distance
    sizes = settings.system.atom_counts()
    batch_size = int(settings.run.batch_size)
    n_trials = -(-TRIALS // batch_size) * batch_size
    first = _FIRST_CHAIN - _FIRST_CHAIN % len(sizes) + sizes.index(n_atoms)
    numbers = iter(range(first, 2**30, len(sizes)))

    def tried(low: float, high: float, n_cycles: int) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of K between two, and the least distances that structures then have."""
        logs = np.linspace(low, high, n_trials)
        chains = [
            first_chain(settings, number).weighing(float(np.exp(log)))
            for log, number in zip(logs, numbers, strict=False)
        ]
        distances = []
        for _ in range(n_cycles):
            harvest = runner.cycle(potential, chains, f"finding K for {n_atoms} atoms")
            distances.append(np.where(harvest.finite, harvest.columns["least_distance"], 0.0))
            chains = [
                chain.harvested(positions)
                for chain, positions in zip(chains, harvest.positions, strict=True)
            ]
        return np.tile(logs, n_cycles), np.concatenate(distances)

    least, most = np.log(_EXTREMES)
    logs, distances = tried(least, most, 1)
    middle = _threshold(logs, distances >= asked)
    if middle is None:
        come = "all structures come closer" if distances[0] < asked else "no structure comes closer"
        do = "smaller" if distances[0] < asked else "larger"
        raise JentmaxError(
            f"potential.min_distance = {asked:g} Å: {come} whatever "
            f'potential.entropy_weight is ("auto" tries {_EXTREMES[0]:g} to {_EXTREMES[1]:g} eV); '
            f"give a {do} min_distance, or a number as the entropy_weight"
        )
    n_cycles = min(_CYCLES, settings.run.cycles_per_chain)

    def tried_near(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        return tried(low, high, n_cycles)

    return float(np.exp(_refined(tried_near, middle, asked)))


def _threshold(logs: np.ndarray, kept: Bool[np.ndarray, " n"]) -> float | None:
    """Where trials, by ascending K, go over from keeping the distance to not; None if nowhere."""
    wrong = [np.sum(~kept[:n]) + np.sum(kept[n:]) for n in range(len(logs) + 1)]
    n = int(np.argmin(wrong))
    return None if n in (0, len(logs)) else (logs[n - 1] + logs[n]) / 2


def _refined(
    tried: Callable[[float, float], tuple[np.ndarray, np.ndarray]], middle: float, asked: float
) -> float:
    """ln K by ever narrower windows, until one has its estimate within."""
    logs, distances = np.empty(0), np.empty(0)
    for half_width in _HALF_WIDTHS:
        found = tried(middle - half_width, middle + half_width)
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
    """ln K at which a share `KEPT` of the structures is at least so far apart.

    Args:
        logs: ln K of the trials.
        distances: their least distances, in Å.
        asked: in Å.

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
