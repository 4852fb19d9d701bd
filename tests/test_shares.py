"""Runs that several processes share, one after the other in this process."""

import pathlib
import shutil
import sys

import h5py
import numpy as np
import pytest
from test_dataset_damage import damaged
from tiny_runs import assert_identical, columns, tiny

from jentmax import resuming
from jentmax.batch import Runner
from jentmax.config import load
from jentmax.dataset import Dataset, shard_path, shard_paths
from jentmax.describe import described
from jentmax.description import Description
from jentmax.errors import JentmaxError
from jentmax.generation import generate
from jentmax.harvest import chain_numbers
from jentmax.locking import locked
from jentmax.set_files import merge, n_at_work
from jentmax.shares import Share, n_structures

SETTINGS = ("system.n_atoms=[8, 12]", "run.structures=15")  # 8 chains, the last with one cycle


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The set of one process."""
    return generate(tiny(*SETTINGS), tmp_path_factory.mktemp("whole") / "set.h5")


def shared(count, *indices, settings=SETTINGS, **options):
    for index in indices or range(count):
        generate(tiny(*settings), "set.h5", share=Share(index, count), **options)


def assert_same(path, whole, n_files=None):
    for one, other in zip(columns(path), columns(whole), strict=True):
        assert_identical(one, other)
    with Dataset(path) as one, Dataset(whole) as other:
        assert one.status == "complete"
        assert np.array_equal(one.scale, other.scale)
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.pointer, other.pointer)
        assert np.array_equal(
            one.rows(slice(3, 9)).descriptors, other.rows(slice(3, 9)).descriptors
        )
        if n_files is not None:
            assert len(one.paths) == n_files


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("n_chains", [0, 1, 5, 1000])
def test_every_chain_is_in_one_share(count, n_chains):
    numbers = {8: range(0, n_chains, 2), 12: range(1, n_chains, 2)}
    shares = [Share(index, count).chains(numbers) for index in range(count)]
    for n_atoms in numbers:
        of_a_kind = [number for share in shares for number in share[n_atoms]]
        assert sorted(of_a_kind) == list(numbers[n_atoms])
    lengths = [len(share[8]) + len(share[12]) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_what_one_process_left_is_shared_evenly():
    numbers = {39: range(8000)}
    left = set(Share(3, 8).chains(numbers)[39])
    again = [len(left & set(Share(index, 4).chains(numbers)[39])) for index in range(4)]
    assert sum(again) == 1000
    assert max(again) < 320  # by chance: 250 +- 14


def test_structures_of_a_share():
    settings = load("tungsten", SETTINGS)
    numbers = [number for each in chain_numbers(settings).values() for number in each]
    assert sorted(numbers) == list(range(8))
    assert n_structures(settings, numbers) == 15
    assert n_structures(settings, [0, 7]) == 3


@pytest.mark.parametrize("count", [2, 3, 11])
def test_the_set_is_that_of_one_process(whole, count):
    """With 11 processes and 8 chains, 4 of each number of atoms, some have none."""
    shared(count)
    assert_same("set.h5", whole)
    assert len(shard_paths(pathlib.Path("set.h5"))) == min(count, 8)


def test_while_it_is_made(whole):
    shared(3, 1)
    with Dataset("set.h5") as dataset, Dataset(whole) as other:
        assert dataset.status == "running"
        assert 0 < len(dataset) < 15
        assert set(dataset.index) < set(other.index)
        assert "running" in repr(dataset)
        for k, index in enumerate(dataset.index):
            assert np.array_equal(dataset[k].positions, other[int(index)].positions)


def test_descriptions_are_of_all_shards(tmp_path, monkeypatch):
    """Also if they were kept before there was another one."""

    def made_up(structures, *_):
        n_atoms = len(structures.positions)
        return Description(np.zeros((n_atoms, 5)), np.zeros(n_atoms, int), np.zeros(n_atoms))

    monkeypatch.setattr(sys.modules["jentmax.describe"], "describe", made_up)
    settings, cache = tiny(*SETTINGS), tmp_path / "cache"
    shared(2, 0)
    before, _ = described("set.h5", settings, cache)
    shared(2, 1)
    after, description = described("set.h5", settings, cache)
    assert len(before) < len(after) == 15
    assert len(description.features) == len(after.positions)


def test_each_process_finds_the_same_scale_and_k():
    settings = ["system.n_atoms=12", "run.structures=6", "scaling.steps=40", "scaling.replicas=4"]
    auto = ["potential.entropy_weight=auto", "potential.min_distance=2"]
    given = tiny(*settings, *auto, scaling=None)
    generate(given, "one.h5")
    for index in range(2):
        generate(given, "set.h5", share=Share(index, 2))
    assert_same("set.h5", "one.h5")


def test_merged(whole):
    shared(2)
    merge("set.h5", "one.h5")
    assert_same("one.h5", whole, n_files=1)
    assert_same("set.h5", whole, n_files=3)
    merge("set.h5")
    assert_same("set.h5", whole, n_files=1)
    assert not pathlib.Path("set.h5.shards").exists()
    before = pathlib.Path("set.h5").read_bytes()
    merge("set.h5")
    assert pathlib.Path("set.h5").read_bytes() == before


def test_a_merge_cut_short_leaves_structures_once(whole):
    """The file is in its place, and the shards are still there."""
    shared(2)
    merge("set.h5", "one.h5")
    shutil.move("one.h5", "set.h5")
    assert_same("set.h5", whole, n_files=3)
    with Dataset("set.h5") as dataset, Dataset(whole) as other:
        assert dataset.rejected == other.rejected
    merge("set.h5")
    assert_same("set.h5", whole, n_files=1)


def test_merging_what_is_not_complete():
    shared(2, 0)
    merge("set.h5")
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
    generate(tiny(*SETTINGS), "set.h5", resume=True)
    with Dataset("set.h5") as dataset:
        assert dataset.status == "complete"


def test_refused_while_it_is_written():
    shared(2)
    with locked("set.h5.shards/1-of-2.h5"):
        for forbidden in (
            lambda: merge("set.h5"),
            lambda: shared(3, 0, resume=True),
            lambda: shared(1, resume=True),
        ):
            with pytest.raises(JentmaxError, match=r"1-of-2\.h5 is being written by"):
                forbidden()
    with locked("set.h5"), pytest.raises(JentmaxError, match=r"set\.h5 is being written by"):
        shared(2, resume=True)
    shared(2, resume=True)


def test_processes_that_have_no_structures_yet_count():
    """They hold the lock of a shard that is not there."""
    shared(2, 0)
    with locked("set.h5.shards/1-of-2.h5"):
        assert n_at_work(pathlib.Path("set.h5")) == 1
        for forbidden in (lambda: merge("set.h5"), lambda: shared(1, resume=True)):
            with pytest.raises(JentmaxError, match=r"1-of-2\.h5 is being written by"):
                forbidden()
    assert n_at_work(pathlib.Path("set.h5")) == 0
    shared(1, resume=True)


def test_chains_go_on_from_their_own_ends(whole, monkeypatch):
    """Also if another process writes structures while one looks at what there is."""
    killed_after(monkeypatch, 1, Share(0, 2))
    refuse, late = resuming._refuse_damaged, []

    def slow(*arguments):
        if not late:
            late.append(1)
            generate(tiny(*SETTINGS), "set.h5", share=Share(1, 2))
        refuse(*arguments)

    monkeypatch.setattr(resuming, "_refuse_damaged", slow)
    shared(2, 0, resume=True)
    assert_same("set.h5", whole)


class Killed(BaseException):
    """Not an error that anybody would catch."""


def killed_after(monkeypatch, n_batches, share, **options):
    cycle, done = Runner.cycle, []

    def spied(self, *arguments):
        if len(done) == n_batches:
            raise Killed
        done.append(1)
        return cycle(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "cycle", spied)
        with pytest.raises(Killed):
            generate(tiny(*SETTINGS), "set.h5", share=share, **options)


@pytest.mark.parametrize("count", [2, 1, 3])
def test_resumed_by_as_many_fewer_or_more(whole, monkeypatch, count):
    killed_after(monkeypatch, 1, Share(0, 2))
    killed_after(monkeypatch, 1, Share(1, 2))
    with Dataset("set.h5") as dataset:
        assert 0 < len(dataset) < 15
    shared(count, resume=True)
    assert_same("set.h5", whole, n_files=1 if count == 1 else None)
    assert pathlib.Path("set.h5.shards").exists() == (count != 1)


def test_begun_by_one_process(whole, monkeypatch):
    """Its structures stay in its file."""
    killed_after(monkeypatch, 1, Share(0, 1))
    shared(2, resume=True)
    assert_same("set.h5", whole, n_files=3)
    with Dataset("set.h5", shards=False) as begun:
        assert 0 < len(begun) < 15


def test_extended(whole):
    shared(2, settings=(*SETTINGS, "run.structures=9"))
    with pytest.raises(JentmaxError, match=r"run\.structures is 15, was 9"):
        shared(2, resume=True)
    shared(3, extend=True)
    assert_same("set.h5", whole)


def test_a_shard_that_is_lost_is_made_again(whole):
    shared(3)
    shard_path(pathlib.Path("set.h5"), 1, 3).unlink()
    with Dataset("set.h5") as dataset:
        assert dataset.status == "running"
    shared(3, resume=True)
    assert_same("set.h5", whole)


def test_nothing_is_replaced():
    shared(2)
    for share, told in [
        (Share(0, 2), r"0-of-2\.h5 exists; go on with it \(--resume\)"),
        (Share(0, 3), r"0-of-2\.h5 exists"),
        (Share(0, 1), r"set\.h5 exists"),
    ]:
        with pytest.raises(JentmaxError, match=told):
            generate(tiny(*SETTINGS), "set.h5", share=share)
    for share, told in [
        (Share(0, 2), r"cannot agree when to replace set\.h5"),
        (Share(0, 1), r"set\.h5\.shards holds structures that several processes made"),
    ]:
        with pytest.raises(JentmaxError, match=told):
            generate(tiny(*SETTINGS), "set.h5", share=share, overwrite=True)


def test_what_they_have_in_common_is_missing(whole):
    """Nothing is replaced, and any shard can take its place."""
    shared(2, 0)
    common, shard = pathlib.Path("set.h5"), shard_path(pathlib.Path("set.h5"), 0, 2)
    common.unlink()
    before = shard.read_bytes()
    for share in (Share(0, 1), Share(0, 2), Share(1, 2), Share(0, 3)):
        for options in ({}, {"resume": True}):
            with pytest.raises(JentmaxError, match=rf"set\.h5 is missing.*cp {shard} set\.h5"):
                generate(tiny(*SETTINGS), "set.h5", share=share, **options)
    assert shard.read_bytes() == before
    shutil.copy(shard, common)
    shared(2, resume=True)
    assert_same("set.h5", whole)


def test_a_set_of_one_process_is_not_taken_for_the_beginning(whole):
    shutil.copy(whole, "set.h5")
    with pytest.raises(JentmaxError, match=r"set\.h5 exists; go on with it"):
        shared(2)


def test_other_settings():
    shared(2, 0)
    with pytest.raises(JentmaxError, match=r"other settings.*\n.*run\.seed is 5, was 0"):
        shared(2, 1, settings=(*SETTINGS, "run.seed=5"))


def test_shards_that_do_not_belong_together():
    shared(2)
    with h5py.File("set.h5.shards/1-of-2.h5", "r+") as file:
        file["scaling/scale"][0] *= 1.001
    with pytest.raises(JentmaxError, match=r"1-of-2\.h5 does not belong to set\.h5: the scale"):
        Dataset("set.h5")


def test_a_damaged_shard(good, call, whole):
    """It is named, the others' structures are saved, and it can be made anew."""
    shared(3)
    assert good("info", "--check", "set.h5").count(" is whole: ") == 4
    shard = shard_path(pathlib.Path("set.h5"), 1, 3)
    with Dataset(shard) as dataset:
        lost = len(dataset)
    damaged(shard, shard, "atoms/positions", 0, "a bit")
    code, output, errors = call("info", "--check", "set.h5")
    assert (code, output.count(" is whole: ")) == (2, 3)
    assert f"{shard} is damaged" in errors
    output = good("export", "set.h5", "whole.extxyz", "--whole")
    assert f"{15 - lost} structures written to whole.extxyz, {lost} left out" in output
    shard.unlink()
    shared(3, 1, resume=True)
    assert_same("set.h5", whole)


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "3/3", "-1/3", "a/b", "1/2/3", "1.0/2"])
def test_words_that_are_no_share(text):
    with pytest.raises(JentmaxError, match="give I/N"):
        Share.parse(text)
