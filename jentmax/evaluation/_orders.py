"""Greedy orders of structures, based on the features of their environments.

Selecting a structure adds all its environments at once. Farthest-point sampling in skmatter and
submodular selection in apricot select single rows only, so this module implements its own.

An order is an iterator of structure numbers. `grow` takes structures from it until the budget is
spent, and adds each to the `Cover` before it asks for the next one. No order looks at the budget,
so every order is nested: a smaller budget buys the beginning of what a larger one buys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from jentmax.devices import n_cores

_PAIRS = 2**18
"""Pairs of environments per block; their distances fit into the cache of a core."""

_TARGETS = 6_000
"""Environments whose distances `least_distances` lowers, about."""

_ROUGH = 1_000
"""Environments, drawn at random, that show where the others are dense."""

_KEPT = 1_000
"""Targets whose distances to a structure are kept, if no others can gain from it."""

_TOGETHER = 256
"""Environments of several structures whose gains are computed together, about."""


class Cover:
    """All environments, with their distances to the nearest covered one.

    Attributes:
        features: scaled features of all environments, sorted by structure, shape (N, n_features).
        pointer: environments of structure k are ``pointer[k]:pointer[k + 1]``, shape (n + 1,).
        squares: squared distance from each environment to the nearest covered one; infinite while
            nothing is covered. Shape (N,).
        free: whether a structure can still be chosen, shape (n,).
        taken: whether an environment belongs to a chosen structure, shape (N,).
    """

    def __init__(
        self, features: np.ndarray, pointer: np.ndarray, given: np.ndarray | None = None
    ) -> None:
        """Start with nothing covered, or with the environments ``given``, shape (M, n_features)."""
        self.features, self.pointer = features, pointer
        self.squares = np.full(len(features), np.inf)
        if given is not None:
            self.squares = nearest_distances(features, given) ** 2
        self.free = np.ones(len(pointer) - 1, bool)
        self.taken = np.zeros(len(features), bool)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is covered yet."""
        return bool(np.isinf(self.squares[0]))

    def own(self, structure: int) -> slice:
        """Where the environments of a structure are."""
        return slice(self.pointer[structure], self.pointer[structure + 1])

    def add(self, structure: int) -> None:
        """Choose a structure."""
        own = self.own(structure)
        _lower(self.squares, self.features, self.features[own])
        self.free[structure] = False
        self.taken[own] = True

    def most_central(self) -> int:
        """The structure with the environment nearest to the mean of all."""
        squares = ((self.features - self.features.mean(axis=0)) ** 2).sum(axis=1)
        return self._structure_of(int(squares.argmin()))

    def farthest(self) -> int:
        """The structure with the environment farthest from the covered ones."""
        return self._structure_of(int(np.where(self.taken, -np.inf, self.squares).argmax()))

    def _structure_of(self, environment: int) -> int:
        return int(np.searchsorted(self.pointer, environment, side="right")) - 1


@dataclasses.dataclass(frozen=True)
class Growth:
    """What a budget buys, and the distances to the nearest covered environment meanwhile.

    Attributes:
        chosen: numbers of the structures in the order of selection, shape (m,).
        mean: mean distance after each structure, and before the first one if environments were
            given, shape (m,) or (m + 1,).
        quantile: the distance that 95 % of the environments do not exceed, of the same shape.
        maximum: largest distance, of the same shape.
    """

    chosen: np.ndarray
    mean: np.ndarray
    quantile: np.ndarray
    maximum: np.ndarray


def grow(
    cover: Cover,
    order: Iterator[int],
    costs: np.ndarray,
    budget: float,
    callback: Callable[[float], None] = lambda spent: None,
) -> Growth:
    """Choose structures in an order, up to the first one that the rest of the budget cannot buy.

    Args:
        cover: what is covered before; holds the chosen structures afterwards.
        order: of all structures; asked for the next one after the cover holds those before.
        costs: of each structure, shape (n,).
        budget: for all structures together.
        callback: called with what is spent, after each structure.
    """
    chosen: list[int] = []
    states = [] if cover.is_empty else [_state(cover)]
    spent = 0.0
    for structure in order:
        # Sums of costs such as N^2.7 are rounded.
        if spent + costs[structure] > budget * (1 + 1e-12):
            break
        cover.add(structure)
        chosen.append(structure)
        states.append(_state(cover))
        spent += costs[structure]
        callback(spent)
    means, quantiles, maxima = np.array(states).reshape(-1, 3).T
    return Growth(np.array(chosen, int), means, quantiles, maxima)


def _state(cover: Cover) -> tuple[float, float, float]:
    distances = np.sqrt(cover.squares)
    return distances.mean(), np.quantile(distances, 0.95), distances.max()


def farthest_point(cover: Cover) -> Iterator[int]:
    """Select structures by farthest-point sampling of their environments.

    Each step selects the structure with the environment farthest from all covered environments.
    If nothing is covered, the first step selects the environment nearest to the mean. Ties go to
    the first environment. With one environment per structure, the largest distance is at most twice
    the optimum over all selections (doi:10.1016/0304-3975(85)90224-5).
    """
    if cover.is_empty:
        yield cover.most_central()
    while cover.free.any():
        yield cover.farthest()


def least_distances(
    cover: Cover,
    costs: np.ndarray,
    seed: int = 0,
    max_distance: float = 0.0,
    targets: int = _TARGETS,
) -> Iterator[int]:
    """Select structures that lower the sum of squared distances most for their cost.

    The first structure has the environment nearest to the mean, unless something is covered. Each
    step then selects the structure whose environments lower the sum most per cost. With equal costs
    the sum falls by at least 63 % of what the best selection of as many structures reaches
    (doi:10.1007/BF01588971). Gains only shrink as the cover grows, so few of them are computed
    again in each step.

    The sum runs over a weighted sample of environments, in which those far from most others are
    almost certain to be (sensitivity sampling, doi:10.1145/3219819.3219973). When all of these are
    covered, the order goes on as `farthest_point`.

    Args:
        cover: as for `grow`.
        costs: as for `grow`.
        seed: of the sample.
        max_distance: if positive, the order begins with structures that bring all environments
            within this distance: each step selects the structure with most environments newly
            within it per cost.
        targets: environments in the sample, about.
    """
    if cover.is_empty:
        yield cover.most_central()
    sample, weights = _weighted_sample(cover.features, targets, seed)
    if max_distance > 0:
        square = max_distance**2
        yield from _greedy(cover, costs, sample, weights, _Gain(square))
        # Those that are not in the sample.
        beyond = np.flatnonzero(cover.squares > square)
        yield from _greedy(cover, costs, beyond, np.ones(len(beyond)), _Gain(square))
    yield from _greedy(cover, costs, sample, weights, _Gain())
    yield from farthest_point(cover)


@dataclasses.dataclass(frozen=True)
class _Gain:
    """What targets gain if their squared distance falls.

    Without a limit they gain the difference. With a limit they gain 1 if they come within it.
    """

    limit: float | None = None

    def __call__(self, squares: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Gains that are positive where `useful`."""
        return before - squares if self.limit is None else np.ones_like(squares)

    def useful(self, squares: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Where something is gained; if not now, then never, because ``before`` only falls."""
        if self.limit is None:
            return squares < before
        return (squares <= self.limit) & (before > self.limit)


def _greedy(
    cover: Cover,
    costs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    gain: _Gain,
) -> Iterator[int]:
    """Structures by the gain of weighted targets per cost, while there is any."""
    if not len(targets):
        return
    features = cover.features[targets]
    useful: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def all_gains(structures: np.ndarray) -> np.ndarray:
        """Of structures that lie one after the other."""
        own = cover.features[cover.pointer[structures[0]] : cover.pointer[structures[-1] + 1]]
        starts = cover.pointer[structures] - cover.pointer[structures[0]]
        total = np.zeros(len(structures))
        for block, distances in _squared_distances(features, own):
            squares = np.minimum.reduceat(distances, starts, axis=0)
            gains = gain(squares, before[block]) * gain.useful(squares, before[block])
            total += gains @ weights[block]
        return total

    def gain_of(structure: int) -> float:
        if structure in useful:
            which, squares = useful[structure]
        else:
            which, squares = np.arange(len(targets)), np.full(len(targets), np.inf)
            _lower(squares, features, cover.features[cover.own(structure)])
        left = gain.useful(squares, before[which])
        which, squares = which[left], squares[left]
        if len(which) <= _KEPT:
            useful[structure] = which, squares
        return float(gain(squares, before[which]) @ weights[which])

    before = cover.squares[targets]
    groups = np.split(
        np.arange(len(costs)), np.flatnonzero(np.diff(cover.pointer[:-1] // _TOGETHER)) + 1
    )
    with ThreadPoolExecutor(n_cores()) as pool:  # SciPy's distances do not hold Python's lock
        ratios = np.concatenate(list(pool.map(all_gains, groups))) / costs
    computed = np.zeros(len(costs), int)  # in which step
    for step in range(len(costs)):
        while computed[best := int(ratios.argmax())] != step:
            ratios[best] = gain_of(best) / costs[best]
            computed[best] = step
        if not ratios[best] > 0:
            return
        yield best
        before = cover.squares[targets]


def _weighted_sample(features: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of about n environments, and how many others each stands for.

    Half of the probability is equal for all, half in proportion to the distance from a rough random
    sample, which is large for rare environments. Weights are inverse probabilities.
    """
    number = len(features)
    if number <= n:
        return np.arange(number), np.ones(number)
    generator = np.random.default_rng(seed)
    rough = features[generator.permutation(number)[:_ROUGH]]
    distances = nearest_distances(features, rough)
    wanted = 1 / number + distances / max(distances.sum(), np.finfo(float).tiny)
    factor = n / wanted.sum()
    for _ in range(20):  # none above 1, and n in all
        factor *= n / np.minimum(factor * wanted, 1).sum()
    probabilities = np.minimum(factor * wanted, 1)
    drawn = np.flatnonzero(generator.random(number) < probabilities)
    return drawn, 1 / probabilities[drawn]


def most_informative(
    cover: Cover, bandwidth: float, given: np.ndarray | None = None
) -> Iterator[int]:
    """Select structures by their rarest environment and their own entropy, as QUESTS's msc does.

    An environment y adds ``-ln sum_j exp(-|y - x_j|^2 / 2 h^2)`` nats to environments x_j
    (doi:10.1038/s41467-025-59232-0). Each step selects the structure with the largest sum of two
    terms: what its rarest environment adds to the covered ones, and the entropy of its own
    environments. If nothing is covered yet, the first step looks at the entropy alone. Ties go to
    the first structure.

    Args:
        cover: as for `grow`.
        bandwidth: h, in units of the scaled features.
        given: features of environments that are covered, shape (M, n_features); 10^9 pairs of given
            and candidate environments take about ten seconds.
    """
    features, pointer = cover.features, cover.pointer
    own = np.array([_entropy(piece, bandwidth) for piece in np.split(features, pointer[1:-1])])
    log_sums = np.full(len(features), -np.inf)
    gains = own
    if given is not None:
        for some in np.array_split(given, -(-len(given) // 256)):
            _add(log_sums, features, some, bandwidth)
        gains = own + np.maximum.reduceat(-log_sums, pointer[:-1])
    while cover.free.any():
        structure = int(np.where(cover.free, gains, -np.inf).argmax())
        yield structure
        _add(log_sums, features, features[cover.own(structure)], bandwidth)
        gains = own + np.maximum.reduceat(-log_sums, pointer[:-1])


def random_order(n: int, n_structures: int, seed: int | list[int]) -> np.ndarray:
    """The first ``n_structures`` of n structures in random order, shape (n_structures,)."""
    return np.random.default_rng(seed).permutation(n)[:n_structures]


def nearest_distances(features: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Distance from each environment to the nearest covered one, shape (N,)."""
    distances, _ = KDTree(covered).query(features)
    return np.asarray(distances)


def covering_curve(
    features: np.ndarray, steps: Iterable[np.ndarray], distances: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from environments to the nearest covered one, as the selection grows.

    Args:
        features: scaled features of the environments to cover, shape (N, n_features).
        steps: features of the environments that each step adds, shapes (n, n_features).
        distances: distances before the first step, if some environments are already covered,
            shape (N,).

    Returns:
        Mean and maximum after each step, and with ``distances`` also before the first step.
    """
    nearest = np.full(len(features), np.inf) if distances is None else distances**2
    after = [] if distances is None else [(distances.mean(), distances.max())]
    for some in steps:
        _lower(nearest, features, some)
        after.append((np.sqrt(nearest).mean(), np.sqrt(nearest.max())))
    means, maxima = np.array(after).T
    return means, maxima


def _lower(nearest: np.ndarray, features: np.ndarray, new: np.ndarray) -> None:
    """Update squared distances to the nearest covered environment with new ones, in place."""
    for block, squares in _squared_distances(features, new):
        np.minimum(nearest[block], squares.min(axis=0), out=nearest[block])


def _entropy(features: np.ndarray, bandwidth: float) -> float:
    """Entropy of environments, ``-mean_i ln(sum_j exp(-|x_i - x_j|^2 / 2 h^2) / n)``, in nats."""
    log_sums = np.full(len(features), -np.inf)
    _add(log_sums, features, features, bandwidth)
    return float(np.log(len(features)) - log_sums.mean())


def _add(log_sums: np.ndarray, features: np.ndarray, new: np.ndarray, bandwidth: float) -> None:
    """Add new environments to logarithms of kernel sums, in place."""
    for block, squares in _squared_distances(features, new):
        exponents = np.multiply(squares, -0.5 / bandwidth**2, out=squares)
        # Without this, the sum underflows in float64 if the nearest is 40 bandwidths away.
        largest = exponents.max(axis=0)
        exponents -= largest
        sums = largest + np.log(np.exp(exponents, out=exponents).sum(axis=0))
        np.logaddexp(log_sums[block], sums, out=log_sums[block])


def _squared_distances(features: np.ndarray, new: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances from new environments to all environments, in blocks of the latter.

    They come from differences, not products, so that equal environments are at distance 0.
    """
    rows = max(1, _PAIRS // len(new))
    for first in range(0, len(features), rows):
        block = slice(first, first + rows)
        yield block, cdist(new, features[block], "sqeuclidean")
