"""Greedy orders of structures, against plain code and other programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quests.entropy import delta_entropy, entropy
from scipy.spatial.distance import cdist
from skmatter.sample_selection import FPS

from jentmax.evaluation import (
    Cover,
    covering_curve,
    farthest_point,
    grow,
    least_distances,
    most_informative,
    nearest_distances,
    random_order,
)
from jentmax.evaluation._orders import _weighted_sample


def structures(n=30, seed=0, n_features=3, atoms=(1, 9)):
    """Random features of structures of several sizes, and where each begins."""
    rng = np.random.default_rng(seed)
    pointer = np.concatenate([[0], np.cumsum(rng.integers(atoms[0], atoms[1], n))])
    return rng.normal(size=(pointer[-1], n_features)), pointer


def split(features, pointer):
    return np.split(features, pointer[1:-1])


def clusters(seed=0, n_rare=5, n_common=400):
    """One-atom structures in a dense cluster, and a few in as many clusters of their own."""
    rng = np.random.default_rng(seed)
    centers = 100 * np.eye(n_rare + 1)[np.repeat(range(n_rare + 1), [n_common] + [2] * n_rare)]
    features = centers + rng.normal(size=centers.shape)
    return features, np.arange(len(features) + 1)


def take(cover, order, n):
    """The first n structures of an order."""
    return grow(cover, order, np.ones(len(cover.free)), n).chosen


def farthest(features, pointer, n, given=None):
    cover = Cover(features, pointer, given)
    return take(cover, farthest_point(cover), n)


def informative(features, pointer, n, bandwidth=0.4, given=None):
    cover = Cover(features, pointer, given)
    return take(cover, most_informative(cover, bandwidth, given), n)


def covering(features, pointer, n, given=None):
    """Per atom."""
    cover = Cover(features, pointer, given)
    return take(cover, least_distances(cover, np.diff(pointer)), n)


def bounded(features, pointer, n, given=None):
    cover = Cover(features, pointer, given)
    return take(cover, least_distances(cover, np.diff(pointer), max_distance=1.0), n)


ORDERS = {
    "farthest-point": farthest,
    "entropy": lambda features, pointer, n, *given: informative(features, pointer, n, 0.4, *given),
    "coverage": covering,
    "bounded": bounded,
}


# Farthest points


def farthest_by_hand(features, pointer, n_structures, covered):
    pieces, chosen = split(features, pointer), []
    while len(chosen) < n_structures:
        taken = [covered, *(pieces[k] for k in chosen)]
        known = np.concatenate([some for some in taken if some is not None] or [features[:0]])
        if len(known):
            gains = [cdist(piece, known).min(axis=1).max() for piece in pieces]
        else:
            gains = [-np.linalg.norm(piece - features.mean(0), axis=1).min() for piece in pieces]
        chosen.append(max(set(range(len(pieces))) - set(chosen), key=lambda k: gains[k]))
    return chosen


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("with_given", [False, True])
def test_farthest_points_by_hand(seed, with_given):
    features, pointer = structures(seed=seed)
    covered = structures(4, seed=9)[0] if with_given else None
    expected = farthest_by_hand(features, pointer, 30, covered)
    assert farthest(features, pointer, 30, covered).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_single_environments_as_skmatter_takes_them(seed):
    features = np.random.default_rng(seed).normal(size=(200, 6))
    chosen = farthest(features, np.arange(201), 100)
    first = np.linalg.norm(features - features.mean(axis=0), axis=1).argmin()
    theirs = FPS(initialize=int(first), n_to_select=100).fit(features)
    assert chosen.tolist() == theirs.selected_idx_.tolist()


def test_a_structure_covers_all_of_its_environments():
    """The far environment brings the two beside it, so that the next one lies elsewhere."""
    features = np.array([[0.0], [10.0], [-6.0], [-7.0], [4.0]])
    pointer = np.array([0, 1, 3, 4, 5])
    # the mean is 0.2: first structure 0, then the one at 10 with -6; -7 is then nearer than 4
    assert farthest(features, pointer, 4).tolist() == [0, 1, 3, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_farthest_points_cover_at_most_twice_as_badly_as_any(seed):
    """Gonzalez' bound for single environments, against all choices of three."""
    features = np.random.default_rng(seed).normal(size=(9, 2))
    pointer = np.arange(10)
    distances = cdist(features, features)
    radius = distances[farthest(features, pointer, 3)].min(axis=0).max()
    choices = np.array(np.meshgrid(*[range(9)] * 3)).reshape(3, -1)
    least = distances[choices].min(axis=0).max(axis=1).min()
    assert radius <= 2 * least * (1 + 1e-12)  # rounding


# Information


def informative_by_hand(features, pointer, n_structures, bandwidth, covered):
    pieces, chosen = split(features, pointer), []
    while len(chosen) < n_structures:
        taken = [covered, *(pieces[k] for k in chosen)]
        known = np.concatenate([some for some in taken if some is not None] or [features[:0]])
        if len(known):
            gains = [
                delta_entropy(piece, known, h=bandwidth).max() + entropy(piece, h=bandwidth)
                for piece in pieces
            ]
        else:
            gains = [entropy(piece, h=bandwidth) for piece in pieces]
        chosen.append(max(set(range(len(pieces))) - set(chosen), key=lambda k: gains[k]))
    return chosen


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("with_given", [False, True])
def test_information_as_quests_has_it(seed, with_given):
    features, pointer = structures(seed=seed)
    covered = structures(200, seed=9)[0] if with_given else None  # more than one block
    # Wide enough for quests, whose kernels are 0 beyond some 38 bandwidths.
    chosen = informative(features, pointer, 20, 0.6, covered)
    assert chosen.tolist() == informative_by_hand(features, pointer, 20, 0.6, covered)


def test_information_is_finite_however_far():
    """Hundreds of bandwidths away, where every kernel is 0 in float64, order goes by distance."""
    features = np.array([[0.0], [1000.0], [3000.0], [2000.0]])
    chosen = informative(features, np.arange(5), 4, 1.0, given=np.array([[0.0]]))
    assert chosen.tolist() == [2, 1, 3, 0]


def test_one_rare_environment_counts_among_many_common_ones():
    """Its structure comes before one whose environments are rarer on average."""
    features = np.concatenate([np.zeros(9), [8.0], np.full(2, 5.0)])[:, None]
    chosen = informative(features, np.array([0, 10, 12]), 1, 1.0, given=np.zeros((1, 1)))
    assert chosen.tolist() == [0]


def test_equal_environments_add_nothing():
    """Of two structures that nothing is known of, the one with more different environments."""
    features = np.array([[0.0], [0.0], [0.0], [5.0], [6.0]])
    assert informative(features, np.array([0, 3, 5]), 1, 1.0).tolist() == [1]


# Distances per cost


def reduction(squares, before, max_distance):
    """What a structure cuts: the sum of squares, or the number beyond a distance."""
    after = np.minimum(before, squares)
    if max_distance and (before > max_distance**2).any():
        return ((before > max_distance**2) & (after <= max_distance**2)).sum()
    return (before - after).sum()


def covering_by_hand(features, pointer, costs, n_structures, covered, max_distance):
    pieces, chosen = split(features, pointer), []
    squares = [(cdist(features, piece) ** 2).min(axis=1) for piece in pieces]
    if covered is None:
        distances = np.linalg.norm(features - features.mean(axis=0), axis=1)
        chosen.append(
            min(range(len(pieces)), key=lambda k: distances[slice(*pointer[k:][:2])].min())
        )
        before = squares[chosen[0]].copy()
    else:
        before = cdist(features, covered).min(axis=1) ** 2
    while len(chosen) < n_structures:
        gains = [reduction(some, before, max_distance) / costs[k] for k, some in enumerate(squares)]
        chosen.append(int(np.argmax(gains)))
        before = np.minimum(before, squares[chosen[-1]])
    return chosen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("exponent", [0, 1, 3])
@pytest.mark.parametrize("max_distance", [0.0, 1.2])
@pytest.mark.parametrize("with_given", [False, True])
def test_distances_per_cost_by_hand(seed, exponent, max_distance, with_given):
    features, pointer = structures(seed=seed)
    costs = np.diff(pointer).astype(float) ** exponent
    covered = structures(4, seed=9)[0] if with_given else None
    cover = Cover(features, pointer, covered)
    order = least_distances(cover, costs, max_distance=max_distance)
    expected = covering_by_hand(features, pointer, costs, 25, covered, max_distance)
    assert take(cover, order, 25).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_distances_fall_by_63_percent_of_what_any_choice_reaches(seed):
    """The bound of Nemhauser, Wolsey and Fisher, against all choices of three beside the given."""
    features, pointer = structures(9, seed=seed)
    given = np.zeros((1, 3))
    cover = Cover(features, pointer, given)
    start = cover.squares.sum()
    squares = [(cdist(features, some) ** 2).min(axis=1) for some in split(features, pointer)]
    best = min(
        np.minimum.reduce([cover.squares, squares[a], squares[b], squares[c]]).sum()
        for a in range(9)
        for b in range(a)
        for c in range(b)
    )
    take(cover, least_distances(cover, np.ones(9)), 3)
    assert start - cover.squares.sum() >= (1 - 1 / np.e) * (start - best) * (1 - 1e-12)


@pytest.mark.parametrize("targets", [20, 10_000])
def test_the_largest_distance_is_bounded_first(targets):
    """Also of environments that are not in the sample."""
    features, pointer = structures(200, n_features=2)
    costs = np.diff(pointer)
    cover = Cover(features, pointer)
    order = least_distances(cover, costs, max_distance=0.3, targets=targets)
    growth = grow(cover, order, costs, costs.sum())
    bounded = int(np.argmax(growth.maximum <= 0.3))
    assert 5 < bounded < 150
    # Before that, each structure brought some environment within it.
    for step in range(1, bounded + 1):
        known = np.concatenate([split(features, pointer)[k] for k in growth.chosen[:step]])
        own = split(features, pointer)[growth.chosen[step]]
        outside = cdist(features, known).min(axis=1) > 0.3
        assert (outside & (cdist(features, own).min(axis=1) <= 0.3)).any()
    assert sorted(growth.chosen) == list(range(200))


def test_a_sample_stands_for_all_environments():
    """Its weighted mean of anything is that of all, and a far environment is in it."""
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(20_000, 2)), [[60.0, 0.0], [0.0, 60.0]]])
    drawn, weights = _weighted_sample(features, 2_000, 0)
    assert 1_800 < len(drawn) < 2_200  # four standard deviations of a binomial number
    assert {20_000, 20_001} <= set(drawn)
    squares = (features**2).sum(axis=1)
    # Four standard errors of the mean of 2,000.
    assert weights.sum() == pytest.approx(20_002, rel=0.09)
    assert squares[drawn] @ weights == pytest.approx(squares.sum(), rel=0.09)


def test_a_sample_covers_nearly_as_well_as_all():
    features, pointer = structures(600, n_features=2)
    costs = np.diff(pointer)
    means = []
    for targets in (300, len(features)):
        cover = Cover(features, pointer)
        order = least_distances(cover, costs, targets=targets)
        means.append(grow(cover, order, costs, 200).mean[-1])
    at_random = covering_curve(features, split(features, pointer)[:44])[0][-1]
    assert means[1] <= means[0] < 0.5 * (means[1] + at_random)


# Budgets


def test_a_budget_buys_the_beginning_of_what_a_larger_one_buys():
    features, pointer = structures(40)
    costs = np.diff(pointer).astype(float) ** 2.7
    chosen = []
    for budget in (costs.sum(), 0.5 * costs.sum(), 0.1 * costs.sum()):
        cover = Cover(features, pointer)
        growth = grow(cover, least_distances(cover, costs), costs, budget)
        chosen.append(growth.chosen.tolist())
        assert costs[growth.chosen].sum() <= budget * (1 + 1e-12)
    everything, half, tenth = chosen
    assert sorted(everything) == list(range(40))
    assert half == everything[: len(half)]
    assert tenth == half[: len(tenth)]
    # The next one does not fit.
    assert costs[everything[: len(half) + 1]].sum() > 0.5 * costs.sum()


def test_growth_by_hand():
    features, pointer = structures(20)
    cover = Cover(features, pointer)
    growth = grow(cover, farthest_point(cover), np.diff(pointer), 30)
    for step in range(1, len(growth.chosen) + 1):
        known = np.concatenate([split(features, pointer)[k] for k in growth.chosen[:step]])
        nearest = cdist(features, known).min(axis=1)
        values = (growth.mean[step - 1], growth.quantile[step - 1], growth.maximum[step - 1])
        expected = (nearest.mean(), np.quantile(nearest, 0.95), nearest.max())
        assert values == pytest.approx(expected, rel=1e-12)


# All of them


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("with_given", [False, True])
def test_nested(order, with_given):
    features, pointer = structures(40)
    more = [structures(5, seed=9)[0]] if with_given else []
    everything = order(features, pointer, 40, *more)
    assert sorted(everything) == list(range(40))
    for n in (1, 2, 7, 39):
        assert order(features, pointer, n, *more).tolist() == everything[:n].tolist()


def test_random_orders():
    everything = random_order(50, 50, 3)
    assert sorted(everything) == list(range(50))
    assert random_order(50, 20, 3).tolist() == everything[:20].tolist()
    assert random_order(50, 50, 4).tolist() != everything.tolist()


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_repeated_structures_come_last(order):
    """All the same structures four times: none again before each was taken once."""
    features, _ = structures(8, atoms=(3, 4))
    repeated = np.tile(features, (4, 1))
    chosen = order(repeated, np.arange(33) * 3, 32)
    assert sorted(chosen) == list(range(32))
    assert sorted(chosen[:8] % 8) == list(range(8))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_nothing_that_is_given_is_taken(order):
    features, pointer = clusters()
    rare = np.flatnonzero(features.max(axis=1) > 50)
    given = np.concatenate([features[:400], features[400:404]])  # the common one, two rare ones
    assert np.isin(order(features, pointer, 3, given), rare[-6:]).all()


@pytest.mark.parametrize("order", [farthest, informative, covering])
def test_rare_clusters_are_found(order):
    """Six clusters, six structures; at random 98 of 100 structures come from the first."""
    features, pointer = clusters()
    chosen = order(features, pointer, 6)
    assert sorted(features[chosen].argmax(axis=1)) == list(range(6))
    means, maxima = covering_curve(features, features[chosen, None])
    at_random = [
        covering_curve(features, features[random_order(len(features), 6, seed), None])
        for seed in range(20)
    ]
    # Within a cluster some 3, between two of them 140.
    assert maxima[-1] < 15
    assert means[-1] < np.mean([mean[-1] for mean, _ in at_random])
    assert np.mean([maximum[-1] for _, maximum in at_random]) > 100


# Coverage


@pytest.mark.parametrize("with_given", [False, True])
def test_coverage_by_hand(with_given):
    features, pointer = structures()
    given = structures(4, seed=9)[0] if with_given else features[:0]
    pieces = split(features, pointer)[:10]
    before = [nearest_distances(features, given)] if with_given else []
    means, maxima = covering_curve(features, pieces, *before)
    for step, (mean, maximum) in enumerate(zip(means, maxima, strict=True), not with_given):
        nearest = cdist(features, np.concatenate([given, *pieces[:step]])).min(axis=1)
        assert mean == pytest.approx(nearest.mean(), rel=1e-12)
        assert maximum == pytest.approx(nearest.max(), rel=1e-12)
    assert len(means) == 10 + with_given


def test_all_structures_cover_everything():
    features, pointer = structures()
    means, maxima = covering_curve(features, split(features, pointer))
    assert (means[-1], maxima[-1]) == (0, 0)
    assert np.all(np.diff(means) <= 0)


def test_more_environments_than_fit_one_block(monkeypatch):
    """The same numbers when distances are computed a few at a time."""
    features, pointer = structures(60)
    calls = [
        lambda: farthest(features, pointer, 30),
        lambda: informative(features, pointer, 30, 0.4),
        lambda: covering(features, pointer, 30),
        lambda: covering_curve(features, split(features, pointer)[:9])[0],
        lambda: nearest_distances(features, features[:7]),
    ]
    at_once = [call() for call in calls]
    monkeypatch.setattr("jentmax.evaluation._orders._PAIRS", 5)
    for call, expected in zip(calls, at_once, strict=True):
        # Sums of kernels may be ordered otherwise in blocks of another width.
        assert np.allclose(call(), expected, rtol=1e-12)
