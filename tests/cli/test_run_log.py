"""The text file beside a data set: what happened and when."""

import os
import pathlib
import re
import types

import pytest

from jentmax.cli import _log as room
from jentmax.cli._log import RunLog
from jentmax.generation import Progress

LOG = pathlib.Path("set.h5.log")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d  ")


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(room, "time", clock)
    return clock


def progress(phase, n, note=""):
    values = (4.0, 2.0, 1.5) if n else (float("nan"), float("nan"), float("nan"))
    return Progress(phase, n, 1000, 0, n, *values, note=note)


def lines():
    """Without their times."""
    found = LOG.read_text().splitlines()
    assert all(STAMP.match(line) for line in found)
    return [STAMP.sub("", line) for line in found]


def test_events_and_counts(clock):
    """Phases once, notes each, counts every half a minute; nothing before there are structures."""
    log = RunLog(pathlib.Path("set.h5"), continues=False)
    log.write("begun: here")
    log.update(progress("compiling", 0, note="batch      16 side by side"))
    assert os.listdir() == []
    for clock.now in range(100, 161, 5):
        log.update(progress("annealing", int(clock.now) - 99))
    log.update(progress("quenching", 61, note="a part is damaged\nit is made again"))
    log.update(progress("writing", 1000))
    log.update(progress("complete", 1000))
    log.write("complete: all")
    assert lines() == [
        "begun: here",
        "batch 16 side by side",
        "compiling",
        "annealing",
        "1/1000 structures S 4.00, least distance 2.00 Å",
        "31/1000 structures 1/s, 0:16:09 left, S 4.00, least distance 2.00 Å",
        "61/1000 structures 1/s, 0:15:39 left, S 4.00, least distance 2.00 Å",
        "a part is damaged",
        "it is made again",
        "quenching",
        "writing",
        "1000/1000 structures 17/s, 0:00:00 left, S 4.00, least distance 2.00 Å",
        "complete: all",
    ]


def test_a_run_that_goes_on_appends_and_another_replaces():
    for continues, expected in ((False, ["one"]), (True, ["one", "one"]), (False, ["one"])):
        log = RunLog(pathlib.Path("set.h5"), continues)
        log.write("one")
        log.update(Progress("annealing", 3, 1000, 3))
        assert [line for line in lines() if line == "one"] == expected


def test_each_process_has_its_own():
    for process in (0, 1, 12):
        log = RunLog(pathlib.Path("set.h5"), continues=True, process=process)
        log.update(progress("annealing", 3))
    assert sorted(os.listdir()) == ["set.h5.1.log", "set.h5.12.log", "set.h5.log"]


def test_a_run_without_structures_leaves_the_old_one():
    LOG.write_text("old")
    log = RunLog(pathlib.Path("set.h5"), continues=False)
    log.write("begun")
    log.update(progress("compiling", 0))
    log.write("error: no luck")
    assert LOG.read_text() == "old"


def test_errors_of_writing_are_no_errors_of_the_run():
    LOG.mkdir()
    log = RunLog(pathlib.Path("set.h5"), continues=True)
    log.update(progress("annealing", 3))
    log.write("it continues")
    assert os.listdir() == ["set.h5.log"]
