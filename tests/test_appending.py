"""Writing beside computing: order, what counts as done, and errors."""

import threading

import pytest
from dataset_files import BATCHES, HEADER

from jentmax.appending import Appender
from jentmax.dataset import Dataset, DatasetWriter
from jentmax.errors import JentmaxError
from jentmax.progress import Counter


def create():
    return DatasetWriter.create("set.h5", **HEADER)


def test_all_is_written_in_order():
    done = []
    counter = Counter(6, lambda progress: done.append((progress.phase, progress.done)))
    with Appender(create, counter) as appender:
        for rows in BATCHES:
            appender.append(rows)
    counts = [len(rows.entropy) for rows in BATCHES]
    assert done == [("writing", sum(counts[: k + 1])) for k in range(len(counts))]
    with Dataset("set.h5") as dataset:
        assert (len(dataset), dataset.status) == (sum(counts), "complete")


def test_what_is_reported_as_done_is_on_disk(monkeypatch):
    """However long writing takes; and it does not hold up who computes."""
    go_on = threading.Event()
    append = DatasetWriter.append

    def slow(self, rows):
        go_on.wait(10)
        append(self, rows)

    monkeypatch.setattr(DatasetWriter, "append", slow)
    seen = []

    def report(progress):
        with Dataset("set.h5") as dataset:
            seen.append((progress.phase, progress.done, len(dataset)))

    counter = Counter(6, report)
    with Appender(create, counter) as appender:
        appender.append(BATCHES[0])
        assert not seen
        go_on.set()
        counter.show("annealing", 0.5)
        n_first = len(BATCHES[0].entropy)
        assert seen == [("writing", n_first, n_first), ("annealing", n_first + 0.5, n_first)]


@pytest.mark.parametrize("where", ["report", "next append", "end"])
def test_errors_of_writing_surface(monkeypatch, where):
    def full(self, rows):
        raise JentmaxError("set.h5 cannot be written: disk full")

    monkeypatch.setattr(DatasetWriter, "append", full)
    counter = Counter(6, lambda _: None)

    def write():
        with Appender(create, counter) as appender:
            appender.append(BATCHES[0])
            if where == "report":
                counter.show("annealing")
            elif where == "next append":
                appender.append(BATCHES[1])

    with pytest.raises(JentmaxError, match="disk full"):
        write()
    assert counter.quarantined == 0


def test_what_was_written_before_an_error_stays():
    counter = Counter(6, lambda _: None)

    def write():
        with Appender(create, counter) as appender:
            appender.append(BATCHES[0])
            counter.quarantined, counter.rejected = 3, 2
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        write()
    with Dataset("set.h5") as dataset:
        assert len(dataset) == len(BATCHES[0].entropy)
        assert (dataset.status, dataset.quarantined, dataset.rejected) == ("running", 3, 2)
