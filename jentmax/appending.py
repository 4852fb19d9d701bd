"""Writing to the data set file while the devices compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np

from jentmax._output import being_written
from jentmax.dataset import DatasetWriter, Rows
from jentmax.progress import Counter


class Appender:
    """Appends to a data set in a thread of its own, one append at a time and in their order.

    Structures count as harvested once they are on disk: the counter waits for that before each
    report. What goes wrong in the thread is raised then, at the latest when the context ends.
    """

    def __init__(self, create: Callable[[], DatasetWriter], counter: Counter) -> None:
        """Prepare to append to what ``create`` makes when there is something to write."""
        self._create, self._counter = create, counter
        self._writer: DatasetWriter | None = None
        self._thread = ThreadPoolExecutor(1)
        self._pending: tuple[Rows, Future[None]] | None = None
        counter.before_report = self._settle

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish writing, and close the file: as complete unless an exception is on its way."""
        status = "running"
        try:
            if error is None:
                self._settle()
                status = "complete"
        finally:
            self._thread.shutdown()
            if self._writer is not None:
                self._writer.quarantined = self._counter.quarantined
                self._writer.rejected = self._counter.rejected
                self._writer.close(status)

    def append(self, rows: Rows) -> None:
        """Append rows soon; they are on disk before the next report."""
        self._settle()
        discarded = self._counter.quarantined, self._counter.rejected
        self._pending = rows, self._thread.submit(self._append, rows, *discarded)

    def _append(self, rows: Rows, quarantined: int, rejected: int) -> None:
        with being_written:
            if self._writer is None:
                self._writer = self._create()
            self._writer.quarantined, self._writer.rejected = quarantined, rejected
            self._writer.append(rows)

    def _settle(self) -> None:
        """Wait for what is being written, and count it."""
        if self._pending is None:
            return
        (rows, written), self._pending = self._pending, None
        written.result()
        self._counter.harvested(*np.asarray([rows.entropy, rows.least_distance]))
