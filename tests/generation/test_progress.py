"""The progress that a run reports, and how a callback ends it."""

import threading
import time

import numpy as np
import pytest
from tiny_runs import Stopped, assert_identical, made, tiny

from jentmax.dataset import Dataset, Parts
from jentmax.generation import Process, generate


def test_reports():
    told = []
    found = made(tiny(), callback=told.append, devices=1)
    phases = list(dict.fromkeys(one.phase for one in told))
    assert phases == ["starting", "compiling", "annealing", "complete"]
    done = [one.done for one in told]
    assert done[0] == 0
    assert done[-1] == 11
    assert max(done) == 11
    assert all(one.structures == 11 and one.before == 0 for one in told)
    assert told[-1].made == 12
    assert told[-1].entropy == pytest.approx(found["entropy"].mean(), abs=1)
    assert told[-1].smallest_distance <= found["least_distance"].min()
    assert "batch      4 side by side on each device, as given" in [one.note for one in told]
    assert np.isnan(told[0].entropy)


def test_structures_that_are_reported_are_on_disk():
    def callback(progress):
        if progress.phase == "annealing" and progress.made:
            with Dataset("set.h5") as dataset:
                assert len(dataset) >= progress.made

    made(tiny(), callback=callback)


def test_shares_of_what_is_under_way_count():
    """A cycle of many steps is seen to advance."""
    told = []
    long = tiny(steps=1500, cycles_per_chain=1)
    made(long, 4, callback=lambda one: told.append(one.done), devices=1)
    between = {done for done in told if 0 < done < 4}
    assert {round(done / 4, 3) for done in between} <= {k / 10 for k in range(1, 10)} | {1.0}
    assert len(between) >= 3


def test_what_was_there_before():
    with pytest.raises(Stopped):
        generate(tiny(), structures=11, output="set.h5", callback=stop_after(4), devices=1)
    there = sum(Parts("set.h5").counts(chunk)[0] for chunk in chunks())
    told = []
    made(tiny(), callback=told.append)
    going_on = [one for one in told if one.phase == "annealing"]
    assert {one.before for one in going_on} == {there}
    assert going_on[0].done == there
    assert told[-1].made == 12 - there
    told.clear()
    made(tiny(), 20, callback=told.append)
    assert {one.before for one in told if one.phase == "annealing"} == {12}


def chunks():
    parts = Parts("set.h5")
    parts.header()
    return parts.chunks()


def stop_after(count):
    def callback(progress):
        if progress.made >= count:
            raise Stopped

    return callback


def test_progress_counts_what_all_processes_have_made():
    """One that has just begun counts the chunks of another, which goes on at the same time."""
    told = {0: [], 1: []}

    def run(index):
        generate(
            tiny(steps=100),
            structures=40,
            output="set.h5",
            process=Process(index, 2),
            callback=told[index].append,
            devices=1,
        )

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one[-1].done == 40 for one in told.values())
    made_here = [one[-1].made for one in told.values()]
    assert sum(made_here) >= 40
    for one in told.values():
        annealing = [p for p in one if p.phase == "annealing"]
        # More is there than it has made itself, and what is under way here is one chunk.
        assert any(p.done - p.made - 4 > 4 for p in annealing)
        assert all(p.done <= 40 for p in annealing)


def test_a_report_that_stops_ends_the_run_within_a_tenth():
    """All chunks that are done are kept, also one that was done while the run ended."""
    long = tiny(steps=5000, cycles_per_chain=1)
    began = []

    def callback(progress):
        if progress.phase == "annealing" and progress.done > 0:
            began.append(time.monotonic())
            raise Stopped

    with pytest.raises(Stopped):
        generate(long, structures=40, output="set.h5", callback=callback, devices=1)
    # The chunk that was under way is not there: nobody waited for its end.
    assert len(began) == 1
    assert not chunks()
    assert Parts("set.h5").header() is not None


def test_any_error_of_a_report_ends_the_run():
    def callback(progress):
        if progress.made:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tiny(), structures=11, output="set.h5", callback=callback)
    assert chunks()
    assert_identical(made(tiny()), made(tiny(), output="whole.h5"))
