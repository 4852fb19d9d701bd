"""Distances to the nearest training environment, over random decompositions."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jentmax.errors import JentmaxError
from jentmax.evaluation import Decompositions, _coverage, coverage, sizes


def each_alone(count):
    """Pointer of structures of one atom."""
    return np.arange(count + 1)


def cover(features, how, pointers=None, groups=None, **options):
    pointers = pointers or {name: each_alone(len(values)) for name, values in features.items()}
    groups = groups or {name: [""] * (len(pointer) - 1) for name, pointer in pointers.items()}
    return coverage(features, pointers, groups, how, **options)


def statistics(distances):
    return [
        distances.mean(),
        np.median(distances),
        np.percentile(distances, 95),
        distances.max(),
    ]


def test_two_places():
    """All of one set at one place, all of the other at another, five apart."""
    features = {"a": np.zeros((9, 2)), "b": np.full((8, 2), [3.0, 4.0])}
    found = cover(features, Decompositions(4, 3, 2))
    expected = np.array([[0.0, 5.0], [5.0, 0.0]])
    assert np.array_equal(found.mean(), np.repeat(expected[..., None], 4, axis=-1))
    assert np.array_equal(found.standard_error(), np.zeros((2, 2, 4)))
    assert np.array_equal(found.novel.mean(axis=0), [[0, 1], [1, 0]])
    assert found.distances.shape == (2, 2, 6)
    assert np.array_equal(found.distances[0, 1], np.full(6, 5.0))


def test_every_decomposition_of_a_small_set():
    """The average is that over all ways to divide the set, within its own standard error."""
    values = np.random.default_rng(1).normal(size=(6, 3))
    expected = []
    for train in itertools.permutations(range(6), 3):
        rest = [k for k in range(6) if k not in train]
        for test in itertools.combinations(rest, 2):
            expected.append(statistics(cdist(values[list(test)], values[list(train)]).min(axis=1)))
    found = cover({"a": values}, Decompositions(3, 2, 2000))
    deviations = (found.mean() - np.mean(expected, axis=0)) / found.standard_error()
    assert np.all(np.abs(deviations) < 4)
    spread = np.std(expected, axis=0) / np.sqrt(2000)
    # A standard error of 2000 samples is known to 2 or 3 %.
    assert np.allclose(found.standard_error(), spread, rtol=0.1)


def test_against_brute_force():
    rng = np.random.default_rng(0)
    features = {"a": rng.normal(size=(60, 6)), "b": rng.normal(2, 3, size=(50, 6))}
    how = Decompositions(30, 15, 3, seed=7)
    found = cover(features, how)
    draws = {
        name: _coverage._Parts(name, values, each_alone(len(values)), [""] * len(values))
        for name, values in features.items()
    }
    for number in range(3):
        for (i, train), (j, test) in itertools.product(enumerate("ab"), repeat=2):
            trained = features[train][draws[train].draw(how, number)[0]]
            tested = features[test][draws[test].draw(how, number)[1]]
            distances = cdist(tested, trained).min(axis=1)
            assert np.allclose(found.statistics[number, i, j], statistics(distances), rtol=1e-12)
            own = cdist(features[train][draws[train].draw(how, number)[1]], trained).min(axis=1)
            novel = np.mean(distances > np.quantile(own, 0.99))
            assert found.novel[number, i, j] == novel


@pytest.mark.parametrize("by", ["environment", "structure"])
def test_no_environment_is_in_both_parts(by):
    sizes_of = np.random.default_rng(0).integers(1, 9, 40)
    pointer = np.concatenate([[0], np.cumsum(sizes_of)])
    parts = _coverage._Parts("a", np.zeros((pointer[-1], 1)), pointer, [""] * 40)
    structure = np.repeat(np.arange(40), sizes_of)
    for number in range(20):
        train, test = parts.draw(Decompositions(60, 30, 20, by=by), number)
        assert (len(train), len(test)) == (60, 30)
        assert len(set(train) | set(test)) == 90
        if by == "structure":
            assert not set(structure[train]) & set(structure[test])


def test_by_structure_tells_what_structures_repeat():
    """Ten equal environments in each structure: covered by halves, not by whole structures."""
    features = {"a": np.repeat(np.arange(30.0), 10)[:, None]}
    pointers = {"a": 10 * np.arange(31)}
    together = cover(features, Decompositions(150, 50, 5), pointers)
    whole = cover(features, Decompositions(150, 50, 5, by="structure"), pointers)
    assert together.mean()[0, 0, 0] < 0.05
    assert whole.mean()[0, 0, 0] >= 1


def test_structures_too_large_to_divide():
    with pytest.raises(JentmaxError) as raised:
        cover(
            {"big": np.zeros((30, 1))},
            Decompositions(20, 10, 1, by="structure"),
            {"big": np.array([0, 15, 30])},
        )
    for part in ("big", "2 structures", "20 training", "10 test", "--by environment"):
        assert part in str(raised.value)


def test_draws_depend_on_seed_number_and_name_alone(monkeypatch):
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(40, 2)) for name in "abc"}
    how = Decompositions(20, 10, 12)
    found = cover(features, how)
    monkeypatch.setattr(_coverage, "n_cores", lambda: 5)
    some = cover({name: features[name] for name in "ca"}, how)
    assert np.array_equal(some.statistics, found.statistics[:, [2, 0]][:, :, [2, 0]])
    assert len(np.unique(found.statistics[:, 0, 0, 0])) == 12
    other = cover(features, Decompositions(20, 10, 12, seed=1))
    assert not np.any(other.statistics[..., 0] == found.statistics[..., 0])


def test_groups():
    """Every group's mean distance, and none for groups that are never drawn."""
    features = {"a": np.zeros((12, 1)), "b": np.array([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 5.0])[:, None]}
    groups = {"a": ["x"] * 12, "b": ["near"] * 4 + ["far"] * 3}
    found = cover(features, Decompositions(4, 3, 40), groups=groups)
    assert found.group_names == (("x",), ("far", "near"))
    assert np.allclose(found.group_means[1][0], [5, 1])
    assert np.allclose(found.group_means[0][1], found.mean()[1, 0, 0])
    lone = {"a": np.zeros((1000, 1))}
    found = cover(lone, Decompositions(2, 1, 1), groups={"a": ["common"] * 999 + ["rare"]})
    assert np.isnan(found.group_means[0][0][1])


def test_progress_is_told():
    told = []
    cover({"a": np.zeros((9, 1))}, Decompositions(4, 3, 5), callback=told.append)
    assert told == [1, 2, 3, 4, 5]


def test_one_decomposition_has_no_standard_error():
    found = cover({"a": np.zeros((9, 1))}, Decompositions(4, 3, 1))
    assert np.isnan(found.standard_error()).all()


@pytest.mark.parametrize(
    ("counts", "asked", "expected"),
    [
        ({"a": 9000, "b": 20000}, (None, None), (6000, 3000)),
        ({"a": 9000, "b": 900}, (None, None), (600, 300)),
        ({"a": 3}, (None, None), (2, 1)),
        ({"a": 100}, (40, 50), (40, 50)),
        ({"a": 100}, (40, None), (40, 20)),
        ({"a": 100}, (None, 30), (60, 30)),
        ({"a": 100}, (1, None), (1, 1)),
    ],
)
def test_sizes(counts, asked, expected):
    assert sizes(counts, asked[0], asked[1], (6000, 3000)) == expected


@pytest.mark.parametrize(
    ("counts", "asked", "parts"),
    [
        ({"a": 100, "b": 80}, (60, 30), ["--train 60", "--test 30", "90", "b has 80"]),
        ({"few": 2, "b": 80}, (None, None), ["few has 2 environments", "at least 3"]),
    ],
)
def test_too_few(counts, asked, parts):
    with pytest.raises(JentmaxError) as raised:
        sizes(counts, asked[0], asked[1], (6000, 3000))
    for part in parts:
        assert part in str(raised.value)
